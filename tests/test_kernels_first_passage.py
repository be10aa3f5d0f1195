"""Requirements against SciPy, and first passages that are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels import ensemble, quasi_random
from aitimelines.kernels.ensemble import Inputs
from aitimelines.kernels.first_passage import (
    first_passage_index,
    first_passage_year,
    passage_mass,
    running_maximum,
)
from aitimelines.kernels.requirement import KINDS, cumulative, mixture_cumulative, quantile
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

YEARS = np.linspace(0, 80, 321, dtype=np.float32)
LOG10_FLOP = np.linspace(15, 60, 451)
CUMULATIVE = jax.jit(cumulative, static_argnums=0)
QUANTILE = jax.jit(quantile, static_argnums=0)
MIXTURE = jax.jit(mixture_cumulative, static_argnums=0)
MASS = jax.jit(passage_mass)
RUNNING_MAXIMUM = jax.jit(running_maximum)
PASSAGE_YEAR = jax.jit(first_passage_year)


def at(kind: str, parameters: list[float], log10_flop: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(CUMULATIVE(kind, jnp.array(parameters), jnp.asarray(log10_flop)))


# --- the requirement -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "parameters", "theirs"),
    [
        ("normal", [34.0, 2.5, 0.0], stats.norm(34, 2.5)),
        ("uniform", [24.0, 41.0, 0.0], stats.uniform(24, 17)),
        ("logistic", [31.0, 1.7, 0.0], stats.logistic(31, 1.7)),
        ("two_piece_normal", [33.0, 2.0, 2.0], stats.norm(33, 2)),
    ],
)
def test_each_kind_against_scipy(
    kind: str, parameters: list[float], theirs: stats.rv_continuous
) -> None:
    ours = at(kind, parameters, LOG10_FLOP)
    np.testing.assert_allclose(ours, theirs.cdf(LOG10_FLOP), rtol=1e-12, atol=1e-15)


@given(st.floats(20, 45), st.floats(0.2, 6), st.floats(0.2, 6), st.floats(0.001, 0.999))
def test_quantiles_of_the_two_piece_normal(
    median: float, below: float, above: float, probability: float
) -> None:
    z = stats.norm.ppf(probability)
    quantile = median + z * (below if z < 0 else above)
    value = at("two_piece_normal", [median, below, above], np.array(quantile))
    assert value == pytest.approx(probability, rel=1e-9)


def test_half_of_the_two_piece_normal_lies_below_its_median() -> None:
    assert at("two_piece_normal", [33.0, 1.0, 5.0], np.array(33.0)) == 0.5


MIXED = np.array([[30.0, 2.0, 0.0], [34.0, 1.0, 4.0], [25.0, 40.0, 0.0], [36.0, 1.5, 0.0]])


def mixture(weights: list[float], log10_flop: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(
            MIXTURE(KINDS_MIXED, jnp.array(weights), jnp.asarray(MIXED), jnp.asarray(log10_flop))
        )


KINDS_MIXED = ("normal", "two_piece_normal", "uniform", "logistic")


@pytest.mark.parametrize("kind", KINDS)
@given(st.floats(-5, 5))
def test_the_quantile_is_the_inverse(kind: str, z: float) -> None:
    parameters = [30.0, 34.0, 0.0] if kind == "uniform" else [33.0, 2.0, 0.7]
    with jax.enable_x64(True):
        required = QUANTILE(kind, jnp.array(parameters), jnp.float64(z))
    assert at(kind, parameters, np.asarray(required)) == pytest.approx(stats.norm.cdf(z), abs=1e-9)


def test_every_kind_is_in_the_mixture_tested_here() -> None:
    assert set(KINDS_MIXED) == set(KINDS)


def test_mixture_reads_each_component_on_its_own_path() -> None:
    weights = [0.1, 0.2, 0.3, 0.25]
    paths = np.array([28.0, 33.0, 31.0, 38.0])[:, None] + np.linspace(0, 5, 11)
    two_piece = stats.norm.cdf((paths[1] - 34) / np.where(paths[1] < 34, 1.0, 4.0))
    expected = (
        0.1 * stats.norm(30, 2).cdf(paths[0])
        + 0.2 * two_piece
        + 0.3 * stats.uniform(25, 15).cdf(paths[2])
        + 0.25 * stats.logistic(36, 1.5).cdf(paths[3])
    )
    np.testing.assert_allclose(mixture(weights, paths), expected, rtol=1e-12)


def test_mixture_with_missing_mass_tops_out_at_the_sum_of_its_weights() -> None:
    # The weights of Cotra's (2020) anchors sum to .90: a tenth is "none of these".
    weights = [0.05, 0.45, 0.30, 0.10]
    highest = mixture(weights, np.full((4, 1), 1e3))
    lowest = mixture(weights, np.full((4, 1), -1e3))
    np.testing.assert_allclose([highest[0], lowest[0]], [0.9, 0.0], atol=1e-12)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="requirement kind: got 'cauchy', expected one of"):
        cumulative("cauchy", jnp.zeros(3), jnp.zeros(()))


# --- the distribution of the year ----------------------------------------------------------------

START, GROWTH, MEAN, SD = 27.0, 0.25, 33.0, 3.0


def linear_passage(_: jax.Array, growth: jax.Array, year: jax.Array) -> jax.Array:
    """Return the mass that has arrived by a year on a linear path."""
    return cumulative("normal", jnp.array([MEAN, SD, 0.0]), START + growth * year)


def test_linear_path_to_a_normal_requirement_is_a_normal_distribution_of_the_year() -> None:
    empty = jnp.zeros(0)
    one = ensemble.Ensemble(
        Inputs((), empty, empty, empty.astype(bool), empty.astype(bool)),
        jnp.float32(GROWTH),
        jnp.asarray(YEARS, jnp.float32),
        quasi_random.randomise(jax.random.key(0), 1, 4),
    )
    means = ensemble.replicate_means(
        linear_passage, ensemble.stack([one]), 4 * 1024, mesh=ensemble.device_mesh(1)
    )
    *_, (done, values) = means
    assert (done, values.shape) == (4096, (1, 4, len(YEARS)))
    year = stats.norm((MEAN - START) / GROWTH, SD / GROWTH)
    expected = (year.cdf(YEARS) - year.cdf(0)) / year.sf(0)
    for reached in values[0]:
        # A mean is a multiple of 2^-20.
        np.testing.assert_allclose((reached - reached[0]) / (1 - reached[0]), expected, atol=3e-6)


def test_running_maximum() -> None:
    path = np.array([[1.0, 3.0, 2.0, 5.0, 4.0], [5.0, 4.0, 3.0, 2.0, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(
        running_maximum(jnp.asarray(path)), np.maximum.accumulate(path, axis=1)
    )


def test_what_was_reached_stays_reached_when_the_path_declines() -> None:
    path = np.interp(YEARS, [0, 10, 80], [27.0, 31.0, 20.0])
    with jax.enable_x64(True):
        top = RUNNING_MAXIMUM(jnp.asarray(path))
        reached = CUMULATIVE("normal", jnp.array([MEAN, SD, 0.0]), top)
        arriving = np.asarray(MASS(reached)[0])
    peak = int(np.argmax(path))
    np.testing.assert_array_equal(arriving[peak:], arriving[peak])
    highest = stats.norm(MEAN, SD).cdf(path[peak]) - stats.norm(MEAN, SD).cdf(path[0])
    assert arriving[-1] == pytest.approx(highest, rel=1e-12)


increments = st.lists(st.floats(-2, 3), min_size=5, max_size=12)


def conditional(path: np.ndarray, mean: float, sd: float) -> np.ndarray:
    """Return P(T <= t | T > now) of one path."""
    with jax.enable_x64(True):
        top = running_maximum(jnp.asarray(path))
        reached = CUMULATIVE("normal", jnp.array([mean, sd, 0.0]), top)
        arriving, left = (np.asarray(mass) for mass in MASS(reached))
    assume(left > 1e-6)
    return arriving / left


@given(increments, st.floats(24, 40), st.floats(0.3, 5), st.floats(0.05, 4), st.floats(0, 0.5))
def test_conditional_probabilities(
    steps: list[float], mean: float, sd: float, lower: float, faster: float
) -> None:
    path = 27 + np.concatenate([[0.0], np.cumsum(steps)])
    years = np.arange(len(path))
    probability = conditional(path, mean, sd)
    assert probability[0] == 0
    assert ((probability >= 0) & (probability <= 1)).all()
    assert (np.diff(probability) >= 0).all()
    # The same path above now: more growth is never later.
    assert (conditional(path + faster * years, mean, sd) >= probability - 1e-12).all()
    # The normal hazard rises, so a lower requirement that is not yet reached is never later.
    assert (conditional(path, mean - lower, sd) >= probability - 1e-9).all()


# --- the year of one draw ------------------------------------------------------------------------


def year_of(path: np.ndarray, requirement: float, years: np.ndarray = YEARS) -> float:
    with jax.enable_x64(True):
        return float(
            PASSAGE_YEAR(jnp.asarray(path), jnp.float64(requirement), jnp.asarray(years, float))
        )


@given(st.floats(0.05, 79.9), st.floats(0.05, 2))
def test_year_on_a_linear_path_is_exact(year: float, growth: float) -> None:
    assert year_of(27 + growth * YEARS.astype(float), 27 + growth * year) == pytest.approx(
        year, abs=1e-9
    )


def test_year_on_an_uneven_grid_is_exact() -> None:
    years = np.array([2026.0, 2026.1, 2027.0, 2031.0, 2060.0])
    assert year_of(0.5 * (years - 2026), 1.0, years) == pytest.approx(2028.0, abs=1e-9)


def test_never_reached_is_infinity() -> None:
    assert year_of(27 + 0.1 * YEARS, 27 + 0.1 * 80 + 1e-3) == np.inf
    assert year_of(np.full(len(YEARS), 27.0), 28.0) == np.inf


def test_already_reached_is_the_first_year() -> None:
    years = 2026 + YEARS
    assert year_of(27 + 0.1 * YEARS, 26.0, years) == 2026
    assert year_of(27 + 0.1 * YEARS, 27.0, years) == 2026
    assert year_of(27 - 0.1 * YEARS, 26.5, years) == 2026


def test_year_of_a_path_that_dips_is_that_of_its_running_maximum() -> None:
    path = np.array([0.0, 2.0, 1.0, 1.5, 4.0])
    years = np.arange(5.0)
    assert year_of(path, 1.5, years) == 0.75
    # From the old maximum of 2 on, linear between the grid years 3 and 4.
    assert year_of(path, 3.0, years) == 3.5
    assert year_of(path, 4.0, years) == 4


@given(increments, st.floats(20, 45))
def test_year_agrees_with_a_walk_over_the_grid(steps: list[float], requirement: float) -> None:
    path = 27 + np.concatenate([[0.0], np.cumsum(steps)])
    expected, top = np.inf, -np.inf
    for number, value in enumerate(path):
        if value >= requirement and expected == np.inf:
            share = (requirement - top) / (value - top) if number else 1.0
            expected = max(number - 1, 0) + share * (number > 0)
        top = max(top, value)
    assert year_of(path, requirement, np.arange(len(path))) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 74, 75, 128])
def test_index_is_the_first_that_is_reached(count: int) -> None:
    first = jnp.arange(count + 1)
    found = jax.jit(jax.vmap(lambda f: first_passage_index(lambda k: k >= f, count)))(first)
    np.testing.assert_array_equal(np.asarray(found), np.arange(count + 1))
