"""What the attribute says, and what it cannot say."""

import pytest

from signalling.livekit.data_saver import ATTRIBUTE, Budget, downlink_limit_bps

SERVER_BPS = 20_000_000


@pytest.mark.parametrize(
    ("text", "limit_bps"),
    [("150", 150_000), ("1", 20_000), ("999999999", SERVER_BPS), ("", SERVER_BPS)],
)
def test_the_lower_bound_counts_but_a_voice_always_fits(text: str, limit_bps: int) -> None:
    assert downlink_limit_bps({ATTRIBUTE: text}, SERVER_BPS) == limit_bps


@pytest.mark.parametrize("text", ["-5", "1e3", "150 ", "٣", "²", "9" * 5_000, "NaN"])
def test_anything_else_is_no_bound(text: str) -> None:
    assert downlink_limit_bps({ATTRIBUTE: text}, None) is None


def test_without_the_attribute_the_server_decides() -> None:
    assert downlink_limit_bps({}, None) is None
    assert downlink_limit_bps({}, SERVER_BPS) == SERVER_BPS


def test_what_the_link_was_sent_is_taken_off_the_media() -> None:
    budget = Budget()
    budget.measure(0, 100.0)
    assert budget.media_bps(200_000) == 200_000
    budget.measure(5_000, 105.0)
    assert budget.media_bps(200_000) == 192_000
    assert budget.media_bps(None) is None
    budget.measure(5_000, 110.0)
    assert budget.media_bps(200_000) == 200_000


def test_a_burst_of_signalling_leaves_media_half_of_the_bound() -> None:
    budget = Budget()
    budget.measure(0, 100.0)
    budget.measure(1_000_000, 105.0)
    assert budget.media_bps(64_000) == 32_000
