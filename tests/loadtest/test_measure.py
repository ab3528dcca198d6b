"""Quantiles of histograms that the swarm keeps."""

import pytest

from loadtest.measure import Histogram

BOUNDS_US = [100.0, 200.0, 400.0, 800.0]


def test_quantiles_are_interpolated_in_their_bucket() -> None:
    histogram = Histogram(BOUNDS_US, [0, 50, 50, 0])
    assert histogram.quantile_ms(0.5) == pytest.approx(0.2)
    assert histogram.quantile_ms(0.75) == pytest.approx(0.3)
    assert histogram.quantile_ms(1.0) == pytest.approx(0.4)


def test_a_window_counts_what_came_in_it() -> None:
    before, after = Histogram(BOUNDS_US, [9, 1, 0, 0]), Histogram(BOUNDS_US, [9, 1, 0, 4])
    assert after.since(before).counts == [0, 0, 0, 4]
    assert before.since(before).quantiles_ms() is None
