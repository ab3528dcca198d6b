"""What a run shows in the terminal: a line that is written over; if it is no terminal, lines."""

import sys
import time
from typing import TextIO

from loadtest.run import Sample

_LINE_EVERY_S = 5.0


class Progress:
    """Call it with each phase and sample."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._before: Sample | None = None
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._phase = ""

    def __call__(self, phase: str, sample: Sample | None) -> None:
        line = phase if sample is None else self._line(phase, sample)
        now = time.monotonic()
        if self._is_terminal:
            self._stream.write(f"\r\x1b[K{line}")
            self._stream.flush()
        elif phase != self._phase or now - self._shown_at >= _LINE_EVERY_S:
            self._stream.write(f"{line}\n")
            self._shown_at = now
        self._phase = phase

    def _line(self, phase: str, sample: Sample) -> str:
        parts = [f"{sample.at - self._began:5.1f} s", f"{phase:<9}", f"{sample.ready} here"]
        before, self._before = self._before, sample
        if before is not None:
            seconds = max(sample.at - before.at, 1e-9)
            packets = _rate(before, sample, "packets_received") / seconds
            bits = _rate(before, sample, "bytes_received") * 8 / seconds
            parts += [f"{packets:,.0f} packets/s", f"{bits / 1e6:,.1f} Mbit/s"]
            if sample.server is not None and before.server is not None:
                cores = (sample.server.cpu_s - before.server.cpu_s) / seconds
                memory = sample.server.memory_bytes / 1e6
                parts.append(f"server {cores:.2f} cores, {memory:.0f} MB")
        failed = sample.totals.transports["failed"]
        if failed:
            parts.append(f"{failed} failed")
        return "  ".join(parts)

    def end(self) -> None:
        """Ends the line."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _rate(before: Sample, after: Sample, name: str) -> int:
    return after.totals.counters[name] - before.totals.counters[name]
