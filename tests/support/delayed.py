"""A proxy in front of a server that holds messages back: a server that hangs, or a network that delivers late."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import make_url


class Delayed:
    """A database behind the proxy.

    Args:
        url: of the database on its server.
        held_back: a text of the messages to the server that are held back.
        port: of the proxy.

    Attributes:
        url: of the database through the proxy.
        asked: is set when a message has been held back.
        go_on: to be set to deliver what is and would be held back.
    """

    def __init__(self, url: str, held_back: str, port: int) -> None:
        self._server, self._held_back = make_url(url), held_back.encode()
        self.url = self._server.set(port=port).render_as_string(hide_password=False)
        self.asked, self.go_on = threading.Event(), threading.Event()
        self._clients: list[socket.socket] = []

    def cut(self) -> None:
        """Cut the connections of the clients; the server still gets what is held back, and then notices."""
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def serve(self, listener: socket.socket) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._clients.append(client)
                threading.Thread(target=self._relay, args=[client], daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection((self._server.host, self._server.port)) as server:
            back = threading.Thread(target=self._pass_on, args=[server, client], daemon=True)
            back.start()
            self._pass_on(client, server)
            back.join()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._held_back in data:
                    self.asked.set()
                    self.go_on.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def delayed(url: str, held_back: str = "pg_postmaster_start_time") -> Iterator[Delayed]:
    """A proxy in front of a database's server; unless told otherwise, every probe goes unanswered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Delayed(url, held_back, listener.getsockname()[1])
        threading.Thread(target=proxy.serve, args=[listener], daemon=True).start()
        yield proxy
        proxy.go_on.set()
