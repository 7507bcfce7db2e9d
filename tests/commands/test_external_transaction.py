"""Alembic called from Python: over a connection of the caller's, or refused before a database is touched."""

import sys

import pytest

from tests.support.pages import Page
from tests.support.project import Postgres, Project, Result

HEAD = """\
import logging, os, sys
from argparse import Namespace
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

engine = create_engine(os.environ["TEST_DATABASE_URL"])
config = Config("alembic.ini")
"""
UPGRADE = """\
with engine.connect() as connection, connection.begin() as transaction:
    config.attributes["connection"] = connection
    command.upgrade(config, "auth_db@head")
"""


@pytest.fixture
def calling(few: Project, postgres: Postgres, spare: str) -> Project:
    """A checkout at head, and an empty database of another name for tests."""
    few.variables["TEST_DATABASE_URL"] = postgres.url(spare).replace("postgresql://", "postgresql+psycopg2://")
    return few


def called(project: Project, code: str) -> Result:
    """Run a program that calls Alembic."""
    before = project.versions()
    result = project.python(project.write("program.py", f"{HEAD}\n{code}"))
    assert project.versions() == before  # of the real databases
    return result


def raised(project: Project, code: str) -> str:
    """The message of the CommandError that a program's call ends with."""
    program = "from alembic.util import CommandError\ntry:\n" + "".join(f"    {line}\n" for line in code.splitlines())
    result = called(project, f"{program}except CommandError as error:\n    print(error)\n")
    assert result.code == 0, result
    return result.out.strip()


def test_it_runs_in_the_callers_transaction_and_commits_nothing(calling: Project) -> None:
    looks = """
    print(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
    print(connection.execute(text("SELECT to_regclass('multidb_journal'), count(*) FROM users")).one())
    of_this_session = "WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    print(connection.execute(text(f"SELECT count(*) FROM pg_locks {of_this_session}")).scalar())
    transaction.rollback()
with engine.connect() as connection:
    print(connection.execute(text("SELECT to_regclass('users')")).scalar())
"""
    result = called(calling, UPGRADE + looks)
    assert (result.out.splitlines(), result.code) == (["auth_0001", "(None, 0)", "0", "None"], 0), result


def test_what_the_caller_commits_is_there(calling: Project) -> None:
    assert called(calling, UPGRADE).code == 0
    steps = ["command.current(config)", 'command.downgrade(config, "base")', 'command.stamp(config, "auth_0001")']
    code = UPGRADE.replace('command.upgrade(config, "auth_db@head")', "\n    ".join(steps))
    result = called(calling, f'config.cmd_opts = Namespace(x=["db=auth_db"], verbose=False)\n{code}')
    assert (result.out, result.code) == ("auth_0001 (head)\n", 0), result


def test_another_option_of_the_command_line_may_name_the_database(calling: Project) -> None:
    code = (
        UPGRADE.replace("auth_db@head", "heads") + '    print(connection.execute(text("TABLE alembic_version")).all())'
    )
    assert called(calling, f'config.cmd_opts = Namespace(x=["db=auth_db"])\n{code}').out == "[('auth_0001',)]\n"


def test_a_database_of_the_callers_may_be_on_sqlite(calling: Project) -> None:
    calling.variables["TEST_DATABASE_URL"] = "sqlite:///test.db"
    calling.add_revision(
        "investment_db", 2, 'with op.batch_alter_table("investments") as batch:\n'
        '        batch.add_column(sa.Column("sponsor", sa.Text))',
    )  # fmt: skip
    code = UPGRADE.replace("auth_db@head", "investment_db@head")
    code += '    print(connection.execute(text("SELECT count(sponsor) FROM investments")).scalar())\n'
    result = called(calling, code)
    assert result.out == "0\n", result.err


@pytest.mark.parametrize("symbol", ["heads", "head", "+1"])
def test_a_connection_for_several_databases_is_refused(calling: Project, symbol: str) -> None:
    error = raised(calling, UPGRADE.replace("auth_db@head", symbol))
    assert error == (
        "attributes['connection'] is for one database, and upgrade addresses 4: name the one, as in auth_db@head, or "
        "by cmd_opts=Namespace(x=['db=NAME'])"
    )


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ('config.set_main_option("sqlalchemy.url", "postgresql://x/test")', "sqlalchemy.url is not used: set the URL"),
        ('config.attributes["connection"] = engine', "attributes['connection'] is of the type Engine: give a Conn"),
        ('config.attributes["engine"] = engine', "attributes['engine'] is of the type Engine: give a Connection in"),
        ('config.attributes["connection"] = engine.url', "attributes['connection'] is of the type URL"),
        ('config.attributes["connection"] = object()', "attributes['connection'] is of the type object"),
    ],
)
def test_what_would_be_ignored_is_refused(calling: Project, setting: str, error: str) -> None:
    for command in ('command.upgrade(config, "heads")', 'command.downgrade(config, "base")'):
        assert raised(calling, f"{setting}\n{command}").startswith(error)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ('command.check(config)', "check takes no connection of the caller's"),
        ('command.revision(config, "x", autogenerate=True)', "revision takes no connection"),
        ('command.history(config)', "history takes no connection"),
    ],
)  # fmt: skip
def test_other_commands_take_no_connection(calling: Project, command: str, error: str) -> None:
    assert error in raised(calling, UPGRADE.replace('command.upgrade(config, "auth_db@head")', command))


def test_a_connection_in_autocommit_is_refused(calling: Project) -> None:
    code = UPGRADE.replace("engine.connect()", 'engine.connect().execution_options(isolation_level="AUTOCOMMIT")')
    assert "auth_db: the connection is in autocommit" in raised(calling, code)


def test_a_revision_outside_a_transaction_is_refused(calling: Project) -> None:
    path = calling.add_revision("auth_db", 2, 'op.execute("VACUUM users")')
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = None\noutside_transaction = True"))
    error = raised(calling, UPGRADE)
    assert error.startswith("auth_db: migrations/versions/auth_db/auth_0002_by_hand.py: it runs outside a transaction")


def test_a_revision_may_not_end_the_callers_transaction(calling: Project) -> None:
    calling.add_revision("auth_db", 2, "op.get_bind().commit()")
    error = raised(calling, UPGRADE)
    assert error == (
        "auth_db: migrations/versions/auth_db/auth_0002_by_hand.py:13: a revision may not commit or roll back: the "
        "transaction is the caller's"
    )


def test_the_logging_of_the_application_stays_as_it_is(calling: Project) -> None:
    code = f"""
handler = logging.StreamHandler(sys.stdout)
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel(logging.INFO)
{UPGRADE}
assert logging.getLogger().handlers == [handler] and logging.getLogger().level == logging.INFO
logging.getLogger("myapp").info("hello")
command.upgrade(config.__class__("alembic.ini"), "heads")
assert logging.getLogger().handlers == [handler]
"""
    result = called(calling, code)
    assert result.code == 0, result
    assert "Running upgrade  -> auth_0001" in result.out
    assert "hello" in result.out


def test_failures_are_exceptions_with_options_of_the_command_line_too(calling: Project) -> None:
    calling.add_revision("auth_db", 2, "1 / 0")
    code = 'config.cmd_opts = Namespace(x=["db=auth_db"])\ncommand.upgrade(config, "heads")'
    assert "auth_0002_by_hand.py:13: ZeroDivisionError" in raised(calling, code)


def test_the_fixture_of_the_page_works(calling: Project) -> None:
    tests = calling.root.parent / "service"
    for block in Page.named("docs/testing-a-service.md").blocks():
        name, _, code = block.code.partition("\n")
        path = tests / name.removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    calling.variables["MIGRATIONS"] = str(calling.root)
    done = calling.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), cwd=tests)
    assert done.code == 0, done
    assert "1 passed" in done.out
