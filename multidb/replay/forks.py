"""The same thing for several databases at the same time, in processes: Alembic works on one at a time in each."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from threading import Thread
from typing import Any, TypeVar

from multidb.errors import MigrationError, explain
from multidb.signals import SIGNALS

Item = TypeVar("Item")
Result = TypeVar("Result")


def forked(action: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> list[Result | MigrationError]:
    """The results of an action that is done by processes side by side, or why there is none, in the items' order.

    Whatever ends this early ends the processes.

    Args:
        action: what to do; it finds all that is loaded here.
        items: what to do it with, the longest first.
        jobs: how many processes there may be at a time.
    """
    found: dict[int, Result | MigrationError] = {}
    if jobs == 1 or threading.active_count() > 1:  # forking a process that has threads is asking for a deadlock
        return [_tried(action, item) for item in items]
    context = multiprocessing.get_context("fork")
    left, running = list(enumerate(items)), dict[Any, tuple[int, Any]]()
    try:
        while left or running:
            while left and len(running) < jobs:
                number, item = left.pop(0)
                ours, theirs = context.Pipe()
                process = context.Process(target=_answer, args=(theirs, [ours, *running], action, item), daemon=True)
                with _later():
                    process.start()
                    running[ours] = number, process
                theirs.close()
            for pipe in wait(list(running)):
                number, process = running.pop(pipe)
                found[number] = _received(pipe, process)
    finally:
        for pipe, (_, process) in running.items():
            process.kill()
            process.join()
            pipe.close()
    return [found[number] for number in range(len(items))]


@contextmanager
def _later() -> Iterator[None]:
    """Let signals wait while a process is made: what a handler raises in a hook of `fork`'s, Python only prints."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tried(action: Callable[[Item], Result], item: Item) -> Result | MigrationError:
    try:
        return action(item)
    except Exception as error:
        return MigrationError(explain(error))


def _answer(pipe: Any, others: Iterable[Any], action: Callable[[Item], Result], item: Item) -> None:
    """What such a process does. A terminal sends Ctrl-C to all; the one that waits says what follows from it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    for other in others:
        other.close()  # else nobody would see that the one who waits is gone
    Thread(target=_end_with, args=(pipe,), daemon=True).start()
    pipe.send(_tried(action, item))


def _end_with(pipe: Any) -> None:
    """End this process when nobody waits for it any more."""
    with suppress(OSError):
        pipe.poll(None)
    os._exit(1)


def _received(pipe: Any, process: Any) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        process.join()
        return MigrationError(f"its process ended with code {process.exitcode}")
    finally:
        process.join()
        pipe.close()
