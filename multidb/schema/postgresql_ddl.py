"""The DDL that makes a PostgreSQL database like what a revision says, difference by difference.

Statements have a rank, so that those of several differences can be put in an order in which they work. What is to be
made is made in the order in which the branch made it, which its oids tell; what is dropped goes in the opposite one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from multidb.schema import violations
from multidb.schema.objects import OWNER, Key, Schema, Thing


@dataclass(frozen=True, order=True)
class Statement:
    """SQL, without its semicolon, and its rank among others."""

    rank: tuple[int, int]
    text: str = field(compare=False)


_NAME, _MAKE, _COLUMN, _REST, _GRANT, _LAST = range(6)
_STAGES = {
    "schema": _MAKE, "extension": _MAKE, "enum": _MAKE, "sequence": _MAKE, "table": _MAKE, "function": _MAKE,
    "column": _COLUMN, "constraint": _REST, "index": _REST, "view": _REST, "trigger": _REST,
    "comment": _GRANT, "privilege": _GRANT,
}  # fmt: skip
_OPTION = " WITH GRANT OPTION"
_IN_A_SCHEMA = {"view", "table", "function", "sequence", "enum"}
_WORDS = {"schema": "SCHEMA", "enum": "TYPE", "sequence": "SEQUENCE", "table": "TABLE"}


class PostgresqlDdl:
    """DDL for one database.

    Args:
        wanted: what a revision says.
        live: what is there.
    """

    def __init__(self, wanted: Schema, live: Schema) -> None:
        self._wanted, self._live = wanted, live

    def create(self, thing: Thing) -> list[Statement]:
        """Make what is missing, with all that belongs to it."""
        parts = self._wanted.belonging_to(thing.key)
        inlined = {each.key for each in parts if each.kind == "column"}
        made = [part for part in (thing, *parts) if part.key not in inlined]
        return sorted(statement for part in made for statement in self._created(part))

    def drop(self, thing: Thing) -> list[Statement]:
        """Take away what no revision has."""
        sql = thing.sql
        match thing.kind:
            case "schema":
                inside = [each for each in self._live.things.values() if each.of == thing.key]
                inside = [each for each in inside if each.kind in _IN_A_SCHEMA]
                inside.sort(key=lambda each: -_oid(each))
                text = f"DROP SCHEMA {sql['ident']}"
                return [*(statement for each in inside for statement in self.drop(each)), _ranked(thing, text)]
            case "column":
                text = f"ALTER TABLE {sql['table']} DROP COLUMN {sql['ident']}"
            case "constraint":
                text = f"ALTER TABLE {sql['table']} DROP CONSTRAINT {sql['ident']}"
            case "trigger":
                text = f"DROP TRIGGER {sql['ident']} ON {sql['table']}"
            case "comment":
                text = f"COMMENT ON {sql['on']} IS NULL"
            case "privilege":
                return self.revoke(thing, thing.facts["privileges"])
            case "view":
                text = f"DROP {_view_word(thing)} {sql['ident']}"
            case "function":
                text = f"DROP {sql['word']} {sql['ident']}"
            case kind:
                text = f"DROP {_WORDS.get(kind, kind.upper())} {sql['ident']}"
        return [_ranked(thing, text)]

    def rename(self, here: Thing, wanted: Thing) -> list[Statement]:
        """Give a column, a constraint or an index the name that it should have."""
        if here.kind == "index":
            return [Statement((_NAME, 0), f"ALTER INDEX {here.sql['ident']} RENAME TO {wanted.sql['own_ident']}")]
        word = here.kind.upper()
        table, old, new = here.sql["table"], here.sql["ident"], wanted.sql["ident"]
        return [Statement((_NAME, 0), f"ALTER TABLE {table} RENAME {word} {old} TO {new}")]

    def change(self, here: Thing, wanted: Thing, fact: str) -> list[Statement]:  # noqa: C901 - a case per kind
        """Make one fact what it should be."""
        if fact == "owner":
            return [Statement((_GRANT, 0), self._owned(wanted))]
        match wanted.kind:
            case "column":
                texts = _column_changed(here, wanted, fact)
            case "comment":
                return self._created(wanted)
            case "constraint" if fact == "valid" and wanted.facts["valid"]:
                texts = [f"ALTER TABLE {here.sql['table']} VALIDATE CONSTRAINT {here.sql['ident']}"]
            case "index" if fact == "valid":
                texts = [f"REINDEX INDEX {here.sql['ident']}"]
            case "sequence":
                texts = [f"ALTER SEQUENCE {here.sql['ident']} {_sequence_options(wanted)}"]
            case "trigger" if fact == "enabled":
                texts = [_trigger_enabled(wanted)]
            case "function":
                return self._created(wanted)
            case "view" if not (here.facts["materialized"] or wanted.facts["materialized"]):
                # In place, so that what others were granted on it stays.
                texts = [f"CREATE OR REPLACE {_view(wanted)}"]
            case "table":
                texts = _table_changed(here, wanted, fact)
            case _:
                return self._remade(here, wanted)
        return [_ranked(wanted, text) for text in texts]

    def grant(self, thing: Thing, privileges: Sequence[str]) -> list[Statement]:
        """Grant privileges that are missing."""
        grantee, on = self._role(thing.sql["grantee"]), thing.sql["on"]
        options = [each.removesuffix(_OPTION) for each in privileges if each.endswith(_OPTION)]
        # Who may hand a privilege on has it.
        bare = [each for each in privileges if each not in options and not each.endswith(_OPTION)]
        texts = [f"GRANT {', '.join(bare)} ON {on} TO {grantee}"] if bare else []
        texts += [f"GRANT {', '.join(options)} ON {on} TO {grantee}{_OPTION}"] if options else []
        return [_ranked(thing, text) for text in texts]

    def revoke(self, thing: Thing, privileges: Sequence[str]) -> list[Statement]:
        """Revoke privileges that no revision has given."""
        grantee, on = self._role(thing.sql["grantee"]), thing.sql["on"]
        options = [each.removesuffix(_OPTION) for each in privileges if each.endswith(_OPTION)]
        bare = [each for each in privileges if not each.endswith(_OPTION)]
        texts = [f"REVOKE GRANT OPTION FOR {', '.join(options)} ON {on} FROM {grantee}"] if options else []
        texts += [f"REVOKE {', '.join(bare)} ON {on} FROM {grantee}"] if bare else []
        return [_ranked(thing, text) for text in texts]

    def add_values(self, here: Thing, wanted: Thing) -> list[Statement]:
        """Give an enum type the values that it lacks, each in its place."""
        texts = adding_values(here.sql["ident"], here.facts["values"], wanted.facts["values"])
        return [_ranked(wanted, text) for text in texts]

    def retyped(self, here: Thing, values: Sequence[str]) -> list[Statement]:
        """Make an enum type anew: a value can't be moved or taken away."""
        name, old = here.sql["ident"], "multidb_old"
        space = name.rpartition(".")[0]
        texts = [
            f"ALTER TYPE {name} RENAME TO {old}",
            f"CREATE TYPE {name} AS ENUM ({', '.join(map(literal, values))})",
        ]
        for column in self._live.things.values():
            if column.kind == "column" and column.sql["base"] in (name, f"{name}[]"):
                array = column.sql["base"].removeprefix(name)
                alter = f"ALTER TABLE {column.sql['table']} ALTER COLUMN {column.sql['ident']}"
                default = column.facts["default"]
                texts += [f"{alter} DROP DEFAULT"] if default else []
                texts.append(f"{alter} TYPE {name}{array} USING {column.sql['ident']}::text{array}::{name}{array}")
                texts += [f"{alter} SET DEFAULT {default}"] if default else []
        texts.append(f"DROP TYPE {space}.{old}")
        texts.append(self._owned(here))
        return [_ranked(here, text) for text in texts] + self._given(self._live, here.key)

    def _remade(self, here: Thing, wanted: Thing) -> list[Statement]:
        """Drop it and make it, with what the drop takes along."""
        statements = [*self.drop(here), *self._created(wanted)]
        statements += self._given(self._wanted, wanted.key) + self._given(self._live, here.key)
        return [_ranked(wanted, text) for text in dict.fromkeys(statement.text for statement in statements)]

    def _given(self, schema: Schema, key: Key) -> list[Statement]:
        """What makes again what belongs to a thing, and would not be there by itself."""
        given = [each for each in schema.belonging_to(key) if not _is_default(each)]
        return [statement for thing in given for statement in self._created(thing)]

    def breaking(self, thing: Thing, here: Thing | None = None, fact: str = "") -> tuple[str, ...]:
        """The SQL that counts the rows which a change would break: see there."""
        return violations.counting(thing, here, fact)

    def _created(self, thing: Thing) -> list[Statement]:  # noqa: C901 - a case per kind
        sql, facts = thing.sql, thing.facts
        match thing.kind:
            case "column":
                texts = [f"ALTER TABLE {sql['table']} ADD COLUMN {_column(thing)}"]
            case "constraint":
                text = f"ALTER TABLE {sql['table']} ADD CONSTRAINT {sql['ident']} {facts['definition']}"
                text += "" if facts["valid"] else " NOT VALID"
                texts = [text]
            case "comment":
                texts = [f"COMMENT ON {sql['on']} IS {literal(facts['text'])}"]
            case "privilege":
                return self.grant(thing, facts["privileges"])
            case "enum":
                values = ", ".join(map(literal, facts["values"]))
                texts = [f"CREATE TYPE {sql['ident']} AS ENUM ({values})"]
            case "table":
                partitioned = f" PARTITION BY {facts['partitioned']}" if facts["partitioned"] else ""
                inherits = f" INHERITS ({', '.join(facts['inherits'])})" if facts["inherits"] else ""
                unlogged = "UNLOGGED " if facts["unlogged"] else ""
                inside = ", ".join(map(_column, self._wanted.columns_of(thing.key)))
                texts = [f"CREATE {unlogged}TABLE {sql['ident']} ({inside}){inherits}{partitioned}"]
            case "index":
                unique = "UNIQUE " if facts["unique"] else ""
                texts = [f"CREATE {unique}INDEX {sql['own_ident']} ON {sql['table']} {facts['definition']}"]
            case "sequence":
                texts = [f"CREATE SEQUENCE {sql['ident']} {_sequence_options(thing, owned=False)}"]
                if facts["owned by"]:
                    owner = f"ALTER SEQUENCE {sql['ident']} OWNER TO {self._live.owner}"  # as its table's
                    last = [f"ALTER SEQUENCE {sql['ident']} OWNED BY {facts['owned by']}", _set(thing)]
                    return [_ranked(thing, texts[0]), *(Statement((_LAST, 0), text) for text in (owner, *last))]
            case "view":
                texts = [f"CREATE {_view(thing)}"]
            case "function":
                texts = [facts["definition"].strip()]
            case "trigger":
                texts = [facts["definition"]]
                texts += [_trigger_enabled(thing)] if facts["enabled"] != "O" else []
            case kind:
                texts = [f"CREATE {kind.upper()} {sql['ident']}"]
        if facts.get("owner"):  # whoever runs it: it may be a superuser
            return [*(_ranked(thing, text) for text in texts), Statement((_GRANT, 0), self._owned(thing))]
        return [_ranked(thing, text) for text in texts]

    def _owned(self, thing: Thing) -> str:
        word = _view_word(thing) if thing.kind == "view" else thing.sql.get("word") or _WORDS[thing.kind]
        return f"ALTER {word} {thing.sql['ident']} OWNER TO {self._role(thing.facts['owner'])}"

    def _role(self, name: str) -> str:
        if name == OWNER:
            return self._live.owner
        return name if name == "PUBLIC" else quoted(name)


def literal(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as SQL writes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def adding_values(name: str, there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The statements that give an enum type the values that it lacks: each follows the one before it.

    Args:
        name: the type's, as SQL writes it.
        there: its values.
        wanted: those that it should have, in their order.
    """
    statements: list[str] = []
    values = list(there)
    for position, value in enumerate(wanted):
        if value in values:
            continue
        if position:
            where = f" AFTER {literal(wanted[position - 1])}"
        else:
            where = f" BEFORE {literal(values[0])}" if values else ""
        statements.append(f"ALTER TYPE {name} ADD VALUE {literal(value)}{where}")
        values.insert(position, value)
    return statements


def _ranked(thing: Thing, text: str) -> Statement:
    return Statement((_STAGES[thing.kind], _oid(thing)), text)


def _oid(thing: Thing) -> int:
    return int(thing.sql.get("oid", 0))


def _is_default(thing: Thing) -> bool:
    """Whether it is a privilege that every new thing comes with."""
    return thing.kind == "privilege" and thing.sql["grantee"] == OWNER


def _column(thing: Thing) -> str:
    """A column as CREATE TABLE and ADD COLUMN write it."""
    facts = thing.facts
    words = [thing.sql["ident"], facts["type"]]
    if facts["collation"]:
        words.append(f"COLLATE {quoted(facts['collation'])}")
    if facts["default"]:
        words.append(f"DEFAULT {facts['default']}")
    if facts["generated"]:
        words.append(f"GENERATED ALWAYS AS ({facts['generated']}) STORED")
    if facts["identity"]:
        words.append(f"GENERATED {facts['identity']} AS IDENTITY")
    return " ".join([*words, *(["NOT NULL"] if facts["not_null"] else [])])


def _column_changed(here: Thing, wanted: Thing, fact: str) -> list[str]:  # noqa: C901 - a case per fact
    facts = wanted.facts
    alter = f"ALTER TABLE {here.sql['table']} ALTER COLUMN {here.sql['ident']}"
    default = here.facts["default"]
    match fact:
        case "type" | "collation":
            collation = f" COLLATE {quoted(facts['collation'])}" if facts["collation"] else ""
            text = f"{alter} TYPE {facts['type']}{collation}"
            if here.sql["base"] == wanted.sql["base"]:
                return [text]
            # Between two kinds of types there may be no cast, but to and from text there is; a default has none.
            texts = [f"{text} USING {here.sql['ident']}::text::{facts['type']}"]
            if default is None:
                return texts
            again = [f"{alter} SET DEFAULT {facts['default']}"] if facts["default"] else []
            return [f"{alter} DROP DEFAULT", *texts, *again]
        case "not_null":
            return [f"{alter} {'SET' if facts['not_null'] else 'DROP'} NOT NULL"]
        case "default":
            return [f"{alter} SET DEFAULT {facts['default']}" if facts["default"] else f"{alter} DROP DEFAULT"]
        case "identity" if not facts["identity"]:
            return [f"{alter} DROP IDENTITY"]
        case "identity" if here.facts["identity"]:
            return [f"{alter} SET GENERATED {facts['identity']}"]
        case "identity":
            drop_default = [f"{alter} DROP DEFAULT"] if default else []
            return [*drop_default, f"{alter} ADD GENERATED {facts['identity']} AS IDENTITY", _restarted(here)]
        case "identity options":
            return [f"{alter} {' '.join(f'SET {option}' for option in facts[fact].split(', '))}"] if facts[fact] else []
        case _ if not facts["generated"]:
            return [f"{alter} DROP EXPRESSION"]
        case _:  # a generated column can only be made anew
            drop = f"ALTER TABLE {here.sql['table']} DROP COLUMN {here.sql['ident']}"
            return [drop, f"ALTER TABLE {here.sql['table']} ADD COLUMN {_column(wanted)}"]


def _sequence_options(thing: Thing, *, owned: bool = True) -> str:
    facts = thing.facts
    words = [f"AS {facts['type']}", f"START {facts['start']}", f"INCREMENT {facts['increment']}"]
    words += [f"MINVALUE {facts['minimum']}", f"MAXVALUE {facts['maximum']}", f"CACHE {facts['cache']}"]
    words.append("CYCLE" if facts["cycle"] else "NO CYCLE")
    return " ".join(words + ([f"OWNED BY {facts['owned by'] or 'NONE'}"] if owned else []))


def _trigger_enabled(thing: Thing) -> str:
    words = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
    return f"ALTER TABLE {thing.sql['table']} {words[thing.facts['enabled']]} TRIGGER {thing.sql['ident']}"


def _view(thing: Thing) -> str:
    """A view as CREATE writes it."""
    options = f" WITH ({', '.join(thing.facts['options'])})" if thing.facts["options"] else ""
    body = str(thing.facts["definition"]).strip().rstrip(";")
    return f"{_view_word(thing)} {thing.sql['ident']}{options} AS {body}"


def _table_changed(here: Thing, wanted: Thing, fact: str) -> list[str]:
    alter = f"ALTER TABLE {here.sql['ident']}"
    match fact:
        case "unlogged":
            return [f"{alter} SET {'UNLOGGED' if wanted.facts['unlogged'] else 'LOGGED'}"]
        case "inherits":
            before, after = here.facts["inherits"], wanted.facts["inherits"]
            no_longer = [f"{alter} NO INHERIT {parent}" for parent in before if parent not in after]
            return no_longer + [f"{alter} INHERIT {parent}" for parent in after if parent not in before]
        case "foreign keys enforced":
            return [f"{alter} {'ENABLE' if wanted.facts[fact] else 'DISABLE'} TRIGGER ALL"]
    return []  # a table can't be partitioned, or cease to be, by any statement


def _set(sequence: Thing) -> str:
    """Let a sequence go on behind the rows that are there."""
    table, _, column = str(sequence.facts["owned by"]).rpartition(".")
    return f"SELECT setval({literal(sequence.sql['ident'])}, max({column})) FROM {table}"


def _restarted(column: Thing) -> str:
    """Let a new identity column's sequence go on behind the rows that are there."""
    table, name = column.sql["table"], column.sql["ident"]
    own = f"pg_get_serial_sequence({literal(table)}, {literal(column.sql['name'])})"
    return f"SELECT setval({own}, max({name})) FROM {table}"


def _view_word(thing: Thing) -> str:
    return "MATERIALIZED VIEW" if thing.facts["materialized"] else "VIEW"
