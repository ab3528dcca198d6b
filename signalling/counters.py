"""What the signalling counts for the operator: who came, who was refused, who went and why.

Plain numbers, read at each scrape of `/metrics`.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LAG_EVERY_S: Final = 0.5
"""The event loop's lag is measured this often, by a timer that should be on time."""


@dataclass(slots=True, eq=False)
class SignallingCounters:
    """Only grows, except for `lag_s`."""

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
    """The longest that a timer was late since the last scrape."""

    def take_lag_s(self) -> float:
        """The longest lag since the last time that it was asked."""
        lag_s, self.lag_s = self.lag_s, 0.0
        return lag_s


def watch_lag(counters: SignallingCounters) -> None:
    """Measures until the loop ends."""
    loop = asyncio.get_running_loop()

    def measure(due: float) -> None:
        counters.lag_s = max(counters.lag_s, loop.time() - due)
        start()

    def start() -> None:
        due = loop.time() + LAG_EVERY_S
        loop.call_at(due, measure, due)

    start()
