"""Shows a run that takes long: as a table on a terminal, else by a line for each database that works.

What watches is a thread of the coordinator's process, which begins after the workers were forked and has sessions of
its own. A run that ends before anything is shown has imported nothing for it, and no failure of it reaches the run.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from threading import Event, Thread

from alembic.config import Config
from sqlalchemy.engine import URL

from multidb.errors import is_command_line
from multidb.logs import for_database, log
from multidb.release.activity import Activities
from multidb.signals import SIGNALS

_DELAY = 1.0  # seconds until the table appears; most runs have ended by then
_REDRAW = 1.0  # seconds between two pictures
_LINES = 10.0  # seconds between two lines of a database, and until its first
_FIRST_LOOK = 8.0  # seconds until the servers are asked
_LOOK = 1.0  # seconds between two looks for a database that takes long
_JOIN_TIMEOUT = 0.5  # seconds that the thread has to end; its sessions are shut down


@contextmanager
def shown(config: Config, activities: Activities, backends: Mapping[str, tuple[URL, int]]) -> Iterator[None]:
    """Show what the databases do inside; nothing where INFO is not logged, as with `-q`, or in a program.

    Args:
        activities: of the databases of the run.
        backends: the databases on PostgreSQL, each with its URL and the server process of its session.
    """
    if not is_command_line(config) or not log.isEnabledFor(logging.INFO):
        yield
        return
    watcher = _Watcher(activities, backends)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()


class _Watcher:
    def __init__(self, activities: Activities, backends: Mapping[str, tuple[URL, int]]) -> None:
        self._activities, self._backends = activities, backends
        self._began_at = time.monotonic()
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        with suppress(RuntimeError):  # no more threads may be started
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_TIMEOUT)

    def _watch(self) -> None:
        # The main thread has to get the signals: they end its sleep.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        with suppress(Exception):
            if _has_table():
                self._draw()
            else:
                self._log()

    def _draw(self) -> None:
        if self._ended.wait(_DELAY):
            return
        from multidb.progress.row import Row
        from multidb.progress.sessions import Sessions
        from multidb.progress.table import Picture
        from multidb.progress.terminal import taken

        sessions = Sessions(self._backends)
        with sessions.observed(), taken(sys.stderr) as terminal:
            picture = Picture(sys.stderr)
            while not self._ended.is_set():
                rows = [Row.of(name, each, sessions.view(name)) for name, each in self._activities.of.items()]
                terminal.draw(picture.drawn(rows, time.monotonic() - self._began_at, terminal.size))
                self._ended.wait(_REDRAW)

    def _log(self) -> None:
        if self._ended.wait(_FIRST_LOOK):
            return
        from multidb.progress.row import Row
        from multidb.progress.sessions import Sessions

        sessions = Sessions(self._backends)
        logged_at: dict[str, float] = {}
        with sessions.observed():
            while not self._ended.wait(_LOOK):
                for name, activity in self._activities.of.items():
                    now = time.monotonic()
                    if activity.doing.is_busy and now - max(activity.began_at, logged_at.get(name, 0.0)) >= _LINES:
                        logged_at[name] = now
                        with for_database(name):
                            log.info("%s", Row.of(name, activity, sessions.view(name)).line)


def _has_table() -> bool:
    """Whether log lines go to a terminal that can move its cursor, and rich is installed, which draws the table."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and find_spec("rich") is not None
