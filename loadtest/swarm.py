"""The native swarm. This module is the only one of the package that knows `sfu._core`."""

import secrets
from typing import Literal

from sfu._core import (
    CodecSpec,
    Swarm,
    SwarmStream,
    SwarmTotals,
    SwarmTransport,
    TransportInfo,
)

__all__ = [
    "CodecSpec",
    "Kind",
    "Role",
    "Swarm",
    "SwarmStream",
    "SwarmTotals",
    "SwarmTransport",
    "TransportInfo",
    "new_ssrc",
]

Kind = Literal["audio", "video"]
Role = Literal["client", "server"]


def new_ssrc() -> int:
    """A random SSRC (RFC 3550, section 8.1)."""
    return secrets.randbelow(0xFFFFFFFE) + 1
