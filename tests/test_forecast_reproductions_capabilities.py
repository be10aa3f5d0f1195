"""Published capability trends and timelines computed again: verdicts, and evidence for slips."""

import numpy as np
import pytest
from aitimelines.forecast import reproduce
from aitimelines.forecast.reproductions import capabilities, direct_approach, timelines
from aitimelines.forecast.reproductions.direct_approach import AUGUST_2023, BESIROGLU, HEAD
from scipy import optimize

DIFFERS = {
    "metr-2026-doubling-time-since-2024-suite-1-0",
    "metr-2026-doubling-time-since-2023-suite-1-1",
    "metr-2026-doubling-time-since-2024-suite-1-1",
    "metr-th-1-1-doubling-time-all-stitched",
    "kwa-2025-claude-3-7-horizon-50",
    "ord-2025-horizon-80-in-the-table",
    "epoch-2025-index-before-break",
    "epoch-2025-index-after-break",
    "epoch-2025-index-break",
    "direct-approach-largest-run-2025",
    "full-takeoff-model-largest-run-2025",
    "wildeford-2025-largest-run-2025",
}
INSIDE = {"kwa-2025-one-month-2019-2025", "kwa-2025-one-month-2024-2025"}
COMPUTED = capabilities.COMPUTED | timelines.COMPUTED


def test_every_published_number_is_computed() -> None:
    ours = {name for topic in ("capabilities", "timelines") for name in reproduce.by_topic()[topic]}
    assert ours == set(COMPUTED)


@pytest.mark.parametrize("name", COMPUTED)
def test_verdicts(name: str) -> None:
    entry, computed = reproduce.published()[name], COMPUTED[name]()
    expected = "differs" if name in DIFFERS else "reproduced"
    assert reproduce.verdict(entry, computed) == ("inside interval" if name in INSIDE else expected)
    if name in DIFFERS:
        assert entry.note or computed.note


def test_the_doubling_time_since_2023_exactly() -> None:
    """Derived: 128.744 days, R squared 0.934."""
    found = COMPUTED["metr-th-1-1-doubling-time-since-2023"]()
    assert found.value == pytest.approx(128.744, abs=0.001)
    assert found.n == 14
    assert found.low < found.value < found.high


def test_a_broken_line_is_found() -> None:
    year = np.linspace(2020, 2026, 40)
    value = 3 * (year - 2020) + 9 * np.maximum(year - 2023.25, 0)
    before, after, date = capabilities.broken_line(year, value)
    assert (before, after) == pytest.approx((3, 12), rel=0.05)
    assert date == pytest.approx(2023.25, abs=1 / 12)


# --- the Direct Approach --------------------------------------------------------------------------


def test_a_soft_ceiling_is_near_both_its_bounds() -> None:
    value = np.array([-3.0, 2.0, 5.0, 40.0])
    expected = np.log10(1e5 * -np.expm1(-(10**value) / 1e5))
    np.testing.assert_allclose(direct_approach.soft_ceiling(value, np.full(4, 5.0)), expected)


def test_a_quantile_line_has_its_share_below() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, 500)
    y = 2 + 0.5 * x + rng.exponential(1, 500)
    line = direct_approach.quantile_line(x, y, 0.8)
    assert np.mean(y < line[0] + line[1] * x) == pytest.approx(0.8, abs=0.01)
    assert line[0] + 5 * line[1] == pytest.approx(4.5 + np.log(5), abs=0.25)
    assert line[1] == pytest.approx(0.5, abs=0.1)


def test_chips_of_2023_have_the_compute_of_their_day() -> None:
    """4e17 FLOP per dollar is what the code's price was chosen for."""
    found = direct_approach.flop_per_usd(np.random.default_rng(0), 2000)
    assert found.shape == (2000, 78)
    assert np.median(found[:, 0]) == pytest.approx(np.log10(4e17), abs=0.15)
    assert len(direct_approach.chip_trends().new_years) == 30


def test_the_operator_as_coded_misses_the_optimum() -> None:
    """Evidence: the size that minimises the loss at 6ND = 1e24 is that of the mended G."""
    a, b, alpha, beta = BESIROGLU
    product = 1e24 / 6

    def loss(log_size: float) -> float:
        return a / np.exp(alpha * log_size) + b / (product / np.exp(log_size)) ** beta

    best = optimize.minimize_scalar(loss, bounds=(15, 35), method="bounded").x
    power = 1 / (alpha + beta)
    mended, coded = (alpha * a / (beta * b)) ** power, alpha * a / (beta * b) ** power
    assert np.log(mended * product ** (beta * power)) == pytest.approx(best, abs=1e-3)
    assert mended / coded == pytest.approx(8, rel=0.1)  # so many times too few parameters


def test_bits_are_divided_by_nats() -> None:
    """Evidence: the constant is Wald's in bits; in nats it is (1 - 2 x 0.1) ln 9."""
    bits = direct_approach.information_of_a_judge()
    assert bits * np.log(2) == pytest.approx(0.8 * np.log(9))


def test_no_arrival_so_far_raises_the_requirement() -> None:
    raw = np.random.default_rng(0).normal(32, 7, 20_000)
    at = np.array([20.0, 25, 30, 35])
    shrunk = np.array([np.mean(25 + 5 / 7 * (raw - 25) < x) for x in at])
    assert (direct_approach.requirement_cdf(raw, at) < shrunk).all()


def test_the_readme_is_stale() -> None:
    """Evidence: what it prints are the defaults of August 2023."""
    then, now = (direct_approach.timeline(given).probability[7] for given in (AUGUST_2023, HEAD))
    assert then == pytest.approx(0.29, abs=0.012)
    assert now > 0.5
    assert direct_approach.year_of(0.9, AUGUST_2023) == np.inf
