"""`metrics`: print where every database is in Prometheus' text format, for its textfile collector or a CronJob.

Exit code 0: the metrics are printed, also where a database can't be read, which `multidb_up` tells.
"""

import argparse
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from multidb.advice.codes import Code
from multidb.commands.support.command import Command, add_databases
from multidb.commands.support.database_status import DatabaseStatus, read_statuses
from multidb.commands.support.whole_file import write_whole
from multidb.database import journal
from multidb.database.attempt import begun_at
from multidb.errors import ExitCode, MigrationError
from multidb.output import revisions_text

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_RESULTS = (
    journal.COMMITTED,
    journal.FAILED,
    journal.PARTLY_COMMITTED,
    journal.IN_DOUBT,
    journal.KILLED,
    journal.NOT_COMMITTED,
)
_MODE = 0o644  # of the file, which the collector reads as another user


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    parser.add_argument("--drift", action="store_true", help="compare each database with its recorded revision, too")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a file in one step, as the collector needs it")


def run(command: Command) -> ExitCode:
    """Raise MigrationError if the library is missing, or the file can't be written."""
    try:
        from prometheus_client import CollectorRegistry, generate_latest  # an extra, which no run imports
    except ImportError as error:
        raise MigrationError(
            Code.PYTHON_PACKAGE, "prometheus-client is not installed: `pip install prometheus-client`"
        ) from error
    registry = CollectorRegistry()
    _note_statuses(registry, read_statuses(command))
    if command.options.drift:
        _note_drift(registry, command)
    text = generate_latest(registry)
    if command.options.out is None:
        print(text.decode(), end="")
    else:
        write_whole(command.options.out, text, _MODE)
    return ExitCode.OK


def _note_statuses(registry: "CollectorRegistry", statuses: Iterable[DatabaseStatus]) -> None:
    from prometheus_client import Gauge

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"multidb_{name}", text, ["database", *labels], registry=registry)

    up = gauge("up", "Whether the database could be read.")
    revision = gauge("revision_info", "Recorded revision, and the head of its branch.", "revision", "head")
    pending = gauge("pending_revisions", "Revisions that an upgrade would run.")
    in_doubt = gauge("in_doubt", "Prepared transactions that a run left, and that no run is working on.")
    since = gauge("in_doubt_since_timestamp_seconds", "Begin of the oldest run that left one.")
    result = gauge("last_run_result", "How the last run ended: 1 for its result.", "result")
    ended = gauge("last_run_end_timestamp_seconds", "End of the last run.")
    duration = gauge("last_run_duration_seconds", "Time that the last run took in the database.")
    for status in statuses:
        name = status.database
        up.labels(name).set(not status.error)
        if status.error:
            continue
        head = ", ".join(status.head or ())
        revision.labels(name, revisions_text(status.revision or ()), head).set(1)
        if status.pending is not None:
            pending.labels(name).set(status.pending)
        left = [each["run"] for each in status.in_doubt or () if not each["in_progress"]]
        in_doubt.labels(name).set(len(left))
        if left:
            since.labels(name).set(min(map(begun_at, left)).timestamp())
        if status.last_run is not None:
            found = status.last_run
            for each in _RESULTS:
                result.labels(name, each).set(each == found["result"])
            seconds = found["seconds"] or 0.0
            end = (found["ended"] or {}).get("at")
            ended.labels(name).set(_time(end) if end else _time(found["started_at"]) + seconds)
            duration.labels(name).set(seconds)


def _note_drift(registry: "CollectorRegistry", command: Command) -> None:
    from prometheus_client import Gauge

    from multidb.commands.support.drifts import drifts_of  # imports the schema room, which the others don't need

    differences = Gauge(
        "multidb_drift_differences", "Differences from the recorded revision.", ["database"], registry=registry
    )
    for drift in drifts_of(command):
        if not drift.error:
            differences.labels(drift.database).set(len(drift.differences))


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
