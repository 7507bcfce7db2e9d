"""Expressions as a server writes them when it has read its own text.

`pg_get_constraintdef` and its like are no fixed points: run again, as `psql` does with the output of `pg_dump`, a text
is written in another way. Two texts become a third:

    (ARRAY['a'::character varying])::text[]   the cast moves into the array: ARRAY[('a'::character varying)::text]
    (((a > 1) AND (a < 5)) AND (b > 0))       what comes first is joined: ((a > 1) AND (a < 5) AND (b > 0))
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|\s+|::|.""", re.DOTALL)
_MAY_CHANGE = re.compile(r"\(ARRAY\[|\) (?:AND|OR) ")
_CLOSING = {"(": ")", "[": "]"}


class _Group(NamedTuple):
    """What is in parentheses or brackets."""

    opening: str
    inside: "list[_Node]"

    def __str__(self) -> str:
        return f"{self.opening}{_text(self.inside)}{_CLOSING[self.opening]}"


_Node = str | _Group


def settled(text: str) -> str:
    """The text as the server writes it after it has read it."""
    if not _MAY_CHANGE.search(text):
        return text
    return _text(_settled(_parsed(iter(_TOKENS.findall(text)), "")))


def _parsed(tokens: Iterator[str], closing: str) -> "list[_Node]":
    found: list[_Node] = []
    for token in tokens:
        if token == closing:
            break
        found.append(_Group(token, _parsed(tokens, _CLOSING[token])) if token in _CLOSING else token)
    return found


def _text(nodes: Sequence[_Node]) -> str:
    return "".join(map(str, nodes))


def _settled(nodes: Sequence[_Node]) -> "list[_Node]":
    inner = [_Group(each.opening, _settled(each.inside)) if isinstance(each, _Group) else each for each in nodes]
    return _with_first_joined(_with_casts_inside(inner))


def _with_first_joined(nodes: "list[_Node]") -> "list[_Node]":
    first = nodes[0] if nodes else ""
    for operator in ("AND", "OR"):
        if operator in nodes and isinstance(first, _Group) and operator in first.inside and nodes[2:3] == [operator]:
            return [*first.inside, *nodes[1:]]
    return nodes


def _with_casts_inside(nodes: "list[_Node]") -> "list[_Node]":
    found: list[_Node] = []
    left = list(nodes)
    while left:
        node = left.pop(0)
        type_ = _array_type(left) if _is_array(node) else None
        if type_ is None:
            found.append(node)
            continue
        assert isinstance(node, _Group)
        _, elements = node.inside
        assert isinstance(elements, _Group)
        cast = ", ".join(f"({_text(element)})::{_text(type_)}" for element in _elements(elements.inside))
        found += ["ARRAY", f"[{cast}]"]
        del left[: len(type_) + 2]  # and the colons, and the brackets
    return found


def _is_array(node: _Node) -> bool:
    return isinstance(node, _Group) and node.opening == "(" and len(node.inside) == 2 and node.inside[0] == "ARRAY"


def _array_type(nodes: Sequence[_Node]) -> "list[_Node] | None":
    """The type of the elements in `::text[]`, if the nodes begin with such a cast."""
    if not nodes or nodes[0] != "::":
        return None
    brackets = _Group("[", [])
    return list(nodes[1 : nodes.index(brackets)]) if brackets in nodes else None


def _elements(nodes: Sequence[_Node]) -> "list[list[_Node]]":
    found: list[list[_Node]] = [[]]
    for node in nodes:
        if node == ",":
            found.append([])
        elif found[-1] or str(node).strip():
            found[-1].append(node)
    return found
