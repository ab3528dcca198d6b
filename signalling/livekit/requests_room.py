"""Requests about the room: subscriptions, properties, life signs."""

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Final

from livekit.protocol import rtc

from sfu import limits
from sfu.permissions import SubscriptionPermission, TrackPermission
from sfu.rights import DeniedError
from sfu.values import EndReason, SubscriptionSettings, VideoQuality
from signalling.livekit import data_saver, outbound
from signalling.livekit.outbound import LeaveAction
from signalling.livekit.session import Session

OK_RESPONSES_FROM_PROTOCOL: Final = 15
"""Older clients do not expect a `request_response` for what has worked."""


def subscription(session: Session, request: rtc.UpdateSubscription) -> None:
    """The client subscribes to tracks, or unsubscribes."""
    context, wished = session.context, _bounded(session, named_tracks(request))
    context.room.request_subscription(context.participant, wished, request.subscribe)


def named_tracks(request: rtc.UpdateSubscription) -> list[str]:
    """The tracks of both of a subscription's lists, as far as they are read."""
    groups = request.participant_tracks[: limits.TRACKS_READ_MAX]
    sids = chain(request.track_sids, chain.from_iterable(group.track_sids for group in groups))
    return list(islice(sids, limits.TRACKS_READ_MAX))


def _bounded(session: Session, track_sids: Iterable[str]) -> list[str]:
    """Each track once, and as many as one message may name; the client is told of more."""
    named = list(dict.fromkeys(islice(track_sids, limits.TRACKS_READ_MAX)))
    longest = limits.TRACKS_PER_REQUEST_MAX
    if len(named) > longest:
        text = f"of {len(named)} tracks {longest} count"
        session.send(outbound.request_response(rtc.RequestResponse.LIMIT_EXCEEDED, text))
    return named[:longest]


def track_setting(session: Session, request: rtc.UpdateTrackSettings) -> None:
    """The client says how it shows tracks."""
    try:
        quality = VideoQuality(int(request.quality))
    except ValueError:
        quality = VideoQuality.LOW
    settings = SubscriptionSettings(
        disabled=request.disabled or request.quality == 3,
        quality=quality,
        width=request.width,
        height=request.height,
        fps=request.fps,
        priority=request.priority,
    )
    for track_sid in _bounded(session, request.track_sids):
        session.context.participant.subscriptions.set_settings(track_sid, settings)


def subscription_permission(session: Session, request: rtc.SubscriptionPermission) -> None:
    """The client says who may receive its tracks."""
    entries = request.track_permissions
    permission = SubscriptionPermission(
        all_participants=request.all_participants,
        entries=tuple(
            TrackPermission(
                participant_sid=entry.participant_sid,
                participant_identity=entry.participant_identity,
                all_tracks=entry.all_tracks,
                track_sids=frozenset(entry.track_sids[: limits.PERMISSION_TRACKS_MAX]),
            )
            for entry in entries[: limits.PERMISSION_ENTRIES_MAX]
        ),
    )
    context = session.context
    context.room.set_subscription_permission(context.participant, permission)
    if len(entries) > limits.PERMISSION_ENTRIES_MAX:
        # Whoever comes later in the list is refused: rather too few may receive than too many.
        session.send(
            outbound.request_response(
                rtc.RequestResponse.LIMIT_EXCEEDED,
                f"of {len(entries)} participants {limits.PERMISSION_ENTRIES_MAX} count",
            )
        )


def update_metadata(session: Session, request: rtc.UpdateParticipantMetadata) -> None:
    """The client changes its name, metadata or attributes."""
    context = session.context
    attributes = dict(request.attributes)
    # SDKs repeat name and metadata in a request that is about attributes.
    participant = context.participant
    repeats = request.name in ("", participant.name) and request.metadata in (
        "",
        participant.metadata,
    )
    is_free = repeats and data_saver.is_everybodys_right(attributes)
    room = context.room
    try:
        change = room.update_participant if is_free else room.update_own_properties
        change(
            context.participant,
            name=request.name or None,
            metadata=request.metadata or None,
            attributes=attributes,
        )
    except DeniedError as denied:
        _respond(session, request, denied.reason, denied.text)
        return
    if session.query.client.protocol >= OK_RESPONSES_FROM_PROTOCOL:
        _respond(session, request, rtc.RequestResponse.OK, "")


def _respond(
    session: Session, request: rtc.UpdateParticipantMetadata, reason: int, text: str
) -> None:
    session.send(
        outbound.request_response(reason, text, request.request_id, update_metadata=request)
    )


def sync_state(session: Session, request: rtc.SyncState) -> None:
    """A client that has come back says what it believes.

    A track that is not known here calls for a new connection.
    """
    context = session.context
    # It has no more, so one of more is unknown among the first ones already.
    published = request.publish_tracks[: limits.TRACKS_PER_PARTICIPANT_MAX + 1]
    if any(not session.publisher.knows(one.track.sid) for one in published):
        session.end(EndReason.STATE_MISMATCH, LeaveAction.RECONNECT)
        return
    wished = _bounded(session, named_tracks(request.subscription))
    context.room.request_subscription(context.participant, wished, request.subscription.subscribe)
    for track_sid in _bounded(session, request.track_sids_disabled):
        context.participant.subscriptions.set_settings(
            track_sid, SubscriptionSettings(disabled=True)
        )


def leave(session: Session, request: rtc.LeaveRequest) -> None:
    """The client goes."""
    session.left()


def ping(session: Session, request: int) -> None:
    """An old life sign."""
    session.send(outbound.pong())


def ping_req(session: Session, request: rtc.Ping) -> None:
    """A life sign, with the client's clock."""
    session.send(outbound.pong_resp(request))


def simulate(session: Session, request: rtc.SimulateScenario) -> None:
    """A client's test asks for trouble. What only a test would ask of a server is ignored."""
    scenario: Any = request
    match scenario.WhichOneof("scenario"):
        case "node_failure" | "migration":
            session.drop_link()
        case "server_leave":
            session.end(EndReason.SERVER_SHUTDOWN, LeaveAction.RECONNECT)


def refuse_data_track(session: Session, request: rtc.PublishDataTrackRequest) -> None:
    """Data tracks are not served: messages travel on the two common channels."""
    session.send(
        outbound.request_response(
            rtc.RequestResponse.NOT_ALLOWED,
            "data tracks are not served",
            publish_data_track=request,
        )
    )
