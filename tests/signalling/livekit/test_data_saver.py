"""What the attribute says, and what it cannot say."""

import pytest

from signalling.livekit.data_saver import ATTRIBUTE, downlink_limit_bps

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
