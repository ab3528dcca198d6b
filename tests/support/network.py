"""A network of our own for tests with real browsers.

Firefox sends nothing to a loopback candidate, so server and browsers need an address that is not
loopback, reachable whatever the machine's own network looks like. The test process moves into a
network namespace of its own, which the kernel removes with its last process: nothing to clean up.

`behind_a_link` makes a second namespace, for one client whose downlink is narrow or loses packets.
"""

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "10.99.0.1"
LINK_ADDRESS = "10.99.1.1"
"""This side of the link that `behind_a_link` makes: the server takes media and signalling on it."""
IPV6_ADDRESS = "fd99::1"
CLONE_NEWNET = 0x40000000
ETHERNET_HEADER_BYTES = 14

_entered = False


def why_unavailable() -> str | None:
    """A reason to skip, or None."""
    return None if os.geteuid() == 0 else "needs root to make a network namespace"


def enter() -> None:
    """Moves this thread, and all that it starts from here on, into a new namespace. Idempotent."""
    global _entered
    if _entered:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    for command in (
        "link set lo up",
        "link add call0 type veth peer name call1",
        f"addr add {ADDRESS}/24 dev call0",
        "link set call0 up",
        "link set call1 up",
        "route add default via 10.99.0.2 dev call0",
    ):
        _ip(command)
    _entered = True


@contextlib.contextmanager
def with_ipv6() -> Iterator[str]:
    """An IPv6 address in the namespace that this thread has entered, for as long as it lasts."""
    _ip(f"addr add {IPV6_ADDRESS}/64 dev call0 nodad")
    _ip("-6 route add default via fd99::2 dev call0")
    try:
        yield IPV6_ADDRESS
    finally:
        _ip(f"addr del {IPV6_ADDRESS}/64 dev call0")


@dataclass(frozen=True)
class Link:
    """The way to a namespace that one process, of id `holder`, keeps alive. `near` is our end."""

    holder: int
    near: str = "down0"

    @property
    def enter_command(self) -> list[str]:
        """What a command is put behind to run at the far end."""
        return ["nsenter", f"--net=/proc/{self.holder}/ns/net"]

    def narrow(self, kbps: int, queue_ms: int = 300) -> None:
        """The downlink carries no more, with a queue of so long."""
        limits = f"tbf rate {kbps}kbit burst 3000 latency {queue_ms}ms"
        _run(f"tc qdisc replace dev {self.near} root {limits}")

    def widen(self) -> None:
        _run(f"tc qdisc del dev {self.near} root")

    @contextlib.contextmanager
    def losing(self, percent: int) -> Iterator[None]:
        """Datagrams are lost at random when they arrive."""
        for rule in (
            "add table ip loss",
            "add chain ip loss arriving { type filter hook input priority 0; }",
            f"add rule ip loss arriving ip protocol udp numgen random mod 100 < {percent} drop",
        ):
            _run(f"nft {rule}", self.enter_command)
        try:
            yield
        finally:
            _run("nft delete table ip loss", self.enter_command)

    def received(self) -> tuple[int, int]:
        """(bytes with their IP headers, packets) that have arrived on the far interface."""
        lines = Path(f"/proc/{self.holder}/net/dev").read_text().splitlines()
        fields = next(line for line in lines if line.strip().startswith("down1:")).split()
        size, packets = int(fields[1]), int(fields[2])
        return size - packets * ETHERNET_HEADER_BYTES, packets


@contextlib.contextmanager
def behind_a_link(number: int = 0) -> Iterator[Link]:
    """A namespace that reaches only this one, at `LINK_ADDRESS`, over a link of its own."""
    near, subnet = f"down{number * 10}", f"10.99.{number + 1}"
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        link = Link(holder.pid, near)
        _wait_for_namespace(holder.pid)
        _ip(f"link add {near} type veth peer name down1 netns {holder.pid}")
        # Datagrams cross the link one by one, as they would cross a real one.
        _ip(f"link set {near} gso_max_segs 1")
        _ip(f"addr add {subnet}.1/24 dev {near}")
        _ip(f"link set {near} up")
        for command in (
            "link set lo up",
            f"addr add {subnet}.2/24 dev down1",
            "link set down1 up",
            f"route add default via {subnet}.1",
        ):
            _run(f"ip {command}", link.enter_command)
        yield link
    finally:
        _ip(f"link del {near}")  # would go with the namespace too, but later
        holder.kill()
        holder.wait()


def _wait_for_namespace(process: int) -> None:
    own, deadline = Path("/proc/thread-self/ns/net").readlink(), time.monotonic() + 5
    while Path(f"/proc/{process}/ns/net").readlink() == own:
        assert time.monotonic() < deadline, "no namespace after 5 s"
        time.sleep(0.01)


def _run(command: str, prefix: list[str] | None = None) -> None:
    subprocess.run([*(prefix or []), *command.split()], check=True, timeout=10)


def _ip(command: str) -> None:
    _run(f"ip {command}")
