"""Compare a database with its models.

Only the commands that compare import this module: it loads the models and the comparison plugins.
"""

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from alembic import context
from alembic.autogenerate import RevisionContext
from alembic.config import Config
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from multidb.autogenerate.models import metadata_of
from multidb.autogenerate.wording import sentences
from multidb.config.configuration import Database
from multidb.database import connections, journal
from multidb.errors import MigrationError
from multidb.planning.environment import Environment
from multidb.schema.objects import is_ignored

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
    differences: list[tuple[Any, ...]]
    sentences: list[str]
    revision: RevisionContext

    def print(self, config: Config) -> None:
        """Print each difference as a sentence, under the database's name."""
        config.print_stdout("\n    ".join([self.database.name, *self.sentences]))

    def write(self) -> None:
        """Write the revision. Alembic's context has to be on the database's branch."""
        list(self.revision.generate_scripts())


def compare(environment: Environment, database: Database, arguments: dict[str, Any]) -> Comparison:
    """Compare one database with its models. Alembic's context has to be on its branch.

    The arguments are those of the revision that removes the differences, as Alembic's RevisionContext takes them. A
    database that is not at head, or whose models can't be imported, raises MigrationError.
    """
    metadata = metadata_of(database)
    branch = environment.branch(database.name)
    own = RevisionContext(environment.config, branch.directory, arguments)
    differences: list[tuple[Any, ...]] = []
    said: list[str] = []

    def compare_once(revision: Any, alembic: MigrationContext) -> list[Any]:
        # A copy: the next database's configure() would change the options that this one is rendered with.
        alembic.opts = dict(alembic.opts)
        own.run_autogenerate(revision, alembic)
        [script] = own.generated_revisions
        assert script.upgrade_ops is not None
        differences.extend(script.upgrade_ops.as_diffs())
        said.extend(sentences(script.upgrade_ops, alembic.dialect))
        _self_contained(database, alembic, revision, script)
        return []

    with connections.connect(database.url) as connection:
        branch.check_at_head(environment.configure_reading(database, connection).get_current_heads())
        environment.configure_reading(
            database,
            connection,
            work=compare_once,
            target_metadata=metadata,
            autogenerate_plugins=PLUGINS,
            include_name=_the_models_own(connection, database),
            include_object=_not_ignored(database),
            render_item=_spatial_types if "postgis" in database.extensions else _no_special_types,
        )
        context.run_migrations()
    return Comparison(database, differences, said, own)


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


def _no_special_types(_kind: str, _item: object, _context: object) -> bool:
    return False


def _spatial_types(kind: str, item: object, autogen_context: Any) -> str | bool:
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
