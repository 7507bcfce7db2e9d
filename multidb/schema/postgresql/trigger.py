"""Triggers, except those of constraints."""

from typing import Self

from multidb.schema import kinds
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import PostgresqlObject


class Trigger(PostgresqlObject, kinds.Trigger):
    catalog, verbs, drop_sql = "pg_trigger", {"state": "is"}, "DROP TRIGGER {0.identifier} ON {0.table}"
    expressions = ("definition",)
    query = """
        SELECT name, parent, identifier, "table", oid,
               pg_get_triggerdef(oid, current_setting('multidb.for_revision')::boolean) AS definition,
               CASE tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled replica' WHEN 'A' THEN 'enabled always'
                              ELSE 'enabled' END AS state
        FROM triggers WHERE NOT tgisinternal AND tgparentid = 0
    """
    state: str

    def creation(self, sides: Sides) -> list[str]:
        return [self.definition, *([] if self.state == "enabled" else self._set_state())]

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        return self._set_state() if attribute == "state" else None

    def _set_state(self) -> list[str]:
        return [f"ALTER TABLE {self.table} {self.state.upper().replace('ABLED', 'ABLE')} TRIGGER {self.identifier}"]
