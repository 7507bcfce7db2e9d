"""An SQLite file's schema, in the same form as a PostgreSQL database's.

SQLite keeps a table as the statement that made it. What its PRAGMAs don't tell is read from that text, as are CHECK
and UNIQUE by SQLAlchemy; and constraints go by what they say, for their names are nowhere else.
https://sqlite.org/schematab.html
"""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, inspect

from multidb.database import journal
from multidb.schema.objects import Schema, Thing

_OURS = ("alembic_version", journal.NAME)
_MASTER = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL ORDER BY rowid"
_CONSTRAINT = re.compile(r"(CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN)\b", re.IGNORECASE)
NAME = r'"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|[^\s(,]+'
# A text, a name in quotes, a comment, or any other character.
_TOKENS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/|.", re.DOTALL)


def read(connection: Connection) -> Schema:
    """Read the schema of an SQLite database.

    Args:
        connection: to it.

    Raises:
        DBAPIError: it could not be read.
    """
    return Schema({thing.key: thing for thing in _things(connection)})


def columns(connection: Connection) -> frozenset[str]:
    """The names of all columns.

    Raises:
        DBAPIError: they could not be read.
    """
    return frozenset(
        thing.name for table, _, sql in _made(connection, "table") for thing in _columns(connection, table, sql)
    )


def _things(connection: Connection) -> Iterator[Thing]:
    for name, _, sql in _made(connection, "table"):
        yield Thing("table", name, {"options": " ".join(_parts(sql)[1].upper().split())}, sql={"sql": sql})
        yield from _columns(connection, name, sql)
        for definition in _constraints(connection, name):
            yield Thing("constraint", f"{name}.{definition}", {"definition": definition}, of=("table", name))
    for name, table, sql in _made(connection, "index"):
        facts = {"unique": bool(re.match(r"CREATE\s+UNIQUE", sql, re.IGNORECASE)), "definition": _behind_on(sql)}
        yield Thing("index", f"{table}.{name}", facts, of=("table", table), sql={"sql": sql})
    for name, _, sql in _made(connection, "view"):
        yield Thing("view", name, {"definition": _in_one_line(sql)}, sql={"sql": sql})
    for name, table, sql in _made(connection, "trigger"):
        facts = {"definition": _in_one_line(sql)}
        yield Thing("trigger", f"{table}.{name}", facts, of=("table", table), sql={"sql": sql})


def _made(connection: Connection, kind: str) -> list[tuple[str, str, str]]:
    rows = connection.exec_driver_sql(_MASTER, (kind,))
    return [(name, table, sql) for name, table, sql in rows if table not in _OURS and not name.startswith("sqlite_")]


def _columns(connection: Connection, table: str, sql: str) -> Iterator[Thing]:
    texts = {_unquoted(match[0]): text for text in _parts(sql)[0] if (match := re.match(NAME, text))}
    for row in connection.exec_driver_sql("SELECT * FROM pragma_table_xinfo(?)", (table,)).mappings():
        text = texts.get(row["name"], "")
        collation = re.search(r"\bCOLLATE\s+(\w+)", text, re.IGNORECASE)
        generated = re.search(r"\bAS\s*(\(.*)", text, re.IGNORECASE | re.DOTALL) if row["hidden"] > 1 else None
        facts = {
            "type": row["type"].upper(),
            "not_null": bool(row["notnull"]),
            "default": row["dflt_value"],
            "generated": _in_one_line(generated[1]) if generated else None,
            "collation": collation[1].upper() if collation else None,
            "autoincrement": bool(re.search(r"\bAUTOINCREMENT\b", text, re.IGNORECASE)),
        }
        yield Thing(
            "column", f"{table}.{row['name']}", facts, of=("table", table), sql={"position": row["cid"], "text": text}
        )


def _constraints(connection: Connection, table: str) -> Iterator[str]:
    inspector = inspect(connection)
    key = inspector.get_pk_constraint(table)["constrained_columns"]
    if key:
        yield f"PRIMARY KEY ({', '.join(key)})"
    for unique in inspector.get_unique_constraints(table):
        yield f"UNIQUE ({', '.join(str(column) for column in unique['column_names'])})"
    for check in inspector.get_check_constraints(table):
        yield f"CHECK ({_in_one_line(check['sqltext'])})"
    foreign: dict[int, list[tuple[str, ...]]] = {}
    for number, _, parent, child, to, on_update, on_delete, _ in connection.exec_driver_sql(
        "SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq", (table,)
    ):
        foreign.setdefault(number, []).append((parent, child, to or "", on_update, on_delete))
    for pairs in foreign.values():
        parent, _, _, on_update, on_delete = pairs[0]
        own, theirs = ", ".join(pair[1] for pair in pairs), ", ".join(pair[2] for pair in pairs)
        actions = f" ON UPDATE {on_update}" if on_update != "NO ACTION" else ""
        actions += f" ON DELETE {on_delete}" if on_delete != "NO ACTION" else ""
        yield f"FOREIGN KEY ({own}) REFERENCES {parent} ({theirs}){actions}"


def _parts(sql: str) -> tuple[list[str], str]:
    """The definitions of a table's columns, and what stands behind all definitions."""
    depth, parts, tail = 0, [""], ""
    for piece in _TOKENS.findall(sql):
        depth -= piece == ")"
        if depth == 1 and piece == ",":
            parts.append("")
        elif depth:
            parts[-1] += piece
        elif parts != [""]:
            tail += piece if piece != ")" else ""
        depth += piece == "("
    definitions = [part.strip() for part in parts]
    return [each for each in definitions if not _CONSTRAINT.match(each)], tail


def _unquoted(name: str) -> str:
    if name[:1] == '"':
        return name[1:-1].replace('""', '"')
    return name[1:-1] if name[:1] in ("`", "[") else name


def _behind_on(sql: str) -> str:
    """What an index is of, without its name."""
    return _in_one_line(re.sub(r"^.*?\bON\s+", "", sql, count=1, flags=re.IGNORECASE | re.DOTALL))


def _in_one_line(sql: str) -> str:
    return " ".join(sql.split())
