"""A picture below the output of a run on a terminal, which is drawn again and again.

The cursor stays visible, and where the next output belongs: programs that a revision starts may print, too. Whatever
ends this process, the terminal works as before.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from threading import Lock
from typing import Any, TextIO

# https://vt100.net/docs/vt510-rm/chapter4.html: IND goes down without leaving the column, and scrolls at the end.
_ERASE_BELOW, _DOWN, _UP, _SAVE, _RESTORE = "\x1b[J", "\x1bD", "\x1b[{}A", "\x1b7", "\x1b8"


class Terminal:
    """The terminal on a stream, in whose place it is written to."""

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

    def write(self, text: str) -> int:
        """Write above the picture."""
        with self._lock:
            self._write(f"{_ERASE_BELOW}{text}{self._below}" if self._below else text)
        return len(text)

    def flush(self) -> None:
        """Every text has been flushed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

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
def taken(stream: TextIO) -> Iterator[Terminal]:
    """The terminal on stderr, through which the log and what is printed are written inside."""
    terminal = Terminal(stream)
    handlers = [
        each
        for each in logging.getLogger().handlers
        if isinstance(each, logging.StreamHandler) and each.stream is stream
    ]
    with ExitStack() as opened:
        for each in handlers:
            each.setStream(terminal)
            opened.callback(each.setStream, stream)
        opened.callback(terminal.close)
        for redirect, printed in ((redirect_stdout, sys.stdout), (redirect_stderr, sys.stderr)):
            if printed is not None and printed.isatty():
                opened.enter_context(redirect(terminal))
        yield terminal
