"""A client's own tracks, from the announcement to the room, over the WebSocket."""

from livekit.protocol import models, rtc

from tests.signalling.livekit.conftest import Edge
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
