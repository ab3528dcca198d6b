"""The bound that somebody sets on what is sent to them, to spend no more data than they mean to.

It travels as an attribute of the participant, as every LiveKit client can set those, and is
enforced where it saves the money: before the bytes leave the server. Audio comes first, then the
video that fits. What a client is told over its WebSocket is counted as well.
"""

from collections.abc import Mapping
from typing import Final

ATTRIBUTE: Final = "kinguicall.downlink_limit_kbps"
"""Kilobits a second, as a decimal number. Absent: no bound but the server's."""
_LOWEST_KBPS: Final = 20
"""One voice with what carries it (engine figures, listener at 16 kbit/s Opus)."""
_MAX_DIGITS: Final = 9
MEASURE_EVERY_S: Final = 5.0
"""Of a session with a bound: long enough that one offer is no burst."""


def downlink_limit_bps(attributes: Mapping[str, str], server_limit_bps: int | None) -> int | None:
    """What may be sent, in bits a second; None without any bound.

    What is no decimal number is taken as absent: others' software may write anything there.
    """
    text = attributes.get(ATTRIBUTE, "")
    if not _is_limit(text):
        return server_limit_bps
    own_bps = max(int(text), _LOWEST_KBPS) * 1000
    return own_bps if server_limit_bps is None else min(own_bps, server_limit_bps)


def is_everybodys_right(attributes: Mapping[str, str]) -> bool:
    """Whether these set the bound, or lift it, and nothing else.

    Who pays for the data decides, so that takes no right: a listener's token has none to tell
    others anything, and a number tells them nothing.
    """
    return bool(attributes) and all(
        key == ATTRIBUTE and (not value or _is_limit(value)) for key, value in attributes.items()
    )


def _is_limit(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


class Budget:
    """Divides a bound between what a session's link was sent and its media.

    Signalling cannot be held back, so media gets what it has left over: what was sent in the last
    `MEASURE_EVERY_S` is taken off until the next measurement. Media keeps half of the bound, as a
    join of a large room must not silence it.
    """

    def __init__(self) -> None:
        self._counted_bytes = 0
        self._counted_at: float | None = None
        self._signalling_bps = 0

    def measure(self, sent_bytes: int, now: float) -> None:
        """Takes what the client was sent so far."""
        if self._counted_at is not None and now > self._counted_at:
            bits = (sent_bytes - self._counted_bytes) * 8
            self._signalling_bps = round(bits / (now - self._counted_at))
        self._counted_bytes, self._counted_at = sent_bytes, now

    def media_bps(self, limit_bps: int | None) -> int | None:
        """What is left for media; None without any bound."""
        if limit_bps is None:
            return None
        return max(limit_bps - self._signalling_bps, limit_bps // 2)
