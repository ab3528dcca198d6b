"""What the node needs from outside: somebody who tells a client.

A `SessionSink` is one participant's session; it translates into a wire protocol. Its methods never
fail and never block: what is told waits in an outbox, and a client that does not keep up, or an
engine that is too busy, ends that session later and from the loop. The room sees to it that a sink
that fails all the same harms nobody else (`sfu.fanout`).
"""

from typing import Protocol

from sfu.demand import Demands
from sfu.notices import ParticipantsChanged, QualityChanged, RoomChanged, SpeakersChanged
from sfu.track import PublishedTrack
from sfu.values import CodecRole, EndReason, SubscriptionFailure, SubscriptionSettings


class SessionSink(Protocol):
    """How a room reaches one of its participants."""

    def participants_changed(self, notice: ParticipantsChanged) -> None: ...

    def room_changed(self, notice: RoomChanged) -> None: ...

    def speakers_changed(self, notice: SpeakersChanged) -> None: ...

    def quality_changed(self, notice: QualityChanged) -> None: ...

    def track_wanted(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Start to send this track to the participant."""

    def track_unwanted(self, track: PublishedTrack) -> None:
        """Stop to send this track; it may have ended."""

    def codec_chosen(self, track: PublishedTrack, role: CodecRole | None) -> None:
        """Send a wanted track in this codec as soon as it is there; None: in none."""

    def settings_changed(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Send a wanted track with other settings."""

    def subscription_failed(self, track_sid: str, failure: SubscriptionFailure) -> None: ...

    def subscription_allowed(self, publisher_sid: str, track_sid: str, allowed: bool) -> None:
        """A publisher's rules about this participant have changed."""

    def own_track_subscribed(self, track_sid: str) -> None:
        """Somebody receives the participant's track for the first time."""

    def own_track_demanded(self, track: PublishedTrack, demands: Demands) -> None:
        """What anybody wants of the participant's track."""

    def own_track_ended(self, track_sid: str) -> None:
        """The participant's track has been ended."""

    def own_track_muted(self, track_sid: str, muted: bool) -> None:
        """The server mutes the participant's track."""

    def credentials_changed(self) -> None:
        """Name, metadata, attributes or rights have changed: the client's token is out of date."""

    def ended(self, reason: EndReason) -> None:
        """The participant has been removed from its room."""
