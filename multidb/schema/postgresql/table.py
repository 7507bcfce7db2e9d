"""Tables, partitioned ones included; a partition is not compared."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Self

from multidb.schema.difference import EXTRA, HARMLESS, Difference, Stage, Statement
from multidb.schema.objects import Sides
from multidb.schema.postgresql.base import OwnedObject
from multidb.schema.postgresql.column import Column


class Table(OwnedObject):
    kind, verbs = "table", {"inherits": "inherits from", "partitioned": "is partitioned by"}
    expressions = ("partitioned",)
    query = """
        SELECT name, parent, identifier, oid, owner, pg_get_partkeydef(oid) AS partitioned,
               relpersistence = 'u' AS unlogged,
               ARRAY(
                   SELECT unnest(reloptions) UNION ALL
                   SELECT 'toast.' || unnest(t.reloptions) FROM pg_class t WHERE t.oid = reltoastrelid
                   ORDER BY 1
               ) AS storage,
               ARRAY(
                   SELECT p.identifier FROM pg_inherits JOIN relations p ON p.oid = inhparent
                   WHERE inhrelid = relations.oid ORDER BY inhseqno
               ) AS inherits,
               NOT EXISTS (
                   SELECT FROM pg_trigger WHERE tgrelid = relations.oid AND tgisinternal AND tgenabled = 'D'
               ) AS enforcing_foreign_keys
        FROM relations WHERE relkind IN ('r', 'p')
    """
    inherits: tuple[str, ...]
    unlogged: bool
    partitioned: str | None
    enforcing_foreign_keys: bool
    storage: tuple[str, ...]  # parameters: `fillfactor=70`

    def as_declared(self) -> Self:
        return replace(super().as_declared(), enforcing_foreign_keys=True)

    def as_changed(self, live: Self, attribute: str, sides: Sides) -> Iterator[Difference]:
        if attribute != "storage":
            yield from super().as_changed(live, attribute, sides)
            return
        wanted, existing = (dict(each.partition("=")[::2] for each in side.storage) for side in (self, live))
        for name in sorted(wanted | existing):
            value, found = wanted.get(name), existing.get(name)
            if value == found or (value is None and sides.ignores({*live.aliases, name, f"{live.name}.{name}"})):
                continue
            sentence = (
                f"{live.label} has {f'{name}={found}' if found else f'no {name}'}, "
                f"{sides.revision} says {f'{name}={value}' if value else f'no {name}'}"
            )
            alter = f"SET ({name}={value})" if value else f"RESET ({name})"
            statements = tuple(self.ranked(f"ALTER TABLE {live.identifier} {alter}"))
            yield Difference(f"{self.name}.{name}", HARMLESS if value else EXTRA, sentence, statements)

    def creation(self, sides: Sides) -> list[str]:
        columns = sides.wanted.of_kind(Column, self.key)
        definitions = ", ".join(column.definition for column in columns)
        text = f"CREATE {'UNLOGGED ' if self.unlogged else ''}TABLE {self.identifier} ({definitions})"
        text += f" INHERITS ({', '.join(self.inherits)})" if self.inherits else ""
        text += f" PARTITION BY {self.partitioned}" if self.partitioned else ""
        text += f" WITH ({', '.join(self.storage)})" if self.storage else ""
        return [text, *(statement for column in columns for statement in column.not_valid)]

    def change(self, live: Self, attribute: str, sides: Sides) -> list[Statement]:
        if attribute != "inherits":
            return super().change(live, attribute, sides)
        # A child has all columns of its parent.
        first, after_columns = (Stage.DETACH, 0), (Stage.DEPENDENT, 0)
        return [
            Statement(first if " NO INHERIT " in text else after_columns, text)
            for text in self.alteration(live, attribute) or ()
        ]

    def alteration(self, live: Self, attribute: str) -> list[str] | None:
        alter = f"ALTER TABLE {live.identifier}"
        match attribute:
            case "unlogged":
                return [f"{alter} SET {'UNLOGGED' if self.unlogged else 'LOGGED'}"]
            case "inherits":
                removed = [f"{alter} NO INHERIT {each}" for each in live.inherits if each not in self.inherits]
                return removed + [f"{alter} INHERIT {each}" for each in self.inherits if each not in live.inherits]
            case "enforcing_foreign_keys":
                return [f"{alter} {'ENABLE' if self.enforcing_foreign_keys else 'DISABLE'} TRIGGER ALL"]
        return []  # no statement can change whether it is partitioned
