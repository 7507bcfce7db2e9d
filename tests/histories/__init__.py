"""Histories of other Alembic projects, as they are found: self-written, each revision a few lines.

A history is a sequence of revisions. `written` makes the files of its `versions/` folder, which plain Alembic runs, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

TEXT = '''"""{message}

Revision ID: {id}
Revises: {revises}
Create Date: 2024-01-01 10:00:00

"""
import json
import uuid
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = {id!r}
down_revision = {down!r}
branch_labels = {labels!r}
depends_on = {depends!r}

{before}
def upgrade():
{upgrade}


def downgrade():
{downgrade}
'''


@dataclass(frozen=True)
class Revision:
    """A file: what it does, and how that is undone; `before` is what stands above its functions."""

    id: str
    upgrade: str
    downgrade: str = "pass"
    down: str | tuple[str, ...] | None = ""  # empty: the one before it
    labels: tuple[str, ...] | None = None
    depends: str | None = None
    before: str = ""


History = Sequence[Revision]


def written(history: History, folder: Path) -> Path:
    """Write the files of a history into a new folder."""
    folder.mkdir(parents=True)
    for each, before in zip(history, (None, *history), strict=False):
        down = (before.id if before else None) if each.down == "" else each.down
        text = TEXT.format(
            message=f"change {each.id}",
            id=each.id,
            revises=", ".join(down) if isinstance(down, tuple) else down or "",
            down=down,
            labels=each.labels,
            depends=each.depends,
            before=f"{each.before}\n\n" if each.before else "",
            upgrade=indent(each.upgrade, "    "),
            downgrade=indent(each.downgrade, "    "),
        )
        (folder / f"{each.id}_change.py").write_text(text)
    return folder
