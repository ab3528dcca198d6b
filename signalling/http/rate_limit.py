"""How often one address may ask for something.

Token buckets in memory, for a bounded number of addresses; when that is full the one not seen for
the longest time is forgotten, which forgives it.
"""

from collections import OrderedDict
from collections.abc import Callable

from sfu.limits import ADDRESSES_MAX


class RateLimiter:
    """Allows `burst` events at once for each address, and `per_s` a second in the long run."""

    def __init__(self, burst: int, per_s: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_s = per_s
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, address: str) -> bool:
        """Counts one event; False if the address has used up its allowance."""
        now = self._clock()
        left, since = self._buckets.pop(address, (float(self._burst), now))
        left = min(float(self._burst), left + (now - since) * self._per_s)
        allowed = left >= 1
        self._buckets[address] = (left - 1 if allowed else left, now)
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        return allowed

    @property
    def retry_after_s(self) -> int:
        """When an address that was refused may try again."""
        return max(1, round(1 / self._per_s))
