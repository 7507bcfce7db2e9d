"""`import`: copy the revision files of another Alembic project into the branch of a database.

The files keep their ids, but for those that another branch has. The history is run in an empty scratch database, and
what has to be different here is written into the files, and printed. Nothing is kept of an import that fails.
"""

import argparse
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from alembic.script import Script

from multidb.advice.codes import Code
from multidb.commands.support.command import Command
from multidb.commands.support.new_files import removed_on_failure
from multidb.config.configuration import revision_prefix
from multidb.errors import ExitCode, MigrationError, reason_of
from multidb.output import count_of
from multidb.planning import nontransactional
from multidb.planning.branches import LONGEST_ID, Branch, Revisions
from multidb.planning.environment import Environment
from multidb.planning.revision_files import (
    OUTSIDE_TRANSACTION,
    RevisionFile,
    load,
    place_of,
    read_folder,
    versions_folder,
)
from multidb.planning.revision_text import RevisionText
from multidb.planning.selection import known_names
from multidb.replay.replay import Replays
from multidb.replay.trial import Obstacle, obstacle_in

_ADDS_VALUE = re.compile(rb"\bADD\s+VALUE\b", re.IGNORECASE)
# What an env.py sets that a database of databases.yaml can have, too.
_SETTINGS = re.compile(r"\b(version_table|version_table_schema|naming_convention)\b *[=:]")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("database", metavar="DATABASE", help="the database, which databases.yaml has")
    parser.add_argument("path", type=Path, metavar="PATH", help="the folder of the other project's revision files")


def run(command: Command) -> ExitCode:
    """Raise MigrationError if the files can't be imported; none is kept then."""
    [name] = known_names([command.options.database], command.configuration.names)
    folder = versions_folder(command.script) / name
    path: Path = command.options.path
    path = path / "versions" if (path / "versions").is_dir() else path  # the project's folder was named
    sources = _sources(path)
    if any(folder.glob("*.py")):
        raise MigrationError(Code.IMPORT, f"migrations/versions/{name} has revisions already: delete them first", name)
    is_new = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        with command.interruptible(), removed_on_failure([folder]):
            _copy(path, sources, folder)
            lines = [*_adapted(command, name, folder)]
            lines += _tried(command, name)
    except BaseException:
        for path in (*folder.glob("__pycache__"), *([folder] if is_new else [])):
            shutil.rmtree(path, ignore_errors=True)
        raise
    for line in (*lines, *_env_py(path)):
        print(line)
    branch = Revisions(command.script, [name]).branch(name)
    print(f"{name}: {count_of(len(branch.files), 'revision')} imported, the head is {', '.join(branch.heads)}")
    return ExitCode.OK


def _sources(path: Path) -> list[Path]:
    """The files to copy. MigrationError if there are none, or two would get one name."""
    found = [
        each
        for each in sorted(path.rglob("*"))
        if each.is_file() and each.suffix != ".pyc" and not each.name.startswith(("__init__", ".#"))
    ]
    revisions = [each.name for each in found if each.suffix == ".py"]
    if not revisions:
        raise MigrationError(
            Code.IMPORT, f"{path} has no revision files: name the folder with the other project's `versions`"
        )
    twice = sorted({name for name in revisions if revisions.count(name) > 1})
    if twice:
        raise MigrationError(Code.IMPORT, f"{path} has {twice[0]} in two folders: rename one of the files")
    return found


def _copy(path: Path, sources: list[Path], folder: Path) -> None:
    """Revision files of subfolders go into the branch's own folder; what they read keeps its place."""
    for source in sources:
        target = folder / (source.name if source.suffix == ".py" else source.relative_to(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _adapted(command: Command, name: str, folder: Path) -> Iterator[str]:
    """Adapt the headers; what was changed, a line each."""
    others = Revisions(command.script, [each for each in command.configuration.names if each != name])
    files = read_folder(folder, name)
    own = {file.revision for file in files}
    renamed: dict[str, str] = {}
    for file in files:
        owner = others.owner_of(file.revision)
        if owner is None and len(file.revision) <= LONGEST_ID:
            continue
        new = _free_id(file.revision, name, own | set(renamed.values()), others)
        renamed[file.revision] = new
        reason = f"{owner} has that" if owner else f"alembic_version holds at most {LONGEST_ID} characters"
        yield f"{file.place}: {file.revision} is {new} now, which replaces it: {reason}"
    has_label = any(name in file.branch_labels for file in files)
    for file in files:
        text = RevisionText(file.path, Path(file.path).read_bytes())
        before = text.text
        if file.revision in renamed:
            text.set("replaces", (*file.replaces, file.revision))
        text.rename(renamed)
        if not has_label and not file.parents:
            text.set("branch_labels", (*file.branch_labels, name))
            yield f"{file.place}: the first revision has the branch label {name} now"
        if text.text != before:
            Path(file.path).write_bytes(text.text)


def _free_id(revision: str, name: str, own: set[str], others: Revisions) -> str:
    """An id like a former one, which no branch has."""
    prefix = revision_prefix(name)
    candidates = [f"{prefix}_{revision}"[:LONGEST_ID], *(f"{prefix}_{number:04}" for number in range(1, len(own) + 2))]
    return next(each for each in candidates if each not in own and others.owner_of(each) is None)


def _tried(command: Command, name: str) -> Iterator[str]:
    """Run the history in an empty database, until it comes to its head; what had to be changed, a line each."""
    with command.environment() as environment:
        scripts = _loaded(environment, name)
    for script in scripts:
        problem = nontransactional.problem_of(script, Path(script.path).read_bytes())
        if problem is not None:
            yield _declared(script.path, f"{problem[0]}: it commits by autocommit_block()")
    while True:
        with command.environment() as environment, Replays(environment) as replays:  # which reads the files again
            [database] = environment.configuration.databases([name])
            obstacle = obstacle_in(environment, replays, database)
            if obstacle is None:
                return
            file = _cause(environment.branch(name), obstacle)
        if file is None:
            raise MigrationError(
                Code.IMPORT, f"the history can't be run in an empty database: {reason_of(obstacle.error)}", name
            )
        yield _declared(file.path, reason_of(obstacle.error))


def _loaded(environment: Environment, name: str) -> list[Script]:
    """The branch's files, each of which can be imported."""
    branch = environment.branch(name)
    scripts = [each for each in map(branch.directory.get_revision, branch.files) if each is not None]
    load(scripts)
    return scripts


def _cause(branch: Branch, obstacle: Obstacle) -> RevisionFile | None:
    """The file that may run outside a transaction, after which the history may go on; None if there is none."""
    if not obstacle.is_transaction:
        return None
    ancestors = branch.revision_map.iterate_revisions(obstacle.revision, "base")
    failed, *before = [branch.files[each.revision] for each in ancestors]
    adding = [file for file in before if _ADDS_VALUE.search(Path(file.path).read_bytes())]
    candidates = [*(adding[:1] if obstacle.is_new_value else []), failed]
    return next((file for file in candidates if not file.outside_transaction), None)


def _declared(path: str, reason: str) -> str:
    """Let a file run outside a transaction, and say why."""
    text = RevisionText(path, Path(path).read_bytes())
    text.set(OUTSIDE_TRANSACTION, value=True)
    Path(path).write_bytes(text.text)
    return f"{place_of(path)}: it has {OUTSIDE_TRANSACTION} = True now: {reason}"


def _env_py(path: Path) -> Iterator[str]:
    """The settings of the other project's env.py that the database needs in databases.yaml."""
    file = path.parent / "env.py"
    if file.is_file():
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            match = _SETTINGS.search(line)
            if match and not line.lstrip().startswith("#"):
                yield f"{file}:{number}: {match[1]}: databases.yaml has it for a database, see docs/configuration.md"
