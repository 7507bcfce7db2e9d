"""The drafts of a revision: for each object that differs, Alembic's operations or DDL, whichever holds when it is run.

Alembic's operations are what a person would write, so they come first. Where they fail, or leave their object different
from what is wanted, its DDL is written instead: all of it, so that no file makes something wrong and then repairs it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import psycopg2

from multidb.autogenerate.operations import Operation, Rank, grouped
from multidb.autogenerate.rendering import StatementOp
from multidb.autogenerate.workspace import Piece, PieceError, Workspace
from multidb.schema import kinds
from multidb.schema.changes import Change, changes, with_texts_of
from multidb.schema.difference import Stage
from multidb.schema.objects import Key, Schema

_ROUNDS = 50  # each of which takes an operation of Alembic's out, or is the last


@dataclass
class Draft:
    """What a revision does in one direction, and what is wrong with that."""

    pieces: list[Piece]
    left: Sequence[Change] = ()  # what still differs afterwards
    failure: PieceError | None = None


Finder = Callable[[Sequence[Change]], Sequence[Operation]]
"""Finds Alembic's operations for changes."""


@dataclass
class _Choice:
    """What is known so far about what holds."""

    rejected: set[Key] = field(default_factory=set)  # objects for which Alembic's operations don't hold
    replaced: set[Key] = field(default_factory=set)  # types that can't be altered here
    rest: list[Change] = field(default_factory=list)  # what no change of another object would have been for


def drafted(workspace: Workspace, wanted: Schema, find: Finder, others: Collection[Key] = ()) -> Draft:
    """Draft what makes the workspace's schema the wanted one, and leave the workspace as it was.

    Args:
        find: finds Alembic's operations.
        others: objects of which the definition may change with those that they use, as `with_texts_of` takes them.
    """
    live, choice = workspace.read(), _Choice()
    draft = Draft([])
    for _ in range(_ROUNDS):
        todo = changes(wanted, live, choice.replaced)
        operations = find(todo)
        draft = Draft(_pieces(todo, operations, choice, workspace))
        with workspace.undone():
            try:
                workspace.run(draft.pieces)
                draft.left = changes(wanted, with_texts_of(wanted, workspace.read(), others))
            except PieceError as failure:
                draft.failure = failure
        if not _learns(choice, draft, wanted, operations, todo, is_grouped=workspace.database.is_sqlite):
            break
    return draft


def _learns(
    choice: _Choice,
    draft: Draft,
    wanted: Schema,
    operations: Sequence[Operation],
    todo: Sequence[Change],
    *,
    is_grouped: bool,
) -> bool:
    """Whether what happened tells of something to be done in another way."""
    before = len(choice.rejected), len(choice.replaced), len(choice.rest)
    failure = draft.failure
    if failure is not None:
        if isinstance(failure.reason, psycopg2.errors.UnsafeNewEnumValueUsage):
            choice.replaced |= _enums_of(failure.piece, todo, wanted) - choice.replaced or {
                change.key for change in todo if change.old and change.key[0] == "enum"
            }
        elif failure.piece.is_alembics:
            choice.rejected |= failure.piece.keys
        else:  # perhaps because of what an operation does beside what it is for, such as drop the CHECK of a type
            keys = [piece.keys for piece in draft.pieces if piece.is_alembics]
            near = [each for each in keys if _tables(each) & _tables(failure.piece.keys)]
            choice.rejected |= {key for each in near or keys for key in each}
    else:
        wrong = {change.key for change in draft.left}
        used = [piece for piece in draft.pieces if piece.is_alembics and piece.keys & wrong]
        choice.rejected |= {key for piece in used for key in piece.keys}
        if not used and not choice.rest:
            choice.rest = list(draft.left)
    if is_grouped:  # a batch is for a whole table
        tables = {each.table for each in operations if each.keys & choice.rejected}
        choice.rejected |= {key for each in operations if each.table in tables for key in each.keys}
    return before != (len(choice.rejected), len(choice.replaced), len(choice.rest))


def _tables(keys: Collection[Key]) -> set[str]:
    """The names of the tables that objects are, or are in."""
    return {name if kind == "table" else name.rpartition(".")[0].rpartition(" ")[2] for kind, name in keys}


def _enums_of(piece: Piece, todo: Sequence[Change], wanted: Schema) -> set[Key]:
    """The enums with new values that columns of a piece's tables have."""
    tables = {
        each.parent if each.kind != "table" else each.key for key, each in wanted.objects.items() if key in piece.keys
    }
    columns = [each for table in tables if table for each in wanted.of_kind(kinds.Column, table)]
    types = {each.type.removesuffix("[]") for each in columns}
    changed = [change for change in todo if change.old and change.key[0] == "enum"]
    return {change.key for change in changed if change.new and change.new.identifier in types}


def _pieces(
    todo: Sequence[Change], operations: Sequence[Operation], choice: _Choice, workspace: Workspace
) -> list[Piece]:
    is_sqlite = workspace.database.is_sqlite
    used = [each for each in operations if not each.keys & choice.rejected]
    if not is_sqlite:
        used = _without_those_done_by_others(todo, used)
    by_operation = {key for each in used for key in each.keys}
    ranked: list[tuple[Rank, Piece]] = [(_rank(each, todo), Piece(each.keys, each.operation, True)) for each in used]
    seen: set[tuple[Key | None, str]] = set()
    by_statements = [
        change for change in (*todo, *choice.rest) if change.key not in by_operation or change in choice.rest
    ]
    statements = [(statement, change) for change in by_statements for statement in change.statements]
    for statement, change in sorted(statements, key=lambda pair: pair[0]):
        # On SQLite, each table that is rebuilt takes the same PRAGMAs.
        place = change.table if is_sqlite else None, statement.text
        if place not in seen:
            rank = (Stage.DROP + 1, 0) if change in choice.rest else statement.rank
            ranked.append((rank, Piece(frozenset({change.key}), StatementOp(statement.text), False)))
        seen.add(place)
    pieces = [piece for _, piece in sorted(ranked, key=lambda pair: pair[0])]
    return _in_batches(pieces) if is_sqlite else pieces


def _without_those_done_by_others(todo: Sequence[Change], operations: Sequence[Operation]) -> list[Operation]:
    """The operations for objects that the DDL for another object does not create again by itself."""
    used = list(operations)
    while True:
        by_operation = {key for each in used for key in each.keys}
        texts = {each.text for change in todo if change.key not in by_operation for each in change.statements}
        done = {change.key for change in todo if any(each.text in texts for each in change.statements)}
        kept = [each for each in used if not each.keys & done]
        if len(kept) == len(used):
            return used
        used = kept


def _rank(operation: Operation, todo: Sequence[Change]) -> Rank:
    if operation.rank is not None:
        return operation.rank
    ranks = [each.rank for change in todo if change.key in operation.keys for each in change.statements]
    if not ranks:
        return (Stage.CREATE, 0)
    return max(ranks) if operation.is_last else min(ranks)


def _in_batches(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of which those of Alembic's on one table are a batch."""
    batches = grouped([piece.operation for piece in pieces])
    keys = {id(piece.operation): piece for piece in pieces}
    found = []
    for each in batches:
        inside = [keys[id(part)] for part in getattr(each, "ops", [each])]
        all_keys: Collection[Key] = {key for piece in inside for key in piece.keys}
        found.append(Piece(frozenset(all_keys), each, inside[0].is_alembics))
    return found
