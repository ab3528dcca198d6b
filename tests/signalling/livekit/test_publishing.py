"""A client's own tracks, from the announcement to the room, over the WebSocket."""

from dataclasses import replace
from typing import Any

import pytest
from livekit.protocol import models, rtc

from signalling.livekit import publisher
from signalling.sdp import MediaSection, parse, serialise
from signalling.sdp.model import Codec, Group, Msid
from tests.signalling.livekit.conftest import Edge
from tests.signalling.sdp.peer import samples
from tests.support.livekit_client import SignalClient


async def test_a_publication_given_up_can_be_tried_again_at_once(edge: Edge) -> None:
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        sids = set()
        for source in (models.CAMERA, models.SCREEN_SHARE):
            request = rtc.AddTrackRequest(cid="mine", type=models.VIDEO, source=source)
            await client.send(add_track=request)
            published = await client.expect(
                "track_published", lambda told, source=source: told.track.source == source
            )
            sids.add(published.track.sid)
        assert len(sids) == 2
        assert client.all("request_response") == []


async def test_a_client_whose_codecs_are_not_served_is_told(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "UNPUBLISHED_AFTER_S", 0.05)
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        sid = await announce(client, "cam")
        await offer(client, 1, video("0", "cam", "H265"))

        answer = (await client.expect("answer")).sdp
        assert "m=video 0 " in answer
        told = await client.expect("request_response")
        assert told.reason == rtc.RequestResponse.UNSUPPORTED_TYPE
        assert told.add_track.cid == "cam"
        assert "H265" in told.message
        assert (await client.expect("track_unpublished")).track_sid == sid
        kinds = [response.WhichOneof("message") for response in client.received]
        assert kinds.index("answer") < kinds.index("track_unpublished")

        # Nothing is left of it: the next section of the kind belongs to the next announcement.
        other = await announce(client, "other")
        await offer(client, 2, video("0", "cam", "H265"), video("1", "unknown", "VP8"))
        seen = await client.expect_participant("ada", lambda one: len(one.tracks) == 1)
        assert [track.sid for track in seen.tracks] == [other]


async def test_a_backup_codec_that_is_not_served_leaves_the_track(edge: Edge) -> None:
    codecs = [rtc.SimulcastCodec(codec="vp9"), rtc.SimulcastCodec(codec="vp8")]
    async with SignalClient.connect(edge.url, edge.token("ada")) as client:
        sid = await announce(client, "cam", simulcast_codecs=codecs)
        await offer(client, 1, video("0", "cam", "VP9"))
        await client.expect_participant("ada", lambda one: codecs_of(one) == [2])
        assert await announce(client, "cam2", sid=sid, simulcast_codecs=codecs[1:]) == sid
        await offer(client, 2, video("0", "cam", "VP9"), video("1", "cam2", "H265"))

        told = await client.expect("request_response")
        assert (told.reason, told.add_track.cid) == (rtc.RequestResponse.UNSUPPORTED_TYPE, "cam2")
        seen = await client.expect_participant("ada", lambda one: codecs_of(one) == [1])
        assert [track.mime_type for track in seen.tracks] == ["video/VP9"]
        assert client.all("track_unpublished") == []


def codecs_of(participant: models.ParticipantInfo) -> list[int]:
    return [len(track.codecs) for track in participant.tracks]


async def announce(client: SignalClient, cid: str, **fields: Any) -> str:
    """Announces a camera. Returns its sid."""
    request = rtc.AddTrackRequest(cid=cid, type=models.VIDEO, source=models.CAMERA, **fields)
    await client.send(add_track=request)
    published = await client.expect("track_published", lambda told: told.cid == cid)
    return str(published.track.sid)


def video(mid: str, track_id: str, codec: str) -> MediaSection:
    """A section that sends in this codec."""
    sample = parse(samples()["chromium_publish_plain"])
    section = next(one for one in sample.media if one.kind == "video")
    return replace(
        section,
        mid=mid,
        formats=("96",),
        codecs=(Codec(96, codec, 90_000, feedback=("nack", "nack pli")),),
        msids=(Msid("-", track_id),),
        ssrcs=(),
        ssrc_groups=(),
    )


async def offer(client: SignalClient, offer_id: int, *media: MediaSection) -> None:
    sample = parse(samples()["chromium_publish_plain"])
    bundle = Group("BUNDLE", tuple(section.mid for section in media))
    sdp = serialise(replace(sample, media=media, groups=(bundle,)))
    await client.send(offer=rtc.SessionDescription(type="offer", sdp=sdp, id=offer_id))
    await client.expect("answer", lambda answer: answer.id == offer_id)
