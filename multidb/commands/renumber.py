"""`renumber`: give a revision file the next number, after two people have taken the same one.

Its name, its `revision` and its `down_revision` are changed: it follows the head that the branch has without it.
"""

import argparse
from pathlib import Path

from multidb.advice.codes import Code
from multidb.commands.support.command import Command
from multidb.commands.verify import applied
from multidb.database import journal
from multidb.errors import ExitCode, MigrationError, explain
from multidb.logs import for_database, log
from multidb.planning.branches import Branch, Revisions
from multidb.planning.revision_files import RevisionFile, place_of, read_folder
from multidb.planning.revision_text import RevisionText


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision_file", type=Path, metavar="FILE", help="the later one of two with the same id")


def run(command: Command) -> ExitCode:
    """Raise MigrationError if the file can't be renumbered; nothing is changed then."""
    path: Path = command.options.revision_file.resolve()
    name = path.parent.name
    revisions = Revisions(command.script, command.configuration.names)
    if not path.is_file() or path.parent != Path(command.script.dir).resolve() / "versions" / name:
        raise MigrationError(
            Code.RENUMBER, f"{command.options.revision_file} is no file of migrations/versions/DATABASE/"
        )
    files = read_folder(path.parent, name)
    [file] = [each for each in files if Path(each.path).resolve() == path]
    _check_is_last(file, files)
    left = revisions.without(file.path, name)
    branch = left.branch(name)
    _check_not_applied(command, name, file, branch)
    new = _renumbered(path, file, left.next_id(name), branch.head)
    print(f"{file.place} is {new} now, and follows {branch.head or 'no revision'}")
    return ExitCode.OK


def _check_is_last(file: RevisionFile, files: list[RevisionFile]) -> None:
    """Refuse a file that others follow; those that follow an id of two files follow the other one."""
    others = [each for each in files if each is not file]
    followers = [each.place for each in others if file.revision in (*each.parents, *each.dependencies)]
    if followers and file.revision not in {each.revision for each in others}:
        raise MigrationError(Code.RENUMBER, f"{', '.join(followers)} follows {file.place}: renumber the last one")


def _check_not_applied(command: Command, name: str, file: RevisionFile, branch: Branch) -> None:
    try:
        [movements] = journal.read_of_all(command.configuration.databases([name]), journal.movements).values()
    except MigrationError as error:
        with for_database(name):
            log.info("whether it has run %s is not known: %s", file.revision, explain(error))
        return
    if applied(movements, branch).get(file.revision) == journal.digest(Path(file.path)):
        before = ", ".join(file.parents) or "base"
        raise MigrationError(Code.RENUMBER, f"it has run {file.place}: `alembic downgrade {name}@{before}` first", name)


def _renumbered(path: Path, file: RevisionFile, revision: str, head: str | None) -> str:
    """Write the file under its new name, and return that as messages give it."""
    text = RevisionText(file.path, path.read_bytes())
    text.rename({file.revision: revision})
    text.follow(head)
    new = path.with_name(path.name.replace(file.revision, revision, 1))
    if new != path and new.exists():
        raise MigrationError(Code.RENUMBER, f"there is a file {new.name} already")
    part = new.with_suffix(".part")
    part.write_bytes(text.text)
    part.replace(new)
    if new != path:
        path.unlink()
    return place_of(new)
