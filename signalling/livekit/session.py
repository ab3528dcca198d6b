"""A session: one participant's presence, from its WebSocket to its peer connections.

It is the room's way to the client (`sfu.ports.SessionSink`), and what the client's requests act on
(`inbound`).
"""

import logging
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Final

from sfu._core import DataChannelClosed, TransportStateChanged
from sfu.clock import Cancellable
from sfu.demand import Demands
from sfu.engine import EngineBusyError, TransportEvent
from sfu.node import MediaOwner, Node
from sfu.notices import (
    ClientFacts,
    ParticipantsChanged,
    ParticipantState,
    QualityChanged,
    RoomChanged,
    SpeakersChanged,
)
from sfu.participant import JoinOptions
from sfu.track import PublishedTrack
from sfu.values import (
    Admission,
    CodecRole,
    EndReason,
    Permissions,
    SubscriptionFailure,
    SubscriptionSettings,
    VideoQuality,
)
from signalling.grants import Claims, Grants
from signalling.livekit import admission as admissions
from signalling.livekit import outbound, topics
from signalling.livekit.context import Context, SessionSettings
from signalling.livekit.credentials import Credentials
from signalling.livekit.data import DataMembership
from signalling.livekit.data_saver import MEASURE_EVERY_S, Budget, downlink_limit_bps
from signalling.livekit.link import Link
from signalling.livekit.outbound import LeaveAction, ServerFacts
from signalling.livekit.outbox import Topic
from signalling.livekit.publisher import Publisher
from signalling.livekit.query import ConnectQuery
from signalling.livekit.sessions import Sessions
from signalling.livekit.states import TRANSITIONS, SessionEvent, SessionState
from signalling.livekit.subscriber import Subscriber

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 60.0
"""A client whose media has not connected by then is removed."""
DETACHED_TIMEOUT_S: Final = 15.0
"""So long a client without a link may resume."""

_RECONNECTABLE: Final = frozenset({EndReason.SERVER_SHUTDOWN, EndReason.MEDIA_FAILURE})


class Session:
    """Implements `sfu.ports.SessionSink`."""

    def __init__(
        self,
        node: Node,
        sessions: "Sessions[Session]",
        claims: Claims,
        query: ConnectQuery,
        settings: SessionSettings,
    ) -> None:
        self._state = SessionState.OPENING
        self.query = query
        self.context: Context
        self.publisher: Publisher
        self.subscriber: Subscriber
        self.credentials: Credentials
        self._claims = claims
        self._node = node
        self._sessions = sessions
        self._settings = settings
        self._link: Link | None = None
        self._data: DataMembership
        self.subscriber_primary = claims.grants.can_subscribe
        """The subscriber connection decides whether the client is connected. Fixed at the join."""
        self._deadline: Cancellable | None = None
        self._budget = Budget()
        self._budget_timer: Cancellable | None = None
        self._sent_before_bytes = 0

    @property
    def state(self) -> SessionState:
        """Changes by events only."""
        return self._state

    @property
    def participant_sid(self) -> str:
        """Of the participant that it is."""
        return self.context.participant.sid

    # --- life ------------------------------------------------------------------------------

    def open(self, admission: Admission, link: Link) -> bool:
        """Joins the room and tells the client about it.

        Returns False, and closes the link, if the room has filled or closed meanwhile.
        """
        self._link = link
        try:
            self._node.check_admission(admission)
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
            offer=self._send_offer,
            latest=self.send_latest,
            end=self.end,
            downlink_limit_bps=self._settings.downlink_limit_bps,
        )
        link.on_overflow = self._overflow
        self._sessions.add(room.name, participant.identity, self)
        self._sessions.counters.joins += 1
        try:
            self._start()
        except EngineBusyError as error:
            log.warning("session ended: %s", error)
            self.end(EndReason.MEDIA_FAILURE, LeaveAction.RECONNECT)
            return False
        return True

    def _start(self) -> None:
        context = self.context
        self.subscriber = Subscriber(context, self._subscriber_event)
        self._data = DataMembership(context, self._sessions.counters.data_closings)
        self.credentials = Credentials(context, self._claims, self._settings.issue_token)
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
                self._server_facts(),
                subscriber_primary=self.subscriber_primary,
            )
        )
        self._step(SessionEvent.OPENED)
        self._deadline = context.clock.call_later(CONNECT_TIMEOUT_S, self._connect_timeout)
        if self.subscriber_primary:
            self._start_subscriber()
            self._update_data()
        context.room.start_subscriptions(context.participant)
        self.credentials.push()

    def _server_facts(self) -> ServerFacts:
        return ServerFacts(self._node.node_id, self._node.region, self._settings.ice_servers)

    def _start_subscriber(self) -> None:
        self.subscriber.start()
        self._share_downlink()

    def come_back(self, link: Link, permissions: Permissions, grants: Grants) -> None:
        """The client has come back on another link, with these rights. It is told everything."""
        if self._link is not None:
            self._link.close()
            self._forget_link()
        self._link = link
        link.on_overflow = self._overflow
        self._step(SessionEvent.RESUMED)
        self._disarm()
        self.send(outbound.reconnect(self._server_facts()))
        context, credentials = self.context, self.credentials
        credentials.claims = replace(credentials.claims, grants=grants)
        if permissions != context.participant.permissions:
            context.room.set_permissions(context.participant, permissions)
        view = context.room.view(context.participant)
        self.participants_changed(ParticipantsChanged((view.participant, *view.others)))
        self.room_changed(RoomChanged(view.room))
        self.credentials_changed()
        context.room.tell_again(context.participant)
        self.subscriber.restart_ice()

    def link_lost(self, link: Link) -> None:
        """A link has closed; it may be one that was replaced."""
        if link is not self._link:
            return
        self._forget_link()
        before = self.state
        if before is SessionState.ENDED:
            return
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

    # --- telling ---------------------------------------------------------------------------

    # A client without a link is told nothing: it gets the whole state on its return.

    def send(self, message: bytes) -> None:
        """Sends the client a message."""
        if self._link is not None:
            self._link.send(message)

    def send_latest(self, key: Hashable, encode: Callable[[], bytes]) -> None:
        """Sends the client state of which only the latest counts, as it is when it is written."""
        if self._link is not None:
            self._link.latest(key, encode)

    def _send_offer(self, message: bytes) -> None:
        if self._link is not None:
            self._link.offer(message)

    def _tell(self, topic: Topic, notice: object) -> None:
        if self._link is not None:
            self._link.tell(topic, notice)

    def _overflow(self) -> None:
        log.info("session ended: its client does not take what it is told")
        self._sessions.counters.overflows += 1
        self.end(EndReason.SIGNAL_CLOSE, LeaveAction.RECONNECT)

    @property
    def held_bytes(self) -> int:
        """What waits for the client."""
        return 0 if self._link is None else self._link.held_bytes

    @property
    def sent_bytes(self) -> int:
        """What the client was sent on its links."""
        return self._sent_before_bytes + (0 if self._link is None else self._link.sent_bytes)

    def _forget_link(self) -> None:
        self._sent_before_bytes, self._link = self.sent_bytes, None

    # --- the end ---------------------------------------------------------------------------

    def _step(self, event: SessionEvent) -> None:
        self._state = TRANSITIONS[self._state].get(event, self._state)

    def _finish(self, reason: EndReason) -> None:
        if self.state is not SessionState.ENDED:
            self._step(SessionEvent.END)
            self._cleanup(reason)

    def _cleanup(self, reason: EndReason) -> None:
        context = self.context
        self._disarm()
        if self._budget_timer is not None:
            self._budget_timer.cancel()
        self._sessions.remove(context.room.name, context.participant.identity, self)
        counters = self._sessions.counters
        counters.sent_bytes += self.sent_bytes
        counters.endings[reason.name.lower()] += 1
        context.room.leave(context.participant, reason)
        self.credentials.close()
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
        if isinstance(event, DataChannelClosed):
            self._data.channel_closed(event.reason)
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

    def _share_downlink(self) -> None:
        """Gives media what signalling leaves of the participant's bound, again and again."""
        context, clock = self.context, self.context.clock
        attributes = context.participant.attributes
        limit_bps = downlink_limit_bps(attributes, context.downlink_limit_bps)
        self.subscriber.apply_limit(self._budget.media_bps(limit_bps))
        if limit_bps is not None and self._budget_timer is None:
            self._budget_timer = clock.call_later(MEASURE_EVERY_S, self._measure_signalling)

    def _measure_signalling(self) -> None:
        self._budget_timer = None
        self._budget.measure(self.sent_bytes, self.context.clock.time())
        self._share_downlink()

    # --- SessionSink -----------------------------------------------------------------------

    def participants_changed(self, notice: ParticipantsChanged) -> None:
        self._tell(topics.PARTICIPANTS, notice)

    def room_changed(self, notice: RoomChanged) -> None:
        self._tell(topics.ROOM, notice)

    def speakers_changed(self, notice: SpeakersChanged) -> None:
        self._tell(topics.SPEAKERS, notice)

    def quality_changed(self, notice: QualityChanged) -> None:
        self._tell(topics.QUALITY, notice)

    def track_wanted(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        self.subscriber.want(track, settings)

    def track_unwanted(self, track: PublishedTrack) -> None:
        self.subscriber.unwant(track)

    def codec_chosen(self, track: PublishedTrack, role: CodecRole | None) -> None:
        self.subscriber.choose_codec(track, role)

    def settings_changed(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        self.subscriber.set_settings(track, settings)

    def subscription_failed(self, track_sid: str, failure: SubscriptionFailure) -> None:
        self.send_latest(
            ("refused", track_sid), partial(outbound.subscription_response, track_sid, failure)
        )

    def subscription_allowed(self, publisher_sid: str, track_sid: str, allowed: bool) -> None:
        self.send_latest(
            ("allowed", track_sid),
            partial(outbound.subscription_permission_update, publisher_sid, track_sid, allowed),
        )

    def own_track_subscribed(self, track_sid: str) -> None:
        self.send_latest(("subscribed", track_sid), partial(outbound.track_subscribed, track_sid))

    def own_track_demanded(self, track: PublishedTrack, demands: Demands) -> None:
        self.send_latest(
            ("demanded", track.sid),
            partial(outbound.subscribed_quality_update, track.info, demands),
        )

    def own_track_ended(self, track_sid: str) -> None:
        self.publisher.track_ended(track_sid)
        self.send(outbound.track_unpublished(track_sid))

    def own_track_muted(self, track_sid: str, muted: bool) -> None:
        self.send_latest(("mute", track_sid), partial(outbound.mute, track_sid, muted))

    def credentials_changed(self) -> None:
        participant = self.context.participant
        if participant.state is not ParticipantState.JOINING:
            if participant.permissions.can_subscribe and self.subscriber.transport_id is None:
                self.subscriber.start()
            self._update_data()
            self._share_downlink()
            self.credentials.push()

    def ended(self, reason: EndReason) -> None:
        reconnect = reason in _RECONNECTABLE
        self.end(reason, LeaveAction.RECONNECT if reconnect else LeaveAction.DISCONNECT)


def _join_options(query: ConnectQuery) -> JoinOptions:
    return JoinOptions(
        client=ClientFacts(query.client.client_protocol, query.client.capabilities),
        auto_subscribe=query.auto_subscribe,
        default_quality=VideoQuality.LOW if query.adaptive_stream else VideoQuality.HIGH,
    )
