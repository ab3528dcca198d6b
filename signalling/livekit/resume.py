"""A client that has lost its WebSocket comes back to its session.

Its peer connections have lived on. It gets the whole state again, since it may have missed any of
it, and new ICE credentials, since it may have changed networks. It keeps no right that its token
does not have.
"""

import logging
from dataclasses import replace

from sfu.engine import EngineBusyError
from sfu.values import Admission, EndReason, Permissions
from signalling.grants import Claims, Grants
from signalling.livekit import outbound
from signalling.livekit.link import Link
from signalling.livekit.outbound import LeaveAction
from signalling.livekit.query import ConnectQuery
from signalling.livekit.session import Session
from signalling.livekit.sessions import Sessions

log = logging.getLogger(__name__)


def resume(
    sessions: Sessions[Session],
    admission: Admission,
    claims: Claims,
    query: ConnectQuery,
    link: Link,
) -> Session | None:
    """Attaches the link to the session that it names.

    If there is none the client is told to connect anew, and None is returned.
    """
    session = sessions.find(admission.room, admission.identity, query.participant_sid)
    if session is None:
        link.close(outbound.leave(EndReason.STATE_MISMATCH, LeaveAction.RECONNECT))
        return None
    current, credentials = session.context.participant.permissions, session.credentials
    try:
        session.come_back(
            link,
            narrowed(current, credentials.known, admission.permissions),
            narrowed_grants(credentials.claims.grants, claims.grants),
        )
    except EngineBusyError as error:
        log.warning("session ended: %s", error)
        session.end(EndReason.MEDIA_FAILURE, LeaveAction.RECONNECT)
        return None
    sessions.counters.resumes += 1
    return session


def narrowed(current: Permissions, known: Permissions, token: Permissions) -> Permissions:
    """What is left of the `current` rights when a client comes back with a token.

    A right that the token does not have is lost if the client is `known` to have had it. One that
    the server API has given meanwhile stays: the token that says so may not have arrived. One that
    the API has taken does not come back with an older token.
    """

    def stays(now: bool, before: bool, again: bool) -> bool:
        return now and (again or not before)

    lost = known.sources - token.sources
    if lost & current.sources:
        sources = current.sources - lost
        current = replace(current, can_publish=bool(sources), can_publish_sources=sources)
    return replace(
        current,
        can_subscribe=stays(current.can_subscribe, known.can_subscribe, token.can_subscribe),
        can_publish_data=stays(
            current.can_publish_data, known.can_publish_data, token.can_publish_data
        ),
        can_update_metadata=stays(
            current.can_update_metadata, known.can_update_metadata, token.can_update_metadata
        ),
    )


def narrowed_grants(before: Grants, again: Grants) -> Grants:
    """What a refreshed token may say about anything but the room: what both tokens say."""
    return replace(
        before,
        room_create=before.room_create and again.room_create,
        room_list=before.room_list and again.room_list,
        room_record=before.room_record and again.room_record,
        room_admin=before.room_admin and again.room_admin,
    )
