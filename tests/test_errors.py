"""What a failure gets: one line that says what is wrong, where, and what to do; exit code 1; nothing changed."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from multidb.local.server import Server
from tests.support.project import NAMES, ON_POSTGRESQL, Postgres, Project, query

BASE: dict[str, list[str]] = {name: [] for name in NAMES}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no module models.auth: write it, or correct `models:` in databases.yaml"),
        ("import nowhere", "models.auth can't be imported: No module named 'nowhere'"),
        ("def broken(:", "models.auth can't be imported: "),
        ("1 / 0", "models.auth can't be imported: ZeroDivisionError: division by zero"),
        ("x = 1", "models.auth has no Base with a metadata: see models/auth.py"),
    ],
)
def test_a_models_module_that_cannot_be_imported(migrated: Project, text: str | None, expected: str) -> None:
    path = migrated.root / "models/auth.py"
    path.unlink()
    if text is not None:
        path.write_text(text)
    result = migrated.alembic("-x", "db=auth_db", "check")
    assert f"auth_db          FAILED: {expected}" in result.out
    assert result.error == "error: auth_db: could not be compared, as the lines above say"
    migrated.done("upgrade", "heads")


def _with(project: Project, variable: str, **parts: str) -> str:
    """A database's URL with other parts."""
    url = project.variables[variable]
    credentials, _, place = url.removeprefix("postgresql://").partition("@")
    user, _, password = credentials.partition(":")
    host, _, rest = place.partition(":")
    port, _, name = rest.partition("/")
    found = {"user": user, "password": password, "host": host, "port": port, "name": name} | parts
    return "postgresql://{user}:{password}@{host}:{port}/{name}".format(**found)


UNREACHABLE = {
    "a wrong password": ({"password": "s3cret"}, "password authentication failed", "correct the user or the password"),
    "no such host": ({"host": "no-such-host.invalid"}, "could not translate host name", "correct the host"),
    "connection refused": ({"port": "1"}, "Connection refused", "start the server, or correct host and port"),
    "no such database": ({"name": "nowhere"}, 'database "nowhere" does not exist', "python -m multidb create"),
}


@pytest.mark.parametrize("problem", UNREACHABLE)
def test_a_database_that_cannot_be_reached_because_of(project: Project, problem: str) -> None:
    parts, said, advice = UNREACHABLE[problem]
    project.variables["RATING_DB_URL"] = _with(project, "RATING_DB_URL", **parts)
    result = project.alembic("upgrade", "heads")
    assert result.error.startswith("error: rating_db: ")
    assert said in result.error
    assert advice in result.error
    assert "s3cret" not in result.err
    assert not any(project.has_version_table(name) for name in ON_POSTGRESQL[:-1])


def test_no_password_in_a_traceback_that_was_asked_for(project: Project) -> None:
    project.variables["AUTH_DB_URL"] = _with(project, "AUTH_DB_URL", password="s3cret") + "?sslpassword=s3cret"
    result = project.alembic("--raiseerr", "upgrade", "heads")
    assert "Traceback" in result.err
    assert "password authentication failed" in result.err
    assert "s3cret" not in result.err + result.out


def test_missing_postgis_says_who_must_create_it(project: Project, postgres: Postgres) -> None:
    name = project.variables["LOCATION_DB_URL"].rpartition("/")[2]
    postgres.as_admin("DROP EXTENSION postgis", name)
    error = project.alembic("upgrade", "heads").error
    assert error.startswith("error: location_db: migrations/versions/location_db/location_0001_initial.py:18: ")
    assert 'permission denied to create extension "postgis"' in error
    assert "a superuser must create it once: `python -m multidb create`" in error
    assert project.versions() == BASE


def test_an_extension_that_the_server_does_not_have_says_which_package(project: Project) -> None:
    project.add_revision("auth_db", 2, 'op.execute("CREATE EXTENSION postgis_nowhere")')
    error = project.alembic("upgrade", "heads").error
    assert 'extension "postgis_nowhere" is not available (' in error
    assert ": install PostGIS on the server (Debian: postgresql-" in error
    assert project.versions() == BASE


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT certificate FROM pg_class", 'column "certificate" does not exist'),
        ("GRANT nobody TO neighbor", 'role "nobody" does not exist'),
        ("CREATE EXTENSION nowhere", "on the system where PostgreSQL is running): install the extension on the server"),
    ],
)
def test_a_statement_gets_no_advice_that_is_meant_for_something_else(project: Project, sql: str, expected: str) -> None:
    project.add_revision("auth_db", 2, f"op.execute({sql!r})")
    assert project.alembic("upgrade", "heads").reason.endswith(expected)


def test_a_broken_connection_names_its_database_and_line(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, 'op.execute("SELECT pg_terminate_backend(pg_backend_pid())")')
    error = migrated.alembic("upgrade", "heads").reason
    assert error.startswith("error: auth_db: migrations/versions/auth_db/auth_0002_by_hand.py:13: ")
    assert error.endswith("see the server's log, then run again")


@pytest.mark.parametrize("arguments", [["revision", "-m", "x", "--branch-label", "user_db"], ["upgrade", "heads"]])
def test_another_databases_label_is_refused(migrated: Project, arguments: list[str]) -> None:
    if arguments[0] == "upgrade":
        path = migrated.add_revision("auth_db", 2, "pass")
        path.write_text(path.read_text().replace("branch_labels = None", 'branch_labels = ("user_db",)'))
    error = migrated.alembic("-x", "db=auth_db", *arguments).error
    assert error.startswith("error: auth_db: ")
    assert error.endswith("the branch label user_db names a database: take another, or none")
    assert len(migrated.revisions("auth_db")) == (2 if arguments[0] == "upgrade" else 1)


def test_a_revision_may_use_savepoints(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, 'op.execute("SAVEPOINT a"); op.execute("ROLLBACK TO SAVEPOINT a")')
    migrated.done("upgrade", "heads")
    assert migrated.versions()["auth_db"] == ["auth_0002"]


def test_no_privilege_to_create(project: Project, postgres: Postgres) -> None:
    name = project.variables["PAYMENT_DB_URL"].rpartition("/")[2]
    postgres.as_admin(f'ALTER DATABASE "{name}" OWNER TO postgres')
    error = project.alembic("upgrade", "heads").error
    assert error.startswith(
        "error: payment_db: permission denied for schema public: the schema public belongs to the owner of the "
        f"database, postgres: as a superuser, `ALTER DATABASE {name} OWNER TO neighbor`"
    )
    assert project.versions() == BASE


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Server]:
    """A server in standby mode, which takes no writes."""
    server = Server(tmp_path / "standby", {"fsync": "off"})
    server.start()
    query(server.variables["DATABASE_ADMIN_URL"], "CREATE DATABASE auth_db")
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    yield server
    server.remove()


def test_a_read_only_standby(project: Project, standby: Server) -> None:
    url = standby.variables["DATABASE_ADMIN_URL"].removesuffix("/postgres") + "/auth_db"
    project.variables["AUTH_DB_URL"] = url
    error = project.alembic("upgrade", "heads").error
    assert error.startswith("error: auth_db: 127.0.0.1:")
    assert " is a standby, which takes no writes: use the URL of the primary" in error
    assert not project.has_version_table("user_db")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-x", "db=auht_db", "upgrade", "heads"], "there is no database 'auht_db'; did you mean auth_db?"),
        (["upgrade", "auht_db@head"], "there is no database 'auht_db'; did you mean auth_db?"),
        (["-x", "db=", "upgrade", "heads"], "-x db= names no database: write -x db=NAME,NAME"),
        (["-x", "bd=auth_db", "upgrade", "heads"], "-x bd= is not known: known are db=, file=, sql_dir=, from="),
        (["-x", "lock_time=1", "upgrade", "heads"], "-x lock_time= is not known; did you mean lock_timeout?"),
        (["-x", "jobs=many", "current"], "-x jobs=: 'many' should be a whole number from 1 on"),
        (["-x", "allow=all", "downgrade", "base"], "-x allow=: 'all' should be one of downgrade"),
        (["-x", "release=a b", "upgrade", "heads"], "-x release=: 'a b' should be a name of letters, digits and"),
        (["-x", "lock_retries=-1", "upgrade", "heads"], "-x lock_retries=: '-1' should be a whole number"),
        (["-x", "db=auth_db", "upgrade", "user_0001"], "-x db= names auth_db, but user_0001 is of user_db"),
        (["upgrade", "auth_db"], "auth_db is a database: say auth_db@head, auth_db@base or a revision of it"),
        (["upgrade", ""], "'' names no revision: say NAME@head"),
        (["upgrade", "auth_db@"], "'auth_db@' names no revision: say auth_db@head"),
        (["upgrade", "nothing"], "no database has a revision 'nothing': `alembic history` lists"),
        (["upgrade", "auth_0009"], "auth_db: Can't locate revision identified by 'auth_0009'"),
        (["downgrade", "auth_0009"], "auth_db: Can't locate revision identified by 'auth_0009'"),
        (["upgrade", "auth_0001+1"], "auth_db: auth_0001+1 leads nowhere from here: name the revision you mean"),
        (["upgrade", "-1"], "auth_db: upgrade -1 is the wrong way: say +N"),
        (["downgrade", "+1"], "auth_db: downgrade +1 is the wrong way: say -N"),
    ],
)
def test_a_name_that_nothing_has(migrated: Project, arguments: list[str], expected: str) -> None:
    before = migrated.versions()
    assert migrated.alembic(*arguments).error.startswith(f"error: {expected}")
    assert migrated.versions() == before


@pytest.mark.parametrize("command_line", ["upgrade heads", "upgrade +1", "downgrade base", "stamp heads"])
def test_a_recorded_revision_that_this_environment_does_not_know(migrated: Project, command_line: str) -> None:
    migrated.rows("safety_db", "UPDATE alembic_version SET version_num = '0001'")
    before = migrated.versions()
    migrated.add_revision("auth_db", 2, "pass")
    error = migrated.alembic(*command_line.split()).error
    assert error.startswith("error: safety_db: alembic_version holds '0001', which is no revision of this branch")
    assert migrated.versions() == before


def test_a_branch_folder_without_a_database(checkout: Project) -> None:
    (checkout.root / "migrations/versions/pet_db").mkdir()
    assert checkout.alembic("upgrade", "heads").error == (
        "error: migrations/versions/pet_db belongs to no database: add pet_db to databases.yaml, or remove it"
    )


@pytest.mark.parametrize("place", ["stray.py", "auth_db/2026/auth_0002_stray.py"])
def test_a_revision_file_that_no_run_would_apply(checkout: Project, place: str) -> None:
    checkout.write(f"migrations/versions/{place}", "revision = 'auth_0002'\ndown_revision = 'auth_0001'\n")
    assert checkout.alembic("upgrade", "heads").error == (
        f"error: migrations/versions/{place}: a revision's file belongs in migrations/versions/<database>/ itself"
    )


def test_a_revision_id_that_alembic_version_cannot_hold(checkout: Project) -> None:
    name = "a_database_with_a_rather_long_name"
    checkout.edit("databases.yaml", "  investment_db:", f"  {name}: {{models: models.pet}}\n  investment_db:")
    (checkout.root / "migrations/versions" / name).mkdir()
    error = checkout.alembic("-x", f"db={name}", "revision", "-m", "x").error
    assert "is longer than the 32 characters of alembic_version: give the database a shorter name" in error


def test_a_step_back_from_a_merge_is_ambiguous(migrated: Project) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    migrated.add_revision("auth_db", 3, "pass", down="auth_0001")
    migrated.done("merge", "auth_db@heads")
    migrated.done("upgrade", "heads")
    assert "auth_db: -1 is ambiguous from a merge" in migrated.alembic("downgrade", "-1").error


def test_a_database_without_a_folder(checkout: Project) -> None:
    shutil.rmtree(checkout.root / "migrations/versions/user_db")
    assert checkout.alembic("upgrade", "heads").error == (
        "error: user_db has no folder for its revisions: `mkdir -p migrations/versions/user_db` "
        "(the first `alembic revision --autogenerate` fills it)"
    )


@pytest.mark.parametrize(
    "command_line", ["upgrade heads", "current", "history", "check", "revision --autogenerate -m x"]
)
def test_two_files_with_one_id_are_both_named(migrated: Project, command_line: str) -> None:
    migrated.add_revision("auth_db", 2, "pass")
    first = migrated.root / "migrations/versions/auth_db/auth_0002_by_hand.py"
    shutil.copy(first, first.with_name("auth_0002_by_somebody_else.py"))
    result = migrated.alembic(*command_line.split())
    folder = "migrations/versions/auth_db"
    assert (
        f"{folder}/auth_0002_by_hand.py and {folder}/auth_0002_by_somebody_else.py have the same id, auth_0002: "
        "give the later one the next number: `python -m multidb renumber FILE`"
    ) in result.error + result.out


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [
        ("pass\nimport nowhere", "migrations/versions/auth_db/auth_0002_by_hand.py:14: ModuleNotFoundError: No module"),
        ("(", "migrations/versions/auth_db/auth_0002_by_hand.py:13: '(' was never closed"),
    ],
)
def test_a_revision_that_cannot_be_imported(migrated: Project, upgrade: str, expected: str) -> None:
    migrated.add_revision("auth_db", 2, upgrade)
    assert migrated.alembic("upgrade", "heads").error.startswith(f"error: auth_db: {expected}")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('down_revision = "auth_0001"', 'down_revision = "user_0001"', "user_0001"),
        ("depends_on = None", 'depends_on = "user_0001"', "a revision can't depend on another database's"),
        ('revision = "auth_0002"', 'revision = "ab-c"', "Character(s) '-' not allowed in revision identifier 'ab-c'"),
        ('down_revision = "auth_0001"', "down_revision = None", "auth_0002 is the branch's first revision, or should"),
    ],
)
def test_a_revision_that_is_not_its_branchs(migrated: Project, old: str, new: str, expected: str) -> None:
    path = migrated.add_revision("auth_db", 2, "pass")
    path.write_text(path.read_text().replace(old, new))
    error = migrated.alembic("upgrade", "heads").error
    assert error.startswith("error: auth_db: ")
    assert expected in error


def test_a_full_disk_under_sqlite_changes_nothing_anywhere(project: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    project.variables["INVESTMENT_DB_URL"] = f"sqlite:///{disk}/investment.db"
    (disk / "investment.db").touch()
    upgrade = f'touch "{disk}/investment.db" && exec "{sys.executable}" -m alembic upgrade heads'
    if os.geteuid() == 0:
        full = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=8k none "{disk}" && {upgrade}']
    else:  # who may not mount a small disk lets no file grow
        full = ["sh", "-c", f"ulimit -f 4; {upgrade}"]
    result = project.run(*full)
    said = "database or disk is full" if os.geteuid() == 0 else "disk I/O error"
    assert f"investment_db: {said}: make room on the disk" in result.reason
    del project.variables["INVESTMENT_DB_URL"]
    assert not any(project.has_version_table(name) for name in ON_POSTGRESQL)


def test_an_sqlite_path_that_cannot_be_written(project: Project) -> None:
    (project.root / "investment.db").unlink()
    (project.root / "investment.db").mkdir()
    error = project.alembic("upgrade", "heads").error
    assert error == (
        "error: investment_db: unable to open database file: see that the directory exists and may be written to"
    )
    assert not any(project.has_version_table(name) for name in ON_POSTGRESQL)


def test_a_file_that_sqlite_did_not_write(project: Project) -> None:
    project.write("investment.db", "something else\n" * 100)
    assert "investment_db: file is not a database" in project.alembic("upgrade", "heads").error


def test_an_autocommit_block_is_refused_in_words(migrated: Project) -> None:
    migrated.add_revision(
        "auth_db",
        2,
        'with op.get_context().autocommit_block(): op.execute("CREATE INDEX CONCURRENTLY i ON users (full_name)")',
    )
    error = migrated.alembic("upgrade", "heads").error
    assert error.startswith("error: auth_db: ")
    assert "autocommit_block() would commit this database before the others have migrated" in error


def test_called_from_python_a_failure_is_a_command_error(checkout: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in checkout.variables.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(CommandError, match=r"auth_db: connection to server at .* Connection refused"):
        command.upgrade(Config(checkout.root / "alembic.ini"), "heads")


def test_an_id_that_no_file_has_is_newer_renamed_or_anothers(few: Project) -> None:
    def error(recorded: str) -> str:
        few.rows("auth_db", f"UPDATE alembic_version SET version_num = '{recorded}'")
        return few.alembic("upgrade", "heads").error.removeprefix("error: auth_db: ")

    newer = "it is at auth_0003, newer than auth_0001, which is what these files know: use a newer checkout"
    assert error("auth_0003") == newer
    renamed = "alembic_version holds 'auth_0000', which no file has: was the file renamed, or deleted? "
    assert error("auth_0000") == f"{renamed}`git log --all -- '*auth_0000*'`"
    assert error("4f2c1a").startswith(
        "alembic_version holds '4f2c1a', which is no revision of this branch: if another "
    )
    assert "run `python -m multidb adopt auth_db`; if a file was renamed" in error("4f2c1a")


def test_a_colon_that_begins_no_parameter(few: Project) -> None:
    few.add_revision("auth_db", 2, "op.execute(\"SELECT 'at :noon'\")")
    error = few.alembic("upgrade", "heads").error
    assert "auth_0002_by_hand.py:13: " in error
    assert r": write \: for each colon that begins no parameter" in error
