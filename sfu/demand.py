"""What a track's subscribers want of it, so that nobody uploads what nobody watches (dynacast).

Wishes are counted per codec and quality, so that a subscriber who comes, goes or changes its mind
costs the same in a room of ten and of ten thousand. The publisher is told of a higher wish at once,
and of a lower one only when it has lasted: a viewer who turns a page must not cost a key frame.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sfu.clock import Cancellable, Clock
from sfu.values import CodecRole, VideoQuality

LOWER_AFTER_S: Final = 5.0
"""A lower quality has to suffice for this long."""
NONE_AFTER_S: Final = 10.0
"""Nobody has to watch for this long before the publisher stops altogether."""

Demands = Mapping[CodecRole, VideoQuality | None]
"""The highest wanted quality of each codec; None: nobody wants it."""


class TrackDemand:
    """`tell` is called with what is wanted of each of the track's codecs.

    A publisher that has been told nothing sends every quality of its primary codec, and no backup.
    """

    def __init__(
        self,
        clock: Clock,
        tell: Callable[[Demands], None],
        roles: Iterable[CodecRole] = (CodecRole.PRIMARY,),
    ) -> None:
        self._tell = tell
        self._codecs = {role: _CodecDemand(clock, role, self._say) for role in roles}

    def wanted(self, role: CodecRole = CodecRole.PRIMARY) -> VideoQuality | None:
        """The highest quality that anybody wants of a codec now."""
        codec = self._codecs.get(role)
        return None if codec is None else codec.wanted

    def change(
        self,
        before: VideoQuality | None,
        after: VideoQuality | None,
        role: CodecRole = CodecRole.PRIMARY,
        *,
        for_good: bool = False,
    ) -> None:
        """One subscriber wanted `before` of a codec and wants `after`; None is nothing.

        With `for_good` it will not come back soon: if it was the last one, the publisher stops at
        once.
        """
        codec = self._codecs.get(role)
        if codec is not None and before != after:
            codec.change(before, after, for_good=for_good)

    def repeat(self) -> None:
        """Tells the publisher again: it may have forgotten while it was muted."""
        for codec in self._codecs.values():
            codec.settle()
        self._say()

    def drop(self, role: CodecRole) -> None:
        """There is no such codec any more."""
        codec = self._codecs.pop(role, None)
        if codec is not None:
            codec.close()

    def close(self) -> None:
        """Ends the timers; the track has gone."""
        for codec in self._codecs.values():
            codec.close()

    def _say(self) -> None:
        self._tell({role: codec.told for role, codec in self._codecs.items()})


class _CodecDemand:
    """Of one codec. `say` is called when `told` has changed."""

    def __init__(self, clock: Clock, role: CodecRole, say: Callable[[], None]) -> None:
        self._clock = clock
        self._say = say
        self._counts: Counter[VideoQuality] = Counter()
        self.told: VideoQuality | None = VideoQuality.HIGH if role is CodecRole.PRIMARY else None
        self._timer: Cancellable | None = None
        self._review()

    @property
    def wanted(self) -> VideoQuality | None:
        return max((quality for quality, count in self._counts.items() if count), default=None)

    def change(
        self, before: VideoQuality | None, after: VideoQuality | None, *, for_good: bool
    ) -> None:
        if before is not None:
            self._counts[before] -= 1
        if after is not None:
            self._counts[after] += 1
        if for_good and self.wanted is None:
            self._tell_now()
        else:
            self._review()

    def settle(self) -> None:
        """What is wanted now counts at once."""
        self.close()
        self.told = self.wanted

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _review(self) -> None:
        wanted = self.wanted
        if _rank(wanted) >= _rank(self.told):
            self._tell_now()
        elif self._timer is None:
            delay = NONE_AFTER_S if wanted is None else LOWER_AFTER_S
            self._timer = self._clock.call_later(delay, self._tell_now)

    def _tell_now(self) -> None:
        told = self.told
        self.settle()
        if self.told != told:
            self._say()


def _rank(quality: VideoQuality | None) -> int:
    return -1 if quality is None else int(quality)
