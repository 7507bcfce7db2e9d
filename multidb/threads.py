"""Map a blocking function over databases in threads, where each only waits for its server.

`concurrent.futures` joins its threads when the process ends: Ctrl-C would hang for as long as a server does.
"""

from collections.abc import Callable, Iterable
from threading import Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Call(Thread, Generic[Item, Result]):
    def __init__(self, function: Callable[[Item], Result], item: Item) -> None:
        super().__init__(daemon=True)
        self._function, self._item = function, item
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result.append(self._function(self._item))
        except BaseException as error:  # raised again by result()
            self._error = error

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._result[0]


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of a function, in the order of the items.

    Raises:
        BaseException: what the function raised for the first item that failed, after all calls have ended.
    """
    calls = [_Call(function, item) for item in items]
    for call in calls:
        call.join()
    return [call.result() for call in calls]
