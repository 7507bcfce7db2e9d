"""Compare a database with its models.

Only the commands that compare import this module: it loads the models and the comparison plugins.
"""

import importlib
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any

from alembic import context
from alembic.autogenerate import RevisionContext
from alembic.config import Config
from alembic.operations.ops import MigrationScript
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from multidb.autogenerate.wording import sentences
from multidb.config.configuration import Database
from multidb.database import connections, journal
from multidb.errors import MigrationError, explain
from multidb.output import revisions_text
from multidb.planning.environment import Environment

try:
    import alembic_postgresql_enum  # noqa: F401 - its import adds it to Alembic's comparators
except ModuleNotFoundError as error:
    raise MigrationError(f"comparing needs {error.name}: `pip install --require-hashes -r constraints.txt`") from error

PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"]
# PostGIS keeps spatial_ref_sys in the database's default schema, as other extensions do with their tables.
_EXTENSION_TABLES = """
    SELECT relname FROM pg_class JOIN pg_depend ON objid = pg_class.oid
    WHERE classid = 'pg_class'::regclass AND deptype = 'e' AND relkind IN ('r', 'p')
    AND pg_table_is_visible(pg_class.oid)
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
    metadata = models_metadata(database)
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
        heads = environment.configure_reading(database, connection).get_current_heads()
        branch.check_known(heads)
        if set(heads) != set(branch.heads):
            place = f"at {revisions_text(heads)}, not at its head {revisions_text(branch.heads)}"
            raise MigrationError(f"{place}: run `alembic upgrade {database.name}@head` first", database.name)
        environment.configure_reading(
            database,
            connection,
            work=compare_once,
            target_metadata=metadata,
            autogenerate_plugins=PLUGINS,
            include_name=_the_models_own(connection, database),
            render_item=_spatial_types if "postgis" in database.extensions else _no_special_types,
        )
        context.run_migrations()
    return Comparison(database, differences, said, own)


def models_metadata(database: Database) -> MetaData:
    """The MetaData of a database's models. A module that can't be imported or has none raises MigrationError."""
    name, models = database.name, database.models
    try:
        metadata = importlib.import_module(models).Base.metadata
    except ModuleNotFoundError as error:
        if error.name and models.startswith(error.name):
            raise MigrationError(
                f"there is no module {models}: write it, or correct `models:` in databases.yaml", name
            ) from error
        raise MigrationError(f"{models} can't be imported: {error}", name) from error
    except AttributeError as error:
        raise MigrationError(f"{models} has no Base with a metadata: see models/auth.py", name) from error
    except Exception as error:
        raise MigrationError(f"{models} can't be imported: {explain(error)}", name) from error
    if not isinstance(metadata, MetaData):
        raise MigrationError(f"{models}.Base.metadata is no MetaData", name)
    return metadata


def _the_models_own(connection: Connection, database: Database) -> Callable[..., bool]:
    """A filter that excludes the journal, and the tables that belong to an extension."""
    owned = {journal.NAME}
    if not database.is_sqlite:
        owned |= set(connection.exec_driver_sql(_EXTENSION_TABLES).scalars())

    def include_name(name: str | None, kind: str, _parents: MutableMapping[str, str | None]) -> bool:
        return kind != "table" or name not in owned

    return include_name


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
