"""What a run did, database by database: the table at its end."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alembic.config import Config

Say = Callable[[str], None]
"""Prints a line."""

_LONGEST = 200  # characters of a result; the line on stderr has all
_TITLES = ("database", "from", "to", "revisions", "time", "result")


@dataclass
class Row:
    """What became of one database. Times are in seconds."""

    database: str
    before: tuple[str, ...]
    after: tuple[str, ...] = ()
    revisions: int = 0
    seconds: float = 0.0
    result: str = "untouched"

    @property
    def cells(self) -> tuple[str, ...]:
        moved = bool(self.revisions) or self.before != self.after
        return (
            self.database,
            _shown(self.before),
            _shown(self.after),
            str(self.revisions or "-"),
            f"{self.seconds:.2f} s" if moved else "-",
            self.result if len(self.result) <= _LONGEST else f"{self.result[:_LONGEST]}…",
        )


def show(config: Config, text: str) -> None:
    """Print it, if anybody listens: a report that can't be printed changes nothing about what happened."""
    try:
        for line in text.splitlines():
            config.print_stdout("%s", line)
        config.stdout.flush()
    except (OSError, ValueError, AttributeError):  # a closed pipe, a closed file, no stdout at all
        if sys.stdout is not None:
            sys.stdout = None  # else Python tries again at its end, and exits with 120


def table(rows: Sequence[Row]) -> str:
    """The rows under each other."""
    return in_columns([_TITLES, *(row.cells for row in rows)])


def in_columns(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, with each column as wide as its widest; the last one ends where it ends."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _shown(revisions: tuple[str, ...]) -> str:
    return ", ".join(revisions) or "<base>"
