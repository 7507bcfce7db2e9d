"""The file of `-x report=`: what a run did, for programs, however it ended."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multidb.advice.codes import Code
from multidb.commands.support.run_report import RunReport
from multidb.database import journal
from multidb.database.attempt import Run
from multidb.errors import ExitCode, MigrationError, code_of, exit_code_of, explain
from multidb.logs import log
from multidb.release import ending

_NOTHING_TO_DO = "nothing to do"


@dataclass
class RunRecord:
    """What is known of a run while it goes on."""

    run: Run
    guarantee: str = ""  # as the first line says it
    report: RunReport | None = None  # None until all databases have been asked

    def as_json(self, error: BaseException | None) -> dict[str, Any]:
        """The whole of it, at the end of the run."""
        result = ending.result_of(error) if error else journal.COMMITTED if self.guarantee else _NOTHING_TO_DO
        return {
            "run": self.run.id,
            "command": self.run.command,
            "release": self.run.release,
            "plan": self.run.details.get("plan"),
            "commit": self.run.details.get("commit"),
            "actor": self.run.details.get("actor"),
            "guarantee": self.guarantee,
            "result": result,
            "error": explain(error) if error else None,
            "error_code": code_of(error) if error else None,
            "exit_code": exit_code_of(error) if error else ExitCode.OK,
            "databases": self.report.as_json() if self.report else [],
        }


@contextmanager
def written(path: Path | None, run: Run) -> Iterator[RunRecord]:
    """Write the file when the block ends, unless there is no path.

    Raises:
        MigrationError: before the block, if the file can't be written. A failure after it is only logged.
    """
    record = RunRecord(run)
    if path is None:
        yield record
        return
    try:
        path.write_text("", encoding="utf-8")  # the file of an earlier run is not mistaken for this one's
    except OSError as error:
        raise MigrationError(
            Code.NOT_WRITTEN, f"-x report={path}: the file can't be written: {error.strerror}"
        ) from error
    try:
        yield record
    except BaseException as error:
        _write(path, record.as_json(error))
        raise
    _write(path, record.as_json(None))


def _write(path: Path, found: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    except OSError as error:  # the run has ended as it has
        log.warning("-x report=%s: the file can't be written: %s", path, error.strerror)
