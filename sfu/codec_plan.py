"""Which codec of a track each of its subscribers gets, where a publisher offers two.

The primary codec is the better one, and the backup is what every client decodes. Encoding both
costs the publisher, so by default everybody falls back on the backup while somebody needs it
(codec regression). The publisher may ask instead that each gets the best it can take (simulcast).
"""

from collections import Counter
from enum import IntEnum
from typing import Final, Protocol

from sfu.clock import Cancellable, Clock
from sfu.values import CodecRole

RESTORE_AFTER_S: Final = 10.0
"""So long nobody has to need the backup before all get the primary codec again."""

_PRIMARY_ONLY: Final = frozenset({CodecRole.PRIMARY})
_BACKUP_ONLY: Final = frozenset({CodecRole.BACKUP})


class BackupCodecPolicy(IntEnum):
    """What happens when a subscriber cannot take the primary codec. The schema's numbers."""

    PREFER_REGRESSION = 0
    """All get the backup, unless somebody cannot take that: then both are sent."""
    SIMULCAST = 1
    """Both are sent, each subscriber gets the primary codec if it can."""
    REGRESSION = 2
    """All get the backup, and those who cannot take it get nothing."""


class Viewer(Protocol):
    """One subscriber's part in a track."""

    def codec_chosen(self, role: CodecRole | None) -> None:
        """It gets this codec from now on; None: there is none for it."""


class CodecPlan:
    """Of one track. Viewers count once it is known what they can take."""

    def __init__(self, clock: Clock, policy: BackupCodecPolicy) -> None:
        self._clock = clock
        self._policy = policy
        self._takes: dict[Viewer, frozenset[CodecRole]] = {}
        self._counts: Counter[frozenset[CodecRole]] = Counter()
        self._regressed = False
        self._has_backup = True
        self._timer: Cancellable | None = None

    @property
    def first_choice(self) -> CodecRole:
        """What a new viewer will probably get."""
        return CodecRole.BACKUP if self._regressed else CodecRole.PRIMARY

    def admit(self, viewer: Viewer, takes: frozenset[CodecRole]) -> None:
        """It is known, or known anew, what a viewer can take."""
        before = self._takes.get(viewer)
        if before != takes:
            if before is not None:
                self._counts[before] -= 1
            self._takes[viewer] = takes
            self._counts[takes] += 1
            self._review()
        viewer.codec_chosen(self._choice(takes))

    def leave(self, viewer: Viewer) -> None:
        """The viewer has gone."""
        takes = self._takes.pop(viewer, None)
        if takes is not None:
            self._counts[takes] -= 1
            self._review()

    def tell(self) -> None:
        """Tells everybody its codec: something about the codecs has changed."""
        for viewer, takes in list(self._takes.items()):
            viewer.codec_chosen(self._choice(takes))

    def drop_backup(self) -> None:
        """There is no backup any more, and there will be none."""
        self._has_backup = False
        self._regressed = False
        self.close()
        self.tell()

    def close(self) -> None:
        """Ends the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _choice(self, takes: frozenset[CodecRole]) -> CodecRole | None:
        if CodecRole.BACKUP in takes and self._has_backup:
            if self._regressed or takes == _BACKUP_ONLY:
                return CodecRole.BACKUP
        elif self._regressed and self._policy is BackupCodecPolicy.REGRESSION:
            return None
        return CodecRole.PRIMARY if CodecRole.PRIMARY in takes else None

    def _review(self) -> None:
        if self._policy is BackupCodecPolicy.SIMULCAST or not self._has_backup:
            return
        needed = self._counts[_BACKUP_ONLY] > 0
        refused = self._counts[_PRIMARY_ONLY] > 0
        if needed and refused and self._policy is BackupCodecPolicy.PREFER_REGRESSION:
            self._set(regressed=False)
        elif needed:
            self._set(regressed=True)
        elif self._regressed and self._timer is None:
            self._timer = self._clock.call_later(RESTORE_AFTER_S, self._restore)

    def _restore(self) -> None:
        self._timer = None
        self._set(regressed=False)

    def _set(self, *, regressed: bool) -> None:
        self.close()
        if self._regressed != regressed:
            self._regressed = regressed
            self.tell()
