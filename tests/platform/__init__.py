"""Tests of the real branches: models, databases.yaml, migrations/versions."""
