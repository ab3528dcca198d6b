"""Descriptions: the swarm's offers and answers as our own server reads and writes them."""

import pytest

from loadtest import description
from loadtest.description import SentEncoding, SentTrack
from loadtest.swarm import Swarm, TransportInfo
from signalling.sdp import (
    AnswerPolicy,
    LocalTransport,
    OfferedTrack,
    SdpError,
    SectionPolicy,
    SubscriberSections,
    make_answer,
    parse,
)
from signalling.sdp.codecs import ABS_CAPTURE_TIME, Format

FINGERPRINT = ":".join(["AB"] * 32)
SERVER = LocalTransport(
    "serv", "s" * 24, FINGERPRINT, ("candidate:1 1 udp 2130706431 10.0.0.1 7882 typ host",)
)


@pytest.fixture
def info() -> TransportInfo:
    swarm = Swarm()
    try:
        return swarm.open_transport(data_channels=True)
    finally:
        swarm.stop()


def test_an_offer_of_the_server_is_answered_as_it_wants(info: TransportInfo) -> None:
    sections = SubscriberSections(1)
    track = OfferedTrack("TR_1", "PA_1|TR_1", "video", (Format.VP8,), 11, 12, "cname")
    mid = sections.add(track)
    offered = description.read_offer(sections.offer(SERVER))
    assert offered.data
    (received,) = offered.tracks
    assert (received.mid, received.track_sid) == (mid, "TR_1")
    assert (received.ssrc, received.rtx_ssrc, received.codec.codec) == (11, 12, "vp8")
    assert offered.remote.candidates == (("10.0.0.1", 7882),)
    assert offered.remote.controlling
    answer = parse(description.answer(offered, info, FINGERPRINT))
    assert info.candidates
    assert answer.media[0].candidates == tuple(info.candidates)
    accepted = sections.accept(answer)
    assert accepted.remote.dtls_role == "server"
    assert accepted.remote.ice_ufrag == info.ice_ufrag
    assert [section.track for section in accepted.accepted] == [track]
    assert ABS_CAPTURE_TIME in [uri for _, uri in accepted.accepted[0].extensions]
    # A track that has gone leaves a section that stays in the answer.
    sections.remove("TR_1")
    offered = description.read_offer(sections.offer(SERVER))
    assert offered.tracks == ()
    sections.accept(parse(description.answer(offered, info, FINGERPRINT)))


def test_the_server_understands_an_offer_with_simulcast(info: TransportInfo) -> None:
    layers = tuple(SentEncoding(rid, n, n + 10) for n, rid in enumerate("qhf", 1))
    tracks = [
        SentTrack("0", "cam", "vp8", layers),
        SentTrack("1", "mic", "opus", (SentEncoding(None, 99, None),)),
    ]
    policy = AnswerPolicy({"0": SectionPolicy(), "1": SectionPolicy()})
    offer = parse(description.offer(tracks, info, FINGERPRINT, 1))
    answer = make_answer(offer, SERVER, policy, session_id=1, version=1)
    video, audio = answer.sections
    assert (video.rids, video.track_id, video.nack) == (("q", "h", "f"), "cam", True)
    assert (audio.ssrcs, audio.track_id) == (((99, None),), "mic")
    answered = description.read_answer(answer.text)
    assert answered.remote.dtls_role == "client"
    assert answered.codecs["0"].rtx_payload_type == 97
    assert answered.codecs["1"].codec == "opus"
    assert ABS_CAPTURE_TIME in [uri for _, uri in answered.extensions]


def test_full_agents_that_offer_are_in_control() -> None:
    offer = SubscriberSections(1).offer(SERVER).replace("a=ice-lite\r\n", "")
    assert not description.read_offer(offer).remote.controlling


def test_candidates_of_other_kinds_are_passed_over() -> None:
    assert description.candidate("candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active") is None
    assert description.candidate("candidate:1 1 udp 1 10.0.0.1 x typ host") is None
    assert description.candidate("nonsense") is None


def test_a_description_that_takes_nothing_is_an_error() -> None:
    with pytest.raises(SdpError):
        description.read_answer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")
