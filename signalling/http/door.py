"""Connections that have not shown a valid token: how many there may be, and what they may hold.

A whole hall may share one address, and its browsers leave idle connections behind. So an address
that has used up its places does not shut itself out: its quietest connection makes room, else the
one whose head has been coming, or whose answer has been taken, for longest. So nobody can keep the
others out by being slow; only while all answers are young is a new one refused. Likewise for all
addresses together, and when the process has no descriptor left. Heads that do not come to their
end, and answers that nobody reads, are ended after a while; of the rest together only so many bytes
are held.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Final

from sfu import limits


class Reason(StrEnum):
    """Why a connection was ended, or not taken."""

    ADDRESS = "address"
    """Its address has too many."""
    TOTAL = "total"
    """All addresses together have too many."""
    HEAD = "head"
    """Its request's head was too large, or one of too many."""
    SLOW = "slow"
    """Its request's head did not come to an end, or the answer was not read."""
    DESCRIPTORS = "descriptors"
    """The process, or the machine, has no descriptor left."""
    MALFORMED = "malformed"
    """Not HTTP."""


class Stage(Enum):
    """What a connection is doing."""

    QUIET = auto()
    """Nothing: before its first request, or between two."""
    HEAD = auto()
    """A request's head is coming."""
    ANSWER = auto()
    """A request is being answered."""


_PATIENCE_S: Final = {
    Stage.HEAD: limits.HTTP_HEAD_TIMEOUT_S,
    Stage.ANSWER: limits.HTTP_ANSWER_TIMEOUT_S,
}
_YIELDS_AFTER_S: Final = {
    Stage.QUIET: 0.0,
    # Honest heads are short: at a crowded door the oldest is the likeliest to be none.
    Stage.HEAD: 0.0,
    Stage.ANSWER: limits.HTTP_ANSWER_YIELDS_AFTER_S,
}
"""In the order in which they make room for newcomers."""
Order = OrderedDict["Guest", None]


@dataclass(slots=True, eq=False)
class Guest:
    """One connection. `close` ends it at once."""

    address: str
    """Empty for a proxy, which may bring any number."""
    close: Callable[[], object]
    stage: Stage = Stage.QUIET
    since: float = 0.0
    held_bytes: int = 0
    """Of the request that is coming or being answered."""
    gone: bool = False
    """Has closed, or shown a token: it is nobody's concern here any more."""


def _orders() -> dict[Stage, Order]:
    """Each in the order in which connections came to the stage."""
    return {stage: OrderedDict() for stage in Stage}


@dataclass(slots=True)
class _Address:
    count: int = 0
    stages: dict[Stage, Order] = field(default_factory=_orders)


class Door:
    """Where connections come in. Made inside a running event loop."""

    def __init__(self) -> None:
        self.ended: Counter[Reason] = Counter()
        """Connections that were ended or not taken."""
        self._loop = asyncio.get_running_loop()
        self._stages = _orders()
        self._addresses: dict[str, _Address] = {}
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Connections that have not shown a token."""
        return sum(map(len, self._stages.values()))

    def enter(self, address: str, close: Callable[[], object]) -> Guest | None:
        """A connection has come; None if there is no room for it."""
        found = self._addresses.get(address)
        crowded = address and found and found.count >= limits.CONNECTIONS_PER_ADDRESS_MAX
        if crowded and found and not self._make_room(found.stages, Reason.ADDRESS):
            return None
        full = self.waiting >= limits.CONNECTIONS_MAX
        if full and not self._make_room(self._stages, Reason.TOTAL):
            return None
        guest = Guest(address, close)
        self._addresses.setdefault(address, _Address()).count += 1
        self._put(guest, Stage.QUIET)
        return guest

    def leave(self, guest: Guest) -> None:
        """The connection has closed, or its client has shown a valid token."""
        if guest.gone:
            return
        guest.gone = True
        self._take(guest)
        self._release(guest)
        address = self._addresses[guest.address]
        address.count -= 1
        if not address.count:
            del self._addresses[guest.address]

    def receive(self, guest: Guest, size_bytes: int, *, complete: bool) -> bool:
        """A part of a request's head has come. Returns False if the head is too long."""
        if guest.gone:
            return True
        stage = Stage.ANSWER if complete else Stage.HEAD
        if guest.stage is not stage:
            self._take(guest)
            self._put(guest, stage)
        guest.held_bytes += size_bytes
        self._held_bytes += size_bytes
        if guest.held_bytes > limits.HTTP_HEAD_BYTES_MAX and not complete:
            self.ended[Reason.HEAD] += 1
            return False
        while self._held_bytes > limits.HTTP_HEADS_BYTES_MAX:
            order = self._stages[Stage.HEAD] or self._stages[Stage.ANSWER]
            self._end(next(iter(order)), Reason.HEAD)
        return True

    def answered(self, guest: Guest) -> None:
        """The request has its answer."""
        if not guest.gone:
            self._release(guest)
            self._take(guest)
            self._put(guest, Stage.QUIET)

    def shed(self, count: int) -> None:
        """Ends the quietest connections, because their descriptors are needed."""
        for guest in list(self._stages[Stage.QUIET])[:count]:
            self._end(guest, Reason.DESCRIPTORS)

    def close(self) -> None:
        """Ends the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _put(self, guest: Guest, stage: Stage) -> None:
        guest.stage = stage
        guest.since = self._loop.time()
        self._stages[stage][guest] = None
        self._addresses[guest.address].stages[stage][guest] = None
        if stage is not Stage.QUIET:
            self._arm()

    def _take(self, guest: Guest) -> None:
        self._stages[guest.stage].pop(guest, None)
        self._addresses[guest.address].stages[guest.stage].pop(guest, None)

    def _release(self, guest: Guest) -> None:
        self._held_bytes -= guest.held_bytes
        guest.held_bytes = 0

    def _make_room(self, stages: dict[Stage, Order], reason: Reason) -> bool:
        now = self._loop.time()
        for stage, patience_s in _YIELDS_AFTER_S.items():
            first = next(iter(stages[stage]), None)
            if first is not None and first.since + patience_s <= now:
                self._end(first, reason)
                return True
        self.ended[reason] += 1
        return False

    def _end(self, guest: Guest, reason: Reason) -> None:
        self.ended[reason] += 1
        self.leave(guest)
        guest.close()

    def _arm(self) -> None:
        """Looks again when the first of them has taken too long."""
        dues = [
            next(iter(self._stages[stage])).since + patience_s
            for stage, patience_s in _PATIENCE_S.items()
            if self._stages[stage]
        ]
        if self._timer is None and dues:
            self._timer = self._loop.call_at(min(dues), self._end_the_slow)

    def _end_the_slow(self) -> None:
        self._timer = None
        now = self._loop.time()
        for stage, patience_s in _PATIENCE_S.items():
            order = self._stages[stage]
            while order and (guest := next(iter(order))).since + patience_s <= now:
                self._end(guest, Reason.SLOW)
        self._arm()
