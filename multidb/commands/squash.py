"""`squash`: write one revision that makes what a branch makes up to a revision, in place of all these files.

The new file `replaces` them. On PostgreSQL it runs a dump of the replayed branch, a file beside it. It is proved before
the former files are deleted: what it makes in an empty database is compared with what they make, rows included.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from multidb.advice.codes import Code
from multidb.autogenerate.expressions import for_text
from multidb.autogenerate.operations import Names
from multidb.autogenerate.rendering import literal_of
from multidb.autogenerate.workspace import Workspace, work_in
from multidb.commands.support.command import Command
from multidb.commands.support.new_files import removed_on_failure
from multidb.config.configuration import Database
from multidb.database.probe import probing
from multidb.errors import ExitCode, MigrationError, explain, nearest, reason_of
from multidb.logs import for_database, log
from multidb.output import count_of, revisions_text
from multidb.planning.branches import LONGEST_ID, Branch
from multidb.planning.environment import Environment
from multidb.planning.revision_files import RevisionFile
from multidb.planning.revision_text import RevisionText, literal
from multidb.planning.selection import known_names
from multidb.replay import baseline
from multidb.replay.replay import Position, Replays
from multidb.schema.changes import changes, comparable
from multidb.schema.diff import differences
from multidb.schema.objects import Schema

_ASIDE = ".squashed"  # the folder of the former files until the new one is proved
_TEXT = '''"""squash {first} to {last}

Revision ID: {revision}
Revises:
Create Date: {now}
"""

{imports}from alembic import op

revision = "{revision}"
down_revision = None
branch_labels = {labels}
depends_on = None
replaces = {replaces}
{constants}

def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''
_RUNS_FILE = '    op.execute(SQL.read_text(encoding="utf-8").replace(":", r"\\:"))  # the text has no parameters'


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("database", metavar="DATABASE")
    parser.add_argument("revision", metavar="REVISION", help="the last revision that is squashed")


@dataclass(frozen=True)
class _Made:
    """What a branch makes up to a revision."""

    base: Schema  # of an empty database
    schema: Schema
    sql: str | None  # PostgreSQL's dump
    statements: tuple[str, ...]  # those of SQLite


def run(command: Command) -> ExitCode:
    """Raise MigrationError if the revisions can't be squashed; no file is changed then."""
    [name] = known_names([command.options.database], command.configuration.names)
    last = command.options.revision
    with command.environment() as environment:
        branch = environment.branch(name)
        files = _squashed(branch, last)
        _check_live(command, branch, {file.revision for file in files} - {last})
        [database] = environment.configuration.databases([name])
        made = _made(environment, database, last)
    new = f"{last}_squashed"
    if len(new) > LONGEST_ID or branch.knows(new):
        raise MigrationError(Code.SQUASH, f"the new id {new} is taken, or longer than {LONGEST_ID} characters", name)
    followers = [file for file in branch.files.values() if file not in files]
    with removed_on_failure([branch.folder]), _aside(branch.folder, files, followers):
        path = _write(branch, files, made, new)
        for follower in followers:
            text = RevisionText(follower.path, Path(follower.path).read_bytes())
            text.rename({last: new})
            Path(follower.path).write_bytes(text.text)
        with command.environment() as environment:
            again = _made(environment, database, new)
            _check_equal(made, again, name)
            flaw = _downgrade_flaw(environment, database, new, made)
    print(f"{name}: {path.name} replaces {count_of(len(files), 'revision')}, and makes the same schema and rows")
    if flaw:
        print(f"    downgrade() of {path.name} does not lead back, correct it by hand: {flaw}")
        return ExitCode.FOUND
    return ExitCode.OK


def _squashed(branch: Branch, last: str) -> list[RevisionFile]:
    """The files up to a revision, in their order. MigrationError if others follow one before the last."""
    if not branch.knows(last):
        raise MigrationError(
            Code.REVISION_NAME,
            f"there is no revision {last!r} of this branch{nearest(last, branch.files)}",
            branch.database,
        )
    scripts = reversed(list(branch.revision_map.iterate_revisions(last, "base")))
    files = [branch.files[script.revision] for script in scripts]
    if len(files) < 2:
        raise MigrationError(Code.SQUASH, f"{last} is the first revision: there is nothing to squash", branch.database)
    gone = {file.revision for file in files} - {last}
    for file in branch.files.values():
        if file not in files and gone & {*file.parents, *file.dependencies}:
            raise MigrationError(
                Code.SQUASH, f"{file.place} follows a revision before {last}: squash up to an earlier one"
            )
    return files


def _check_live(command: Command, branch: Branch, before: set[str]) -> None:
    """Refuse to delete revisions that the live database is yet to run."""
    name, last = branch.database, command.options.revision
    with probing(command.configuration.databases([name])) as [probe]:
        try:
            heads = branch.known(probe.result().heads)
        except Exception as error:
            with for_database(name):
                log.info("whether it has run %s is not known: %s", last, explain(error))
            return
    if before & set(heads):
        raise MigrationError(Code.SQUASH, f"it is at {revisions_text(heads)}: `alembic upgrade {last}` first", name)


def _made(environment: Environment, database: Database, revision: str) -> _Made:
    """Replay a branch up to a revision, and dump what it makes."""
    positions: list[Position] = [(), (revision,)]
    with Replays(environment) as replays:
        request = replace(replays.request_to_keep(database, (revision,)), positions=positions)
        schemas = replays.run([request])[database.name]
        if isinstance(schemas, MigrationError):
            raise schemas
        base, schema = comparable(schemas[()]), comparable(schemas[revision,])
        if database.is_sqlite:
            assert request.kept is not None
            statements = tuple(baseline.sqlite_statements(request.kept, database))
            return _Made(base, schema, None, statements)
        return _Made(base, schema, baseline.postgresql_dump(request.url, database), ())


def _write(branch: Branch, files: Sequence[RevisionFile], made: _Made, new: str) -> Path:
    path = branch.folder / f"{new}.py"
    replaced = [each for file in files for each in (*file.replaces, file.revision)]
    labels = list(dict.fromkeys(label for file in files for label in file.branch_labels)) or [branch.database]
    down = sorted(each for change in changes(made.base, made.schema) for each in change.statements)
    upgrade = _RUNS_FILE if made.sql is not None else "\n".join(map(_executed, made.statements))
    text = _TEXT.format(
        first=files[0].revision,
        last=files[-1].revision,
        revision=new,
        now=datetime.now(UTC).isoformat(" ", "seconds").removesuffix("+00:00"),
        imports="from pathlib import Path\n\n" if made.sql is not None else "",
        labels=literal(labels),
        replaces=literal(replaced),
        constants='SQL = Path(__file__).with_suffix(".sql")\n' if made.sql is not None else "",
        upgrade=upgrade or "    pass",
        downgrade="\n".join(map(_executed, dict.fromkeys(each.text for each in down))) or "    pass",
    )
    path.write_text(text, encoding="utf-8")
    if made.sql is not None:
        path.with_suffix(".sql").write_text(made.sql, encoding="utf-8")
    return path


def _executed(statement: str) -> str:
    return f"    op.execute({literal_of(for_text(statement))})"


def _check_equal(made: _Made, again: _Made, name: str) -> None:
    left = differences(made.schema, again.schema, "the former files")
    if left:
        raise MigrationError(Code.SQUASH, f"the new file would not make the same schema: {left[0].sentence}", name)
    if (_rows(made.sql), made.statements) != (_rows(again.sql), again.statements):
        raise MigrationError(Code.SQUASH, "the new file would not make the same rows: no file was changed", name)


def _rows(sql: str | None) -> list[str]:
    """The lines of a dump that are of rows, and of the values of sequences."""
    begin = ("INSERT INTO ", "\t(", "SELECT pg_catalog.setval")
    return [line for line in (sql or "").splitlines() if line.startswith(begin)]


def _downgrade_flaw(environment: Environment, database: Database, new: str, made: _Made) -> str:
    """What is wrong with the downgrade of the new file, or nothing."""
    script = environment.branch(database.name).directory.get_revision(new)
    assert script is not None
    found: list[str] = []

    def go_back(workspace: Workspace, _heads: tuple[str, ...]) -> None:
        try:
            workspace.call(script.module.downgrade)
        except Exception as error:
            found.append(reason_of(error))
        else:
            found.extend(text for change in changes(made.base, workspace.read()) for text in change.sentences)

    with Replays(environment) as replays:
        request = replays.request_to_keep(database, (new,))
        replays.run([request])
        with environment.working_on(database.name), closing(replays.open(request)) as connection:
            work_in(environment, database, connection, Names(made.base, made.schema), [], go_back)
    return next(iter(found), "")


@contextmanager
def _aside(folder: Path, files: Sequence[RevisionFile], followers: Sequence[RevisionFile]) -> Iterator[None]:
    """Put the former files aside for the block, and copies of those that follow; put them back if the block fails."""
    aside = folder / _ASIDE
    if aside.exists():
        raise MigrationError(
            Code.SQUASH, f"{aside} has the files of a squash that was killed: put them back, and delete it"
        )
    aside.mkdir()
    for file in followers:
        shutil.copy2(file.path, aside)
    for file in files:
        for path in (Path(file.path), Path(file.path).with_suffix(".sql")):  # of one that was squashed before
            if path.exists():
                path.rename(aside / path.name)
    try:
        yield
    except BaseException:
        for path in aside.iterdir():
            path.replace(folder / path.name)
        aside.rmdir()
        raise
    shutil.rmtree(aside)
