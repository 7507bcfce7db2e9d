"""Servers and databases as they are found: standbys, read-only databases, collations of another version."""

from pathlib import Path

from multidb.local.server import Server
from tests.support.project import Postgres, Project, query
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


def test_a_server_that_is_starting_is_one_line_of_each_command(few: Project, tmp_path: Path) -> None:
    """A standby without hot_standby answers every connection as a server that starts does, for as long as it runs."""
    server = Server(tmp_path / "starting", {"fsync": "off", "hot_standby": "off"})
    server.start()
    query(server.variables["DATABASE_ADMIN_URL"], "CREATE DATABASE auth_db")
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    try:
        few.variables["AUTH_DB_URL"] = server.variables["DATABASE_ADMIN_URL"].removesuffix("/postgres") + "/auth_db"
        few.variables["SCRATCH_SERVER_URL"] = server.variables["DATABASE_ADMIN_URL"]
        for command in ("alembic upgrade heads", "multidb status", "multidb drift", "multidb schema", "multidb log"):
            program, *rest = command.split()
            result = few.python("-m", program, "-x", "wait=0", *rest)
            assert result.code == 75, command
            assert "wait until the server accepts connections, then run again" in result.out + result.err, command
            assert "Traceback" not in result.err, command
    finally:
        server.remove()
