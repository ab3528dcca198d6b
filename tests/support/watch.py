"""What a tab receives over a while, from the browser's own statistics (`getStats`)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.browsers import ChromiumTab

# Sums over the streams of each kind, every 100 ms.
SAMPLE = """async (seconds) => {
  const samples = [];
  const end = performance.now() + seconds * 1000;
  do {
    const sample = {
      at_s: performance.now() / 1000, frames: 0, width: 0, frozen_s: 0, freezes: 0,
      voice_packets: 0, heard: 0, concealed: 0, received_bytes: 0,
    };
    for (const connection of peerConnections) {
      if (connection.connectionState === 'closed') continue;
      (await connection.getStats()).forEach((entry) => {
        if (entry.type !== 'inbound-rtp') return;
        sample.received_bytes += entry.bytesReceived + entry.headerBytesReceived;
        if (entry.kind === 'video') {
          sample.frames += entry.framesDecoded ?? 0;
          sample.width = Math.max(sample.width, entry.frameWidth ?? 0);
          sample.frozen_s += entry.totalFreezesDuration ?? 0;
          sample.freezes += entry.freezeCount ?? 0;
        } else {
          sample.voice_packets += entry.packetsReceived;
          sample.heard += entry.totalSamplesReceived ?? 0;
          sample.concealed +=
            (entry.concealedSamples ?? 0) - (entry.silentConcealedSamples ?? 0);
        }
      });
    }
    samples.push(sample);
    await new Promise((resolve) => setTimeout(resolve, 100));
  } while (performance.now() < end);
  return samples;
}"""


@dataclass(frozen=True)
class Sample:
    """Totals so far, of one tab with one video at a time."""

    at_s: float
    frames: int
    width: int
    frozen_s: float
    freezes: int
    voice_packets: int
    heard: int
    concealed: int
    received_bytes: int


@dataclass(frozen=True)
class Watched:
    """Samples of a while, in order."""

    samples: list[Sample]

    @property
    def seconds(self) -> float:
        return self.samples[-1].at_s - self.samples[0].at_s

    @property
    def longest_gap_s(self) -> float:
        """The longest time without a new picture."""
        longest, last = 0.0, self.samples[0]
        for sample in self.samples:
            longest = max(longest, sample.at_s - last.at_s)
            if sample.frames > last.frames:
                last = sample
        return longest

    @property
    def bitrate_bps(self) -> float:
        received = self.samples[-1].received_bytes - self.samples[0].received_bytes
        return received * 8 / self.seconds

    def gained(self, name: str) -> float:
        """By how much a total has grown."""
        gained: float = getattr(self.samples[-1], name) - getattr(self.samples[0], name)
        return gained

    def __str__(self) -> str:
        widths = sorted({sample.width for sample in self.samples})
        return (
            f"{self.gained('frames') / self.seconds:.1f} frames/s of width {widths}, "
            f"longest gap {self.longest_gap_s:.2f} s, {self.gained('freezes'):.0f} freezes of "
            f"{self.gained('frozen_s'):.2f} s, {self.bitrate_bps / 1000:.0f} kbit/s, "
            f"{self.gained('voice_packets') / self.seconds:.0f} voice packets/s, "
            f"{self.gained('concealed') / max(1, self.gained('heard')):.2%} concealed"
        )


async def watch(tab: ChromiumTab, seconds: float) -> Watched:
    samples = await tab.page.evaluate(SAMPLE, seconds)
    return Watched([Sample(**sample) for sample in samples])


async def watch_until(
    tab: ChromiumTab, wanted: Callable[[Sample], bool], timeout_s: float
) -> float:
    """How many seconds it took until a sample was as wanted."""
    started = asyncio.get_running_loop().time()
    while True:
        latest = (await watch(tab, 0)).samples[-1]
        elapsed = asyncio.get_running_loop().time() - started
        if wanted(latest):
            return elapsed
        assert elapsed < timeout_s, f"not within {timeout_s} s: {latest}"
