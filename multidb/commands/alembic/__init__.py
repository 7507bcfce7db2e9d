"""The commands of Alembic that run env.py: a file for each command, or for several that do the same."""
