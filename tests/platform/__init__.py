"""Tests of the real branches: models, databases.yaml, migrations/versions, as they are today.

Nothing here names a database, a table or a revision: whatever the working tree has is tested.
"""
