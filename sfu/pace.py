"""How fast one participant may make everybody else receive something.

Whatever a participant changes of itself is a message to every listener, who may pay for its bytes.
Each participant has a budget, in bytes to each listener: what fits is done at once, so an honest
person notices nothing. What does not fit waits, and of what waits under one key only the latest is
done: state is told late then, but as it is. Nothing here ends anybody. Who leaves and comes back
goes on with what was left, and what newcomers have to begin with is bounded for all of them
together, or to come again and again would be the way around it.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from sfu import limits
from sfu.clock import Cancellable, Clock


@dataclass(slots=True)
class _Waiting:
    cost: Callable[[], int]
    every_s: float
    action: Callable[[], None]


class Welcome:
    """What a room's newcomers have together before they have saved up anything of their own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bytes = float(limits.NEWCOMERS_BURST_BYTES)
        self._filled_at = clock.time()

    @property
    def left_bytes(self) -> float:
        """What there is now."""
        now = self._clock.time()
        more = (now - self._filled_at) * limits.NEWCOMERS_BYTES_PER_S
        self._bytes = min(self._bytes + more, float(limits.NEWCOMERS_BURST_BYTES))
        self._filled_at = now
        return self._bytes

    def draw(self, size_bytes: float) -> None:
        """Takes some of it."""
        self._bytes -= size_bytes


class Pace:
    """Of one participant. A token bucket; costs that have to be paid may overdraw it.

    It begins empty, with a credit on `welcome` that makes up for what it lacks.
    """

    def __init__(self, clock: Clock, welcome: Welcome) -> None:
        self._clock = clock
        self._welcome = welcome
        self._bytes = 0.0
        self._credit_bytes = float(limits.PACE_BURST_BYTES)
        self._filled_at = clock.time()
        self._waiting: dict[Hashable, _Waiting] = {}
        self._done_at: dict[Hashable, float] = {}
        self._offered_at = float("-inf")
        self._timer: Cancellable | None = None

    def do(
        self,
        key: Hashable,
        cost: Callable[[], int],
        action: Callable[[], None],
        *,
        every_s: float = 0.0,
    ) -> None:
        """Does it and pays its cost in bytes, now or when there is budget for it.

        The cost is asked for when it is to be done. What still waits under this key is not done any
        more. With `every_s` it is not done sooner than that after the last time.
        """
        one = _Waiting(cost, every_s, action)
        self._waiting.pop(key, None)
        if self._due_in(key, one) == 0:
            self._do(key, one)
        else:
            self._waiting[key] = one
            self._arm()

    @property
    def is_full(self) -> bool:
        """Nothing has been spent lately."""
        self._fill()
        return self._bytes + self._credit_bytes >= limits.PACE_BURST_BYTES

    def affords(self, cost_bytes: int) -> bool:
        """Whether there is budget for it now."""
        return self._affordable_in(cost_bytes) == 0

    def spend(self, cost_bytes: int) -> None:
        """Pays for what could not wait."""
        self._fill()
        drawn_bytes = min(max(cost_bytes - max(self._bytes, 0.0), 0.0), self._drawable())
        self._welcome.draw(drawn_bytes)
        self._credit_bytes -= drawn_bytes
        self._bytes -= cost_bytes - drawn_bytes

    def offer_bytes(self, sections: int) -> int:
        """What sections of tracks that change now cost each listener.

        Changes that come together are told in one offer.
        """
        together = self._clock.time() - self._offered_at < limits.OFFERS_TOGETHER_S
        return sections * limits.SECTION_BYTES + (0 if together else limits.OFFER_BYTES)

    def offers(self) -> None:
        """A section changes now."""
        if self.offer_bytes(0):
            self._offered_at = self._clock.time()

    def withdraw(self, key: Hashable) -> None:
        """What waits under this key is not done any more."""
        self._waiting.pop(key, None)

    def close(self) -> None:
        """Nothing that waits is done any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fill(self) -> None:
        now = self._clock.time()
        more = (now - self._filled_at) * limits.PACE_BYTES_PER_S
        self._bytes = min(self._bytes + more, float(limits.PACE_BURST_BYTES))
        self._credit_bytes = min(self._credit_bytes, limits.PACE_BURST_BYTES - self._bytes)
        self._filled_at = now

    def _drawable(self) -> float:
        """What is left of the credit, as far as there is something to draw on."""
        return max(min(self._credit_bytes, self._welcome.left_bytes), 0.0)

    def _affordable_in(self, cost_bytes: int) -> float:
        """Seconds until it is. What costs more than fits into the budget needs all of it."""
        self._fill()
        missing = min(cost_bytes, limits.PACE_BURST_BYTES) - self._bytes - self._drawable()
        # Less than a byte is a rounding error.
        return missing / limits.PACE_BYTES_PER_S if cost_bytes and missing >= 1 else 0.0

    def _due_in(self, key: Hashable, one: _Waiting) -> float:
        soonest = self._done_at.get(key, float("-inf")) + one.every_s
        return max(soonest - self._clock.time(), self._affordable_in(one.cost()), 0.0)

    def _do(self, key: Hashable, one: _Waiting) -> None:
        if one.every_s:
            self._done_at[key] = self._clock.time()
        self.spend(one.cost())
        one.action()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            soonest_s = min(self._due_in(key, one) for key, one in self._waiting.items())
            # A little late rather than a rounding error too early, again and again.
            self._timer = self._clock.call_later(soonest_s + 0.001, self._due)

    def _due(self) -> None:
        self._timer = None
        for key, one in list(self._waiting.items()):
            # What is done may withdraw what comes after it.
            if self._waiting.get(key) is one and self._due_in(key, one) == 0:
                del self._waiting[key]
                self._do(key, one)
        self._arm()


class Paces:
    """Of a room's participants, also of those who have left and may come again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._welcome = Welcome(clock)
        self._kept: OrderedDict[str, Pace] = OrderedDict()
        """By identity, in the order in which they left."""

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, identity: str) -> Pace:
        """The budget of somebody who comes."""
        return self._kept.pop(identity, None) or Pace(self._clock, self._welcome)

    def leave(self, identity: str, pace: Pace) -> None:
        """Somebody goes. What waited is not done any more."""
        pace.close()
        while self._kept and next(iter(self._kept.values())).is_full:
            self._kept.popitem(last=False)
        self._kept[identity] = pace
        if len(self._kept) > limits.PACES_KEPT_MAX:
            self._kept.popitem(last=False)
