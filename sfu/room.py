"""A room: its members, their tracks, and who is told what.

All changes to participants and tracks go through here, so that each is counted, told to the others
and followed by the subscriptions that it calls for. The order is fixed: first everybody is told of
a track, then the subscribers start to receive it, as clients cannot place media of a track that
they have not heard of.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from sfu import ids
from sfu.announcer import Announcer
from sfu.audience import Audience
from sfu.clock import Cancellable, Clock
from sfu.codec_plan import CodecPlan
from sfu.demand import TrackDemand
from sfu.notices import (
    ClientFacts,
    ParticipantSnapshot,
    ParticipantState,
    QualityReport,
    RoomSnapshot,
    RoomView,
)
from sfu.participant import Participant
from sfu.permissions import SubscriptionPermission
from sfu.ports import SessionSink
from sfu.subscriptions import Subscriptions
from sfu.track import PublishedTrack, Rendition, TrackInfo
from sfu.values import (
    Admission,
    CodecRole,
    EndReason,
    Permissions,
    RoomOptions,
    TrackKind,
    VideoQuality,
)


class RoomFullError(Exception):
    """The room has as many participants as its options allow."""


class RoomClosedError(Exception):
    """The room has ended."""


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """How a session wants to take part."""

    client: ClientFacts = field(default_factory=ClientFacts)
    auto_subscribe: bool = True
    default_quality: VideoQuality = VideoQuality.HIGH


@dataclass(slots=True, eq=False)
class Room:
    """`engine_room_id` names its data plane. `on_closed` is called once, at its end."""

    name: str
    options: RoomOptions
    engine_room_id: int
    clock: Clock
    on_closed: Callable[["Room"], None]
    sid: str = field(default_factory=ids.room_sid)
    created_at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    metadata: str = ""
    closed: bool = False
    _announcer: Announcer = field(init=False)
    _audience: Audience = field(init=False)
    _idle_timer: Cancellable | None = None
    _members: dict[str, Participant] = field(default_factory=dict)
    """By identity."""
    _tracks: dict[str, PublishedTrack] = field(default_factory=dict)
    """By sid."""
    _by_sid: dict[str, Participant] = field(default_factory=dict)
    _people: set[str] = field(default_factory=set)
    """Sids of those who are counted; kept up to date, as a join must not count everybody."""
    _publishers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.metadata = self.options.metadata
        self._announcer = Announcer(
            self.clock, self._recipients, lambda: len(self._members), self.snapshot
        )
        self._audience = Audience(self.clock, self._recipients, self._recipient)
        self._arm_idle(self.options.empty_timeout_s)

    # --- looking ---------------------------------------------------------------------------

    def find(self, track_sid: str) -> PublishedTrack | None:
        """A published track that others may see."""
        return self._tracks.get(track_sid)

    @property
    def size(self) -> int:
        """How many participants there are, the hidden ones too."""
        return len(self._members)

    def list_tracks(self) -> tuple[PublishedTrack, ...]:
        """The published tracks that others may see."""
        return tuple(self._tracks.values())

    def list_participants(self) -> tuple[ParticipantSnapshot, ...]:
        """Everybody, the hidden ones too."""
        return tuple(member.snapshot() for member in self._members.values())

    def member(self, identity: str) -> Participant | None:
        """The participant of that identity who has a session here."""
        return self._members.get(identity)

    def participant(self, sid: str) -> Participant | None:
        """A member by its `PA_...`."""
        return self._by_sid.get(sid)

    def snapshot(self) -> RoomSnapshot:
        """The room as it is."""
        return RoomSnapshot(
            sid=self.sid,
            name=self.name,
            empty_timeout_s=self.options.empty_timeout_s,
            departure_timeout_s=self.options.departure_timeout_s,
            max_participants=self.options.max_participants,
            metadata=self.metadata,
            created_at_ms=self.created_at_ms,
            participants=len(self._people),
            publishers=len(self._publishers),
        )

    def view(self, participant: Participant) -> RoomView:
        """What `participant` is told when it joins or comes back."""
        others = tuple(
            other.snapshot()
            for other in self._members.values()
            if other is not participant and other.announced
        )
        return RoomView(self.snapshot(), participant.snapshot(), others)

    def check_admission(self, identity: str) -> None:
        """Raises RoomFullError or RoomClosedError if `identity` cannot join."""
        if self.closed:
            raise RoomClosedError(f"room {self.name} has ended")
        limit = self.options.max_participants
        if limit and len(self._members) >= limit and identity not in self._members:
            raise RoomFullError(f"room {self.name} has {limit} participants")

    # --- coming and going ------------------------------------------------------------------

    def join(self, admission: Admission, options: JoinOptions, sink: SessionSink) -> Participant:
        """Adds a participant; one with the same identity is replaced.

        Raises RoomFullError or RoomClosedError.
        """
        self.check_admission(admission.identity)
        self._disarm_idle()
        previous = self._members.get(admission.identity)
        published = previous is not None and previous.is_publisher
        # A departure that nobody has been told of yet is none, if the same person is back.
        known = self._announcer.withdraw(admission.identity)
        if previous is not None:
            known = known or previous.announced
            self._remove(previous, EndReason.DUPLICATE_IDENTITY)
        participant = Participant(
            sid=ids.participant_sid(),
            identity=admission.identity,
            kind=admission.kind,
            permissions=admission.permissions,
            joined_at_ms=time.time_ns() // 1_000_000,
            sink=sink,
            subscriptions=Subscriptions(
                clock=self.clock,
                sink=sink,
                may_receive=lambda track: self._may_receive(participant, track),
                automatic=options.auto_subscribe,
                default_quality=options.default_quality,
            ),
            name=admission.name,
            metadata=admission.metadata,
            attributes=dict(admission.attributes),
            client=options.client,
        )
        participant.changed()
        self._members[participant.identity] = participant
        self._by_sid[participant.sid] = participant
        if participant.counts:
            self._people.add(participant.sid)
        if previous is not None:
            previous.sink.ended(EndReason.DUPLICATE_IDENTITY)
        if known and not participant.hidden:
            # Clients learn from the new sid that the old session has gone, with its tracks.
            announce = self._announcer.at_once if published else self._announcer.participant
            announce(participant)
        self._announcer.counts()
        return participant

    def mark_joined(self, participant: Participant) -> None:
        """The session is about to be told of the room; call `start_subscriptions` after it has."""
        participant.enter(ParticipantState.JOINED)

    def start_subscriptions(self, participant: Participant) -> None:
        """Subscribes to everything that is there and wanted."""
        for track in list(self._tracks.values()):
            if track.publisher_sid != participant.sid:
                participant.subscriptions.reconsider(track)

    def mark_active(self, participant: Participant) -> None:
        """Its primary transport is connected; repeated calls have no effect."""
        if participant.state is ParticipantState.JOINED:
            participant.enter(ParticipantState.ACTIVE)
            self._announcer.participant(participant)

    def leave(self, participant: Participant, reason: EndReason) -> None:
        """Removes a participant by its own doing; its session is not told."""
        if participant.state is not ParticipantState.DISCONNECTED:
            self._remove(participant, reason)

    def expel(self, participant: Participant, reason: EndReason) -> None:
        """Removes a participant and tells its session."""
        if participant.state is not ParticipantState.DISCONNECTED:
            self._remove(participant, reason)
            participant.sink.ended(reason)

    def close(self, reason: EndReason) -> None:
        """Ends the room for everybody."""
        if self.closed:
            return
        self.closed = True
        self._announcer.close()
        for track in self._tracks.values():
            _end_demand(track)
        self._tracks.clear()
        for participant in list(self._members.values()):
            self.expel(participant, reason)
        self._disarm_idle()
        self._audience.close()
        self.on_closed(self)

    # --- tracks ----------------------------------------------------------------------------

    def publish(self, participant: Participant, track: PublishedTrack) -> None:
        """Adds a track whose section has been negotiated, and offers it to everybody."""
        participant.tracks[track.sid] = track
        if participant.counts:
            self._publishers.add(participant.sid)
        participant.changed()
        self._announcer.participant(participant)
        self._announcer.counts()
        if participant.hidden:
            return
        self._tracks[track.sid] = track
        if track.info.kind is TrackKind.VIDEO:
            self._begin_demand(track, participant.sink)
        self._reconsider(track)

    def add_backup(
        self, participant: Participant, track: PublishedTrack, rendition: Rendition, info: TrackInfo
    ) -> None:
        """The backup codec of a track has been negotiated; `info` has its ladder."""
        track.renditions[CodecRole.BACKUP] = rendition
        self.update_track(participant, info)
        if track.plan is not None:
            track.plan.tell()

    def drop_backup(self, participant: Participant, track: PublishedTrack) -> None:
        """The publisher sends the backup codec of a track no more; it cannot come back."""
        track.renditions.pop(CodecRole.BACKUP, None)
        if track.plan is not None:
            track.plan.drop_backup()
        if track.demand is not None:
            track.demand.drop(CodecRole.BACKUP)
        self.update_track(participant, replace(track.info, codecs=track.info.codecs[:1]))

    def unpublish(self, participant: Participant, track_sid: str) -> None:
        """Ends a track; its publisher is told as well."""
        track = participant.tracks.pop(track_sid, None)
        if track is None:
            return
        if not participant.tracks:
            self._publishers.discard(participant.sid)
        participant.changed()
        self._forget(track)
        if participant.hidden:
            self._announcer.participant(participant)
        else:
            self._announcer.at_once(participant)
        self._announcer.counts()
        participant.sink.own_track_ended(track_sid)

    def update_track(self, participant: Participant, info: TrackInfo) -> None:
        """Replaces what is told of a published track."""
        track = participant.tracks.get(info.sid)
        if track is None or track.info == info:
            return
        track.info = info
        participant.changed()
        self._announcer.participant(participant)

    def set_muted(self, participant: Participant, track_sid: str, muted: bool) -> bool:
        """The publisher mutes a track. Returns False if it has no such track."""
        track = participant.tracks.get(track_sid)
        if track is None:
            return False
        unmuted = track.info.muted and not muted
        self.update_track(participant, replace(track.info, muted=muted))
        if unmuted and track.demand is not None:
            track.demand.repeat()
        return True

    def repeat_demands(self, publisher: Participant) -> None:
        """Tells a publisher again what is wanted of its tracks: it may have missed a change."""
        for track in publisher.tracks.values():
            if track.demand is not None:
                track.demand.repeat()

    def mute(self, participant: Participant, track_sid: str) -> None:
        """Mutes a track on behalf of somebody else; its publisher is told to."""
        if self.set_muted(participant, track_sid, muted=True):
            participant.sink.own_track_muted(track_sid, muted=True)

    def track_bound(self, track: PublishedTrack, subscriber: Participant) -> None:
        """`subscriber` receives `track`: the first time, its publisher is told."""
        publisher = self._by_sid.get(track.publisher_sid)
        if track.subscriber_seen or subscriber.hidden or publisher is None:
            return
        track.subscriber_seen = True
        publisher.sink.own_track_subscribed(track.sid)

    # --- properties and rights -------------------------------------------------------------

    def set_metadata(self, metadata: str) -> None:
        """Changes the room's metadata."""
        self.metadata = metadata
        self._announcer.room()

    def update_participant(
        self,
        participant: Participant,
        *,
        name: str | None = None,
        metadata: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Changes what others see. `attributes` is a patch: an empty value deletes its key."""
        if name is not None:
            participant.name = name
        if metadata is not None:
            participant.metadata = metadata
        for key, value in (attributes or {}).items():
            if value:
                participant.attributes[key] = value
            else:
                participant.attributes.pop(key, None)
        participant.changed()
        self._announce_change(participant)

    def set_permissions(self, participant: Participant, permissions: Permissions) -> None:
        """Changes what a participant may do; tracks that it may no longer publish end."""
        participant.permissions = permissions
        participant.changed()
        for track in list(participant.tracks.values()):
            if not permissions.allows_publishing(track.info.source):
                self.unpublish(participant, track.sid)
        self.start_subscriptions(participant)
        self._announce_change(participant)

    def set_subscription_permission(
        self, publisher: Participant, permission: SubscriptionPermission
    ) -> None:
        """A publisher says who may receive its tracks."""
        previous = publisher.subscription_permission
        publisher.subscription_permission = permission
        for other in self._recipients():
            if other is publisher:
                continue
            for track in publisher.tracks.values():
                who = {"sid": other.sid, "identity": other.identity}
                allowed = permission.allows(track.sid, **who)
                if allowed != previous.allows(track.sid, **who):
                    other.sink.subscription_allowed(publisher.sid, track.sid, allowed)
                    other.subscriptions.reconsider(track)

    def request_subscription(
        self, participant: Participant, track_sids: Iterable[str], subscribe: bool
    ) -> None:
        """A participant subscribes to tracks, or unsubscribes."""
        for track_sid in track_sids:
            participant.subscriptions.request(track_sid, subscribe, self)

    # --- measurements ----------------------------------------------------------------------

    def hear(self, window: Mapping[str, tuple[float, float]]) -> None:
        """Takes the audio levels of one window, by participant sid."""
        self._audience.hear({sid: level for sid, level in window.items() if sid in self._by_sid})

    def report_quality(self, reports: tuple[QualityReport, ...]) -> None:
        """Tells changed connection qualities to those whom they concern."""
        self._audience.report_quality(reports)

    # --- inside ----------------------------------------------------------------------------

    def _recipients(self) -> list[Participant]:
        return [p for p in self._members.values() if p.state is not ParticipantState.JOINING]

    def _recipient(self, sid: str) -> Participant | None:
        participant = self._by_sid.get(sid)
        joining = participant is not None and participant.state is ParticipantState.JOINING
        return None if joining else participant

    def _may_receive(self, subscriber: Participant, track: PublishedTrack) -> bool:
        publisher = self._by_sid.get(track.publisher_sid)
        if publisher is None or publisher is subscriber:
            return False
        return subscriber.permissions.can_subscribe and publisher.subscription_permission.allows(
            track.sid, sid=subscriber.sid, identity=subscriber.identity
        )

    def _reconsider(self, track: PublishedTrack) -> None:
        for participant in self._recipients():
            if participant.sid != track.publisher_sid:
                participant.subscriptions.reconsider(track)

    def _forget(self, track: PublishedTrack) -> None:
        if self._tracks.pop(track.sid, None) is None:
            return
        for participant in self._members.values():
            participant.subscriptions.forget(track)
        _end_demand(track)

    def _begin_demand(self, track: PublishedTrack, publisher: SessionSink) -> None:
        roles = [role for role in CodecRole if role < max(len(track.info.codecs), 1)]
        tell = partial(publisher.own_track_demanded, track)
        track.demand = TrackDemand(self.clock, tell, roles)
        if CodecRole.BACKUP in roles:
            track.plan = CodecPlan(self.clock, track.info.backup_codec_policy)

    def _announce_change(self, participant: Participant) -> None:
        self._announcer.participant(participant)
        participant.sink.credentials_changed()

    def _remove(self, participant: Participant, reason: EndReason) -> None:
        """Takes a participant out of the room. Only the others are told, unless replaced."""
        del self._members[participant.identity]
        del self._by_sid[participant.sid]
        self._people.discard(participant.sid)
        self._publishers.discard(participant.sid)
        participant.subscriptions.close()
        was_publisher = participant.is_publisher
        for track in list(participant.tracks.values()):
            self._forget(track)
        participant.tracks.clear()
        self._audience.forget(participant.sid)
        participant.end_reason = reason
        participant.enter(ParticipantState.DISCONNECTED)
        if self.closed:
            return  # everybody is told that the room has ended, nobody of each other
        self._announcer.withdraw(participant.identity)
        if reason is not EndReason.DUPLICATE_IDENTITY and participant.announced:
            if was_publisher:
                self._announcer.at_once(participant)
            else:
                self._announcer.participant(participant)
        self._announcer.counts()
        if not self._members:
            self._arm_idle(self.options.departure_timeout_s)

    def _arm_idle(self, delay_s: float) -> None:
        self._disarm_idle()
        self._idle_timer = self.clock.call_later(delay_s, self.close, EndReason.ROOM_CLOSED)

    def _disarm_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None


def _end_demand(track: PublishedTrack) -> None:
    """The track has gone: nobody is told any more of who watches it."""
    if track.demand is not None:
        track.demand.close()
        track.demand = None
    if track.plan is not None:
        track.plan.close()
        track.plan = None
