"""Every message that the server sends, ready for the WebSocket.

One function for each case of `livekit.SignalResponse`. They return bytes, so that a message for
many clients is encoded once.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from livekit.protocol import models, rtc

from sfu.demand import Demands
from sfu.limits import UPDATE_BYTES_MAX
from sfu.notices import (
    ParticipantsChanged,
    ParticipantSnapshot,
    QualityChanged,
    RoomChanged,
    RoomView,
    SpeakersChanged,
)
from sfu.track import TrackInfo
from sfu.values import EndReason, SubscriptionFailure, VideoQuality
from signalling.livekit import wire

SERVER_VERSION: Final = "1.13.0"
"""Clients compare it with the versions of LiveKit's server that brought a feature."""
PROTOCOL: Final = 17
PING_INTERVAL_S: Final = 10
"""A client's life sign and its answers cost a listener 0.15 kbit/s."""
PING_TIMEOUT_S: Final = 20
"""Without a word from the server for so long a client takes another link. Ten seconds more than the
interval: a link that stalls for less is better kept."""

_JOIN_FIELD: Final = 1
_UPDATE_FIELD: Final = 5
_OTHERS_FIELD: Final = 3
_PARTICIPANTS_FIELD: Final = 1


class LeaveAction(IntEnum):
    """What a client does after `leave`."""

    DISCONNECT = 0
    RESUME = 1
    RECONNECT = 2


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server for clients."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a client is told about this node."""

    node_id: str
    region: str = ""
    ice_servers: tuple[IceServer, ...] = field(default_factory=tuple)


def join(view: RoomView, server: ServerFacts, *, subscriber_primary: bool) -> bytes:
    """The first message of a session."""
    permissions = view.participant.permissions
    response = rtc.JoinResponse(
        room=wire.room(view.room),
        participant=wire.participant(view.participant),
        server_version=SERVER_VERSION,
        server_info=_server_info(server),
        server_region=server.region,
        ice_servers=_ice_servers(server),
        subscriber_primary=subscriber_primary,
        client_configuration=models.ClientConfiguration(),
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_TIMEOUT_S,
        enabled_publish_codecs=wire.publish_codecs(),
        fast_publish=permissions.can_publish,
    )
    # The others are appended as they were serialised before: joining must not encode everybody.
    others = b"".join(
        wire.length_delimited(_OTHERS_FIELD, wire.participant_bytes(other)) for other in view.others
    )
    return wire.length_delimited(_JOIN_FIELD, wire.encode(response) + others)


def reconnect(server: ServerFacts) -> bytes:
    """The first message of a resumed session."""
    response = rtc.ReconnectResponse(
        ice_servers=_ice_servers(server),
        client_configuration=models.ClientConfiguration(),
        server_info=_server_info(server),
    )
    return _message(reconnect=response)


def update(notice: ParticipantsChanged) -> tuple[bytes, ...]:
    """Participants that changed, in as few messages as their size allows."""
    return participants(notice.participants)


def participants(snapshots: Iterable[ParticipantSnapshot]) -> tuple[bytes, ...]:
    """Like `update`, for any list of participants."""
    messages: list[bytes] = []
    chunk: list[bytes] = []
    size = 0
    for snapshot in snapshots:
        encoded = wire.length_delimited(_PARTICIPANTS_FIELD, wire.participant_bytes(snapshot))
        if chunk and size + len(encoded) > UPDATE_BYTES_MAX:
            messages.append(wire.length_delimited(_UPDATE_FIELD, b"".join(chunk)))
            chunk, size = [], 0
        chunk.append(encoded)
        size += len(encoded)
    if chunk:
        messages.append(wire.length_delimited(_UPDATE_FIELD, b"".join(chunk)))
    return tuple(messages)


def room_update(notice: RoomChanged) -> tuple[bytes, ...]:
    """The room's metadata or numbers."""
    return (_message(room_update=rtc.RoomUpdate(room=wire.room(notice.room))),)


def speakers_changed(notice: SpeakersChanged) -> tuple[bytes, ...]:
    """Who speaks, and who has stopped."""
    speakers = [
        models.SpeakerInfo(sid=one.participant_sid, level=one.level, active=one.active)
        for one in notice.speakers
    ]
    return (_message(speakers_changed=rtc.SpeakersChanged(speakers=speakers)),)


def connection_quality(notice: QualityChanged) -> tuple[bytes, ...]:
    """How well connections do."""
    updates = [
        rtc.ConnectionQualityInfo(
            participant_sid=one.participant_sid,
            quality=wire.enum(one.quality),
            score=one.score,
        )
        for one in notice.reports
    ]
    return (_message(connection_quality=rtc.ConnectionQualityUpdate(updates=updates)),)


def answer(sdp: str, offer_id: int, mid_to_track_id: Mapping[str, str] | None = None) -> bytes:
    """The answer to the client's offer, with that offer's id, and what is sent in its sections."""
    description = rtc.SessionDescription(
        type="answer", sdp=sdp, id=offer_id, mid_to_track_id=dict(mid_to_track_id or {})
    )
    return _message(answer=description)


def offer(sdp: str, offer_id: int, mid_to_track_id: Mapping[str, str]) -> bytes:
    """Our offer for the subscriber peer connection."""
    description = rtc.SessionDescription(
        type="offer", sdp=sdp, id=offer_id, mid_to_track_id=dict(mid_to_track_id)
    )
    return _message(offer=description)


def track_published(cid: str, info: TrackInfo) -> bytes:
    """The answer to `add_track`."""
    return _message(track_published=rtc.TrackPublishedResponse(cid=cid, track=wire.track(info)))


def track_unpublished(track_sid: str) -> bytes:
    """The client's track has ended."""
    return _message(track_unpublished=rtc.TrackUnpublishedResponse(track_sid=track_sid))


def track_subscribed(track_sid: str) -> bytes:
    """Somebody receives the client's track."""
    return _message(track_subscribed=rtc.TrackSubscribed(track_sid=track_sid))


def subscribed_quality_update(track: TrackInfo, demands: Demands) -> bytes:
    """What the client should send of its track: every quality up to the wanted one, by codec.

    Older clients read the list without a codec, which is that of the primary one.
    """
    update = rtc.SubscribedQualityUpdate(track_sid=track.sid)
    for codec, wanted in zip(track.codecs, demands.values(), strict=False):
        enabled = [
            rtc.SubscribedQuality(
                quality=wire.enum(step), enabled=wanted is not None and step <= wanted
            )
            for step in VideoQuality
        ]
        name = codec.mime_type.partition("/")[2].lower()
        update.subscribed_codecs.append(rtc.SubscribedCodec(codec=name, qualities=enabled))
        if not update.subscribed_qualities:
            update.subscribed_qualities.extend(enabled)
    return _message(subscribed_quality_update=update)


def mute(track_sid: str, muted: bool) -> bytes:
    """The client has to mute its track."""
    return _message(mute=rtc.MuteTrackRequest(sid=track_sid, muted=muted))


def leave(reason: EndReason, action: LeaveAction) -> bytes:
    """The last message of a session."""
    request = rtc.LeaveRequest(
        can_reconnect=action is not LeaveAction.DISCONNECT,
        reason=wire.enum(reason),
        action=wire.enum(action),
    )
    return _message(leave=request)


def refresh_token(token: str) -> bytes:
    """A token to reconnect with."""
    return _message(refresh_token=token)


def pong() -> bytes:
    """The answer to an old ping: the server's time in milliseconds."""
    return _message(pong=_now_ms())


def pong_resp(ping: rtc.Ping) -> bytes:
    """The answer to a ping, with both clocks in milliseconds."""
    response = rtc.Pong(last_ping_timestamp=ping.timestamp, timestamp=_now_ms())
    return _message(pong_resp=response)


def subscription_response(track_sid: str, failure: SubscriptionFailure) -> bytes:
    """A wanted track cannot be had."""
    response = rtc.SubscriptionResponse(track_sid=track_sid, err=wire.enum(failure))
    return _message(subscription_response=response)


def subscription_permission_update(publisher_sid: str, track_sid: str, allowed: bool) -> bytes:
    """A publisher's rules about this client have changed."""
    response = rtc.SubscriptionPermissionUpdate(
        participant_sid=publisher_sid, track_sid=track_sid, allowed=allowed
    )
    return _message(subscription_permission_update=response)


def stream_state_update(publisher_sid: str, track_sid: str, paused: bool) -> bytes:
    """A track is not sent because it does not fit the client's bandwidth, or is sent again."""
    state = rtc.StreamStateInfo(
        participant_sid=publisher_sid,
        track_sid=track_sid,
        state=rtc.StreamState.PAUSED if paused else rtc.StreamState.ACTIVE,
    )
    return _message(stream_state_update=rtc.StreamStateUpdate(stream_states=[state]))


def request_response(reason: int, message: str = "", request_id: int = 0, **request: Any) -> bytes:
    """The outcome of a request; `request` embeds it under its name in the schema's oneof."""
    response = rtc.RequestResponse(
        request_id=request_id, reason=wire.enum(reason), message=message, **request
    )
    return _message(request_response=response)


def _message(**case: Any) -> bytes:
    return wire.encode(rtc.SignalResponse(**case))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _server_info(server: ServerFacts) -> models.ServerInfo:
    return models.ServerInfo(
        edition=models.ServerInfo.Standard,
        version=SERVER_VERSION,
        protocol=PROTOCOL,
        region=server.region,
        node_id=server.node_id,
        agent_protocol=1,
    )


def _ice_servers(server: ServerFacts) -> list[rtc.ICEServer]:
    return [
        rtc.ICEServer(urls=one.urls, username=one.username, credential=one.credential)
        for one in server.ice_servers
    ]
