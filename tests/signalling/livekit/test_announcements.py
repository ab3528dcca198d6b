"""Announced tracks: what is made of a request, and which section belongs to it."""

from dataclasses import replace

import pytest
from livekit.protocol import models, rtc

from sfu import limits
from sfu.codec_plan import BackupCodecPolicy
from sfu.track import TrackInfo
from sfu.values import CodecRole, TrackKind
from signalling.livekit.announcements import Announcements, RefusedError, track_info

NONE: frozenset[str] = frozenset()


def video(cid: str, **fields: object) -> rtc.AddTrackRequest:
    return rtc.AddTrackRequest(cid=cid, type=models.VIDEO, source=models.CAMERA, **fields)


def test_a_section_is_matched_by_its_track_id_first() -> None:
    announced = Announcements()
    announced.add(video("a"), NONE)
    announced.add(video("b"), NONE)
    assert taken(announced, "b") == ["b"]


def test_a_replaced_track_is_matched_by_its_codecs_cid_then_by_kind() -> None:
    announced = Announcements()
    announced.add(rtc.AddTrackRequest(cid="mic", type=models.AUDIO), NONE)
    announced.add(video("a"), NONE)
    announced.add(video("b", simulcast_codecs=[rtc.SimulcastCodec(codec="h264", cid="b2")]), NONE)
    assert taken(announced, "b2") == ["b"]
    assert taken(announced, "unheard of", "nor of this") == ["a", None]
    assert announced.announced("mic")


def test_nameless_sections_get_what_was_announced_in_its_order() -> None:
    announced = Announcements()
    for cid in ("a", "b", "c"):
        announced.add(video(cid), NONE)
    assert taken(announced, "x", "c", "y") == ["a", "c", "b"]


def test_a_publication_given_up_does_not_take_the_place_of_the_next() -> None:
    """Firefox names its tracks otherwise in the offer than in the announcement."""
    at_once = Announcements()
    at_once.add(video("given up"), NONE)
    at_once.add(video("screen"), NONE)
    assert taken(at_once, "{f1}") == ["screen"]

    offered = Announcements()
    offered.add(video("given up"), NONE)
    assert taken(offered) == []
    offered.add(video("camera"), NONE)
    offered.add(video("screen"), NONE)
    assert taken(offered, "{f1}", "{f2}") == ["camera", "screen"]
    assert taken(offered, "{f3}") == ["given up"], "it may have been only late"


def test_a_publication_given_up_can_be_announced_again() -> None:
    announced = Announcements()
    first = announced.add(video("a", width=320), NONE)
    again = announced.add(video("a", width=640), NONE)
    assert again.info.sid != first.info.sid
    assert [one and one.info.width for one in announced.take([(TrackKind.VIDEO, "a")])] == [640]
    assert not announced.announced("a")


def test_publications_given_up_do_not_fill_the_list() -> None:
    announced = Announcements()
    for number in range(3 * limits.ANNOUNCED_TRACKS_MAX):
        announced.add(video(f"given up {number}"), NONE)
        announced.take([])
    for number in range(limits.ANNOUNCED_TRACKS_MAX):
        announced.add(video(f"wanted {number}"), NONE)
    with pytest.raises(RefusedError) as refusal:
        announced.add(video("one too many"), NONE)
    assert refusal.value.reason == rtc.RequestResponse.LIMIT_EXCEEDED
    assert str(limits.ANNOUNCED_TRACKS_MAX) in refusal.value.message


def taken(announced: Announcements, *track_ids: str) -> list[str | None]:
    """The cids of what is found for an offer's video sections."""
    found = announced.take([(TrackKind.VIDEO, track_id) for track_id in track_ids])
    return [None if one is None else one.cid for one in found]


def test_a_section_never_takes_a_track_of_the_other_kind() -> None:
    announced = Announcements()
    announced.add(rtc.AddTrackRequest(cid="mic", type=models.AUDIO), NONE)
    assert taken(announced, "mic") == [None]


def test_cids_in_use_are_queued_a_few_only() -> None:
    announced = Announcements()
    used = frozenset({"a", "b", "c", "d"})
    reasons = []
    for cid in ("a", "a", "b", "c", "d"):
        with pytest.raises(RefusedError) as refusal:
            announced.add(video(cid), used)
        reasons.append(refusal.value.reason)
    queued, limit = rtc.RequestResponse.QUEUED, rtc.RequestResponse.LIMIT_EXCEEDED
    assert reasons == [queued] * 4 + [limit]
    assert announced.next_queued(used) is None
    asked = announced.next_queued(used - {"a"})
    assert asked is not None
    assert asked.cid == "a"
    assert announced.next_queued(used - {"a"}) is None, "the same one was announced again"


def test_a_codec_that_is_not_served_is_replaced() -> None:
    info = track_info(video("a", simulcast_codecs=[rtc.SimulcastCodec(codec="h265", cid="a")]))
    assert [codec.mime_type for codec in info.codecs] == ["video/VP8"]


@pytest.mark.parametrize(
    ("codecs", "served"),
    [
        (["vp9", "vp8"], ["video/VP9", "video/VP8"]),
        (["av1", "h264", "vp8"], ["video/AV1", "video/H264"]),
        (["vp9", "vp9"], ["video/VP9"]),
        (["vp9", "theora", "VIDEO/vp8"], ["video/VP9", "video/VP8"]),
        (["theora", "vp8"], ["video/VP8"]),
        (["vp9", "opus", "audio/opus", "", "vp8"], ["video/VP9"]),
        (["vp9"] * 10_000 + ["vp8"], ["video/VP9"]),
    ],
)
def test_one_backup_codec_is_taken(codecs: list[str], served: list[str]) -> None:
    announced = [rtc.SimulcastCodec(codec=codec, cid="a") for codec in codecs]
    info = track_info(video("a", simulcast_codecs=announced))
    assert [codec.mime_type for codec in info.codecs] == served
    assert all(codec.cid == "" for codec in info.codecs[1:]), "it is not published yet"


def test_an_unknown_policy_is_the_usual_one() -> None:
    info = track_info(video("a", backup_codec_policy=99))
    assert info.backup_codec_policy is BackupCodecPolicy.PREFER_REGRESSION


def backup(cid: str, sid: str, codec: str = "vp8", **fields: object) -> rtc.AddTrackRequest:
    codecs = [rtc.SimulcastCodec(codec=codec, cid=cid, layers=[models.VideoLayer(width=640)])]
    return video(cid, sid=sid, simulcast_codecs=codecs, **fields)


def published(*codecs: str) -> TrackInfo:
    announced = [rtc.SimulcastCodec(codec=codec) for codec in codecs]
    return track_info(video("a", simulcast_codecs=announced))


def test_a_backup_codec_comes_under_the_sid_of_its_track() -> None:
    announced, info = Announcements(), published("vp9", "vp8")
    announced.add(backup("b1", info.sid), frozenset({"a"}), info)
    again = announced.add(backup("b2", info.sid), frozenset({"a"}), info)
    assert (again.info.sid, again.role) == (info.sid, CodecRole.BACKUP)
    assert [codec.cid for codec in again.info.codecs] == ["a", "b2"]
    assert [layer.width for layer in again.info.codecs[1].layers] == [640]
    assert not announced.announced("b1"), "the client has tried again"
    assert not announced.set_muted(info.sid, muted=True), "the track is muted, not its codec"
    assert announced.take([(TrackKind.VIDEO, "b2")]) == [again]
    announced.add(backup("b3", info.sid), frozenset({"a"}), info)
    announced.forget(info.sid)
    assert taken(announced, "b3") == [None]


@pytest.mark.parametrize(
    ("codecs", "request_codec", "kind"),
    [
        (["vp9"], "vp8", models.VIDEO),
        (["vp9", "vp8"], "h264", models.VIDEO),
        (["vp9", "vp8"], "vp9", models.VIDEO),
        (["vp9", "vp8"], "vp8", models.AUDIO),
    ],
)
def test_a_backup_codec_that_was_not_announced_is_refused(
    codecs: list[str], request_codec: str, kind: models.TrackType
) -> None:
    announced, info = Announcements(), published(*codecs)
    request = backup("b", info.sid, request_codec)
    request.type = kind
    with pytest.raises(RefusedError) as refusal:
        announced.add(request, NONE, info)
    assert refusal.value.reason == rtc.RequestResponse.INVALID_REQUEST
    with pytest.raises(RefusedError) as refusal:
        announced.add(request, NONE, None)
    assert refusal.value.reason == rtc.RequestResponse.NOT_FOUND


def test_a_backup_codec_that_is_there_is_refused() -> None:
    info = published("vp9", "vp8")
    there = replace(info, codecs=(info.codecs[0], replace(info.codecs[1], mid="3")))
    with pytest.raises(RefusedError):
        Announcements().add(backup("b", info.sid), NONE, there)


@pytest.mark.parametrize(
    ("source", "stream"),
    [
        (models.CAMERA, "camera"),
        (models.MICROPHONE, "camera"),
        (models.SCREEN_SHARE_AUDIO, "screen"),
        (models.UNKNOWN, "unknown"),
    ],
)
def test_streams_tie_what_plays_together(source: int, stream: str) -> None:
    request = rtc.AddTrackRequest(cid="a", type=models.AUDIO, source=source)
    assert track_info(request).stream == stream


def test_stereo_and_dtx_come_from_old_and_new_fields() -> None:
    new = rtc.AddTrackRequest(cid="a", audio_features=[models.TF_STEREO, models.TF_NO_DTX])
    old = rtc.AddTrackRequest(cid="a", stereo=True, disable_dtx=True)
    for request in (new, old):
        info = track_info(request)
        assert (info.stereo, info.disable_dtx) == (True, True)
