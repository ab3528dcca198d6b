"""A wanted track on its way to one client: its subscription in the engine.

It begins when the client has accepted a section for the track and the codec chosen for it is there.
When another codec is chosen the subscription goes on with that, in the same section.
"""

from dataclasses import dataclass
from typing import Protocol, TypedDict

from sfu import _core
from sfu.track import PublishedTrack, Rendition
from sfu.values import CodecRole, SubscriptionFailure, SubscriptionSettings
from signalling.media.connection import Member
from signalling.sdp import AcceptedSection, Format, formats_of


class _EngineSettings(TypedDict):
    paused: bool
    max_layer: int
    max_temporal_layer: int
    priority: int


class Listener(Protocol):
    """Who tells a client of what it is sent. Each of these replaces the last one of its track."""

    def subscription_failed(self, track_sid: str, failure: SubscriptionFailure) -> None:
        """A wanted track cannot be had."""

    def stream_paused(self, track: PublishedTrack, paused: bool) -> None:
        """A track is not sent because it does not fit the bandwidth, or is sent again."""

    def waits_for_section(self, track_sid: str, limit: int) -> None:
        """A wanted track comes as soon as another one goes: the connection holds `limit`."""


@dataclass(slots=True, eq=False)
class Stream:
    """Of one track in one session."""

    member: Member
    listener: Listener
    track: PublishedTrack
    settings: SubscriptionSettings
    _section: AcceptedSection | None = None
    """Kept until the subscription has begun, or as long as the codec may change."""
    _transport_id: int = 0
    _role: CodecRole | None = CodecRole.PRIMARY
    _subscription_id: int | None = None
    _engine_track_id: int | None = None
    """What the engine was told to send."""

    def accept(self, section: AcceptedSection, transport_id: int) -> None:
        """The client has answered; it may have done so before."""
        settled = self._section is None or self._section.codecs == section.codecs
        if self._subscription_id is not None and settled:
            return
        self._section, self._transport_id = section, transport_id
        takes = frozenset(role for role in CodecRole if self._formats(role) & section.codecs.keys())
        self.member.participant.subscriptions.codecs_accepted(self.track, takes)
        if self.track.plan is None:
            self._section = None

    def choose(self, role: CodecRole | None) -> None:
        """Sends the track in this codec as soon as both it and the client's answer are there."""
        refused = role is None and self._role is not None
        was_refused, self._role = self._role is None, role
        if refused:
            self.refuse(SubscriptionFailure.CODEC_UNSUPPORTED)
        if role is None or was_refused:
            self.update()
        if role is None or self._section is None:
            return
        rendition = self.track.renditions.get(role)
        if rendition is None or rendition.engine_track_id == self._engine_track_id:
            return
        if self._subscription_id is None:
            self._subscribe(rendition, self._section)
            self.member.participant.subscriptions.codec_flows(self.track.sid, role)
        else:
            self._engine_track_id = rendition.engine_track_id
            self.member.engine.order(
                self.member.engine.core.change_track,
                self._subscription_id,
                rendition.engine_track_id,
                codecs=_codecs(rendition, self._section),
                **self._engine_settings(),
            )

    def update(self) -> None:
        """Sends the track with the settings that it has now, without negotiation."""
        if self._subscription_id is not None:
            engine = self.member.engine
            engine.order(
                engine.core.update_subscription, self._subscription_id, **self._engine_settings()
            )

    def end(self) -> None:
        """Stops sending."""
        if self._subscription_id is not None:
            self.member.engine.unsubscribe(self._subscription_id)

    def forget(self) -> None:
        """Its transport ends, and the subscription with it."""
        if self._subscription_id is not None:
            self.member.engine.forget_subscription(self._subscription_id)

    def refuse(self, failure: SubscriptionFailure) -> None:
        """Tells the client that it cannot have the track."""
        self.listener.subscription_failed(self.track.sid, failure)

    def _subscribe(self, rendition: Rendition, section: AcceptedSection) -> None:
        member, track = self.member, self.track
        self._engine_track_id = rendition.engine_track_id
        subscription_id = member.engine.ask(
            member.engine.core.subscribe,
            self._transport_id,
            rendition.engine_track_id,
            kind=section.track.kind,
            ssrc=section.track.ssrc,
            rtx_ssrc=section.track.rtx_ssrc,
            codecs=_codecs(rendition, section),
            extensions=section.extensions,
            cname=section.track.cname,
            **self._engine_settings(),
        )
        self._subscription_id = subscription_id
        member.engine.watch_stream_state(subscription_id, self._tell_state)
        if track.plan is not None:
            member.engine.watch_track_changes(subscription_id, self._track_changed)
        member.room.track_bound(track, member.participant)

    def _engine_settings(self) -> _EngineSettings:
        track, settings = self.track, self.settings
        sent = CodecRole.PRIMARY
        if self._engine_track_id is not None:
            sent = track.role_of(self._engine_track_id) or sent
        return {
            "paused": settings.disabled or self._role is None,
            "max_layer": track.engine_layer(settings, sent),
            "max_temporal_layer": track.engine_temporal_layer(settings),
            "priority": track.engine_priority(settings),
        }

    def _formats(self, role: CodecRole) -> frozenset[Format]:
        return frozenset(track_formats(self.track, role))

    def _tell_state(self, paused: bool) -> None:
        self.listener.stream_paused(self.track, paused)

    def _track_changed(self, engine_track_id: int) -> None:
        role = self.track.role_of(engine_track_id)
        self.member.participant.subscriptions.codec_flows(self.track.sid, role)


def track_formats(track: PublishedTrack, role: CodecRole) -> tuple[Format, ...]:
    """What the track may come in: as negotiated, or as announced if it is not there yet."""
    rendition = track.renditions.get(role)
    if rendition is not None:
        return tuple(Format(payload.format) for payload in rendition.payloads)
    codecs = track.info.codecs
    return formats_of(codecs[role].mime_type) if role < len(codecs) else ()


def _codecs(rendition: Rendition, section: AcceptedSection) -> list[tuple[int, _core.CodecSpec]]:
    """What each of the publisher's payload types leaves as."""
    codecs = []
    for payload in rendition.payloads:
        leaves_as = section.codecs.get(Format(payload.format))
        if leaves_as is not None:
            spec = _core.CodecSpec(
                leaves_as.payload_type,
                leaves_as.codec,
                leaves_as.clock_rate_hz,
                leaves_as.rtx_payload_type,
            )
            codecs.append((payload.payload_type, spec))
    return codecs
