"""The subscriber peer connection: the server offers, the client answers.

One offer at a time: changes while an answer is outstanding are gathered into the next offer. The
first offer goes out at once, with or without tracks, as clients wait for this connection.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial
from typing import Final

from livekit.protocol import rtc

from sfu.clock import Cancellable
from sfu.engine import TransportEvent
from sfu.track import PublishedTrack
from sfu.values import CodecRole, EndReason, SubscriptionFailure, SubscriptionSettings
from signalling.livekit import outbound
from signalling.livekit.context import Context
from signalling.livekit.outbound import LeaveAction
from signalling.media.connection import Connection
from signalling.media.sending import Sending
from signalling.sdp import SubscriberSections, parse

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
        self._state = NegotiationState.STABLE
        self._offer_id = 0
        self._timer: Cancellable | None = None
        self._connection = Connection(context.member, on_event)
        self._sections = SubscriberSections(
            self._connection.session_id,
            reuse_sections=not context.client.is_webkit,
            short_tags=context.client.chooses_short_tags,
        )
        self._sending = Sending(
            self._connection, self._sections, SubscriptionNotices(context), self._change
        )

    @property
    def transport_id(self) -> int | None:
        """None until the connection has been started."""
        return self._connection.transport_id

    def start(self) -> None:
        """Opens the transport, with data channels, and makes the first offer."""
        self._connection.open(open_data_channels=True)
        # Tracks may have been wanted before: with or without them, the first offer goes out now.
        self._state = NegotiationState.SCHEDULED
        self._schedule(FIRST_OFFER_DELAY_S)

    def apply_limit(self, limit_bps: int | None) -> None:
        """Bounds what is sent."""
        if self._connection.transport_id is not None:
            self._connection.limit(limit_bps)

    def close(self) -> None:
        """Closes the transport with everything on it."""
        self._state = NegotiationState.CLOSED
        self._disarm()
        self._sending.close()
        self._connection.close()

    # --- tracks ----------------------------------------------------------------------------

    def want(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Gives the track a section; sending starts when the client has answered."""
        if self._state is not NegotiationState.CLOSED:
            self._sending.want(track, settings)

    def unwant(self, track: PublishedTrack) -> None:
        """Stops sending, and takes the section away."""
        self._sending.unwant(track)

    def set_settings(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Sends a track with other settings, without negotiation."""
        self._sending.set_settings(track, settings)

    def choose_codec(self, track: PublishedTrack, role: CodecRole | None) -> None:
        """Sends a track in this codec, without negotiation."""
        self._sending.choose_codec(track, role)

    # --- negotiation -----------------------------------------------------------------------

    def receive_answer(self, sdp: str, answer_id: int) -> None:
        """Applies an answer; one without or to an older offer is ignored.

        Raises SdpError and EngineBusyError.
        """
        if self._state not in ON_ANSWER or answer_id not in (0, self._offer_id):
            return
        result = self._sections.accept(parse(sdp))
        self._disarm()
        self._connection.set_remote(result.remote)
        # What follows may call for the next offer.
        self._state = ON_ANSWER[self._state]
        if self._state is NegotiationState.SCHEDULED:
            self._schedule(FIRST_OFFER_DELAY_S)
        self._sending.agreed(result.accepted, result.rejected)

    def restart_ice(self) -> None:
        """Offers new credentials, for a client that has come back from another network."""
        if self.transport_id is None or self._state is NegotiationState.CLOSED:
            return
        self._disarm()
        self._sections.withdraw()
        self._connection.restart_ice()
        self._state = NegotiationState.STABLE
        self._change()

    def suspend(self) -> None:
        """The client cannot answer at the moment: nobody is to blame for a missing answer."""
        self._disarm()

    def _change(self) -> None:
        before, self._state = self._state, ON_CHANGE[self._state]
        if before is NegotiationState.STABLE and self.transport_id is not None:
            self._schedule(OFFER_DELAY_S if self._offer_id else FIRST_OFFER_DELAY_S)

    def _schedule(self, delay_s: float) -> None:
        self._disarm()
        self._timer = self._context.clock.call_later(delay_s, self._offer)

    def _offer(self) -> None:
        text = self._sections.offer(self._connection.local())
        self._offer_id += 1
        self._state = NegotiationState.OFFERED
        self._timer = self._context.clock.call_later(ANSWER_TIMEOUT_S, self._unanswered)
        self._context.offer(outbound.offer(text, self._offer_id, self._sections.mid_to_track()))

    def _unanswered(self) -> None:
        self._context.end(EndReason.MEDIA_FAILURE, LeaveAction.RECONNECT)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class SubscriptionNotices:
    """Implements `signalling.media.stream.Listener`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def subscription_failed(self, track_sid: str, failure: SubscriptionFailure) -> None:
        self._context.latest(
            ("refused", track_sid), partial(outbound.subscription_response, track_sid, failure)
        )

    def stream_paused(self, track: PublishedTrack, paused: bool) -> None:
        self._context.latest(
            ("paused", track.sid),
            partial(outbound.stream_state_update, track.publisher_sid, track.sid, paused),
        )

    def waits_for_section(self, track_sid: str, limit: int) -> None:
        self.subscription_failed(track_sid, SubscriptionFailure.UNKNOWN)
        text = f"{track_sid} waits until one of the {limit} tracks of this connection has gone"
        self._context.latest(
            ("waits", track_sid),
            partial(outbound.request_response, rtc.RequestResponse.LIMIT_EXCEEDED, text),
        )
