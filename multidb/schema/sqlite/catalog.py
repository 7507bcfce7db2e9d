"""The SQL that the queries of all kinds share, and a parser for details that no PRAGMA returns.

To run a kind's query in sqlite3: SHARED with the query below it. SQLite stores an object as the statement that created
it (https://sqlite.org/schematab.html).
"""

import re

SHARED = """
WITH objects AS (
    SELECT rowid, type, name, tbl_name, sql FROM sqlite_master
    WHERE sql IS NOT NULL AND tbl_name NOT IN ('alembic_version', 'multidb_journal') AND substr(name, 1, 7) <> 'sqlite_'
)
"""
NAME = r'"(?:[^"]|"")*"|`[^`]*`|\[[^]]*\]|[^\s(,]+'
_CONSTRAINT = re.compile(r"(CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN)\b", re.IGNORECASE)
# A string, a quoted name, a comment, or any other character.
_TOKENS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/|.", re.DOTALL)


def column_definitions(sql: str) -> dict[str, str]:
    """The definitions of a table's columns, by name."""
    definitions = [part for part in _parts(sql)[0] if not _CONSTRAINT.match(part)]
    return {_unquoted(match[0]): text for text in definitions if (match := re.match(NAME, text))}


def table_options(sql: str) -> str:
    """What a CREATE TABLE has behind its definitions: `WITHOUT ROWID`."""
    return one_line(_parts(sql)[1].upper())


def one_line(sql: str) -> str:
    return " ".join(sql.split())


def _parts(sql: str) -> tuple[list[str], str]:
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
    return [part.strip() for part in parts], tail


def _unquoted(name: str) -> str:
    if name[:1] == '"':
        return name[1:-1].replace('""', '"')
    return name[1:-1] if name[:1] in ("`", "[") else name
