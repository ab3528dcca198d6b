"""A session: one participant's presence, from its WebSocket to its peer connections.

`serve_websocket` is what the HTTP application calls. A `Session` is the room's way to the client
(`sfu.ports.SessionSink`), and what the client's requests act on (`inbound`).
"""

import asyncio
import logging
from typing import Final

from aiohttp import WSMsgType, web

from sfu import limits
from sfu._core import TransportStateChanged
from sfu.clock import Cancellable
from sfu.demand import Demands
from sfu.engine import TransportEvent
from sfu.node import MediaOwner, Node
from sfu.notices import (
    ClientFacts,
    ParticipantsChanged,
    ParticipantState,
    QualityChanged,
    RoomChanged,
    SpeakersChanged,
)
from sfu.room import JoinOptions
from sfu.track import PublishedTrack
from sfu.values import (
    Admission,
    CodecRole,
    EndReason,
    SubscriptionFailure,
    SubscriptionSettings,
    VideoQuality,
)
from signalling.grants import Claims
from signalling.livekit import admission as admissions
from signalling.livekit import inbound, outbound, resume
from signalling.livekit.context import Context, SessionSettings
from signalling.livekit.data import DataMembership
from signalling.livekit.link import INVALID_PAYLOAD, POLICY_VIOLATION, Link
from signalling.livekit.outbound import LeaveAction, ServerFacts
from signalling.livekit.publisher import Publisher
from signalling.livekit.query import ConnectQuery
from signalling.livekit.states import TRANSITIONS, SessionEvent, SessionState
from signalling.livekit.subscriber import Subscriber

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 60.0
"""A client whose media has not connected by then is removed."""
DETACHED_TIMEOUT_S: Final = 15.0
"""So long a client without a link may resume."""
TOKEN_EVERY_S: Final = 300.0
"""A fresh token is sent this often, so that a reconnect works after the first one has expired."""

_RECONNECTABLE: Final = frozenset({EndReason.SERVER_SHUTDOWN, EndReason.MEDIA_FAILURE})


async def serve_websocket(
    request: web.Request,
    node: Node,
    claims: Claims,
    query: ConnectQuery,
    settings: SessionSettings,
) -> web.WebSocketResponse:
    """Serves `/rtc` for a client whose token allows it to join, until its link closes.

    Raises `JoinRefusedError` before the WebSocket is accepted, so that it becomes an HTTP answer.
    """
    admission = admissions.check(node, claims, query)
    # Compression would cost memory for each client, and the messages are small.
    socket = web.WebSocketResponse(compress=False, max_msg_size=limits.MESSAGE_BYTES_MAX)
    await socket.prepare(request)
    link = Link(socket, request.transport)
    writer = asyncio.create_task(link.run_writer())
    session: Session | None = None
    try:
        if query.reconnect:
            session = resume.resume(node, admission, query, link)
        else:
            session = Session(node, claims, query, settings)
            if not session.open(admission, link):
                session = None
        if session is not None:
            await _read(socket, session, link)
    finally:
        if session is not None:
            session.link_lost(link)
        link.close()
        await writer
    return socket


async def _read(socket: web.WebSocketResponse, session: "Session", link: Link) -> None:
    limiter = inbound.RateLimiter(session.context.clock)
    async for message in socket:
        if link.closing:
            continue
        if message.type is WSMsgType.BINARY:
            if not limiter.allow(len(message.data)):
                link.close(code=POLICY_VIOLATION, reason="too many messages")
                return
            try:
                inbound.handle(session, message.data)
            except inbound.MalformedMessageError as error:
                link.close(code=INVALID_PAYLOAD, reason=str(error))
                return
        elif message.type is WSMsgType.TEXT:
            log.debug("text frame ignored")


class Session:
    """Implements `sfu.ports.SessionSink`."""

    def __init__(
        self, node: Node, claims: Claims, query: ConnectQuery, settings: SessionSettings
    ) -> None:
        self.state = SessionState.OPENING
        self.query = query
        self.context: Context
        self.publisher: Publisher
        self.subscriber: Subscriber
        self._node = node
        self._claims = claims
        self._settings = settings
        self._link: Link | None = None
        self._data: DataMembership
        self.subscriber_primary = claims.grants.can_subscribe
        """The subscriber connection decides whether the client is connected. Fixed at the join."""
        self._deadline: Cancellable | None = None
        self._token_timer: Cancellable | None = None

    # --- life ------------------------------------------------------------------------------

    def open(self, admission: Admission, link: Link) -> bool:
        """Joins the room and tells the client about it.

        Returns False, and closes the link, if the room has filled or closed meanwhile.
        """
        self._link = link
        try:
            room = self._node.room(admission.room, admission.room_options)
            participant = room.join(admission, _join_options(self.query), self)
        except admissions.REFUSALS:
            link.close(outbound.leave(EndReason.JOIN_FAILURE, LeaveAction.DISCONNECT))
            return False
        self.context = Context(
            node=self._node,
            room=room,
            participant=participant,
            client=self.query.client,
            send=self.send,
            end=self.end,
            downlink_limit_bps=self._settings.downlink_limit_bps,
        )
        self._start()
        return True

    def _start(self) -> None:
        context = self.context
        self.subscriber = Subscriber(context, self._subscriber_event)
        self._data = DataMembership(context)
        self.publisher = Publisher(
            context,
            self._publisher_event,
            self._update_data,
            near_transport=lambda: self.subscriber.transport_id,
        )
        context.room.mark_joined(context.participant)
        self.send(
            outbound.join(
                context.room.view(context.participant),
                self.server_facts(),
                subscriber_primary=self.subscriber_primary,
            )
        )
        self._step(SessionEvent.OPENED)
        self._deadline = context.clock.call_later(CONNECT_TIMEOUT_S, self._connect_timeout)
        if self.subscriber_primary:
            self.subscriber.start()
            self._update_data()
        context.room.start_subscriptions(context.participant)
        self._push_token()

    def server_facts(self) -> ServerFacts:
        """What the client is told about this node."""
        return ServerFacts(self._node.node_id, self._node.region, self._settings.ice_servers)

    def attach(self, link: Link) -> None:
        """The client has come back on another link."""
        if self._link is not None:
            self._link.close()
        self._link = link
        self._step(SessionEvent.RESUMED)
        self._disarm()

    def link_lost(self, link: Link) -> None:
        """A link has closed; it may be one that was replaced."""
        if link is not self._link:
            return
        self._link = None
        self._step(SessionEvent.LINK_LOST)
        if self.state is SessionState.DETACHED:
            self.subscriber.suspend()
            self._deadline = self.context.clock.call_later(
                DETACHED_TIMEOUT_S, self._finish, EndReason.SIGNAL_CLOSE
            )
        elif self.state is SessionState.ENDED:
            self._cleanup(EndReason.SIGNAL_CLOSE)

    def end(self, reason: EndReason, action: LeaveAction) -> None:
        """Tells the client to leave, and ends the session."""
        if self._link is not None:
            self._link.close(outbound.leave(reason, action))
        self._finish(reason)

    def left(self) -> None:
        """The client has said goodbye."""
        if self._link is not None:
            self._link.close()
        self._finish(EndReason.CLIENT_INITIATED)

    def drop_link(self) -> None:
        """Closes the WebSocket without a word, as a failing network would."""
        if self._link is not None:
            self._link.close()

    def send(self, message: bytes) -> None:
        """Queues a message for the client. A detached client gets the whole state on return."""
        if self._link is not None and not self._link.send(message):
            log.info("session ended: its queue of %d messages is full", limits.LINK_MESSAGES_MAX)
            self.end(EndReason.SIGNAL_CLOSE, LeaveAction.RECONNECT)

    def _step(self, event: SessionEvent) -> None:
        self.state = TRANSITIONS[self.state].get(event, self.state)

    def _finish(self, reason: EndReason) -> None:
        if self.state is not SessionState.ENDED:
            self._step(SessionEvent.END)
            self._cleanup(reason)

    def _cleanup(self, reason: EndReason) -> None:
        context = self.context
        self._disarm()
        if self._token_timer is not None:
            self._token_timer.cancel()
        context.room.leave(context.participant, reason)
        self._data.close()
        self.publisher.close()
        self.subscriber.close()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _connect_timeout(self) -> None:
        self.end(EndReason.CONNECTION_TIMEOUT, LeaveAction.RECONNECT)

    # --- transports ------------------------------------------------------------------------

    def _subscriber_event(self, event: TransportEvent) -> None:
        self._transport_event(event, primary=self.subscriber_primary)

    def _publisher_event(self, event: TransportEvent) -> None:
        self._transport_event(event, primary=not self.subscriber_primary)

    def _transport_event(self, event: TransportEvent, *, primary: bool) -> None:
        if not isinstance(event, TransportStateChanged):
            return
        owner = MediaOwner(self.context.room, self.context.participant)
        if event.state == "disconnected" and primary:
            self._node.connection_lost(owner)
        elif event.state == "connected" and primary:
            self._node.connection_back(owner)
            self._step(SessionEvent.MEDIA_CONNECTED)
            if self.state is SessionState.ACTIVE:
                self._disarm()
            self.context.room.mark_active(self.context.participant)
        elif event.state == "closed" and event.reason != "requested":
            log.debug("transport closed: %s", event.reason)
            self.end(EndReason.MEDIA_FAILURE, LeaveAction.RECONNECT)

    def _update_data(self) -> None:
        publisher, subscriber = self.publisher.transport_id, self.subscriber.transport_id
        receives_on = subscriber if self.subscriber_primary else publisher
        sends_on = subscriber if publisher is None else publisher
        self._data.update(sends_on=sends_on, receives_on=receives_on)

    # --- tokens ----------------------------------------------------------------------------

    def _push_token(self) -> None:
        if self._token_timer is not None:
            self._token_timer.cancel()
        self._token_timer = self.context.clock.call_later(TOKEN_EVERY_S, self._push_token)
        claims = admissions.claims_of(self._claims, self.context.participant)
        self.send(outbound.refresh_token(self._settings.issue_token(claims)))

    # --- SessionSink -----------------------------------------------------------------------

    def participants_changed(self, notice: ParticipantsChanged) -> None:
        for message in notice.rendered(outbound.update):
            self.send(message)

    def room_changed(self, notice: RoomChanged) -> None:
        for message in notice.rendered(outbound.room_update):
            self.send(message)

    def speakers_changed(self, notice: SpeakersChanged) -> None:
        for message in notice.rendered(outbound.speakers_changed):
            self.send(message)

    def quality_changed(self, notice: QualityChanged) -> None:
        for message in notice.rendered(outbound.connection_quality):
            self.send(message)

    def track_wanted(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        self.subscriber.want(track, settings)

    def track_unwanted(self, track: PublishedTrack) -> None:
        self.subscriber.unwant(track)

    def codec_chosen(self, track: PublishedTrack, role: CodecRole | None) -> None:
        self.subscriber.choose_codec(track, role)

    def settings_changed(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        self.subscriber.set_settings(track, settings)

    def subscription_failed(self, track_sid: str, failure: SubscriptionFailure) -> None:
        self.send(outbound.subscription_response(track_sid, failure))

    def subscription_allowed(self, publisher_sid: str, track_sid: str, allowed: bool) -> None:
        self.send(outbound.subscription_permission_update(publisher_sid, track_sid, allowed))

    def own_track_subscribed(self, track_sid: str) -> None:
        self.send(outbound.track_subscribed(track_sid))

    def own_track_demanded(self, track: PublishedTrack, demands: Demands) -> None:
        self.send(outbound.subscribed_quality_update(track.info, demands))

    def own_track_ended(self, track_sid: str) -> None:
        self.publisher.track_ended(track_sid)
        self.send(outbound.track_unpublished(track_sid))

    def own_track_muted(self, track_sid: str, muted: bool) -> None:
        self.send(outbound.mute(track_sid, muted))

    def credentials_changed(self) -> None:
        participant = self.context.participant
        if participant.state is not ParticipantState.JOINING:
            if participant.permissions.can_subscribe and self.subscriber.transport_id is None:
                self.subscriber.start()
            self._update_data()
            self.subscriber.apply_limit()
            self._push_token()

    def ended(self, reason: EndReason) -> None:
        reconnect = reason in _RECONNECTABLE
        self.end(reason, LeaveAction.RECONNECT if reconnect else LeaveAction.DISCONNECT)


def _join_options(query: ConnectQuery) -> JoinOptions:
    return JoinOptions(
        client=ClientFacts(query.client.client_protocol, query.client.capabilities),
        auto_subscribe=query.auto_subscribe,
        default_quality=VideoQuality.LOW if query.adaptive_stream else VideoQuality.HIGH,
    )
