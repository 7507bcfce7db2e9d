"""What the activities of a run say after each operation."""

from multidb.advice.codes import Code
from multidb.release.activity import Activities, Doing
from multidb.release.operation import FailureKind, Operation, ParticipantError


def _after(activities: Activities, name: str, operation: Operation, failure: ParticipantError | None = None) -> str:
    activities.begin(name, operation)
    activities.end(name, failure)
    return _doing(activities, name)


def _doing(activities: Activities, name: str) -> str:
    return str(activities.of[name].doing)


def test_the_states_of_a_database_that_is_committed_in_two_phases() -> None:
    activities = Activities(["a", "b"])
    assert _after(activities, "a", Operation.LOAD) == Doing.WAITING
    activities.begin("a", Operation.MIGRATE)
    activities.note_revision("a", "a_0002")
    assert _doing(activities, "a") == Doing.MIGRATING
    assert activities.of["a"].seconds is None
    activities.end("a", None)
    assert _doing(activities, "a") == Doing.MIGRATED
    assert activities.of["a"].seconds is not None
    assert activities.of["a"].revision == "a_0002"
    assert _doing(activities, "b") == Doing.WAITING
    activities.begin("a", Operation.PREPARE)
    assert _doing(activities, "a") == Doing.PREPARING
    activities.end("a", None)
    assert _doing(activities, "a") == Doing.PREPARED
    activities.begin("a", Operation.COMMIT_PREPARED)
    assert _doing(activities, "a") == Doing.COMMITTING
    activities.end("a", None)
    assert _doing(activities, "a") == Doing.COMMITTED


def test_only_the_database_that_failed_first_is_said_to_have_failed() -> None:
    activities = Activities(["a", "b", "c"])
    assert (
        _after(activities, "a", Operation.MIGRATE, ParticipantError(Code.STATEMENT_FAILED, "a mistake", "a"))
        == Doing.FAILED
    )
    assert (
        _after(activities, "b", Operation.MIGRATE, ParticipantError(Code.INTERRUPTED, "cancelled", "b"))
        == Doing.ROLLED_BACK
    )
    assert [_after(activities, name, Operation.ROLLBACK) for name in "abc"] == [
        Doing.FAILED, Doing.ROLLED_BACK, Doing.ROLLED_BACK
    ]  # fmt: skip


def test_all_databases_whose_revisions_cannot_be_imported_have_failed() -> None:
    activities = Activities(["a", "b"])
    assert (
        _after(activities, "a", Operation.LOAD, ParticipantError(Code.STATEMENT_FAILED, "a mistake", "a"))
        == Doing.FAILED
    )
    assert (
        _after(activities, "b", Operation.LOAD, ParticipantError(Code.STATEMENT_FAILED, "another", "b")) == Doing.FAILED
    )


def test_a_lock_that_was_not_had_is_waited_for_and_the_next_attempt_begins_anew() -> None:
    activities = Activities(["a", "b"])
    late = ParticipantError(Code.LOCK_TIMEOUT, "a lock timeout", "a", FailureKind.LOCK)
    assert _after(activities, "b", Operation.MIGRATE) == Doing.MIGRATED
    assert _after(activities, "a", Operation.MIGRATE, late) == Doing.RETRYING
    assert _after(activities, "a", Operation.ROLLBACK) == Doing.RETRYING
    assert _after(activities, "b", Operation.ROLLBACK) == Doing.ROLLED_BACK
    assert _after(activities, "b", Operation.BEGIN) == Doing.WAITING
    assert _doing(activities, "a") == Doing.WAITING


def test_a_later_stage_does_not_take_back_that_a_database_is_committed() -> None:
    activities = Activities(["a", "b"])
    assert _after(activities, "a", Operation.COMMIT) == Doing.COMMITTED
    assert _after(activities, "b", Operation.BEGIN) == Doing.WAITING
    assert _doing(activities, "a") == Doing.COMMITTED


def test_a_commit_without_an_answer_is_not_said_to_have_failed() -> None:
    activities = Activities(["a"])
    lost = ParticipantError(Code.CONNECTION_LOST, "server closed the connection", "a")
    assert _after(activities, "a", Operation.COMMIT, lost) == Doing.COMMITTING
