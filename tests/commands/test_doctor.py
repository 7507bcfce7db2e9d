"""`doctor`: each line made wrong once, on real servers."""

from collections.abc import Mapping

import pytest

from tests.commands.test_output_schema import valid
from tests.support.project import Postgres, Project


def doctor(project: Project, *arguments: str) -> Mapping[tuple[str | None, str], tuple[str, str]]:
    """What was found and what is advised, empty for nothing, by database and subject."""
    result = project.multidb("-x", "wait=0", "doctor", "--json", *arguments)
    found = valid(result.out, "doctor")
    checks = {
        (each["database"], check["subject"]): (check["found"], check["advice"] or "")
        for each in found
        for check in each["checks"]
    }
    assert result.code == (2 if any(advice for _, advice in checks.values()) else 0), result
    return checks


def place(project: Project) -> str:
    """The real name of auth_db's database."""
    return project.variables["AUTH_DB_URL"].rpartition("/")[2]


def test_what_is_fine_is_said_in_a_line_each(few: Project) -> None:
    result = few.multidb("doctor")
    assert result.code == 0, result
    lines = result.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["this machine", *few.names]
    assert all(line.endswith("fine") for line in lines if line.startswith(" "))
    assert any(line.split()[:2] == ["server", "PostgreSQL"] for line in lines)


def test_a_database_that_cannot_be_reached_leaves_the_others(few: Project) -> None:
    few.variables["AUTH_DB_URL"] = few.variables["AUTH_DB_URL"].replace("//neighbor:", "//neighbor:wrong")
    found = doctor(few)
    assert "password authentication failed" in found["auth_db", "reachable"][1]
    assert not found["user_db", "reachable"][1]


@pytest.mark.parametrize(
    ("statement", "subject", "advice"),
    [
        ("ALTER DATABASE {place} OWNER TO postgres", "owner of the database", "as a superuser: ALTER DATABASE"),
        ("ALTER DATABASE {place} OWNER TO postgres", "schema", "as postgres: GRANT CREATE ON SCHEMA public TO"),
        ("ALTER TABLE alembic_version OWNER TO postgres; GRANT SELECT ON alembic_version TO neighbor",
         "owner of the tables", "write `role: postgres` in databases.yaml"),
        ("ALTER DATABASE {place} SET default_transaction_read_only = on", "writable", "only is on for neighbor"),
    ],
)  # fmt: skip
def test_what_the_role_lacks(few: Project, postgres: Postgres, statement: str, subject: str, advice: str) -> None:
    postgres.as_admin(statement.format(place=place(few)), place(few))
    assert advice in doctor(few, "auth_db")["auth_db", subject][1]


def test_an_extension_that_is_missing(few: Project) -> None:
    few.edit("databases.yaml", "models.auth", "models.auth, extensions: [pg_trgm, nowhere]")
    found = doctor(few, "auth_db")
    assert found["auth_db", "extension pg_trgm"] == ("available", "python -m multidb create")
    assert "install it there" in found["auth_db", "extension nowhere"][1]


def test_too_few_slots_and_connections(fragile: Project, another: Postgres) -> None:
    another.set(max_prepared_transactions="1")
    another.as_admin("ALTER ROLE neighbor CONNECTION LIMIT 4")
    try:
        found = doctor(fragile)
    finally:
        another.as_admin("ALTER ROLE neighbor CONNECTION LIMIT -1")
    assert "max_prepared_transactions = 64" in found["auth_db", "slots for prepared transactions"][1]
    assert "raise the limit of the role or the server" in found["auth_db", "connections"][1]


def test_a_standby(fragile: Project, standby: Postgres) -> None:
    fragile.variables["AUTH_DB_URL"] = standby.url(place(fragile))
    assert "use the URL of the primary" in doctor(fragile, "auth_db")["auth_db", "writable"][1]


def test_a_missing_file(few: Project) -> None:
    (few.root / "investment.db").unlink()
    assert "python -m multidb create" in doctor(few, "investment_db")["investment_db", "reachable"][1]


def test_a_package_of_another_version(few: Project) -> None:
    few.write("constraints.txt", "alembic==1.0.0 \\\n    --hash=sha256:0\n")
    assert doctor(few, "auth_db")[None, "alembic"][1] == "pip install alembic==1.0.0"


def test_nothing_is_written(few: Project) -> None:
    before = few.rows("auth_db", "SELECT count(*) FROM multidb_journal")
    file = (few.root / "investment.db").read_bytes()
    few.multidb("doctor")
    assert few.rows("auth_db", "SELECT count(*) FROM multidb_journal") == before
    assert (few.root / "investment.db").read_bytes() == file
