"""Text for people: revisions, counts, columns, and printing that never fails a run."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence

from alembic.config import Config

Print = Callable[[str], None]
"""Prints a line."""

NAME_WIDTH = 16  # characters of a database's name in front of its line


def revisions_text(revisions: Iterable[str]) -> str:
    """Revisions as a message names them: `auth_0001`, or `<base>` for none."""
    return ", ".join(sorted(revisions)) or "<base>"


def count_of(number: int, noun: str) -> str:
    """A number of things: `1 database`, `3 databases`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text, each column as wide as its widest cell; nothing follows the last cell of a row."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def listed(words: Sequence[str]) -> str:
    """Words as an enumeration: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def shortened(text: str, longest: int = 120) -> str:
    """A text on one line, cut at a number of characters; spaces in a line may be those of a string."""
    line = " ".join(filter(None, map(str.strip, text.splitlines())))
    return line if len(line) <= longest else f"{line[:longest]}…"


def print_safely(config: Config, text: str) -> None:
    """Print a report through Alembic's configuration; a failure to print changes nothing about what was done."""
    try:
        for line in text.splitlines():
            config.print_stdout("%s", line)
        config.stdout.flush()
    except (OSError, ValueError, AttributeError):  # a closed pipe, a closed file, no stdout at all
        if sys.stdout is not None:
            sys.stdout = None  # else Python flushes again at exit, fails, and exits with 120


def discard_stdout() -> None:
    """Discard what Python would still write to a pipe that its reader has closed.

    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
