"""A picture at the bottom of a terminal that is drawn again and again, while log lines scroll above it."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TextIO

_UP_AND_CLEAR = "\x1b[{}F\x1b[J"  # up by so many lines to the first column, then all below is erased


class Terminal:
    """The terminal on a stream. In place of the stream, a log handler writes through it.

    The cursor stays visible, and after the picture's last line: whatever ends the process, the terminal is as it was.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, Lock()
        self._picture = ""
        self._is_closed = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        return os.get_terminal_size(self._stream.fileno())

    def draw(self, picture: str) -> None:
        """Show a picture, whose lines end in a newline, in place of the one before."""
        with self._lock:
            if not self._is_closed:
                self._stream.write(self._erasing() + picture)
                self._stream.flush()
                self._picture = picture

    def write(self, text: str) -> None:
        """Write whole lines above the picture."""
        with self._lock:
            self._stream.write(self._erasing() + text + self._picture)

    def flush(self) -> None:
        with self._lock:
            self._stream.flush()

    def _erasing(self) -> str:
        return _UP_AND_CLEAR.format(self._picture.count("\n")) if self._picture else ""

    def close(self) -> None:
        """Erase the picture; nothing is drawn any more."""
        with self._lock:
            self._is_closed = True
            self._stream.write(self._erasing())
            self._stream.flush()
            self._picture = ""


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
