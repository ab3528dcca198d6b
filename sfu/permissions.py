"""A publisher's own rules about who may receive its tracks.

Rules are looked up for each subscriber and track, so the entries are sorted into dictionaries once;
and two sets of rules are compared by their entries, so that a change costs as much as it changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TrackPermission:
    """One subscriber's rights, named by sid or by identity."""

    participant_sid: str = ""
    participant_identity: str = ""
    all_tracks: bool = False
    track_sids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Affected:
    """Whom a change of rules may concern."""

    everybody: bool = False
    sids: frozenset[str] = frozenset()
    identities: frozenset[str] = frozenset()


_Granted = Mapping[str, tuple[bool, set[str]]]
"""All tracks, or these."""


@dataclass(frozen=True, slots=True)
class SubscriptionPermission:
    """Everybody may receive everything, unless the publisher says otherwise."""

    all_participants: bool = True
    entries: tuple[TrackPermission, ...] = ()
    _by_sid: _Granted = field(init=False, repr=False, compare=False)
    _by_identity: _Granted = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_sid: dict[str, tuple[bool, set[str]]] = {}
        by_identity: dict[str, tuple[bool, set[str]]] = {}
        for entry in self.entries:
            named = by_sid if entry.participant_sid else by_identity
            name = entry.participant_sid or entry.participant_identity
            everything, tracks = named.get(name, (False, set()))
            tracks.update(entry.track_sids)
            named[name] = (everything or entry.all_tracks, tracks)
        object.__setattr__(self, "_by_sid", by_sid)
        object.__setattr__(self, "_by_identity", by_identity)

    def allows(self, track_sid: str, *, sid: str, identity: str) -> bool:
        """Whether the participant may receive the track."""
        if self.all_participants:
            return True
        return _grants(self._by_sid, sid, track_sid) or _grants(
            self._by_identity, identity, track_sid
        )

    def changes(self, before: "SubscriptionPermission") -> Affected:
        """Those for whom these rules may say something else than the ones before."""
        if self.all_participants != before.all_participants:
            return Affected(everybody=True)
        if self.all_participants:
            return Affected()
        return Affected(
            sids=_differences(self._by_sid, before._by_sid),
            identities=_differences(self._by_identity, before._by_identity),
        )


def _grants(granted: _Granted, name: str, track_sid: str) -> bool:
    grant = granted.get(name)
    return grant is not None and (grant[0] or track_sid in grant[1])


def _differences(one: _Granted, other: _Granted) -> frozenset[str]:
    return frozenset(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
