"""A media node: its rooms, its engine, and what it measures.

The node turns the engine's measurements into what a room understands: audio levels by participant,
connection quality by participant.
"""

from dataclasses import dataclass, field
from typing import Final

from sfu import _core, ids, quality
from sfu.clock import Cancellable, Clock
from sfu.engine import Engine
from sfu.events import EventStream, RoomClosed, RoomEvent
from sfu.journal import Journal
from sfu.memory import MemoryKeeper
from sfu.notices import QualityReport
from sfu.participant import Participant
from sfu.removals import Removals
from sfu.room import Room
from sfu.values import Admission, ConnectionQuality, EndReason, RoomOptions

QUALITY_EVERY_S: Final = 5.0
"""Connection quality is measured, and told if changed, this often."""


class NodeStoppingError(Exception):
    """The node takes no further participants."""


class RemovedError(Exception):
    """The participant has been put out of the room after its token was issued."""


@dataclass(frozen=True, slots=True)
class MediaOwner:
    """Whose transport or engine track it is."""

    room: Room
    participant: Participant


@dataclass(slots=True)
class _Reception:
    """Counters of a published track at the previous measurement."""

    packets: int = 0
    lost: int = 0


@dataclass(slots=True, eq=False)
class Node:
    """Made inside a running event loop, which is its `clock`."""

    engine: Engine
    clock: Clock
    node_id: str = field(default_factory=ids.node_id)
    region: str = ""
    stopping: bool = False
    events: EventStream = field(default_factory=EventStream)
    """Whatever happens in any room."""
    removals: Removals = field(default_factory=Removals)
    journal: Journal = field(default_factory=Journal)
    _rooms: dict[str, Room] = field(default_factory=dict)
    """By name."""
    _next_room_id: int = 1
    _track_owners: dict[int, MediaOwner] = field(default_factory=dict)
    _transport_owners: dict[int, MediaOwner] = field(default_factory=dict)
    _told_quality: dict[str, ConnectionQuality] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    """Participants whose connection gives no sign of life at the moment."""
    _receptions: dict[int, _Reception] = field(default_factory=dict)
    _quality_timer: Cancellable | None = None
    _memory: MemoryKeeper = field(default_factory=MemoryKeeper)

    def __post_init__(self) -> None:
        self.events.subscribe(self._read)
        self.events.subscribe(self.removals.read)
        self.events.subscribe(self.journal.read)
        self.engine.watch_levels(self._levels)
        self._quality_timer = self.clock.call_later(QUALITY_EVERY_S, self.measure)

    def room(self, name: str, options: RoomOptions) -> Room:
        """The room of that name; `options` count if it has to be made.

        Raises NodeStoppingError.
        """
        if self.stopping:
            raise NodeStoppingError("the node is stopping")
        room = self._rooms.get(name)
        if room is None:
            room = Room(
                name=name,
                options=options,
                engine_room_id=self._next_room_id,
                clock=self.clock,
                onward=self.events,
            )
            self._next_room_id += 1
            self._rooms[name] = room
        return room

    def check_admission(self, admission: Admission) -> None:
        """Raises NodeStoppingError, RemovedError, RoomFullError or RoomClosedError."""
        if self.stopping:
            raise NodeStoppingError("the node is stopping")
        if self.removals.refuse(admission.room, admission.identity, admission.issued_at_s):
            raise RemovedError("removed from the room")
        room = self._rooms.get(admission.room)
        if room is not None:
            room.check_admission(admission.identity)

    def find_room(self, name: str) -> Room | None:
        """The room of that name, if it is open here."""
        return self._rooms.get(name)

    def list_rooms(self) -> tuple[Room, ...]:
        """Every open room."""
        return tuple(self._rooms.values())

    @property
    def participants(self) -> int:
        """How many are in rooms."""
        return sum(room.size for room in self._rooms.values())

    def own_track(self, engine_track_id: int, owner: MediaOwner) -> None:
        """Measurements of this track are the owner's."""
        self._track_owners[engine_track_id] = owner

    def disown_track(self, engine_track_id: int) -> None:
        """The track has ended."""
        self._track_owners.pop(engine_track_id, None)
        self._receptions.pop(engine_track_id, None)

    def own_transport(self, transport_id: int, owner: MediaOwner) -> None:
        """Measurements of this transport are the owner's."""
        self._transport_owners[transport_id] = owner
        self._memory.grown(len(self._transport_owners))

    def disown_transport(self, transport_id: int) -> None:
        """The transport has been closed."""
        owner = self._transport_owners.pop(transport_id, None)
        if owner is not None:
            self._told_quality.pop(owner.participant.sid, None)
            self._lost.discard(owner.participant.sid)

    def connection_lost(self, owner: MediaOwner) -> None:
        """A participant's primary connection gives no sign of life; others are told."""
        sid = owner.participant.sid
        self._lost.add(sid)
        self._told_quality[sid] = ConnectionQuality.LOST
        owner.room.report_quality((QualityReport(sid, ConnectionQuality.LOST, 0.0),))

    def connection_back(self, owner: MediaOwner) -> None:
        """It does again; the next measurement tells how well."""
        self._lost.discard(owner.participant.sid)

    def stop(self) -> None:
        """Ends every room. The engine is stopped by whoever made it."""
        if self.stopping:
            return
        self.stopping = True
        if self._quality_timer is not None:
            self._quality_timer.cancel()
        for room in list(self._rooms.values()):
            room.close(EndReason.SERVER_SHUTDOWN)

    def _read(self, event: RoomEvent) -> None:
        if isinstance(event, RoomClosed):
            self._rooms.pop(event.room.name, None)

    def _levels(self, event: _core.AudioLevels) -> None:
        windows: dict[str, tuple[Room, dict[str, tuple[float, float]]]] = {}
        for track_id, level, share in event.levels:
            owner = self._track_owners.get(track_id)
            if owner is None:
                continue
            _, window = windows.setdefault(owner.room.sid, (owner.room, {}))
            sid = owner.participant.sid
            window[sid] = max(window.get(sid, (0.0, 0.0)), (level, share))
        for room, window in windows.values():
            room.hear(window)

    def measure(self) -> None:
        """Measures connections, tells what has changed, and plans the next measurement."""
        if self._quality_timer is not None:
            self._quality_timer.cancel()
        self._quality_timer = self.clock.call_later(QUALITY_EVERY_S, self.measure)
        self._memory.look(len(self._transport_owners))
        changed: dict[str, tuple[Room, list[QualityReport]]] = {}
        for sid, (owner, score) in self._scores(self.engine.core.stats()).items():
            if sid in self._lost:
                continue
            step = quality.quality(score)
            if self._told_quality.get(sid) is not step:
                self._told_quality[sid] = step
                _, reports = changed.setdefault(owner.room.sid, (owner.room, []))
                reports.append(QualityReport(sid, step, score))
        for room, reports in changed.values():
            room.report_quality(tuple(reports))

    def _scores(self, stats: _core.EngineStats) -> dict[str, tuple[MediaOwner, float]]:
        """The worst score of each participant, over what it sends and what it receives."""
        scores: dict[str, tuple[MediaOwner, float]] = {}

        def rate(owner: MediaOwner, score: float) -> None:
            sid = owner.participant.sid
            if sid not in scores or score < scores[sid][1]:
                scores[sid] = (owner, score)

        for transport in stats.transports:
            owner = self._transport_owners.get(transport.transport_id)
            if owner is not None:
                rate(owner, quality.score(transport.fraction_lost, transport.round_trip_ms))
        for track in stats.tracks:
            owner = self._track_owners.get(track.track_id)
            if owner is not None:
                rate(owner, quality.score(self._recent_loss(track), 0.0))
        return scores

    def _recent_loss(self, track: _core.TrackStats) -> float:
        packets = sum(layer[1] for layer in track.layers)
        lost = sum(layer[3] for layer in track.layers)
        before = self._receptions.setdefault(track.track_id, _Reception())
        received = packets - before.packets
        missing = max(lost - before.lost, 0)
        before.packets, before.lost = packets, lost
        return missing / (received + missing) if received + missing > 0 else 0.0
