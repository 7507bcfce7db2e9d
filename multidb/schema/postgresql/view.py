"""Views and materialized views."""

from dataclasses import field
from typing import Self

from multidb.schema import kinds
from multidb.schema.difference import Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import OwnedObject
from multidb.schema.postgresql.dependency import detached


class View(OwnedObject, kinds.View):
    create_sql = "CREATE {0.word} {0.identifier}{0.with_options} AS {0.definition}"
    expressions = ("definition",)
    query = """
        SELECT name, parent, identifier, oid, owner, btrim(pg_get_viewdef(oid), ' ;' || chr(10)) AS definition,
               relkind = 'm' AS materialized,
               ARRAY(SELECT unnest(reloptions) ORDER BY 1) AS options,
               ARRAY(
                   SELECT quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
                   WHERE attrelid = relations.oid AND attnum > 0 ORDER BY attnum
               ) AS columns
        FROM relations WHERE relkind IN ('v', 'm')
    """
    options: tuple[str, ...]
    materialized: bool
    columns: tuple[str, ...] = field(default=(), compare=False)

    @property
    def word(self) -> str:
        return "MATERIALIZED VIEW" if self.materialized else "VIEW"

    @property
    def with_options(self) -> str:
        return f" WITH ({', '.join(self.options)})" if self.options else ""

    def recreate(self, live: Self, sides: Sides) -> list[Statement]:
        return detached([live.address], sides).around(super().recreate(live, sides))

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        # CREATE OR REPLACE can only add columns.
        if live.materialized or self.materialized or self.columns[: len(live.columns)] != live.columns:
            return None
        return [self.create_sql.format(self).replace("CREATE", "CREATE OR REPLACE", 1)]  # which keeps the privileges
