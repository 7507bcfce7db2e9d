"""Why a PostgreSQL connection failed, as a fact: psycopg2 gives only a text, in the language of the server.

libpq knows the SQLSTATE of a refused connection, but psycopg2 does not pass it on. A second, asynchronous attempt asks
libpq to put the SQLSTATE in place of the message: https://www.postgresql.org/docs/current/libpq-control.html and
https://www.psycopg.org/docs/connection.html#connection.pgconn_ptr.
"""

import ctypes
import re
import select
import socket
import time
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import _psycopg
from psycopg2.extensions import POLL_OK, POLL_READ

_SQLSTATE_ONLY = 3  # PQERRORS_SQLSTATE: severity and SQLSTATE instead of the message
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # every PostgreSQL server answers it with one byte
_TIMEOUT = 3.0  # seconds for the second attempt
_SUCCESS = "00000"
_BUSY = {"57P03", "53300"}  # cannot_connect_now, too_many_connections
_TRANSIENT = {*_BUSY, _SUCCESS, "3D000"}  # 3D000, invalid_catalog_name: the database may be about to be created


@dataclass(frozen=True)
class Refusal:
    """Why a connection failed: the SQLSTATE if a server refused it, and whether a PostgreSQL server answers at all."""

    sqlstate: str | None
    is_reachable: bool

    @property
    def is_transient(self) -> bool:
        """Whether waiting may help: no server answers yet, or it refuses for now."""
        return not self.is_reachable or self.sqlstate in _TRANSIENT

    @property
    def is_busy(self) -> bool:
        """Whether the server refuses for now: it starts, or has no connection slot free."""
        return self.sqlstate in _BUSY


def refusal(arguments: dict[str, Any]) -> Refusal:
    """Try a connection that has failed once more, with the arguments of `psycopg2.connect`, to find out why."""
    until = time.monotonic() + _TIMEOUT
    connection = None
    try:
        connection = psycopg2.connect(**arguments, async_=1)
        ctypes.CDLL(_psycopg.__file__).PQsetErrorVerbosity(ctypes.c_void_p(connection.pgconn_ptr), _SQLSTATE_ONLY)
        while (state := connection.poll()) != POLL_OK and time.monotonic() < until:
            reads, writes = ([connection], []) if state == POLL_READ else ([], [connection])
            select.select(reads, writes, [], max(0.0, until - time.monotonic()))
        # The server no longer refuses, or does not answer in time.
        return Refusal(_SUCCESS, is_reachable=True) if state == POLL_OK else Refusal(None, is_reachable=False)
    except psycopg2.OperationalError as error:
        match = re.search(r"\b([0-9A-Z]{5})\s*$", str(error))
        if match:
            return Refusal(match[1], is_reachable=True)
        return Refusal(None, is_reachable=_answers(arguments.get("host"), arguments.get("port") or ""))
    finally:
        if connection is not None:
            connection.close()


def _answers(hosts: Any, ports: Any) -> bool:
    """Whether a PostgreSQL server answers there, or at the first of several; the default Unix socket is not asked."""
    host, port = str(hosts or "").partition(",")[0], str(ports).partition(",")[0] or "5432"
    if not host:
        return False
    is_local = host.startswith("/")
    try:
        with socket.socket(socket.AF_UNIX) if is_local else socket.create_connection((host, port), _TIMEOUT) as asked:
            asked.settimeout(_TIMEOUT)
            if is_local:
                asked.connect(f"{host}/.s.PGSQL.{port}")
            asked.sendall(_SSL_REQUEST)
            return bool(asked.recv(1))
    except OSError:
        return False
