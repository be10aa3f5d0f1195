"""An interval holds exactly the mass it was given, and one that cannot be is refused."""

import re

import jax
import numpy as np
import pytest
from aitimelines.priors.elicitation import (
    KINDS,
    POSITIVE_KINDS,
    Interval,
    LocationScale,
    check_interval,
    distribution,
    location_scale,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

masses = st.floats(0.01, 0.999)
SCIPY = {
    "normal": lambda at: stats.norm(at.location, at.scale),
    "lognormal": lambda at: stats.lognorm(s=at.scale, scale=np.exp(at.location)),
    "uniform": lambda at: stats.uniform(at.location, at.scale),
    "loguniform": lambda at: stats.loguniform(np.exp(at.location), np.exp(at.location + at.scale)),
}


@st.composite
def ends(draw: st.DrawFn, positive: bool) -> tuple[float, float]:
    low = draw(st.floats(1e-6, 1e6) if positive else st.floats(-1e6, 1e6))
    high = low + draw(st.floats(1e-3, 10)) * max(abs(low), 1e-3)
    assume(low < high)
    return low, high


@pytest.mark.parametrize("kind", ["normal", "lognormal"])
@given(data=st.data(), mass=masses)
def test_central_interval_holds_exactly_the_mass(
    kind: str, data: st.DataObject, mass: float
) -> None:
    low, high = data.draw(ends(positive=kind in POSITIVE_KINDS))
    theirs = SCIPY[kind](location_scale(kind, low, high, mass))
    assert theirs.cdf(low) == pytest.approx((1 - mass) / 2, rel=1e-7)
    assert theirs.sf(high) == pytest.approx((1 - mass) / 2, rel=1e-7)


@pytest.mark.parametrize("kind", ["uniform", "loguniform"])
@given(data=st.data(), mass=masses)
def test_uniform_interval_holds_everything(kind: str, data: st.DataObject, mass: float) -> None:
    low, high = data.draw(ends(positive=kind in POSITIVE_KINDS))
    support = SCIPY[kind](location_scale(kind, low, high, mass)).support()
    np.testing.assert_allclose(support, (low, high), rtol=1e-9, atol=1e-9)


def test_published_intervals() -> None:
    # 90 % of a normal lies within 1.6449 standard deviations, 95 % within 1.9600 (any table).
    assert location_scale("normal", -1.6449, 1.6449).scale == pytest.approx(1, abs=1e-4)
    assert location_scale("normal", -1.96, 1.96, 0.95).scale == pytest.approx(1, abs=1e-4)
    # The median of a log-normal is the geometric mean of its ends.
    at = location_scale("lognormal", 0.5, 8.0)
    assert np.exp(at.location) == pytest.approx(2.0, rel=1e-12)


def test_flags_tell_the_base_and_the_logarithm() -> None:
    flags = {kind: location_scale(kind, 1.0, 2.0)[2:] for kind in KINDS}
    assert flags == {
        "normal": (False, False),
        "lognormal": (False, True),
        "uniform": (True, False),
        "loguniform": (True, True),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_distribution_is_the_one_of_location_and_scale(kind: str) -> None:
    interval = Interval(kind, 0.4, 5.0, 0.8)
    theirs = SCIPY[kind](location_scale(*interval))
    values = np.linspace(0.41, 4.99, 50)
    with jax.enable_x64(True):
        ours = distribution(*interval)
        np.testing.assert_allclose(ours.log_prob(values), theirs.logpdf(values), rtol=1e-9)
        np.testing.assert_allclose(ours.cdf(values), theirs.cdf(values), rtol=1e-9)


@given(st.sampled_from(KINDS), ends(positive=True), masses, st.floats(1e-4, 1 - 1e-4))
def test_base_transformed_has_the_quantiles_of_the_distribution(
    kind: str, interval: tuple[float, float], mass: float, probability: float
) -> None:
    at = location_scale(kind, *interval, mass)
    base = probability if at.is_uniform else stats.norm.ppf(probability)
    value = at.location + at.scale * base
    value = np.exp(value) if at.is_log else value
    assume(np.isfinite(value) and value != 0)
    assert value == pytest.approx(SCIPY[kind](at).ppf(probability), rel=1e-6)


def test_mass_is_nine_tenths_unless_given() -> None:
    assert location_scale("normal", 0, 1) == location_scale(*Interval("normal", 0, 1, 0.9))
    assert isinstance(location_scale("normal", 0, 1), LocationScale)


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (("gamma", 1.0, 2.0, 0.9), "kind: got 'gamma', expected one of normal, lognormal"),
        (("normal", 2.0, 1.0, 0.9), "normal: got [2.0, 1.0], expected the lower end first"),
        (("uniform", 1.0, 1.0, 0.9), "uniform: got [1.0, 1.0], expected the lower end first"),
        (("lognormal", -1.0, 2.0, 0.9), "lognormal: got [-1.0, 2.0], expected positive numbers"),
        (("loguniform", 0.0, 2.0, 0.9), "loguniform: got [0.0, 2.0], expected positive numbers"),
        (("normal", float("nan"), 1.0, 0.9), "normal: got [nan, 1.0], expected finite numbers"),
        (("normal", 0.0, float("nan"), 0.9), "normal: got [0.0, nan], expected finite numbers"),
        (("uniform", 0.0, float("inf"), 0.9), "uniform: got [0.0, inf], expected finite numbers"),
        (("normal", float("-inf"), 0.0, 0.9), "normal: got [-inf, 0.0], expected finite numbers"),
        (("normal", 0.0, 1.0, 0.0), "mass: got 0.0, expected a probability between 0 and 1"),
        (("normal", 0.0, 1.0, 1.0), "mass: got 1.0, expected a probability between 0 and 1"),
        (("normal", 0.0, 1.0, 1e-17), "mass: got 1e-17, expected a probability"),
        (("normal", 0.0, 1.0, 1 - 1e-16), "mass: got 0.9999999999999999, expected a probability"),
        (("lognormal", 1.0, 2.0, 90.0), "mass: got 90.0, expected a probability"),
        (("lognormal", 1.0, 2.0, float("nan")), "mass: got nan, expected a probability"),
    ],
)
def test_an_impossible_interval_is_refused(
    interval: tuple[str, float, float, float], message: str
) -> None:
    for function in (check_interval, location_scale, distribution):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            function(*interval)
