"""Compare a database with its models.

Only the commands that compare import this module: it loads the models and the comparison plugins.
"""

import re
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from alembic import context
from alembic.autogenerate import RevisionContext
from alembic.config import Config
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, TypeDecorator
from sqlalchemy.engine import Dialect

from multidb.autogenerate.models import ModelSchemas, metadata_of
from multidb.config.configuration import Database
from multidb.database import connections, journal
from multidb.errors import MigrationError
from multidb.planning import alembic_internals
from multidb.planning.environment import Environment
from multidb.schema.declared import declared
from multidb.schema.dialect import dialect_of
from multidb.schema.diff import differences
from multidb.schema.difference import Difference
from multidb.schema.objects import Schema, is_ignored

try:
    import alembic_postgresql_enum  # noqa: F401 - its import adds it to Alembic's comparators
except ModuleNotFoundError as error:
    raise MigrationError(f"comparing needs {error.name}: `pip install --require-hashes -r constraints.txt`") from error

PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]
# PostGIS keeps spatial_ref_sys in the database's default schema, as other extensions do with their tables.
_OF_OTHERS = """
    SELECT relname FROM pg_class
    WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid) AND (relispartition OR EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    ))
"""


@dataclass(frozen=True)
class Comparison:
    """The differences between one database and its models, and the revision that removes them."""

    database: Database
    differences: list[Difference]
    revision: RevisionContext

    @property
    def is_writable(self) -> bool:
        """Whether Alembic has operations for any of the differences."""
        [script] = self.revision.generated_revisions
        return bool(script.upgrade_ops and script.upgrade_ops.as_diffs())

    def print(self, config: Config) -> None:
        """Print each difference as a sentence, under the database's name."""
        config.print_stdout("\n    ".join([self.database.name, *(each.sentence for each in self.differences)]))

    def write(self) -> None:
        """Write the revision. Alembic's context has to be on the database's branch."""
        list(self.revision.generate_scripts())


def compare(
    environment: Environment, models: ModelSchemas, database: Database, arguments: dict[str, Any]
) -> Comparison:
    """Compare one database with its models. Alembic's context has to be on its branch.

    Args:
        arguments: those of the revision that removes the differences, as Alembic's RevisionContext takes them.

    Raises:
        MigrationError: the database is not at head, or its models can't be imported or created.
    """
    branch = environment.branch(database.name)
    own = RevisionContext(environment.config, branch.directory, arguments)
    with connections.connect(database.url) as connection:
        branch.check_at_head(environment.configure_reading(database, connection).get_current_heads())
        live = dialect_of(connection, database.version_table).read(connection)
        driver = connection.connection.driver_connection
        wanted, here = declared(models.schema(database, driver, live), live)

        def compare_once(revision: Any, alembic: MigrationContext) -> list[Any]:
            # A copy: the next database's configure() would change the options that this one is rendered with.
            alembic.opts = dict(alembic.opts)
            alembic_internals.replace_default_comparison(alembic, partial(_has_other_default, wanted, here))
            with warnings.catch_warnings():
                # They say what Alembic can't compare; the differences are found without it.
                warnings.simplefilter("ignore")
                own.run_autogenerate(revision, alembic)
            [script] = own.generated_revisions
            _self_contained(database, alembic, revision, script)
            alembic_internals.replace_expressions(alembic, partial(_as_it_is, alembic.dialect))
            return []

        environment.configure_reading(
            database,
            connection,
            work=compare_once,
            target_metadata=metadata_of(database),
            autogenerate_plugins=PLUGINS,
            include_name=_the_models_own(connection, database),
            include_object=_not_ignored(database),
            render_item=partial(_render_item, "postgis" in database.extensions),
        )
        context.run_migrations()
    return Comparison(database, differences(wanted, here, "the model", database.ignored), own)


def _has_other_default(wanted: Schema, live: Schema, column: Column[Any]) -> bool | None:
    """Whether a column's default differs in what the models make; None for a column that only one of them has."""
    schema = column.table.schema if column.table.schema != live.default_schema else None
    key = "column", ".".join(filter(None, (schema, column.table.name, column.name)))
    sides = [schema.objects.get(key) for schema in (wanted, live)]
    if None in sides:
        return None
    first, second = (getattr(side, "default", None) for side in sides)
    return bool(first != second)


# A colon of text() that begins a bind parameter.
_BIND = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")


def _as_it_is(dialect: Dialect, text: str, *, has_binds: bool) -> str:
    """An expression as the models have it: Alembic renders it for a driver, and without its escapes."""
    if dialect.paramstyle in ("format", "pyformat"):
        text = text.replace("%%", "%")
    return _BIND.sub(r"\\:", text) if has_binds else text


def _the_models_own(connection: Connection, database: Database) -> Callable[..., bool]:
    """A filter that excludes the journal, partitions, and the tables that belong to an extension."""
    others = {journal.NAME}
    if not database.is_sqlite:
        others |= set(connection.exec_driver_sql(_OF_OTHERS).scalars())

    def include_name(name: str | None, kind: str, _parents: MutableMapping[str, str | None]) -> bool:
        return kind != "table" or name not in others

    return include_name


def _not_ignored(database: Database) -> Callable[..., bool]:
    """A filter that excludes what `drift: ignore` names and no model has."""

    def include_object(item: Any, name: str | None, _kind: str, is_live: bool, model: object) -> bool:
        table = item.table.name if getattr(item, "table", None) is not None else ""
        names = (name or "", f"{table}.{name}", table)
        return not is_live or model is not None or not is_ignored(names, database.ignored)

    return include_object


def _render_item(is_spatial: bool, kind: str, item: Any, autogen_context: Any) -> str | bool:
    """What a revision has in place of a type that it can't import, or False."""
    if kind == "type" and isinstance(item, TypeDecorator) and not type(item).__module__.startswith("sqlalchemy."):
        return alembic_internals.rendered_type(item.load_dialect_impl(autogen_context.dialect), autogen_context)
    if not is_spatial:
        return False
    from geoalchemy2 import alembic_helpers

    rendered: str | bool = alembic_helpers.render_item(kind, item, autogen_context)
    return rendered


def _self_contained(database: Database, alembic: MigrationContext, revision: Any, script: MigrationScript) -> None:
    """Replace the plugins' operations by ones that a revision can run without the plugins."""
    from multidb.autogenerate import enums

    if "postgis" in database.extensions:
        from geoalchemy2 import alembic_helpers

        # Without it a spatial index would be created twice, by GeoAlchemy2's column and by name.
        alembic_helpers.writer(alembic, revision, [script])
        if any(type(each).__module__ == alembic_helpers.__name__ for each in _all_operations(script.upgrade_ops)):
            # A new set: Alembic gives every script the same one.
            script.imports = script.imports | {"import geoalchemy2.alembic_helpers  # registers its operations"}
    if not database.is_sqlite:
        for operations in (script.upgrade_ops, script.downgrade_ops):
            assert operations is not None
            enums.in_plain_sql(operations, alembic.dialect)


def _all_operations(operation: Any) -> Iterator[Any]:
    """An operation and all those inside it."""
    yield operation
    for each in getattr(operation, "ops", ()):
        yield from _all_operations(each)
