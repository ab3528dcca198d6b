"""An independent stack accepts what this package writes: aiortc, with a parser of its own."""

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from signalling.sdp import (
    AnswerPolicy,
    Format,
    LocalTransport,
    NegotiatedCodec,
    OfferedTrack,
    SectionPolicy,
    SubscriberSections,
    make_answer,
    parse,
)

# A port that nothing listens on: only descriptions are exchanged here.
LOCAL = LocalTransport(
    "ufrag", "p" * 24, ":".join(["AB"] * 32), ("candidate:1 1 udp 2130706431 127.0.0.1 9 typ host",)
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def test_aiortc_takes_our_answer_to_its_offer() -> None:
    peer = RTCPeerConnection()
    try:
        peer.createDataChannel("_reliable")
        for track in (AudioStreamTrack(), VideoStreamTrack()):
            peer.addTransceiver(track, direction="sendonly")
        await peer.setLocalDescription(await peer.createOffer())
        offer = parse(peer.localDescription.sdp)
        policy = AnswerPolicy({section.mid: SectionPolicy() for section in offer.media})

        answer = make_answer(offer, LOCAL, policy, session_id=1, version=1)
        await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))

        assert [t.currentDirection for t in peer.getTransceivers()] == ["sendonly", "sendonly"]
        assert [section.kind for section in answer.sections] == ["audio", "video"]
        assert answer.data
    finally:
        await peer.close()


async def test_aiortc_answers_our_offer() -> None:
    sections = SubscriberSections(1)
    vp8 = NegotiatedCodec(96, Format.VP8, 90_000, 97)
    opus = NegotiatedCodec(111, Format.OPUS, 48_000)
    sections.add(OfferedTrack("TR_v", "PA_x|TR_v", "video", (Format.VP8,), 1000, 1001, "PA_x"))
    sections.add(OfferedTrack("TR_a", "PA_x|TR_a", "audio", (Format.OPUS,), 2000, None, "PA_x"))
    peer = RTCPeerConnection()
    try:
        await peer.setRemoteDescription(RTCSessionDescription(sections.offer(LOCAL), "offer"))
        await peer.setLocalDescription(await peer.createAnswer())

        result = sections.accept(parse(peer.localDescription.sdp))

        assert [accepted.track.track_sid for accepted in result.accepted] == ["TR_v", "TR_a"]
        assert result.accepted[0].codecs == {Format.VP8: vp8}
        assert result.accepted[1].codecs == {Format.OPUS: opus}
        assert result.remote.dtls_role == "server"
    finally:
        await peer.close()
