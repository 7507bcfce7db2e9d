"""`--sql`: write the SQL of a command as scripts for psql and sqlite3."""

import io
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, Table

from multidb.advice.codes import Code
from multidb.commands.support import script_guard, sqlite_recorder
from multidb.commands.support.origin import origin
from multidb.commands.support.script_compiler import compile_for_script, finished
from multidb.commands.support.script_journal import ScriptJournal
from multidb.config.configuration import Database
from multidb.database.probe import probing
from multidb.database.quoting import quoted
from multidb.errors import MigrationError, joined
from multidb.logs import for_database, log
from multidb.output import revisions_text
from multidb.planning import nontransactional, planner, selection
from multidb.planning.branches import Branch
from multidb.planning.environment import Environment
from multidb.planning.plan import Step, Work, around_revision, runs_file
from multidb.planning.processes import map_in_processes
from multidb.planning.selection import LIVE

# sqlite3 only prints what a PRAGMA finds; a CHECK that fails stops it, under -bail, before the COMMIT.
_SQLITE_CHECK = (
    "CREATE TEMP TABLE dangling (row_of TEXT CHECK (row_of IS NULL))",
    'INSERT INTO temp.dangling SELECT "table" FROM pragma_foreign_key_check',
    "DROP TABLE temp.dangling",
)
# What may change the session, as the baselines of pg_dump do.
_SETS = re.compile(r"^\s*SET\s|\bset_config\s*\(", re.IGNORECASE | re.MULTILINE)


class SqlScript:
    """The script of one database.

    Args:
        start: the revisions that the script begins at; none is the base.
        written_by: the commit of the files and the person, as `origin` gives them.
    """

    def __init__(
        self,
        environment: Environment,
        database: Database,
        start: tuple[str, ...],
        written_by: Mapping[str, str | None],
    ) -> None:
        self.environment = environment
        self.database = database
        self.output = io.StringIO()
        self._start = start
        self._heads: tuple[str, ...] = ()  # where the script is
        request, release = environment.request, environment.settings.release
        typed = shlex.join([request.command, *request.symbols, "--sql"])
        self._journal = ScriptJournal(database, typed, release, written_by)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alembic's context in this database, inside a transaction of the script."""
        request, start = self.environment.request, self._start
        with self.environment.working_on(self.database.name) as branch:
            if request.command == "upgrade":
                branch.check_destination(request.symbols[0])
            self.output.write(f"-- {self.database.name}: {request.command}\n\n")
            if self.database.is_sqlite:
                self._line("PRAGMA foreign_keys = OFF", "BEGIN")
                with sqlite_recorder.recorded(self.environment, self.database, start, self.output, self._journal):
                    yield
                self._line(*_SQLITE_CHECK, *self._journal.statements(), "COMMIT")
            else:
                self._line(*self._settings())
                work = nontransactional.around(
                    planner.work_in(self.environment, self.database), self._leave_transaction, self._enter_transaction
                )
                self.environment.configure_script(
                    self.database,
                    work=self._guarded(self._journal.following(work)),
                    output=self.output,
                    start=start or ("base",),
                    on_version_apply=self._note,
                )
                compile_for_script(context.get_context().dialect)
                with context.begin_transaction():
                    schema = self.database.version_table.schema
                    if schema is not None and not start:
                        self._line(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
                    yield
                    self._line(*self._journal.statements())

    def _settings(self) -> list[str]:
        """Limits as a run has them: a script that waits for a lock makes everything behind it wait, too."""
        statements = self.environment.settings.limits(self.database.options).statements
        limits = [each for each in statements if not each.endswith("= 0")]  # which is a session's own default
        return ["SET client_encoding = 'UTF8'", *limits]

    def _guarded(self, work: Work) -> Work:
        """Alembic's work, behind a statement that stops the script where the database is at another revision."""

        def steps(heads: tuple[str, ...], migration_context: MigrationContext) -> Any:
            self._heads = heads
            self._guard()
            return map(self._restoring, work(heads, migration_context))

        return steps

    def _restoring(self, step: Step) -> Step:
        """A step after which the session is as it was, if it may have changed that: for the record, and the next."""
        began = 0

        def begin() -> None:
            nonlocal began
            began = self.output.tell()

        def restore() -> None:
            if _SETS.search(self.output.getvalue()[began:]):
                self._line("RESET ROLE", "RESET ALL", *self._settings())

        return around_revision(step, begin, restore) if runs_file(step) else step

    def _note(self, heads: Iterable[str], **_: object) -> None:
        self._heads = tuple(heads)
        self._journal.note(self._heads)

    def _guard(self) -> None:
        self._line(script_guard.on_postgresql(self.database, self._version_table, self._heads))

    def _leave_transaction(self) -> None:
        self._line(*self._journal.statements())
        implementation = context.get_context().impl
        implementation.emit_commit()
        implementation.transactional_ddl = False  # so that an autocommit_block() writes nothing of its own

    def _enter_transaction(self) -> None:
        implementation = context.get_context().impl
        implementation.transactional_ddl = True
        implementation.emit_begin()
        self._guard()

    def _line(self, *statements: str) -> None:
        self.output.writelines(f"{statement};\n\n" for statement in statements)

    @property
    def text(self) -> str:
        """The script, with the statements about Alembic's own table made fit for a client.

        A database that was taken down to its base has kept the table, and a script has no use for RETURNING.
        """
        table = re.escape(self._version_table)
        text = re.sub(
            rf"^CREATE TABLE (?={table} \()", "CREATE TABLE IF NOT EXISTS ", self.output.getvalue(), flags=re.MULTILINE
        )
        text = re.sub(rf"^(INSERT INTO {table} .*) RETURNING [^;]+;$", r"\1;", text, flags=re.MULTILINE)
        return finished(text)

    @property
    def _version_table(self) -> str:
        """The version table's name as Alembic writes it."""
        table = self.database.version_table
        dialect = self.database.url.get_dialect()()
        return dialect.identifier_preparer.format_table(Table(table.name, MetaData(), schema=table.schema))


def write(environment: Environment, run_migrations: Callable[[], None]) -> None:
    """Write a script per database: one goes to stdout, several go to files.

    Each is made in a process of its own, as its database would be migrated in one.

    Args:
        run_migrations: Alembic's; runs the command in the context of one script.

    Raises:
        MigrationError: a script can't be made, or a file not be written; none is left half-written.
    """

    def text_of(script: SqlScript) -> str:
        with script.writing(), redirect_stdout(sys.stderr):  # what a revision prints is no part of its script
            run_migrations()
        return script.text

    starts, errors = _starts(environment)
    written_by = origin(environment.root, environment.settings.by)
    databases = [each for each in environment.databases if each.name in starts]
    scripts = [SqlScript(environment, each, starts[each.name], written_by) for each in databases]
    folder = selection.option(environment.x_arguments, "sql_dir")
    if len(environment.databases) == 1 and folder is None:
        if errors:
            raise joined(errors)
        for text in map(text_of, scripts):
            output = environment.config.output_buffer or sys.stdout
            if isinstance(output, io.TextIOWrapper):
                output.reconfigure(encoding="utf-8")  # whatever the locale: the script says so
            output.write(text)
        return
    found = map_in_processes(text_of, scripts, 1)
    errors += [each for each in found if isinstance(each, MigrationError)]
    texts = {script.database.name: text for script, text in zip(scripts, found, strict=True) if isinstance(text, str)}
    _write_files(texts, folder or "sql")
    if errors:  # the other databases have their scripts
        raise joined(errors)


def _starts(environment: Environment) -> tuple[dict[str, tuple[str, ...]], list[MigrationError]]:
    """Where the script of each database begins; none of one that is at its head, and errors of those not reached."""
    start = (environment.request.start or "base").rpartition("@")[2]
    if start != LIVE:
        return {each.name: () if start == "base" else (start,) for each in environment.databases}, []
    found: dict[str, tuple[str, ...]] = {}
    errors: list[MigrationError] = []
    with probing(environment.databases, environment.settings.wait, keeps_sessions=False) as probes:
        for probe in probes:
            try:
                with environment.working_on(probe.database.name) as branch:
                    heads = _recorded(branch, probe.result().heads)
            except MigrationError as error:
                errors.append(error)
                continue
            if planner.is_at_head(environment, probe.result()):
                with for_database(probe.database.name):
                    log.info("nothing to do: it is at %s", revisions_text(heads))
            else:
                found[probe.database.name] = heads
    return found, errors


def _recorded(branch: Branch, heads: tuple[str, ...]) -> tuple[str, ...]:
    """The revisions that a database is at. MigrationError if a row has a former id of one, which no script replaces."""
    standing = revisions_text(branch.standing(heads))
    if not all(map(branch.knows, heads)):
        raise MigrationError(
            Code.NOT_AT_HEAD,
            f"it is at {revisions_text(heads)}, a former id: `alembic upgrade {standing}` records the new one",
        )
    return heads


def _write_files(texts: Mapping[str, str], folder: str) -> None:
    """Write all scripts under temporary names first, so that a full disk leaves the old files whole."""
    places = {name: Path(folder) / f"{name}.sql" for name in texts}
    temporary = [place.with_suffix(".sql.part") for place in places.values()]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for text, part in zip(texts.values(), temporary, strict=True):
            part.write_text(text, encoding="utf-8")
        for (name, place), part in zip(places.items(), temporary, strict=True):
            part.replace(place)
            with for_database(name):
                log.info("written to %s", place)
    except OSError as error:
        for part in temporary:
            with suppress(OSError):
                part.unlink()
        raise MigrationError(
            Code.NOT_WRITTEN,
            f"{folder}: the SQL can't be written: {error.strerror}: name another directory with -x sql_dir=DIR",
        ) from error
