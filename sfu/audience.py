"""Tells members what is measured of each other: who speaks, and how well connections do.

Only those are told who receive something of the participant concerned, and that participant. Most
members hear the same people, so a notice for the same list of changes is made, and encoded, once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from sfu.clock import Cancellable, Clock
from sfu.notices import QualityChanged, QualityReport, Speaker, SpeakersChanged
from sfu.participant import Participant
from sfu.speakers import Speakers

CHECK_EVERY_S: Final = 0.4
"""While somebody speaks, silence is looked for this often: the engine's window."""


class Audience:
    """`recipients` are the members that may be told something now; `recipient` finds one by sid."""

    def __init__(
        self,
        clock: Clock,
        recipients: Callable[[], Iterable[Participant]],
        recipient: Callable[[str], Participant | None],
    ) -> None:
        self._clock = clock
        self._recipients = recipients
        self._recipient = recipient
        self._speakers = Speakers()
        self._timer: Cancellable | None = None

    def hear(self, window: Mapping[str, tuple[float, float]]) -> None:
        """Takes (level, share of loud frames) of one window, by participant sid."""
        self._tell_speakers(self._speakers.hear(window, self._clock.time()))
        self._watch_for_silence()

    def report_quality(self, reports: tuple[QualityReport, ...]) -> None:
        """Tells changed connection qualities.

        Nobody receives anything of most people in a large room, so theirs is told to them alone:
        looking through everybody for each of them would take a second where a thousand are.
        """
        received = []
        for report in reports:
            participant = self._recipient(report.participant_sid)
            if participant is None:
                continue
            if participant.is_publisher:
                received.append(report)
            else:
                participant.sink.quality_changed(QualityChanged((report,)))
        if received:
            self._tell_quality(received)

    def _tell_quality(self, reports: Iterable[QualityReport]) -> None:
        cache: dict[tuple[QualityReport, ...], QualityChanged] = {}
        for participant in self._recipients():
            seen = tuple(one for one in reports if _concerns(participant, one.participant_sid))
            if seen:
                notice = cache.setdefault(seen, QualityChanged(seen))
                participant.sink.quality_changed(notice)

    def forget(self, sid: str) -> None:
        """A participant has gone: nobody needs to be told of its silence."""
        self._speakers.remove(sid)

    def close(self) -> None:
        """Ends the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell_speakers(self, changes: tuple[Speaker, ...]) -> None:
        if not changes:
            return
        cache: dict[tuple[Speaker, ...], SpeakersChanged] = {}
        for participant in self._recipients():
            seen = tuple(one for one in changes if _concerns(participant, one.participant_sid))
            if seen:
                notice = cache.setdefault(seen, SpeakersChanged(seen))
                participant.sink.speakers_changed(notice)

    def _watch_for_silence(self) -> None:
        if self._timer is None and self._speakers.anybody:
            self._timer = self._clock.call_later(CHECK_EVERY_S, self._check_silence)

    def _check_silence(self) -> None:
        self._timer = None
        self._tell_speakers(self._speakers.changes(self._clock.time()))
        self._watch_for_silence()


def _concerns(participant: Participant, sid: str) -> bool:
    return participant.sid == sid or participant.subscriptions.hears(sid)
