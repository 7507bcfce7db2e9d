"""Who does the work in the participants: this process, one after another, or worker processes side by side.

A worker is forked when the locks are held, and takes over the sessions of its databases; the session that has the lock
is so still the one that migrates. This process then lets go of them: a worker's end is seen by the server at once.
"""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from multidb.database.connections import Driver
from multidb.errors import MigrationError, explain
from multidb.logs import named_record
from multidb.release.participant import FailureError, Participant
from multidb.signals import Interrupted, Stop

_CANCEL = "cancel"
_PATIENCE = 10.0  # seconds that a revision may take to notice that it is cancelled
_LAST_WORDS = 1.0  # seconds that a worker whose coordinator is gone takes to cancel its statement
_LOOK = 0.1  # seconds between two looks whether a signal has come
_AGAIN = 0.3  # seconds: a statement may have been on its way when it was cancelled


class Reply(NamedTuple):
    """How an operation ended in one database."""

    name: str
    value: Any
    failure: MigrationError | None


class Crew(Protocol):
    """Does operations of the participants."""

    def do(self, operation: str, names: Sequence[str], *arguments: Any) -> dict[str, Reply]:
        """Do an operation in some of the databases; where one fails, cancel it in the others.

        Raises:
            MigrationError: it failed in one: the first that did.
            Interrupted: a signal came.
        """

    def do_all(self, operation: str, names: Sequence[str], *arguments: Any) -> dict[str, Reply]:
        """Do an operation in all of the databases, whatever happens in one of them."""

    def close(self) -> None:
        """End the sessions, and with them the locks."""


class Alone:
    """This process does everything, one database after another."""

    def __init__(self, participants: Sequence[Participant], stop: Stop) -> None:
        self._participants = {each.name: each for each in participants}
        self._stop = stop

    def do(self, operation: str, names: Sequence[str], *arguments: Any) -> dict[str, Reply]:
        replies = {}
        for name in names:
            participant = self._participants[name]
            with self._stop.cancelling(participant.session.cancel):
                value = getattr(participant, operation)(*arguments)
            replies[name] = Reply(name, value, None)
        return replies

    def do_all(self, operation: str, names: Sequence[str], *arguments: Any) -> dict[str, Reply]:
        replies = {}
        for name in names:
            try:
                replies[name] = Reply(name, getattr(self._participants[name], operation)(*arguments), None)
            except MigrationError as error:
                replies[name] = Reply(name, None, error)
        return replies

    def close(self) -> None:
        for participant in self._participants.values():
            participant.close()


class Workers:
    """Worker processes, each with some of the databases."""

    def __init__(self, participants: Sequence[Participant], jobs: int, stop: Stop) -> None:
        self._stop = stop
        self._owners: dict[str, _Worker] = {}
        self._workers: list[_Worker] = []
        for mine in _shares(participants, jobs):
            others = [each for each in participants if each not in mine]
            worker = _Worker(mine, others, [each.pipe for each in self._workers])
            self._workers.append(worker)
            self._owners |= {each.name: worker for each in mine}
        for participant in participants:
            _let_go(participant)

    def do(self, operation: str, names: Sequence[str], *arguments: Any) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        failure: MigrationError | None = None
        # A signal must not fall into the middle of a message: it is looked for between two of them.
        with self._stop.deferred():
            for reply in self._replies(operation, names, arguments):
                if reply is not None:
                    replies[reply.name] = reply
                    failure = failure or reply.failure
                if failure is not None or self._stop.asked:
                    break
            self._cancel()  # nothing is under way, unless it failed or somebody asked to stop
        if failure is not None:
            raise failure
        if len(replies) < len(names):
            self._stop.check()
        return replies

    def do_all(self, operation: str, names: Sequence[str], *arguments: Any) -> dict[str, Reply]:
        with self._stop.deferred():
            return {reply.name: reply for reply in self._replies(operation, names, arguments) if reply is not None}

    def close(self) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(_PATIENCE)
            worker.process.kill()
            worker.process.join()

    def _replies(self, operation: str, names: Sequence[str], arguments: Sequence[Any]) -> Iterator[Reply | None]:
        """What the workers answer, as it comes; None now and then, while they are at it."""
        for name in names:
            self._owners[name].ask(name, operation, arguments)
        left = set(names)
        while left:
            for reply in self._received(_LOOK):
                left.discard(reply.name)
                yield reply
            yield None

    def _received(self, timeout: float) -> list[Reply]:
        """What the workers say next; the replies of one that ended are failures."""
        busy = {worker.pipe: worker for worker in self._workers if worker.asked}
        replies: list[Reply] = []
        for pipe in wait(list(busy), timeout):
            replies += busy[pipe].receive()  # type: ignore[index]
        return replies

    def _cancel(self) -> None:
        """Cancel what is under way, and wait until all have come to rest; who doesn't is killed."""
        until = time.monotonic() + _PATIENCE
        while busy := [worker for worker in self._workers if worker.asked]:
            for worker in busy:
                if time.monotonic() > until or self._stop.is_urgent:
                    worker.process.kill()
                else:
                    worker.tell(_CANCEL)
            self._received(_AGAIN)


class _Worker:
    """A worker process, as the coordinator sees it."""

    def __init__(self, mine: Sequence[Participant], others: Sequence[Participant], pipes: Sequence[Pipe]) -> None:
        # Forked, not spawned: a worker goes on from here, with all that is imported and loaded, and with its sessions.
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.asked: list[str] = []
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, mine, others, [*pipes, self.pipe]), daemon=True
        )
        self.process.start()
        theirs.close()

    def ask(self, name: str, operation: str, arguments: Sequence[Any]) -> None:
        self.asked.append(name)
        self.tell((name, operation, arguments))

    def tell(self, message: Any) -> None:
        with suppress(OSError):  # if it is gone, the reading says so
            self.pipe.send(message)

    def receive(self) -> list[Reply]:
        """The next thing it says; nothing, if that was a line for the log."""
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            return self._gone()
        if isinstance(said, logging.LogRecord):
            logging.getLogger(said.name).handle(said)
            return []
        self.asked.remove(said.name)
        return [said]

    def _gone(self) -> list[Reply]:
        self.process.join()
        code = self.process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        names, self.asked = self.asked, []
        return [Reply(name, None, FailureError(f"{name}: its worker process {how}")) for name in names]


def crew_of(participants: Sequence[Participant], jobs: int, stop: Stop) -> Crew:
    """Whoever does the work of so many participants.

    Args:
        participants: who takes part.
        jobs: how many databases may be worked on at the same time.
        stop: of the run.
    """
    # Forking a process that has threads is asking for a deadlock; then it is a program that called Alembic.
    if min(jobs, len(participants)) > 1 and threading.active_count() == 1:
        return Workers(participants, jobs, stop)
    return Alone(participants, stop)


def _shares(participants: Sequence[Participant], jobs: int) -> list[list[Participant]]:
    """Who does what: the longest first, each to whoever has the least."""
    shares: list[list[Participant]] = [[] for _ in range(min(jobs, len(participants)))]
    for participant in sorted(participants, key=lambda each: -each.plan.count):
        min(shares, key=lambda share: sum(each.plan.count + 1 for each in share)).append(participant)
    return shares


def _let_go(participant: Participant) -> None:
    """Give up this process's hold on a session that another has taken over.

    Closing it would tell the server good-bye; so its file becomes one that takes what is said and does nothing.
    """
    driver: Driver = participant.session.driver
    if driver is not None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, driver.fileno())
        os.close(nowhere)


def _work(pipe: Pipe, mine: Sequence[Participant], others: Sequence[Participant], coordinators: Sequence[Pipe]) -> None:
    """What a worker process does, until its coordinator is gone."""
    for other in others:
        _let_go(other)
    for each in coordinators:
        each.close()  # else this process would keep a pipe open whose coordinator is gone
    hand = _Hand(pipe, {each.name: each for each in mine})
    hand.work()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a revision may have closed it
            stream.flush()
    os._exit(0)  # whatever threads a revision has left running


class _Hand:
    """A worker process, as it sees itself: a thread that listens, while the main one works."""

    def __init__(self, pipe: Pipe, participants: Mapping[str, Participant]) -> None:
        self._pipe, self._participants = pipe, participants
        self._orders: SimpleQueue[tuple[str, str, Sequence[Any]] | None] = SimpleQueue()
        self._busy: Participant | None = None
        self._cancelled = self._may_stop = self._abandoned = False
        self._speaking = threading.Lock()
        # A terminal sends Ctrl-C to all; it is the coordinator's to say what follows from it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, self._interrupt)
        logging.getLogger().handlers = [_ToCoordinator(self._say)]
        threading.Thread(target=self._listen, daemon=True).start()

    def work(self) -> None:
        while (order := self._orders.get()) and not self._abandoned:
            name, operation, arguments = order
            self._busy = self._participants[name]
            self._say(self._done(name, operation, arguments))
            self._busy = None
        for participant in self._participants.values():
            participant.close()

    def _done(self, name: str, operation: str, arguments: Sequence[Any]) -> Reply:
        if operation not in ("wait", "migrate", "prepare"):
            self._cancelled = False
        elif self._cancelled:
            return Reply(name, None, FailureError(f"{name}: cancelled"))
        try:
            with self._interruptible(operation in ("wait", "migrate")):
                return Reply(name, getattr(self._participants[name], operation)(*arguments), None)
        except FailureError as error:
            trace = "".join(traceback.format_exception(error.__cause__ or error))
            return Reply(name, None, FailureError(str(error), error.kind, trace))
        except BaseException as error:
            trace = "".join(traceback.format_exception(error))
            text = "cancelled" if isinstance(error, KeyboardInterrupt) else explain(error)
            return Reply(name, None, FailureError(f"{name}: {text}", "error", trace))

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
            if message == _CANCEL:
                self._cancel()
            else:
                self._orders.put(message)
        # The coordinator is gone, or has no more to do.
        self._abandoned = True
        self._orders.put(None)
        if self._busy is not None:
            threading.Thread(target=self._cancel, daemon=True).start()
            threading.Event().wait(_LAST_WORDS)
            os._exit(1)

    def _cancel(self) -> None:
        self._cancelled = True
        busy = self._busy
        if busy is not None:
            with suppress(Exception):  # the statement may have ended, with its session
                busy.session.cancel()
            # A real signal: it wakes the main thread even from a sleep.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _interrupt(self, _number: int, _frame: Any) -> None:
        if self._cancelled and self._may_stop:
            self._may_stop = False
            raise Interrupted

    def _say(self, message: Any) -> None:
        with self._speaking, suppress(OSError):
            self._pipe.send(message)


class _ToCoordinator(QueueHandler):
    """Sends log records to the coordinator, which writes whole lines, one after the other."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        super().__init__(SimpleQueue())
        self._tell = tell

    def enqueue(self, record: logging.LogRecord) -> None:
        self._tell(named_record(record))
