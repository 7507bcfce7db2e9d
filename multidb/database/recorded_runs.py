"""The runs of several journals, each put together from its rows in them."""

from collections.abc import Iterator, Sequence
from typing import Any

from multidb.database import journal
from multidb.database.journal import JournalRow, Journals

_OF_RUN = ("run", "release", "command", "state", "who", "host", "started_at", "versions")
_OF_DETAILS = ("plan", "commit", "actor")
_OF_DATABASE = ("attempt", "two_phase", "before", "after", "revisions", "started_at", "seconds", "details")


def recorded_runs(journals: Journals) -> Iterator[dict[str, Any]]:
    """The runs, newest first: each with its end, its state, and its rows under `databases`."""
    by_run: dict[str, list[tuple[str, JournalRow]]] = {}
    for name, rows in journals.items():
        for row in rows:
            by_run.setdefault(row.run, []).append((name, row))
    first = {run_id: min((row for _, row in found), key=lambda row: row.started_at) for run_id, found in by_run.items()}
    for run_id, row in sorted(first.items(), key=lambda item: item[1].started_at, reverse=True):
        found = by_run[run_id]
        newest_first = sorted((each for _, each in found), key=_number, reverse=True)
        ended = next((each.ended for each in newest_first if each.ended), None)
        yield {key: getattr(row, key) for key in _OF_RUN} | {
            "state": _state(found, set(journals)),
            "ended": ended,
            **{key: next(filter(None, (each.details.get(key) for each in newest_first)), None) for key in _OF_DETAILS},
            "databases": [_row(name, each) for name, each in found],
        }


def _state(rows: Sequence[tuple[str, JournalRow]], names: set[str]) -> str:
    """How a run ended: as it reported itself, else as far as the journals that were read show it."""
    last = max(_number(row) for _, row in rows)
    results = {row.result for _, row in rows if row.ended} - {journal.COMMITTED, journal.NOT_COMMITTED}
    if results:
        return results.pop()
    missing: dict[str, set[str]] = {}  # of each committed attempt, the databases without a row of it
    for name, row in rows:
        if row.is_committed:
            missing.setdefault(row.attempt, set(row.participants) & names).discard(name)
    open_ends = {row.result for _, row in rows if _number(row) == last and not row.is_committed}
    if not missing:
        return (open_ends or {journal.NOT_COMMITTED}).pop()
    if open_ends == {journal.RUNNING}:
        return journal.RUNNING
    return journal.PARTLY_COMMITTED if any(missing.values()) or open_ends else journal.COMMITTED


def _number(row: JournalRow) -> int:
    """The number of a row's attempt in its run."""
    return int(row.attempt.rpartition(".")[2])


def _row(database: str, row: JournalRow) -> dict[str, Any]:
    state = row.state if row.is_committed else "not committed"
    return {"database": database, "state": state} | {key: getattr(row, key) for key in _OF_DATABASE}
