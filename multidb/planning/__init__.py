"""What a command will do in each database, decided before any is changed.

It imports `database` and `config`.
"""
