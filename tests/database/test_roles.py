"""Logins that live for an hour, and passwords that live for minutes: sessions are the owner's role's."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.project import Postgres, Project
from tests.support.runs import interrupt

DECIDER = "investment_db"


@pytest.fixture
def logins(pair: Project, postgres: Postgres) -> Iterator[tuple[str, str]]:
    """Two logins that are members of the databases' owner, and own nothing."""
    prefix = pair.variables["AUTH_DB_URL"].rpartition("/")[2]
    found = f"{prefix}_monday", f"{prefix}_tuesday"
    for login in found:
        postgres.as_admin(f"CREATE ROLE {login} LOGIN PASSWORD 'x' IN ROLE neighbor")
    yield found
    for login in found:
        for name in ("auth_db", "user_db"):
            postgres.as_admin(f"DROP OWNED BY {login}", f"{prefix.removesuffix('_auth_db')}_{name}")
        postgres.as_admin(f"DROP ROLE {login}")


def as_login(project: Project, login: str, password: str = ":x") -> None:
    for name in ("auth_db", "user_db", "content_db"):
        key = f"{name.upper()}_URL"
        scheme, _, rest = project.variables[key].partition("://")
        project.variables[key] = f"{scheme}://{login}{password}@{rest.rpartition('@')[2]}"


def test_what_one_login_prepared_another_resolves(pair: Project, logins: tuple[str, str]) -> None:
    pair.edit("databases.yaml", "databases:", "role: ${OWNER}\n\ndatabases:")
    pair.variables["OWNER"] = "neighbor"
    as_login(pair, logins[0])
    how = ["SIGKILL:run", "before", "commit", "user_db"]
    assert interrupt(pair, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert pair.rows("auth_db", "SELECT owner FROM pg_prepared_xacts WHERE database = current_database()") == [
        ("neighbor",)
    ]
    as_login(pair, logins[1])
    assert pair.multidb("recover").code == 0
    result = pair.done("upgrade", "heads")
    assert "owns its tables" not in result.err
    assert pair.rows("auth_db", "SELECT tableowner FROM pg_tables WHERE tablename = 'more'") == [("neighbor",)]


def test_a_run_says_whose_its_prepared_transactions_would_be(pair: Project, logins: tuple[str, str]) -> None:
    as_login(pair, logins[0])
    result = pair.alembic("upgrade", "heads")
    warning = (
        f"WARNI [auth_db] neighbor owns its tables, and prepared transactions would be {logins[0]}'s: only that role, "
        "or a superuser, can resolve them; set `role: neighbor` in databases.yaml"
    )
    assert warning in result.err, result


def test_a_role_on_sqlite_is_an_error(few: Project) -> None:
    few.edit("databases.yaml", "models.investment", "models.investment, role: neighbor")
    assert "role: investment_db is on SQLite, which has no roles: leave it out" in few.alembic("current").error


def test_a_password_is_made_for_each_connection(pair: Project, logins: tuple[str, str]) -> None:
    as_login(pair, logins[0], password="")
    pair.variables |= {"COUNT": str(pair.root / "count"), "DATABASE_PASSWORD_COMMAND": "sh -c 'echo >>$COUNT; echo x'"}
    pair.edit("databases.yaml", "databases:", "role: neighbor\n\ndatabases:")
    result = pair.done("upgrade", "heads")
    assert (pair.root / "count").read_text().count("\n") >= 3
    assert "sh -c" not in result.out + result.err
    pair.variables["AUTH_DB_PASSWORD_COMMAND"] = "printf wrong"
    assert (
        "password authentication failed" in pair.alembic("current", "--check-heads").out + pair.alembic("current").err
    )


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("sh -c 'echo expired >&2; exit 3'", "the password command failed with exit code 3: expired"),
        ("true", "the password command printed no password"),
        ("./nowhere", "the password command can't be run: No such file or directory"),
        ("echo 'x", "the password command can't be run: a quote is not closed"),
    ],
)
def test_a_password_command_that_fails_is_said(few: Project, command: str, reason: str) -> None:
    few.variables["AUTH_DB_PASSWORD_COMMAND"] = command
    assert few.alembic("upgrade", "heads").error == f"error: auth_db: {reason}"
