"""A server whose machine hangs for a while: what is asked of it arrives late, or never."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import make_url


@contextmanager
def frozen(url: str) -> Iterator[tuple[str, threading.Event]]:
    """A server that lets everybody in and then answers nothing. Yields its URL, and what lets it go on."""
    real = make_url(url)
    go_on = threading.Event()

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if b"to_regclass" in data:
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
        yield real.set(port=listener.getsockname()[1]).render_as_string(hide_password=False), go_on
        go_on.set()
