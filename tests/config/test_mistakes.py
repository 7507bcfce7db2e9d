"""What a mistake in databases.yaml, or in a variable that overrides it, gets: one line, with its place."""

import shutil

import pytest

from tests.support.project import NAMES, Project

BASE: dict[str, list[str]] = {name: [] for name in NAMES}

BROKEN_FILES = {
    "a setting that is no time": (
        "lock_timeout: fast\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: lock_timeout: 'fast' should be a time such as 5s, 500ms or 10min",
    ),
    "a setting that is none of its words": (
        "two_phase: on\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: two_phase: 'on' should be one of auto, required, off",
    ),
    "no jobs": (
        "jobs: 0\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: jobs: '0' should be a whole number from 1 on",
    ),
    "a setting of all in one database": (
        "databases:\n  auth_db: {models: models.auth, jobs: 2}\n",
        "databases.yaml:2: unknown key 'jobs' in auth_db: it belongs at the top of the file",
    ),
    "a key of a database at the top": (
        "extensions: [postgis]\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: unknown key 'extensions' in the file: it belongs in the entry of a database",
    ),
    "a setting of a single run": (
        "release: may\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: unknown key 'release' in the file: it is given with a command, as -x release=",
    ),
    "a key that is unknown everywhere": (
        "colour: red\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: unknown key 'colour' in the file: known are check_drift, databases,",
    ),
    "a protection that is no truth value": (
        "databases:\n  auth_db: {models: models.auth, protected: yes}\n",
        "databases.yaml:2: protected: 'yes' should be true or false",
    ),
    "a name that is too long": (
        f"databases:\n  {'a' * 64}: {{models: models.auth}}\n",
        f"databases.yaml:2: {'a' * 64} is longer than 63 characters: give the database a shorter name",
    ),
    "a YAML error": ("databases: {auth_db: [", "databases.yaml:2: not YAML: "),
    "an unknown key": (
        "databases:\n  auth_db: {models: models.auth, extension: [postgis]}\n",
        "databases.yaml:2: unknown key 'extension' in auth_db; did you mean extensions?",
    ),
    "an unknown key at the top": (
        "servers: x\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: unknown key 'servers' in the file; did you mean server?",
    ),
    "a database without models": (
        "server: postgresql://h\ndatabases:\n  auth_db: {}\n",
        "databases.yaml:3: auth_db has no models: add `models: models.auth`",
    ),
    "no databases": ("server: postgresql://h\n", "databases.yaml: no databases: list them under `databases:`"),
    "an empty list of databases": (
        "databases: {}\n",
        "databases.yaml:1: no databases: list them under `databases:`",
    ),
    "a list where names should be": (
        "databases: [auth_db]\n",
        "databases.yaml:1: databases should be a mapping of names to values",
    ),
    "an empty file": ("", "databases.yaml:1: the file should be a mapping of names to values"),
    "a database twice": (
        "databases:\n  auth_db: {models: models.auth}\n  auth_db: {models: models.user}\n",
        "databases.yaml:3: auth_db is there twice",
    ),
    "two databases that number alike": (
        "databases:\n  auth_db: {models: models.auth}\n  auth: {models: models.user}\n",
        "databases.yaml:3: auth_db and auth would number their revisions alike: rename one",
    ),
    "a name that can't be one": (
        "databases:\n  Auth-DB: {models: models.auth}\n",
        "databases.yaml:2: 'Auth-DB' can't be a database's name: use a-z, 0-9 and _",
    ),
    "a list for a name": (
        "databases:\n  ? [a, b]\n  : {models: models.auth}\n",
        "databases.yaml:2: a name in databases should be a text",
    ),
    "extensions that are no list": (
        "databases:\n  auth_db: {models: models.auth, extensions: postgis}\n",
        "databases.yaml:2: extensions should be a list, such as [postgis]",
    ),
    "patterns that are no list": (
        "drift: {ignore: audit_*}\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: ignore should be a list, such as [audit_*]",
    ),
    "something unknown under drift": (
        "databases:\n  auth_db: {models: models.auth, drift: {ignored: [x]}}\n",
        "databases.yaml:2: unknown key 'ignored' in drift; did you mean ignore?",
    ),
    "check_drift that is neither": (
        "check_drift: maybe\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: check_drift: 'maybe' should be true or false",
    ),
    "an empty scratch": (
        "scratch:\ndatabases:\n  auth_db: {models: models.auth}\n",
        "databases.yaml:1: scratch should be a text",
    ),
}
ONE = "databases:\n  auth_db: {models: models.auth, url: '%s'}\n"
BROKEN_URLS = {
    "a variable that isn't set": (
        "${NOT_THERE}",
        "databases.yaml:2: ${NOT_THERE} is not set: set it, or write ${NOT_THERE:-default}",
    ),
    "no URL": ("localhost", "databases.yaml:2: auth_db: not a URL: write postgresql://user:***@host:port/name"),
    "a port that isn't one": (
        "postgresql://u:s3cret@h:port/d",
        "databases.yaml:2: auth_db: the port is no number: write ",
    ),
    "a password with an @ and a slash": (
        "postgresql://u:p@s3cret/x@h/d",
        "databases.yaml:2: auth_db: the password has an @ in it",
    ),
    "options for SQLite": ("sqlite:///x.db?mode=ro", "databases.yaml:2: auth_db: options are not supported for SQLite"),
    "a password with an @": ("postgresql://u:p@s3cret@h/d", "databases.yaml:2: auth_db: the password has an @ in it"),
    "another dialect": ("mysql://h/d", "databases.yaml:2: auth_db: mysql:// is not supported: use postgresql://"),
    "another driver": (
        "postgresql+asyncpg://h/d",
        "databases.yaml:2: auth_db: postgresql+asyncpg:// names another driver: write postgresql://, for psycopg2",
    ),
    "Java's form": (
        "jdbc:postgresql://h:5432/d?user=u&password=s3cret",
        "databases.yaml:2: auth_db: jdbc: is for Java: write postgresql://u:***@h:5432/d",
    ),
    "keys and values": (
        "host=h password=s3cret dbname=d",
        "databases.yaml:2: auth_db: a connection string of keys and",
    ),
    "an option of Prisma's": (
        "postgresql://u:s3cret@h/d?schema=sales",
        "databases.yaml:2: auth_db: ?schema= is no option of libpq: write ?options=-csearch_path%3DNAME",
    ),
    "a pool's option": (
        "postgresql://u:s3cret@h/d?pgbouncer=true",
        "databases.yaml:2: auth_db: ?pgbouncer= is no option of libpq: leave it out, and use the server's own port",
    ),
    "an option that nothing has": (
        "postgresql://u:s3cret@h/d?aplication_name=x",
        "databases.yaml:2: auth_db: ?aplication_name= is no option of libpq: leave it out; did you mean applica",
    ),
    "a wrong sslmode": (
        "postgresql://u:s3cret@h/d?sslmode=requires",
        "databases.yaml:2: auth_db: sslmode=requires: should be one of disable, allow, prefer, require, verify-ca, ",
    ),
    "several hosts": (
        "postgresql://u:s3cret@a:5432,b/d",
        "databases.yaml:2: auth_db: several hosts: write postgresql://user:***@/name?host=a,b&port=5432,5432",
    ),
    "no database": ("postgresql://h", "databases.yaml:2: auth_db: the URL names no database"),
    "SQLite in memory": ("sqlite://", "databases.yaml:2: auth_db: the URL names no database"),
}


@pytest.mark.parametrize("problem", BROKEN_FILES)
def test_databases_yaml_with(checkout: Project, problem: str) -> None:
    text, expected = BROKEN_FILES[problem]
    checkout.write("databases.yaml", text)
    assert checkout.alembic("upgrade", "heads").error.startswith(f"error: {expected}")


@pytest.mark.parametrize("problem", BROKEN_URLS)
def test_a_url_with(checkout: Project, problem: str) -> None:
    url, expected = BROKEN_URLS[problem]
    checkout.write("databases.yaml", ONE % url)
    for name in NAMES[1:]:
        shutil.rmtree(checkout.root / "migrations/versions" / name)
    del checkout.variables["AUTH_DB_URL"]
    result = checkout.alembic("upgrade", "heads")
    assert result.error.startswith(f"error: {expected}")
    assert "s3cret" not in result.err


def test_no_databases_yaml(checkout: Project) -> None:
    (checkout.root / "databases.yaml").unlink()
    assert checkout.alembic("current").error == (
        f"error: {checkout.root}/databases.yaml is not there: it lists the databases, see docs/configuration.md"
    )


def test_an_unreadable_databases_yaml(checkout: Project) -> None:
    path = checkout.root / "databases.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert checkout.alembic("current").error.endswith("databases.yaml can't be read: not UTF-8 text")
    path.unlink()
    path.mkdir()
    assert checkout.alembic("current").error.endswith("databases.yaml can't be read: Is a directory")


def test_two_databases_with_the_same_url(migrated: Project) -> None:
    migrated.variables["USER_DB_URL"] = migrated.variables["AUTH_DB_URL"].replace("neighbor:", "other:")
    for arguments in (["upgrade", "heads"], ["upgrade", "user_db@head"]):
        error = migrated.alembic(*arguments).error
        assert error.startswith("error: auth_db and user_db have the same URL, postgresql+psycopg2://other@")
        assert error.endswith("give each its own in databases.yaml or in AUTH_DB_URL and USER_DB_URL")


def test_two_entries_that_lead_to_one_database_by_different_urls(project: Project) -> None:
    """On Linux 0.0.0.0 leads to this machine, too, which no URL tells."""
    project.variables["USER_DB_URL"] = project.variables["AUTH_DB_URL"].replace("127.0.0.1", "0.0.0.0")
    error = project.alembic("upgrade", "heads").error
    assert error.startswith("error: auth_db and user_db lead to the same database, postgresql+psycopg2://neighbor@")
    assert error.endswith("correct AUTH_DB_URL or USER_DB_URL, or the entries in databases.yaml")
    assert project.versions() == BASE
    project.variables["USER_DB_URL"] = project.variables["AUTH_DB_URL"].replace("127.0.0.1", "localhost")
    assert "auth_db and user_db have the same URL" in project.alembic("upgrade", "heads").error


def test_two_names_of_one_sqlite_file(project: Project) -> None:
    project.edit(
        "databases.yaml",
        "  investment_db:",
        "  pet_db: {models: models.pet, url: 'sqlite:///pet.db'}\n  investment_db:",
    )
    (project.root / "migrations/versions/pet_db").mkdir()
    project.done("upgrade", "investment_db@head")
    (project.root / "pet.db").hardlink_to(project.root / "investment.db")
    assert "pet_db and investment_db lead to the same database" in project.alembic("upgrade", "heads").error


@pytest.mark.parametrize("option", ["password", "sslpassword"])
def test_the_same_url_twice_shows_no_password_of_its_options(checkout: Project, option: str) -> None:
    url = f"postgresql://neighbor@h/d?{option}=s3cret"
    checkout.variables |= {"AUTH_DB_URL": url, "USER_DB_URL": url}
    result = checkout.alembic("upgrade", "heads")
    assert "have the same URL" in result.error
    assert "s3cret" not in result.err


def test_a_url_that_cannot_be_read_is_not_repeated_in_a_traceback(checkout: Project) -> None:
    checkout.variables["AUTH_DB_URL"] = "postgresql://neighbor:s3cret/auth_db"
    result = checkout.alembic("--raiseerr", "upgrade", "heads")
    assert "Traceback" in result.err
    assert "s3cret" not in result.err


def test_a_url_and_a_url_file_together(checkout: Project) -> None:
    checkout.variables["AUTH_DB_URL_FILE"] = "/nowhere"
    assert checkout.alembic("current").error == "error: AUTH_DB_URL and AUTH_DB_URL_FILE are both set: unset one"


def test_a_url_file_that_is_empty(checkout: Project) -> None:
    del checkout.variables["AUTH_DB_URL"]
    checkout.variables["AUTH_DB_URL_FILE"] = "/dev/null"
    assert (
        checkout.alembic("current").error
        == "error: AUTH_DB_URL_FILE: /dev/null is empty: it should hold the value of AUTH_DB_URL"
    )


@pytest.mark.parametrize("url", ["sqlite:///x.db", "postgresql://h:5432/postgres"])
def test_a_server_url_that_names_a_database(checkout: Project, url: str) -> None:
    checkout.variables = {"DATABASE_SERVER_URL": url}
    assert checkout.alembic("current").error == (
        "error: databases.yaml:2: server (DATABASE_SERVER_URL): "
        "should be a postgresql:// URL without a database: end it with the port"
    )


def test_a_url_file_that_is_not_there(checkout: Project) -> None:
    del checkout.variables["AUTH_DB_URL"]
    checkout.variables["AUTH_DB_URL_FILE"] = "/nowhere"
    assert checkout.alembic("current").error == (
        "error: AUTH_DB_URL_FILE: /nowhere can't be read: No such file or directory"
    )
