"""Who may join: a token's admission, refined by the query and checked against the room.

Refusals become HTTP answers, so they are found before the WebSocket is accepted; `/rtc/validate`
runs the same check.
"""

from dataclasses import replace
from typing import Final

from sfu.node import Node, NodeStoppingError
from sfu.participant import ATTRIBUTES_LIMIT, METADATA_LIMIT, NAME_LIMIT, Participant
from sfu.room import RoomClosedError, RoomFullError
from sfu.values import Admission
from signalling.livekit.query import ConnectQuery

REFUSALS: Final = (NodeStoppingError, RoomClosedError, RoomFullError)


class JoinRefusedError(Exception):
    """A client cannot join: an HTTP status and a text for it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def with_query(admission: Admission, query: ConnectQuery) -> Admission:
    """Adds the attributes that the query brings. Raises JoinRefusedError without the right."""
    if not query.attributes:
        return admission
    if not admission.permissions.can_update_metadata:
        raise JoinRefusedError(401, "permissions denied")
    return replace(
        admission, attributes=tuple((dict(admission.attributes) | dict(query.attributes)).items())
    )


def check(node: Node, admission: Admission) -> None:
    """Raises JoinRefusedError if the admission cannot be honoured; creates nothing."""
    if not 0 < len(admission.identity) <= NAME_LIMIT:
        raise JoinRefusedError(400, f"identity must have 1 to {NAME_LIMIT} characters")
    if not 0 < len(admission.room) <= NAME_LIMIT:
        raise JoinRefusedError(400, f"room name must have 1 to {NAME_LIMIT} characters")
    if len(admission.metadata) > METADATA_LIMIT:
        raise JoinRefusedError(400, f"metadata is larger than {METADATA_LIMIT} bytes")
    if sum(len(k) + len(v) for k, v in admission.attributes) > ATTRIBUTES_LIMIT:
        raise JoinRefusedError(400, f"attributes are larger than {ATTRIBUTES_LIMIT} bytes")
    if node.stopping:
        raise JoinRefusedError(503, "the node is stopping")
    room = node.rooms.get(admission.room)
    if room is None:
        return
    try:
        room.check_admission(admission.identity)
    except RoomFullError:
        raise JoinRefusedError(403, "room has as many participants as it may have") from None
    except RoomClosedError:
        raise JoinRefusedError(503, "room is closing") from None


def of_participant(admission: Admission, participant: Participant) -> Admission:
    """The admission that would bring `participant` back as it is."""
    return replace(
        admission,
        name=participant.name,
        metadata=participant.metadata,
        attributes=tuple(participant.attributes.items()),
        permissions=participant.permissions,
    )
