"""What this project builds on in Alembic without Alembic promising it: a change must be noticed here first."""

import inspect

import pytest
from alembic import command
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from tests.support.project import Project

PROBE = """
from alembic import context
from multidb.planning.environment import Request

request = Request.received()
print(request.command, request.symbols, request.start)
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("upgrade auth_db@+1", "upgrade ('auth_db@+1',) None"),
        ("upgrade a:b --sql", "upgrade ('b',) a"),
        ("downgrade -1", "downgrade ('-1',) None"),
        ("stamp a b", "stamp ('a', 'b') None"),
        ("current", "current () None"),
        ("history", "history () None"),
        ("show current", "show () None"),
        ("edit current", "edit () None"),
        ("ensure_version", "ensure_version () None"),
        ("merge a b", "merge () None"),
        ("check", "check ('head',) None"),
        ("revision --autogenerate", "revision ('head',) None"),
        ("revision --head auth_db@head -m x", "revision ('auth_db@head',) None"),
    ],
)
def test_the_command_that_alembic_runs_is_recognised(checkout: Project, arguments: str, expected: str) -> None:
    checkout.write("migrations/env.py", PROBE)
    assert checkout.alembic(*arguments.split()).out.splitlines()[0] == expected


def test_the_work_of_upgrade_and_stamp_has_its_private_half() -> None:
    assert list(inspect.signature(ScriptDirectory._upgrade_revs).parameters)[1:] == ["destination", "current_rev"]
    assert list(inspect.signature(ScriptDirectory._stamp_revs).parameters)[1:] == ["revision", "heads"]


def test_merge_writes_its_file_through_generate_revision() -> None:
    assert "script.generate_revision(" in inspect.getsource(command.merge)


def test_options_stay_from_one_database_to_the_next() -> None:
    """The reason why Environment.configure() gives each of them every time."""
    assert "opts = self.context_opts" in inspect.getsource(EnvironmentContext.configure)


def test_ensure_version_makes_the_table_everywhere(project: Project) -> None:
    project.done("ensure_version")
    assert project.has_version_table("auth_db")
    assert project.rows("investment_db", "SELECT count(*) FROM alembic_version") == [(0,)]
