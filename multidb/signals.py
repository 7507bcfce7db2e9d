"""Signal handling: SIGTERM and Ctrl-C cancel and roll back before the commit decision, and change nothing after it.

Python runs a signal's handler between two of its own instructions, so not while a statement blocks. `set_wakeup_fd`
writes a byte at once; the byte wakes a thread, and the thread cancels the statement.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import NoReturn

from multidb.errors import ExitCode, with_code

SIGNALS = (signal.SIGTERM, signal.SIGINT)
CANCEL_INTERVAL = 0.3  # seconds until a statement is cancelled again: the first cancel may have come before it ran
_EXPIRY = signal.SIGUSR1  # which the process sends to itself
_GRACE = 10.0  # seconds from a signal on that a run has to finish what it has decided
_SHORTEST_GRACE = 2.0  # seconds that an operation has in any case


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop before anything was decided."""


class Expired(Interrupted):
    """A time limit asked the run to stop before anything was decided."""


class Interruption:
    """The signals that this run has received, and whether it may stop now.

    Attributes:
        received: the name of the last signal, or None.
        left_behind: what would stay if the process ended at once, for the message of a second signal.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self.left_behind = ""
        self._handled = self._seen = 0  # signals, by the handler; also by the thread that watches a blocked statement
        self._since = 0.0
        self._expired: str | None = None
        self._may_stop = self._is_handling = False
        self._ended = Event()

    @property
    def is_signalled(self) -> bool:
        """Whether a signal has come, even if its handler could not run yet."""
        return self._seen > 0

    @property
    def may_stop(self) -> bool:
        """Whether a signal is to stop the run now."""
        return self._may_stop

    @property
    def is_urgent(self) -> bool:
        """Whether more than one signal has come."""
        return self._seen > 1

    def is_late(self, started: float) -> bool:
        """Whether an operation that a signal does not cancel has had its time; `started` is of time.monotonic()."""
        if not self._seen:
            return False
        return self.is_urgent or time.monotonic() > max(self._since + _GRACE, started + _SHORTEST_GRACE)

    @contextmanager
    def handling(self, *, is_last: bool = False) -> Iterator[None]:
        """Handle signals inside, and restore the former handlers afterwards.

        Python delivers signals to the main thread only; in another thread nothing is done.

        Args:
            is_last: whether the process ends next: signals are then ignored, for they must not change its exit code.
        """
        if current_thread() is not main_thread():
            yield
            return
        self._is_handling = True
        before = {number: signal.signal(number, self._handle) for number in (*SIGNALS, _EXPIRY)}
        try:
            yield
        finally:
            self._is_handling = False
            if is_last:
                ignore()
            for number, handler in before.items():
                if not is_last or number not in SIGNALS:
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

    def expire(self, reason: str) -> None:
        """Raise Expired in the main thread, if it runs `handling` and may stop; called by the thread of `watching`."""
        if self._is_handling:
            self._expired = reason
            signal.pthread_kill(main_thread().ident or 0, _EXPIRY)

    @contextmanager
    def watching(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call a function repeatedly, even while the block waits for a server, and at once when a signal has come.

        Another thread calls `stop`, until the block has ended.
        """
        is_main = current_thread() is main_thread()
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        handled = self._handled
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False) if is_main else -1
        self._ended.clear()
        thread = Thread(target=self._watch, args=(receiver, handled, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            if is_main:
                signal.set_wakeup_fd(before)
            sender.close()
            thread.join()
            receiver.close()

    def exit(self) -> NoReturn:
        """End the process at once; what the run left behind is named, and is the exit code."""
        left = self.left_behind or "the servers roll back what was not committed"
        line = with_code(f"error: interrupted twice; {left}", Interrupted())
        os.write(2, f"{line}\n".encode())
        os._exit(ExitCode.PARTIAL if self.left_behind else ExitCode.FAILED)

    def _watch(self, receiver: socket.socket, count: int, stop: Callable[[], None]) -> None:
        receiver.settimeout(CANCEL_INTERVAL)
        while True:
            with suppress(TimeoutError):
                byte = receiver.recv(1)
                if not byte:
                    return
                count += byte[0] in SIGNALS
            self._note(count)
            if not self._ended.is_set():
                with suppress(Exception):  # the statement may have ended, with its session
                    stop()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == _EXPIRY:
            if self._may_stop and self._expired is not None:
                reason, self._expired = self._expired, None
                raise Expired(reason)
            return
        is_first, self.received = self.received is None, signal.Signals(number).name
        self._handled += 1
        self._note(self._handled)
        if is_first and self._may_stop:
            raise Interrupted(self.received)

    def _note(self, count: int) -> None:
        if count and not self._seen:
            self._since = time.monotonic()
        self._seen = max(self._seen, count)


def ignore() -> None:
    """Ignore signals until the process ends, which has said its last line."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def blocked() -> Iterator[None]:
    """Hold signals back while a process is forked: Python only prints what a handler raises in a hook of fork."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
