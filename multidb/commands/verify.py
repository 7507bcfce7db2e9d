"""`verify`: print the applied revisions whose file has changed since, or is gone.

Exit code 0: there is none; 2: there are some; 1: the files of a database can't be read.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from multidb.commands.support.command import Command, add_databases
from multidb.database import journal
from multidb.database.journal import Movement
from multidb.errors import ExitCode, MigrationError, exit_code_of, reason_of
from multidb.planning.branches import Branch


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)


def run(command: Command) -> ExitCode:
    codes: list[ExitCode] = []
    for name, movements in journal.read_of_all(command.databases, journal.movements).items():
        try:
            for problem in _problems(command.revisions.branch(name), movements):
                codes.append(ExitCode.FOUND)
                print(f"{name}: {problem}")
        except MigrationError as error:
            codes.append(exit_code_of(error))
            print(f"{name}: FAILED: {reason_of(error)}")
    if not codes:
        print("the file of every applied revision is unchanged")
    return ExitCode.most_severe(codes)


def _problems(branch: Branch, movements: Iterable[Movement]) -> Iterator[str]:
    """The applied revisions whose file has changed since, or is gone."""
    for revision, sha256 in applied(movements, branch).items():
        file = branch.files.get(revision)
        if file is None:
            if revision not in branch.replacements:
                yield f"{revision}: applied, and has no file"
        elif sha256 is not None and journal.digest(Path(file.path)) != sha256:
            yield f"{revision}: applied, and its file has changed since: {file.place}"


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
