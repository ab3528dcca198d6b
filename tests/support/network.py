"""A network of our own for tests with real browsers.

Firefox sends nothing to a loopback candidate, so server and browsers need an address that is not
loopback, reachable whatever the machine's own network looks like. The test process moves into a
network namespace of its own, which the kernel removes with its last process: nothing to clean up.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

ADDRESS = "10.99.0.1"
IPV6_ADDRESS = "fd99::1"
CLONE_NEWNET = 0x40000000

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


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, timeout=10)
