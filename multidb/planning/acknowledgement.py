"""What a revision's own file accepts: `accepted = {"drop-column users.nickname": "no service reads it since 4.2"}`."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from multidb.advice.codes import Code
from multidb.errors import MigrationError
from multidb.planning.revision_files import place_of

ACCEPTED = "accepted"
"""The name in a revision file."""


@dataclass(frozen=True)
class Acknowledgement:
    """A finding that a revision's own file accepts: `accepted = {"drop-column users.nickname": "unread since 4.2"}`."""

    rule: str
    subject: str  # empty for every finding of the rule in the revision
    reason: str
    until: str  # an ISO date after which it no longer holds; empty for none
    place: str


def acknowledgements(path: Path) -> list[Acknowledgement]:
    """What a revision's file accepts, read without importing it.

    Raises:
        MigrationError: the value can't be read, has no reason, or has a date that is none; names file and line.
    """
    tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(each, ast.Name) and each.id == ACCEPTED for each in targets):
            assert isinstance(node, (ast.Assign, ast.AnnAssign))
            return _entries(node.value, f"{place_of(path)}:{node.lineno}")
    return []


def _entries(node: ast.expr | None, place: str) -> list[Acknowledgement]:
    example = '{"drop-column users.nickname": "no service reads it since 4.2"}'
    problem = MigrationError(
        Code.ACCEPTED_FINDING, f"{place}: {ACCEPTED} should have a reason for each finding, as in {example}"
    )
    try:
        found = ast.literal_eval(node) if node is not None else None
    except ValueError as error:
        raise problem from error
    if not isinstance(found, dict):
        raise problem
    entries: list[Acknowledgement] = []
    for key, value in found.items():
        reason, until = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, "")
        if not (isinstance(key, str) and isinstance(reason, str) and reason.strip() and isinstance(until, str)):
            raise problem
        if until:
            try:
                date.fromisoformat(until)
            except ValueError as error:
                raise MigrationError(
                    Code.ACCEPTED_FINDING, f"{place}: {ACCEPTED}: {until!r} is no date, as 2026-12-31 is"
                ) from error
        rule, _, subject = key.partition(" ")
        entries.append(Acknowledgement(rule, subject.strip(), reason, until, place))
    return entries


def expired(entries: Sequence[Acknowledgement], today: date) -> list[Acknowledgement]:
    """The acknowledgements that hold no longer."""
    return [each for each in entries if each.until and date.fromisoformat(each.until) < today]
