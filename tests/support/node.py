"""A clock that tests move by hand, and a sink that remembers what a room told it."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sfu.codec_plan import BackupCodecPolicy
from sfu.demand import Demands
from sfu.notices import (
    ParticipantsChanged,
    ParticipantSnapshot,
    ParticipantState,
    QualityChanged,
    RoomChanged,
    Speaker,
    SpeakersChanged,
)
from sfu.participant import JoinOptions
from sfu.room import Room
from sfu.track import PublishedTrack, Rendition, TrackCodec, TrackInfo, TrackPayload
from sfu.values import (
    Admission,
    CodecRole,
    EndReason,
    Permissions,
    RoomOptions,
    SubscriptionFailure,
    SubscriptionSettings,
    TrackKind,
    TrackSource,
    VideoQuality,
)


@dataclass(order=True)
class Timer:
    due: float
    order: int
    action: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[Timer] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(self.now + delay, next(self._order), lambda: callback(*args))
        heapq.heappush(self._timers, timer)
        return timer

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0].due <= end:
            timer = heapq.heappop(self._timers)
            self.now = max(self.now, timer.due)
            if not timer.cancelled:
                timer.action()
        self.now = end

    @property
    def armed(self) -> int:
        return sum(not timer.cancelled for timer in self._timers)


@dataclass
class RecordingSink:
    """Keeps the latest state that a client would have, and the order of what it was told."""

    log: list[str] = field(default_factory=list)
    known: dict[str, ParticipantSnapshot] = field(default_factory=dict)
    """By sid."""
    roster: set[str] = field(default_factory=set)
    """Identities of those present, as clients keep them: a new sid replaces the old one."""
    updates: list[ParticipantsChanged] = field(default_factory=list)
    rooms: list[RoomChanged] = field(default_factory=list)
    speakers: list[Speaker] = field(default_factory=list)
    qualities: list[QualityChanged] = field(default_factory=list)
    receiving: dict[str, SubscriptionSettings] = field(default_factory=dict)
    failed: list[tuple[str, SubscriptionFailure]] = field(default_factory=list)
    allowed: list[tuple[str, str, bool]] = field(default_factory=list)
    demands: list[tuple[str | VideoQuality | None, ...]] = field(default_factory=list)
    """Sid, quality of the primary codec, and of the backup if there is one."""
    codecs: dict[str, CodecRole | None] = field(default_factory=dict)
    """The codec that was chosen last, by sid."""
    end: EndReason | None = None

    def participants_changed(self, notice: ParticipantsChanged) -> None:
        self.updates.append(notice)
        for one in notice.participants:
            self.log.append(f"update {one.identity} {one.state.name} {len(one.tracks)}")
            before = self.known.get(one.sid)
            assert before is None or before.version <= one.version, "clients drop older versions"
            self.known[one.sid] = one
            if one.state is ParticipantState.DISCONNECTED:
                self.roster.discard(one.identity)
            else:
                self.roster.add(one.identity)

    def room_changed(self, notice: RoomChanged) -> None:
        self.rooms.append(notice)

    def speakers_changed(self, notice: SpeakersChanged) -> None:
        self.speakers.extend(notice.speakers)

    def quality_changed(self, notice: QualityChanged) -> None:
        self.qualities.append(notice)

    def track_wanted(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        assert track.sid not in self.receiving, "wanted twice"
        self.log.append(f"want {track.sid}")
        self.receiving[track.sid] = settings

    def track_unwanted(self, track: PublishedTrack) -> None:
        self.log.append(f"unwant {track.sid}")
        del self.receiving[track.sid]

    def codec_chosen(self, track: PublishedTrack, role: CodecRole | None) -> None:
        self.codecs[track.sid] = role

    def settings_changed(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        assert track.sid in self.receiving
        self.receiving[track.sid] = settings

    def subscription_failed(self, track_sid: str, failure: SubscriptionFailure) -> None:
        self.failed.append((track_sid, failure))

    def subscription_allowed(self, publisher_sid: str, track_sid: str, allowed: bool) -> None:
        self.allowed.append((publisher_sid, track_sid, allowed))

    def own_track_subscribed(self, track_sid: str) -> None:
        self.log.append(f"subscribed {track_sid}")

    def own_track_demanded(self, track: PublishedTrack, demands: Demands) -> None:
        self.demands.append((track.sid, *demands.values()))

    def own_track_ended(self, track_sid: str) -> None:
        self.log.append(f"ended {track_sid}")

    def own_track_muted(self, track_sid: str, muted: bool) -> None:
        self.log.append(f"muted {track_sid} {muted}")

    def credentials_changed(self) -> None:
        self.log.append("credentials")

    def ended(self, reason: EndReason) -> None:
        self.end = reason


class Seat:
    """A participant as a test holds it: in the room, told and active."""

    def __init__(
        self,
        room: Room,
        identity: str,
        permissions: Permissions | None = None,
        *,
        options: JoinOptions | None = None,
        active: bool = True,
        sink: RecordingSink | None = None,
        metadata: str = "",
    ) -> None:
        self.room = room
        self.sink = sink or RecordingSink()
        admission = Admission(
            identity, room.name, metadata=metadata, permissions=permissions or Permissions()
        )
        self.participant = room.join(admission, options or JoinOptions(), self.sink)
        room.mark_joined(self.participant)
        view = room.view(self.participant)
        everybody = (view.participant, *view.others)
        self.sink.known = {one.sid: one for one in everybody}
        self.sink.roster = {one.identity for one in everybody}
        room.start_subscriptions(self.participant)
        if active:
            room.mark_active(self.participant)

    def publish(
        self,
        sid: str,
        source: TrackSource = TrackSource.CAMERA,
        codecs: tuple[str, ...] = ("video/VP8",),
        policy: BackupCodecPolicy = BackupCodecPolicy.PREFER_REGRESSION,
    ) -> PublishedTrack:
        track = PublishedTrack(
            info=TrackInfo(
                sid,
                TrackKind.VIDEO,
                source,
                codecs=tuple(TrackCodec(mime_type) for mime_type in codecs),
                backup_codec_policy=policy,
            ),
            publisher_sid=self.participant.sid,
            publisher_identity=self.participant.identity,
            renditions={CodecRole.PRIMARY: Rendition(1, (TrackPayload(96, "vp8", 90_000),))},
        )
        self.room.publish(self.participant, track)
        return track


def make_room(clock: ManualClock, **options: Any) -> Room:
    return Room("hall", RoomOptions(**options), 1, clock)
