"""Media packets at a rate that encoders do not reach: a published track, continued by hand.

Takes over from an aiortc sender: the packets continue its sequence numbers and timestamps, and each
is a whole VP8 inter frame of a few bytes. The encoder can go on where they end.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from aiortc import MediaStreamTrack, RTCRtpSender

SEQUENCE_AND_TIMESTAMP = struct.Struct("!HI")
FRAME_TICKS = 90  # a frame each millisecond of the 90 kHz clock
BATCH = 20
SETTLE_S = 0.3  # until the frame that is being encoded has been sent
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
    _restore: Callable[[], None] = field(default=lambda: None, repr=False)

    @classmethod
    async def take_over(cls, sender: RTCRtpSender) -> "PacketSource":
        """Waits for the sender's next packet, then silences the encoder and stands in for it."""
        packets: asyncio.Queue[bytes] = asyncio.Queue()
        dtls = sender.transport
        send = dtls._send_rtp

        async def tap(packet: bytes) -> None:
            if not _is_rtcp(packet):
                packets.put_nowait(packet)
            await send(packet)

        dtls._send_rtp = tap
        await packets.get()
        sender.replaceTrack(None)
        await asyncio.sleep(SETTLE_S)
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

    def hand_back(self, track: MediaStreamTrack) -> None:
        """Lets the encoder send `track`, as if it had sent everything so far.

        Its sender reports, which tell its own time, are left out.
        """
        dtls = self.sender.transport
        send = dtls._send_rtp
        shift: tuple[int, int] | None = None

        async def renumber(packet: bytes) -> None:
            nonlocal shift
            if _is_rtcp(packet):
                return
            sequence, timestamp = SEQUENCE_AND_TIMESTAMP.unpack_from(packet, 2)
            if shift is None:
                ahead = self.timestamp + FRAME_TICKS
                shift = self.sequence + 1 - sequence, ahead - timestamp
            self.sequence = sequence + shift[0] & 0xFFFF
            self.timestamp = timestamp + shift[1] & 0xFFFFFFFF
            renumbered = bytearray(packet)
            SEQUENCE_AND_TIMESTAMP.pack_into(renumbered, 2, self.sequence, self.timestamp)
            await send(bytes(renumbered))

        dtls._send_rtp = renumber
        self._restore = lambda: setattr(dtls, "_send_rtp", send)
        self.sender.replaceTrack(track)

    async def take_back(self) -> None:
        """Silences the encoder again."""
        self.sender.replaceTrack(None)
        await asyncio.sleep(SETTLE_S)
        self._restore()


def _is_rtcp(packet: bytes) -> bool:
    return 192 <= packet[1] <= 223


def _header_length(packet: bytes) -> int:
    length = 12 + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        length += 4 + 4 * struct.unpack_from("!H", packet, length + 2)[0]
    return length
