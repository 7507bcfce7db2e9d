"""What a run does when the answers under the locks differ from those before: what needs no server."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from multidb.database import locks
from multidb.database.probe import ProbeResult
from multidb.errors import MigrationError, in_database
from multidb.planning import planner
from multidb.release import locking

DATABASE: Any = SimpleNamespace(name="auth_db", is_sqlite=False)


class Probe:
    """A probe that gives one answer before the locks, and another under them."""

    database, connection = DATABASE, None

    def __init__(self, *recorded: tuple[str, ...] | Exception) -> None:
        self.answers = [ProbeResult(DATABASE, recorded=each) for each in recorded]

    def start(self) -> None:
        self.answers.pop(0)

    def result(self) -> ProbeResult:
        return self.answers[0]


def plans(_environment: object, results: Sequence[ProbeResult], **_options: object) -> list[Any]:
    with in_database(results[0].database.name):
        return [SimpleNamespace(database=DATABASE, before=results[0].heads)]


def test_a_revision_that_can_not_be_read_under_the_lock_is_reported_with_its_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "plans", plans)
    monkeypatch.setattr(locks, "lock_all", lambda *_: None)
    environment: Any = SimpleNamespace(
        settings=SimpleNamespace(allow=None, lock_wait=0),
        configuration=SimpleNamespace(names=["auth_db"]),
        request=SimpleNamespace(targets=None),
    )
    probe: Any = Probe(("auth_0001",), psycopg2.errors.LockNotAvailable("canceling statement due to lock timeout"))
    with pytest.raises(MigrationError, match=r"^auth_db: canceling statement"):
        locking.lock_and_plan(environment, [probe])


def test_the_plan_is_made_again_when_a_database_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "plans", plans)
    monkeypatch.setattr(locks, "lock_all", lambda *_: None)
    environment: Any = SimpleNamespace(
        settings=SimpleNamespace(allow=None, lock_wait=0),
        configuration=SimpleNamespace(names=["auth_db"]),
        request=SimpleNamespace(targets=None),
    )
    probe: Any = Probe(("auth_0001",), ("auth_0002",))
    assert locking.lock_and_plan(environment, [probe]).plans[0].before == ("auth_0002",)
