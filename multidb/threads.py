"""The same thing in several databases at the same time, where each only waits for its server."""

from collections.abc import Callable, Iterable
from threading import Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Call(Thread, Generic[Item, Result]):
    def __init__(self, action: Callable[[Item], Result], item: Item) -> None:
        super().__init__(daemon=True)
        self._action, self._item = action, item
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result.append(self._action(self._item))
        except BaseException as error:  # raised again where the result is asked for
            self._error = error

    def result(self) -> Result:
        self.join()
        if self._error is not None:
            raise self._error
        return self._result[0]


def each(action: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of an action, in the order of the items.

    Raises:
        BaseException: what the first of them raised, in that order, when all have ended.
    """
    calls = [_Call(action, item) for item in items]
    for call in calls:
        call.join()
    return [call.result() for call in calls]
