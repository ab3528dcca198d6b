"""Identifiers that clients see.

The prefixes carry meaning on the wire: clients split a media stream's id at "|" and look for `PA`
and `TR` at the start of the halves. The letters after them are random, without look-alikes, as
people read these identifiers aloud when they report a problem.
"""

import secrets

from sfu.values import TrackKind, TrackSource

_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_LENGTH = 12

_KIND_LETTER = {TrackKind.AUDIO: "A", TrackKind.VIDEO: "V"}
_SOURCE_LETTER = {
    TrackSource.UNKNOWN: "",
    TrackSource.CAMERA: "C",
    TrackSource.MICROPHONE: "M",
    TrackSource.SCREEN_SHARE: "S",
    TrackSource.SCREEN_SHARE_AUDIO: "s",
}


def room_sid() -> str:
    """A new `RM_...`."""
    return "RM_" + _letters()


def participant_sid() -> str:
    """A new `PA_...`."""
    return "PA_" + _letters()


def node_id() -> str:
    """A new `ND_...`."""
    return "ND_" + _letters()


def track_sid(kind: TrackKind, source: TrackSource) -> str:
    """A new `TR_...`, whose first letters tell kind and source: `TR_VC...` is a camera."""
    return f"TR_{_KIND_LETTER[kind]}{_SOURCE_LETTER[source]}" + _letters()


def _letters() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
