"""Servers that answer in Chinese and in German: everything is as with one that answers in English."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from multidb.local.installations import newest_installation
from multidb.local.server import Server, _identity, free_port
from tests.conftest import FAST, _project
from tests.support.project import FEW, Postgres, Project, query, unique
from tests.support.runs import MORE, interrupt, prepared

# The words for "does not exist", by which the servers prove their language.
LANGUAGES = {"zh_CN": "不存在", "de_DE": "existiert nicht"}
PASSWORD = "secret"


@pytest.fixture(scope="module", params=LANGUAGES)
def abroad(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A server with messages in another language, which has a template of each of a few databases at head."""
    language, port = request.param, free_port()
    settings = FAST | {"max_prepared_transactions": "64", "listen_addresses": "'127.0.0.1'"}
    with tempfile.TemporaryDirectory(prefix="neighbor-abroad-") as name:
        folder, locale = Path(name), f"{language}.UTF-8"
        done = subprocess.run(["localedef", "-i", language, "-f", "UTF-8", folder / locale], check=False)
        if done.returncode:
            pytest.skip("servers in other languages need the definitions of locales (Debian: locales)")
        (folder / "password").write_text(PASSWORD)
        user = Server(folder).user
        for each in (folder, folder / "password"):
            each.chmod(0o755)
            if user:
                os.chown(each, user.pw_uid, user.pw_gid)

        def run(program: str, *arguments: str | Path) -> None:
            """Run a program of PostgreSQL, which finds the locale in its folder."""
            subprocess.run(
                [newest_installation().binaries / program, "-D", folder / "data", *arguments],
                cwd="/",
                env={"PATH": os.environ["PATH"], "LOCPATH": str(folder), "LC_ALL": locale},
                stdout=subprocess.DEVNULL,
                check=True,
                **_identity(user),
            )

        credentials = ["--username=postgres", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256"]
        run("initdb", f"--locale={locale}", "--encoding=UTF8", *credentials)
        lines = (f"{key} = {value}\n" for key, value in (settings | {"unix_socket_directories": "''"}).items())
        with (folder / "data/postgresql.conf").open("a") as file:
            file.writelines(lines)
        run("pg_ctl", "start", "-w", "-l", folder / "log", "-o", f"-p {port}")
        try:
            urls = [f"postgresql://{role}:{PASSWORD}@127.0.0.1:{port}" for role in ("neighbor", "postgres")]
            yield _with_templates(Postgres(folder, urls[0], f"{urls[1]}/postgres"), language)
        finally:
            run("pg_ctl", "stop", "-m", "immediate", "-w")


def _with_templates(abroad: Postgres, language: str) -> Postgres:
    """Let `create` and `upgrade` make the role and the databases at head, on a server that has neither."""
    with pytest.raises(psycopg2.OperationalError) as refused:
        query(abroad.url("nowhere", admin=True), "SELECT 1")
    if LANGUAGES[language] not in str(refused.value):
        pytest.skip("this PostgreSQL has no translated messages")
    urls = {f"{name.upper()}_URL": abroad.url(f"head_{name}") for name in FEW[:-1]}
    project = Project.copied(abroad.folder / "checkout", urls, FEW)
    said = project.multidb("create").error
    assert said.endswith("to create what is missing, set DATABASE_ADMIN_URL")
    project.variables["DATABASE_ADMIN_URL"] = abroad.admin_url
    assert "auth_db: created role neighbor\n" in project.multidb("create").out
    assert project.multidb("create").out == "nothing to create\n"
    project.done("upgrade", "heads")
    (project.root / "investment.db").rename(abroad.folder / "investment.db")
    return abroad


@pytest.fixture
def few(tmp_path: Path, abroad: Postgres) -> Iterator[Project]:
    """A checkout with a few databases at head on that server."""
    for made in _project(tmp_path, abroad, {name: f"head_{name}" for name in FEW[:-1]}):
        (made.root / "investment.db").write_bytes((abroad.folder / "investment.db").read_bytes())
        yield made


def test_a_release_from_beginning_to_end(few: Project) -> None:
    few.add_revision("auth_db", 2, MORE, 'op.drop_table("more")')
    few.add_revision("user_db", 2, MORE, 'op.drop_table("more")')
    assert few.multidb("status").code == 2
    assert "auth_db is at auth_0001" in few.multidb("ready", "--timeout", "0").error
    assert "two-phase commit of 2 databases" in few.done("upgrade", "heads").err
    assert few.multidb("status").code == few.multidb("ready").code == few.multidb("verify").code == 0
    assert few.multidb("rollback", "--yes").code == 0
    assert few.versions() == few.at(1)


@pytest.mark.parametrize("arguments", [["alembic", "upgrade", "heads"], ["multidb", "ready"]])
def test_a_wrong_password_is_not_waited_for(few: Project, arguments: list[str]) -> None:
    few.variables["AUTH_DB_URL"] = few.variables["AUTH_DB_URL"].replace(PASSWORD, "wr0ng")
    at = time.monotonic()
    error = few.python("-m", arguments[0], "-x", "wait=60", *arguments[1:]).error
    assert error.startswith("error: auth_db: ")
    assert "correct the user or the password in the URL" in error
    assert time.monotonic() - at < 20


def test_a_missing_role_is_not_waited_for(few: Project) -> None:
    few.variables["AUTH_DB_URL"] = few.variables["AUTH_DB_URL"].replace("//neighbor:", "//nobody:")
    at = time.monotonic()
    error = few.alembic("-x", "wait=60", "upgrade", "heads").error
    assert "create a role that is missing with `python -m multidb create`" in error
    assert time.monotonic() - at < 20


def test_a_missing_database_is_named_and_may_be_made_later(few: Project, abroad: Postgres) -> None:
    name = unique()
    few.variables["AUTH_DB_URL"] = abroad.url(name)
    error = few.alembic("upgrade", "heads").error
    assert error.endswith("create it with `python -m multidb create`")
    assert any(words in error for words in LANGUAGES.values())
    making = threading.Timer(1.5, abroad.clone, ["head_auth_db", name])
    making.start()
    try:
        result = few.multidb("-x", "wait=60", "ready", "auth_db")
    finally:
        making.join()
        abroad.drop(name)
    assert result.code == 0, result


def test_a_database_without_room_is_tried_again_later(few: Project, abroad: Postgres) -> None:
    url = few.variables["AUTH_DB_URL"]
    abroad.as_admin(f"ALTER DATABASE {url.rpartition('/')[2]} CONNECTION LIMIT 1")
    with closing(psycopg2.connect(url)):
        error = few.alembic("-x", "wait=0", "upgrade", "heads").retry
    assert error.endswith("run again later, or raise the limit of the database: `ALTER DATABASE … CONNECTION LIMIT`")


def test_a_lock_timeout_is_tried_again_and_names_the_blocker(few: Project) -> None:
    few.add_revision("auth_db", 2, 'op.add_column("users", sa.Column("more", sa.Integer))')
    with closing(psycopg2.connect(few.variables["AUTH_DB_URL"], application_name="somebody")) as reader:
        reader.cursor().execute("SELECT * FROM users")
        result = few.alembic("-x", "lock_timeout=600ms", "-x", "lock_retries=1", "upgrade", "heads")
    assert "run again later, or with a longer -x lock_timeout=: blocked by pid " in result.retry
    assert "(somebody) on 127.0.0.1, idle in transaction since" in result.retry
    assert "attempt 2 of 2" in result.err


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE EXTENSION nowhere", "install the extension on the server"),
        ("CREATE EXTENSION IF NOT EXISTS postgis_nowhere", "install PostGIS on the server (Debian: postgresql-"),
        ("CREATE EXTENSION postgis", "a superuser must create it once: `python -m multidb create` with an admin URL"),
        ("CREATE TABLE pg_catalog.x ()", "schema pg_catalog belongs to postgres: as that role, `GRANT"),
        ("SELECT pg_sleep(9)", "run with a longer -x statement_timeout="),
        ("SELECT pg_cancel_backend(pg_backend_pid())", ""),
        ("CREATE TEMPORARY TABLE x ()", "remove temporary tables, exported snapshots and the like from the"),
        ("NOTIFY x", "NOTIFY can't be prepared: take it out of the revision, or set `two_phase: off` for this"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "see the server's log, then run again"),
        ("ALTER TYPE kind ADD VALUE 'new'; SELECT 'new'::kind", "write `outside_transaction = True` in the revision"),
    ],
)  # fmt: skip
def test_a_statement_that_fails_leads_to_its_next_step(few: Project, statement: str, expected: str) -> None:
    few.rows("auth_db", "CREATE TYPE kind AS ENUM ('old')")
    few.add_revision("auth_db", 2, f'op.execute("{statement}")')
    few.add_revision("user_db", 2, MORE)
    error = few.alembic("-x", "statement_timeout=1s", "upgrade", "heads").reason
    assert f": {expected}" in error if expected else "statement_timeout" not in error
    assert few.versions() == few.at(1)


def test_what_a_killed_run_left_in_doubt_is_resolved(few: Project) -> None:
    for name in few.names:
        few.add_revision(name, 2, MORE)
    how = ["SIGKILL:coordinator", "after", "commit", "investment_db"]
    assert interrupt(few, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert len(prepared(few)) == len(few.names) - 1
    assert few.multidb("status").code == 3
    assert few.multidb("recover").code == 0
    assert few.versions() == few.at(2)
