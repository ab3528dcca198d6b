"""Who speaks. Works on the windows that the engine reports, and returns changes only.

A window counts as speech when enough of its frames were above the engine's threshold. Levels are
smoothed over two windows and rounded up to eighths, so that clients are told of what a listener
would notice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sfu.notices import Speaker

ACTIVE_SHARE: Final = 0.4
"""Share of a window's frames that must be loud."""
SMOOTHING: Final = 2 / 3
"""Weight of the newest window in an average over two."""
SILENT_AFTER_S: Final = 0.6
"""A track without a report for one and a half windows is silent: silence is not reported."""
FAINTEST: Final = 1 / 32
"""A smoothed level below this is silence."""


@dataclass(slots=True)
class _Voice:
    smoothed: float = 0.0
    told: float = 0.0
    heard_at: float = 0.0


class Speakers:
    """The voices of one room, by participant sid."""

    def __init__(self) -> None:
        self._voices: dict[str, _Voice] = {}

    @property
    def anybody(self) -> bool:
        """Somebody speaks, or has just spoken."""
        return bool(self._voices)

    def hear(self, window: Mapping[str, tuple[float, float]], now: float) -> tuple[Speaker, ...]:
        """Takes (level, share of loud frames) by participant. Returns what has changed."""
        for sid, (level, share) in window.items():
            loud = level if share >= ACTIVE_SHARE else 0.0
            voice = self._voices.get(sid)
            if voice is None:
                if loud == 0.0:
                    continue
                voice = self._voices[sid] = _Voice()
            voice.smoothed += (loud - voice.smoothed) * SMOOTHING
            voice.heard_at = now
        return self.changes(now)

    def changes(self, now: float) -> tuple[Speaker, ...]:
        """What has changed since it was told last, with the passing of time."""
        changed = []
        for sid, voice in list(self._voices.items()):
            if now - voice.heard_at > SILENT_AFTER_S:
                voice.smoothed = 0.0
            level = math.ceil(voice.smoothed * 8) / 8 if voice.smoothed >= FAINTEST else 0.0
            if level != voice.told:
                changed.append(Speaker(sid, min(level, 1.0), active=level > 0.0))
                voice.told = level
            if level == 0.0:
                del self._voices[sid]
        return tuple(changed)

    def level(self, sid: str) -> float:
        """What was told last of this participant, 0.0 if it does not speak."""
        voice = self._voices.get(sid)
        return 0.0 if voice is None else min(voice.told, 1.0)

    def remove(self, sid: str) -> None:
        """The participant has gone: nobody needs to be told of its silence."""
        self._voices.pop(sid, None)
