"""Which tracks go out on a peer connection whose client offers.

The client makes the sections in which it receives; a track waits until there is one for it, and
`missing` tells how many more are needed.
"""

from collections import Counter
from dataclasses import dataclass

from signalling.codecs import Kind
from signalling.sdp import codecs as known
from signalling.sdp.answer import Answer
from signalling.sdp.codecs import Format
from signalling.sdp.errors import SdpError
from signalling.sdp.model import SessionDescription
from signalling.sdp.offer import TRACKS_MAX
from signalling.sdp.outgoing import OfferedTrack, SectionsFullError, carried_as
from signalling.sdp.transport import bundled_sections


@dataclass(frozen=True, slots=True)
class _Place:
    """A section in which the client receives; `sends` if it may be for its own track as well."""

    mid: str
    kind: str
    takes: frozenset[Format]
    sends: bool

    def fits(self, track: OfferedTrack) -> bool:
        return self.kind == track.kind and bool(self.takes.intersection(carried_as(track.formats)))


class AnswerSections:
    """The places of tracks by mid.

    `reuse_sections` is off for clients that mishandle another track in the same section (WebKit).
    Their sections are given up instead (`retired`): at port 0 in the answer the client stops the
    transceiver, and puts another section into its place.
    """

    def __init__(self, *, reuse_sections: bool = True) -> None:
        self._reuse = reuse_sections
        self._tracks: dict[str, OfferedTrack] = {}
        self._mids: dict[str, str] = {}
        """By track sid."""
        self._places: dict[str, _Place] = {}
        """Of the last offer, by mid."""
        self._spent: set[str] = set()
        """Mids of sections that had a track, where that means no other may follow."""

    def add(self, track: OfferedTrack) -> None:
        """Lets a track wait for a section.

        Raises SdpError if it is there already, and SectionsFullError if no description could hold
        a section for it.
        """
        if track.track_sid in self._tracks:
            raise SdpError("track is offered already", got=track.track_sid)
        if len(self._tracks) >= TRACKS_MAX:
            raise SectionsFullError(TRACKS_MAX)
        self._tracks[track.track_sid] = track

    def remove(self, track_sid: str) -> bool:
        """Takes a track away from its section; False if it is not there."""
        mid = self._mids.pop(track_sid, None)
        if mid is not None and not self._reuse:
            self._spent.add(mid)
        return self._tracks.pop(track_sid, None) is not None

    def mid_to_track(self) -> dict[str, str]:
        """Track sid by mid."""
        return {mid: sid for sid, mid in self._mids.items()}

    def missing(self) -> dict[Kind, int]:
        """How many sections of each kind the next offer needs besides those of the last one."""
        placed = self._placed()
        counts = Counter[Kind](
            track.kind for sid, track in self._tracks.items() if sid not in placed
        )
        return {"audio": counts["audio"], "video": counts["video"]}

    @property
    def retired(self) -> frozenset[str]:
        """Mids of sections that the answer to the last offer has to give up."""
        # One in which the client sends as well goes on.
        return frozenset(mid for mid in self._spent if not self._places[mid].sends)

    def match(self, offer: SessionDescription) -> dict[str, OfferedTrack]:
        """Gives tracks the sections of an offer: what the answer to it sends, by mid."""
        self._places = _places(offer)
        self._spent &= self._places.keys()
        self._mids = self._placed()
        return {mid: self._tracks[sid] for sid, mid in self._mids.items()}

    def settle(self, answer: Answer) -> tuple[OfferedTrack, ...]:
        """Takes note of the answer to the last offer.

        Returns, and forgets, tracks that the client cannot receive: it has offered a section of
        their kind, and none of their codecs in any.
        """
        sent = {section.mid for section in answer.sending}
        self._mids = {sid: mid for sid, mid in self._mids.items() if mid in sent}
        takes: dict[str, set[Format]] = {}
        for place in self._places.values():
            takes.setdefault(place.kind, set()).update(place.takes)
        refused = tuple(
            track
            for sid, track in self._tracks.items()
            if sid not in self._mids
            and track.kind in takes
            and not takes[track.kind].intersection(carried_as(track.formats))
        )
        for track in refused:
            self.remove(track.track_sid)
        return refused

    def _placed(self) -> dict[str, str]:
        """Where the tracks are, or would be after an offer like the last one: mids by sid."""
        placed = {
            sid: mid
            for sid, mid in self._mids.items()
            if mid in self._places and self._places[mid].fits(self._tracks[sid])
        }
        used = {*placed.values(), *self._spent}
        free = [place for place in self._places.values() if place.mid not in used]
        free.sort(key=lambda place: place.sends)
        for sid, track in self._tracks.items():
            found = None if sid in placed else next((it for it in free if it.fits(track)), None)
            if found is not None:
                placed[sid] = found.mid
                free.remove(found)
        return placed


def _places(offer: SessionDescription) -> dict[str, _Place]:
    places = {}
    for section, served in zip(offer.media, bundled_sections(offer), strict=True):
        usable = served and section.mid and section.rtcp_mux and not section.rejected
        if usable and section.kind in ("audio", "video") and section.direction.receives:
            formats = (known.match(section.kind, codec) for codec in section.codecs)
            places[section.mid] = _Place(
                section.mid,
                section.kind,
                frozenset(item for item in formats if item is not None),
                section.direction.sends,
            )
    return places
