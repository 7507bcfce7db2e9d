"""`verify`: print the applied revisions whose file has changed since, or is gone; `--accept` takes a file as it is.

Exit code 0: there is none; 2: there are some; 1: the files of a database can't be read.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from multidb.advice.codes import Code
from multidb.commands.support.command import Command, add_databases, add_json
from multidb.commands.support.origin import origin
from multidb.config.configuration import Database
from multidb.database import acceptances, connections, journal
from multidb.database.acceptances import Acceptance, Reading
from multidb.database.attempt import user
from multidb.database.journal import Movement
from multidb.errors import ExitCode, MigrationError, exit_code_of, failure_as_json, in_database, said_of
from multidb.planning.branches import Branch


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)
    parser.add_argument(
        "--accept", action="append", default=[], metavar="REVISION", help="take its changed file as it is"
    )
    parser.add_argument("--why", metavar="TEXT", help="with --accept: the reason, for the journal")
    add_json(parser)


def run(command: Command) -> ExitCode:
    """Raise MigrationError if a file can't be accepted; none is then."""
    options = command.options
    if bool(options.accept) != bool((options.why or "").strip()):
        raise MigrationError(
            Code.OPTION, "--accept and --why go together: --accept auth_0003 --why 'a comment was corrected'"
        )
    databases = command.databases
    if options.accept:
        databases = _accept(command, databases)
    found = [_verified(command, *each) for each in journal.read_of_all(databases, acceptances.read).items()]
    if options.json:
        print(json.dumps([each.as_json() for each in found], indent=2))
    else:
        for line in (line for each in found for line in each.lines()):
            print(line)
        if not any(each.exit_code for each in found):
            others = "other " if any(each.accepted for each in found) else ""
            print(f"the file of every {others}applied revision is unchanged")
    return ExitCode.most_severe(each.exit_code for each in found)


@dataclass
class _Verified:
    """What is known of the applied revisions of a database."""

    database: str
    problems: list[dict[str, Any]] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)
    failure: MigrationError | None = None

    @property
    def exit_code(self) -> ExitCode:
        if self.failure:
            return exit_code_of(self.failure)
        return ExitCode.FOUND if self.problems else ExitCode.OK

    def as_json(self) -> dict[str, Any]:
        shown = {key: value for key, value in vars(self).items() if key != "failure"}
        return shown | failure_as_json(self.failure)

    def lines(self) -> Iterable[str]:
        if self.failure:
            yield f"{self.database}: FAILED: {said_of(self.failure)}"
        for each in self.accepted:
            yield (
                f"{self.database}: {each['revision']}: applied, and its file has changed since; accepted by "
                f"{each['who']}, {each['at'][:19]}Z: {each['why']}"
            )
        for each in self.problems:
            text = f"its file has changed since: {each['file']}" if each["file"] else "has no file"
            yield f"{self.database}: {each['revision']}: applied, and {text}"


def _verified(command: Command, name: str, reading: Reading) -> _Verified:
    found = _Verified(name)
    try:
        branch = command.revisions.branch(name)
        for revision, sha256 in applied(reading.movements, branch).items():
            file = branch.files.get(revision)
            if file is None:
                if revision not in branch.replacements:
                    found.problems.append({"revision": revision, "problem": "missing", "file": None})
            elif sha256 is not None and (digest := journal.digest(Path(file.path))) != sha256:
                accepted = reading.acceptance_of(revision)
                if accepted is not None and accepted.sha256 == digest:
                    found.accepted.append({**asdict(accepted), "file": file.place})
                else:
                    found.problems.append({"revision": revision, "problem": "changed", "file": file.place})
    except MigrationError as error:
        found.failure = error
    return found


def _accept(command: Command, databases: Sequence[Database]) -> list[Database]:
    """Record that changed files are taken as they are; returns the databases that have run them."""
    by, why = origin(command.file.parent, command.settings.by)["actor"] or user(), command.options.why.strip()
    accepted: dict[str, list[Acceptance]] = {}
    for revision in dict.fromkeys(command.options.accept):
        name = command.revisions.owner_of(revision)
        if name is None:
            raise MigrationError(
                Code.REVISION_NAME,
                f"--accept {revision}: no file of {', '.join(each.name for each in databases)} has it",
            )
        digest = journal.digest(Path(command.revisions.branch(name).files[revision].path))
        accepted.setdefault(name, []).append(Acceptance(revision, digest, why, by))
    concerned = [each for each in databases if each.name in accepted]
    for name, reading in journal.read_of_all(concerned, acceptances.read).items():
        changed = {each["revision"] for each in _verified(command, name, reading).problems}
        for each in accepted[name]:
            if each.revision not in changed:
                raise MigrationError(
                    Code.OPTION, f"--accept {each.revision}: its file is not changed since it was applied", name
                )
    for database in concerned:
        with in_database(database.name), connections.connect(database.url) as connection, connection.begin():
            acceptances.write(connection, database, accepted[database.name])
    return concerned


def applied(movements: Iterable[Movement], branch: Branch) -> dict[str, str | None]:
    """The applied revisions by the journal, each with the SHA-256 of its file at that time."""
    found: dict[str, str | None] = {}
    for movement in movements:
        if movement.is_stamp:  # a stamp replaces the list of the applied revisions
            kept = branch.ancestors(branch.known(movement.after))
            found = {revision: sha256 for revision, sha256 in found.items() if revision in kept}
            continue
        for each in movement.revisions:
            if each["upgrade"]:
                found[each["revision"]] = each["sha256"]
            else:
                found.pop(each["revision"], None)
    return found
