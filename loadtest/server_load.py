"""What the server uses: CPU time and memory, by its process or by its `/metrics`."""

import os
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from loadtest.errors import LoadTestError

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CPU, _MEMORY = "process_cpu_seconds_total", "process_resident_memory_bytes"


@dataclass(frozen=True, slots=True)
class Usage:
    """Since the process began, and now."""

    cpu_s: float
    memory_bytes: float


def of_process(pid: int) -> Usage:
    """All threads of a process on this machine. Raises LoadTestError if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        raise LoadTestError(f"there is no process {pid} on this machine") from None
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS_PER_S, pages * _PAGE_BYTES)


async def of_metrics(session: aiohttp.ClientSession, base: str) -> Usage | None:
    """From Prometheus' usual process metrics; None if the server does not publish them."""
    try:
        async with session.get(f"{base}/metrics") as response:
            text = await response.text() if response.status == 200 else ""
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
        return None
    values = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name in (_CPU, _MEMORY):
            values[name] = float(value)
    return Usage(values[_CPU], values[_MEMORY]) if len(values) == 2 else None


class ServerLoad:
    """Asks whichever source there is."""

    def __init__(self, session: aiohttp.ClientSession, base: str, pid: int | None) -> None:
        self._session = session
        self._base = base
        self._pid = pid
        self._is_silent = False

    async def read(self) -> Usage | None:
        """None if neither was given nor is published."""
        if self._pid is not None:
            return of_process(self._pid)
        if self._is_silent:
            return None
        usage = await of_metrics(self._session, self._base)
        self._is_silent = usage is None
        return usage
