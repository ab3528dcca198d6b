"""A client that has lost its WebSocket comes back to its session.

Its peer connections have lived on. It gets the whole state again, since it may have missed any of
it, and new ICE credentials, since it may have changed networks.
"""

import logging
from typing import TYPE_CHECKING

from livekit.protocol import rtc

from sfu.node import Node
from sfu.notices import RoomChanged
from sfu.values import Admission, EndReason, SubscriptionSettings
from signalling.livekit import outbound
from signalling.livekit.link import Link
from signalling.livekit.outbound import LeaveAction
from signalling.livekit.query import ConnectQuery
from signalling.livekit.states import SessionState

if TYPE_CHECKING:
    from signalling.livekit.session import Session

log = logging.getLogger(__name__)


def resume(node: Node, admission: Admission, query: ConnectQuery, link: Link) -> "Session | None":
    """Attaches the link to the session that it names.

    If there is none the client is told to connect anew, and None is returned.
    """
    session = _find(node, admission, query.participant_sid)
    if session is None:
        link.close(outbound.leave(EndReason.STATE_MISMATCH, LeaveAction.RECONNECT))
        return None
    session.attach(link)
    context = session.context
    view = context.room.view(context.participant)
    session.send(outbound.reconnect(session.server_facts()))
    for message in outbound.participants((view.participant, *view.others)):
        session.send(message)
    session.room_changed(RoomChanged(view.room))
    session.credentials_changed()
    context.room.repeat_demands(context.participant)
    session.subscriber.restart_ice()
    return session


def _find(node: Node, admission: Admission, sid: str) -> "Session | None":
    from signalling.livekit.session import Session

    room = node.find_room(admission.room)
    participant = room.member(admission.identity) if room is not None else None
    if participant is None or participant.sid != sid:
        return None
    session = participant.sink
    if not isinstance(session, Session):
        return None
    return session if session.state in (SessionState.ACTIVE, SessionState.DETACHED) else None


def sync_state(session: "Session", request: rtc.SyncState) -> None:
    """Takes what the client believes. A track that is not known here calls for a new connection."""
    context = session.context
    sids = [published.track.sid for published in request.publish_tracks]
    if any(not session.publisher.knows(sid) for sid in sids):
        session.end(EndReason.STATE_MISMATCH, LeaveAction.RECONNECT)
        return
    wished = list(request.subscription.track_sids)
    for group in request.subscription.participant_tracks:
        wished.extend(group.track_sids)
    context.room.request_subscription(context.participant, wished, request.subscription.subscribe)
    for track_sid in request.track_sids_disabled:
        context.participant.subscriptions.set_settings(
            track_sid, SubscriptionSettings(disabled=True)
        )
