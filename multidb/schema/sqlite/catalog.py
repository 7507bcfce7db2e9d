"""The SQL that the queries of all kinds share, and the words of the statements that SQLite stores.

To run a kind's query in sqlite3: SHARED with the query below it. SQLite stores an object as the statement that created
it (https://sqlite.org/schematab.html).
"""

import re
from dataclasses import dataclass
from string import ascii_uppercase

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
_PIECES = re.compile(  # by SQLite's own rules: a name may have `$` and all characters beyond ASCII
    r"""
    '(?:[^']|'')*' | "(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^]]*\]
    | --[^\n]* | /\*.*?(?:\*/|\Z) | [ \t-\r]+ | [\w$\x80-\U0010ffff]+ | .
    """,
    re.DOTALL | re.VERBOSE,
)
_SPACE = re.compile(r"[ \t-\r]|--|/\*")
_LOWER_CASE = {ord(letter): letter.lower() for letter in ascii_uppercase}
_IS_NAME = re.compile(r"[\w\x80-\U0010ffff\"`[]")


@dataclass(frozen=True)
class Token:
    """A word of a text; what is in parentheses is one word. A comment in it is a space."""

    text: str
    start: int  # its place in the text, in characters
    end: int


def tokens(sql: str) -> list[str]:
    """The words of a text, without their places."""
    return [each.text for each in placed_tokens(sql)]


def placed_tokens(sql: str) -> list[Token]:
    found: list[Token] = []
    depth = place = 0
    for piece in pieces(sql):
        text, end = _without_comment(piece), place + len(piece)
        depth -= piece == ")"
        if depth or piece == ")":
            found[-1] = Token(found[-1].text + text, found[-1].start, end)
        elif text != " ":
            found.append(Token(text, place, end))
        depth += piece == "("
        place = end
    return found


def split(sql: str) -> list[str]:
    """The parts of a text that has commas between them, with their spaces and comments."""
    found, depth = [""], 0
    for piece in pieces(sql):
        depth += (piece == "(") - (piece == ")")
        if not depth and piece == ",":
            found.append("")
        else:
            found[-1] += piece
    return found


def is_group(token: str) -> bool:
    return token.startswith("(")


def one_line(sql: str) -> str:
    """A text with one space where it has several, or a comment, and collations without quotes."""
    found = [""]
    for piece in map(_without_comment, pieces(sql)):
        if piece == found[-1] == " ":
            continue
        if [each.upper() for each in found[-2:]] == ["COLLATE", " "]:
            piece = unquoted(piece).upper()
        found.append(piece)
    return "".join(found).strip()


def unquoted(name: str) -> str:
    if name[:1] in ('"', "`", "'"):
        return name[1:-1].replace(name[0] * 2, name[0])
    return name[1:-1] if name[:1] == "[" else name


def folded(name: str) -> str:
    """A name as SQLite compares names: without regard to case, but of ASCII letters only."""
    return name.translate(_LOWER_CASE)


def names_in(sql: str) -> frozenset[str]:
    """The words of an expression that may be columns, in lower case: no strings, no comments, no functions."""
    words = [piece for piece in pieces(sql) if not is_blank(piece)]
    found = [word for place, word in enumerate(words) if words[place + 1 : place + 2] != ["("]]
    return frozenset(folded(unquoted(word)) for word in found if _IS_NAME.match(word))


def pieces(sql: str) -> list[str]:
    """Strings, names, comments, spaces and other characters, which together are the text."""
    return _PIECES.findall(sql)


def is_blank(piece: str) -> bool:
    """Whether a piece is a space or a comment."""
    return bool(_SPACE.match(piece))


def _without_comment(piece: str) -> str:
    return " " if is_blank(piece) else piece
