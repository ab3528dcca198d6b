"""Announced tracks: what is made of a request, and which section belongs to it."""

from dataclasses import replace

import pytest
from livekit.protocol import models, rtc

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
    found = announced.take(TrackKind.VIDEO, "b")
    assert found is not None
    assert found.cid == "b"


def test_a_replaced_track_is_matched_by_its_codecs_cid_then_by_kind() -> None:
    announced = Announcements()
    announced.add(rtc.AddTrackRequest(cid="mic", type=models.AUDIO), NONE)
    announced.add(video("a"), NONE)
    announced.add(video("b", simulcast_codecs=[rtc.SimulcastCodec(codec="h264", cid="b2")]), NONE)
    by_codec = announced.take(TrackKind.VIDEO, "b2")
    by_kind = announced.take(TrackKind.VIDEO, "unheard of")
    assert (by_codec and by_codec.cid, by_kind and by_kind.cid) == ("b", "a")
    assert announced.take(TrackKind.VIDEO, "unheard of") is None
    assert announced.announced("mic")


def test_a_section_never_takes_a_track_of_the_other_kind() -> None:
    announced = Announcements()
    announced.add(rtc.AddTrackRequest(cid="mic", type=models.AUDIO), NONE)
    assert announced.take(TrackKind.VIDEO, "mic") is None


def test_a_cid_in_use_is_queued_a_few_times_only() -> None:
    announced = Announcements()
    reasons = []
    for _ in range(4):
        with pytest.raises(RefusedError) as refusal:
            announced.add(video("a"), frozenset({"a"}))
        reasons.append(refusal.value.reason)
    queued, limit = rtc.RequestResponse.QUEUED, rtc.RequestResponse.LIMIT_EXCEEDED
    assert reasons == [queued] * 3 + [limit]
    assert announced.next_queued(frozenset({"a"})) is None
    assert announced.next_queued(NONE) is not None


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
    assert announced.take(TrackKind.VIDEO, "b2") == again
    announced.add(backup("b3", info.sid), frozenset({"a"}), info)
    announced.forget(info.sid)
    assert announced.take(TrackKind.VIDEO, "b3") is None


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
