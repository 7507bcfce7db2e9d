"""Every use of Alembic's private or undocumented API, in one place.

docs/alembic-internals.md lists each with its reason; tests/planning/test_alembic_internals.py notices when one changes.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _render_cmd_body, _repr_type
from alembic.config import Config
from alembic.ddl import DefaultImpl
from alembic.operations import batch
from alembic.operations.ops import MigrateOperation, UpgradeOps
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, StampStep
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionMap
from alembic.util import CommandError
from alembic.util.sqla_compat import _ensure_scope_for_ddl
from sqlalchemy import Constraint, MetaData

from multidb.planning.plan import Step, Work

Heads = tuple[str, ...]


def options() -> dict[str, Any]:
    """The options that Alembic's command handed to its EnvironmentContext; `configure` adds to them."""
    context.configure(dialect_name="postgresql+psycopg2")  # a context has to exist; any dialect would do
    return context.get_context().opts


def command_name(work: Work) -> str:
    """The command whose work this is.

    Alembic names the command nowhere, but each command's work is a function inside the command's own:
    `upgrade.<locals>.upgrade`, `current.<locals>.display_version`.
    """
    return work.__qualname__.partition(".")[0]


def set_starting_revision(start: tuple[str, ...] | None) -> None:
    """Set the one option that `configure` can set but not unset."""
    context.get_context().opts["starting_rev"] = start


def upgrade_steps(script: ScriptDirectory, destination: str | Heads, heads: Heads) -> list[Step]:
    """The steps up to a revision: the private half of `alembic upgrade`."""
    return list(
        script._upgrade_revs(cast(str, destination), cast(str, heads))
    )  # takes what get_current_heads() returns


def downgrade_steps(script: ScriptDirectory, destination: str, heads: Heads) -> list[Step]:
    """The steps down to a revision: the private half of `alembic downgrade`."""
    return list(script._downgrade_revs(destination, cast(str, heads)))


def stamp_steps(script: ScriptDirectory, revisions: str | tuple[str, ...], heads: Heads) -> list[Step]:
    """The steps that record one revision or several: the private half of `alembic stamp`.

    MigrationContext.stamp() would write them at once.
    """
    return list(script._stamp_revs(revisions, heads))


def script_of(path: str) -> Script:
    """Import a revision file and read its ids: what a ScriptDirectory does with each of its files.

    Raises:
        CommandError: the file has no id.
    """
    script = Script._from_path(cast(ScriptDirectory, SimpleNamespace(sourceless=False)), path)
    if script is None:
        raise CommandError("the file's name is not one of a revision")
    return script


def replacing_step(script: ScriptDirectory, before: tuple[str, ...], after: tuple[str, ...]) -> Step:
    """A step that records revisions which the script directory does not have; either side has only one."""
    return StampStep(before, after, True, False, script.revision_map)


@contextmanager
def showing(script: ScriptDirectory, revision_map: RevisionMap) -> Iterator[None]:
    """Let Alembic see the revisions of this map only."""
    whole = script.revision_map
    script.revision_map = revision_map
    try:
        yield
    finally:
        script.revision_map = whole


@contextmanager
def captured_output(config: Config) -> Iterator[io.StringIO]:
    """Collect what a command of Alembic prints."""
    stdout, captured = config.stdout, io.StringIO()
    config.stdout = captured
    try:
        yield captured
    finally:
        config.stdout = stdout


def replace_generate_revision(script: ScriptDirectory, function: Callable[..., Any]) -> None:
    """Let `alembic merge` write its file by this function.

    Alembic tells env.py nothing of what it will merge; the call that writes the file is the first to know. Only this
    instance is changed: it belongs to the command, and ends with it.
    """
    script.generate_revision = function  # type: ignore[method-assign]


def replace_default_comparison(alembic: MigrationContext, differs: Callable[[Any], bool | None]) -> None:
    """Let a function of the models' column decide whether its default differs; None leaves it to Alembic.

    A function for `compare_server_default` would be called for a computed column, too, and fail there. Only this
    context's `impl` is changed.
    """
    impl: Any = alembic.impl
    compare = impl.compare_server_default

    def compare_server_default(live: Any, model: Any, *rendered: Any) -> bool:
        found = differs(model)
        return bool(compare(live, model, *rendered)) if found is None else found

    impl.compare_server_default = compare_server_default


def replace_expressions(alembic: MigrationContext, render: Callable[..., str]) -> None:
    """Let a function have the last word on the text of expressions in revision files: CHECK, default, index.

    The function takes the text, and `has_binds`, whether the revision has it in a `text()`.
    """
    impl: Any = alembic.impl
    compiled = impl.render_ddl_sql_expr

    def render_ddl_sql_expr(expression: Any, is_server_default: bool = False, **options: Any) -> str:
        text = compiled(expression, is_server_default=is_server_default, **options)
        return render(text, has_binds=not options.get("is_index"))

    impl.render_ddl_sql_expr = render_ddl_sql_expr


@dataclass(frozen=True)
class Batch:
    """What a `batch_alter_table()` asks for: its operations, as methods of an `impl` take them, and its arguments."""

    table: str
    schema: str | None
    operations: Sequence[tuple[str, tuple[Any, ...], dict[str, Any]]]
    always: bool  # whether the table is rebuilt whatever the operations are
    additions: Sequence[Any]  # `table_args`
    options: Mapping[str, Any]  # `table_kwargs`
    described: Sequence[Any]  # columns and constraints of the table as the revision describes it
    naming_convention: Mapping[str, str]
    orders: Sequence[Sequence[str]]  # `partial_reordering`
    impl: DefaultImpl


@contextmanager
def batches_applied_by(dialect: str, apply: Callable[[Batch], None]) -> Iterator[None]:
    """Let a function do what batch mode does by copying a table, in databases of one dialect.

    A revision's `op` makes the object that is replaced here; nothing public is between them.
    """
    original = batch.BatchOperationsImpl

    class Batches(original):  # type: ignore[misc, valid-type]
        def flush(self) -> None:
            if self.dialect.name != dialect or self.impl.as_sql or not self._should_recreate():
                super().flush()
                return
            copied = self.copy_from.to_metadata(MetaData()).constraints if self.copy_from is not None else ()
            found = Batch(
                self.table_name,
                self.schema,
                self.batch,
                self.recreate == "always",
                self.table_args,
                self.table_kwargs,
                [*copied, *self.reflect_args],
                self.naming_convention or {},
                self.partial_reordering or (),
                self.impl,
            )
            with _ensure_scope_for_ddl(self.impl.connection):  # a transaction, if none is open
                apply(found)

    batch.BatchOperationsImpl = Batches  # type: ignore[misc]
    try:
        yield
    finally:
        batch.BatchOperationsImpl = original  # type: ignore[misc]


def is_type_bound(constraint: Constraint) -> bool:
    """Whether a type has made the constraint, as Boolean and Enum make CHECKs."""
    return bool(constraint._type_bound)


def rendered(operation: MigrateOperation, alembic: MigrationContext) -> tuple[str, set[str]]:
    """An operation as a revision file has it, and the imports that it needs."""
    autogen_context = AutogenContext(alembic, autogenerate=False)
    return _render_cmd_body(UpgradeOps([operation]), autogen_context), autogen_context.imports


def rendered_type(type_: Any, autogen_context: Any) -> str:
    """A type as a revision file has it."""
    return str(_repr_type(type_, autogen_context))


def run_env(config: Config, extra_options: Mapping[str, Any]) -> None:
    """Run env.py as Alembic's own commands do.

    The command given to env.py has no destination and no step, and may not even create `alembic_version`: an env.py
    that ignores the extra options changes nothing.
    """
    script = ScriptDirectory.from_config(config)
    with EnvironmentContext(config, script, fn=no_steps, destination_rev=(), dont_mutate=True, **extra_options):
        script.run_env()


def no_steps(_heads: Heads, _context: MigrationContext) -> list[Step]:
    """The work of a command that changes nothing."""
    return []
