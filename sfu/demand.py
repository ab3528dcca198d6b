"""What a track's subscribers want of it, so that nobody uploads what nobody watches (dynacast).

Wishes are counted per quality, so that a subscriber who comes, goes or changes its mind costs the
same in a room of ten and of ten thousand. The publisher is told of a higher wish at once, and of
a lower one only when it has lasted: a viewer who turns a page must not cost a key frame.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from sfu.clock import Cancellable, Clock
from sfu.values import VideoQuality

LOWER_AFTER_S: Final = 5.0
"""A lower quality has to suffice for this long."""
NONE_AFTER_S: Final = 10.0
"""Nobody has to watch for this long before the publisher stops altogether."""


class TrackDemand:
    """`tell` is called with the highest wanted quality, or None if nobody wants the track.

    A publisher that has been told nothing sends every quality.
    """

    def __init__(self, clock: Clock, tell: Callable[[VideoQuality | None], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._counts: Counter[VideoQuality] = Counter()
        self._told: VideoQuality | None = VideoQuality.HIGH
        self._timer: Cancellable | None = None
        self._review()

    @property
    def wanted(self) -> VideoQuality | None:
        """The highest quality that anybody wants now."""
        return max((quality for quality, count in self._counts.items() if count), default=None)

    def change(self, before: VideoQuality | None, after: VideoQuality | None) -> None:
        """One subscriber wanted `before` and wants `after`; None is nothing."""
        if before == after:
            return
        if before is not None:
            self._counts[before] -= 1
        if after is not None:
            self._counts[after] += 1
        self._review()

    def repeat(self) -> None:
        """Tells the publisher again: it may have forgotten while it was muted."""
        self._say(self.wanted)

    def close(self) -> None:
        """Ends the timer; the track has gone."""
        self._disarm()

    def _review(self) -> None:
        wanted = self.wanted
        if _rank(wanted) >= _rank(self._told):
            self._disarm()
            if wanted != self._told:
                self._say(wanted)
        elif self._timer is None:
            delay = NONE_AFTER_S if wanted is None else LOWER_AFTER_S
            self._timer = self._clock.call_later(delay, self._lower)

    def _lower(self) -> None:
        self._timer = None
        if self.wanted != self._told:
            self._say(self.wanted)

    def _say(self, quality: VideoQuality | None) -> None:
        self._disarm()
        self._told = quality
        self._tell(quality)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _rank(quality: VideoQuality | None) -> int:
    return -1 if quality is None else int(quality)
