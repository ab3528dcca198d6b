"""Bad input from somebody who has joined: inside DTLS, inside SRTP, and from a validated address.

The attacker is aiortc with its keys in our hands. What it does may cost it its own connection, in
which case it joins again; the two others in the room lose nothing.
"""

import asyncio
import itertools
import struct
from collections.abc import Awaitable, Callable, Iterable, Iterator

import pytest
from aiortc import RTCRtpSender
from livekit.protocol import models
from pylibsrtp import Error as SrtpError

from tests.support import corpora
from tests.support.livekit_client import MediaClient, Picture, until
from tests.support.server import Server
from tests.support.undisturbed import undisturbed_room

PAYLOADS = ("h264-depack", "av1-depack", "any")
EXTENSIONS = ("dependency-descriptor", "vla")
MAX_REJOINS = 100
# What is sent is the attack here, not how much: floods have tests of their own.
PER_SECOND, BURST = 4_000, 40
MAX_RTP = 1200  # libsrtp protects no longer ones

ONE_BYTE_PROFILE = 0xBEDE

# How to send, and what.
Attack = tuple[Callable[[bytes], Awaitable[None]], Iterable[bytes]]


def rtp(sender: RTCRtpSender, payload_type: int, *, first: int = 0x80) -> Callable[[int], bytes]:
    """Makes headers that continue what `sender` has sent."""

    def header(sequence: int) -> bytes:
        timestamp = sequence * 3000 & 0xFFFFFFFF
        return struct.pack(
            "!BBHII", first, payload_type, sequence & 0xFFFF, timestamp, sender._ssrc
        )

    return header


def hostile_rtp(sender: RTCRtpSender, payload_types: list[int]) -> Iterator[bytes]:
    sequence = itertools.count(1000)
    for payload_type in payload_types:
        plain, padded, extended = (
            rtp(sender, payload_type, first=first) for first in (0x80, 0xA0, 0x90)
        )
        for payload in corpora.truncations(*PAYLOADS, longest=MAX_RTP - 100):
            yield plain(next(sequence)) + payload
        for length, claimed in itertools.product((0, 1, 4, 200), (0, 1, 2, 4, 5, 200, 201, 255)):
            yield padded(next(sequence)) + bytes(max(0, length - 1)) + bytes([claimed])
        for block in corpora.truncations(*EXTENSIONS, longest=MAX_RTP - 100):
            words = len(block) // 4
            for announced in (words, words + 1, 0xFFFF):
                profile = struct.pack("!HH", ONE_BYTE_PROFILE, announced)
                yield extended(next(sequence)) + profile + block
    whole = corpora.truncations("rtp", "rtpdump", longest=MAX_RTP)
    yield from (sample for sample in whole if len(sample) >= 12)


async def send_all(
    server: Server, number: Iterator[int], make: Callable[[MediaClient], Attack]
) -> int:
    """Sends everything that the attack has, from new connections when one is lost.

    Returns the number of datagrams.
    """
    position = 0
    for _ in range(MAX_REJOINS):
        token = server.token(server.room, f"attacker-{next(number)}")
        async with MediaClient.connect(server.ws_url, token) as client:
            await client.publish(Picture(), models.CAMERA)
            await client.open_channels()
            await until(lambda: client.publisher.connectionState == "connected")
            send, datagrams = make(client)
            for datagram in itertools.islice(datagrams, position, None):
                position += 1
                if position % BURST == 0:
                    await asyncio.sleep(BURST / PER_SECOND)
                try:
                    await send(datagram)
                except SrtpError:
                    continue  # not even a packet to libsrtp
                except ConnectionError:
                    break
            else:
                return position
    pytest.fail(f"the attacker lost more than {MAX_REJOINS} connections")


def from_the_validated_address(client: MediaClient) -> Attack:
    dtls = client.publisher.getSenders()[0].transport
    return dtls.transport._send, corpora.truncations("dtls", "dtls-ext", "stun", "any", "rtp")


def inside_dtls(client: MediaClient) -> Attack:
    dtls = client.publisher.getSenders()[0].transport
    return dtls._send_data, filter(None, corpora.truncations("sctp"))


def inside_srtp(client: MediaClient) -> Attack:
    transceiver = client.publisher.getTransceivers()[0]
    # One for each codec: the profiles of H.264 take the same way.
    codecs = transceiver._codecs
    by_codec = {it.mimeType: it.payloadType for it in codecs if it.payloadType is not None}
    payload_types = list(by_codec.values())
    transceiver.sender.replaceTrack(None)
    rtcp = (sample for sample in corpora.truncations("rtcp") if len(sample) >= 8)
    rtp_packets = hostile_rtp(transceiver.sender, payload_types)
    return transceiver.sender.transport._send_rtp, itertools.chain(rtcp, rtp_packets)


@pytest.mark.parametrize("make", [from_the_validated_address, inside_dtls, inside_srtp])
async def test_a_participant_sends_rubbish(
    server: Server, make: Callable[[MediaClient], Attack]
) -> None:
    async with undisturbed_room(server):
        sent = await send_all(server, itertools.count(), make)
    assert sent > 2000
