"""The subscriber's sections: stable order, reuse, and what answers mean."""

from dataclasses import replace

import pytest

from signalling.sdp import (
    Direction,
    Format,
    LocalTransport,
    NegotiatedCodec,
    OfferedTrack,
    SdpError,
    SectionsFullError,
    SessionDescription,
    SubscriberSections,
    parse,
    serialise,
)
from signalling.sdp.codecs import ABS_CAPTURE_TIME, TRANSPORT_CC
from tests.signalling.sdp.peer import answer_as_browser

LOCAL = LocalTransport(
    "ufrag",
    "p" * 24,
    ":".join(["AB"] * 32),
    ("candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host",),
)


def video(sid: str, ssrc: int = 1000, formats: tuple[Format, ...] = (Format.VP8,)) -> OfferedTrack:
    return OfferedTrack(sid, f"PA_x|{sid}", "video", formats, ssrc, ssrc + 1, "PA_x")


def audio(sid: str, ssrc: int = 2000, stereo: bool = False) -> OfferedTrack:
    return OfferedTrack(sid, f"PA_x|{sid}", "audio", (Format.OPUS,), ssrc, None, "PA_x", stereo)


def test_first_offer_has_the_data_section_even_without_tracks() -> None:
    """Trap 4: every SDK times out without something to connect for."""
    offer = parse(SubscriberSections(7).offer(LOCAL))

    assert [section.kind for section in offer.media] == ["application"]
    assert offer.ice_lite
    assert offer.bundle == ("0",)
    assert offer.media[0].transport.setup == "actpass"
    assert offer.media[0].candidates == LOCAL.candidates


def test_offer_describes_a_track_by_msid_and_ssrcs() -> None:
    sections = SubscriberSections(7)
    mid = sections.add(video("TR_v"))

    section = parse(sections.offer(LOCAL)).section(mid)

    assert section is not None
    assert section.direction is Direction.SENDONLY
    assert (section.msids[0].stream, section.msids[0].track) == ("PA_x|TR_v", "TR_v")
    assert [(group.semantics, group.ssrcs) for group in section.ssrc_groups] == [
        ("FID", (1000, 1001))
    ]
    assert [codec.payload_type for codec in section.codecs] == [96, 97]
    assert sections.mid_to_track() == {mid: "TR_v"}


def test_accept_tells_what_each_format_leaves_as() -> None:
    sections = SubscriberSections(7)
    sections.add(video("TR_v", formats=(Format.H264, Format.VP8)))
    answer = answer_as_browser(sections.offer(LOCAL))

    result = sections.accept(parse(answer))

    (accepted,) = result.accepted
    assert accepted.codecs == {
        Format.H264: NegotiatedCodec(108, Format.H264, 90_000, 109),
        Format.VP8: NegotiatedCodec(96, Format.VP8, 90_000, 97),
    }
    assert result.remote.dtls_role == "server"
    assert not result.rejected


def test_a_client_may_take_one_of_two_codecs_only() -> None:
    sections = SubscriberSections(7)
    sections.add(video("TR_v", formats=(Format.VP9, Format.VP8)))
    offer = sections.offer(LOCAL)
    (section,) = (section for section in parse(offer).media if section.kind == "video")
    assert section.formats == ("98", "99", "96", "97"), "the better one first"
    answer = answer_as_browser(offer).replace("SAVPF 98 99 96 97", "SAVPF 96 97")
    lines = [line for line in answer.split("\r\n") if ":98 " not in line and ":99 " not in line]

    result = sections.accept(parse("\r\n".join(lines)))

    assert list(result.accepted[0].codecs) == [Format.VP8]
    assert not result.rejected


@pytest.mark.parametrize(("takes_red", "pairs"), [(True, [63, 111]), (False, [111, 111])])
def test_redundant_audio_reaches_every_client(takes_red: bool, pairs: list[int]) -> None:
    """A client that does not know RED (RFC 2198) answers Opus: the engine unwraps for it."""
    sections = SubscriberSections(7)
    sections.add(replace(audio("TR_a"), formats=(Format.RED, Format.OPUS)))
    offer = sections.offer(LOCAL)
    (section,) = (section for section in parse(offer).media if section.kind == "audio")
    assert section.formats == ("63", "111"), "redundancy first"
    answer = answer_as_browser(offer)
    if not takes_red:
        answer = answer.replace("SAVPF 63 111", "SAVPF 111").replace(
            "a=rtpmap:63 red/48000/2\r\n", ""
        )
        for line in ("fmtp:63 111/111", "rtcp-fb:63 transport-cc", "rtcp-fb:63 nack"):
            answer = answer.replace(f"a={line}\r\n", "")

    (accepted,) = sections.accept(parse(answer)).accepted

    assert [codec.payload_type for codec in accepted.codecs.values()] == pairs
    assert list(accepted.codecs) == [Format.RED, Format.OPUS]


@pytest.mark.parametrize("kind", ["audio", "video"])
@pytest.mark.parametrize("feeds_back", [True, False])
def test_packets_are_numbered_only_for_a_client_that_will_tell_of_them(
    kind: str, feeds_back: bool
) -> None:
    sections = SubscriberSections(7)
    sections.add(video("TR_a") if kind == "video" else audio("TR_a"))
    answer = answer_as_browser(sections.offer(LOCAL))
    if not feeds_back:
        lines = answer.split("\r\n")
        answer = "\r\n".join(line for line in lines if not line.endswith(" transport-cc"))

    (accepted,) = sections.accept(parse(answer)).accepted

    uris = [uri for _, uri in accepted.extensions]
    assert (TRANSPORT_CC in uris) is feeds_back
    assert ABS_CAPTURE_TIME in uris


def test_sections_keep_their_place_and_are_reused_only_after_the_client_agreed() -> None:
    sections = SubscriberSections(7)
    first, second = sections.add(video("TR_a")), sections.add(audio("TR_b"))
    sections.accept(parse(answer_as_browser(sections.offer(LOCAL))))

    sections.remove("TR_a")
    third = sections.add(video("TR_c", 3000))
    text = sections.offer(LOCAL)
    assert [s.mid for s in parse(text).media] == ["0", first, second, third]
    assert parse(text).media[1].direction is Direction.INACTIVE
    sections.accept(parse(answer_as_browser(text)))

    assert sections.add(video("TR_d", 4000)) == first
    again = parse(sections.offer(LOCAL))
    assert [s.mid for s in again.media] == ["0", first, second, third]
    assert again.media[1].msids[0].track == "TR_d"


def test_without_reuse_every_track_gets_a_new_section() -> None:
    sections = SubscriberSections(7, reuse_sections=False)
    first = sections.add(video("TR_a"))
    sections.accept(parse(answer_as_browser(sections.offer(LOCAL))))
    sections.remove("TR_a")
    sections.accept(parse(answer_as_browser(sections.offer(LOCAL))))

    assert sections.add(video("TR_b")) != first


def test_without_reuse_a_new_section_takes_the_place_of_one_given_up() -> None:
    """WebKit: the offers of a long session stay as short as what it receives."""
    sections = SubscriberSections(7, reuse_sections=False)
    sections.add(audio("TR_stays"))
    mids = set()
    for number in range(400):
        mids.add(sections.add(video(f"TR_{number}") if number % 2 else audio(f"TR_{number}")))
        offer = exchange(sections)
        assert len(offer.media) <= 3
        assert all(section.mid in offer.bundle for section in offer.media if not section.rejected)
        sections.remove(f"TR_{number}")
        assert exchange(sections).media[-1].rejected
    assert len(mids) == 400, "a track never comes in a section that had another"
    assert sections.mid_to_track() == {"1": "TR_stays"}


def test_a_place_taken_while_an_offer_is_out_is_settled_by_the_next() -> None:
    sections = SubscriberSections(7, reuse_sections=False)
    first = sections.add(video("TR_a"))
    exchange(sections)
    sections.remove("TR_a")
    exchange(sections)
    out = sections.offer(LOCAL)
    second = sections.add(audio("TR_b"))
    assert first != second

    assert not sections.accept(parse(answer_as_browser(out))).accepted
    offer = parse(sections.offer(LOCAL))
    assert [section.mid for section in offer.media] == ["0", second]
    (accepted,) = sections.accept(parse(answer_as_browser(serialise(offer)))).accepted
    assert (accepted.mid, accepted.track.track_sid) == (second, "TR_b")


def exchange(sections: SubscriberSections) -> SessionDescription:
    """Offers, and has a browser answer. Returns the offer."""
    text = sections.offer(LOCAL)
    sections.accept(parse(answer_as_browser(text)))
    return parse(text)


def test_a_second_offer_waits_for_the_answer() -> None:
    """Trap 30."""
    sections = SubscriberSections(7)
    sections.offer(LOCAL)

    with pytest.raises(RuntimeError):
        sections.offer(LOCAL)


def test_a_rejected_track_is_reported_and_its_section_given_up() -> None:
    sections = SubscriberSections(7)
    mid = sections.add(video("TR_a"))
    answer = answer_as_browser(sections.offer(LOCAL), reject={mid})

    result = sections.accept(parse(answer))

    assert [track.track_sid for track in result.rejected] == ["TR_a"]
    assert not sections.mid_to_track()
    later = sections.offer(LOCAL)
    assert parse(later).media[1].rejected
    assert mid not in parse(later).bundle
    sections.accept(parse(answer_as_browser(later)))

    another = sections.add(video("TR_b"))
    last = parse(sections.offer(LOCAL))
    assert another != mid
    assert [section.mid for section in last.media] == ["0", another], "in the same place"
    assert last.bundle == ("0", another)


def test_a_track_removed_while_the_offer_is_out_is_not_accepted() -> None:
    sections = SubscriberSections(7)
    sections.add(video("TR_a"))
    text = sections.offer(LOCAL)
    sections.remove("TR_a")

    result = sections.accept(parse(answer_as_browser(text)))

    assert not result.accepted
    assert not result.rejected
    assert parse(sections.offer(LOCAL)).media[1].direction is Direction.INACTIVE


def test_a_track_moves_when_the_section_it_took_is_rejected() -> None:
    sections = SubscriberSections(7)
    mid = sections.add(video("TR_a"))
    sections.accept(parse(answer_as_browser(sections.offer(LOCAL))))
    sections.remove("TR_a")
    sections.accept(parse(answer_as_browser(sections.offer(LOCAL))))
    text = sections.offer(LOCAL)
    assert sections.add(video("TR_b")) == mid

    sections.accept(parse(answer_as_browser(text, reject={mid})))

    assert sections.mid_to_track() == {"2": "TR_b"}


def test_stereo_is_told_to_the_subscriber() -> None:
    sections = SubscriberSections(7)
    mid = sections.add(audio("TR_a", stereo=True))

    section = parse(sections.offer(LOCAL)).section(mid)

    assert section is not None
    assert section.codecs[0].parameter("sprop-stereo") == "1"


@pytest.mark.parametrize("cut", ["sections", "mid", "fingerprint"])
def test_an_answer_that_does_not_fit_is_refused_and_can_be_sent_again(cut: str) -> None:
    sections = SubscriberSections(7)
    sections.add(video("TR_a"))
    good = answer_as_browser(sections.offer(LOCAL))
    bad = {
        "sections": good[: good.index("m=video")],
        "mid": good.replace("a=mid:1", "a=mid:9"),
        "fingerprint": good.replace("a=fingerprint:sha-256", "a=fingerprint:sha-1"),
    }[cut]

    with pytest.raises(SdpError):
        sections.accept(parse(bad))

    assert sections.accept(parse(good)).accepted


def test_an_answer_without_an_offer_is_refused() -> None:
    sections = SubscriberSections(7)
    answer = answer_as_browser(sections.offer(LOCAL))
    sections.accept(parse(answer))

    with pytest.raises(SdpError):
        sections.accept(parse(answer))


def test_the_number_of_sections_is_bounded() -> None:
    sections = SubscriberSections(7)
    for number in range(255):
        sections.add(audio(f"TR_{number}"))

    with pytest.raises(SectionsFullError, match="255") as full:
        sections.add(audio("TR_one_too_many"))
    assert not full.value.soon
    assert len(parse(sections.offer(LOCAL)).media) == 256


def test_a_full_description_takes_the_other_kind_after_an_exchange() -> None:
    sections = SubscriberSections(7)
    for number in range(255):
        sections.add(audio(f"TR_{number}"))
    exchange(sections)
    sections.remove("TR_3")
    exchange(sections)

    with pytest.raises(SectionsFullError) as full:
        sections.add(video("TR_v"))
    assert full.value.soon
    exchange(sections)
    sections.add(video("TR_v"))
    last = parse(sections.offer(LOCAL))
    assert len(last.media) == 256
    assert last.media[4].kind == "video"


def test_passive_answer_makes_us_the_dtls_client() -> None:
    sections = SubscriberSections(7)
    answer = answer_as_browser(sections.offer(LOCAL)).replace("setup:active", "setup:passive")

    assert sections.accept(parse(answer)).remote.dtls_role == "client"


def test_voices_alone_make_us_ask_to_be_the_dtls_client() -> None:
    sections = SubscriberSections(7, short_tags=True)
    sections.add(audio("TR_a"))
    first = sections.offer(LOCAL)
    answer = answer_as_browser(first).replace("setup:active", "setup:passive")
    assert sections.accept(parse(answer)).remote.dtls_role == "client"

    sections.add(video("TR_v"))
    later = sections.offer(LOCAL)
    for offer in (first, later):
        assert {section.transport.setup for section in parse(offer).media} == {"active"}


@pytest.mark.parametrize(
    ("tracks", "short_tags"),
    [
        ((), True),
        ((video("TR_v"),), True),
        ((audio("TR_a"), video("TR_v")), True),
        ((audio("TR_a"),), False),
    ],
)
def test_otherwise_the_peer_chooses(tracks: tuple[OfferedTrack, ...], short_tags: bool) -> None:
    sections = SubscriberSections(7, short_tags=short_tags)
    for track in tracks:
        sections.add(track)
    first = sections.offer(LOCAL)
    sections.accept(parse(answer_as_browser(first)))
    sections.add(audio("TR_later"))
    for offer in (first, sections.offer(LOCAL)):
        assert {section.transport.setup for section in parse(offer).media} == {"actpass"}


def test_every_offer_raises_the_version_of_the_session() -> None:
    sections = SubscriberSections(7)
    origins = []
    for _ in range(3):
        text = sections.offer(LOCAL)
        origins.append(parse(text).origin)
        sections.accept(parse(answer_as_browser(text)))

    assert origins == [f"- 7 {version} IN IP4 127.0.0.1" for version in (1, 2, 3)]
    assert serialise(parse(text)) == text
