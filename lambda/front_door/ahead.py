"""What takes time to make, made while something else is waited for."""

from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Calling it gives `make()`'s value, which is made once: there, or from `start` on in a thread
    of its own."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = Lock()

    def start(self) -> None:
        def make() -> None:
            # What fails here fails again where the value is wanted.
            with suppress(Exception):
                self()

        if not self._made:
            Thread(target=make).start()

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
        return self._made[0]
