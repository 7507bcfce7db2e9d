"""What is shown of one database: its activity in the run, and what its server says of its session."""

import time
from dataclasses import dataclass

from multidb.progress.sessions import SessionView
from multidb.release.activity import Activity, Doing

_SHORTEST_SILENCE = 1.0  # seconds without a statement that are worth a word


@dataclass(frozen=True)
class Row:
    """One database at one moment.

    Attributes:
        time: how long it has been migrating, or took to migrate; empty before.
        details: what its session does: the statement and for how long, how far it is, whom it waits for.
    """

    name: str
    doing: Doing
    revision: str
    time: str
    details: tuple[str, ...] = ()
    is_blocked: bool = False

    @classmethod
    def of(cls, name: str, activity: Activity, view: SessionView | None) -> "Row":
        """The row of a database, whose session has been seen so; None if it has not been."""
        doing, now, seconds = activity.doing, time.monotonic(), activity.seconds
        if doing is Doing.MIGRATING:
            seconds = now - activity.began_at
        text = "" if seconds is None else duration_text(seconds)
        if view is None or not doing.is_busy or view.at < activity.began_at:
            return cls(name, doing, activity.revision, text)
        return cls(name, doing, activity.revision, text, tuple(_details(view, now)), bool(view.blockers))

    @property
    def state(self) -> str:
        """The state in words, for a column."""
        return "waiting for a lock" if self.is_blocked else str(self.doing)

    @property
    def line(self) -> str:
        """All in one line, for a log that names the database itself."""
        words = [str(self.doing), self.revision, f"for {self.time}" if self.time else ""]
        return "; ".join([" ".join(filter(None, words)), *self.details])


def _details(view: SessionView, now: float) -> list[str]:
    seconds = max(0.0, now - view.since)
    if not view.statement:
        return [f"no statement for {duration_text(seconds)}"] if seconds >= _SHORTEST_SILENCE else []
    blockers = f"waits for {view.blockers}" if view.blockers else ""
    return [f"{duration_text(seconds)}: {view.statement}", *filter(None, (view.progress, blockers))]


def duration_text(seconds: float) -> str:
    """A duration: `42 s`, `3:05 min`, `1:02:33 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02} h"
