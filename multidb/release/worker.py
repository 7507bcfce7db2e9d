"""The worker's side of a worker process: perform the coordinator's operations, until the coordinator is gone."""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection as Pipe
from queue import SimpleQueue
from typing import Any, NamedTuple, TextIO

from multidb.advice.codes import Code
from multidb.database.attempt import Attempt
from multidb.errors import code_of, explain
from multidb.logs import with_database
from multidb.release.operation import Applied, Operation, ParticipantError
from multidb.release.participant import Participant
from multidb.signals import Interrupted

CANCEL = "cancel"
"""The message that cancels what the worker does; every other message is an Order."""
_LAST_CANCEL = 1.0  # seconds that a worker whose coordinator is gone has to cancel its statement
_AGAIN = 0.05  # seconds until a cancel is repeated that met a finalizer


class Order(NamedTuple):
    name: str
    operation: Operation
    attempt: Attempt


class Reply(NamedTuple):
    name: str
    applied: Applied | None
    failure: ParticipantError | None


class Locked(NamedTuple):
    """The tables that a database has locked, each with the time since when."""

    name: str
    tables: Mapping[str, float]


class RevisionBegun(NamedTuple):
    name: str
    revision: str


class Printed(NamedTuple):
    """What was written to the terminal: `stdout` or `stderr`, and the text."""

    stream: str
    text: str


def work(pipe: Pipe, own: Sequence[Participant], others: Sequence[Participant]) -> None:
    """Be a worker, until the coordinator is gone; the process has inherited the sessions of others, too."""
    for other in others:
        abandon_session(other)
    WorkerLoop(pipe, {each.name: each for each in own}).run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a revision may have closed it
            stream.flush()
    os._exit(0)  # a revision may have left threads running


def abandon_session(participant: Participant) -> None:
    """Give up this process's hold on a session that another process owns.

    Closing it would end the session on the server, so its socket is replaced by /dev/null. With the last hold, the end
    of the owner closes the connection, and the server notices at once.
    """
    driver = participant.session.driver
    if driver is not None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, driver.fileno())
        os.close(nowhere)


class WorkerLoop:
    """Performs orders in the main thread, while another thread listens for further orders and for a cancel."""

    def __init__(self, pipe: Pipe, participants: Mapping[str, Participant]) -> None:
        self._pipe, self._participants = pipe, participants
        for participant in participants.values():
            participant.on_locked = lambda *locked: self._send(Locked(*locked))
            participant.on_revision = lambda *begun: self._send(RevisionBegun(*begun))
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._busy: Participant | None = None
        self._is_cancelled = self._may_stop = self._is_abandoned = False
        self._sending = threading.Lock()
        # The only SIGINT that counts is the one that this process sends to itself, in _cancel().
        signal.signal(signal.SIGINT, self._interrupt)
        sys.unraisablehook = self._interrupt_again
        logging.getLogger().handlers = [_CoordinatorHandler(self._send)]
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                setattr(sys, name, _CoordinatorStream(name, stream, self._send))
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self) -> None:
        while (order := self._orders.get()) and not self._is_abandoned:
            self._busy = self._participants[order.name]
            self._send(self._perform(order))
            self._busy = None
        for participant in self._participants.values():
            participant.close()

    def _perform(self, order: Order) -> Reply:
        name, operation, attempt = order
        if not operation.is_skipped_after_cancel:
            self._is_cancelled = False
        elif self._is_cancelled:
            return Reply(name, None, ParticipantError(Code.INTERRUPTED, "cancelled", name))
        try:
            with self._interruptible(operation.is_interruptible):
                return Reply(name, self._participants[name].perform(operation, attempt), None)
        except ParticipantError as error:
            trace = "".join(traceback.format_exception(error.__cause__ or error))
            return Reply(name, None, ParticipantError(error.code, error.reason, name, error.kind, trace, error.stands))
        except BaseException as error:
            trace = "".join(traceback.format_exception(error))
            text = "cancelled" if isinstance(error, KeyboardInterrupt) else explain(error)
            return Reply(name, None, ParticipantError(code_of(error), text, name, trace=trace))

    @contextmanager
    def _interruptible(self, may_stop: bool) -> Iterator[None]:
        self._may_stop = may_stop
        try:
            yield
        finally:
            self._may_stop = False

    def _listen(self) -> None:
        while True:
            try:
                message = self._pipe.recv()
            except (EOFError, OSError):
                break
            if message == CANCEL:
                self._cancel()
            else:
                self._orders.put(message)
        # The coordinator is gone, or has no more orders.
        self._is_abandoned = True
        self._orders.put(None)
        if self._busy is not None:
            threading.Thread(target=self._cancel, daemon=True).start()
            threading.Event().wait(_LAST_CANCEL)
            os._exit(1)

    def _cancel(self) -> None:
        self._is_cancelled = True
        busy = self._busy
        if busy is not None:
            with suppress(Exception):  # the statement may have ended, with its session
                busy.session.cancel()
            # A real signal: it wakes the main thread even from a sleep.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _interrupt(self, _number: int, _frame: Any) -> None:
        if self._is_cancelled and self._may_stop:
            self._may_stop = False
            raise Interrupted

    def _interrupt_again(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Interrupt once more where the first time met a finalizer, of which Python only prints the exceptions."""
        if not isinstance(unraisable.exc_value, Interrupted):
            sys.__unraisablehook__(unraisable)
            return
        self._may_stop = True
        again = threading.Timer(_AGAIN, self._cancel)  # this hook would print the exception, too
        again.daemon = True
        again.start()

    def _send(self, message: Any) -> None:
        with self._sending, suppress(OSError):
            self._pipe.send(message)


class _CoordinatorHandler(QueueHandler):
    """Sends log records to the coordinator, which writes whole lines in turn."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        super().__init__(SimpleQueue())
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send(with_database(record))


class _CoordinatorStream:
    """Sends what is printed to the coordinator, which draws on the same terminal."""

    def __init__(self, name: str, stream: TextIO, send: Callable[[Any], None]) -> None:
        self._name, self._stream, self._send = name, stream, send

    def write(self, text: str) -> int:
        self._send(Printed(self._name, text))
        return len(text)

    def flush(self) -> None:
        """Every text has been sent."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
