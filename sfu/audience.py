"""Tells members what is measured of each other: who speaks, and how well connections do.

Only those are told who receive something of the participant concerned, and that participant. An end
is told to those who were told of the beginning, whoever they receive by then: that somebody speaks
no more, or that a bad connection is a good one again. Most members hear the same people, so a
notice for the same list of changes is made, and encoded, once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from sfu.clock import Cancellable, Clock
from sfu.members import Members
from sfu.notices import QualityChanged, QualityReport, Speaker, SpeakersChanged
from sfu.participant import Participant
from sfu.speakers import Speakers
from sfu.values import ConnectionQuality

CHECK_EVERY_S: Final = 0.4
"""While somebody speaks, silence is looked for this often: the engine's window."""
_BAD: Final = (ConnectionQuality.POOR, ConnectionQuality.LOST)


class Audience:
    """Of the members of one room."""

    def __init__(self, clock: Clock, members: Members) -> None:
        self._clock = clock
        self._members = members
        self._speakers = Speakers()
        self._hearing: defaultdict[str, set[str]] = defaultdict(set)
        """By sid of a speaker: sids of those who have been told that it speaks."""
        self._bad: dict[str, QualityReport] = {}
        """By sid: those whose connection does badly."""
        self._worried: defaultdict[str, set[str]] = defaultdict(set)
        """By sid of such a one: sids of those who have been told."""
        self._silence: SpeakersChanged | None = None
        self._timer: Cancellable | None = None

    # --- speakers --------------------------------------------------------------------------

    def hear(self, window: Mapping[str, tuple[float, float]]) -> None:
        """Takes (level, share of loud frames) of one window, by participant sid."""
        known = {sid: heard for sid, heard in window.items() if self._members.with_sid(sid)}
        self._tell_speakers(self._speakers.hear(known, self._clock.time()))
        self._watch_for_silence()

    def repeat(self, listener: Participant, sids: Iterable[str]) -> None:
        """Says of each of these whether it speaks: `listener` may have missed any of it."""
        now = [self._speaker(sid, listener) for sid in sids]
        if now:
            listener.sink.speakers_changed(SpeakersChanged(tuple(now)))

    def _speaker(self, sid: str, listener: Participant) -> Speaker:
        level = self._speakers.level(sid) if _concerns(listener, sid) else 0.0
        if level > 0.0:
            self._hearing[sid].add(listener.sid)
        return Speaker(sid, level, active=level > 0.0)

    def _tell_speakers(self, changes: tuple[Speaker, ...]) -> None:
        if not changes:
            return
        ended = {one.participant_sid for one in changes if not one.active}
        cache: dict[tuple[Speaker, ...], SpeakersChanged] = {}
        for listener in self._members.listening():
            seen = tuple(one for one in changes if self._tells(listener, one))
            if seen:
                notice = cache.setdefault(seen, SpeakersChanged(seen))
                listener.sink.speakers_changed(notice)
        for sid in ended:
            self._hearing.pop(sid, None)

    def _tells(self, listener: Participant, speaker: Speaker) -> bool:
        hearing = self._hearing[speaker.participant_sid]
        if not speaker.active:
            return listener.sid in hearing
        if not _concerns(listener, speaker.participant_sid):
            return False
        hearing.add(listener.sid)
        return True

    def _watch_for_silence(self) -> None:
        if self._timer is None and self._speakers.anybody:
            self._timer = self._clock.call_later(CHECK_EVERY_S, self._check_silence)

    def _check_silence(self) -> None:
        self._timer = None
        self._tell_speakers(self._speakers.changes(self._clock.time()))
        self._watch_for_silence()

    # --- connections -----------------------------------------------------------------------

    def report_quality(self, reports: tuple[QualityReport, ...]) -> None:
        """Tells changed connection qualities.

        Nobody receives anything of most people in a large room, so theirs is told to them alone:
        looking through everybody for each of them would take a second where a thousand are.
        """
        received = []
        for report in reports:
            participant = self._members.listener(report.participant_sid)
            if participant is None:
                continue
            if report.quality in _BAD:
                self._bad[participant.sid] = report
            if participant.is_publisher or self._worried.get(participant.sid):
                received.append(report)
            else:
                participant.sink.quality_changed(QualityChanged((report,)))
        if received:
            self._tell_quality(received)
        for report in reports:
            if report.quality not in _BAD:
                self._bad.pop(report.participant_sid, None)
                self._worried.pop(report.participant_sid, None)

    def _tell_quality(self, reports: Iterable[QualityReport]) -> None:
        cache: dict[tuple[QualityReport, ...], QualityChanged] = {}
        for listener in self._members.listening():
            seen = tuple(one for one in reports if self._tells_quality(listener, one))
            if seen:
                notice = cache.setdefault(seen, QualityChanged(seen))
                listener.sink.quality_changed(notice)

    def _tells_quality(self, listener: Participant, report: QualityReport) -> bool:
        sid = report.participant_sid
        concerned = _concerns(listener, sid)
        if report.quality not in _BAD:
            return concerned or listener.sid in self._worried.get(sid, ())
        if concerned:
            self._worried[sid].add(listener.sid)
        return concerned

    # --- coming and going ------------------------------------------------------------------

    def starts_receiving(self, listener: Participant, publisher_sid: str) -> None:
        """`listener` receives a first track of somebody, who may be speaking, or doing badly."""
        speaker = self._speaker(publisher_sid, listener)
        if speaker.active:
            listener.sink.speakers_changed(SpeakersChanged((speaker,)))
        report = self._bad.get(publisher_sid)
        if report is not None:
            self._worried[publisher_sid].add(listener.sid)
            listener.sink.quality_changed(QualityChanged((report,)))

    def stops_receiving(self, listener: Participant, publisher_sid: str) -> None:
        """`listener` receives nothing of somebody any more: nor does it hear that one speak."""
        hearing = self._hearing.get(publisher_sid, set())
        if listener.sid in hearing:
            hearing.discard(listener.sid)
            listener.sink.speakers_changed(self._silence_of(publisher_sid))

    def leaves(self, participant: Participant) -> None:
        """A participant goes. Those who heard it speak are told before they are told of that.

        Clients forget the speech of nobody whom they know no more.
        """
        sid = participant.sid
        hearing = self._hearing.pop(sid, set())
        for listener_sid in hearing - {sid}:
            listener = self._members.listener(listener_sid)
            if listener is not None:
                listener.sink.speakers_changed(self._silence_of(sid))
        self._speakers.remove(sid)
        self._bad.pop(sid, None)
        self._worried.pop(sid, None)
        for told in (*self._hearing.values(), *self._worried.values()):
            told.discard(sid)

    def _silence_of(self, sid: str) -> SpeakersChanged:
        """All who received a track are told at once that it has ended: the same notice."""
        if self._silence is None or self._silence.speakers[0].participant_sid != sid:
            self._silence = SpeakersChanged((Speaker(sid, 0.0, active=False),))
        return self._silence

    def close(self) -> None:
        """Ends the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _concerns(participant: Participant, sid: str) -> bool:
    return participant.sid == sid or participant.subscriptions.hears(sid)
