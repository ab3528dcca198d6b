"""Who may join: a token's claims, refined by the query and checked against the room.

Refusals become HTTP answers, so they are found before the WebSocket is accepted; `/rtc/validate`
runs the same check.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sfu import limits
from sfu.node import Node, NodeStoppingError, RemovedError
from sfu.participant import Participant
from sfu.rights import RoomClosedError, RoomFullError
from sfu.values import Admission, ParticipantKind, Permissions, RoomOptions, TrackSource
from signalling.grants import Claims, Grants, Refusal
from signalling.livekit import data_saver
from signalling.livekit.query import ConnectQuery

REFUSALS: Final = (NodeStoppingError, RemovedError, RoomClosedError, RoomFullError)
_TIMEOUT_MAX_S: Final = 7 * 24 * 3600


class JoinRefusedError(Exception):
    """A client cannot join: an HTTP status and a text for it."""

    def __init__(self, status: int, text: str, reason: Refusal) -> None:
        super().__init__(text)
        self.reason = reason
        self.status = status
        self.text = text


def check(node: Node, claims: Claims, query: ConnectQuery) -> Admission:
    """What the client is admitted to; creates nothing. `claims.check_join()` has been called.

    Raises JoinRefusedError if the client cannot join now.
    """
    admission = _admission(claims)
    if query.attributes:
        free = data_saver.is_everybodys_right(dict(query.attributes))
        if not claims.grants.can_update_own_metadata and not free:
            raise JoinRefusedError(401, "permissions denied", Refusal.PERMISSION)
        attributes = dict(admission.attributes) | dict(query.attributes)
        if excess := limits.texts_excess(admission.name, admission.metadata, attributes):
            raise JoinRefusedError(400, excess, Refusal.MALFORMED)
        admission = replace(admission, attributes=tuple(attributes.items()))
    try:
        node.check_admission(admission)
    except NodeStoppingError:
        raise JoinRefusedError(503, "the node is stopping", Refusal.CLOSING) from None
    except RemovedError:
        raise JoinRefusedError(401, "removed from the room", Refusal.REMOVED) from None
    except RoomFullError:
        raise JoinRefusedError(
            403, "room has as many participants as it may have", Refusal.FULL
        ) from None
    except RoomClosedError:
        raise JoinRefusedError(503, "room is closing", Refusal.CLOSING) from None
    return admission


def claims_of(claims: Claims, participant: Participant) -> Claims:
    """The claims that would bring `participant` back as it is."""
    granted = participant.permissions
    return replace(
        claims,
        name=participant.name,
        metadata=participant.metadata,
        attributes=dict(participant.attributes),
        grants=replace(
            claims.grants,
            can_publish=granted.can_publish,
            can_subscribe=granted.can_subscribe,
            can_publish_data=granted.can_publish_data,
            can_publish_sources=tuple(
                source.name.lower() for source in sorted(granted.can_publish_sources)
            ),
            can_update_own_metadata=granted.can_update_metadata,
        ),
    )


def _admission(claims: Claims) -> Admission:
    return Admission(
        identity=claims.identity,
        room=claims.grants.room,
        name=claims.name,
        metadata=claims.metadata,
        attributes=tuple(claims.attributes.items()),
        kind=_kind(claims.kind),
        permissions=permissions(claims.grants),
        room_options=_room_options(claims.room_config or {}),
        issued_at_s=claims.issued_at,
    )


def permissions(grants: Grants) -> Permissions:
    """What a token's grants allow in the room."""
    known = {source.name.lower(): source for source in TrackSource}
    sources = [known.get(name) for name in grants.can_publish_sources]
    granted = Permissions(
        can_subscribe=grants.can_subscribe,
        can_publish=grants.can_publish,
        can_publish_data=grants.can_publish_data,
        can_update_metadata=grants.can_update_own_metadata,
        hidden=grants.hidden,
        recorder=grants.recorder,
        agent=grants.agent,
    )
    return granted.limited_to(sources)


def _kind(name: str) -> ParticipantKind:
    return ParticipantKind.__members__.get(name.upper(), ParticipantKind.STANDARD)


def _room_options(config: Mapping[str, Any]) -> RoomOptions:
    """Reads protojson of `RoomConfiguration`; what is absent or malformed keeps its default."""
    default = RoomOptions()
    metadata = config.get("metadata")
    return RoomOptions(
        empty_timeout_s=_number(config, "emptyTimeout") or default.empty_timeout_s,
        departure_timeout_s=_number(config, "departureTimeout") or default.departure_timeout_s,
        max_participants=_number(config, "maxParticipants"),
        metadata=metadata if isinstance(metadata, str) else "",
    )


def _number(config: Mapping[str, Any], name: str) -> int:
    """A uint32; protojson also knows the name in snake case, and numbers as text."""
    snake = "".join("_" + c.lower() if c.isupper() else c for c in name)
    value = config.get(name, config.get(snake, 0))
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return min(max(value, 0), _TIMEOUT_MAX_S)
