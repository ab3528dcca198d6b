"""A room: who is in it, what they publish, and the door at which rights are asked.

All changes to participants and tracks go through here. Each is asked for, made, entered into the
roster and told as an event; subscriptions follow last, as clients cannot place media of a track
that they have not heard of. The roster is the whole room, of which `Members` are the part with a
session on this node.
"""

import time
from collections.abc import Iterable, Mapping

from sfu import ids, rights
from sfu.announcer import Announcer
from sfu.audience import Audience
from sfu.clock import Cancellable, Clock
from sfu.events import EventStream, ParticipantLeft, RoomClosed, RoomOpened, RoomUpdated
from sfu.fanout import isolate
from sfu.members import Members
from sfu.notices import (
    ParticipantsChanged,
    ParticipantSnapshot,
    ParticipantState,
    QualityReport,
    RoomSnapshot,
    RoomView,
)
from sfu.pace import Paces
from sfu.participant import JoinOptions, Participant
from sfu.permissions import SubscriptionPermission
from sfu.ports import SessionSink
from sfu.publications import Publications
from sfu.rights import Denial, DeniedError, RoomClosedError, RoomFullError
from sfu.roster import Roster
from sfu.subscriptions import Subscriptions
from sfu.track import PublishedTrack, Rendition, TrackInfo
from sfu.values import (
    Admission,
    EndReason,
    Permissions,
    RoomOptions,
    TrackKind,
    TrackSource,
)


class Room:
    """`engine_room_id` names its data plane; `onward` takes its events, too."""

    def __init__(
        self,
        name: str,
        options: RoomOptions,
        engine_room_id: int,
        clock: Clock,
        onward: EventStream | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self.engine_room_id = engine_room_id
        self.sid = ids.room_sid()
        self.closed = False
        self.events = EventStream(onward)
        self._clock = clock
        self._created_at_ms = time.time_ns() // 1_000_000
        self._metadata = options.metadata
        self._roster = Roster(self.sid, self.events)
        self._members = Members()
        self._paces = Paces(clock)
        self._publications = Publications(clock, self._members, self._roster)
        self._announcer = Announcer(clock, self._members, self)
        self._audience = Audience(clock, self._members)
        self._idle_timer: Cancellable | None = None
        self.events.subscribe(self._announcer.read)
        self.events.publish(RoomOpened(self.snapshot()))
        self._arm_idle(options.empty_timeout_s)

    # --- looking ---------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many participants there are, the hidden ones too."""
        return len(self._roster)

    def find(self, track_sid: str) -> PublishedTrack | None:
        """A published track that others may see."""
        return self._publications.find(track_sid)

    def list_tracks(self) -> tuple[PublishedTrack, ...]:
        """The published tracks that others may see."""
        return tuple(self._publications)

    def list_participants(self) -> tuple[ParticipantSnapshot, ...]:
        """Everybody, the hidden ones too."""
        return tuple(self._roster)

    def member(self, identity: str) -> Participant | None:
        """The participant of that identity who has a session here."""
        return self._members.find(identity)

    def find_participant(self, identity: str) -> ParticipantSnapshot | None:
        """The participant of that identity, wherever its session is."""
        return self._roster.find(identity)

    def participant(self, sid: str) -> Participant | None:
        """The participant with that `PA_...` who has a session here."""
        return self._members.with_sid(sid)

    def snapshot(self) -> RoomSnapshot:
        """The room as it is."""
        return RoomSnapshot(
            sid=self.sid,
            name=self.name,
            empty_timeout_s=self.options.empty_timeout_s,
            departure_timeout_s=self.options.departure_timeout_s,
            max_participants=self.options.max_participants,
            metadata=self._metadata,
            created_at_ms=self._created_at_ms,
            participants=self._roster.people,
            publishers=self._roster.publishers,
        )

    def view(self, participant: Participant) -> RoomView:
        """What `participant` is told when it joins or comes back."""
        told_of = self._announcer.told_of
        others = tuple(
            other
            for other in self._roster
            if other.identity in told_of
            and other.sid != participant.sid
            and not other.permissions.hidden
        )
        return RoomView(self.snapshot(), participant.snapshot(), others)

    def tell_again(self, participant: Participant) -> None:
        """Tells a participant that comes back whatever it may have missed, beside its view."""
        departed = tuple(
            one for one in self._announcer.departed() if one.identity != participant.identity
        )
        if departed:
            participant.sink.participants_changed(ParticipantsChanged(departed))
        publishers = [other.sid for other in self.view(participant).others if other.tracks]
        self._audience.repeat(participant, publishers)
        participant.subscriptions.repeat_rulings()
        self._publications.repeat_demands(participant)

    # --- coming and going ------------------------------------------------------------------

    def check_admission(self, identity: str) -> None:
        """Raises RoomFullError or RoomClosedError if `identity` cannot join."""
        if self.closed:
            raise RoomClosedError(f"room {self.name} has ended")
        limit = self.options.max_participants
        if limit and self.size >= limit and self._roster.find(identity) is None:
            raise RoomFullError(f"room {self.name} has {limit} participants")

    def join(self, admission: Admission, options: JoinOptions, sink: SessionSink) -> Participant:
        """Adds a participant; one with the same identity is replaced.

        Raises RoomFullError or RoomClosedError.
        """
        self.check_admission(admission.identity)
        previous = self._members.find(admission.identity)
        left = None
        if previous is not None:
            left = self._remove(previous, EndReason.DUPLICATE_IDENTITY, replaced=True)
        participant = self._make_participant(admission, options, sink)
        self._members.add(participant)
        self._disarm_idle()
        self._roster.enter(participant.snapshot(), left)
        if previous is not None:
            previous.sink.ended(EndReason.DUPLICATE_IDENTITY)
        return participant

    def mark_joined(self, participant: Participant) -> None:
        """The session is about to be told of the room; call `start_subscriptions` after it has."""
        participant.enter(ParticipantState.JOINED)
        self._roster.update(participant.snapshot())

    def start_subscriptions(self, participant: Participant) -> None:
        """Subscribes to everything that is there and wanted."""
        self._publications.offer_all(participant)

    def mark_active(self, participant: Participant) -> None:
        """Its primary transport is connected; repeated calls have no effect."""
        if participant.state is ParticipantState.JOINED:
            participant.enter(ParticipantState.ACTIVE)
            self._roster.update(participant.snapshot())

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
        # Everybody is told that the room has ended, nobody of each other, nor of who watches what.
        self._announcer.close()
        self._audience.close()
        self._publications.close()
        for participant in self._members:
            self.expel(participant, reason)
        self._disarm_idle()
        self.events.publish(RoomClosed(self.snapshot(), reason))

    # --- tracks ----------------------------------------------------------------------------

    def check_publish(
        self,
        participant: Participant,
        kind: TrackKind,
        source: TrackSource,
        coming: Iterable[TrackInfo] = (),
    ) -> None:
        """Raises DeniedError unless one more such track may be published, beside those `coming`."""
        if participant.state is ParticipantState.DISCONNECTED:
            raise DeniedError(Denial.NOT_ALLOWED, "has left the room")
        beside = [*(track.info for track in participant.tracks.values()), *coming]
        rights.check_publish(participant.permissions, kind, source, beside)

    def publish(self, participant: Participant, track: PublishedTrack) -> None:
        """Adds a track whose section has been negotiated, and offers it to everybody.

        Raises DeniedError.
        """
        self.check_publish(participant, track.info.kind, track.info.source)
        self._publications.publish(participant, track)

    def unpublish(self, participant: Participant, track_sid: str) -> None:
        """Ends a track; its publisher is told as well."""
        self._publications.unpublish(participant, track_sid)

    def add_backup(
        self, participant: Participant, track: PublishedTrack, rendition: Rendition, info: TrackInfo
    ) -> None:
        """The backup codec of a track has been negotiated; `info` has its ladder."""
        self._publications.add_backup(participant, track, rendition, info)

    def drop_backup(self, participant: Participant, track: PublishedTrack) -> None:
        """The publisher sends the backup codec of a track no more; it cannot come back."""
        self._publications.drop_backup(participant, track)

    def update_track(self, participant: Participant, info: TrackInfo) -> None:
        """The publisher changes what is told of a track."""
        self._publications.update(participant, info)

    def set_muted(self, participant: Participant, track_sid: str, muted: bool) -> bool:
        """The publisher mutes a track. Returns False if it has no such track."""
        return self._publications.set_muted(participant, track_sid, muted)

    def mute(self, participant: Participant, track_sid: str) -> None:
        """Mutes a track on behalf of somebody else; its publisher is told to."""
        if self._publications.set_muted(participant, track_sid, muted=True):
            participant.sink.own_track_muted(track_sid, muted=True)

    def track_bound(self, track: PublishedTrack, subscriber: Participant) -> None:
        """`subscriber` receives `track`: the first time, its publisher is told."""
        self._publications.bound(track, subscriber)

    def request_subscription(
        self, participant: Participant, track_sids: Iterable[str], subscribe: bool
    ) -> None:
        """A participant subscribes to tracks, or unsubscribes."""
        for track_sid in track_sids:
            participant.subscriptions.request(track_sid, subscribe, self._publications)

    # --- properties and rights -------------------------------------------------------------

    def set_metadata(self, metadata: str) -> None:
        """Changes the room's metadata."""
        self._metadata = metadata
        self.events.publish(RoomUpdated(self.snapshot()))

    def update_own_properties(
        self,
        participant: Participant,
        *,
        name: str | None = None,
        metadata: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """A participant changes what others see of it. Raises DeniedError."""
        if not participant.permissions.can_update_metadata:
            raise DeniedError(Denial.NOT_ALLOWED, "not allowed to change metadata")
        self.update_participant(participant, name=name, metadata=metadata, attributes=attributes)

    def update_participant(
        self,
        participant: Participant,
        *,
        name: str | None = None,
        metadata: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Changes what others see. `attributes` is a patch: an empty value deletes its key.

        Raises DeniedError.
        """
        patched = rights.patched(participant.attributes, attributes or {})
        name = participant.name if name is None else name
        metadata = participant.metadata if metadata is None else metadata
        rights.check_properties(name, metadata, patched)
        participant.name, participant.metadata, participant.attributes = name, metadata, patched
        participant.changed()
        self._roster.update(participant.snapshot())
        participant.sink.credentials_changed()

    def set_permissions(self, participant: Participant, permissions: Permissions) -> None:
        """Changes what a participant may do; tracks that it may no longer publish end."""
        before, participant.permissions = participant.permissions, permissions
        participant.changed()
        for track in list(participant.tracks.values()):
            if not permissions.allows_publishing(track.info.source, track.info.kind):
                self.unpublish(participant, track.sid)
        if permissions.can_subscribe != before.can_subscribe:
            self.start_subscriptions(participant)
        self._roster.update(participant.snapshot())
        participant.sink.credentials_changed()

    def may_send_data(self, participant: Participant) -> bool:
        """Whether the engine is to route what `participant` sends on its data channels."""
        return participant.permissions.can_publish_data

    def set_subscription_permission(
        self, publisher: Participant, permission: SubscriptionPermission
    ) -> None:
        """A publisher says who may receive its tracks."""
        self._publications.set_rules(publisher, permission)

    # --- measurements ----------------------------------------------------------------------

    def hear(self, window: Mapping[str, tuple[float, float]]) -> None:
        """Takes the audio levels of one window, by participant sid."""
        self._audience.hear(window)

    def report_quality(self, reports: tuple[QualityReport, ...]) -> None:
        """Tells changed connection qualities to those whom they concern."""
        self._audience.report_quality(reports)

    # --- inside ----------------------------------------------------------------------------

    def _make_participant(
        self, admission: Admission, options: JoinOptions, sink: SessionSink
    ) -> Participant:
        sid = ids.participant_sid()

        def failed() -> None:
            # It is in the middle of something; the end comes when that is over.
            self._clock.call_later(0, self.expel, participant, EndReason.MEDIA_FAILURE)

        sink = isolate(sink, sid, failed)
        participant = Participant(
            sid=sid,
            identity=admission.identity,
            kind=admission.kind,
            permissions=admission.permissions,
            joined_at_ms=time.time_ns() // 1_000_000,
            sink=sink,
            subscriptions=Subscriptions(
                clock=self._clock,
                sink=sink,
                rule=lambda track: self._publications.rule(participant, track),
                on_first=lambda sid: self._audience.starts_receiving(participant, sid),
                on_none=lambda sid: self._audience.stops_receiving(participant, sid),
                automatic=options.auto_subscribe,
                default_quality=options.default_quality,
            ),
            pace=self._paces.take(admission.identity),
            name=admission.name,
            metadata=admission.metadata,
            attributes=dict(admission.attributes),
            client=options.client,
        )
        participant.changed()
        return participant

    def _remove(
        self, participant: Participant, reason: EndReason, *, replaced: bool = False
    ) -> ParticipantLeft:
        """Takes a participant out of the room. Only the others are told, unless replaced."""
        self._members.remove(participant)
        participant.subscriptions.close()
        self._publications.withdraw_all(participant)
        self._paces.leave(participant.identity, participant.pace)
        self._audience.leaves(participant)
        participant.end_reason = reason
        participant.enter(ParticipantState.DISCONNECTED)
        left = self._roster.remove(participant.snapshot(), replaced=replaced)
        if not self.closed and not self._roster:
            self._arm_idle(self.options.departure_timeout_s)
        return left

    def _arm_idle(self, delay_s: float) -> None:
        self._disarm_idle()
        self._idle_timer = self._clock.call_later(delay_s, self.close, EndReason.ROOM_CLOSED)

    def _disarm_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
