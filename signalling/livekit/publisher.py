"""The publisher peer connection: the client offers, the server answers.

Tracks are announced with `add_track` and begin with an offer. Whatever comes to nothing then is
told to the client: by a `request_response` that names the reason, and by `track_unpublished`.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from livekit.protocol import rtc

from sfu.clock import Cancellable
from sfu.engine import TransportEvent
from sfu.rights import DeniedError
from sfu.values import CodecRole, TrackKind
from signalling.livekit import outbound
from signalling.livekit.announcements import Announcements, RefusedError, kind_of, source_of
from signalling.livekit.context import Context
from signalling.media.answering import Answering
from signalling.media.connection import Connection
from signalling.media.receiving import Announcement, Receiving
from signalling.sdp import Answer, MediaSection, Refusal, SessionDescription, parse

UNPUBLISHED_AFTER_S: Final = 1.0
"""Clients know a track as published only some time after the answer, and ignore its end before."""

_REFUSALS: Final = {
    Refusal.NO_COMMON_CODEC: "none of the section's codecs is served",
    Refusal.NO_TRANSPORT: "the section is not in the BUNDLE group, or lacks rtcp-mux",
    Refusal.NOT_SERVED: "sections of this kind are not served",
}


class Publisher:
    """`on_event` is told of the transport's events, `on_open` once it exists."""

    def __init__(
        self,
        context: Context,
        on_event: Callable[[TransportEvent], None],
        on_open: Callable[[], None],
        near_transport: Callable[[], int | None],
    ) -> None:
        self._context = context
        self._announcements = Announcements()
        self._connection = Connection(context.member, on_event)
        self._receiving = Receiving(self._connection)
        self._answering = Answering(
            self._connection, self._receiving, on_open=on_open, near_transport=near_transport
        )
        self._endings: dict[str, Cancellable] = {}
        """Timers by the sid of a track that has come to nothing."""

    @property
    def transport_id(self) -> int | None:
        """None until the client has offered."""
        return self._connection.transport_id

    # --- announcing ------------------------------------------------------------------------

    def add_track(self, request: rtc.AddTrackRequest) -> None:
        """Accepts an announcement, at once, or refuses it with a `request_response`."""
        try:
            published = self._receiving.find(request.sid)
            if published is None:
                self._context.room.check_publish(
                    self._context.participant, kind_of(request), source_of(request)
                )
            announcement = self._announcements.add(
                request, self._receiving.cids, None if published is None else published.info
            )
        except (DeniedError, RefusedError) as refusal:
            self._context.send(
                outbound.request_response(refusal.reason, str(refusal), add_track=request)
            )
            return
        self._context.send(outbound.track_published(announcement.cid, announcement.info))

    def set_muted(self, sid: str, muted: bool) -> bool:
        """Mutes a track, published or to come. Returns False if there is none."""
        context = self._context
        return self._announcements.set_muted(sid, muted) or context.room.set_muted(
            context.participant, sid, muted
        )

    def knows(self, sid: str) -> bool:
        """Whether a track with this sid is published."""
        return self._receiving.find(sid) is not None

    # --- negotiating -----------------------------------------------------------------------

    def receive_offer(self, sdp: str, offer_id: int) -> None:
        """Answers an offer and makes what it says true. Raises SdpError and EngineBusyError."""
        offer = parse(sdp)
        self._receiving.end_stopped(offer, self._announcements.announced)
        announcements = self._claim(offer)
        answer = self._answering.answer(
            offer, announcements, lambda answer: self._deliver(answer, offer_id)
        )
        received = {section.mid for section in answer.sections}
        for mid, announcement in announcements.items():
            if mid not in received:
                self._came_to_nothing(
                    announcement,
                    rtc.RequestResponse.UNSUPPORTED_TYPE,
                    _refused(offer.section(mid), answer.refused.get(mid)),
                )

    def close(self) -> None:
        """Closes the transport with everything on it."""
        for timer in self._endings.values():
            timer.cancel()
        self._endings.clear()
        self._answering.close()

    def track_ended(self, sid: str) -> None:
        """The room has ended one of the tracks."""
        self._announcements.forget(sid)
        self._receiving.track_ended(sid)
        while (queued := self._announcements.next_queued(self._receiving.cids)) is not None:
            self.add_track(queued)

    def _claim(self, offer: SessionDescription) -> dict[str, Announcement]:
        """What was announced of the sections that are new."""
        new = self._receiving.new_sections(offer)
        found = self._announcements.take([(_kind(section), section.track_id) for section in new])
        claims: dict[str, Announcement] = {}
        for section, announcement in zip(new, found, strict=True):
            if announcement is not None and self._allows(announcement, claims.values()):
                claims[section.mid] = announcement
        return claims

    def _allows(self, announcement: Announcement, others: Iterable[Announcement]) -> bool:
        """Asks once more: rights and numbers may have changed since it was announced."""
        if announcement.role is not CodecRole.PRIMARY:
            return True
        info = announcement.info
        coming = [other.info for other in others if other.role is CodecRole.PRIMARY]
        try:
            self._context.room.check_publish(
                self._context.participant, info.kind, info.source, coming
            )
        except DeniedError as denied:
            self._came_to_nothing(announcement, denied.reason, denied.text)
            return False
        return True

    def _deliver(self, answer: Answer, offer_id: int) -> None:
        self._context.send(outbound.answer(answer.text, offer_id, self._answering.mid_to_track))

    def _came_to_nothing(self, announcement: Announcement, reason: int, message: str) -> None:
        context = self._context
        request = rtc.AddTrackRequest(cid=announcement.cid, name=announcement.info.name)
        context.send(outbound.request_response(reason, message, add_track=request))
        sid = announcement.info.sid
        if announcement.role is CodecRole.BACKUP:
            track = self._receiving.find(sid)
            if track is not None:
                context.room.drop_backup(context.participant, track)
            return
        self._endings[sid] = context.clock.call_later(
            UNPUBLISHED_AFTER_S, partial(self._tell_ended, sid)
        )

    def _tell_ended(self, sid: str) -> None:
        del self._endings[sid]
        self._context.send(outbound.track_unpublished(sid))


def _kind(section: MediaSection) -> TrackKind:
    return TrackKind.AUDIO if section.kind == "audio" else TrackKind.VIDEO


def _refused(section: MediaSection | None, refusal: Refusal | None) -> str:
    """Why nothing is received of a section, with what it offers."""
    codecs = [] if section is None else dict.fromkeys(codec.name for codec in section.codecs)
    reason = _REFUSALS.get(refusal, "the section cannot be received") if refusal else ""
    return f"{reason}; offered: {', '.join(list(codecs)[:8])}"
