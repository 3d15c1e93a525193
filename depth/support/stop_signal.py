"""SIGINT and SIGTERM ask a loop to save and leave."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

# torchrun passes a Ctrl-C on to processes that the terminal has told already; that is no second wish.
_SAME_WISH_SECONDS = 3.0


class StopRequested(Exception):
    """Raised by a signal inside `StopSignal.interrupts()`."""


class StopSignal:
    """While it is entered, a first signal sets `number`; a second one, seconds later, ends the process at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._since = 0.0
        self._interrupting = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        """Inside, a signal also raises StopRequested: for work that is long and can be done again from its start."""
        self._interrupting = True
        try:
            if self.number is not None:
                raise StopRequested
            yield
        finally:
            self._interrupting = False

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.number is None:
            self.number, self._since = number, time.monotonic()
            if self._interrupting:
                raise StopRequested
        elif time.monotonic() - self._since > _SAME_WISH_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
