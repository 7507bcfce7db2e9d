"""`--sql`: write the SQL of a command as scripts for psql and sqlite3."""

import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, Table

from multidb.commands.support import script_guard, sqlite_recorder
from multidb.commands.support.script_compiler import compile_for_script, finished
from multidb.config.configuration import Database
from multidb.database.quoting import quoted
from multidb.errors import MigrationError, joined
from multidb.logs import for_database, log
from multidb.planning import nontransactional, planner, selection
from multidb.planning.environment import Environment
from multidb.planning.plan import Step, Work, around_revision, runs_file
from multidb.planning.processes import map_in_processes

# sqlite3 only prints what a PRAGMA finds; a CHECK that fails stops it, under -bail, before the COMMIT.
_SQLITE_CHECK = (
    "CREATE TEMP TABLE dangling (row_of TEXT CHECK (row_of IS NULL))",
    'INSERT INTO temp.dangling SELECT "table" FROM pragma_foreign_key_check',
    "DROP TABLE temp.dangling",
)
# What may change the session, as the baselines of pg_dump do.
_SETS = re.compile(r"^\s*SET\s|\bset_config\s*\(", re.IGNORECASE | re.MULTILINE)


class SqlScript:
    def __init__(self, environment: Environment, database: Database) -> None:
        self.environment = environment
        self.database = database
        self.output = io.StringIO()
        self._heads: tuple[str, ...] = ()  # where the script is

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alembic's context in this database, inside a transaction of the script."""
        request = self.environment.request
        start = (request.start or "base").rpartition("@")[2]
        with self.environment.working_on(self.database.name) as branch:
            if request.command == "upgrade":
                branch.check_destination(request.symbols[0])
            self.output.write(f"-- {self.database.name}: {request.command}\n\n")
            if self.database.is_sqlite:
                self._line("PRAGMA foreign_keys = OFF", "BEGIN")
                with sqlite_recorder.recorded(self.environment, self.database, start, self.output):
                    yield
                self._line(*_SQLITE_CHECK, "COMMIT")
            else:
                self._line(*self._settings())
                work = nontransactional.around(
                    planner.work_in(self.environment, self.database), self._leave_transaction, self._enter_transaction
                )
                self.environment.configure_script(
                    self.database,
                    work=self._guarded(work),
                    output=self.output,
                    start=start,
                    on_version_apply=self._note,
                )
                compile_for_script(context.get_context().dialect)
                with context.begin_transaction():
                    schema = self.database.version_table.schema
                    if schema is not None and start == "base":
                        self._line(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
                    yield

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

    def _guard(self) -> None:
        self._line(script_guard.on_postgresql(self.database, self._version_table, self._heads))

    def _leave_transaction(self) -> None:
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

    scripts = [SqlScript(environment, database) for database in environment.databases]
    texts = [text_of(scripts[0])] if len(scripts) == 1 else _texts(map_in_processes(text_of, scripts, 1))
    folder = selection.option(environment.x_arguments, "sql_dir")
    if len(scripts) == 1 and folder is None:
        output = environment.config.output_buffer or sys.stdout
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(encoding="utf-8")  # whatever the locale: the script says so
        output.write(texts[0])
    else:
        _write_files({script.database.name: text for script, text in zip(scripts, texts, strict=True)}, folder or "sql")


def _texts(found: Sequence[str | MigrationError]) -> list[str]:
    errors = [each for each in found if isinstance(each, MigrationError)]
    if errors:
        raise joined(errors)
    return [each for each in found if isinstance(each, str)]


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
            f"{folder}: the SQL can't be written: {error.strerror}: name another directory with -x sql_dir=DIR"
        ) from error
