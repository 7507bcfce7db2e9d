"""`--sql`: what a command would run, as scripts for psql and sqlite3."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import context

from multidb import release, selection
from multidb.config import Database
from multidb.environment import Environment
from multidb.errors import MigrationError
from multidb.logs import log, naming

# sqlite3 prints what a PRAGMA finds and goes on; a CHECK that fails stops it, under -bail, before the COMMIT.
_SQLITE_CHECK = (
    "CREATE TEMP TABLE dangling (row_of TEXT CHECK (row_of IS NULL))",
    'INSERT INTO temp.dangling SELECT "table" FROM pragma_foreign_key_check',
    "DROP TABLE temp.dangling",
)
_CREATE_VERSION_TABLE = "CREATE TABLE alembic_version ("


class SqlScript:
    """The SQL of one database."""

    def __init__(self, environment: Environment, database: Database) -> None:
        self.environment = environment
        self.database = database
        self.output = io.StringIO()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Alembic's context in this database, inside a transaction of the script."""
        request = self.environment.request
        with self.environment.working_on(self.database.name) as branch:
            if request.command == "upgrade":
                _ = branch.head
            self.environment.configure(
                self.database,
                work=release.work_in(self.environment, self.database),
                output=self.output,
                start=(request.start or "").rpartition("@")[2] or None,
            )
            context.get_context().impl.static_output(f"-- {self.database.name}: {request.command}")
            if self.database.is_sqlite:
                context.execute("PRAGMA foreign_keys = OFF")
            else:
                context.execute("SET client_encoding = 'UTF8'")
            with context.begin_transaction():
                yield
                if self.database.is_sqlite:
                    for statement in _SQLITE_CHECK:
                        context.execute(statement)

    @property
    def text(self) -> str:
        # A database that was taken down to its base has kept the table.
        return self.output.getvalue().replace(
            _CREATE_VERSION_TABLE, _CREATE_VERSION_TABLE.replace("TABLE", "TABLE IF NOT EXISTS")
        )


@contextmanager
def scripts(environment: Environment) -> Iterator[list[SqlScript]]:
    """A script per database; when the block ends, one goes to stdout, several to files.

    Args:
        environment: the command and its databases.

    Raises:
        MigrationError: a file can't be written. None is left half-written.
    """
    found = [SqlScript(environment, database) for database in environment.databases]
    yield found
    folder = selection.option(environment.x_arguments, "sql_dir")
    if len(found) == 1 and folder is None:
        output = environment.config.output_buffer or sys.stdout
        output.write(found[0].text)
    else:
        _write_files(found, Path(folder or "sql"))


def _write_files(scripts: list[SqlScript], folder: Path) -> None:
    """Write all under temporary names first, so that a full disk leaves the old files whole."""
    places = [(script, folder / f"{script.database.name}.sql") for script in scripts]
    temporary = [place.with_suffix(".sql.part") for _, place in places]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for (script, _), part in zip(places, temporary, strict=True):
            part.write_text(script.text, encoding="utf-8")
        for (script, place), part in zip(places, temporary, strict=True):
            part.replace(place)
            with naming(script.database.name):
                log.info("written to %s", place)
    except OSError as error:
        for part in temporary:
            part.unlink(missing_ok=True)
        raise MigrationError(
            f"{folder}: the SQL can't be written: {error.strerror}: name another directory with -x sql_dir=DIR"
        ) from error
