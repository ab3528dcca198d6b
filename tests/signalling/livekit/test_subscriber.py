"""What a client receives, over the WebSocket: more tracks than a connection holds."""

import pytest
from livekit.protocol import models, rtc

from signalling.sdp import offer
from tests.signalling.livekit.conftest import Edge
from tests.support.livekit_client import MediaClient, Tone


async def test_a_track_beyond_the_limit_comes_when_another_has_gone(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offer, "TRACKS_MAX", 1)
    async with (
        MediaClient.connect(edge.url, edge.token("ada")) as ada,
        MediaClient.connect(edge.url, edge.token("bo")) as bo,
    ):
        tone = Tone()
        first = await ada.publish(tone, models.MICROPHONE)
        await bo.received(first.sid)
        second = await ada.publish(Tone(), models.SCREEN_SHARE_AUDIO)

        failure = await bo.signal.expect("subscription_response")
        assert (failure.track_sid, failure.err) == (second.sid, models.SE_UNKNOWN)
        told = await bo.signal.expect("request_response")
        assert told.reason == rtc.RequestResponse.LIMIT_EXCEEDED
        assert second.sid in told.message
        assert "1 tracks" in told.message

        await ada.unpublish(tone)
        last = await bo.signal.expect("offer", lambda told: second.sid in told.sdp)
        assert last.sdp.count("\r\nm=") == 2, "in the place of the other"
