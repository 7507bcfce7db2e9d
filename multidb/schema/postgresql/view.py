"""Views and materialized views."""

from typing import Self

from multidb.schema import kinds
from multidb.schema.postgresql.base import OwnedObject


class View(OwnedObject, kinds.View):
    create_sql = "CREATE {0.word} {0.identifier}{0.with_options} AS {0.definition}"
    query = """
        SELECT name, parent, identifier, oid, owner, btrim(pg_get_viewdef(oid), ' ;' || chr(10)) AS definition,
               relkind = 'm' AS materialized,
               ARRAY(SELECT unnest(reloptions) ORDER BY 1) AS options
        FROM relations WHERE relkind IN ('v', 'm')
    """
    options: tuple[str, ...]
    materialized: bool

    @property
    def word(self) -> str:
        return "MATERIALIZED VIEW" if self.materialized else "VIEW"

    @property
    def with_options(self) -> str:
        return f" WITH ({', '.join(self.options)})" if self.options else ""

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        if live.materialized or self.materialized:
            return None
        return [self.create_sql.format(self).replace("CREATE", "CREATE OR REPLACE", 1)]  # which keeps the privileges
