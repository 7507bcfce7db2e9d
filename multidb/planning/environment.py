"""The request that Alembic handed to env.py, and the databases it addresses, each with its branch and context."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

from alembic import context
from alembic.autogenerate import RevisionContext
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData

from multidb import logs
from multidb.advice.codes import Code
from multidb.config import reader, settings
from multidb.config.configuration import Configuration, Database
from multidb.config.settings import Settings
from multidb.errors import MigrationError, in_database, joined
from multidb.planning import alembic_internals, branch_checks, selection
from multidb.planning.branches import Branch, Revisions
from multidb.planning.plan import Work
from multidb.planning.targets import OPTION, Targets

FILE = "multidb.file"
"""The key of `Config.attributes` that names the databases.yaml of `python -m multidb -f`."""

_RUNS = ("upgrade", "downgrade", "stamp", "rollback", "adopt")


@dataclass(frozen=True)
class Request:
    """The command that Alembic runs.

    The destination arrives twice: `symbols` has it as it was typed, to find out which databases are meant; `work`
    closes over its own copy, and gives the steps. Both come from one call, so they agree.
    """

    command: str  # `upgrade`, `current`, `rollback`
    symbols: tuple[str, ...]
    start: str | None  # the revision that `--sql` starts from
    work: Work  # gives the steps, or does the command's work
    revision_context: RevisionContext | None
    targets: Targets | None
    purge: bool

    @classmethod
    def received(cls) -> "Request":
        """Read the request from the options that Alembic hands to a MigrationContext.

        `get_revision_argument()` would lose the label of `auth_db@+1`; the options have the destination as typed.
        """
        options = alembic_internals.options()
        work: Work = options["fn"]
        destination = options.get("destination_rev", ())
        symbols = (destination,) if isinstance(destination, str) else tuple(destination)
        revision_context: RevisionContext | None = options.get("revision_context")
        if revision_context is not None:
            symbols = (revision_context.command_args["head"] or "head",)
        targets: Targets | None = options.get(OPTION)
        command = targets.command if targets else alembic_internals.command_name(work)
        start, purge = options.get("starting_rev"), bool(options.get("purge"))
        return cls(command, symbols, start, work, revision_context, targets, purge)


class Environment:
    """The databases that a command addresses, each with its branch and its Alembic context."""

    def __init__(self) -> None:
        self.config = context.config
        self.connection = _given_connection(self.config)
        self.script = context.script
        self.request = Request.received()
        given = selection.option(self.x_arguments, "file")
        file: Path = self.config.attributes.get(FILE) or (
            Path(given).resolve() if given else self.root / "databases.yaml"
        )
        self.configuration: Configuration = reader.load(file)
        branch_checks.check_folders(self.script, self.configuration.names)
        self.revisions = Revisions(self.script, self.configuration.names)
        self.revisions.check_unique()
        symbols = (*self.request.symbols, *([self.request.start] if self.request.start else []))
        names = self.configuration.names
        self.selected = selection.addressed(symbols, self.x_arguments, names, self.revisions.owners)
        self.settings: Settings = settings.of_a_run(self.configuration.options, self.x_arguments)
        is_run = self.request.command in _RUNS and not context.is_offline_mode() and self.connection is None
        if self.settings.report is not None and not is_run and self.request.work is not alembic_internals.no_steps:
            raise MigrationError(Code.OPTION, "-x report= is for a run, and this command is none: leave it out")

    @property
    def root(self) -> Path:
        """The folder of the checkout, where databases.yaml is."""
        return Path(self.script.dir).resolve().parent

    @property
    def x_arguments(self) -> list[str]:
        return context.get_x_argument(as_dictionary=False)

    @property
    def names_databases(self) -> bool:
        """Whether the command names its databases, rather than addressing all."""
        return len(self.selected) < len(self.configuration.names) or bool(selection.option(self.x_arguments, "db"))

    @cached_property
    def databases(self) -> list[Database]:
        return self.configuration.databases(self.selected)

    def branch(self, name: str) -> Branch:
        """The branch of a database. MigrationError if it can't be loaded."""
        return self.revisions.branch(name)

    def check_branches(self) -> None:
        """Raise MigrationError if branches can't be loaded; names all of them."""
        errors = []
        for name in self.selected:
            try:
                with logs.for_database(name), in_database(name):
                    self.branch(name)
            except MigrationError as error:
                errors.append(error)
        if errors:
            raise joined(errors)

    def databases_of(self, symbol: str) -> set[str]:
        """The databases that a revision's symbol names; none for one that every branch has, such as `heads`."""
        return selection.databases_of(symbol, self.configuration.names, self.revisions.owners, set(self.selected))

    @contextmanager
    def working_on(self, name: str) -> Iterator[Branch]:
        """Let Alembic see one database's branch, and name the database in log lines and errors."""
        with logs.for_database(name), in_database(name):
            branch = self.branch(name)
            with alembic_internals.showing(self.script, branch.revision_map):
                yield branch

    def option(self, name: str) -> Any:
        """An option of the command line, or None where there is none."""
        return getattr(self.config.cmd_opts, name, None)

    def configure_migration(
        self, database: Database, connection: Connection, work: Work | None = None, **options: Any
    ) -> None:
        """Set Alembic's context to run migrations in a database, with options of `EnvironmentContext.configure`."""
        self._configure(database, work, connection=connection, **options)

    def configure_reading(
        self, database: Database, connection: Connection, work: Work | None = None, **options: Any
    ) -> MigrationContext:
        """Set Alembic's context to read a database; not even `alembic_version` is created."""
        return self._configure(database, work, connection=connection, dont_mutate=True, **options)

    def configure_script(
        self, database: Database, work: Work, output: TextIO, start: tuple[str, ...], **options: Any
    ) -> None:
        """Set Alembic's context to write a database's SQL script, which starts from these revisions."""
        self._configure(database, work, start, url=database.public_url, output_buffer=output, as_sql=True, **options)

    def _configure(
        self, database: Database, work: Work | None, start: tuple[str, ...] | None = None, **options: Any
    ) -> MigrationContext:
        """Set Alembic's context. Options stay from one `configure` to the next, so each is given every time."""
        alembic_internals.set_starting_revision(start)
        defaults = {
            "connection": None,
            "url": None,
            # Alembic names what a revision leaves unnamed by the convention of this.
            "target_metadata": MetaData(naming_convention=database.naming_convention or None),
            "transactional_ddl": True,
            "on_version_apply": None,
            "output_buffer": None,
            "dont_mutate": False,
            "as_sql": False,
            "purge": False,
            "compare_type": True,
            "version_table": database.version_table.name,
            "version_table_schema": database.version_table.schema,
        }
        context.configure(
            dialect_opts={"paramstyle": "named"},
            literal_binds="connection" not in options,
            compare_server_default=True,
            render_as_batch=database.is_sqlite,
            fn=work or self.request.work,
            **defaults | options,
        )
        return context.get_context()


def _given_connection(config: Config) -> Connection | None:
    """The connection of a caller that runs Alembic from Python, or None.

    Raises:
        MigrationError: the caller names a database in a way that would be ignored, and all databases be migrated.
    """
    if config.get_main_option("sqlalchemy.url"):
        raise MigrationError(
            Code.CALLER,
            "sqlalchemy.url is not used: set the URL of a database in its variable, such as AUTH_DB_URL, or give a "
            "connection in attributes['connection']",
        )
    for key, value in config.attributes.items():
        is_sqlalchemys = type(value).__module__.partition(".")[0] == "sqlalchemy"
        if is_sqlalchemys and not (key == "connection" and isinstance(value, Connection)):
            raise MigrationError(
                Code.CALLER,
                f"attributes['{key}'] is of the type {type(value).__name__}: give a Connection in "
                "attributes['connection'], and name its database, as in auth_db@head",
            )
    given: Connection | None = config.attributes.get("connection")
    if given is not None and not isinstance(given, Connection):
        raise MigrationError(
            Code.CALLER, f"attributes['connection'] is of the type {type(given).__name__}: give a Connection"
        )
    return given


@contextmanager
def without_env_py(config: Config, script: ScriptDirectory) -> Iterator[Environment]:
    """The environment of a command that is not Alembic's, and runs no migration in the databases."""
    with EnvironmentContext(config, script, fn=alembic_internals.no_steps, destination_rev="heads"):
        yield Environment()
