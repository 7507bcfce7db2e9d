"""A run on a real pseudo-terminal, whose screen an emulator shows."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from select import select

import pyte

from tests.support.project import Project


class Terminal:
    """A terminal with a process in it.

    Attributes:
        process: it; its stdout and stderr are the terminal.
        output: what it has written so far.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", master: int, size: tuple[int, int]) -> None:
        self.process, self.output = process, b""
        self._master = master
        self._screen = pyte.HistoryScreen(*size, history=10_000, ratio=0.1)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """What the screen shows, without what has scrolled away."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """What the screen shows, and what has scrolled away."""
        above = ["".join(line[column].data for column in sorted(line)) for line in self._screen.history.top]
        return "\n".join([*(line.rstrip() for line in above), *self.lines])

    @property
    def cursor_is_hidden(self) -> bool:
        return bool(self._screen.cursor.hidden)

    def row(self, name: str) -> str:
        """The line of a database on the screen, or an empty text."""
        return next((line for line in self.lines if line.startswith(f"{name} ")), "")

    def until(self, *texts: str, seconds: float = 30) -> list[str]:
        """Read until the screen shows all of these texts at once; returns its lines."""
        end = time.monotonic() + seconds
        while not all(any(text in line for line in self.lines) for text in texts):
            assert time.monotonic() < end, (texts, self.text)
            assert self._read(), (texts, self.text)
        return self.lines

    def until_row(self, name: str, pattern: str) -> None:
        """Read until the whole line of a database is like this, after its name."""
        end = time.monotonic() + 30
        while not re.fullmatch(f"{name} +{pattern}", self.row(name)):
            assert time.monotonic() < end, (pattern, self.text)
            assert self._read(), (pattern, self.text)

    def end(self) -> int:
        """Read until the process ends; returns its exit code."""
        while self._read():
            pass
        return self.process.wait(30)

    def _read(self) -> bool:
        """Read what has been written; False if all has ended."""
        if not select([self._master], [], [], 0.2)[0]:
            return True
        read = b""
        with suppress(OSError):  # Linux says so where nobody has the other end open
            read = os.read(self._master, 65536)
        self.output += read
        self._stream.feed(read)
        return bool(read)


@contextmanager
def on_terminal(
    project: Project, *arguments: str, size: tuple[int, int] = (120, 40), variables: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run `alembic` on a terminal of so many columns and lines."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=project.root,
        env=_without_colour(project.environment) | {"TERM": "xterm-256color"} | dict(variables or {}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master, size)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _without_colour(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that decide about colour and width."""
    theirs = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES")
    return {key: value for key, value in environment.items() if key not in theirs}
