"""Time, as the node needs it. `asyncio.AbstractEventLoop` is a `Clock`."""

from collections.abc import Callable
from typing import Any, Protocol


class Cancellable(Protocol):
    """A timer that has been set."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic time and timers."""

    def time(self) -> float: ...

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any
    ) -> Cancellable: ...
