"""Connection quality: better is never worse, and the steps are where people notice."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sfu.quality import quality, score
from sfu.values import ConnectionQuality


@pytest.mark.parametrize(
    ("lost", "round_trip_ms", "expected"),
    [
        (0.0, 20, ConnectionQuality.EXCELLENT),
        (0.01, 100, ConnectionQuality.EXCELLENT),
        (0.08, 150, ConnectionQuality.GOOD),
        (0.0, 700, ConnectionQuality.GOOD),
        (0.25, 100, ConnectionQuality.POOR),
        (1.0, 5000, ConnectionQuality.POOR),
    ],
)
def test_steps(lost: float, round_trip_ms: float, expected: ConnectionQuality) -> None:
    assert quality(score(lost, round_trip_ms)) is expected


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5000), st.floats(0, 5000))
def test_more_loss_or_delay_never_scores_better(
    lost: float, other: float, delay: float, more: float
) -> None:
    best = score(min(lost, other), min(delay, more))
    worst = score(max(lost, other), max(delay, more))
    assert 1.0 <= worst <= best <= 4.6
