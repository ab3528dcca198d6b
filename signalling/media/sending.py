"""The tracks that a client gets on one connection.

A wanted track needs a section; where sections come from depends on who offers (`Sections`). If the
description is full the track waits for another one to go. Sending starts when both sides have
agreed on the section.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from sfu.track import PublishedTrack
from sfu.values import CodecRole, SubscriptionFailure, SubscriptionSettings, TrackKind
from signalling.media.connection import Connection
from signalling.media.stream import Listener, Stream, track_formats
from signalling.sdp import AcceptedSection, OfferedTrack, SdpError, SectionsFullError


class Sections(Protocol):
    """Where tracks get their sections."""

    def add(self, track: OfferedTrack) -> object:
        """Raises SdpError if there cannot be one, SectionsFullError if there is none now."""

    def remove(self, track_sid: str) -> bool:
        """Returns False if the track has none."""


class Sending:
    """What goes out on `connection`. `on_change` calls for an exchange of descriptions."""

    def __init__(
        self,
        connection: Connection,
        sections: Sections,
        listener: Listener,
        on_change: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._member = connection.member
        self._sections = sections
        self._listener = listener
        self._on_change = on_change
        self._streams: dict[str, Stream] = {}
        self._waiting: dict[str, Stream] = {}
        """For a section, in the order in which they were wanted."""

    def want(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Gives the track a section; sending starts when the client agrees."""
        stream = Stream(self._member, self._listener, track, settings)
        try:
            changed = self._place(stream)
        except SectionsFullError as full:
            changed = full.soon
            if not full.soon:
                self._listener.waits_for_section(track.sid, full.limit)
        if changed:
            self._on_change()

    def unwant(self, track: PublishedTrack) -> None:
        """Stops sending, and takes the section away."""
        self._waiting.pop(track.sid, None)
        stream = self._streams.pop(track.sid, None)
        if stream is None:
            return
        stream.end()
        if self._sections.remove(track.sid):
            self._on_change()

    def set_settings(self, track: PublishedTrack, settings: SubscriptionSettings) -> None:
        """Sends a track with other settings, without negotiation."""
        stream = self._find(track)
        if stream is not None:
            stream.settings = settings
            stream.update()

    def choose_codec(self, track: PublishedTrack, role: CodecRole | None) -> None:
        """Sends a track in this codec, without negotiation."""
        stream = self._find(track)
        if stream is not None:
            stream.choose(role)

    def agreed(self, accepted: Iterable[AcceptedSection], rejected: Iterable[OfferedTrack]) -> None:
        """Descriptions have been exchanged: these sections may be sent on, those tracks not."""
        for section in accepted:
            stream = self._streams.get(section.track.track_sid)
            if stream is not None:
                stream.accept(section, self._connection.opened_id)
        for offered in rejected:
            stream = self._streams.pop(offered.track_sid, None)
            if stream is not None:
                stream.end()
                stream.refuse(SubscriptionFailure.CODEC_UNSUPPORTED)
                subscriptions = self._member.participant.subscriptions
                subscriptions.codecs_accepted(stream.track, frozenset())
        self._place_waiting()

    def close(self) -> None:
        """The connection is about to be closed, and everything on it."""
        for stream in self._streams.values():
            stream.forget()
        self._streams.clear()
        self._waiting.clear()

    def _find(self, track: PublishedTrack) -> Stream | None:
        return self._streams.get(track.sid) or self._waiting.get(track.sid)

    def _place(self, stream: Stream) -> bool:
        """Gives a stream a section, or lets it wait and raises SectionsFullError.

        Returns False if there cannot be one.
        """
        track = stream.track
        try:
            self._sections.add(self._offered(track))
        except SectionsFullError:
            self._waiting[track.sid] = stream
            raise
        except SdpError:
            stream.refuse(SubscriptionFailure.CODEC_UNSUPPORTED)
            return False
        self._streams[track.sid] = stream
        return True

    def _place_waiting(self) -> None:
        changed = False
        for sid, stream in list(self._waiting.items()):
            try:
                changed |= self._place(stream)
            except SectionsFullError as full:
                changed |= full.soon
                # Sections of this kind may be used up, and those of the other one not.
                if not full.soon:
                    break
            else:
                del self._waiting[sid]
        if changed:
            self._on_change()

    def _offered(self, track: PublishedTrack) -> OfferedTrack:
        core, video = self._member.engine.core, track.info.kind is TrackKind.VIDEO
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
