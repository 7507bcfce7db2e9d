"""What a run does when the answers under the locks differ from those before: what needs no server."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest

from multidb.database import locks
from multidb.database.attempt import Prepared
from multidb.database.probe import ProbeResult
from multidb.errors import MigrationError, in_database
from multidb.planning import planner
from multidb.release import locking, recovery

DATABASE: Any = SimpleNamespace(name="auth_db", is_sqlite=False)
ENVIRONMENT: Any = SimpleNamespace(
    settings=SimpleNamespace(allow=None, lock_wait=0),
    configuration=SimpleNamespace(names=["auth_db"]),
    request=SimpleNamespace(targets=None),
)


class Probe:
    """A probe that gives one answer before the locks, and another under them."""

    database, connection = DATABASE, None

    def __init__(self, *recorded: tuple[str, ...] | Exception | ProbeResult) -> None:
        self.answers = [
            each if isinstance(each, ProbeResult) else ProbeResult(DATABASE, recorded=each) for each in recorded
        ]

    def start(self) -> None:
        self.answers.pop(0)

    def result(self) -> ProbeResult:
        return self.answers[0]

    def release(self) -> None:
        """There is no session to give up."""


def plans(_environment: object, results: Sequence[ProbeResult], **_options: object) -> list[Any]:
    with in_database(results[0].database.name):
        return [SimpleNamespace(database=DATABASE, before=results[0].heads)]


def test_a_revision_that_can_not_be_read_under_the_lock_is_reported_with_its_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "plans", plans)
    monkeypatch.setattr(locks, "lock_all", lambda *_: None)
    probe: Any = Probe(("auth_0001",), psycopg2.errors.LockNotAvailable("canceling statement due to lock timeout"))
    with pytest.raises(MigrationError, match=r"^auth_db: canceling statement"):
        locking.lock_and_plan(ENVIRONMENT, [probe])


def test_the_plan_is_made_again_when_a_database_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "plans", plans)
    monkeypatch.setattr(locks, "lock_all", lambda *_: None)
    probe: Any = Probe(("auth_0001",), ("auth_0002",))
    assert locking.lock_and_plan(ENVIRONMENT, [probe]).plans[0].before == ("auth_0002",)


def test_what_is_in_doubt_only_under_the_lock_is_resolved_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []
    gid = "multidb:20261126-000000-abcdef.1:investment_db:auth_db"
    monkeypatch.setattr(planner, "plans", plans)
    monkeypatch.setattr(locks, "lock_all", lambda *_: None)
    monkeypatch.setattr(locks, "unlock", lambda *_: None)
    monkeypatch.setattr(locks, "holder_of", lambda *_: None)
    monkeypatch.setattr(recovery, "resolve_all", lambda _, found, __: resolved.extend(each.gid for _, each in found))
    prepared = Prepared.parse(gid, "neighbor")
    assert prepared is not None
    in_doubt = ProbeResult(DATABASE, in_doubt=(prepared,), recorded=("auth_0001",))
    probe: Any = Probe(("auth_0001",), in_doubt, ("auth_0002",), ("auth_0002",))
    assert locking.lock_and_plan(ENVIRONMENT, [probe]).plans[0].before == ("auth_0002",)
    assert resolved == [gid]
