"""The rows of a run as a table for a terminal, drawn by rich."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from multidb.output import count_of
from multidb.progress.row import Row, duration_text
from multidb.release.activity import Doing

_NARROW = 100  # columns from which on the details have a column of their own
_BLOCKED = "yellow"
_STYLES = {
    Doing.WAITING: "dim",
    Doing.BEGINNING: "bold",
    Doing.MIGRATING: "bold",
    Doing.MIGRATED: "cyan",
    Doing.PREPARING: "bold",
    Doing.PREPARED: "cyan",
    Doing.COMMITTING: "bold",
    Doing.COMMITTED: "green",
    Doing.ROLLED_BACK: "dim",
    Doing.RETRYING: _BLOCKED,
    Doing.FAILED: "bold red",
}


class Picture:
    """Draws rows for a terminal: in colour if it has any and NO_COLOR is not set, and in the width that it has."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def drawn(self, rows: Sequence[Row], seconds: float, size: tuple[int, int]) -> str:
        """The picture as text, of at most as many lines as the terminal shows beside the output and an empty one.

        Args:
            seconds: since the run began.
            size: of the terminal, columns and lines.
        """
        columns, lines = size[0], max(1, size[1] - 2)
        self._console.width = max(1, columns - 1)  # after the last column, some terminals begin a line
        summary = Text(_summary(rows, seconds), no_wrap=True, overflow="ellipsis", style="dim")
        render = _table if columns >= _NARROW else _lines
        drawn = self._rendered(Group(render(rows), summary))
        if len(drawn) > lines:  # the summary counts the others
            active = [row for row in rows if row.doing.is_busy or row.doing in (Doing.FAILED, Doing.RETRYING)]
            drawn = self._rendered(Group(render(active), summary))
        return "".join(drawn[-lines:])

    def _rendered(self, renderable: RenderableType) -> list[str]:
        with self._console.capture() as captured:
            self._console.print(renderable)
        return captured.get().splitlines(keepends=True)


def _table(rows: Iterable[Row]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("database", "state", "revision", "time"):
        table.add_column(title, no_wrap=True, justify="right" if title == "time" else "left")
    table.add_column("statement", ratio=1)  # which alone is shortened, because it might be wrapped
    for row in rows:
        details = Text("\n".join(row.details), no_wrap=True, overflow="ellipsis")
        table.add_row(Text(row.name), _state(row), Text(row.revision), Text(row.time), details)
    return table


def _lines(rows: Iterable[Row]) -> RenderableType:
    """The same for a narrow terminal: a line for each database, and its details below."""
    found = []
    for row in rows:
        text = Text(f"{row.name} ").append_text(_state(row))
        if row.time:
            text.append(f" {row.time}")
        found.append(text)
        if row.doing.is_busy:
            found += [Text(f"  {detail}") for detail in (row.revision, *row.details) if detail]
    for text in found:
        text.no_wrap, text.overflow = True, "ellipsis"
    return Group(*found)


def _state(row: Row) -> Text:
    return Text(row.state, style=_BLOCKED if row.is_blocked else _STYLES[row.doing])


def _summary(rows: Sequence[Row], seconds: float) -> str:
    counts = Counter(row.state for row in rows)
    return f"{count_of(len(rows), 'database')} for {duration_text(seconds)}: " + ", ".join(
        f"{number} {state}" for state, number in counts.items()
    )
