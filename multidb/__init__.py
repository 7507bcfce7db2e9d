"""One Alembic environment for many databases: what migrations/env.py and `python -m multidb` are made of."""

__version__ = "0.1.0"
