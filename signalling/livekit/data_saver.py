"""The bound that somebody sets on what is sent to them, to spend no more data than they mean to.

It travels as an attribute of the participant, as every LiveKit client can set those, and is
enforced where it saves the money: before the bytes leave the server. Audio comes first, then the
video that fits.
"""

from collections.abc import Mapping
from typing import Final

ATTRIBUTE: Final = "kinguicall.downlink_limit_kbps"
"""Kilobits a second, as a decimal number. Absent: no bound but the server's."""
_LOWEST_KBPS: Final = 20
"""One voice with what carries it (engine figures, listener at 16 kbit/s Opus)."""
_MAX_DIGITS: Final = 9


def downlink_limit_bps(attributes: Mapping[str, str], server_limit_bps: int | None) -> int | None:
    """What may be sent, in bits a second; None without any bound.

    What is no decimal number is taken as absent: others' software may write anything there.
    """
    text = attributes.get(ATTRIBUTE, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        return server_limit_bps
    own_bps = max(int(text), _LOWEST_KBPS) * 1000
    return own_bps if server_limit_bps is None else min(own_bps, server_limit_bps)
