"""Find drift: the differences between live databases and their recorded revisions, replayed in scratch databases."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from multidb.advice.codes import Code
from multidb.config.configuration import Database
from multidb.database.probe import Probe, probing
from multidb.errors import ExitCode, MigrationError, code_of, exit_code_of, failure_as_json, reason_of, said_of
from multidb.output import NAME_WIDTH, count_of, revisions_text
from multidb.planning.environment import Environment
from multidb.replay.replay import ReplayRequest, Replays, Schemas
from multidb.schema import snapshot
from multidb.schema.diff import differences
from multidb.schema.difference import Difference
from multidb.schema.snapshot import Snapshot


@dataclass
class Drift:
    """The drift of one database, or the error that prevented finding it."""

    database: str
    revision: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    failure: Exception | None = None

    @property
    def error(self) -> str | None:
        return said_of(self.failure)

    @property
    def exit_code(self) -> ExitCode:
        if self.failure:
            return exit_code_of(self.failure)
        return ExitCode.FOUND if self.differences else ExitCode.OK

    def as_json(self) -> dict[str, Any]:
        found = [each.as_json() for each in self.differences]
        failed = failure_as_json(self.failure)
        return {"database": self.database, "revision": self.revision, "differences": found, **failed}

    def lines(self) -> list[str]:
        """The drift in words: each difference, and the SQL that repairs it."""
        if self.error is not None:
            return [f"{self.database:{NAME_WIDTH}} FAILED: {self.error}"]
        where = f"{self.database:{NAME_WIDTH}} {revisions_text(self.revision)}"
        if not self.differences:
            return [f"{where}: no drift"]
        found = [f"{where}: {count_of(len(self.differences), 'difference')}"]
        for each in self.differences:
            found += [f"    {each.sentence}", *(f"        {line}" for sql in each.ddl for line in sql.splitlines())]
        return found


def find_drift(
    environment: Environment, replays: Replays, probes: Sequence[Probe], *, is_locked: bool = False
) -> list[Drift]:
    """Find the drift of each database; a database that can't be read or replayed does not stop the others.

    With `is_locked`, the calling run holds the locks, in sessions of its own.
    """
    seconds = None if is_locked else environment.settings.lock_wait
    found = {probe.database.name: Drift(probe.database.name) for probe in probes}
    requests: list[ReplayRequest] = []
    live: dict[str, Snapshot] = {}
    for probe, each in zip(probes, snapshot.read_all(probes, seconds), strict=True):
        drift = found[probe.database.name]
        if isinstance(each, Exception):
            drift.failure = each
        else:
            drift.revision, live[drift.database] = list(each.heads), each
            try:
                heads = environment.branch(drift.database).standing(each.heads)
                drift.revision = list(heads)
                requests.append(replays.request(probe.database, [heads], probe.connection, each.schema))
            except Exception as error:
                drift.failure = error
    for name, schemas in replays.run(requests).items():
        if isinstance(schemas, MigrationError):
            found[name].failure = schemas
        else:
            found[name].differences = _differences(live[name], schemas)
    return list(found.values())


def check(environment: Environment, databases: Sequence[Database]) -> None:
    """Raise MigrationError if a database that the run has locked has drifted, or can't be compared."""
    with Replays(environment) as replays, probing(databases, environment.settings.wait) as probes:
        found = find_drift(environment, replays, probes, is_locked=True)
    for drift in found:
        if drift.failure is not None:
            reason = f"drift can't be determined: {reason_of(drift.failure)}"
            raise MigrationError(code_of(drift.failure), reason, drift.database)
    drifted = [drift for drift in found if drift.differences]
    if drifted:
        first = drifted[0]
        count = count_of(sum(len(drift.differences) for drift in drifted), "difference")
        raise MigrationError(
            Code.DRIFT,
            f"it has drifted from {revisions_text(first.revision)}: {first.differences[0].sentence} "
            f"({count} in {', '.join(drift.database for drift in drifted)}): `python -m multidb drift` shows all; "
            "repair it, or run with -x check_drift=false",
            first.database,
        )


def _differences(live: Snapshot, schemas: Schemas) -> list[Difference]:
    [(position, wanted)] = schemas.items()
    live.note_server_of(wanted)
    return differences(wanted, live.schema, revisions_text(position), live.database.ignored)
