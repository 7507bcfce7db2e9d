"""Why a PostgreSQL connection failed, as a fact: psycopg2 gives only a text, in the language of the server.

libpq knows the SQLSTATE of a refused connection, but psycopg2 does not pass it on. A second, asynchronous attempt asks
libpq to put the SQLSTATE into the message: https://www.postgresql.org/docs/current/libpq-control.html and
https://www.psycopg.org/docs/connection.html#connection.pgconn_ptr. Without a SQLSTATE, the server's port is asked.
"""

import ctypes
import os
import re
import select
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2 import _psycopg
from psycopg2.extensions import POLL_OK, POLL_READ

from multidb.advice import known
from multidb.advice.codes import Code
from multidb.advice.known import Obstacle
from multidb.advice.said import first_line
from multidb.errors import ExitCode, MigrationError

_VERBOSE = 2  # PQERRORS_VERBOSE: SQLSTATE, message, and the server's function that raised the error
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # every PostgreSQL server answers it with one byte
_TIMEOUT = 3.0  # seconds for the second attempt
_SHORTEST_TIMEOUT = 2  # seconds, of libpq's connect_timeout
_BUSY = {known.SUCCESS, "57P03", known.NO_SLOT}  # cannot_connect_now
# The classes of permanent refusals: a wrong option, user or password, no privilege.
_PERMANENT_CLASSES = {"0A", "22", "28", "42"}
_WRONG_PASSWORD = "28P01"  # noqa: S105 - no password
# In a message of any language, `FATAL:  53300: …` and `LOCATION:  Function, file.c:1`.
# Of a second attempt, the line begins with `connection to server at …, port … failed: FATAL:  53300: …`.
_STATE = re.compile(r"^.*?:  ([0-9A-Z]{5}): ", re.MULTILINE)
_ROUTINE = re.compile(r":\s+(\w+), \w+\.c:\d+\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Refusal:
    """Why a connection failed: the SQLSTATE if a server refused it, and whether a PostgreSQL server answers at all."""

    sqlstate: str | None
    is_reachable: bool
    obstacle: Obstacle | None = field(default=None, compare=False)
    # The server's function that refused, or for a wrong password the variable that it came from.
    detail: str | None = field(default=None, compare=False)

    @property
    def is_transient(self) -> bool:
        """Whether waiting may help: nothing proves that the next attempt fails, too."""
        if self.sqlstate is None:
            return not self.is_reachable or self.is_busy
        return self.sqlstate[:2] not in _PERMANENT_CLASSES

    @property
    def is_busy(self) -> bool:
        """Whether the server refuses for now: it starts, has no connection slot free, or is overloaded."""
        return self.sqlstate in _BUSY or self.obstacle is Obstacle.OVERLOAD

    @property
    def code(self) -> Code:
        if self.sqlstate is None:
            return self.obstacle.code if self.obstacle else Code.CONNECTION_FAILED
        return known.of_refusal(self.sqlstate, self.detail).code

    @property
    def next_step(self) -> str | None:
        if self.sqlstate is None:
            return self.obstacle.next_step if self.obstacle else None
        return known.of_refusal(self.sqlstate, self.detail).next_step


class ConnectionFailedError(MigrationError):
    """A connection failed. `said` is the driver's message, `refusal` the reason as a fact.

    An SQLite file that does not exist is refused as a PostgreSQL server refuses a database that does not exist.
    """

    said: str
    refusal: Refusal

    @classmethod
    def without_file(cls, path: str) -> "ConnectionFailedError":
        """The failure to open an SQLite file that does not exist: its volume may not be mounted."""
        said = f"there is no file {path}"
        failure = cls(
            Code.NO_FILE,
            f"{said}: correct the path, mount its volume, or create a new one with `python -m multidb create`",
        )
        failure.said, failure.refusal = said, Refusal(known.NO_DATABASE, is_reachable=True)
        return failure

    @classmethod
    def because(
        cls, error: psycopg2.OperationalError, arguments: dict[str, Any], took: float
    ) -> "ConnectionFailedError":
        """The failure of `psycopg2.connect` with these arguments, after `took` seconds.

        A second attempt tells the reason. If only that attempt is not answered in time, the server is overloaded.
        """
        reason, said = refusal(arguments), first_line(str(error))
        timeout = int(arguments.get("connect_timeout") or 0)
        if reason.obstacle is Obstacle.SILENCE and (not timeout or took < max(timeout, _SHORTEST_TIMEOUT) - 0.5):
            reason = Refusal(None, is_reachable=True, obstacle=Obstacle.OVERLOAD)
        failure = cls(reason.code, f"{said}: {reason.next_step}" if reason.next_step else said)
        failure.said, failure.refusal = said, reason
        if reason.is_busy:
            failure.exit_code = ExitCode.RETRY
        return failure


def refusal(arguments: dict[str, Any]) -> Refusal:
    """Try a connection that has failed once more, with the arguments of `psycopg2.connect`, to find out why."""
    until = time.monotonic() + _TIMEOUT
    library = ctypes.CDLL(_psycopg.__file__)
    connection = None
    try:
        connection = psycopg2.connect(**arguments, async_=1)
        library.PQsetErrorVerbosity(ctypes.c_void_p(connection.pgconn_ptr), _VERBOSE)
        while (state := connection.poll()) != POLL_OK and time.monotonic() < until:
            reads, writes = ([connection], []) if state == POLL_READ else ([], [connection])
            select.select(reads, writes, [], max(0.0, until - time.monotonic()))
        # The server no longer refuses, or does not answer in time.
        if state == POLL_OK:
            return Refusal(known.SUCCESS, is_reachable=True)
        return Refusal(None, is_reachable=False, obstacle=Obstacle.SILENCE)
    except psycopg2.OperationalError as error:
        states, routines = _STATE.findall(str(error)), _ROUTINE.findall(str(error))
        if states:  # of several hosts the last is tried last
            if states[-1] == _WRONG_PASSWORD:
                return Refusal(states[-1], is_reachable=True, detail=_password_source(arguments))
            return Refusal(states[-1], is_reachable=True, detail=routines[-1] if routines else None)
        if connection is not None and library.PQconnectionNeedsPassword(ctypes.c_void_p(connection.pgconn_ptr)):
            return Refusal(None, is_reachable=True, obstacle=Obstacle.PASSWORD)
        obstacle = _ask(*_address(arguments))
        return Refusal(None, is_reachable=obstacle is Obstacle.CLIENT, obstacle=obstacle)
    finally:
        if connection is not None:
            connection.close()


def _password_source(arguments: dict[str, Any]) -> str | None:
    """Where a password came from: PGPASSWORD, PGPASSFILE (also of its default place), or None for the URL."""
    if arguments.get("password"):
        return None
    return "PGPASSWORD" if os.environ.get("PGPASSWORD") else "PGPASSFILE"


def _address(arguments: dict[str, Any]) -> tuple[str, str]:
    """Host and port of a connection, or the first of several, which the arguments or libpq's variables name."""
    hosts, ports = (
        next((str(value) for value in values if value), "")
        for values in (
            (arguments.get("hostaddr"), os.environ.get("PGHOSTADDR"), arguments.get("host"), os.environ.get("PGHOST")),
            (arguments.get("port"), os.environ.get("PGPORT")),
        )
    )
    return hosts.partition(",")[0], ports.partition(",")[0] or "5432"


def _ask(host: str, port: str) -> Obstacle:
    """What a socket meets there; CLIENT if a PostgreSQL server answers. The default Unix socket is not asked."""
    if not host:
        return Obstacle.SOCKET
    is_local = host.startswith("/")
    try:
        with socket.socket(socket.AF_UNIX) if is_local else socket.create_connection((host, port), _TIMEOUT) as asked:
            asked.settimeout(_TIMEOUT)
            if is_local:
                asked.connect(f"{host}/.s.PGSQL.{port}")
            asked.sendall(_SSL_REQUEST)
            return Obstacle.CLIENT if asked.recv(1) else Obstacle.CLOSED
    except socket.gaierror:
        return Obstacle.HOST
    except (ConnectionRefusedError, FileNotFoundError):
        return Obstacle.SOCKET if is_local else Obstacle.PORT
    except TimeoutError:
        return Obstacle.SILENCE
    except ConnectionResetError:
        return Obstacle.CLOSED
    except OSError:
        return Obstacle.NETWORK
