"""A database compared with its models by Alembic's autogenerate.

It imports `replay` and the rooms below.
"""
