"""What the sessions of a run do, as their servers say: statement, blockers, and PostgreSQL's own progress."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from threading import Event, Thread
from typing import Any

from sqlalchemy.engine import URL

from multidb.config import urls
from multidb.database import connections
from multidb.database.connections import Driver

_INTERVAL = 1.0  # seconds between two queries
_STALE = 5.0  # seconds for which an answer is shown, where none follows
_JOIN_TIMEOUT = 0.2  # seconds that a thread has to end with its session
# The login may see its own sessions, which the role that it takes on may not.
_SETTINGS = "SET ROLE NONE; SET search_path = pg_catalog; SET statement_timeout = 1000; SET lock_timeout = 500"
# pg_blocking_pids() halts the lock manager for a moment: only for a session that waits for a lock. In each phase, one
# pair of numbers of pg_stat_progress_create_index counts; the phases are the views' own words, in any language.
_SESSIONS = """
    SELECT a.pid, a.query, a.state = 'active',
           extract(epoch FROM clock_timestamp()
                   - CASE a.state WHEN 'active' THEN a.query_start ELSE a.state_change END),
           a.wait_event, p.phase, p.done, p.total,
           CASE WHEN a.wait_event_type = 'Lock' THEN (
               SELECT string_agg(format('pid %%s (%%s)', b.pid,
                   coalesce(nullif(b.application_name, ''), b.usename, 'of another role')), ', ' ORDER BY b.pid)
               FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(a.pid))
           ) END
    FROM pg_stat_activity a LEFT JOIN (
        SELECT pid, phase,
               CASE WHEN phase LIKE 'waiting for %%' THEN lockers_done
                    WHEN phase LIKE '%%loading tuples%%' THEN tuples_done ELSE blocks_done END AS done,
               CASE WHEN phase LIKE 'waiting for %%' THEN lockers_total
                    WHEN phase LIKE '%%loading tuples%%' THEN tuples_total ELSE blocks_total END AS total
        FROM pg_stat_progress_create_index
        UNION ALL SELECT pid, phase, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_cluster
        UNION ALL SELECT pid, phase, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_vacuum
        UNION ALL SELECT pid, phase, sample_blks_scanned, sample_blks_total FROM pg_stat_progress_analyze
        UNION ALL SELECT pid, 'copying', bytes_processed, bytes_total FROM pg_stat_progress_copy
    ) p USING (pid)
    WHERE a.pid = ANY (%s)
"""
# A literal may be a password, or personal data. A statement that the server has cut may end in one.
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|$)")
_LONGEST_STATEMENT = 300  # characters


@dataclass(frozen=True)
class SessionView:
    """What one session does. Texts are safe to show: without literals and control characters.

    Attributes:
        at: when the server was asked, by time.monotonic().
        statement: the one that runs, else empty.
        since: when the statement began, or the last one ended, by time.monotonic().
        progress: phase and per cent, where PostgreSQL has them.
        blockers: the sessions that the statement waits for.
    """

    at: float
    statement: str
    since: float
    progress: str = ""
    blockers: str = ""


class Sessions:
    """The sessions of a run, looked at over one more session for each server and login.

    That session holds no lock that another waits for, and each of its queries takes a second at most. A server that
    does not answer, or has no room for the session, is not asked again.
    """

    def __init__(self, backends: Mapping[str, tuple[URL, int]]) -> None:
        """Take the databases on PostgreSQL by name, each with its URL and the server process of its session."""
        self._backends = backends
        self._found: dict[str, SessionView] = {}
        self._drivers: list[Driver] = []
        self._ended = Event()

    def view(self, name: str) -> SessionView | None:
        """What the session of a database does; None if it is not known."""
        found = self._found.get(name)
        return found if found is not None and time.monotonic() - found.at < _STALE else None

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Look at the sessions inside, in a thread for each server and login."""
        logins: dict[tuple[object, ...], list[str]] = {}
        for name, (url, _) in self._backends.items():
            logins.setdefault((*urls.server_of(url), url.username), []).append(name)
        threads = [Thread(target=self._observe, args=[names], daemon=True) for names in logins.values()]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for driver in self._drivers:
                if not driver.closed:
                    connections.shut_down(driver)
            for thread in threads:
                thread.join(_JOIN_TIMEOUT)

    def _observe(self, names: Sequence[str]) -> None:
        url = self._backends[names[0]][0]
        # Whatever fails, the run goes on; what is shown of it has less in it then.
        with suppress(Exception), closing(connections.open_to_read(url, busy_wait=0)) as driver:
            self._drivers.append(driver)
            with driver.cursor() as cursor:
                cursor.execute(_SETTINGS)
                while not self._ended.is_set():
                    at = time.monotonic()
                    cursor.execute(_SESSIONS, [[self._backends[name][1] for name in names]])
                    self._note(names, {row[0]: row[1:] for row in cursor.fetchall()}, at)
                    self._ended.wait(_INTERVAL)

    def _note(self, names: Sequence[str], rows: Mapping[int, Sequence[Any]], at: float) -> None:
        for name in names:
            row = rows.get(self._backends[name][1])
            if row is not None and row[2] is not None:  # of which the role sees more than that it is there
                self._found[name] = _view(at, *row)


def _view(
    at: float,
    query: str | None,
    is_active: bool,
    seconds: Decimal,
    wait_event: str | None,
    phase: str | None,
    done: int | None,
    total: int | None,
    blockers: str | None,
) -> SessionView:
    progress = phase or ""
    if progress and total:
        progress += f" {min(100, 100 * (done or 0) // total)} %"
    if wait_event == "SyncRep":
        progress = "waits for a synchronous standby"
    statement = _statement_text(query or "") if is_active else ""
    return SessionView(at, statement, at - float(seconds), _plain(progress), _plain(blockers or ""))


def _statement_text(query: str) -> str:
    """A statement on one line, without the values of its literals."""
    return _plain(_LITERAL.sub("'…'", query))[:_LONGEST_STATEMENT]


def _plain(text: str) -> str:
    """A text without control characters, which a terminal would obey, and without repeated spaces."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
