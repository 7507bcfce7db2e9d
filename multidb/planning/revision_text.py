"""Edits of the header of a revision file: its ids, its label, its declarations. All else of the text is kept."""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multidb.advice.codes import Code
from multidb.errors import MigrationError
from multidb.planning.revision_files import place_of

Ids = Sequence[str]


class RevisionText:
    """The text of a revision file, to be edited.

    Args:
        path: the file's, for messages.
        text: as the file has it, in whatever encoding.
    """

    def __init__(self, path: str, text: bytes) -> None:
        self._path, self.text = path, text

    def set(self, name: str, value: str | Ids | bool | None, after: str = "down_revision") -> None:
        """Assign a value; a name that the file does not have yet is assigned under another one.

        Raises:
            MigrationError: the file assigns the name more than once.
        """
        found = self._assigned(name)
        text = literal(value).encode()
        if found is not None:
            self._replace(*self._place(found.value), text)
            return
        there = self._assigned(after)
        if there is None:
            raise self._computed(after)
        end = self.text.find(b"\n", self._place(there.value)[1])
        end = len(self.text) if end < 0 else end + 1
        newline = b"" if self.text[:end].endswith(b"\n") else b"\n"
        self._replace(end, end, newline + name.encode() + b" = " + text + b"\n")

    def rename(self, renamed: Mapping[str, str]) -> None:
        """Give ids other names, wherever the header has them.

        Raises:
            MigrationError: the file does not assign them as plain values.
        """
        for name in ("revision", "down_revision", "depends_on"):
            found = self._assigned(name)
            if found is None:
                continue
            old = self._value(name, found)
            new = _mapped(old, lambda each: renamed.get(each, each))
            if new != old:
                self.set(name, new)
        for label in (b"Revision ID", b"Revises"):
            line = re.compile(rb"^(%b: *)([^\r\n]*)" % label, re.MULTILINE)
            self.text = line.sub(lambda match: match[1] + _renamed_line(match[2], renamed), self.text, count=1)

    def follow(self, parent: str | None) -> None:
        """Let the revision follow another one, or none."""
        self.set("down_revision", parent)
        line = re.compile(rb"^(Revises: *)[^\r\n]*", re.MULTILINE)
        self.text = line.sub(lambda match: match[1] + (parent or "").encode(), self.text, count=1)

    def _assigned(self, name: str) -> Any:
        """The assignment of a name at the top of the file, or None."""
        found = []
        for node in ast.parse(self.text).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if [getattr(target, "id", None) for target in targets] == [name] and getattr(node, "value", None):
                found.append(node)
        if len(found) > 1:
            raise self._computed(name)
        return found[0] if found else None

    def _value(self, name: str, node: Any) -> Any:
        try:
            return ast.literal_eval(node.value)
        except ValueError as error:
            raise self._computed(name) from error

    def _place(self, node: Any) -> tuple[int, int]:
        """Where a value begins and ends: in the tree, columns are of the text in UTF-8, whatever the file has."""
        lines = self.text.splitlines(keepends=True)
        return tuple(
            sum(map(len, lines[: line - 1])) + column
            for line, column in ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        )

    def _replace(self, start: int, end: int, new: bytes) -> None:
        self.text = self.text[:start] + new + self.text[end:]

    def _computed(self, name: str) -> MigrationError:
        return MigrationError(
            Code.COMPUTED_ID, f"{place_of(self._path)} computes its ids: write `{name} = …` as a plain value, once"
        )


def _mapped(value: Any, function: Callable[[str], str]) -> Any:
    if value is None or isinstance(value, str):
        return None if value is None else function(value)
    return tuple(map(function, value))


def _renamed_line(text: bytes, renamed: Mapping[str, str]) -> bytes:
    return re.sub(rb"[^\s,]+", lambda match: _renamed_word(match[0], renamed), text)


def _renamed_word(word: bytes, renamed: Mapping[str, str]) -> bytes:
    old = word.decode(errors="replace")
    return renamed[old].encode() if old in renamed else word


def literal(value: str | Ids | bool | None) -> str:
    """A value as Python has it, with double quotes as the files have them."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"({', '.join(map(literal, value))}{',' if len(value) == 1 else ''})"
