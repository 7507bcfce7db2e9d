"""The newest runs of several journals, without reading the whole of a long one."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from multidb.config.configuration import Database
from multidb.database import journal
from multidb.database.journal import JournalRow, Journals

_ROWS = 4  # of a run, at first: a retry and each stage have a row of their own


def newest_runs(databases: Sequence[Database], number: int | None) -> tuple[Journals, bool]:
    """The rows of the newest runs, by the times that their servers gave them.

    Args:
        number: how many runs; None for all.

    Returns:
        The rows, as `journal.read_all` gives all of them, and whether there are older runs.

    Raises:
        MigrationError: a journal can't be read.
    """

    if number is None:
        return journal.read_all(databases), False

    def read(connection: Connection, database: Database) -> list[JournalRow]:
        limit = number * _ROWS
        while True:
            found = journal.rows(connection, database, newest=limit)
            if len(found) < limit or len({row.run for row in found}) > number:
                return found
            limit *= 4

    journals = journal.read_of_all(databases, read)
    started: dict[str, str] = {}
    for row in (row for rows in journals.values() for row in rows):
        started[row.run] = min(started.get(row.run, row.started_at), row.started_at)
    newest = sorted(started, key=lambda run: started[run], reverse=True)[:number]
    return _whole(databases, journals, newest), len(started) > len(newest)


def _whole(databases: Sequence[Database], journals: Journals, runs: Collection[str]) -> Journals:
    """All rows of these runs. Where another database had many runs since, or clocks differ, one has been cut off."""
    kept = {name: [row for row in rows if row.run in runs] for name, rows in journals.items()}
    rows = [row for found in kept.values() for row in found]
    lacking = [
        each
        for each in databases
        if any(each.name in row.participants and row.run not in {its.run for its in kept[each.name]} for row in rows)
    ]
    return {**kept, **journal.read_of_all(lacking, lambda *session: journal.rows(*session, runs=runs))}
