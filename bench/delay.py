"""A TCP proxy that makes a server look distant: every byte is delayed, in each direction.

    python -m bench.delay PORT TO_PORT MILLISECONDS

MILLISECONDS is a whole round trip. Connecting takes one, too, as it does over a network.
"""

import queue
import socket
import sys
import time
from threading import Thread


def main() -> None:
    """Serve until the process is killed."""
    port, to_port, milliseconds = (int(each) for each in sys.argv[1:])
    one_way = milliseconds / 2000
    with socket.create_server(("127.0.0.1", port), backlog=100) as server:
        while True:
            near, _ = server.accept()
            Thread(target=_connected, args=(near, to_port, one_way), daemon=True).start()


def _connected(near: socket.socket, to_port: int, one_way: float) -> None:
    time.sleep(2 * one_way)
    far = socket.create_connection(("127.0.0.1", to_port))
    for here, there in ((near, far), (far, near)):
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _pump(here, there, one_way)


def _pump(source: socket.socket, target: socket.socket, delay: float) -> None:
    """Forward data with a delay; several packets may be under way at the same time."""
    under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def take() -> None:
        data = b"x"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            under_way.put((time.perf_counter() + delay, data))

    def give() -> None:
        while True:
            due, data = under_way.get()
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return

    Thread(target=take, daemon=True).start()
    Thread(target=give, daemon=True).start()


if __name__ == "__main__":
    main()
