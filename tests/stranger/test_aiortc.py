"""aiortc, an independent WebRTC stack in Python: publishes and receives audio, video and data."""

import asyncio

from livekit.protocol import models

from tests.support.livekit_client import MediaClient, Picture, Tone, until
from tests.support.server import Server


async def test_two_peers_exchange_media(server: Server) -> None:
    async with (
        MediaClient.connect(server.ws_url, server.token(server.room, "alice")) as alice,
        MediaClient.connect(server.ws_url, server.token(server.room, "bob")) as bob,
    ):
        for one, other in ((alice, bob), (bob, alice)):
            tone = await one.publish(Tone(), models.MICROPHONE)
            picture = await one.publish(Picture(), models.CAMERA)
            await other.received(tone.sid, frames=100, timeout_s=15)
            await other.received(picture.sid, frames=50, timeout_s=15)
            assert other.tracks[tone.sid].peak > 1000
            assert other.tracks[picture.sid].size == (320, 180)


async def test_data_packets_reach_the_other(server: Server) -> None:
    async with (
        MediaClient.connect(server.ws_url, server.token(server.room, "alice")) as alice,
        MediaClient.connect(server.ws_url, server.token(server.room, "bob")) as bob,
    ):
        await asyncio.gather(alice.open_channels(), bob.open_channels())
        await until(lambda: set(bob.listening) >= {"_reliable", "_lossy"})
        alice.send_data(b"reliable", reliable=True)
        alice.send_data(b"lossy", reliable=False)
        await until(lambda: len(bob.data) == 2)
        assert {(label, packet.user.payload) for label, packet in bob.data} == {
            ("_reliable", b"reliable"),
            ("_lossy", b"lossy"),
        }
        assert {packet.participant_identity for _, packet in bob.data} == {"alice"}
        await asyncio.sleep(0.2)
        assert alice.data == []


async def test_data_is_passed_on_up_to_the_announced_length(server: Server) -> None:
    """What is longer is not lost without a word: the channel closes, and the server counts it."""
    closings = 'kinguicall_data_channels_closed_total{reason="message_too_long"}'
    before = server.metrics().get(closings, 0)
    async with (
        MediaClient.connect(server.ws_url, server.token(server.room, "x" * 256)) as alice,
        MediaClient.connect(server.ws_url, server.token(server.room, "bob")) as bob,
    ):
        await asyncio.gather(alice.open_channels(), bob.open_channels())
        await until(lambda: "_reliable" in bob.listening)
        announced = max_message_size(alice.publisher.remoteDescription.sdp)
        packet = models.DataPacket(user=models.UserPacket(payload=b"x" * announced))
        overhead = packet.ByteSize() - announced
        alice.send_data(b"x" * (announced - overhead))
        await until(lambda: len(bob.data) == 1)
        assert len(bob.data[0][1].user.payload) == announced - overhead

        channel, transport = alice.channels["_reliable"], alice.publisher.sctp
        assert transport is not None
        # A client that does not care what was announced.
        vars(transport)["_remote_max_message_size"] = 0
        alice.send_data(b"x" * 65_530)
        await until(lambda: channel.readyState == "closed")
    assert server.metrics()[closings] == before + 1


def max_message_size(sdp: str) -> int:
    (line,) = (line for line in sdp.splitlines() if line.startswith("a=max-message-size:"))
    return int(line.partition(":")[2])
