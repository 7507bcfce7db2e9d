"""SIGTERM and Ctrl-C: at once and without a trace before a release is decided, after it not at all.

Python runs a signal's handler between two of its own instructions, and so not while a statement keeps it waiting. The
byte that it writes at once, to `set_wakeup_fd`, wakes a thread, and that cancels the statement.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, current_thread, main_thread
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_AGAIN = 0.3  # seconds: a statement may have been on its way when it was cancelled


class Interrupted(KeyboardInterrupt):
    """Somebody asked the run to stop, before anything was decided."""


class Stop:
    """Whether somebody asked this run to stop, and asked again; and where it may."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self.is_urgent = False
        self._may_stop = False
        self._over = Event()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note signals that come meanwhile, and put everything back afterwards.

        In a thread other than the main one there are no signals, and nothing is done.
        """
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.signal(number, self._received) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let a signal raise `Interrupted` in here, once; anywhere else it is only noted.

        Raises:
            Interrupted: a signal came, or had come before.
        """
        self._may_stop = True
        try:
            self.check()
            yield
        finally:
            self._may_stop = False
        self.check()  # what a signal's handler raises where Python may not fail, as in `__del__`, is only printed

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note a signal that comes in here, also where it would be heard around it."""
        before, self._may_stop = self._may_stop, False
        try:
            yield
        finally:
            self._may_stop = before

    def check(self) -> None:
        """Stop here, if somebody has asked.

        Raises:
            Interrupted: somebody has.
        """
        if self.asked is not None:
            raise Interrupted(self.asked)

    @contextmanager
    def cancelling(self, cancel: Callable[[], None]) -> Iterator[None]:
        """Cancel the statement that this process waits for when a signal comes.

        Args:
            cancel: does it; it is called by another thread, and again until the statement has ended.
        """
        if current_thread() is not main_thread():
            yield
            return
        ear, mouth = socket.socketpair()
        mouth.setblocking(False)
        before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        self._over.clear()
        thread = Thread(target=self._watch, args=(ear, cancel), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            signal.set_wakeup_fd(before)
            mouth.close()
            thread.join()
            ear.close()

    def _watch(self, ear: socket.socket, cancel: Callable[[], None]) -> None:
        heard = 0
        while True:
            ear.settimeout(_AGAIN if heard else None)
            with suppress(TimeoutError):
                byte = ear.recv(1)
                if not byte:
                    return
                heard += byte[0] in SIGNALS
            if heard and self._may_stop and not self._over.is_set():
                if heard > 1:
                    os.write(2, b"error: interrupted twice; the servers roll back what was not committed\n")
                    os._exit(1)
                with suppress(Exception):  # the statement may have ended, with its session
                    cancel()

    def _received(self, number: int, _frame: FrameType | None) -> None:
        first, self.asked = self.asked is None, signal.Signals(number).name
        self.is_urgent = not first
        if first and self._may_stop:
            raise Interrupted(self.asked)
