"""The kinds of state that a client is told of, as an outbox needs them (`outbox.Topic`)."""

from collections.abc import Iterable
from typing import Final

from sfu import limits
from sfu.notices import (
    ParticipantsChanged,
    ParticipantSnapshot,
    ParticipantState,
    QualityChanged,
    QualityReport,
    RoomChanged,
    RoomSnapshot,
    Speaker,
    SpeakersChanged,
)
from signalling.livekit import outbound
from signalling.livekit.outbox import Topic


def _participants(notice: ParticipantsChanged) -> Iterable[tuple[str, ParticipantSnapshot]]:
    return ((one.sid, one) for one in notice.participants)


def _only_here(one: ParticipantSnapshot) -> int:
    """Whoever is present is in the room's memory; of the departed only outboxes know."""
    if one.state is not ParticipantState.DISCONNECTED:
        return 0
    return limits.utf8_bytes(one.name, one.metadata) + limits.attributes_bytes(one.attributes)


def _room(notice: RoomChanged) -> Iterable[tuple[str, RoomSnapshot]]:
    return (("", notice.room),)


def _latest_room(rooms: Iterable[RoomSnapshot]) -> tuple[bytes, ...]:
    return tuple(message for room in rooms for message in outbound.room_update(RoomChanged(room)))


def _speakers(notice: SpeakersChanged) -> Iterable[tuple[str, Speaker]]:
    return ((one.participant_sid, one) for one in notice.speakers)


def _speak(speakers: Iterable[Speaker]) -> tuple[bytes, ...]:
    return outbound.speakers_changed(SpeakersChanged(tuple(speakers)))


def _qualities(notice: QualityChanged) -> Iterable[tuple[str, QualityReport]]:
    return ((one.participant_sid, one) for one in notice.reports)


def _report(reports: Iterable[QualityReport]) -> tuple[bytes, ...]:
    return outbound.connection_quality(QualityChanged(tuple(reports)))


PARTICIPANTS: Final = Topic(
    "participants",
    whole=lambda notice: notice.rendered(outbound.update),
    items=_participants,
    gather=outbound.participants,
    weigh=_only_here,
    introduces=True,
)
ROOM: Final = Topic(
    "room",
    whole=lambda notice: notice.rendered(outbound.room_update),
    items=_room,
    gather=_latest_room,
)
SPEAKERS: Final = Topic(
    "speakers",
    whole=lambda notice: notice.rendered(outbound.speakers_changed),
    items=_speakers,
    gather=_speak,
)
QUALITY: Final = Topic(
    "quality",
    whole=lambda notice: notice.rendered(outbound.connection_quality),
    items=_qualities,
    gather=_report,
)
