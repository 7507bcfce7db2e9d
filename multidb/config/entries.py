"""Add an entry to the text of databases.yaml, or take one out: the lines of the others stay as they are."""

import yaml

from multidb.advice.codes import Code
from multidb.errors import ConfigError


def with_entry(text: str, name: str, fields: str) -> str:
    """The text with an entry at the end of `databases`.

    Args:
        text: of a file that `reader.load` has read.
        name: of the database.
        fields: of the entry, as YAML writes them between braces.

    Raises:
        ConfigError: the entries do not stand on lines of their own.
    """
    lines = text.splitlines(keepends=True)
    key, value = _entries(text)[-1]
    indent = " " * key.start_mark.column
    width = value.start_mark.column - key.start_mark.column if value.start_mark.line == key.start_mark.line else 0
    entry = f"{indent}{name + ':':{max(width - 1, 0)}} {{{fields}}}\n"
    end = _end(lines, value)
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    return "".join([*lines[:end], entry, *lines[end:]])


def without_entry(text: str, name: str) -> str:
    """The text without a database's entry; as `with_entry` otherwise."""
    lines = text.splitlines(keepends=True)
    [(key, value)] = [each for each in _entries(text) if each[0].value == name]
    return "".join([*lines[: key.start_mark.line], *lines[_end(lines, value) :]])


def _entries(text: str) -> list[tuple[yaml.Node, yaml.Node]]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert root is not None
    [databases] = [value for key, value in root.value if key.value == "databases"]
    if databases.flow_style:
        raise ConfigError(
            Code.CONFIGURATION_SYNTAX,
            "databases.yaml: `databases` has its entries between braces: give each a line of its own",
        )
    entries: list[tuple[yaml.Node, yaml.Node]] = databases.value
    return entries


def _end(lines: list[str], value: yaml.Node) -> int:
    """The number of the lines up to the end of a value; a block ends where the next token begins."""
    end: int = value.end_mark.line + (value.end_mark.column > 0)
    while end and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end
