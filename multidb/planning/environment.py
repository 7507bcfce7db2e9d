"""What Alembic handed to env.py, and the databases that it is about."""

from collections.abc import Callable, Iterator
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

from multidb import logs, naming
from multidb.config import configuration as config
from multidb.config import settings
from multidb.config.configuration import Configuration, Database
from multidb.config.settings import Settings
from multidb.errors import named
from multidb.planning import branches, selection
from multidb.planning.branches import Branch
from multidb.planning.plan import Work

FILE = "multidb.file"
"""The key of `Config.attributes` under which a command of ours says which databases.yaml it was given."""


@dataclass(frozen=True)
class Request:
    """The command that Alembic runs."""

    command: str
    symbols: tuple[str, ...]
    start: str | None
    work: Work
    revision_context: RevisionContext | None

    @classmethod
    def received(cls) -> "Request":
        """Read it from the options that Alembic hands to a MigrationContext.

        `get_revision_argument()` would lose the label of `auth_db@+1`; the options have what was typed.
        """
        context.configure(dialect_name="postgresql+psycopg2")  # any would do; this one is needed anyway
        options = context.get_context().opts
        work: Work = options["fn"]
        destination = options.get("destination_rev", ())
        symbols = (destination,) if isinstance(destination, str) else tuple(destination)
        revision_context: RevisionContext | None = options.get("revision_context")
        if revision_context is not None:
            symbols = (revision_context.command_args["head"] or "head",)
        # Alembic names the command nowhere, but each command's work is a function inside the command's own:
        # `upgrade.<locals>.upgrade`, `current.<locals>.display_version`. A test notices a change.
        command = work.__qualname__.partition(".")[0]
        return cls(command, symbols, options.get("starting_rev"), work, revision_context)


class Environment:
    """The databases that a command addresses, each with its branch and its Alembic context."""

    def __init__(self) -> None:
        self.config = context.config
        self.script = context.script
        self.offline = context.is_offline_mode()
        self.request = Request.received()
        file: Path = self.config.attributes.get(FILE) or self.root / "databases.yaml"
        self.configuration: Configuration = config.load(file)
        branches.check_folders(self.script, self.configuration.names)
        symbols = (*self.request.symbols, *([self.request.start] if self.request.start else []))
        self.selected = selection.addressed(symbols, self.x_arguments, self.configuration.names)
        self.settings: Settings = settings.of_a_run(self.configuration.options, self.x_arguments)
        self._branches: dict[str, Branch] = {}

    @property
    def root(self) -> Path:
        """The folder of the checkout, where databases.yaml is."""
        return Path(self.script.dir).resolve().parent

    @property
    def x_arguments(self) -> list[str]:
        return context.get_x_argument(as_dictionary=False)

    @property
    def named_databases(self) -> bool:
        """Whether the command says which databases it means, rather than addressing all."""
        return len(self.selected) < len(self.configuration.names) or bool(selection.option(self.x_arguments, "db"))

    @cached_property
    def databases(self) -> list[Database]:
        return self.configuration.databases(self.selected)

    def branch(self, name: str) -> Branch:
        if name not in self._branches:
            self._branches[name] = Branch(self.script, name)
        return self._branches[name]

    @contextmanager
    def working_on(self, name: str) -> Iterator[Branch]:
        """Let Alembic see one database's branch, and name the database in log lines and errors."""
        with logs.naming(name), named(name):
            branch = self.branch(name)
            with branch.narrowed():
                yield branch

    def option(self, name: str) -> Any:
        """An option of the command line, or None where there is none."""
        return getattr(self.config.cmd_opts, name, None)

    def configure(
        self,
        database: Database,
        connection: Connection | None = None,
        *,
        work: Work | None = None,
        reading: bool = False,
        metadata: MetaData | None = None,
        output: TextIO | None = None,
        start: str | None = None,
        as_sql: bool | None = None,
        transactional_ddl: bool = True,
        on_version_apply: Callable[..., None] | None = None,
        **comparison: Any,
    ) -> MigrationContext:
        """Make Alembic's context that of one database.

        Alembic keeps options from one `configure` to the next, so each one that differs is given every time.

        Args:
            database: which.
            connection: to it, or None to write SQL.
            work: what to do instead of the command's own.
            reading: nothing may be created, not even `alembic_version`.
            metadata: the models', where they are compared.
            output: where the SQL goes.
            start: the revision that the SQL starts from.
            as_sql: write SQL, whatever the command line says; None does as it says.
            transactional_ddl: whether the migrations run in a transaction.
            on_version_apply: called after each revision.
            comparison: options of autogenerate.
        """
        # The one option that configure() can set but not unset.
        context.get_context().opts["starting_rev"] = start
        context.configure(
            connection=connection,
            url=None if connection is not None else database.public_url,
            dialect_opts={"paramstyle": "named"},
            target_metadata=metadata if metadata is not None else naming.metadata(),
            literal_binds=connection is None,
            transactional_ddl=transactional_ddl,
            on_version_apply=on_version_apply,
            compare_type=True,
            compare_server_default=True,
            render_as_batch=database.is_sqlite,
            output_buffer=output,
            fn=work or self.request.work,
            dont_mutate=reading,
            as_sql=self.offline if as_sql is None else as_sql,
            **comparison,
        )
        return context.get_context()


@contextmanager
def without_env_py(config: Config, script: ScriptDirectory) -> Iterator[Environment]:
    """The environment of a command that is not Alembic's, and changes no database by itself.

    Args:
        config: Alembic's.
        script: Alembic's script directory.
    """

    def nothing(_heads: Any, _context: MigrationContext) -> list[Any]:
        return []

    with EnvironmentContext(config, script, fn=nothing, destination_rev="heads"):
        yield Environment()
