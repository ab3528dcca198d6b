"""Answers to publishers: what is kept, what is dropped, what the engine is told."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalling.sdp import (
    Answer,
    AnswerPolicy,
    Direction,
    Format,
    LocalTransport,
    SdpError,
    SectionPolicy,
    make_answer,
    parse,
    serialise,
)
from signalling.sdp import codecs as known
from signalling.sdp.model import Rid, Simulcast, SimulcastAlternative, Ssrc, SsrcGroup
from tests.signalling.sdp.peer import samples
from tests.signalling.sdp.strategies import descriptions

CANDIDATE = "candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host"
LOCAL = LocalTransport("ufrag", "p" * 24, ":".join(["AB"] * 32), (CANDIDATE,))


def answer(text: str, policy: AnswerPolicy | None = None, **wanted: Any) -> Answer:
    """Answers with every section wanted, unless a policy says otherwise."""
    offer = parse(text)
    if policy is None:
        policy = AnswerPolicy({s.mid: SectionPolicy(**wanted) for s in offer.media})
    result = make_answer(offer, LOCAL, policy, session_id=5, version=3)
    again = parse(result.text)
    assert parse(serialise(again)) == again
    return result


@pytest.mark.parametrize("name", sorted(samples()))
def test_answers_keep_the_offers_order_mids_and_payload_types(name: str) -> None:
    """Trap 23: Firefox drops RTP whose payload type the answer changed."""
    offer = parse(samples()[name])
    result = answer(samples()[name]).description

    assert [(s.kind, s.mid, s.protocol) for s in result.media] == [
        (s.kind, s.mid, s.protocol) for s in offer.media
    ]
    for offered, answered in zip(offer.media, result.media, strict=True):
        kept = {c.payload_type: (c.encoding, c.clock_rate_hz) for c in offered.codecs}
        for codec in answered.codecs:
            assert kept[codec.payload_type] == (codec.encoding, codec.clock_rate_hz)


def test_the_transport_is_ice_lite_passive_and_bundled() -> None:
    result = answer(samples()["chromium_publish_simulcast"])
    first, second, data = result.description.media

    assert result.description.ice_lite
    assert result.description.bundle == ("0", "1", "2")
    assert first.candidates == (CANDIDATE,)
    assert not second.candidates
    assert {s.transport.setup for s in (first, second, data)} == {"passive"}
    assert result.remote is not None
    assert result.remote.dtls_role == "server"
    assert (
        result.remote.ice_ufrag
        == parse(samples()["chromium_publish_simulcast"]).media[0].transport.ice_ufrag
    )


def test_a_passive_client_makes_us_active() -> None:
    text = samples()["chromium_publish_plain"].replace("setup:actpass", "setup:passive")
    result = answer(text)
    assert result.remote is not None
    assert result.remote.dtls_role == "client"
    assert result.description.media[0].transport.setup == "active"


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_data_channels_are_accepted(browser: str) -> None:
    """Trap 24: without m=application publishData hangs."""
    result = answer(samples()[f"{browser}_publish_plain"] + "")
    assert not result.data
    result = answer(samples()[f"{browser}_data_only"])
    assert result.data
    (section,) = result.description.media
    assert (section.port, section.sctp_port) == (9, 5000)
    # The engine passes on 65,535 bytes, and writes names of up to 256 bytes into a message twice.
    assert section.max_message_size is not None
    assert 64_000 <= section.max_message_size <= 65_535 - 2 * 300


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_simulcast_is_mirrored_and_described_lowest_layer_first(browser: str) -> None:
    result = answer(samples()[f"{browser}_publish_simulcast"])
    answered = result.description.media[1]
    _, video = result.sections

    assert [(rid.id, rid.direction) for rid in answered.rids] == [(r, "recv") for r in "qhf"]
    assert answered.simulcast is not None
    assert [layer[0].rid for layer in answered.simulcast.recv] == ["q", "h", "f"]
    assert not answered.simulcast.send
    assert video.rids == ("q", "h", "f")
    # Chromium tells no SSRC here, Firefox tells three with their retransmissions.
    assert len(video.ssrcs) == (0 if browser == "chromium" else 3)
    assert all(rtx for _, rtx in video.ssrcs)
    uris = [uri for _, uri in video.extensions]
    assert {known.MID, known.RTP_STREAM_ID, known.REPAIRED_RTP_STREAM_ID} <= set(uris)


def test_layers_announced_high_to_low_are_turned_round_with_their_ssrcs() -> None:
    text = samples()["firefox_publish_simulcast"]
    for old, new in (("q", "X"), ("f", "q"), ("X", "f")):
        text = text.replace(f"a=rid:{old} send", f"a=rid:{new} send")
    text = text.replace("send q;h;f", "send f;h;q")

    plain = answer(samples()["firefox_publish_simulcast"]).sections[1]
    turned = answer(text).sections[1]

    assert turned.rids == ("q", "h", "f")
    assert turned.ssrcs == plain.ssrcs[::-1]
    assert answer(text, rids=("f", "h", "q")).sections[1].rids == ("f", "h", "q")


@pytest.mark.parametrize(
    ("offered", "received"),
    [
        (("3", "2", "1", "0"), ("3", "2", "0")),
        (("0", "1", "2", "3"), ("3", "2", "0")),
        (("a", "b", "c", "d", "e"), ("a", "b", "e")),
    ],
)
def test_of_more_than_three_layers_three_are_received_and_answered(
    offered: tuple[str, ...], received: tuple[str, ...]
) -> None:
    ssrcs = {rid: Ssrc(5_000 + number) for number, rid in enumerate(offered)}
    result = answer(
        with_video(
            rids=tuple(Rid(rid, "send") for rid in offered),
            simulcast=Simulcast(send=tuple((SimulcastAlternative(rid),) for rid in offered)),
            ssrcs=tuple(ssrcs.values()),
            ssrc_groups=(),
        )
    )
    section, answered = result.sections[1], result.description.media[1]

    assert section.rids == received
    assert section.ssrcs == tuple((ssrcs[rid].id, None) for rid in received)
    assert [rid.id for rid in answered.rids] == [rid for rid in offered if rid in received]


def test_of_more_than_three_streams_three_are_received() -> None:
    group = SsrcGroup("SIM", (11, 12, 13, 14))
    text = with_video(rids=(), simulcast=None, ssrcs=(), ssrc_groups=(group,))
    assert answer(text).sections[1].ssrcs == ((11, None), (12, None), (13, None))


def with_video(**fields: Any) -> str:
    """An offer of audio, video and data whose video section has these fields."""
    offer = parse(samples()["firefox_publish_simulcast"])
    media = (offer.media[0], replace(offer.media[1], **fields), *offer.media[2:])
    return serialise(replace(offer, media=media))


def test_an_unannounced_section_is_inactive_but_keeps_its_layers() -> None:
    """A browser whose rids are not answered once gives up simulcast for this section for ever."""
    result = answer(samples()["chromium_publish_simulcast"], AnswerPolicy())

    assert not result.sections
    video = result.description.media[1]
    assert (video.port, video.direction) == (9, Direction.INACTIVE)
    assert len(video.rids) == 3


def test_only_what_we_forward_is_negotiated() -> None:
    audio, video, _ = answer(samples()["chromium_publish_simulcast"]).description.media

    assert [codec.encoding for codec in audio.codecs] == ["opus"]
    assert {codec.encoding for codec in video.codecs} == {"vp8", "h264", "rtx"}
    for codec in video.codecs:
        if codec.encoding == "h264":
            assert (codec.parameter("profile-level-id") or "").startswith("42")
        if codec.encoding != "rtx":
            assert codec.feedback == ("transport-cc", "ccm fir", "nack", "nack pli")
    assert {extension.uri for extension in video.extensions} == {
        known.MID,
        known.RTP_STREAM_ID,
        known.REPAIRED_RTP_STREAM_ID,
        known.TRANSPORT_CC,
    }
    assert known.TRANSPORT_CC not in {extension.uri for extension in audio.extensions}


@pytest.mark.parametrize("codec", ["vp9", "av1"])
def test_scalable_codecs_are_taken_when_announced_with_the_dependency_descriptor(
    codec: str,
) -> None:
    offer = parse(samples()["chromium_publish_simulcast"])
    policy = AnswerPolicy({"1": SectionPolicy(codec=codec, codec_only=True)})
    section = make_answer(offer, LOCAL, policy, session_id=1, version=1).sections[0]
    assert {one.format for one in section.codecs} == {Format(codec)}
    assert all(one.rtx_payload_type is not None for one in section.codecs)
    assert known.DEPENDENCY_DESCRIPTOR in {uri for _, uri in section.extensions}


def test_h264_that_comes_first_shows_its_temporal_layers() -> None:
    offer = parse(samples()["chromium_publish_simulcast"])
    policy = AnswerPolicy({"1": SectionPolicy(codec="h264")})
    section = make_answer(offer, LOCAL, policy, session_id=1, version=1).sections[0]
    assert known.DEPENDENCY_DESCRIPTOR in {uri for _, uri in section.extensions}


def test_other_codecs_neither_bring_scalable_ones_nor_the_descriptor() -> None:
    video = answer(samples()["chromium_publish_simulcast"]).sections[1]
    assert not any(one.format.scalable for one in video.codecs)
    assert known.DEPENDENCY_DESCRIPTOR not in {uri for _, uri in video.extensions}


def test_one_way_extensions_are_answered_the_other_way() -> None:
    video = answer(samples()["firefox_publish_simulcast"]).description.media[1]
    ways = {extension.uri: extension.direction for extension in video.extensions}
    assert ways[known.RTP_STREAM_ID] is Direction.RECVONLY
    assert ways[known.MID] is None


@pytest.mark.parametrize(
    ("wanted", "present", "absent"),
    [
        ({}, ["usedtx=1"], ["stereo=1", "maxaveragebitrate"]),
        ({"dtx": False}, [], ["usedtx", "stereo=1"]),
        ({"stereo": True}, ["usedtx=1", "stereo=1", "maxaveragebitrate=510000"], []),
    ],
)
def test_opus_is_told_about_dtx_and_stereo(
    wanted: dict[str, bool], present: list[str], absent: list[str]
) -> None:
    """Trap 32: without it music is mono and silence costs a full stream."""
    parameters = (
        answer(samples()["chromium_publish_plain"], **wanted)
        .description.media[0]
        .codecs[0]
        .parameters
    )
    assert all(item in parameters for item in present)
    assert not any(item in parameters for item in absent)


def test_redundant_audio_comes_first_when_it_is_wanted() -> None:
    section = answer(samples()["chromium_publish_plain"], red=True).sections[0]
    assert [(c.codec, c.payload_type) for c in section.codecs] == [("red", 63), ("opus", 111)]


def test_the_announced_codec_comes_first_or_alone() -> None:
    text = samples()["chromium_publish_plain"]
    first = answer(text, codec="h264").sections[1].codecs
    assert first[0].format is Format.H264
    assert first[-1].format is Format.VP8
    assert all(codec.rtx_payload_type for codec in first)

    alone = answer(text, codec="h264", codec_only=True).sections[1].codecs
    assert {codec.codec for codec in alone} == {"h264"}
    unknown = answer(text, codec="h265", codec_only=True).sections[1].codecs
    assert unknown[0].codec == "vp8"


def test_a_section_without_a_common_codec_is_rejected_and_leaves_the_bundle() -> None:
    text = samples()["chromium_publish_plain"].replace("opus/48000/2", "lyra/48000/2")
    result = answer(text)

    assert result.description.media[0].port == 0
    assert result.description.bundle == ("1",)
    assert result.description.media[1].candidates == (CANDIDATE,)
    assert [section.mid for section in result.sections] == ["1"]


def test_a_client_that_only_receives_here_gets_inactive_sections() -> None:
    result = answer(samples()["chromium_receive_only"])
    assert not result.sections
    assert {section.direction for section in result.description.media} == {Direction.INACTIVE}


def test_aiortcs_plain_offer_is_answered() -> None:
    result = answer(samples()["aiortc_publish_plain"])
    audio, video = result.sections

    assert audio.codecs[0].payload_type == 96
    assert len(audio.ssrcs) == 1
    assert [bool(rtx) for _, rtx in video.ssrcs] == [True]
    assert video.nack
    assert result.data


def test_an_offer_without_bundle_has_its_first_section_served() -> None:
    lines = samples()["chromium_publish_plain"].split("\r\n")
    text = "\r\n".join(line for line in lines if not line.startswith("a=group"))
    result = answer(text)
    assert [section.rejected for section in result.description.media] == [False, True]
    assert not result.description.groups


@pytest.mark.parametrize("lacking", ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint"])
def test_an_offer_without_its_transport_is_refused(lacking: str) -> None:
    lines = samples()["chromium_publish_plain"].split("\r\n")
    text = "\r\n".join(line for line in lines if not line.startswith(lacking))
    with pytest.raises(SdpError):
        answer(text)


def test_a_weak_fingerprint_is_refused() -> None:
    with pytest.raises(SdpError, match="sha-256"):
        answer(samples()["chromium_publish_plain"].replace("sha-256", "sha-1"))


def test_rejecting_everything_needs_no_transport() -> None:
    text = "v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\nm=text 9 UDP/TLS/RTP/SAVPF 100\r\n"
    result = answer(text)
    assert result.remote is None
    assert result.description.media[0].port == 0


@settings(max_examples=100)
@given(descriptions(), st.booleans(), st.sampled_from(["", "vp8", "h264", "opus"]))
def test_any_offer_is_answered_in_its_own_order_and_numbers(
    text: str, wanted: bool, codec: str
) -> None:
    offer = parse(text)
    sections = {s.mid: SectionPolicy(codec=codec, red=True) for s in offer.media if wanted}
    result = make_answer(offer, LOCAL, AnswerPolicy(sections), session_id=1, version=1)

    assert parse(serialise(result.description)) == result.description
    assert [s.mid for s in result.description.media] == [s.mid for s in offer.media]
    for offered, answered in zip(offer.media, result.description.media, strict=True):
        assert set(answered.formats) <= set(offered.formats)
        assert answered.formats
        assert not (answered.direction.receives and not offered.direction.sends)
        assert {(e.id, e.uri) for e in answered.extensions} <= {
            (e.id, e.uri) for e in offered.extensions
        }
    for section in result.sections:
        assert section.codecs
        assert len(set(section.rids)) == len(section.rids)
        assert not section.rids or not section.ssrcs or len(section.rids) == len(section.ssrcs)


@settings(max_examples=100)
@given(st.sampled_from(sorted(samples())), st.data())
def test_real_offers_with_lines_lost_doubled_and_mixed_up_raise_nothing_else(
    name: str, data: st.DataObject
) -> None:
    lines = samples()[name].split("\r\n")
    others = samples()[data.draw(st.sampled_from(sorted(samples())))].split("\r\n")
    for _ in range(data.draw(st.integers(1, 6))):
        index = data.draw(st.integers(0, len(lines) - 1))
        stranger = data.draw(st.sampled_from(others))
        change = data.draw(st.sampled_from(["lose", "double", "replace", "insert"]))
        lines[index : index + 1] = {
            "lose": [""],
            "double": [lines[index]] * 2,
            "replace": [stranger],
            "insert": [stranger, lines[index]],
        }[change]
    try:
        result = answer("\r\n".join(lines), codec="h264", red=True, stereo=True)
    except SdpError:
        return
    for section in result.sections:
        assert section.codecs
        assert len(section.ssrcs) in (0, 1, len(section.rids))
