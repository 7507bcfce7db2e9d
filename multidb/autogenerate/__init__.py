"""A database compared with its models by Alembic's autogenerate; imports `replay` and the rooms below it."""
