"""Run a Python program in a child of a process that has already imported the libraries.

Starting Python, SQLAlchemy and Alembic takes half a second of a processor, and the tests run a thousand commands. The
server imports the libraries once and forks for each command. The code of the project is imported by the child, from its
own folder. The child has the arguments, variables, working directory, standard streams and exit status of a process
of its own. Only the start of Python itself is not repeated: a command with PYTHON variables needs a real process.

    python -m tests.support.forkserver SOCKET
"""

import array
import gc
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

LIBRARIES = (
    "alembic.command",
    "alembic.config",
    "alembic.runtime.environment",
    "mako.template",
    "psycopg2.extensions",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "yaml",
)
_MAXIMUM = 1 << 20  # bytes of a request: arguments and variables
_server: "tuple[subprocess.Popen[bytes], Path] | None" = None
_starting = threading.Lock()


def run(
    command: list[str], cwd: str, env: dict[str, str], stdin: str | None, timeout: float
) -> "subprocess.CompletedProcess[str]":
    """Run `-m MODULE ARGUMENTS` or `FILE ARGUMENTS`, as `subprocess.run` would with Python in front.

    Raises:
        subprocess.TimeoutExpired: after `timeout` seconds; the child has been killed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection, tempfile.TemporaryFile() as given:
        given.write((stdin or "").encode())
        given.seek(0)
        connection.connect(str(_address()))
        out, err = os.pipe(), os.pipe()
        request = json.dumps({"command": command, "cwd": cwd, "env": env}).encode()
        _send(connection, request, [given.fileno(), out[1], err[1]])
        os.close(out[1])
        os.close(err[1])
        connection.settimeout(timeout)
        pid = int(connection.recv(32))
        printed = _read({out[0]: b"", err[0]: b""}, pid, command, time.monotonic() + timeout)
        code = os.waitstatus_to_exitcode(int(connection.recv(32)))
    return subprocess.CompletedProcess(command, code, printed[out[0]].decode(), printed[err[0]].decode())


def stop() -> None:
    """Stop the server of this process, if it was started."""
    global _server
    if _server:
        process, address = _server
        process.communicate()
        shutil.rmtree(address.parent)
        _server = None


def _address() -> Path:
    global _server
    with _starting:
        if _server is None:
            address = Path(tempfile.mkdtemp(prefix="forks-")) / "socket"
            command = [sys.executable, "-m", "tests.support.forkserver", str(address)]
            process = subprocess.Popen(
                command,
                cwd=Path(__file__).parents[2],
                env=os.environ | {"LC_ALL": "C.UTF-8"},
                stdin=subprocess.PIPE,  # whose end is the server's
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is the tests'
            )
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            _server = process, address
        return _server[1]


def _read(printed: dict[int, bytes], pid: int, command: list[str], until: float) -> dict[int, bytes]:
    """Read all pipes to their ends."""
    with selectors.DefaultSelector() as selector:
        for pipe in printed:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(until - time.monotonic())
            if not ready:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(command, until)
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                printed[key.fd] += data
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return printed


def _send(connection: socket.socket, data: bytes, files: list[int]) -> None:
    connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))])


class _Server:
    """Forks a child for each request, and says how the child ended."""

    def __init__(self, address: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(address)
        self.listener.listen(64)
        self.waiting: dict[int, socket.socket] = {}
        self.woken, self.waker = os.pipe()
        for end in (self.woken, self.waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)

    def serve(self) -> dict[str, Any]:
        """Serve until standard input ends. Returns a request in each child, which is to do what it says."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(self.woken, selectors.EVENT_READ)
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == sys.stdin.fileno():
                        sys.exit()
                    elif key.fd == self.woken:
                        self._reap()
                    elif request := self._fork():
                        return request

    def _fork(self) -> dict[str, Any] | None:
        connection, _ = self.listener.accept()
        data, files, _, _ = socket.recv_fds(connection, _MAXIMUM, 3)
        pid = os.fork()
        if pid:
            for file in files:
                os.close(file)
            self.waiting[pid] = connection
            with suppress(OSError):
                connection.send(str(pid).encode())
            return None
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        for other in (self.listener, connection, *self.waiting.values()):
            other.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self.woken)
        os.close(self.waker)
        request: dict[str, Any] = json.loads(data)
        return request

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self.woken, 1024):
                pass
        while self.waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            with self.waiting.pop(pid) as connection, suppress(OSError):
                connection.send(str(status).encode())


def _become(command: list[str], cwd: str, env: dict[str, str]) -> None:
    """Do what Python would after its start."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    if command[0] == "-m":
        sys.path[0] = cwd
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(command[0]).parent)
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


def main() -> None:
    """Import what every command imports, and serve."""
    for library in LIBRARIES:
        import_module(library)
    server = _Server(sys.argv[1])
    print("ready", flush=True)
    gc.freeze()
    _become(**server.serve())


if __name__ == "__main__":
    main()
