"""Executors: perform operations of the participants, in this process or in a worker for each of them.

A worker is forked when the locks are held, and takes over the session of its database, so that the session which
holds the lock is still the one that migrates. This process then gives up its hold on it. No two databases share a
worker: what the import of a revision changes in its process must not reach the revisions of another database.
"""

import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, Protocol

from multidb.advice.codes import Code
from multidb.database.attempt import Attempt
from multidb.planning.processes import ForkedProcess, can_fork
from multidb.release import worker
from multidb.release.activity import Activities
from multidb.release.lock_hold import LockHold
from multidb.release.operation import Operation, ParticipantError
from multidb.release.participant import Participant
from multidb.release.session import ABANDONED, Session
from multidb.release.worker import CANCEL, Locked, Order, Printed, Reply, RevisionBegun
from multidb.signals import CANCEL_INTERVAL, Expired, Interruption

_CANCEL_TIMEOUT = 10.0  # seconds that a revision has to notice that it is cancelled
_OVERDUE_TIMEOUT = 2.0  # the same where others wait for tables that are locked meanwhile
_SIGNAL_INTERVAL = 0.1  # seconds between two checks for a signal


class Executor(Protocol):
    """Performs operations of the participants."""

    def run(self, operation: Operation, names: Sequence[str], attempt: Attempt) -> dict[str, Reply]:
        """Perform an operation in some of the databases; if one fails, cancel the operation in the others.

        Raises:
            ParticipantError: the first failure.
            Interrupted: a signal came.
        """

    def load(self, names: Sequence[str], attempt: Attempt) -> list[ParticipantError]:
        """Import the revisions that are to run, each in the process that will run it.

        Returns:
            The failures of all databases.

        Raises:
            Interrupted: a signal came.
        """

    def run_all(self, operation: Operation, names: Sequence[str], attempt: Attempt) -> dict[str, Reply]:
        """Perform an operation in all of the databases, whether or not one of them fails."""

    def close(self) -> None:
        """End the sessions, and with them the locks."""


class SerialExecutor:
    """Performs operations in this process, one database after another."""

    def __init__(
        self,
        participants: Sequence[Participant],
        interruption: Interruption,
        lock_hold: LockHold,
        activities: Activities,
    ) -> None:
        self._participants = {each.name: each for each in participants}
        self._interruption, self._lock_hold, self._activities = interruption, lock_hold, activities
        for each in participants:
            each.on_locked, each.on_revision = lock_hold.note, activities.note_revision

    def run(self, operation: Operation, names: Sequence[str], attempt: Attempt) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        for name in names:
            try:
                replies[name] = self._perform(operation, name, attempt, is_limited=True)
            except Expired as error:
                raise ParticipantError(Code.LOCK_HOLD, str(error), name) from None
            if (failure := replies[name].failure) is not None:
                raise failure
        return replies

    def load(self, names: Sequence[str], attempt: Attempt) -> list[ParticipantError]:
        return _failures(self.run_all(Operation.LOAD, names, attempt))

    def run_all(self, operation: Operation, names: Sequence[str], attempt: Attempt) -> dict[str, Reply]:
        return {name: self._perform(operation, name, attempt) for name in names}

    def _perform(self, operation: Operation, name: str, attempt: Attempt, *, is_limited: bool = False) -> Reply:
        """Perform an operation in one database; raise Expired if it is limited by `lock_hold` and took too long."""
        participant, started = self._participants[name], time.monotonic()
        session, problem, until = participant.session, None, 0.0

        def stop() -> None:
            nonlocal problem, until
            if self._interruption.is_signalled:
                self._stop(operation, session, started)
            elif is_limited and (problem := problem or self._lock_hold.problem([name])):
                session.cancel()
                if not until:
                    until = time.monotonic() + _OVERDUE_TIMEOUT
                    self._interruption.expire(problem)
                elif time.monotonic() > until:
                    session.abandon()

        self._activities.begin(name, operation)
        with self._interruption.watching(stop):
            try:
                reply = Reply(name, participant.perform(operation, attempt), None)
            except ParticipantError as error:
                reply = Reply(name, None, error)
        self._activities.end(name, reply.failure)
        if problem:
            raise Expired(problem)
        return reply

    def close(self) -> None:
        for participant in self._participants.values():
            participant.close()

    def _stop(self, operation: Operation, session: Session, started: float) -> None:
        """End an operation after a signal; called by another thread than the one that waits for the operation."""
        if self._interruption.may_stop and operation.is_interruptible and self._interruption.is_urgent:
            self._interruption.exit()
        if self._interruption.may_stop:
            session.cancel()
        if self._interruption.is_late(started):
            session.abandon()


class ProcessExecutor:
    """Performs operations in worker processes, one for each database, of which `jobs` work at the same time."""

    def __init__(
        self,
        participants: Sequence[Participant],
        jobs: int,
        interruption: Interruption,
        lock_hold: LockHold,
        activities: Activities,
    ) -> None:
        self._interruption, self._lock_hold, self._jobs = interruption, lock_hold, jobs
        self._workers: dict[str, _Worker] = {}
        self._revision_counts = {each.name: each.plan.revision_count for each in participants}
        for own in participants:
            others = [each for each in participants if each is not own]
            siblings = [each.pipe for each in self._workers.values()]
            self._workers[own.name] = _Worker(own, others, siblings, lock_hold, activities)
        for participant in participants:
            worker.abandon_session(participant)

    def run(self, operation: Operation, names: Sequence[str], attempt: Attempt) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        failure = overdue = None
        # A signal must not interrupt a message half-way: it is checked between two messages.
        with self._interruption.deferred():
            for reply in self._replies(operation, names, attempt):
                if reply is not None:
                    replies[reply.name] = reply
                    failure = failure or reply.failure
                else:
                    failure = overdue = self._overdue()
                if failure is not None or self._interruption.received:
                    break
            self._cancel(_OVERDUE_TIMEOUT if overdue else _CANCEL_TIMEOUT)  # does nothing when all have replied
        if failure is not None:
            raise failure
        if len(replies) < len(names):
            self._interruption.check()
        return replies

    def load(self, names: Sequence[str], attempt: Attempt) -> list[ParticipantError]:
        replies: dict[str, Reply] = {}
        with self._interruption.deferred():
            for reply in self._replies(Operation.LOAD, names, attempt):
                if reply is not None:
                    replies[reply.name] = reply
                if self._interruption.received:
                    break
            self._cancel(_CANCEL_TIMEOUT)
        if len(replies) < len(names):
            self._interruption.check()
        return _failures(replies)

    def run_all(self, operation: Operation, names: Sequence[str], attempt: Attempt) -> dict[str, Reply]:
        replies, started = {}, time.monotonic()
        with self._interruption.deferred():
            for reply in self._replies(operation, names, attempt):
                if reply is not None:
                    replies[reply.name] = reply
                elif self._interruption.is_late(started):
                    for each in self._busy():
                        each.kill(ABANDONED)
        return replies

    def close(self) -> None:
        for each in self._workers.values():
            each.pipe.close()
        for each in self._workers.values():
            each.process.join(_CANCEL_TIMEOUT)
            each.process.kill()
            each.process.join()

    def _replies(self, operation: Operation, names: Sequence[str], attempt: Attempt) -> Iterator[Reply | None]:
        """The workers' replies as they come; None in regular intervals, for a check for signals."""
        # The most revisions first, so that the last databases to begin are soon done; one by one, in the given order.
        waiting = sorted(names, key=lambda name: self._jobs > 1 and -self._revision_counts[name])
        working: set[str] = set()
        while waiting or working:
            while waiting and len(working) < self._jobs:
                name = waiting.pop(0)
                working.add(name)
                self._workers[name].order(Order(name, operation, attempt))
            for reply in self._receive(_SIGNAL_INTERVAL):
                working.discard(reply.name)
                yield reply
            yield None

    def _busy(self) -> list["_Worker"]:
        return [each for each in self._workers.values() if each.is_busy]

    def _overdue(self) -> ParticipantError | None:
        """The failure of the databases that are worked on, if others may not be locked any longer because of them."""
        slow = [each.name for each in self._busy()]
        problem = self._lock_hold.problem(slow) if slow else None
        return ParticipantError(Code.LOCK_HOLD, problem, slow[0]) if problem else None

    def _receive(self, timeout: float) -> list[Reply]:
        busy: dict[Any, _Worker] = {each.pipe: each for each in self._busy()}
        return [reply for pipe in wait(list(busy), timeout) for reply in busy[pipe].receive()]

    def _cancel(self, timeout: float) -> None:
        """Cancel what the workers do, and wait until all have replied; a worker that does not in time is killed."""
        until = time.monotonic() + timeout
        while busy := self._busy():
            for each in busy:
                if time.monotonic() > until or self._interruption.is_urgent:
                    each.kill(ABANDONED)
                else:
                    each.send(CANCEL)
            self._receive(CANCEL_INTERVAL)


class _Worker:
    """The coordinator's side of a worker process."""

    def __init__(
        self,
        own: Participant,
        others: Sequence[Participant],
        siblings: Sequence[Pipe],
        lock_hold: LockHold,
        activities: Activities,
    ) -> None:
        self.name, self._lock_hold, self._activities = own.name, lock_hold, activities
        self.is_busy = False  # with an order that has no reply yet
        # SIGTERM is ignored: the coordinator decides whether the worker rolls back.
        self.process = ForkedProcess(lambda pipe: worker.work(pipe, [own], others), siblings, signal.SIG_IGN)
        self.pipe = self.process.pipe
        self._killed_because = ""

    def order(self, order: Order) -> None:
        self.is_busy = True
        self._activities.begin(self.name, order.operation)
        self.send(order)

    def send(self, message: Any) -> None:
        with suppress(OSError):  # if the worker is gone, receive() notices
            self.pipe.send(message)

    def kill(self, reason: str) -> None:
        self._killed_because = reason
        self.process.kill()

    def receive(self) -> list[Reply]:
        """The next reply; none if the message was another one. A worker that is gone has failed."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            code = Code.ABANDONED if self._killed_because else Code.PROCESS_ENDED
            reason = self._killed_because or f"its worker process {self.process.ending()}"
            return [self._ended(Reply(self.name, None, ParticipantError(code, reason, self.name)))]
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
            return []
        if isinstance(message, Locked):
            self._lock_hold.note(*message)
            return []
        if isinstance(message, RevisionBegun):
            self._activities.note_revision(*message)
            return []
        if isinstance(message, Printed):
            with suppress(Exception):  # the terminal may be gone
                stream = getattr(sys, message.stream)
                stream.write(message.text)
                stream.flush()
            return []
        return [self._ended(message)]

    def _ended(self, reply: Reply) -> Reply:
        self.is_busy = False
        self._activities.end(self.name, reply.failure)
        return reply


def executor_for(
    participants: Sequence[Participant],
    jobs: int,
    interruption: Interruption,
    lock_hold: LockHold,
    activities: Activities,
) -> Executor:
    """The executor for these participants, of which so many may be worked on at the same time.

    A program that has other threads can't be forked: there all databases are migrated in its own process.
    """
    if len(participants) > 1 and can_fork():
        return ProcessExecutor(participants, jobs, interruption, lock_hold, activities)
    return SerialExecutor(participants, interruption, lock_hold, activities)


def _failures(replies: Mapping[str, Reply]) -> list[ParticipantError]:
    return [reply.failure for reply in replies.values() if reply.failure is not None]
