"""Media packets at a rate that encoders do not reach: a published track, continued by hand.

Takes over from an aiortc sender: the packets continue its sequence numbers and timestamps, and each
is a whole VP8 inter frame of a few bytes.
"""

import asyncio
import struct
from dataclasses import dataclass

from aiortc import RTCRtpSender

SEQUENCE_AND_TIMESTAMP = struct.Struct("!HI")
FRAME_TICKS = 90  # a frame each millisecond of the 90 kHz clock
BATCH = 20
VP8_START_WITH_PICTURE_ID = b"\x90\x80"
VP8_INTER_FRAME = b"\x31\x02\x00" + bytes(20)


@dataclass
class PacketSource:
    """Continues the video of `sender`. Made by `take_over`."""

    sender: RTCRtpSender
    header: bytes
    sequence: int
    timestamp: int
    picture_id: int = 20_000

    @classmethod
    async def take_over(cls, sender: RTCRtpSender) -> "PacketSource":
        """Waits for the sender's next packet, then silences the encoder and stands in for it."""
        packets: asyncio.Queue[bytes] = asyncio.Queue()
        dtls = sender.transport
        send = dtls._send_rtp

        async def tap(packet: bytes) -> None:
            if not 192 <= packet[1] <= 223:  # not RTCP
                packets.put_nowait(packet)
            await send(packet)

        dtls._send_rtp = tap
        await packets.get()
        sender.replaceTrack(None)
        await asyncio.sleep(0.3)
        last = b""
        while not packets.empty():
            last = packets.get_nowait()
        dtls._send_rtp = send
        sequence, timestamp = SEQUENCE_AND_TIMESTAMP.unpack_from(last, 2)
        return cls(sender, last[: _header_length(last)], sequence, timestamp)

    def packet(self) -> bytes:
        self.sequence = self.sequence + 1 & 0xFFFF
        self.timestamp = self.timestamp + FRAME_TICKS & 0xFFFFFFFF
        self.picture_id = self.picture_id + 1 & 0x7FFF
        header = bytearray(self.header)
        header[1] |= 0x80  # marker: each packet is a whole frame
        SEQUENCE_AND_TIMESTAMP.pack_into(header, 2, self.sequence, self.timestamp)
        picture_id = struct.pack("!H", self.picture_id | 0x8000)
        return bytes(header) + VP8_START_WITH_PICTURE_ID + picture_id + VP8_INTER_FRAME

    async def send(self, count: int, *, per_second: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number in range(count):
            await self.sender.transport._send_rtp(self.packet())
            if number % BATCH == 0:
                await asyncio.sleep(max(0.0, start + number / per_second - loop.time()))


def _header_length(packet: bytes) -> int:
    length = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        length += 4 + 4 * struct.unpack_from("!H", packet, length + 2)[0]
    return length
