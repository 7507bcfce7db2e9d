"""Servers and databases as they are found: standbys, read-only databases, collations of another version."""

from tests.support.project import Postgres, Project
from tests.support.runs import MORE


def test_a_standby_is_read_and_takes_no_run(fragile: Project, another: Postgres, standby: Postgres) -> None:
    fragile.variables |= another.scratch
    fragile.add_revision("auth_db", 2, MORE)
    fragile.variables["AUTH_DB_URL"] = standby.url(fragile.variables["AUTH_DB_URL"].rpartition("/")[2])
    error = fragile.alembic("upgrade", "heads").error
    assert error.startswith("error: auth_db: 127.0.0.1:")
    assert error.endswith(
        " is a standby, which takes no writes: use the URL of the primary, or name all hosts, with "
        "target_session_attrs=read-write"
    )
    assert "auth_0001, the head is auth_0002" in fragile.done("current").out
    assert fragile.multidb("status").code == 2
    assert fragile.multidb("drift", "auth_db").code == 0


def test_a_read_only_database_is_told_from_a_standby(few: Project, postgres: Postgres) -> None:
    few.variables |= postgres.scratch
    few.add_revision("auth_db", 2, MORE)
    name = few.variables["AUTH_DB_URL"].rpartition("/")[2]
    postgres.as_admin(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert few.alembic("upgrade", "heads").error == (
        "error: auth_db: default_transaction_read_only is on for neighbor in this database: reset it (ALTER DATABASE, "
        "ALTER ROLE, PGOPTIONS), or use another role"
    )
    assert few.multidb("recover").out == "nothing in doubt\n"


def test_a_collation_of_another_version_is_the_servers_warning(few: Project, postgres: Postgres) -> None:
    """As after an upgrade of the operating system: libpq prints it at each connection, and the run goes on."""
    few.variables |= postgres.scratch
    name = few.variables["AUTH_DB_URL"].rpartition("/")[2]
    options = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' OWNER neighbor"
    postgres.as_admin(f"CREATE DATABASE {name}_icu {options}")
    try:
        postgres.as_admin(f"UPDATE pg_database SET datcollversion = '1.1' WHERE datname = '{name}_icu'")
        few.variables["AUTH_DB_URL"] += "_icu"
        result = few.done("upgrade", "heads")
        assert f'database "{name}_icu" has a collation version mismatch' in result.err
        assert f"ALTER DATABASE {name}_icu REFRESH COLLATION VERSION" in result.err
        assert few.versions() == few.at(1)
        assert few.multidb("drift").code == 0
    finally:
        postgres.drop(f"{name}_icu")
