"""A server that hangs: it accepts connections, and its answers come late or never."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sqlalchemy.engine import make_url


class Frozen(NamedTuple):
    """A hanging server.

    Args:
        url: of a database on it.
        go_on: to be set to let it answer.
        asked: is set when it has been asked something that it does not answer.
    """

    url: str
    go_on: threading.Event
    asked: threading.Event


@contextmanager
def frozen(url: str) -> Iterator[Frozen]:
    """A server that lets every session in, and then does not answer the probe."""
    real = make_url(url)
    go_on, asked = threading.Event(), threading.Event()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if b"to_regclass" in data:
                    asked.set()
                    go_on.wait()
                target.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((real.host, real.port))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=pass_on, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        through = real.set(port=listener.getsockname()[1])
        yield Frozen(through.render_as_string(hide_password=False), go_on, asked)
        go_on.set()
