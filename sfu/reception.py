"""One subscriber's part in a video track: which codec it gets, and what it wants of each.

While a subscriber changes over to another codec it wants both: what flows must not stop before the
other one does.
"""

from dataclasses import dataclass

from sfu.ports import SessionSink
from sfu.track import PublishedTrack
from sfu.values import CodecRole, SubscriptionSettings, VideoQuality


@dataclass(slots=True, eq=False)
class Reception:
    """Implements `sfu.codec_plan.Viewer`."""

    track: PublishedTrack
    sink: SessionSink
    _settings: SubscriptionSettings | None = None
    _chosen: CodecRole | None = CodecRole.PRIMARY
    _flowing: CodecRole | None = None
    _wanted: tuple[VideoQuality | None, ...] = (None, None)
    """What is counted in the track's demand, by role."""

    def __post_init__(self) -> None:
        if self.track.plan is not None:
            self._chosen = self.track.plan.first_choice

    def want(self, settings: SubscriptionSettings) -> None:
        """The client needs the track like this."""
        self._settings = settings
        self._count()

    def codec_chosen(self, role: CodecRole | None) -> None:
        self._chosen = role
        if role is None:
            self._flowing = None
        self._count()
        self.sink.codec_chosen(self.track, role)

    def flows(self, role: CodecRole | None) -> None:
        """This is what is sent."""
        self._flowing = role
        self._count()

    def close(self) -> None:
        """The subscriber wants nothing any more."""
        self._settings = None
        self._count()
        if self.track.plan is not None:
            self.track.plan.leave(self)

    def _count(self) -> None:
        demand = self.track.demand
        if demand is None:
            return
        before = self._wanted
        self._wanted = tuple(self._quality(role) for role in CodecRole)
        for role in CodecRole:
            # It has gone over to the other codec, and that flows.
            gone_over = self._settings is not None and role != self._chosen
            demand.change(before[role], self._wanted[role], role, for_good=gone_over)

    def _quality(self, role: CodecRole) -> VideoQuality | None:
        if self._settings is None or role not in (self._chosen, self._flowing):
            return None
        return self.track.quality_for(self._settings, role)
