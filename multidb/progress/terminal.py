"""A picture below the output of a run on a terminal, which is drawn again and again.

The cursor stays visible, and where the next output belongs: revisions print, too, from other processes. Whatever ends
this one, the terminal works as before.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

# https://vt100.net/docs/vt510-rm/chapter4.html: IND goes down without leaving the column, and scrolls at the end.
_ERASE_BELOW, _DOWN, _UP, _SAVE, _RESTORE = "\x1b[J", "\x1bD", "\x1b[{}A", "\x1b7", "\x1b8"


class Terminal:
    """The terminal on a stream. In place of the stream, a log handler writes through it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, Lock()
        self._below = ""  # what draws the picture
        self._is_closed = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines; those of a terminal that does not say are 80 and 24."""
        columns, lines = os.get_terminal_size(self._stream.fileno())
        return columns or 80, lines or 24

    def draw(self, picture: str) -> None:
        """Show a picture after an empty line, in place of the one before."""
        lines = picture.splitlines()
        height = len(lines) + 1
        below = _DOWN * height + _UP.format(height) + _SAVE + "\n\n" + "\n".join(lines) + _RESTORE
        with self._lock:
            if not self._is_closed:
                self._below = below
                self._write(_ERASE_BELOW + below)

    def write(self, text: str) -> None:
        """Write whole lines above the picture."""
        with self._lock:
            self._write(f"{_ERASE_BELOW}{text}{self._below}" if self._below else text)

    def flush(self) -> None:
        """Every write has been flushed."""

    def close(self) -> None:
        """Erase the picture; nothing is drawn any more."""
        with self._lock:
            self._is_closed = True
            if self._below:
                self._write(_ERASE_BELOW)
                self._below = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def taking_log_lines(stream: TextIO) -> Iterator[Terminal]:
    """A terminal through which the log is written inside."""
    terminal = Terminal(stream)
    handlers = [
        each
        for each in logging.getLogger().handlers
        if isinstance(each, logging.StreamHandler) and each.stream is stream
    ]
    for each in handlers:
        each.setStream(terminal)
    try:
        yield terminal
    finally:
        terminal.close()
        for each in handlers:
            each.setStream(stream)
