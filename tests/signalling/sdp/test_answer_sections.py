"""A client offers sections to receive in: which tracks they get, and what the answer says."""

from dataclasses import replace

import pytest

from signalling.sdp import (
    Answer,
    AnswerPolicy,
    AnswerSections,
    Direction,
    Format,
    LocalTransport,
    OfferedTrack,
    SectionPolicy,
    SectionsFullError,
    SessionDescription,
    make_answer,
    parse,
    serialise,
)
from signalling.sdp.codecs import ABS_CAPTURE_TIME, TRANSPORT_CC
from signalling.sdp.model import Group
from tests.signalling.sdp.peer import samples

LOCAL = LocalTransport("ufrag", "p" * 24, ":".join(["AB"] * 32), ())
RECEIVE_ONLY = [name for name in samples() if name.endswith("receive_only")]


def track(
    sid: str, formats: tuple[Format, ...] = (Format.VP8,), ssrc: int = 1000, stereo: bool = False
) -> OfferedTrack:
    kind = formats[0].kind
    rtx = ssrc + 1 if kind == "video" else None
    return OfferedTrack(sid, f"PA_x|{sid}", kind, formats, ssrc, rtx, "PA_x", stereo)


VOICE = track("TR_a", (Format.RED, Format.OPUS), 2000)
PICTURE = track("TR_v")


def exchange(
    sections: AnswerSections, offer: SessionDescription, **wanted: SectionPolicy
) -> Answer:
    policy = AnswerPolicy(wanted, sections.match(offer), sections.retired)
    answer = make_answer(offer, LOCAL, policy, session_id=1, version=1)
    assert parse(answer.text) == parse(serialise(answer.description))
    return answer


@pytest.mark.parametrize("name", RECEIVE_ONLY)
def test_a_section_to_receive_in_gets_a_track(name: str) -> None:
    offer = parse(samples()[name])
    sections = AnswerSections()
    for one in (VOICE, PICTURE):
        sections.add(one)

    answer = exchange(sections, offer)

    assert sections.settle(answer) == ()
    assert {section.track for section in answer.sending} == {VOICE, PICTURE}
    by_mid = {section.mid: section for section in answer.description.media}
    offered = {section.mid: section for section in offer.media}
    for sent in answer.sending:
        section = by_mid[sent.mid]
        assert section.direction is Direction.SENDONLY
        assert section.track_id == sent.track.track_sid
        assert section.msids[0].stream == sent.track.stream_id
        assert section.ssrcs[0].id == sent.track.ssrc
        # The client's numbers: another one would be dropped unread.
        kept = {codec.payload_type: codec.encoding for codec in offered[sent.mid].codecs}
        for item, codec in sent.codecs.items():
            assert kept[codec.payload_type] in (item.codec, "opus")
        ids = {(one.id, one.uri) for one in offered[sent.mid].extensions}
        assert set(sent.extensions) <= ids
        assert {uri for _, uri in sent.extensions} <= {ABS_CAPTURE_TIME, TRANSPORT_CC}
    video = next(section for section in answer.sending if section.track is PICTURE)
    assert video.codecs[Format.VP8].rtx_payload_type is not None
    assert [group.ssrcs for group in by_mid[video.mid].ssrc_groups] == [(1000, 1001)]


@pytest.mark.parametrize("name", RECEIVE_ONLY)
def test_sections_without_a_track_stay_inactive(name: str) -> None:
    answer = exchange(AnswerSections(), parse(samples()[name]))
    assert {section.direction for section in answer.description.media} == {Direction.INACTIVE}
    assert answer.sending == ()


def test_stereo_is_promised() -> None:
    sections = AnswerSections()
    sections.add(track("TR_m", (Format.OPUS,), stereo=True))
    answer = exchange(sections, parse(samples()["chromium_receive_only"]))
    (sent,) = answer.sending
    section = answer.description.section(sent.mid)
    assert section is not None
    assert section.codecs[0].parameter("sprop-stereo") == "1"


def test_what_is_missing_is_counted_until_there_is_a_section() -> None:
    sections = AnswerSections()
    offer = one_of_each()
    for number in range(3):
        sections.add(track(f"TR_{number}"))
    sections.add(VOICE)
    assert sections.missing() == {"audio": 1, "video": 3}

    sections.settle(exchange(sections, offer))
    assert sections.missing() == {"audio": 0, "video": 2}
    assert set(sections.mid_to_track().values()) == {"TR_0", "TR_a"}

    sections.remove("TR_0")
    assert sections.missing() == {"audio": 0, "video": 1}, "one may take the place"
    sections.settle(exchange(sections, offer))
    assert set(sections.mid_to_track().values()) == {"TR_1", "TR_a"}


def test_a_client_without_the_codec_is_not_sent_the_track() -> None:
    sections = AnswerSections()
    scalable, plain = track("TR_9", (Format.VP9,)), track("TR_8", (Format.VP8,), 3000)
    offer = without_vp9(one_of_each())
    sections.add(scalable)
    sections.add(plain)
    answer = exchange(sections, offer)
    assert [section.track for section in answer.sending] == [plain]
    assert sections.settle(answer) == (scalable,)
    assert sections.missing() == {"audio": 0, "video": 0}


def test_one_section_may_carry_both_ways() -> None:
    offer = parse(samples()["chromium_publish_plain"])
    both = replace(
        offer,
        media=tuple(replace(one, direction=Direction.SENDRECV) for one in offer.media),
    )
    sections = AnswerSections()
    sections.add(PICTURE)
    mid = next(one.mid for one in both.media if one.kind == "video")

    answer = exchange(sections, both, **{mid: SectionPolicy()})

    assert [section.mid for section in answer.sections] == [mid]
    assert [section.mid for section in answer.sending] == [mid]
    answered = answer.description.section(mid)
    assert answered is not None
    assert answered.direction is Direction.SENDRECV


def test_without_reuse_a_section_whose_track_has_gone_is_given_up() -> None:
    sections = AnswerSections(reuse_sections=False)
    offer = one_of_each()
    sections.add(PICTURE)
    (sent,) = exchange(sections, offer).sending
    sections.remove("TR_v")
    sections.add(track("TR_w"))
    assert sections.missing() == {"audio": 0, "video": 1}

    answer = exchange(sections, offer)
    assert answer.sending == ()
    given_up = answer.description.section(sent.mid)
    assert given_up is not None
    assert given_up.rejected

    # The client puts another section into the place.
    later = parse(serialise(offer).replace(f"a=mid:{sent.mid}\r\n", "a=mid:new\r\n"))
    later = replace(later, groups=(Group("BUNDLE", tuple(one.mid for one in later.media)),))
    assert [section.mid for section in exchange(sections, later).sending] == ["new"]
    assert sections.retired == frozenset()


def test_there_is_a_limit_and_it_is_named() -> None:
    sections = AnswerSections()
    for number in range(255):
        sections.add(track(f"TR_{number}"))
    with pytest.raises(SectionsFullError, match="255"):
        sections.add(track("TR_one_too_many"))


def one_of_each() -> SessionDescription:
    """An offer of one audio and one video section to receive in."""
    offer = parse(samples()["chromium_receive_only"])
    kinds = {section.kind: section for section in reversed(offer.media)}
    media = (kinds["audio"], kinds["video"])
    return replace(offer, media=media, groups=(Group("BUNDLE", tuple(one.mid for one in media)),))


def without_vp9(offer: SessionDescription) -> SessionDescription:
    text = serialise(offer)
    return parse(text.replace("VP9/90000", "XX9/90000"))
