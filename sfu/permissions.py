"""A publisher's own rules about who may receive its tracks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrackPermission:
    """One subscriber's rights, named by sid or by identity."""

    participant_sid: str = ""
    participant_identity: str = ""
    all_tracks: bool = False
    track_sids: frozenset[str] = frozenset()

    def covers(self, sid: str, identity: str) -> bool:
        """Whether the entry is about this participant."""
        if self.participant_sid:
            return self.participant_sid == sid
        return self.participant_identity == identity


@dataclass(frozen=True, slots=True)
class SubscriptionPermission:
    """Everybody may receive everything, unless the publisher says otherwise."""

    all_participants: bool = True
    entries: tuple[TrackPermission, ...] = ()

    def allows(self, track_sid: str, *, sid: str, identity: str) -> bool:
        """Whether the participant may receive the track."""
        if self.all_participants:
            return True
        return any(
            entry.all_tracks or track_sid in entry.track_sids
            for entry in self.entries
            if entry.covers(sid, identity)
        )
