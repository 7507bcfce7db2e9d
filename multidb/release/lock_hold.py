"""How long a stage has kept the tables that it altered locked, and the limit of that: the setting `lock_hold`.

Times are of time.monotonic(), which all processes of a machine share.
"""

import time
from collections.abc import Mapping, Sequence

from multidb.output import count_of


class LockHold:
    """The tables that are locked against readers or writers, in all databases of a stage.

    Args:
        limit: seconds that a table may be locked before the decision; 0 is no limit.

    Attributes:
        longest: by database and table, the seconds that each was locked at most in a stage.
    """

    def __init__(self, limit: float) -> None:
        self.longest: dict[str, dict[str, float]] = {}
        self._limit = limit
        self._since: dict[tuple[str, str], float] = {}

    def note(self, database: str, tables: Mapping[str, float]) -> None:
        """Note the tables that a database has locked, each with the earliest time since when."""
        for table, since in tables.items():
            self._since.setdefault((database, table), since)

    def end_stage(self) -> None:
        """Note that all locks have been given back."""
        now = time.monotonic()
        for (database, table), since in self._since.items():
            of_database = self.longest.setdefault(database, {})
            of_database[table] = max(of_database.get(table, 0.0), now - since)
        self._since = {}

    def problem(self, slow: Sequence[str]) -> str | None:
        """Why the stage has to end now, or None: a table has been locked for too long by waiting for slow databases."""
        if not self._limit or not self._since:
            return None
        # A thread may note another one meanwhile.
        (database, table), since = min(tuple(self._since.items()), key=lambda item: item[1])
        seconds = time.monotonic() - since
        if seconds < self._limit:
            return None
        more = f" and {count_of(len(self._since) - 1, 'other table')}" if len(self._since) > 1 else ""
        return (
            f"{table} of {database}{more} would stay locked for longer than lock_hold = {self._limit:g} s while "
            f"{' and '.join(slow)} is not ready to commit: make the slow revision faster, or run with a longer "
            "-x lock_hold="
        )

    def text(self) -> str:
        """How long altered tables were locked, by database; empty if none was."""
        if not self.longest:
            return ""
        by_database = [f"{database}: {_tables_text(tables)}" for database, tables in sorted(self.longest.items())]
        longest = max(max(tables.values()) for tables in self.longest.values())
        return f"altered tables were locked for at most {longest:.2f} s ({'; '.join(by_database)})"


def _tables_text(tables: Mapping[str, float]) -> str:
    """The tables of a database with the seconds of each, the longest first; no more than three."""
    ordered = sorted(tables.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{table} {seconds:.2f} s" for table, seconds in ordered[:3]]
    return ", ".join([*shown, f"{len(ordered) - 3} more"] if len(ordered) > 3 else shown)
