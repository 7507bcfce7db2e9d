"""Databases with something of everything that the page of `report` shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.blocker import locked
from tests.support.project import Postgres, Project

HOSTILE = '"<script>alert(1)</script>"'
"""The name of a table, in SQL."""


@contextmanager
def reported(project: Project, postgres: Postgres, *databases: str) -> Iterator[Path]:
    """The page about databases at head, after a run, with pending revisions, drift, a failure and a session with locks.

    Takes a checkout with auth_db, content_db, user_db and investment_db at head.
    """
    project.variables |= postgres.scratch
    more = f"op.execute('CREATE TABLE {HOSTILE} (id bigint PRIMARY KEY, note text)')"
    project.add_revision("content_db", 2, more)
    project.done("-x", "release=2026.12", "upgrade", "heads")
    project.add_revision("content_db", 3, f"op.execute('DROP TABLE {HOSTILE}')")
    project.add_revision(
        "auth_db",
        2,
        "op.add_column('users', sa.Column('phone', sa.Text()))\n"
        "    op.alter_column('users', 'email', type_=sa.Text())\n"
        "    op.execute('CREATE TABLE logins (id bigint PRIMARY KEY, user_id uuid REFERENCES users (user_id))')",
    )
    project.add_revision("investment_db", 2, "op.execute('CREATE TABLE funds (id INTEGER PRIMARY KEY)')")
    project.add_revision("investment_db", 3, "op.execute('SELECT no_such_column FROM funds')")
    postgres.as_admin("ALTER TABLE user_profiles ADD drifted text", _own(project, "user_db"))
    page = project.root / "report.html"
    with locked(project.variables["USER_DB_URL"], "user_profiles IN ACCESS SHARE MODE"):
        made = project.multidb("report", "--html", str(page), *databases)
    assert made.code == 0, made.err
    yield page


def _own(project: Project, database: str) -> str:
    return project.variables[f"{database.upper()}_URL"].rpartition("/")[2].partition("?")[0]
