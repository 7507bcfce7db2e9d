"""The report of a run: a row for each database, and the table at the end."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from multidb.database.probe import ProbeResult
from multidb.output import columns, revisions_text, shortened
from multidb.release.coordinator import Outcome, State
from multidb.release.lock_hold import LockHold

_LONGEST = 200  # characters of a result in the table; the line on stderr has all
_TITLES = ("database", "from", "to", "revisions", "time", "result")


@dataclass
class Row:
    database: str
    before: tuple[str, ...]
    after: tuple[str, ...] = ()
    revisions: int = 0  # how many were applied
    seconds: float = 0.0
    state: State = State.UNTOUCHED  # of the last attempt
    reason: str = ""  # why the last attempt is not committed
    has_stages_left: bool = False  # whether more stages follow that of the last attempt

    @property
    def has_changed(self) -> bool:
        """Whether something was, or may have been, committed."""
        return bool(self.revisions) or self.state in (State.COMMITTED, State.IN_DOUBT)

    @property
    def result(self) -> str:
        """The state in words, without the reason."""
        if self.state is State.COMMITTED:
            return "committed in part" if self.has_stages_left else "committed"
        return f"committed in part, then {self.state}" if self.revisions else str(self.state)

    @property
    def cells(self) -> tuple[str, ...]:
        moved = bool(self.revisions) or self.before != self.after
        result = f"{self.result}: {self.reason}" if self.reason and self.state is not State.COMMITTED else self.result
        return (
            self.database,
            revisions_text(self.before),
            revisions_text(self.after),
            str(self.revisions or "-"),
            f"{self.seconds:.2f} s" if moved else "-",
            shortened(result, _LONGEST),
        )


class RunReport:
    """The rows of a run; the databases are at first where probing found them."""

    def __init__(self, results: Mapping[str, ProbeResult], lock_hold: LockHold) -> None:
        self.rows = {name: Row(name, result.heads, result.heads) for name, result in results.items()}
        self.lock_hold = lock_hold
        self.is_two_phase = False  # whether the last attempt prepares transactions, which `recover` can resolve

    @property
    def has_changed(self) -> bool:
        return any(row.has_changed for row in self.rows.values())

    @property
    def is_in_doubt(self) -> bool:
        return any(row.state is State.IN_DOUBT for row in self.rows.values())

    def mark(self, names: Iterable[str], state: State, reason: str = "") -> None:
        for name in names:
            self.rows[name].state, self.rows[name].reason = state, reason

    def add(self, outcome: Outcome) -> None:
        for name, state in outcome.states.items():
            row, applied = self.rows[name], outcome.applied.get(name)
            row.state, row.reason = state, outcome.reasons.get(name, "")
            if applied and state is State.COMMITTED:
                row.after = applied.after
                row.revisions += applied.revisions
                row.seconds += applied.seconds

    def as_json(self) -> list[dict[str, Any]]:
        """The rows for programs. The seconds of a table are those for which it was locked for others at most."""
        return [
            {
                "database": name,
                "before": row.before,
                "after": row.after,
                "revisions": row.revisions,
                "seconds": round(row.seconds, 3),
                "result": row.result,
                "reason": row.reason if row.state is not State.COMMITTED else "",
                "locked": {table: round(long, 3) for table, long in self.lock_hold.longest.get(name, {}).items()},
            }
            for name, row in self.rows.items()
        ]

    def states_text(self) -> str:
        """Which databases are in which state: `committed: auth_db; rolled back: user_db, content_db`."""
        names: dict[str, list[str]] = {}
        for name, row in self.rows.items():
            if row.state is not State.UNTOUCHED:
                names.setdefault(row.result, []).append(name)
        text = "; ".join(f"{result}: {', '.join(each)}" for result, each in names.items())
        if not self.is_in_doubt:
            return text
        if self.is_two_phase:
            return f"{text}; `python -m multidb recover` resolves what is in doubt"
        return f"{text}; `python -m multidb status` shows whether the commit was carried out"

    def table(self) -> str:
        text = columns([_TITLES, *(row.cells for row in self.rows.values())])
        locked = self.lock_hold.text()
        return f"{text}\n{locked}" if locked else text
