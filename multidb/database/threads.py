"""Map a blocking function over databases in threads, where each only waits for its server.

`concurrent.futures` joins its threads when the process ends: Ctrl-C would hang for as long as a server does.
"""

from collections.abc import Callable, Iterable
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of a function, in the order of the items.

    Raises:
        BaseException: what the function raised for the first item that failed, after all calls have ended.
    """
    results: dict[int, Result] = {}
    errors: dict[int, BaseException] = {}

    def call(number: int, item: Item) -> None:
        try:
            results[number] = function(item)
        except BaseException as error:  # raised again below
            errors[number] = error

    threads = [Thread(target=call, args=each, daemon=True) for each in enumerate(items)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(threads))]
