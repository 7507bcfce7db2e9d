"""What the catalogs of a scratch database say of its relations, before and after each statement of a revision.

Beside the schema, which the reader of `schema` reads once for each revision, this has what no schema has: where a table
is stored, how often it was scanned, and which oid it has whatever its name is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from multidb.config.configuration import VersionTable
from multidb.database import journal
from multidb.database.connections import Driver
from multidb.database.quoting import quoted

TABLES = ("r", "p", "m")
"""The kinds of relations that have rows: tables, partitioned tables, materialized views."""

_READ = """
    WITH schemas AS (
        SELECT oid, nspname FROM pg_catalog.pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    ), relations AS (
        SELECT c.oid, s.nspname, c.relname, c.relkind, pg_catalog.pg_relation_filenode(c.oid) AS filenode,
               c.relpersistence, i.indrelid, i.indkey, i.indisvalid, c.relispartition,
               (SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid LIMIT 1) AS parent
        FROM pg_catalog.pg_class c JOIN schemas s ON s.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
        WHERE c.relkind IN ('r', 'p', 'm', 'v', 'i', 'I', 'f') AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    )
    SELECT (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                oid::bigint, nspname, relname, relkind, filenode::bigint, relpersistence, indrelid::bigint,
                indisvalid, relispartition, parent::bigint, indkey::int2[]))
            FROM relations),
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                a.attrelid::bigint, a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
                a.attidentity, a.attgenerated, a.attcollation::bigint,
                (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d
                 WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum)))
            FROM pg_catalog.pg_attribute a JOIN relations r ON r.oid = a.attrelid
            WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r', 'p', 'm', 'f')),
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                k.oid::bigint, k.conname, k.contype, k.conrelid::bigint, k.confrelid::bigint, k.convalidated, k.conkey,
                k.conindid::bigint, k.contypid::bigint))
            FROM pg_catalog.pg_constraint k
            WHERE k.contype <> 'n'  -- NOT NULL, since 18: an attribute of the column
              AND (k.conrelid IN (SELECT oid FROM relations) OR k.contypid <> 0)),
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(l.relation::bigint, l.mode))
            FROM pg_catalog.pg_locks l
            WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation'
              AND l.relation IN (SELECT oid FROM relations)),
           (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                x.relid::bigint, x.seq_scan, x.n_tup_ins + x.n_tup_upd + x.n_tup_del))
            FROM pg_catalog.{statistics} x JOIN schemas s ON s.nspname = x.schemaname),
           pg_catalog.current_setting('lock_timeout')
"""
# Of this transaction, and what the session has not sent to the server's statistics yet: only differences count.
_IN_TRANSACTION = _READ.format(statistics="pg_stat_xact_user_tables")
_OF_SERVER = _READ.format(statistics="pg_stat_user_tables")


@dataclass(frozen=True)
class Relation:
    """A table, an index, a view."""

    oid: int
    name: str  # with its schema, unless that is the default one
    kind: str  # of pg_class.relkind
    filenode: int | None  # the file that holds it; a rewrite gives it another one
    persistence: str
    table: int | None  # of an index, its table
    is_valid: bool
    is_partition: bool
    parent: int | None  # of a partition or an inheriting table
    columns: tuple[int, ...] = ()  # of an index, the numbers of its columns; 0 for an expression

    @property
    def is_table(self) -> bool:
        return self.kind in TABLES

    @property
    def is_index(self) -> bool:
        return self.kind in ("i", "I")


@dataclass(frozen=True)
class Column:
    table: int
    number: int
    name: str
    type: str
    not_null: bool
    identity: str
    generated: str
    collation: int
    default: str | None


@dataclass(frozen=True)
class Constraint:
    oid: int
    name: str
    type: str  # of pg_constraint.contype: c, f, p, u, x
    table: int  # 0 for that of a domain
    referenced: int
    is_validated: bool
    columns: tuple[int, ...]
    index: int
    domain: int


@dataclass(frozen=True)
class Catalog:
    """The catalogs at one moment of a session, with its locks and its scans."""

    relations: Mapping[int, Relation]
    columns: Mapping[tuple[int, int], Column]
    constraints: Mapping[int, Constraint]
    locks: frozenset[tuple[int, str]]  # the relation and the mode
    scans: Mapping[int, int]  # by table, how often it was read from its first row to its last
    # By table, how many rows were written; by the server's count, or by that of the transaction alone.
    writes: Mapping[int, int]
    is_of_server: bool
    lock_timeout: str = "0"

    @property
    def shape(self) -> tuple[object, ...]:
        """What statements change of the relations."""
        return self.relations, self.columns, self.constraints

    def has_changed_since(self, other: "Catalog") -> bool:
        """Whether relations are others, or rows were written, as far as the two counts can be compared."""
        is_written = self.is_of_server == other.is_of_server and self.writes != other.writes
        return self.shape != other.shape or is_written

    def name(self, oid: int) -> str:
        found = self.relations.get(oid)
        return found.name if found else ""

    @cached_property
    def tables(self) -> dict[int, Relation]:
        return {oid: each for oid, each in self.relations.items() if each.is_table}


def read(driver: Driver, version_table: VersionTable, default_schema: str, *, outside: bool = False) -> Catalog:
    """Read the catalogs by a session on PostgreSQL, in whatever transaction it has.

    Args:
        default_schema: whose objects are named without it.
        outside: whether each statement commits by itself, so that its scans are in the statistics of the server.

    Raises:
        psycopg2.Error: the transaction has failed.
    """
    with driver.cursor() as cursor:
        if outside:
            # What a session did reaches the server's statistics within a second, or at once where it asks for that.
            cursor.execute("SELECT pg_catalog.pg_stat_force_next_flush()")
            cursor.execute("SELECT pg_catalog.pg_stat_clear_snapshot()")
        # Types and defaults are written with their schemas where the path does not have them, and the path may change.
        cursor.execute(
            f"SELECT pg_catalog.set_config('multidb.path', pg_catalog.current_setting('search_path'), false); "
            f"SET search_path = {quoted(default_schema)}; {_OF_SERVER if outside else _IN_TRANSACTION}"
        )
        relations, columns, constraints, locks, scans, lock_timeout = cursor.fetchone()
        cursor.execute("SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('multidb.path'), false)")
    ours = {version_table.name, journal.NAME}
    named = [_relation(row, default_schema) for row in relations or () if row[2] not in ours]
    found = {each.oid: each for each in named}
    kept = {oid: each for oid, each in found.items() if each.table is None or each.table in found}
    return Catalog(
        kept,
        {(row[0], row[1]): Column(*row) for row in columns or () if row[0] in kept},
        {row[0]: _constraint(row) for row in constraints or () if row[3] in kept or row[8]},
        frozenset((oid, mode) for oid, mode in locks or () if oid in kept),
        {oid: number or 0 for oid, number, _ in scans or () if oid in kept},
        {oid: number for oid, _, number in scans or () if oid in kept and number},
        outside,
        lock_timeout,
    )


def _relation(row: Sequence[Any], default_schema: str) -> Relation:
    oid, schema, name, kind, filenode, persistence, table, is_valid, is_partition, parent, columns = row
    prefix = "" if schema == default_schema else f"{schema}."
    own = kind, filenode, persistence, table, is_valid is not False, is_partition, parent
    keys = tuple(columns or ())
    return Relation(oid, f"{prefix}{name}", *own, keys)


def _constraint(row: Sequence[Any]) -> Constraint:
    oid, name, kind, table, referenced, is_validated, columns, index, domain = row
    return Constraint(oid, name, kind, table, referenced, is_validated, tuple(columns or ()), index, domain)
