"""Whose tokens count no more, since a moderator has put them out of a room.

A token that was given before a removal would bring its bearer straight back. So a removal also says
until when tokens may not have been issued, by identity and room name; a newer token is a new
invitation. Kept while the room is open and for a day after, which is longer than tokens usually
last; bounded per room, and in the number of closed rooms. A reader of the node's events.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from sfu.events import RoomClosed, RoomEvent, RoomOpened
from sfu.limits import REMOVALS_PER_ROOM_MAX, REMOVALS_ROOMS_MAX

AHEAD_S: Final = 60
"""LiveKit's: for the clocks of those who issue tokens."""
FORGET_AFTER_S: Final = 24 * 3600.0
"""After its room has closed."""


class Removals:
    """`now` gives seconds since the epoch, which tokens count in."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._revoked: dict[str, OrderedDict[str, int]] = {}
        """By room and identity: tokens issued before this do not count."""
        self._closed: OrderedDict[str, float] = OrderedDict()
        """Rooms of which something is kept although they have closed, and since when."""

    def revoke(self, room: str, identity: str, before_s: int = 0) -> None:
        """Tokens for this identity that were issued before `before_s` do not count in this room.

        That is a ban if it lies far in the future, and takes one back if it lies in the past.
        Without it a minute from now counts, or what was said before, if that is later.
        """
        revoked = self._revoked.setdefault(room, OrderedDict())
        earlier_s = revoked.pop(identity, 0)
        revoked[identity] = before_s or max(int(self._now()) + AHEAD_S, earlier_s)
        if len(revoked) > REMOVALS_PER_ROOM_MAX:
            revoked.popitem(last=False)

    def refuse(self, room: str, identity: str, issued_at_s: int) -> bool:
        """Whether a token that was issued then counts no more."""
        self._forget_old()
        revoked = self._revoked.get(room)
        return revoked is not None and issued_at_s < revoked.get(identity, 0)

    def read(self, event: RoomEvent) -> None:
        """Notes rooms that open and close."""
        if isinstance(event, RoomOpened):
            self._closed.pop(event.room.name, None)
        elif isinstance(event, RoomClosed) and event.room.name in self._revoked:
            self._closed[event.room.name] = self._now()
            if len(self._closed) > REMOVALS_ROOMS_MAX:
                self._forget_oldest()

    def _forget_old(self) -> None:
        while self._closed and next(iter(self._closed.values())) + FORGET_AFTER_S < self._now():
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        room, _ = self._closed.popitem(last=False)
        del self._revoked[room]
