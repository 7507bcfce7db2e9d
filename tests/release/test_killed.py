"""A run that is killed: once it is resolved, all databases have changed or none has."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from multidb.advice.codes import Code
from tests.support.project import Project
from tests.support.runs import interrupt, locks, prepared

# By name, with SQLite last: that one decides.
FIRST_LOCKED, LAST_PREPARED, DECIDER = "auth_db", "user_db", "investment_db"
RANDOM_KILLS = 16

POINTS = {
    "before anything": ("before", "migrate", FIRST_LOCKED, "old"),
    "when it has begun": ("after", "_write_begun", DECIDER, "old"),
    "before the first prepare": ("before", "prepare", FIRST_LOCKED, "old"),
    "between prepares": ("after", "prepare", FIRST_LOCKED, "old"),
    "all prepared": ("before", "commit", DECIDER, "old"),
    "after SQLite committed": ("after", "commit", DECIDER, "new"),
    "before the first commit of a prepared one": ("before", "commit_prepared", FIRST_LOCKED, "new"),
    "between commits": ("after", "commit_prepared", FIRST_LOCKED, "new"),
    "before the last commit": ("before", "commit_prepared", LAST_PREPARED, "new"),
    "after the last commit": ("after", "commit_prepared", LAST_PREPARED, "new"),
}


@pytest.fixture
def second(few: Project) -> Project:
    """A checkout of a few databases at head, and then a second revision for each database."""
    for name in few.names:
        few.add_revision(name, 2, 'op.create_table("more", sa.Column("x", sa.Integer))', 'op.drop_table("more")')
    return few


def assert_whole(project: Project, *numbers: int) -> int:
    """After `recover`, all are at one of these numbers of revisions, nothing is left, and an upgrade ends at head."""
    recovered = project.multidb("recover")
    assert recovered.code == 0, recovered
    found = project.versions()
    assert found in [project.at(number) for number in numbers], recovered
    here = next(number for number in numbers if found == project.at(number))
    tables = {
        name: project.rows(name, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'more'")[0][0]
        for name in project.names[:-1]
    }
    assert tables == dict.fromkeys(project.names[:-1], int(here == 2))
    assert prepared(project) == []
    assert locks(project) == []
    project.done("upgrade", "heads")
    assert project.versions() == project.at(2)
    return here


@pytest.mark.parametrize("jobs", ["1", "4"])
@pytest.mark.parametrize("point", POINTS)
def test_the_coordinator_is_killed(second: Project, point: str, jobs: str) -> None:
    when, operation, database, expected = POINTS[point]
    how = ["SIGKILL:coordinator", when, operation, database]
    assert interrupt(second, how, "alembic", "-x", f"jobs={jobs}", "upgrade", "heads").code == -signal.SIGKILL
    possible = {"old": [1], "new": [2]}[expected]
    if point == "all prepared":
        possible = [1, 2]  # its worker may have gone on for a moment
    assert_whole(second, *possible)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_is_killed(second: Project, point: str) -> None:
    when, operation, database, expected = POINTS[point]
    how = ["SIGKILL:worker", when, operation, database]
    result = interrupt(second, how, "alembic", "-x", "jobs=4", "upgrade", "heads")
    if expected == "old":
        assert "its worker process was killed by SIGKILL" in result.reason
        assert second.versions() == second.at(1)
    else:  # the coordinator finishes what was decided
        assert result.code == 0, result
        assert second.versions() == second.at(2)
    assert_whole(second, {"old": 1, "new": 2}[expected])


def test_a_downgrade_in_doubt_is_resolved_before_the_upgrade(second: Project) -> None:
    second.done("upgrade", "heads")
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "downgrade", "-1").code == -signal.SIGKILL
    assert len(prepared(second)) == len(second.names) - 1
    result = second.done("upgrade", "heads")
    assert result.err.count("committed multidb:") == len(second.names) - 1
    assert result.err.count("Running upgrade") == len(second.names)
    assert_whole(second, 2)


def test_a_recovery_of_some_databases_asks_the_decider_that_it_does_not_address(second: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert second.multidb("recover", "auth_db").code == 0
    assert second.done("-x", "db=user_db", "upgrade", "heads").err.count("committed multidb:") == 1
    assert {name for name, found in second.versions().items() if found == second.at(2)[name]} == {
        "auth_db", "user_db", "investment_db",
    }  # fmt: skip
    assert_whole(second, 2)


def test_missing_evidence_is_never_a_rollback(second: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    left = prepared(second)
    file = second.root / "investment.db"
    file.rename(second.root / "elsewhere.db")
    entry = '  investment_db:   {models: models.investment, url: "sqlite:///investment.db"}\n'

    gone = second.multidb("recover", "auth_db")
    assert gone.code == 3
    assert "in doubt" in gone.out
    assert "the file of investment_db does not exist" in gone.out
    assert not file.exists()  # looking created nothing

    second.variables["INVESTMENT_DB_URL"] = "sqlite:///other/place.db"
    assert second.multidb("recover", "auth_db").code == 3
    assert not (second.root / "other").exists()
    second.write("empty.db", "")
    second.variables["INVESTMENT_DB_URL"] = "sqlite:///empty.db"
    assert "the journal of investment_db has no row of it" in second.multidb("recover", "auth_db").out
    second.variables["INVESTMENT_DB_URL"] = "postgresql://neighbor@127.0.0.1:1/nowhere"
    assert "Connection refused" in second.multidb("recover", "auth_db").out
    del second.variables["INVESTMENT_DB_URL"]

    second.edit("databases.yaml", entry, "")
    (second.root / "migrations/versions/investment_db").rename(second.root / "kept")
    unknown = second.alembic("upgrade", "heads")
    assert "auth_db: in doubt: multidb:" in unknown.partly
    assert "which databases.yaml does not have" in unknown.partly
    assert unknown.error_code == Code.IN_DOUBT
    assert prepared(second) == left

    (second.root / "kept").rename(second.root / "migrations/versions/investment_db")
    second.edit("databases.yaml", "  auth_db:", entry + "  auth_db:")
    (second.root / "elsewhere.db").rename(file)
    assert_whole(second, 2)


@pytest.mark.slow
def test_random_kills_leave_no_mixture(second: Project, record_property: Callable[[str, object], None]) -> None:
    seed = random.randrange(10**6)
    record_property("runs killed at random", f"{RANDOM_KILLS}, with the seed {seed}")
    chance = random.Random(seed)
    for _ in range(RANDOM_KILLS):
        command = chance.choice([("upgrade", "heads"), ("downgrade", "-1")])
        with subprocess.Popen(
            [sys.executable, "-m", "alembic", "-x", f"jobs={chance.choice([1, 3, 8])}", *command],
            cwd=second.root,
            env=second.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            time.sleep(chance.uniform(0.35, 0.9))
            process.kill()
        recovered = second.multidb("recover")
        assert recovered.code == 0, (seed, recovered)
        found = second.versions()
        assert found in [second.at(number) for number in range(3)], (seed, recovered)
        assert prepared(second) == []
        assert locks(second) == []
