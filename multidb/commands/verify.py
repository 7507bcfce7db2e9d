"""`verify`: print the applied revisions whose file has changed since, or is gone.

Exit code 0: there is none; 2: there are some.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from multidb.commands.support.command import Command, add_databases
from multidb.database import journal
from multidb.database.journal import JournalRow
from multidb.errors import ExitCode
from multidb.planning.branches import Branch


def configure(parser: argparse.ArgumentParser) -> None:
    add_databases(parser)


def run(command: Command) -> ExitCode:
    problems = 0
    for name, rows in journal.read_all(command.databases).items():
        branch = command.revisions.branch(name)
        files = {revision: Path(file.path) for revision, file in branch.files.items()}
        for revision, sha256 in _applied(rows, branch).items():
            file = files.get(revision)
            if file is None:
                problem = "applied, and has no file"
            elif sha256 is not None and journal.digest(file) != sha256:
                problem = f"applied, and its file has changed since: migrations/versions/{name}/{file.name}"
            else:
                continue
            problems += 1
            print(f"{name}: {revision}: {problem}")
    if not problems:
        print("the file of every applied revision is unchanged")
    return ExitCode.FOUND if problems else ExitCode.OK


def _applied(rows: Iterable[JournalRow], branch: Branch) -> dict[str, str | None]:
    """The applied revisions by the journal, each with the SHA-256 of its file at that time."""
    found: dict[str, str | None] = {}
    for row in rows:
        if not row.is_committed:
            continue
        if row.is_stamp:  # a stamp replaces the list of the applied revisions
            kept = branch.ancestors(revision for revision in row.after if branch.knows(revision))
            found = {revision: sha256 for revision, sha256 in found.items() if revision in kept}
            continue
        for each in row.revisions:
            if each["upgrade"]:
                found[each["revision"]] = each["sha256"]
            else:
                found.pop(each["revision"], None)
    return found
