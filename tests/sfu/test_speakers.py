"""Active speakers: changes only, smoothed, in eighths."""

from sfu.speakers import SILENT_AFTER_S, Speakers


def test_a_speaker_is_told_once_while_the_level_stays() -> None:
    speakers = Speakers()
    told = [speakers.hear({"PA_1": (0.5, 1.0)}, now=0.4 * n) for n in range(6)]
    assert told[0][0].active
    assert sum(map(len, told)) <= 3, "smoothing settles after a few windows"
    assert told[-1] == ()


def test_levels_are_eighths() -> None:
    speakers = Speakers()
    levels = {
        change.level
        for n in range(20)
        for change in speakers.hear({"PA_1": (0.07 * (n % 9) + 0.3, 1.0)}, now=0.4 * n)
    }
    assert levels
    assert all((level * 8).is_integer() and 0 < level <= 1 for level in levels)


def test_a_window_with_few_loud_frames_is_not_speech() -> None:
    assert Speakers().hear({"PA_1": (0.9, 0.39)}, now=0) == ()


def test_silence_is_told_once() -> None:
    speakers = Speakers()
    speakers.hear({"PA_1": (0.5, 1.0)}, now=0)
    assert speakers.changes(now=SILENT_AFTER_S - 0.1) == ()
    (change,) = speakers.changes(now=SILENT_AFTER_S + 0.1)
    assert (change.level, change.active) == (0.0, False)
    assert speakers.changes(now=10) == ()
    assert not speakers.anybody


def test_a_quiet_window_fades_before_it_silences() -> None:
    speakers = Speakers()
    speakers.hear({"PA_1": (1.0, 1.0)}, now=0)
    (faded,) = speakers.hear({"PA_1": (0.0, 0.0)}, now=0.4)
    assert faded.active
    assert 0 < faded.level < 1


def test_a_participant_that_left_is_not_told() -> None:
    speakers = Speakers()
    speakers.hear({"PA_1": (0.5, 1.0)}, now=0)
    speakers.remove("PA_1")
    assert speakers.changes(now=10) == ()
