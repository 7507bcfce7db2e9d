"""Signal handling: SIGTERM and Ctrl-C cancel and roll back before the commit decision, and change nothing after it.

Python runs a signal's handler between two of its own instructions, so not while a statement blocks. `set_wakeup_fd`
writes a byte at once; the byte wakes a thread, and the thread cancels the statement.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, current_thread, main_thread
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
CANCEL_INTERVAL = 0.3  # seconds until a statement is cancelled again: the first cancel may have come before it ran


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop before anything was decided."""


class Interruption:
    """The signals that this run has received, and whether it may stop now."""

    def __init__(self) -> None:
        self.received: str | None = None  # the name of the last signal
        self.is_urgent = False  # more than one has come
        self._may_stop = False
        self._ended = Event()

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle signals inside, and restore the former handlers afterwards.

        Python delivers signals to the main thread only; in another thread nothing is done.
        """
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the first signal raise `Interrupted` inside; anywhere else a signal is only noted.

        Raises:
            Interrupted: a signal came, or had come before.
        """
        self._may_stop = True
        try:
            self.check()
            yield
        finally:
            self._may_stop = False
        self.check()  # Python only prints what a handler raises in a `__del__` or in a hook of fork

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note a signal inside, even within an `interruptible` block."""
        before, self._may_stop = self._may_stop, False
        try:
            yield
        finally:
            self._may_stop = before

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.received is not None:
            raise Interrupted(self.received)

    @contextmanager
    def cancelling(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Cancel the statement that this process waits for when a signal comes.

        Another thread calls `cancel`, repeatedly until the statement has ended.
        """
        if current_thread() is not main_thread():
            yield
            return
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        self._ended.clear()
        thread = Thread(target=self._watch, args=(receiver, cancel), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            signal.set_wakeup_fd(before)
            sender.close()
            thread.join()
            receiver.close()

    def _watch(self, receiver: socket.socket, cancel: Callable[[], None]) -> None:
        count = 0
        while True:
            receiver.settimeout(CANCEL_INTERVAL if count else None)
            with suppress(TimeoutError):
                byte = receiver.recv(1)
                if not byte:
                    return
                count += byte[0] in SIGNALS
            if count and self._may_stop and not self._ended.is_set():
                if count > 1:
                    os.write(2, b"error: interrupted twice; the servers roll back what was not committed\n")
                    os._exit(1)
                with suppress(Exception):  # the statement may have ended, with its session
                    cancel()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        is_first, self.received = self.received is None, signal.Signals(number).name
        self.is_urgent = not is_first
        if is_first and self._may_stop:
            raise Interrupted(self.received)


@contextmanager
def blocked() -> Iterator[None]:
    """Hold signals back while a process is forked: Python only prints what a handler raises in a hook of fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
