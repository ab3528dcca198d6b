"""Announced tracks: what is made of a request, and which section belongs to it."""

import pytest
from livekit.protocol import models, rtc

from sfu.values import TrackKind
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


def test_a_backup_codec_is_not_announced() -> None:
    codecs = [rtc.SimulcastCodec(codec="h264", cid="a"), rtc.SimulcastCodec(codec="vp8")]
    info = track_info(video("a", simulcast_codecs=codecs))
    assert [codec.mime_type for codec in info.codecs] == ["video/H264"]


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
