"""Which run was the last one: the order of rows and a server's clock tell, never a client's clock."""

import json

import pytest

from tests.support.project import Project
from tests.support.runs import MORE

AHEAD = """\
import datetime, time

HOUR = 3600
now = time.time


class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(now() + HOUR, tz)


datetime.datetime = Ahead
time.time = lambda: now() + HOUR
"""


def released(project: Project, database: str, release: str, *, ahead: bool = False) -> None:
    """Release a database's next revision, perhaps from a machine whose clock is an hour ahead."""
    if ahead:
        project.variables["PYTHONPATH"] = str(project.write("ahead/sitecustomize.py", AHEAD).parent)
    project.done("-x", f"db={database}", "-x", f"release={release}", "upgrade", "heads")
    project.variables.pop("PYTHONPATH", None)


@pytest.fixture
def two(pair: Project) -> Project:
    """Two databases were released, each by a run of its own; the first from a machine whose clock is an hour ahead."""
    released(pair, "auth_db", "r1", ahead=True)
    released(pair, "user_db", "r2")
    return pair


def test_a_machine_whose_clock_is_ahead_did_not_run_last(two: Project) -> None:
    assert [run["release"] for run in json.loads(two.multidb("log", "--json").out)][:2] == ["r2", "r1"]
    assert two.multidb("rollback", "--yes").code == 0
    assert two.versions() == two.at(1) | {"auth_db": ["auth_0002"]}


def test_rollback_to_a_release_that_a_machine_with_a_clock_ahead_made(two: Project) -> None:
    assert two.multidb("rollback", "--to", "r1", "--yes").code == 0
    assert two.versions() == two.at(1) | {"auth_db": ["auth_0002"]}


def test_rollback_names_the_newest_runs_that_nothing_orders(pair: Project) -> None:
    pair.add_revision("investment_db", 2, "pass")
    released(pair, "auth_db", "r1")
    released(pair, "investment_db", "r2")
    error = pair.multidb("rollback", "--yes").error
    assert "the newest runs share no database, nor the clock of a server, and each may be the last: " in error
    assert " (auth_db), " in error
    assert " (investment_db): name the databases to revert" in error
    assert "whether run " in pair.multidb("rollback", "--to", "r1", "--yes").error
    assert pair.versions() == pair.at(1) | {"auth_db": ["auth_0002"], "investment_db": ["investment_0002"]}
    assert pair.multidb("-x", "db=investment_db", "rollback", "--yes").code == 0
    assert pair.versions() == pair.at(1) | {"auth_db": ["auth_0002"]}


def test_a_run_in_both_databases_orders_what_came_before_and_after_it(pair: Project) -> None:
    pair.add_revision("investment_db", 2, "pass")
    released(pair, "auth_db", "r1")
    released(pair, "investment_db", "r2")
    pair.add_revision("auth_db", 3, "pass")
    pair.add_revision("investment_db", 3, "pass")
    pair.done("-x", "release=r3", "-x", "db=auth_db,investment_db", "upgrade", "heads")
    pair.add_revision("investment_db", 4, MORE, 'op.drop_table("more")')
    released(pair, "investment_db", "r4")
    assert pair.multidb("rollback", "--to", "r1", "--yes").error.startswith("error: investment_db: whether run ")
    assert pair.multidb("rollback", "--to", "r3", "--yes").code == 0
    assert pair.versions() == pair.at(1) | {"auth_db": ["auth_0003"], "investment_db": ["investment_0003"]}


def test_times_of_an_older_checkout_order_nothing(two: Project) -> None:
    for name in ("auth_db", "user_db"):
        two.rows(name, "UPDATE multidb_journal SET details = NULL")
    assert "each may be the last" in two.multidb("rollback", "--yes").error
