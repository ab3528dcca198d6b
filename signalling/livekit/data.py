"""A session's part in its room's data plane.

Messages never pass here: the engine routes them. This says on which transports a participant sends
and receives. A client sends on its publisher connection; it receives on the primary one.
"""

from signalling.livekit.context import Context


class DataMembership:
    """Tells the engine what it needs, when it changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
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

    def close(self) -> None:
        """Leaves the data plane."""
        if self._told is not None:
            self._context.engine.order(
                self._context.engine.core.remove_data_member,
                self._context.room.engine_room_id,
                self._context.participant.sid,
            )
        self._told = None
