"""Ratios of two runs."""

from loadtest import compare
from tests.loadtest.figures import figures


def test_ratios_are_of_the_second_to_the_first() -> None:
    one, other = figures(100, 50), figures(100, 50)
    other["server_load"]["cpu_us_per_packet"] = 14.0
    other["video"]["latency_ms"] = None
    rows = dict(compare.rows(one, other))
    assert rows["Server CPU per packet"].split() == ["3.50", "µs", "14.00", "µs", "×", "4.00"]
    assert rows["Audio loss after repair"].split()[:2] == ["0.100%", "0.100%"]
    assert "Video latency, p50" not in rows
    page = compare.markdown(one, other)
    assert "| Server CPU per packet | 3.50 µs | 14.00 µs | × 4.00 |" in page


def test_nothing_is_divided_by_nothing() -> None:
    one, other = figures(100, 50), figures(100, 50)
    one["video"] |= {"frozen": 0.0}
    assert dict(compare.rows(one, other))["Time frozen"].endswith("-")
