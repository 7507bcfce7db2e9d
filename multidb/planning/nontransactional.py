"""Revisions that PostgreSQL can't run in a transaction, such as CREATE INDEX CONCURRENTLY.

Such a revision declares `outside_transaction = True`, and is a stage of its own. Its statements are not rolled back
when it fails, so it has to be safe to run again.
"""

import ast
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from alembic.runtime.migration import MigrationContext
from alembic.script import Script

from multidb.advice.codes import Code
from multidb.planning.plan import Step, Work, around_revision, runs_file
from multidb.planning.revision_files import OUTSIDE_TRANSACTION as DECLARATION
from multidb.planning.revision_files import place_of

_BLOCK = "autocommit_block"


def is_declared(script: Script) -> bool:
    """Whether a revision declares that it runs outside a transaction."""
    return getattr(script.module, DECLARATION, False) is True


def problem_of(script: Script, text: bytes) -> tuple[str, str, Code] | None:
    """What must be changed in a revision, given with its text, before it can run: the place, the reason, its code."""
    found = getattr(script.module, DECLARATION, False)
    if not isinstance(found, bool):
        return place_of(script.path), f"{DECLARATION} = {found!r}: should be True, or left out", Code.NOT_IMPORTED
    if found or _BLOCK.encode() not in text:
        return None
    with suppress(SyntaxError):  # which the import reports
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr == _BLOCK:
                reason = (
                    f"{_BLOCK}() would commit this database before the others have migrated: write "
                    f"`{DECLARATION} = True` under down_revision, and leave nothing else in the revision"
                )
                return f"{place_of(script.path)}:{node.lineno}", reason, Code.ENDS_TRANSACTION
    return None


def around(work: Work, before: Callable[[], None], after: Callable[[], None]) -> Work:
    """Alembic's work with calls around each revision that runs outside a transaction; `after` precedes its record."""

    def steps(heads: tuple[str, ...], context: MigrationContext) -> list[Any]:
        found = work(heads, context)
        return [around_revision(step, before, after) if _runs_outside(step) else step for step in found]

    return steps


def _runs_outside(step: Step) -> bool:
    return runs_file(step) and is_declared(step.revision)
