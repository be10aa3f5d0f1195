"""Quantiles of the arrival year and their errors, against SciPy's roots."""

import numpy as np
import pytest
from aitimelines.forecast.timeline import QUANTILES, timeline
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

YEARS = np.append(2026.5, np.arange(2027, 2101)).astype(float)
REPLICATES = 5


@pytest.mark.parametrize("seed", range(4))
def test_quantiles_are_where_the_interpolated_distribution_has_their_level(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top = rng.uniform(0.02, 1, (7, 1, 1))
    means = np.sort(rng.random((7, REPLICATES, len(YEARS))), axis=-1) * top
    means[..., 0] = 0
    found = timeline(YEARS, means, ("requirement",))
    for k in range(len(means)):
        own = found.isel(requirement=k)
        smooth = PchipInterpolator(YEARS, own["arrival_cdf"])
        for level, year, error in zip(
            QUANTILES,
            own["arrival_year_quantile"].to_numpy(),
            own["arrival_year_quantile_mcse"].to_numpy(),
            strict=True,
        ):
            if level > own["arrival_cdf"][-1]:
                assert np.isinf(year)
                assert np.isnan(error)
                continue
            exact = brentq(lambda t, y=level, f=smooth: f(t) - y, YEARS[0], YEARS[-1], xtol=1e-12)
            assert year == pytest.approx(exact, abs=1e-8)
            there = np.interp(exact, YEARS, own["arrival_cdf_mcse"])
            assert error == pytest.approx(there / smooth.derivative()(exact), rel=1e-5)


def test_all_requirements_at_once_are_each_alone() -> None:
    rng = np.random.default_rng(9)
    means = np.sort(rng.random((3, REPLICATES, len(YEARS))), axis=-1)
    together = timeline(YEARS, means, ("requirement",))
    for k, own in enumerate(means):
        alone = timeline(YEARS, own)
        assert alone.identical(together.isel(requirement=k))
