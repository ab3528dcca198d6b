"""Who has left is forgotten: nothing in a server that runs for months refers to them."""

import gc
import weakref

import pytest
from livekit.protocol import models

from signalling.livekit import session
from tests.signalling.livekit.conftest import Edge
from tests.support.livekit_client import MediaClient, Picture, Tone, until


@pytest.mark.parametrize("says_goodbye", [True, False])
async def test_a_publisher_and_subscriber_leaves_nothing_behind(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, says_goodbye: bool
) -> None:
    monkeypatch.setattr(session, "DETACHED_TIMEOUT_S", 0.1)
    async with MediaClient.connect(edge.url, edge.token("bo")) as bo:
        async with MediaClient.connect(edge.url, edge.token("ada")) as ada:
            heard = await bo.publish(Tone(), models.MICROPHONE)
            tone = await ada.publish(Tone(), models.MICROPHONE)
            picture = await ada.publish(Picture(), models.CAMERA, width=320, height=180)
            for client, track in ((ada, heard), (bo, tone), (bo, picture)):
                await client.received(track.sid)
            ended = weakref.ref(edge.node.find_room("hall").member("ada").sink)
            if says_goodbye:
                await ada.signal.leave()
        await bo.signal.expect_participant("ada", lambda p: p.state == p.DISCONNECTED)

        def is_forgotten() -> bool:
            gc.collect()
            return ended() is None

        await until(is_forgotten)
