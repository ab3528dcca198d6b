"""A publisher of two codecs, and a viewer that can take one of them only, through the engine."""

import re

import pytest
from aiortc import RTCSessionDescription
from livekit.protocol import models, rtc

from sfu import codec_plan
from tests.signalling.livekit.conftest import Edge
from tests.support.livekit_client import MediaClient, Picture

PRIMARY, BACKUP = "h264", "vp8"
"""What aiortc can encode. Browsers do the same with VP9 or AV1 as the primary codec."""
H264 = ("108", "109", "125", "126")
"""Payload types in the server's offers."""


def asked(update: rtc.SubscribedQualityUpdate) -> dict[str, bool]:
    """Whether a codec is to be sent at all."""
    return {
        codec.codec: any(step.enabled for step in codec.qualities)
        for codec in update.subscribed_codecs
    }


async def publish_both_ways(ada: MediaClient) -> models.TrackInfo:
    codecs = [rtc.SimulcastCodec(codec=PRIMARY), rtc.SimulcastCodec(codec=BACKUP)]
    return await ada.publish(Picture(), models.CAMERA, simulcast_codecs=codecs)


async def publish_backup(ada: MediaClient, sid: str, codec: str = BACKUP) -> models.TrackInfo:
    codecs = [rtc.SimulcastCodec(codec=codec)]
    return await ada.publish(Picture(), models.CAMERA, sid=sid, simulcast_codecs=codecs)


def cannot_take(client: MediaClient, *payload_types: str) -> None:
    """It reads the server's offers as if these payload types were not there."""
    apply = client.subscriber.setRemoteDescription

    async def apply_without(offer: RTCSessionDescription) -> None:
        sdp = offer.sdp
        for payload_type in payload_types:
            sdp = re.sub(
                rf"^a=(rtpmap|fmtp|rtcp-fb):{payload_type} .*\r\n", "", sdp, flags=re.MULTILINE
            )
            sdp = re.sub(rf"^(m=video .*?) {payload_type}\b", r"\1", sdp, flags=re.MULTILINE)
        await apply(RTCSessionDescription(sdp, offer.type))

    client.subscriber.setRemoteDescription = apply_without


async def goes_on(client: MediaClient, sid: str) -> None:
    await client.received(sid, client.tracks[sid].frames + 10)


async def test_all_fall_back_while_one_needs_the_backup(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_plan, "RESTORE_AFTER_S", 0.2)
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        sid = (await publish_both_ways(ada)).sid
        await bo.received(sid, frames=5)
        async with MediaClient.connect(edge.url, edge.token("cy")) as cy:
            cannot_take(cy, *H264)
            await ada.signal.expect(
                "subscribed_quality_update", lambda u: asked(u) == {PRIMARY: True, BACKUP: True}
            )
            assert (await publish_backup(ada, sid)).sid == sid
            await cy.received(sid, frames=10)
            await ada.signal.expect(
                "subscribed_quality_update", lambda u: asked(u) == {PRIMARY: False, BACKUP: True}
            )
            await goes_on(bo, sid)
            seen = await bo.signal.expect_participant("ada", lambda p: p.tracks[0].codecs[1].mid)
            assert [codec.mime_type for codec in seen.tracks[0].codecs] == [
                "video/H264",
                "video/VP8",
            ]
            await cy.signal.leave()
        await ada.signal.expect(
            "subscribed_quality_update", lambda u: asked(u) == {PRIMARY: True, BACKUP: False}
        )
        await goes_on(bo, sid)
        assert bo.signal.all("subscription_response") == []
        assert len(edge.node.engine.core.stats().tracks) == 2


async def test_a_backup_that_nobody_announced_is_refused(edge: Edge) -> None:
    async with MediaClient.connect(edge.url, edge.token("ada")) as ada:
        sid = (await publish_both_ways(ada)).sid
        cases = [("TR_VCnone", BACKUP, "NOT_FOUND"), (sid, PRIMARY, "INVALID_REQUEST")]
        for number, (named, codec, reason) in enumerate(cases):
            request = rtc.AddTrackRequest(
                cid=f"backup {number}",
                type=models.VIDEO,
                sid=named,
                simulcast_codecs=[rtc.SimulcastCodec(codec=codec)],
            )
            await ada.signal.send(add_track=request)
            refusal = await ada.signal.expect(
                "request_response", lambda r, cid=request.cid: r.add_track.cid == cid
            )
            assert refusal.reason == rtc.RequestResponse.Reason.Value(reason)


async def test_a_publisher_may_take_its_backup_back(edge: Edge) -> None:
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        sid = (await publish_both_ways(ada)).sid
        await bo.received(sid, frames=5)
        async with MediaClient.connect(edge.url, edge.token("cy")) as cy:
            cannot_take(cy, *H264)
            await publish_backup(ada, sid)
            await cy.received(sid, frames=5)
            backup = ada.publisher.getTransceivers()[-1].sender.track
            await ada.unpublish(backup)
            told = await cy.signal.expect("subscription_response")
            assert (told.track_sid, told.err) == (sid, models.SE_CODEC_UNSUPPORTED)
            await goes_on(bo, sid)
        assert len(edge.node.engine.core.stats().tracks) == 1
