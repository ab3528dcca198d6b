"""The life of a session, as a table.

A session is one participant's presence in a room; links (WebSockets) come and go under it.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class SessionState(Enum):
    """A session is in one of these states."""

    OPENING = auto()
    """Its participant is in the room, and has not been told yet."""
    CONNECTING = auto()
    """Told about the room; the primary transport is not connected yet."""
    ACTIVE = auto()
    """The primary transport is connected."""
    DETACHED = auto()
    """Active, but without a link: media flows, and the client may resume."""
    ENDED = auto()
    """Final."""


class SessionEvent(Enum):
    """What happens to a session."""

    OPENED = auto()
    MEDIA_CONNECTED = auto()
    LINK_LOST = auto()
    RESUMED = auto()
    END = auto()


_S, _E = SessionState, SessionEvent

TRANSITIONS: Final[Mapping[SessionState, Mapping[SessionEvent, SessionState]]] = {
    _S.OPENING: {_E.OPENED: _S.CONNECTING, _E.LINK_LOST: _S.ENDED, _E.END: _S.ENDED},
    _S.CONNECTING: {
        _E.MEDIA_CONNECTED: _S.ACTIVE,
        # A client that never had media has nothing to come back to.
        _E.LINK_LOST: _S.ENDED,
        _E.END: _S.ENDED,
    },
    _S.ACTIVE: {
        _E.MEDIA_CONNECTED: _S.ACTIVE,
        _E.LINK_LOST: _S.DETACHED,
        _E.RESUMED: _S.ACTIVE,
        _E.END: _S.ENDED,
    },
    _S.DETACHED: {
        _E.MEDIA_CONNECTED: _S.DETACHED,
        _E.RESUMED: _S.ACTIVE,
        _E.END: _S.ENDED,
    },
    _S.ENDED: {},
}
"""An event that has no entry is without effect in that state."""
