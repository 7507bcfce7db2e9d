"""Revision files that were changed after they ran, and accepted as they are: in the details of the journal's rows.

What a row says of its run stays as it is; details only report. The row is the last one that ran the revision: once the
file has run again, the digest of that run counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database import journal
from multidb.database.journal import Movement
from multidb.errors import MigrationError

_KEY = "accepted"  # of a row's details: by revision


@dataclass(frozen=True)
class Acceptance:
    """A changed file that is taken as it is."""

    revision: str
    sha256: str  # as `journal.digest` gives it
    why: str
    who: str
    at: str = ""  # ISO 8601, UTC; the database's server gives it


@dataclass(frozen=True)
class Reading:
    """What `verify` reads of a journal: what was done to the revisions, and what was accepted, by the rows' ids."""

    movements: Sequence[Movement]
    accepted: Mapping[int, Mapping[str, Acceptance]]

    def row_of(self, revision: str) -> int | None:
        """The last row that ran the upgrade of a revision; None if no run did."""
        for movement in reversed(self.movements):
            if any(each["revision"] == revision and each["upgrade"] and each["sha256"] for each in movement.revisions):
                return movement.row
        return None

    def acceptance_of(self, revision: str) -> Acceptance | None:
        row = self.row_of(revision)
        return None if row is None else self.accepted.get(row, {}).get(revision)


def read(connection: Connection, database: Database) -> Reading:
    """Read a journal; in the connection's transaction, names are resolved in pg_catalog from then on."""
    movements = journal.movements(connection, database)
    accepted = {
        row: {revision: Acceptance(revision, **each) for revision, each in details[_KEY].items()}
        for row, details in journal.details_with(connection, database, _KEY).items()
    }
    return Reading(movements, accepted)


def write(connection: Connection, database: Database, acceptances: Sequence[Acceptance]) -> None:
    """Write acceptances into the details of the last rows that ran the revisions.

    Args:
        connection: in a transaction, which the caller commits.

    Raises:
        MigrationError: the journal does not say that a revision was run.
    """
    reading = read(connection, database)
    for acceptance in acceptances:
        row = reading.row_of(acceptance.revision)
        if row is None:
            raise MigrationError(
                Code.OPTION, f"the journal records no run of {acceptance.revision}: there is nothing to accept"
            )
        written = {key: value for key, value in asdict(acceptance).items() if key != "revision"}
        written["at"] = journal.time_of(connection)[0]
        journal.add_details(connection, database, row, _KEY, {acceptance.revision: written})
