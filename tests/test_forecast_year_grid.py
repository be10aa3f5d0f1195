"""Years that are computed, and interpolated ones."""

import numpy as np
import pytest
from aitimelines.forecast.year_grid import (
    computed_years,
    further_years,
    interpolated,
    is_smooth,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

YEARS = np.append(0.0, 0.4 + np.arange(75))
CHOSEN = computed_years(len(YEARS))


@given(st.integers(1, 3000))
def test_chosen_years_span_the_grid(count: int) -> None:
    chosen = computed_years(count)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert (np.diff(chosen) >= 1).all()
    assert (np.diff(chosen)[:7] == 1).all()
    assert (np.diff(chosen)[-1:] == 1).all()


def test_few_years_are_chosen_of_many() -> None:
    assert len(CHOSEN) < 0.3 * len(YEARS)
    assert len(computed_years(20)) == 20


def test_further_years_halve_every_gap() -> None:
    known = computed_years(len(YEARS))
    finer = np.union1d(known, further_years(len(YEARS), known, len(known)))
    before, after = (np.diff(np.log1p(years))[np.diff(years) > 1].max() for years in (known, finer))
    assert after < 0.7 * before


@given(st.integers(1, 300), st.integers(1, 40))
def test_further_years_are_new_ones_until_all_are_known(count: int, at_most: int) -> None:
    known = computed_years(count)
    while len(known) < count:
        more = further_years(count, known, at_most)
        assert 0 < len(more) <= at_most
        known = np.sort(np.concatenate([known, more]))
    np.testing.assert_array_equal(known, np.arange(count))
    assert len(further_years(count, known, at_most)) == 0


NORMAL = st.tuples(st.floats(-5, 100), st.floats(0.2, 100))


@pytest.mark.parametrize("count", [21, 31, 76, 101, 301])
@given(NORMAL, NORMAL, st.floats(0, 1), st.floats(0.01, 1))
def test_what_passes_as_smooth_is_interpolated_well(
    count: int, one: tuple[float, float], other: tuple[float, float], share: float, total: float
) -> None:
    years, chosen = np.append(0.0, 0.4 + np.arange(count - 1)), computed_years(count)
    first, second = (stats.norm.cdf((years - centre) / width) for centre, width in (one, other))
    curve = total * (share * first + (1 - share) * second)
    if is_smooth(years, chosen, curve[chosen]):
        found = interpolated(years, chosen, curve[chosen])
        np.testing.assert_allclose(found, curve, rtol=0, atol=1.5e-4)


@pytest.mark.parametrize("width", [0.0, 0.5, 3.0])
def test_a_narrow_curve_does_not_pass(width: float) -> None:
    curve = stats.norm.cdf((YEARS - 47) / max(width, 1e-9))
    assert not is_smooth(YEARS, CHOSEN, curve[CHOSEN])


@pytest.mark.parametrize("spread", [1.0, 1.5])
def test_wide_curves_pass_and_are_interpolated_well(spread: float) -> None:
    curve = 0.8 * stats.lognorm(s=spread, scale=15.0, loc=-2.0).cdf(YEARS)
    assert is_smooth(YEARS, CHOSEN, curve[CHOSEN])
    found = interpolated(YEARS, CHOSEN, curve[CHOSEN])
    np.testing.assert_allclose(found, curve, rtol=0, atol=1e-5)


def test_all_years_are_left_as_they_are() -> None:
    values = np.random.default_rng(0).random((3, len(YEARS)))
    assert interpolated(YEARS, np.arange(len(YEARS)), values) is values


def test_replicates_are_interpolated_each() -> None:
    curves = np.stack([stats.norm.cdf((YEARS - m) / 20) for m in (20, 30)])
    both = interpolated(YEARS, CHOSEN, curves[:, CHOSEN])
    each = [interpolated(YEARS, CHOSEN, curve[CHOSEN]) for curve in curves]
    np.testing.assert_array_equal(both, each)
