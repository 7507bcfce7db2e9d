"""Journals of many years: what commands read of them is no longer than what they print."""

import json
import time
from collections.abc import Callable

import pytest

from tests.support.project import Project

RUNS = 50_000
# A run after the other goes down and up again, as in a database of a test bench.
OLD_RUNS = """
    INSERT INTO multidb_journal (id, attempt, run, state, command, before, after, revisions, participants, who, host,
                                 started_at, seconds, versions, two_phase, details)
    SELECT n - {runs}, run || '.1', run, 'committed', 'x', '', 'auth_0001', revisions, '["auth_db"]', 'me', 'here',
           '2020-01-01T00:00:00.000+00:00', 1, '{{}}', false, '{{}}'
    FROM (SELECT n, '20200101-000000-' || n AS run FROM generate_series(1, {runs}) AS n) AS old,
         (SELECT revisions FROM multidb_journal ORDER BY id LIMIT 1) AS newest
"""


def fill(project: Project, runs: int) -> None:
    project.rows("auth_db", OLD_RUNS.format(runs=runs) + " RETURNING id")


def seconds(project: Project, *command: str) -> float:
    """The shortest of three."""

    def once() -> float:
        began = time.monotonic()
        assert project.multidb(*command).code == 0
        return time.monotonic() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize("command", [("log",), ("log", "--json"), ("status",), ("verify",)])
def test_a_journal_of_fifty_thousand_runs_is_read_as_fast_as_one_of_fifty(
    few: Project, command: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    few.done("downgrade", "auth_db@base")
    few.done("upgrade", "auth_db@head")
    few.rows("auth_db", "DELETE FROM multidb_journal WHERE id < (SELECT max(id) FROM multidb_journal) RETURNING id")
    fill(few, 50)
    short = seconds(few, *command)
    few.rows("auth_db", "DELETE FROM multidb_journal WHERE id <= 0 RETURNING id")
    fill(few, RUNS)
    long = seconds(few, *command)
    record_property(f"{' '.join(command)} with 50 runs, and {RUNS}", f"{short:.2f} s, {long:.2f} s")
    assert long < short + 0.3


def test_log_prints_the_twenty_newest_runs_and_all_on_demand(pair: Project) -> None:
    pair.done("upgrade", "heads")
    fill(pair, 30)
    lines = pair.multidb("log", "auth_db").out.splitlines()
    assert lines[-1] == "these are the 20 newest runs: --all prints the older ones, too"
    assert "`upgrade heads`" in lines[0]
    assert len(json.loads(pair.multidb("log", "--json", "auth_db").out)) == 20
    whole = pair.multidb("log", "--all", "auth_db").out
    assert whole.count("`x`") == 30
    assert "newest runs" not in whole


def test_a_run_is_whole_in_the_log_although_one_of_its_databases_had_many_runs_since(pair: Project) -> None:
    """Clocks of two servers differ: what came after it is from years ago, as they say."""
    pair.done("upgrade", "heads")
    fill(pair, 200)
    pair.rows("auth_db", "UPDATE multidb_journal SET id = id + 1000 WHERE command = 'x' RETURNING id")
    newest = json.loads(pair.multidb("log", "--json").out)[0]
    assert (newest["command"], newest["state"]) == ("upgrade heads", "committed")
    assert {row["database"] for row in newest["databases"]} == {"auth_db", "user_db"}
