"""What one participant wants to receive, and what it does receive.

Wishes are declarative. A client may subscribe to, or set the size of, a track that has not been
published yet: the wish is kept, and the track starts when it appears. An explicit unsubscribe
cancels the automatic subscription of that track. `Subscriptions` only decides; the session makes
it true.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol

from sfu.clock import Cancellable, Clock
from sfu.limits import WISHES_MAX
from sfu.ports import SessionSink
from sfu.reception import Reception
from sfu.track import PublishedTrack
from sfu.values import CodecRole, SubscriptionFailure, SubscriptionSettings, VideoQuality

NOT_FOUND_AFTER_S: Final = 60.0
"""A wanted track that has not appeared by then is reported to the subscriber."""


class Ruling(Enum):
    """What the rules say about a participant and a track."""

    ALLOWED = auto()
    REFUSED_BY_PUBLISHER = auto()
    """The publisher may change its mind: the participant is told of both."""
    NEVER = auto()
    """Its own, or it may not subscribe at all, which it knows."""


class TrackSet(Protocol):
    """Where tracks are looked up."""

    def find(self, track_sid: str) -> PublishedTrack | None: ...


@dataclass(slots=True)
class _Wish:
    explicit: bool | None = None
    """None: automatic subscription decides."""
    settings: SubscriptionSettings | None = None
    deadline: Cancellable | None = None


@dataclass(slots=True, eq=False)
class Subscriptions:
    """One participant's wishes. `rule` asks the room's rules."""

    clock: Clock
    sink: SessionSink
    rule: Callable[[PublishedTrack], Ruling]
    on_first: Callable[[str], None] = lambda _publisher_sid: None
    """The participant receives a first track of somebody."""
    on_none: Callable[[str], None] = lambda _publisher_sid: None
    """It receives nothing of somebody any more."""
    automatic: bool = True
    default_quality: VideoQuality = VideoQuality.HIGH
    active: dict[str, PublishedTrack] = field(default_factory=dict)
    """Tracks that the session has been told to send."""
    _wishes: dict[str, _Wish] = field(default_factory=dict)
    _rulings: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """By sid of a track, its publisher's sid, and whether that lets the participant have it, as the
    participant has been told. Of others it has not been told: they may be had."""
    _receptions: dict[str, Reception] = field(default_factory=dict)
    """Of the active video tracks, by sid."""
    _publishers: dict[str, int] = field(default_factory=dict)
    """Number of active tracks by publisher sid."""

    def wants(self, track_sid: str) -> bool:
        """Whether the track is wanted, by wish or automatically."""
        wish = self._wishes.get(track_sid)
        if wish is None or wish.explicit is None:
            return self.automatic
        return wish.explicit

    def hears(self, publisher_sid: str) -> bool:
        """Whether any track of this participant is received."""
        return publisher_sid in self._publishers

    def told_refused(self, track_sid: str) -> bool:
        """Whether the participant knows that the publisher does not let it have the track."""
        return not self._rulings.get(track_sid, ("", True))[1]

    def settings_of(self, track_sid: str) -> SubscriptionSettings:
        """The settings last given, or the default ones."""
        wish = self._wishes.get(track_sid)
        if wish is None or wish.settings is None:
            return SubscriptionSettings(quality=self.default_quality)
        return wish.settings

    def request(self, track_sid: str, subscribe: bool, tracks: TrackSet) -> None:
        """The client subscribes to a track, or unsubscribes."""
        wish = self._wish(track_sid)
        if wish is None:
            return
        wish.explicit = subscribe
        track = tracks.find(track_sid)
        if track is not None:
            self.reconsider(track)
        elif subscribe and wish.deadline is None:
            wish.deadline = self.clock.call_later(NOT_FOUND_AFTER_S, self._not_found, track_sid)
        elif not subscribe:
            _disarm(wish)

    def set_settings(self, track_sid: str, settings: SubscriptionSettings) -> None:
        """The client says what it needs of a track, present or to come."""
        wish = self._wish(track_sid)
        if wish is None:
            return
        wish.settings = settings
        track = self.active.get(track_sid)
        if track is not None:
            reception = self._receptions.get(track_sid)
            if reception is not None:
                reception.want(settings)
            self.sink.settings_changed(track, settings)

    def codecs_accepted(self, track: PublishedTrack, takes: frozenset[CodecRole]) -> None:
        """The client can take a wanted track in these codecs; the choice goes to the sink."""
        reception = self._receptions.get(track.sid)
        role = CodecRole.PRIMARY if takes else None
        if reception is None:
            self.sink.codec_chosen(track, role)
        elif track.plan is None:
            reception.codec_chosen(role)
        else:
            track.plan.admit(reception, takes)

    def codec_flows(self, track_sid: str, role: CodecRole | None) -> None:
        """The engine sends a wanted track in this codec from now on."""
        reception = self._receptions.get(track_sid)
        if reception is not None:
            reception.flows(role)

    def reconsider(self, track: PublishedTrack) -> None:
        """Starts or stops a present track, as wishes and rules have it."""
        wish = self._wishes.get(track.sid)
        if wish is not None:
            _disarm(wish)
        ruling = self.rule(track)
        self._tell_ruling(track, ruling)
        wanted = ruling is Ruling.ALLOWED and self.wants(track.sid)
        if wanted and track.sid not in self.active:
            self.active[track.sid] = track
            self._count(track.publisher_sid, 1)
            if track.demand is not None:
                reception = Reception(track, self.sink)
                self._receptions[track.sid] = reception
                reception.want(self.settings_of(track.sid))
            self.sink.track_wanted(track, self.settings_of(track.sid))
        elif not wanted and track.sid in self.active:
            self._deactivate(track)

    def forget(self, track: PublishedTrack) -> None:
        """The track has gone, and with it everything that was said about it."""
        self._rulings.pop(track.sid, None)
        wish = self._wishes.pop(track.sid, None)
        if wish is not None:
            _disarm(wish)
        if track.sid in self.active:
            self._deactivate(track)

    def repeat_rulings(self) -> None:
        """Tells again what publishers allow: the client may have missed a change."""
        for track_sid, (publisher_sid, allowed) in self._rulings.items():
            self.sink.subscription_allowed(publisher_sid, track_sid, allowed)

    def close(self) -> None:
        """Ends every timer."""
        for wish in self._wishes.values():
            _disarm(wish)
        for reception in self._receptions.values():
            reception.close()
        self._wishes.clear()
        self.active.clear()
        self._receptions.clear()
        self._publishers.clear()
        self._rulings.clear()

    def _deactivate(self, track: PublishedTrack) -> None:
        del self.active[track.sid]
        self._count(track.publisher_sid, -1)
        reception = self._receptions.pop(track.sid, None)
        if reception is not None:
            reception.close()
        self.sink.track_unwanted(track)

    def _tell_ruling(self, track: PublishedTrack, ruling: Ruling) -> None:
        allowed = ruling is not Ruling.REFUSED_BY_PUBLISHER
        if allowed != self._rulings.get(track.sid, ("", True))[1]:
            self._rulings[track.sid] = (track.publisher_sid, allowed)
            self.sink.subscription_allowed(track.publisher_sid, track.sid, allowed)

    def _wish(self, track_sid: str) -> _Wish | None:
        wish = self._wishes.get(track_sid)
        if wish is None and len(self._wishes) < WISHES_MAX:
            wish = self._wishes[track_sid] = _Wish()
        return wish

    def _count(self, publisher_sid: str, step: int) -> None:
        before = self._publishers.get(publisher_sid, 0)
        if before + step:
            self._publishers[publisher_sid] = before + step
        else:
            self._publishers.pop(publisher_sid, None)
            self.on_none(publisher_sid)
        if not before:
            self.on_first(publisher_sid)

    def _not_found(self, track_sid: str) -> None:
        wish = self._wishes.get(track_sid)
        if wish is not None:
            wish.deadline = None
            self.sink.subscription_failed(track_sid, SubscriptionFailure.TRACK_NOT_FOUND)


def _disarm(wish: _Wish) -> None:
    if wish.deadline is not None:
        wish.deadline.cancel()
        wish.deadline = None
