"""Tracks on their way to a client: which of them wait, and for what."""

from sfu.node import Node
from sfu.participant import JoinOptions
from sfu.room import Room
from sfu.track import PublishedTrack, Rendition, TrackCodec, TrackInfo, TrackPayload
from sfu.values import (
    Admission,
    CodecRole,
    SubscriptionFailure,
    SubscriptionSettings,
    TrackKind,
    TrackSource,
)
from signalling.media.connection import Connection, Member
from signalling.media.sending import Sending
from signalling.sdp import SubscriberSections, parse
from tests.signalling.sdp.peer import answer_as_browser
from tests.support.node import RecordingSink

SETTINGS = SubscriptionSettings()
TRACKS_MAX = 255


class Client(RecordingSink):
    """Answers the server's offers; what it is told of its subscriptions is remembered."""

    def __init__(self, node: Node, room: Room, *, reuse_sections: bool = True) -> None:
        super().__init__()
        participant = room.join(Admission("ada", room.name), JoinOptions(), self)
        self.connection = Connection(Member(node, room, participant), lambda event: None)
        self.connection.open()
        self.sections = SubscriberSections(1, reuse_sections=reuse_sections)
        self.sending = Sending(self.connection, self.sections, self, self._change)
        self.waiting: list[tuple[str, int]] = []
        self.has: set[str] = set()
        self.changed = False
        self.largest = 0

    def exchange(self) -> None:
        """Offers and answers until nothing calls for more."""
        for _ in range(5):
            if not self.changed:
                return
            self.changed = False
            offer = self.sections.offer(self.connection.local())
            self.largest = max(self.largest, len(parse(offer).media))
            result = self.sections.accept(parse(answer_as_browser(offer)))
            self.has |= {section.track.track_sid for section in result.accepted}
            self.sending.agreed(result.accepted, result.rejected)
        raise AssertionError("offers follow each other for ever")

    def codec_chosen(self, track: PublishedTrack, role: CodecRole | None) -> None:
        self.sending.choose_codec(track, role)

    def stream_paused(self, track: PublishedTrack, paused: bool) -> None:
        raise AssertionError("nothing is sent here")

    def waits_for_section(self, track_sid: str, limit: int) -> None:
        self.waiting.append((track_sid, limit))

    def _change(self) -> None:
        self.changed = True


def tracks(count: int, kind: TrackKind = TrackKind.VIDEO) -> list[PublishedTrack]:
    video = kind is TrackKind.VIDEO
    mime, payload = (
        ("video/VP8", TrackPayload(96, "vp8", 90_000))
        if video
        else ("audio/opus", TrackPayload(111, "opus", 48_000))
    )
    return [
        PublishedTrack(
            TrackInfo(f"TR_{mime}{n}", kind, TrackSource.UNKNOWN, codecs=(TrackCodec(mime),)),
            f"PA_{n}",
            f"speaker {n}",
            {CodecRole.PRIMARY: Rendition(1_000_000 + n, (payload,))},
        )
        for n in range(count)
    ]


async def test_in_a_crowd_the_last_come_when_others_have_gone(node: Node, room: Room) -> None:
    for reuse_sections in (True, False):
        client = Client(node, room, reuse_sections=reuse_sections)
        crowd = tracks(TRACKS_MAX + 45)
        for track in crowd:
            client.sending.want(track, SETTINGS)
        client.exchange()

        late = [track.sid for track in crowd[TRACKS_MAX:]]
        assert client.waiting == [(sid, TRACKS_MAX) for sid in late], "told for what they wait"
        assert client.failed == [], "the codec is not to blame"
        assert client.has == {track.sid for track in crowd[:TRACKS_MAX]}

        client.sending.unwant(crowd[-1])
        for track in crowd[:50]:
            client.sending.unwant(track)
        client.exchange()

        assert client.has >= set(late[:-1])
        assert late[-1] not in client.has, "it is not wanted any more"
        assert client.largest == TRACKS_MAX + 1


async def test_pictures_come_where_voices_have_gone(node: Node, room: Room) -> None:
    client = Client(node, room)
    voices = tracks(TRACKS_MAX, TrackKind.AUDIO)
    for track in voices:
        client.sending.want(track, SETTINGS)
    client.exchange()
    for track in voices[:20]:
        client.sending.unwant(track)
    client.exchange()

    pictures = tracks(20)
    for track in pictures:
        client.sending.want(track, SETTINGS)
    client.exchange()

    assert client.has >= {track.sid for track in pictures}
    assert client.waiting == [], "nobody has to be told: they come at once"


async def test_a_camera_that_goes_on_and_off_takes_no_more_room_with_webkit(
    node: Node, room: Room
) -> None:
    client = Client(node, room, reuse_sections=False)
    for track in tracks(324):
        client.sending.want(track, SETTINGS)
        client.exchange()
        assert track.sid in client.has
        client.sending.unwant(track)
        client.exchange()
    assert client.largest == 2
    assert (client.failed, client.waiting) == ([], [])


async def test_a_track_that_no_codec_serves_is_refused_for_that(node: Node, room: Room) -> None:
    client = Client(node, room)
    (track,) = tracks(1)
    track.renditions[CodecRole.PRIMARY] = Rendition(1, ())
    client.sending.want(track, SETTINGS)
    assert client.failed == [(track.sid, SubscriptionFailure.CODEC_UNSUPPORTED)]
    assert not client.changed
