"""A run that is killed: when it is settled, every database is where it was, or every one is where it should be."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest

from tests.project import NAMES, ON_POSTGRESQL, ROOT, Project, Result

FIRST = {name: [f"{name.removesuffix('_db')}_0001"] for name in NAMES}
SECOND = {name: [f"{name.removesuffix('_db')}_0002"] for name in NAMES}
# By name, with SQLite last: that one decides.
FIRST_LOCKED, LAST_PREPARED, DECIDER = "auth_db", "user_db", "investment_db"
RANDOM_KILLS = 12

POINTS = {
    "before anything": ("before", "begin", DECIDER, "old"),
    "when it has begun": ("after", "begin", DECIDER, "old"),
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
def second(migrated: Project) -> Project:
    """A checkout at head, and then a second revision for each database."""
    for name in NAMES:
        migrated.add_revision(name, 2, 'op.create_table("more", sa.Column("x", sa.Integer))', 'op.drop_table("more")')
    return migrated


def interrupt(project: Project, how: Sequence[str], *command: str) -> Result:
    """Run a command, with a signal at a point: see interrupted.py."""
    return project.run(sys.executable, ROOT / "tests/interrupted.py", *how, *command)


def prepared(project: Project) -> list[tuple[str, ...]]:
    """What is prepared in the databases of a checkout."""
    own = [url.rpartition("/")[2] for url in project.variables.values()]
    return project.rows("auth_db", f"SELECT gid FROM pg_prepared_xacts WHERE database = ANY (ARRAY{own})")


def locks(project: Project) -> list[tuple[str, ...]]:
    """The advisory locks in the databases of a checkout; a killed process's server needs a moment to notice."""
    own = [url.rpartition("/")[2] for url in project.variables.values()]
    found: list[tuple[str, ...]] = []
    for _ in range(100):
        found = project.rows(
            "auth_db",
            "SELECT datname FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            f"WHERE locktype = 'advisory' AND datname = ANY (ARRAY{own})",
        )
        if not found:
            break
        time.sleep(0.1)
    return found


def assert_whole(project: Project, *states: dict[str, list[str]]) -> dict[str, list[str]]:
    """After `recover`, all databases are in one of the states, nothing is left, and an upgrade ends at head."""
    recovered = project.multidb("recover")
    assert recovered.code == 0, recovered
    found = project.versions()
    assert found in states, recovered
    tables = {
        name: project.rows(name, "SELECT count(*) FROM information_schema.tables WHERE table_name = 'more'")[0][0]
        for name in ON_POSTGRESQL
    }
    assert tables == {name: int(found[name] == SECOND[name]) for name in ON_POSTGRESQL}
    assert prepared(project) == []
    assert locks(project) == []
    project.done("upgrade", "heads")
    assert project.versions() == SECOND
    return found


@pytest.mark.parametrize("jobs", ["1", "4"])
@pytest.mark.parametrize("point", POINTS)
def test_the_coordinator_is_killed(second: Project, point: str, jobs: str) -> None:
    when, operation, database, expected = POINTS[point]
    how = ["SIGKILL:coordinator", when, operation, database]
    assert interrupt(second, how, "alembic", "-x", f"jobs={jobs}", "upgrade", "heads").code == -signal.SIGKILL
    states = {"old": [FIRST], "new": [SECOND]}[expected]
    if jobs != "1" and point == "all prepared":
        states = [FIRST, SECOND]  # its worker may have gone on for a moment
    assert_whole(second, *states)


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_is_killed(second: Project, point: str) -> None:
    when, operation, database, expected = POINTS[point]
    how = ["SIGKILL:worker", when, operation, database]
    result = interrupt(second, how, "alembic", "-x", "jobs=4", "upgrade", "heads")
    if expected == "old":
        assert "its worker process was killed by SIGKILL" in result.reason
        assert second.versions() == FIRST
    else:  # the coordinator finishes what was decided
        assert result.code == 0, result
        assert second.versions() == SECOND
    assert_whole(second, {"old": FIRST, "new": SECOND}[expected])


def test_a_downgrade_in_doubt_is_settled_before_the_upgrade(second: Project) -> None:
    second.done("upgrade", "heads")
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "downgrade", "-1").code == -signal.SIGKILL
    assert len(prepared(second)) == len(ON_POSTGRESQL)
    result = second.done("upgrade", "heads")
    assert result.err.count("committed multidb:") == len(ON_POSTGRESQL)
    assert result.err.count("Running upgrade") == len(NAMES)
    assert_whole(second, SECOND)


def test_a_recovery_of_some_databases_asks_the_decider_that_it_does_not_address(second: Project) -> None:
    how = ["SIGKILL:coordinator", "after", "commit", DECIDER]
    assert interrupt(second, how, "alembic", "-x", "jobs=1", "upgrade", "heads").code == -signal.SIGKILL
    assert second.multidb("recover", "auth_db").code == 0
    assert second.done("-x", "db=user_db", "upgrade", "heads").err.count("committed multidb:") == 1
    assert {name for name, found in second.versions().items() if found == SECOND[name]} == {
        "auth_db", "user_db", "investment_db",
    }  # fmt: skip
    assert_whole(second, SECOND)


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
    assert "the file of investment_db is not there" in gone.out
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
    assert "which databases.yaml doesn't have" in unknown.partly
    assert prepared(second) == left

    (second.root / "kept").rename(second.root / "migrations/versions/investment_db")
    second.edit("databases.yaml", "  rating_db:", entry + "  rating_db:")
    (second.root / "elsewhere.db").rename(file)
    assert_whole(second, SECOND)


def test_random_kills_leave_no_mixture(second: Project, record_property: Callable[[str, object], None]) -> None:
    seed = random.randrange(10**6)
    record_property("random kills", f"{RANDOM_KILLS} runs killed at random, seed {seed}")
    chance = random.Random(seed)
    whole = 0
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
        assert found in (BASE, FIRST, SECOND), (seed, recovered)
        assert prepared(second) == []
        assert locks(second) == []
        whole += 1
    assert whole == RANDOM_KILLS


BASE: dict[str, list[str]] = {name: [] for name in NAMES}
