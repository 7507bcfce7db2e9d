"""Why a PostgreSQL connection failed, as a fact: psycopg2 gives only a text, in the language of the server.

libpq knows the SQLSTATE of a refused connection, but psycopg2 does not pass it on. A second, asynchronous attempt asks
libpq to put the SQLSTATE in place of the message: https://www.postgresql.org/docs/current/libpq-control.html and
https://www.psycopg.org/docs/connection.html#connection.pgconn_ptr. Without a SQLSTATE, the server's port is asked.
"""

import ctypes
import os
import re
import select
import socket
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import psycopg2
from psycopg2 import _psycopg
from psycopg2.extensions import POLL_OK, POLL_READ

from multidb.errors import ExitCode, MigrationError, first_line

_SQLSTATE_ONLY = 3  # PQERRORS_SQLSTATE: severity and SQLSTATE instead of the message
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # every PostgreSQL server answers it with one byte
_TIMEOUT = 3.0  # seconds for the second attempt
_SHORTEST_TIMEOUT = 2  # seconds, of libpq's connect_timeout
_SUCCESS = "00000"
NO_DATABASE = "3D000"  # invalid_catalog_name: the database may be about to be created
_BUSY = {_SUCCESS, "57P03", "53300"}  # cannot_connect_now, too_many_connections
# The classes of permanent refusals: a wrong option, user or password, no privilege.
_PERMANENT_CLASSES = {"0A", "22", "28", "42"}
_NEXT_STEPS = {
    _SUCCESS: "the server accepts connections again: run again",
    "28000": "allow this host, role and database in the server's pg_hba.conf, or create a role that is missing with "
    "`python -m multidb create`",
    "28P01": "correct the user or the password in the URL, or create a role that is missing with "
    "`python -m multidb create`",
    NO_DATABASE: "create it with `python -m multidb create`",
    "42501": "grant the role CONNECT on the database",
    "53300": "run again later, close other connections, or raise max_connections",
    "57P03": "wait until the server accepts connections, then run again",
}


class Obstacle(StrEnum):
    """What keeps a client from a server that gives no SQLSTATE; the value is the next step."""

    PASSWORD = "put a password into the URL, or use a .pgpass file"  # noqa: S105 - no password
    CLIENT = "correct the sslmode and the certificates in the URL"
    HOST = "correct the host in the URL"
    PORT = "start the server, or correct host and port in the URL; bin/up starts a private one"
    SOCKET = "start the server, or give a host in the URL"
    CLOSED = "see whether a PostgreSQL server is behind that port: the connection was closed without an answer"
    NETWORK = "check the network and the firewalls between here and the server, then run again"
    OVERLOAD = "the server is overloaded: run again later"
    SILENCE = "check for a firewall between here and the server, and whether the server is frozen, then run again"


@dataclass(frozen=True)
class Refusal:
    """Why a connection failed: the SQLSTATE if a server refused it, and whether a PostgreSQL server answers at all."""

    sqlstate: str | None
    is_reachable: bool
    obstacle: Obstacle | None = field(default=None, compare=False)

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
    def next_step(self) -> str | None:
        if self.sqlstate is None:
            return str(self.obstacle) if self.obstacle else None
        return _NEXT_STEPS.get(self.sqlstate)


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
            f"{said}: correct the path, mount its volume, or create a new one with `python -m multidb create`"
        )
        failure.said, failure.refusal = said, Refusal(NO_DATABASE, is_reachable=True)
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
        failure = cls(f"{said}: {reason.next_step}" if reason.next_step else said)
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
        library.PQsetErrorVerbosity(ctypes.c_void_p(connection.pgconn_ptr), _SQLSTATE_ONLY)
        while (state := connection.poll()) != POLL_OK and time.monotonic() < until:
            reads, writes = ([connection], []) if state == POLL_READ else ([], [connection])
            select.select(reads, writes, [], max(0.0, until - time.monotonic()))
        # The server no longer refuses, or does not answer in time.
        if state == POLL_OK:
            return Refusal(_SUCCESS, is_reachable=True)
        return Refusal(None, is_reachable=False, obstacle=Obstacle.SILENCE)
    except psycopg2.OperationalError as error:
        states = re.findall(r"\b([0-9A-Z]{5})\s*$", str(error), re.MULTILINE)  # of several hosts the last is tried last
        if states:
            return Refusal(states[-1], is_reachable=True)
        if connection is not None and library.PQconnectionNeedsPassword(ctypes.c_void_p(connection.pgconn_ptr)):
            return Refusal(None, is_reachable=True, obstacle=Obstacle.PASSWORD)
        obstacle = _ask(*_address(arguments))
        return Refusal(None, is_reachable=obstacle is Obstacle.CLIENT, obstacle=obstacle)
    finally:
        if connection is not None:
            connection.close()


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
