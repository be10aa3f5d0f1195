"""Where compute-limited training turns data-limited, against the paper's constants and by hand."""

import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast.transition import (
    EXPONENT_OF_FLOP_SD,
    EXPONENT_OF_TOKENS_SD,
    summary,
    transition,
)

DAY = 8.64e19  # FLOP of a petaFLOP/s-day


def frontier(slope: float = 0.6, spread: float = 0.0) -> xr.Dataset:
    """Return a trend that is 24 in 2020; spread: of its 5 and 95 % quantiles about the median."""
    years = np.arange(2010.0, 2027.0, 0.5)
    middle = 24 + slope * (years - 2020)
    levels = np.stack([middle - spread, middle, middle + spread])
    return xr.Dataset(
        {"log10_value": (("quantile", "trend_year"), levels)},
        coords={"quantile": [0.05, 0.5, 0.95], "trend_year": years},
    )


@pytest.mark.parametrize(
    ("reading", "days", "parameters", "tokens", "loss"),
    [  # derived from the printed constants; the paper rounds to 1e4, 1e12, 1e12, 1.7
        ("D of table 6, L(D)", 1.12e4, 1.17e12, 2.48e11, 1.67),
        ("D of eq. 6.7, L(D)", 1.06e5, 6.08e12, 8.11e11, 1.49),
        ("D of table 6, L(N, D)", 2.6e5, 1.18e13, 5.8e11, 1.42),
    ],
)
def test_the_crossing_of_the_printed_constants(
    reading: str, days: float, parameters: float, tokens: float, loss: float
) -> None:
    row = transition(draws=1).printed.set_index("reading").loc[reading]
    assert row["petaflop_s_days"] == pytest.approx(days, rel=0.02)
    assert row["training_flop"] == pytest.approx(days * DAY, rel=0.02)
    assert row["parameters"] == pytest.approx(parameters, rel=0.02)
    assert row["tokens"] == pytest.approx(tokens, rel=0.02)
    assert row["loss_nats"] == pytest.approx(loss, rel=0.01)


def test_draws_are_crossings_of_steeper_and_flatter_laws() -> None:
    """Solve for one reading at a time by hand; the loss amid the data stays what it is."""
    rng = np.random.default_rng(1)
    size = 40_000
    flop = rng.normal(0.050, EXPONENT_OF_FLOP_SD, size)
    by_hand = []
    for exponent, scale in ((0.095, 5.4e13), (0.103, 1.8e13)):
        tokens = rng.normal(exponent, EXPONENT_OF_TOKENS_SD, size)
        middle = np.sqrt(2.2e7 * 2.3e10)
        log_loss = exponent * (np.log(scale) - np.log(middle))
        for data, power in ((2e10, 0.27), (4e10, 0.26)):
            # 0.05 ln 3.1e8 - flop x = log_loss - tokens (ln(data / middle) + power x)
            constant = 0.05 * np.log(3.1e8) - log_loss + tokens * np.log(data / middle)
            by_hand.append(constant / (flop - tokens * power))
    expected = (np.concatenate(by_hand) + np.log(DAY)) / np.log(10)
    found = transition(draws=40_000, seed=3).log10_flop
    for level in (0.1, 0.5, 0.9):
        # Four standard errors of a quantile of 40,000 draws, density about 0.2 an OOM or more.
        assert np.quantile(found, level) == pytest.approx(np.quantile(expected, level), abs=0.06)


def test_the_date_is_the_first_passage_of_the_frontier() -> None:
    found = transition(frontier(), draws=500)
    assert found.crossing_year is not None
    expected = 2020 + (found.log10_flop - 24) / 0.6
    within = (expected > 2010) & (expected < 2026.5)
    np.testing.assert_allclose(found.crossing_year[within], expected[within], atol=1e-6)
    assert np.isinf(found.crossing_year[expected > 2026.5]).all()


def test_a_wider_frontier_spreads_the_dates() -> None:
    narrow, wide = (transition(frontier(spread=s), draws=4000) for s in (0.0, 3.0))
    assert narrow.crossing_year is not None
    assert wide.crossing_year is not None
    spread = [np.subtract(*np.quantile(t, [0.6, 0.2])) for t in (narrow, wide) for t in [t[2]]]
    assert spread[1] > 1.2 * spread[0]


def test_the_summary_is_plain_and_says_when_it_is_not_reached() -> None:
    late = summary(transition(frontier(slope=0.01), draws=200))
    assert late["crossing_year"][2] is None
    assert 0 <= late["probability_crossed"] < 1
    assert "crossing_year" not in summary(transition(draws=10))


def test_no_draws_are_refused() -> None:
    with pytest.raises(ValueError, match="^draws: got 0, expected at least 1"):
        transition(draws=0)
