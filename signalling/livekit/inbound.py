"""Every request that a client sends, and who handles it.

One entry for each case of `livekit.SignalRequest`; the handlers live in `requests` by subject. A
case without an entry is ignored, as the protocol grows faster than servers.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from livekit.protocol import rtc

from sfu import limits
from sfu.clock import Clock
from sfu.engine import EngineBusyError
from sfu.values import EndReason
from signalling.livekit import outbound, requests_media, requests_room
from signalling.livekit.outbound import LeaveAction
from signalling.livekit.session import Session
from signalling.sdp import SdpError

log = logging.getLogger(__name__)

HANDLERS: Final[Mapping[str, Callable[[Session, Any], None]]] = {
    "offer": requests_media.offer,
    "answer": requests_media.answer,
    "trickle": requests_media.trickle,
    "add_track": requests_media.add_track,
    "mute": requests_media.mute,
    "update_audio_track": requests_media.update_audio_track,
    "update_video_track": requests_media.update_video_track,
    "subscription": requests_room.subscription,
    "track_setting": requests_room.track_setting,
    "subscription_permission": requests_room.subscription_permission,
    "update_metadata": requests_room.update_metadata,
    "sync_state": requests_room.sync_state,
    "leave": requests_room.leave,
    "ping": requests_room.ping,
    "ping_req": requests_room.ping_req,
    "simulate": requests_room.simulate,
    "publish_data_track_request": requests_room.refuse_data_track,
}


_LISTS: Final = dict.fromkeys(
    ("subscription", "track_setting", "subscription_permission"), limits.LIST_BYTES_MAX
)
_DESCRIPTIONS: Final = dict.fromkeys(("offer", "answer", "sync_state"), limits.MESSAGE_BYTES_MAX)
_LONGEST: Final[Mapping[str, int]] = {
    **_LISTS,
    **_DESCRIPTIONS,
    "add_track": limits.ANNOUNCEMENT_BYTES_MAX,
}
"""In bytes, by case; the others have `REQUEST_BYTES_MAX`."""
_SCHEMA: Final[Any] = rtc.SignalRequest.DESCRIPTOR
_LENGTH_DELIMITED: Final = 2


class MalformedMessageError(Exception):
    """Not a `SignalRequest`; the text may be sent to the client."""


class RateLimiter:
    """A token bucket for one link."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens = limits.MESSAGES_BURST
        self._filled_at = clock.time()

    def allow(self, size_bytes: int) -> bool:
        """Takes a token, and more for a large message. Returns False if there are too few."""
        now = self._clock.time()
        refill = (now - self._filled_at) * limits.MESSAGES_PER_S
        self._tokens = min(self._tokens + refill, limits.MESSAGES_BURST)
        self._filled_at = now
        cost = 1 + size_bytes // limits.MESSAGE_BYTES_PER_TOKEN
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def charge(self, tracks: int) -> None:
        """Takes tokens for the tracks that a message named; the next one may find too few."""
        self._tokens -= tracks // limits.TRACKS_PER_TOKEN


def handle(session: Session, data: bytes) -> int:
    """Handles one binary frame; returns how many tracks it named. Raises MalformedMessageError."""
    announced = _announced_case(data)
    longest = _LONGEST.get(announced, limits.REQUEST_BYTES_MAX)
    if len(data) > longest:
        text = f"a message of {len(data)} bytes: at most {longest} are read of {announced or 'it'}"
        session.send(outbound.request_response(rtc.RequestResponse.LIMIT_EXCEEDED, text))
        return 0
    request: Any = rtc.SignalRequest()
    try:
        request.ParseFromString(data)
    except DecodeError:
        raise MalformedMessageError("malformed SignalRequest") from None
    case = request.WhichOneof("message")
    handler = HANDLERS.get(case or "")
    if case is None or handler is None:
        log.debug("request ignored: %s", case)
        return 0
    try:
        handler(session, getattr(request, case))
    except SdpError as error:
        # The peer's fault by definition: a new connection may do better, this one cannot. One that
        # would bring the same description again is not asked for: it would be so for ever.
        log.debug("session ended by an unusable description: %s", error)
        session.send(outbound.request_response(rtc.RequestResponse.INVALID_REQUEST, str(error)))
        if error.repeats:
            session.end(EndReason.MEDIA_FAILURE, LeaveAction.DISCONNECT)
        else:
            session.end(EndReason.STATE_MISMATCH, LeaveAction.RECONNECT)
    except EngineBusyError as error:
        log.warning("session ended: %s", error)
        session.end(EndReason.MEDIA_FAILURE, LeaveAction.RECONNECT)
    return _named_tracks(request)


def _announced_case(data: bytes) -> str:
    """The case of a frame that has not been parsed, if it is one and nothing beside it."""
    tag, begin = _varint(data, 0)
    length, begin = _varint(data, begin)
    field = _SCHEMA.fields_by_number.get(tag >> 3)
    if field is None or tag & 7 != _LENGTH_DELIMITED or begin + length != len(data):
        return ""
    return str(field.name)


def _varint(data: bytes, begin: int) -> tuple[int, int]:
    """A number as protobuf encodes it, and where it ends."""
    value = 0
    for place, byte in enumerate(data[begin : begin + 5]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, begin + place + 1
    return value, begin + 5


def _named_tracks(request: Any) -> int:
    match request.WhichOneof("message"):
        case "subscription":
            return len(requests_room.named_tracks(request.subscription))
        case "track_setting":
            return len(request.track_setting.track_sids)
        case "sync_state":
            state = request.sync_state
            wished = requests_room.named_tracks(state.subscription)
            return len(wished) + len(state.track_sids_disabled)
    return 0
