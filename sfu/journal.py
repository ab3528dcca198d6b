"""Writes down and counts what happens in rooms: a reader of the node's events.

The log says at INFO which rooms there were, and at DEBUG who came and went; sids stand for people,
whose names belong into no log. The numbers only grow, and are read at each scrape of `/metrics`.
"""

import logging
from collections import Counter

from sfu.events import (
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RoomClosed,
    RoomEvent,
    RoomOpened,
    TrackEnded,
    TrackPublished,
)
from sfu.notices import ParticipantState

log = logging.getLogger(__name__)


class Journal:
    """`read` takes every event."""

    def __init__(self) -> None:
        self.rooms_opened = 0
        self.rooms_closed: Counter[str] = Counter()
        """By reason."""
        self.participants_active = 0
        """Participants whose media has connected, ever."""
        self.tracks_published: Counter[str] = Counter()
        """By source."""

    def read(self, event: RoomEvent) -> None:
        """Counts it, and writes it down."""
        match event:
            case RoomOpened():
                self.rooms_opened += 1
                log.info("room %s has opened", event.room.sid)
            case RoomClosed():
                self.rooms_closed[event.reason.name.lower()] += 1
                log.info("room %s has closed: %s", event.room.sid, event.reason.name)
            case ParticipantJoined():
                log.debug("%s has joined %s", event.participant.sid, event.room_sid)
            case ParticipantChanged():
                self._changed(event)
            case ParticipantLeft():
                reason = event.participant.end_reason.name
                log.debug("%s has left %s: %s", event.participant.sid, event.room_sid, reason)
            case TrackPublished():
                self.tracks_published[event.track.source.name.lower()] += 1
                log.debug("%s publishes %s", event.participant.sid, event.track.sid)
            case TrackEnded():
                log.debug("%s publishes %s no more", event.participant.sid, event.track.sid)

    def _changed(self, event: ParticipantChanged) -> None:
        active = ParticipantState.ACTIVE
        if event.participant.state is active is not event.before.state:
            self.participants_active += 1
            log.debug("%s takes part in %s", event.participant.sid, event.room_sid)
