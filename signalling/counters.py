"""What the signalling counts for the operator: who came, who was refused, who went and why.

Plain numbers, read at each scrape of `/metrics`.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LAG_EVERY_S: Final = 0.05
"""The event loop is measured this often, by a timer that should be on time: of whatever holds it
for longer all but this much is seen at least."""


@dataclass(slots=True, eq=False)
class SignallingCounters:
    """Only grows, except for lag and stall."""

    joins: int = 0
    resumes: int = 0
    overflows: int = 0
    """Sessions ended because their client did not take what it was told."""
    sent_bytes: int = 0
    """To clients of sessions that have ended."""
    refusals: Counter[str] = field(default_factory=Counter)
    """By reason."""
    endings: Counter[str] = field(default_factory=Counter)
    """By reason."""
    data_closings: Counter[str] = field(default_factory=Counter)
    """Data channels that the engine closed, by reason."""
    lag_s: float = 0.0
    """The longest that a timer was late since it was asked for."""
    stall_s: float = 0.0
    """Likewise, as far as the loop's own work was the reason, and not other processes."""

    def take_lag_s(self) -> float:
        """The longest lag since the last time that it was asked."""
        lag_s, self.lag_s = self.lag_s, 0.0
        return lag_s

    def take_stall_s(self) -> float:
        """The longest stall since the last time that it was asked."""
        stall_s, self.stall_s = self.stall_s, 0.0
        return stall_s


def watch_lag(counters: SignallingCounters) -> None:
    """Measures until the loop ends."""
    loop = asyncio.get_running_loop()

    def measure(due: float, worked_s: float) -> None:
        # The loop's own time is that of the beginning of its turn.
        late_s = max(time.monotonic() - due, 0.0)
        counters.lag_s = max(counters.lag_s, late_s)
        counters.stall_s = max(counters.stall_s, min(late_s, time.thread_time() - worked_s))
        start()

    def start() -> None:
        due = time.monotonic() + LAG_EVERY_S
        loop.call_later(LAG_EVERY_S, measure, due, time.thread_time())

    start()
