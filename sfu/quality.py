"""Connection quality from loss and delay, by the E-model reduced to what is known here.

ITU-T G.107 rates a connection by R = 93.2 minus impairments, and maps R to a mean opinion score.
"""

from typing import Final

from sfu.values import ConnectionQuality

_BEST_R: Final = 93.2
_LOSS_PENALTY: Final = 2.5
"""Points of R per percent of loss, for codecs that conceal it."""
_DELAY_KNEE_MS: Final = 160.0
"""Below this one-way delay conversation does not suffer."""
_EXCELLENT_FROM: Final = 4.1
_GOOD_FROM: Final = 3.1


def score(fraction_lost: float, round_trip_ms: float) -> float:
    """Mean opinion score, 1.0 to 4.5. `fraction_lost` is 0.0 to 1.0."""
    delay_ms = max(round_trip_ms, 0.0) / 2
    rating = _BEST_R - delay_ms / 40
    if delay_ms > _DELAY_KNEE_MS:
        rating -= (delay_ms - _DELAY_KNEE_MS) / 10
    rating -= min(max(fraction_lost, 0.0), 1.0) * 100 * _LOSS_PENALTY
    rating = max(rating, 0.0)
    # The curve dips below 1, the worst score there is, where the rating is very low.
    return max(1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating), 1.0)


def quality(mean_opinion: float) -> ConnectionQuality:
    """The step that a score belongs to."""
    if mean_opinion >= _EXCELLENT_FROM:
        return ConnectionQuality.EXCELLENT
    if mean_opinion >= _GOOD_FROM:
        return ConnectionQuality.GOOD
    return ConnectionQuality.POOR
