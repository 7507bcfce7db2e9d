"""How a run waits for other runs, and for room on a server: without a session, and probing again at each poll."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from multidb.advice.codes import Code
from multidb.advice.known import Obstacle
from multidb.config import urls
from multidb.database import locks
from multidb.database.attempt import Prepared
from multidb.database.connections import retry_pauses
from multidb.database.locks import Wait
from multidb.database.probe import Probe, ProbeResult, log_wait_for_server
from multidb.database.refusal import ConnectionFailedError
from multidb.errors import MigrationError, in_database
from multidb.logs import for_database
from multidb.output import count_of
from multidb.planning.environment import Environment

# Of the role that has logged in; -1 is no limit of its own.
_LIMIT = """
    SELECT least(nullif(rolconnlimit, -1), current_setting('max_connections')::int
                 - current_setting('superuser_reserved_connections')::int)
    FROM pg_catalog.pg_roles WHERE rolname = session_user
"""
_LONGEST_PAUSE = 2.0  # seconds between two looks at a lock; each takes a new session


class _Login(NamedTuple):
    """A role that logs in, on a server; without a name, libpq's default."""

    server: str
    name: str | None


@dataclass(frozen=True)
class Blocked:
    """A database that another run has locked, and that run's session."""

    probe: Probe
    holder: str


class Waiting:
    """How a run waits for others: it closes its sessions, and probes again at each poll."""

    def __init__(self, environment: Environment, probes: Sequence[Probe]) -> None:
        self._settings, self._probes = environment.settings, probes
        self._for_run = Wait(self._settings.lock_wait, "lock_wait", _LONGEST_PAUSE)
        self._released: set[str] = set()
        self._no_room_since: float | None = None
        self._has_logged = False
        self._pauses = retry_pauses()
        # How many connections each login may have on each server, where one of them had no room.
        self._limits: dict[_Login, int] = {}

    def for_room(self, error: ConnectionFailedError) -> None:
        """Give all sessions up, and ask the databases whose server had no room one after another.

        Raises:
            ConnectionFailedError: waiting does not help, or it is late.
        """
        failed = [probe for probe in self._probes if isinstance(probe.failure, ConnectionFailedError)]
        if not any(self._has_no_room(probe) for probe in failed):
            raise error
        self.release()
        self._pause_for_room(error)
        self._ask_in_turn(failed)

    def for_run(self, blocked: Blocked) -> None:
        """Close all sessions, and probe again with one until the database is free, or has moved; then ask all.

        Raises:
            LockedError: it was locked for longer than `lock_wait`.
        """
        self.release()
        probe, holder = blocked.probe, blocked.holder
        before = probe.result().recorded
        with for_database(probe.database.name), in_database(probe.database.name):
            while True:
                self._for_run.pause(lambda holder=holder: holder)  # type: ignore[misc]
                self.ask([probe])
                try:
                    after = probe.result().recorded
                except ConnectionFailedError:
                    if not self._has_no_room(probe):
                        raise
                    continue  # the runs that have the room are being waited for
                found = locks.holder_of(probe.connection)
                if found is None or after != before:
                    break
                holder = found
                self.release([probe])
        self._ask_in_turn(self._probes)

    def committing_run(self) -> Blocked | None:
        """A run that has prepared transactions and still holds its locks: it will finish them."""
        for probe in self._probes:
            if prepared_in(probe):
                self.reconnect([probe])
                holder = locks.holder_of(probe.connection)
                if holder is not None:
                    return Blocked(probe, holder)
        return None

    def check_room(self, probes: Iterable[Probe]) -> None:
        """Raise MigrationError if a login may not have as many connections as a run needs that holds all of these."""
        if not self._limits:
            return
        needed = Counter(_login_of(probe) for probe in probes)
        for login, limit in self._limits.items():
            if needed[login] > limit:
                raise MigrationError(
                    Code.CONNECTION_LIMIT,
                    f"{login.name} may have {count_of(limit, 'connection')} on {login.server}, and this run needs "
                    f"{needed[login]}, one for each database with work: raise the limit of the role or the server, or "
                    "name fewer databases with -x db=",
                )

    def ask_under_lock(self, holders: Sequence[Probe]) -> None:
        """Let all databases answer again while these are locked; in turn, where a login has not enough connections."""
        if not self._limits:
            self.ask(self._probes)
            return
        self.ask(holders)
        self._ask_in_turn(probe for probe in self._probes if probe not in holders)

    def reconnect(self, probes: Iterable[Probe]) -> None:
        """Open the sessions that were given up, all at the same time."""
        released = [probe for probe in probes if probe.database.name in self._released]
        self.ask(released)
        results_of(released)

    def ask(self, probes: Iterable[Probe]) -> None:
        """Let databases answer again, over new sessions where theirs were given up."""
        for probe in probes:
            self._released.discard(probe.database.name)
            probe.start()

    def _ask_in_turn(self, probes: Iterable[Probe]) -> None:
        """Let databases answer again, with one session at a time: many runs may do so at once."""
        for probe in probes:
            self.ask([probe])
            while self._has_no_room(probe):
                assert isinstance(probe.failure, ConnectionFailedError)
                self._pause_for_room(probe.failure)
                self.ask([probe])
            self._no_room_since, self._pauses = None, retry_pauses()
            self._note_limit(probe)
            self.release([probe])

    def _note_limit(self, probe: Probe) -> None:
        """Note how many connections the login of a session may have."""
        if probe.database.is_sqlite or probe.connection is None or not probe.has_answered:
            return
        with probe.connection.cursor() as cursor:
            cursor.execute(_LIMIT)
            self._limits[_login_of(probe)] = cursor.fetchone()[0]

    def _has_no_room(self, probe: Probe) -> bool:
        """Whether a database's server, which has answered before, refuses the connection for now or is overloaded."""
        failure = probe.failure
        if not isinstance(failure, ConnectionFailedError):
            return False
        is_silent = failure.refusal.obstacle is Obstacle.SILENCE
        return failure.refusal.is_busy or (is_silent and urls.server_of(probe.database.url) in self._answering)

    def _pause_for_room(self, error: ConnectionFailedError) -> None:
        now, limit = time.monotonic(), self._settings.busy_wait
        if self._no_room_since is None:
            self._no_room_since = now
        if now - self._no_room_since >= limit:
            raise error
        if not self._has_logged:
            self._has_logged = True
            with for_database(error.database or ""):
                log_wait_for_server(limit, error)
        time.sleep(next(self._pauses))

    @property
    def _answering(self) -> set[tuple[object, ...]]:
        """The servers that have answered, if only with a refusal."""
        return {
            urls.server_of(probe.database.url)
            for probe in self._probes
            if not isinstance(probe.failure, ConnectionFailedError) or probe.failure.refusal.is_reachable
        }

    def release(self, probes: Iterable[Probe] = ()) -> None:
        """Give sessions up, by default all; the answers are kept."""
        for probe in probes or self._probes:
            probe.release()
            self._released.add(probe.database.name)


def _login_of(probe: Probe) -> _Login:
    url = probe.database.url
    return _Login(":".join(map(str, urls.server_of(url))), url.username)


def results_of(probes: Sequence[Probe]) -> list[ProbeResult]:
    """The answers of all databases. MigrationError if a database can't be reached."""
    found = []
    for probe in probes:
        with in_database(probe.database.name):
            found.append(probe.result())
    return found


def prepared_in(probe: Probe) -> tuple[Prepared, ...]:
    """The prepared transactions of a database; none if it can't be reached, which results_of() raises."""
    try:
        return probe.result().in_doubt
    except Exception:
        return ()
