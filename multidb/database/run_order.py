"""The order of the runs that journals record.

In one database, runs are ordered by their rows: each held the database's lock. Runs that share no database are ordered
by the clock of a server that both have written to, where there is one. The clocks of two machines don't order anything.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from multidb.database.journal import JournalRow, Journals


class RunOrder:
    """The order of the runs with these rows, which are oldest first for each database."""

    def __init__(self, journals: Journals) -> None:
        self._rows: dict[str, list[JournalRow]] = defaultdict(list)
        self._followers: dict[str, set[str]] = defaultdict(set)  # the runs that came next in one of a run's databases
        for rows in journals.values():
            for row in rows:
                self._rows[row.run].append(row)
            for before, after in pairwise(row.run for row in rows):
                if before != after:
                    self._followers[before].add(after)

    def is_after(self, run: str, other: str) -> bool | None:
        """Whether a run came after another one; None if nothing orders them."""
        if run in self._all_followers(other):
            return True
        if other in self._all_followers(run):
            return False
        times, others = self._times(run), self._times(other)
        for clock in times.keys() & others.keys():
            return times[clock] > others[clock]
        return None

    def newest(self) -> Sequence[str]:
        """The newest run; several if nothing orders these, or the journals contradict each other."""
        last = [run for run in self._rows if not self._followers[run]] or list(self._rows)
        return [run for run in last if not any(self.is_after(other, run) for other in last if other != run)] or last

    def _all_followers(self, run: str) -> set[str]:
        found: set[str] = set()
        left = [run]
        while left:
            new = self._followers[left.pop()] - found
            found |= new
            left += new
        return found

    def _times(self, run: str) -> dict[str, str]:
        """The times of a run, by the servers whose clocks gave them."""
        return {row.clock: row.started_at for row in self._rows[run] if row.clock is not None}
