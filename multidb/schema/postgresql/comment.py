"""Comments on objects of every other kind."""

from dataclasses import field, replace
from typing import Self

from multidb.output import shortened
from multidb.schema.difference import HARMLESS, Severity, Stage
from multidb.schema.objects import SchemaObject
from multidb.schema.postgresql.base import PostgresqlObject


class Comment(PostgresqlObject):
    kind, title, stage, is_annotation = "comment", "comment on", Stage.PRIVILEGE, True
    verbs, severity_if_missing = {"text": "is"}, HARMLESS
    create_sql, drop_sql = "COMMENT ON {0.target} IS {0.literal}", "COMMENT ON {0.target} IS NULL"
    query = """
        SELECT o.name, ARRAY[o.kind, o.name] AS parent, o.target, d.description AS text,
               quote_literal(d.description) AS literal
        FROM pg_description d JOIN (
            SELECT 'pg_class'::regclass AS classid, oid, 0 AS sub, kind, name,
                   CASE relkind WHEN 'v' THEN 'VIEW ' WHEN 'm' THEN 'MATERIALIZED VIEW ' WHEN 'S' THEN 'SEQUENCE '
                                ELSE 'TABLE ' END || identifier AS target
            FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
            UNION ALL
            SELECT 'pg_class'::regclass, oid, attnum, 'column', name, 'COLUMN ' || "table" || '.' || identifier
            FROM columns WHERE relkind IN ('r', 'p', 'v', 'm')
            UNION ALL SELECT 'pg_class'::regclass, indexrelid, 0, 'index', name, 'INDEX ' || identifier FROM indexes
            UNION ALL
            SELECT 'pg_constraint'::regclass, oid, 0, 'constraint', name,
                   'CONSTRAINT ' || identifier || ' ON ' || "table"
            FROM constraints
            UNION ALL
            SELECT 'pg_trigger'::regclass, oid, 0, 'trigger', name, 'TRIGGER ' || identifier || ' ON ' || "table"
            FROM triggers
            UNION ALL SELECT 'pg_type'::regclass, oid, 0, 'enum', name, 'TYPE ' || identifier FROM enums
            UNION ALL SELECT 'pg_type'::regclass, oid, 0, 'domain', name, 'DOMAIN ' || identifier FROM domains
            UNION ALL SELECT 'pg_proc'::regclass, oid, 0, 'function', name, 'ROUTINE ' || identifier FROM functions
            UNION ALL
            SELECT 'pg_namespace'::regclass, oid, 0, 'schema', nspname, 'SCHEMA ' || identifier FROM schemas
            WHERE key IS NOT NULL
        ) o ON o.classid = d.classoid AND o.oid = d.objoid AND o.sub = d.objsubid
    """
    text: str
    literal: str = field(compare=False)
    target: str = field(compare=False)

    @property
    def summary(self) -> str:
        return shortened(self.text)

    @property
    def can_be_declared(self) -> bool:
        return self.parent is not None and self.parent[0] in ("table", "column", "constraint", "index")

    def severity(self, live: Self, attribute: str) -> Severity:
        return HARMLESS

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        return [self.create_sql.format(self)]

    def with_parent_renamed(self, old: SchemaObject, new: SchemaObject) -> Self:
        target = self.target.replace(old.identifier, new.identifier)
        return replace(super().with_parent_renamed(old, new), target=target)
