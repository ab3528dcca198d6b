"""What a participant may do: the questions that are asked at a room's door.

Whoever acts for a participant asks the room, which asks here; nobody else looks at permissions.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final

from sfu import limits
from sfu.track import TrackInfo
from sfu.values import Permissions, TrackKind, TrackSource


class RoomFullError(Exception):
    """The room has as many participants as its options allow."""


class RoomClosedError(Exception):
    """The room has ended."""


class Denial(IntEnum):
    """Why something is not done. The numbers are those of the LiveKit schema's `Reason`."""

    NOT_FOUND = 1
    NOT_ALLOWED = 2
    LIMIT_EXCEEDED = 3


class DeniedError(Exception):
    """A participant asks for what it may not have; the text is for its developer."""

    def __init__(self, reason: Denial, text: str) -> None:
        super().__init__(text)
        self.reason: Final = reason
        self.text: Final = text


def check_publish(
    permissions: Permissions, kind: TrackKind, source: TrackSource, beside: Iterable[TrackInfo]
) -> None:
    """Whether one more track may be published beside others. Raises DeniedError."""
    if not permissions.allows_publishing(source, kind):
        raise DeniedError(Denial.NOT_ALLOWED, "this source may not be published")
    sources = [track.source for track in beside]
    if len(sources) >= limits.TRACKS_PER_PARTICIPANT_MAX:
        raise DeniedError(
            Denial.LIMIT_EXCEEDED, f"at most {limits.TRACKS_PER_PARTICIPANT_MAX} tracks"
        )
    of_source = sources.count(source)
    if source is not TrackSource.UNKNOWN and of_source >= limits.TRACKS_PER_SOURCE_MAX:
        raise DeniedError(
            Denial.LIMIT_EXCEEDED, f"at most {limits.TRACKS_PER_SOURCE_MAX} tracks of one source"
        )


def check_properties(name: str, metadata: str, attributes: Mapping[str, str]) -> None:
    """Whether others can be told this of a participant. Raises DeniedError."""
    if excess := limits.texts_excess(name, metadata, attributes):
        raise DeniedError(Denial.LIMIT_EXCEEDED, excess)


def patched(attributes: Mapping[str, str], patch: Mapping[str, str]) -> dict[str, str]:
    """The attributes after a change: an empty value deletes its key."""
    return {key: value for key, value in {**attributes, **patch}.items() if value}
