"""The subscriber peer connection: the server offers, the client answers.

One offer at a time: changes while an answer is outstanding are gathered into the next offer. The
first offer goes out at once, with or without tracks, as clients wait for this connection.
"""

import secrets
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final

from sfu import _core
from sfu.clock import Cancellable
from sfu.engine import TransportEvent
from sfu.node import MediaOwner
from sfu.track import PublishedTrack
from sfu.values import CodecRole, EndReason, SubscriptionFailure, SubscriptionSettings, TrackKind
from signalling.livekit import outbound
from signalling.livekit.context import Context, local_transport
from signalling.livekit.outbound import LeaveAction
from signalling.livekit.stream import Stream, track_formats
from signalling.sdp import (
    OfferedTrack,
    RemoteTransport,
    SdpError,
    SubscriberSections,
    parse,
)

FIRST_OFFER_DELAY_S: Final = 0.01
OFFER_DELAY_S: Final = 0.15
"""Changes within this time go into one offer."""
ANSWER_TIMEOUT_S: Final = 15.0


class NegotiationState(Enum):
    """The connection is in one of these states."""

    STABLE = auto()
    SCHEDULED = auto()
    """An offer will be made after a short delay."""
    OFFERED = auto()
    """The answer is outstanding."""
    OFFERED_AGAIN = auto()
    """The answer is outstanding, and something has changed since the offer."""
    CLOSED = auto()


_S = NegotiationState
ON_CHANGE: Final[Mapping[NegotiationState, NegotiationState]] = {
    _S.STABLE: _S.SCHEDULED,
    _S.SCHEDULED: _S.SCHEDULED,
    _S.OFFERED: _S.OFFERED_AGAIN,
    _S.OFFERED_AGAIN: _S.OFFERED_AGAIN,
    _S.CLOSED: _S.CLOSED,
}
ON_ANSWER: Final[Mapping[NegotiationState, NegotiationState]] = {
    _S.OFFERED: _S.STABLE,
    _S.OFFERED_AGAIN: _S.SCHEDULED,
}
"""In every other state an answer is a mistake, and ignored."""


class Subscriber:
    """`on_event` is told of the transport's events."""

    def __init__(self, context: Context, on_event: Callable[[TransportEvent], None]) -> None:
        self._context = context
        self._on_event = on_event
        self._streams: dict[str, Stream] = {}
        self._state = NegotiationState.STABLE
        self._info: _core.TransportInfo | None = None
        self._remote: RemoteTransport | None = None
        self._offer_id = 0
        self._timer: Cancellable | None = None
        self._limit_bps: int | None = None
        self._sections = SubscriberSections(
            secrets.randbits(62),
            reuse_sections=not context.client.is_webkit,
            short_tags=context.client.chooses_short_tags,
        )

    @property
    def transport_id(self) -> int | None:
        """None until the connection has been started."""
        return None if self._info is None else self._info.transport_id

    def start(self) -> None:
        """Opens the transport, with data channels, and makes the first offer."""
        context = self._context
        info = context.engine.ask(context.engine.core.open_transport, open_data_channels=True)
        self._info = info
        context.engine.watch_transport(info.transport_id, self._on_event)
        context.node.own_transport(info.transport_id, MediaOwner(context.room, context.participant))
        # Tracks may have been wanted before: with or without them, the first offer goes out now.
        self._state = NegotiationState.SCHEDULED
        self._schedule(FIRST_OFFER_DELAY_S)

    def apply_limit(self, limit_bps: int | None) -> None:
        """Bounds what is sent."""
        context = self._context
        if self._info is not None and limit_bps != self._limit_bps:
            self._limit_bps = limit_bps
            engine = context.engine
            engine.order(engine.core.limit_bitrate, self._info.transport_id, limit_bps)

    def close(self) -> None:
        """Closes the transport with everything on it."""
        self._state = NegotiationState.CLOSED
        self._disarm()
        for stream in self._streams.values():
            stream.forget()
        self._streams.clear()
        if self._info is not None:
            self._context.node.disown_transport(self._info.transport_id)
            self._context.engine.close_transport(self._info.transport_id)

    # --- tracks ----------------------------------------------------------------------------

    def want(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Gives the track a section; sending starts when the client has answered."""
        if self._state is NegotiationState.CLOSED:
            return
        try:
            self._sections.add(self._offered(track))
        except SdpError:
            self._refuse(track.sid, SubscriptionFailure.CODEC_UNSUPPORTED)
            return
        self._streams[track.sid] = Stream(self._context, track, settings)
        self._change()

    def unwant(self, track: PublishedTrack) -> None:
        """Stops sending, and takes the section away."""
        stream = self._streams.pop(track.sid, None)
        if stream is None:
            return
        stream.end()
        if self._sections.remove(track.sid):
            self._change()

    def set_settings(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Sends a track with other settings, without negotiation."""
        stream = self._streams.get(track.sid)
        if stream is not None:
            stream.settings = settings
            stream.update()

    def choose_codec(self, track: PublishedTrack, role: CodecRole | None) -> None:
        """Sends a track in this codec, without negotiation."""
        stream = self._streams.get(track.sid)
        if stream is not None:
            stream.choose(role)

    # --- negotiation -----------------------------------------------------------------------

    def receive_answer(self, sdp: str, answer_id: int) -> None:
        """Applies an answer; one without or to an older offer is ignored. Raises SdpError."""
        if self._state not in ON_ANSWER or answer_id not in (0, self._offer_id):
            return
        result = self._sections.accept(parse(sdp))
        self._disarm()
        self._set_remote(result.remote)
        for section in result.accepted:
            stream = self._streams.get(section.track.track_sid)
            if stream is not None and self._info is not None:
                stream.accept(section, self._info.transport_id)
        for offered in result.rejected:
            stream = self._streams.pop(offered.track_sid, None)
            if stream is not None:
                stream.end()
                stream.refuse(SubscriptionFailure.CODEC_UNSUPPORTED)
                subscriptions = self._context.participant.subscriptions
                subscriptions.codecs_accepted(stream.track, frozenset())
        self._state = ON_ANSWER[self._state]
        if self._state is NegotiationState.SCHEDULED:
            self._schedule(FIRST_OFFER_DELAY_S)

    def restart_ice(self) -> None:
        """Offers new credentials, for a client that has come back from another network."""
        if self._info is None or self._state is NegotiationState.CLOSED:
            return
        self._disarm()
        self._sections.withdraw()
        engine = self._context.engine
        self._info = engine.ask(engine.core.restart_ice, self._info.transport_id)
        self._state = NegotiationState.STABLE
        self._change()

    def suspend(self) -> None:
        """The client cannot answer at the moment: nobody is to blame for a missing answer."""
        self._disarm()

    def _change(self) -> None:
        before, self._state = self._state, ON_CHANGE[self._state]
        if before is NegotiationState.STABLE and self._info is not None:
            self._schedule(OFFER_DELAY_S if self._offer_id else FIRST_OFFER_DELAY_S)

    def _schedule(self, delay_s: float) -> None:
        self._disarm()
        self._timer = self._context.clock.call_later(delay_s, self._offer)

    def _offer(self) -> None:
        info = self._info
        if info is None:
            return  # not reached: offers are scheduled after the start
        local = local_transport(
            self._context.engine, info.ice_ufrag, info.ice_password, info.candidates
        )
        text = self._sections.offer(local)
        self._offer_id += 1
        self._state = NegotiationState.OFFERED
        self._timer = self._context.clock.call_later(ANSWER_TIMEOUT_S, self._unanswered)
        self._context.offer(outbound.offer(text, self._offer_id, self._sections.mid_to_track()))

    def _unanswered(self) -> None:
        self._context.end(EndReason.MEDIA_FAILURE, LeaveAction.RECONNECT)

    def _set_remote(self, remote: RemoteTransport) -> None:
        if remote == self._remote or self._info is None:
            return
        self._remote = remote
        self._context.engine.order(
            self._context.engine.core.set_remote,
            self._info.transport_id,
            ice_ufrag=remote.ice_ufrag,
            ice_password=remote.ice_password,
            fingerprint_sha256=remote.fingerprint_sha256,
            dtls_role=remote.dtls_role,
        )

    def _offered(self, track: PublishedTrack) -> OfferedTrack:
        core, video = self._context.engine.core, track.info.kind is TrackKind.VIDEO
        return OfferedTrack(
            track_sid=track.sid,
            stream_id=f"{track.publisher_sid}|{track.sid}",
            kind="video" if video else "audio",
            formats=tuple(item for role in CodecRole for item in track_formats(track, role)),
            ssrc=core.draw_ssrc(),
            rtx_ssrc=core.draw_ssrc() if video else None,
            cname=track.publisher_sid,
            stereo=track.info.stereo,
        )

    def _refuse(self, track_sid: str, failure: SubscriptionFailure) -> None:
        self._context.latest(
            ("refused", track_sid), lambda: outbound.subscription_response(track_sid, failure)
        )

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
