"""Plain Alembic on the files of another project, with an env.py as most have it."""

from pathlib import Path

from alembic import command
from alembic.config import Config

ENV_PY = """
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
INI = """[alembic]
script_location = {folder}
version_locations = {versions}
path_separator = os
sqlalchemy.url = {url}
"""


def plain_alembic(versions: Path, url: str) -> Config:
    """The configuration of the project that has these files, for `alembic.command`; it is beside them, too.

    Args:
        url: the database's, of PostgreSQL or SQLite.
    """
    url = url.replace("postgresql://", "postgresql+psycopg2://", 1).replace("%", "%%")
    (versions.parent / "env.py").write_text(ENV_PY)
    ini = versions.parent / "alembic.ini"
    ini.write_text(INI.format(folder=versions.parent, versions=versions, url=url))
    return Config(ini)


def moved_to(config: Config, revision: str) -> None:
    """Upgrade the database to a revision, or take it down to its base."""
    (command.downgrade if revision == "base" else command.upgrade)(config, revision)
