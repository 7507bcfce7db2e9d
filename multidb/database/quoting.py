"""Texts, names and comments as SQL writes them."""

import re

from multidb.config.configuration import VersionTable

# Before a comment, what may contain the characters that begin one: texts, names, dollar-quoted texts.
_COMMENTS = re.compile(
    r"""((?P<text>[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|"(?:[^"]|"")*")"""
    r"""|--[^\n]*|/\*(?:[^/*]|/(?!\*)|\*(?!/)|/\*.*?\*/)*\*/""",
    re.DOTALL,
)


def without_comments(statement: str) -> str:
    """A statement with a space for each of its comments; one comment may have others in it."""
    return _COMMENTS.sub(lambda match: match[1] or " ", statement)


def without_texts(statement: str) -> str:
    """A statement with an empty text for each of its texts, and a space for each of its comments."""
    return _COMMENTS.sub(lambda match: "''" if match["text"] else match[1] or " ", statement)


def ends_in_comment(statement: str) -> bool:
    """Whether a statement ends in a comment of a line, so that what follows needs a line of its own."""
    last = next(reversed(list(_COMMENTS.finditer(statement))), None)
    return last is not None and last[0].startswith("--") and last.end() == len(statement)


def version_table(table: VersionTable) -> str:
    """The name of a version table as SQL writes it."""
    return ".".join(quoted(each) for each in (table.schema, table.name) if each is not None)


def literal(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
