"""A session's part in its room's data plane.

Messages never pass here: the engine routes them. This says on which transports a participant sends
and receives. A client sends on its publisher connection; it receives on the primary one.

The engine loses no reliable message while a channel is open: it slows the sender down, or closes
the channel of a reader that takes nothing, and of a sender whose message is too long to be passed
on. The client sees its channel close; the server counts it here.
"""

import logging
from collections import Counter

from signalling.livekit.context import Context

log = logging.getLogger(__name__)


class DataMembership:
    """Tells the engine what it needs, when it changes."""

    def __init__(self, context: Context, closings: Counter[str]) -> None:
        self._context = context
        self._closings = closings
        self._told: tuple[int, int, bool, bool] | None = None

    def update(self, *, sends_on: int | None, receives_on: int | None) -> None:
        """Takes the transports that exist by now, and the participant's rights."""
        participant = self._context.participant
        if receives_on is None or sends_on is None:
            return
        can_publish = self._context.room.may_send_data(participant)
        member = (sends_on, receives_on, can_publish, participant.hidden)
        if member == self._told:
            return
        self._told = member
        self._context.engine.order(
            self._context.engine.core.set_data_member,
            self._context.room.engine_room_id,
            sid=participant.sid,
            identity=participant.identity,
            sends_on=sends_on,
            receives_on=receives_on,
            can_publish=can_publish,
            hidden=participant.hidden,
        )

    def channel_closed(self, reason: str) -> None:
        """The engine has closed one of the participant's channels."""
        self._closings[reason] += 1
        log.info("a data channel was closed: %s", reason)
        log.debug("it was one of %s", self._context.participant.identity)

    def close(self) -> None:
        """Leaves the data plane."""
        if self._told is not None:
            self._context.engine.order(
                self._context.engine.core.remove_data_member,
                self._context.room.engine_room_id,
                self._context.participant.sid,
            )
        self._told = None
