"""The SQL that the queries of all kinds share, and the words of the statements that SQLite stores.

To run a kind's query in sqlite3: SHARED with the query below it. SQLite stores an object as the statement that created
it (https://sqlite.org/schematab.html).
"""

import re

from sqlalchemy.dialects import sqlite

quoted = sqlite.dialect().identifier_preparer.quote
SHARED = """
WITH objects AS (
    SELECT rowid, type, name, tbl_name, sql FROM sqlite_master
    WHERE sql IS NOT NULL AND tbl_name NOT IN ('alembic_version', 'multidb_journal') AND substr(name, 1, 7) <> 'sqlite_'
)
"""
NAME = r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\]|[^\s(,]+'
# A string, a quoted name, a comment, a space, a word, or any other character.
_PIECES = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^]]*\]|--[^\n]*|/\*.*?\*/|\s+|\w+|.""", re.DOTALL
)
_SPACE = re.compile(r"\s|--|/\*")


def parts(sql: str) -> tuple[list[str], str]:
    """The definitions in the parentheses of a CREATE TABLE, and what comes behind them."""
    words = tokens(sql)
    groups = [place for place, word in enumerate(words) if is_group(word)]
    if not groups:
        return [], ""
    return split(words[groups[0]][1:-1]), " ".join(words[groups[0] + 1 :])


def table_options(sql: str) -> str:
    """What a CREATE TABLE has behind its definitions: `WITHOUT ROWID`."""
    return parts(sql)[1].upper().replace(" ,", ",")


def tokens(sql: str) -> list[str]:
    """The words of a text; what is in parentheses is one word."""
    found: list[str] = []
    depth = 0
    for piece in _pieces(sql):
        depth -= piece == ")"
        if depth or piece == ")":
            found[-1] += piece
        elif piece != " ":
            found.append(piece)
        depth += piece == "("
    return found


def split(sql: str) -> list[str]:
    """The parts of a text that has commas between them."""
    found, depth = [""], 0
    for piece in _pieces(sql):
        depth += (piece == "(") - (piece == ")")
        if not depth and piece == ",":
            found.append("")
        else:
            found[-1] += piece
    return [part.strip() for part in found]


def is_group(token: str) -> bool:
    return token.startswith("(")


def one_line(sql: str) -> str:
    """A text with one space where it has several, or a comment, and collations without quotes."""
    found = [""]
    for piece in _pieces(sql):
        if piece == found[-1] == " ":
            continue
        if [each.upper() for each in found[-2:]] == ["COLLATE", " "]:
            piece = unquoted(piece).upper()
        found.append(piece)
    return "".join(found).strip()


def unquoted(name: str) -> str:
    if name[:1] in ('"', "`"):
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[:1] == "[" else name


def _pieces(sql: str) -> list[str]:
    """Strings, names and characters; a comment is a space."""
    return [" " if _SPACE.match(piece) else piece for piece in _PIECES.findall(sql)]
