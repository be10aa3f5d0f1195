"""Trends, soft caps and effective compute against numerical integration and linear units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels.compute_growth import Trend, growth_oom_per_year, log10_trend
from aitimelines.kernels.effective_compute import (
    Gain,
    ResourceLimit,
    World,
    gain_oom,
    log10_effective_compute,
    log10_physical_compute,
)
from aitimelines.kernels.limits import soft_minimum
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

YEARS = np.array([-30.0, -6.5, -1.0, 0.0, 0.25, 1.0, 3.0, 9.0, 27.0, 80.0])
TREND = jax.jit(log10_trend)
SOFT_MINIMUM = jax.jit(soft_minimum)

positive_years = st.floats(0.1, 50)
levels = st.floats(-5, 45)


def growth_at(trend: Trend, t: float) -> float:
    """Return g(t) [OOM/yr]: half of the excess growth is left after each half-life."""
    now, later = (np.log10(2) / float(time) for time in trend[1:3])
    return now if t <= 0 else later + (now - later) * 0.5 ** (t / float(trend[3]))


def integrated(trend: Trend, t: float) -> float:
    """Return log10 of the quantity by numerical integration of its growth."""
    value, _ = integrate.quad(
        lambda s: growth_at(trend, s), 0, t, epsabs=1e-13, epsrel=1e-13, limit=200
    )
    return float(trend[0]) + value


def float64_trend(*values: float) -> Trend:
    return Trend(*(jnp.float64(value) for value in values))


# --- trends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [(27.0, 0.5, 2.5, 8.0), (0.0, 3.0, 1.0, 0.5), (-4.0, 0.1, 90.0, 40.0)]
)
def test_trend_is_the_integral_of_its_growth(values: tuple[float, ...]) -> None:
    with jax.enable_x64(True):
        trend = float64_trend(*values)
        path = np.asarray(TREND(trend, jnp.asarray(YEARS)))
    expected = [integrated(trend, t) for t in YEARS]
    np.testing.assert_allclose(path, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    "values", [(27.0, 0.5, 2.5, 1e9), (27.0, 0.5, 0.5, 3.0)], ids=["never slows", "as now"]
)
def test_trend_without_slowing_is_log_linear(values: tuple[float, ...]) -> None:
    with jax.enable_x64(True):
        path = np.asarray(TREND(float64_trend(*values), jnp.asarray(YEARS)))
    np.testing.assert_allclose(path, 27 + np.log10(2) / 0.5 * YEARS, rtol=1e-6)


def test_trend_tends_to_the_long_run_growth() -> None:
    with jax.enable_x64(True):
        path = np.asarray(TREND(float64_trend(27, 0.5, 2.5, 3), jnp.array([300.0, 301.0])))
    assert path[1] - path[0] == pytest.approx(np.log10(2) / 2.5, rel=1e-12)


def test_growth_of_a_doubling_time() -> None:
    # Ten doublings are a factor of 1024.
    assert 10 ** (10 * float(growth_oom_per_year(jnp.float32(1.0)))) == pytest.approx(1024, 1e-5)


def test_trend_in_float32_is_that_of_float64_within_1e_5_oom() -> None:
    rng = np.random.default_rng(0)
    draws = np.exp(rng.normal([3, 0, 1, 2], [0.1, 0.7, 0.7, 1.0], (500, 4)))
    batched = jax.vmap(TREND, in_axes=(0, None))
    with jax.enable_x64(True):
        double = np.asarray(batched(Trend(*jnp.asarray(draws.T)), jnp.asarray(YEARS)))
    single = np.asarray(
        batched(Trend(*jnp.asarray(draws.T, jnp.float32)), jnp.asarray(YEARS, jnp.float32))
    )
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=2e-6, atol=1e-5)


@given(levels, positive_years, positive_years, positive_years, st.floats(1.02, 3))
def test_slower_growth_is_never_ahead(
    level: float, now: float, later: float, half_life: float, slower: float
) -> None:
    with jax.enable_x64(True):
        years = jnp.asarray(YEARS)
        path = np.asarray(TREND(float64_trend(level, now, later, half_life), years))
        slow_now = np.asarray(TREND(float64_trend(level, now * slower, later, half_life), years))
        slow_later = np.asarray(TREND(float64_trend(level, now, later * slower, half_life), years))
        higher = np.asarray(TREND(float64_trend(level + 1, now, later, half_life), years))
    assert (np.diff(path) > 0).all()
    ahead, past = YEARS > 0, YEARS < 0
    assert (slow_now[ahead] < path[ahead]).all()
    assert (slow_now[past] > path[past]).all()
    assert (slow_later[ahead] < path[ahead]).all()
    np.testing.assert_array_equal(slow_later[past], path[past])
    np.testing.assert_allclose(higher - path, 1, rtol=1e-12)


def test_growth_is_continuous_where_the_slowing_starts() -> None:
    with jax.enable_x64(True):
        trend = float64_trend(27, 0.5, 2.5, 8)
        slope = jax.grad(lambda t: TREND(trend, t))
        before, after = float(slope(jnp.float64(-1e-9))), float(slope(jnp.float64(1e-9)))
    assert before == pytest.approx(np.log10(2) / 0.5, rel=1e-12)
    assert after == pytest.approx(before, rel=1e-8)


# --- soft caps -----------------------------------------------------------------------------------

three_levels = st.lists(st.floats(-40, 40), min_size=3, max_size=3)
sharpnesses = st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0])


def soft_minimum_of(values: list[float], sharpness: float) -> float:
    with jax.enable_x64(True):
        return float(SOFT_MINIMUM([jnp.asarray(value) for value in values], jnp.float64(sharpness)))


@given(st.floats(0, 30), st.floats(0, 30))
def test_soft_minimum_is_the_logistic_saturation_at_sharpness_one(x: float, most: float) -> None:
    saturated = 10**x / (1 + 10**x / 10**most)
    assert soft_minimum_of([x, most], 1) == pytest.approx(np.log10(saturated), abs=1e-12)


@given(three_levels, sharpnesses)
def test_soft_minimum_lies_below_the_hard_one_by_less_than_log10_n(
    values: list[float], sharpness: float
) -> None:
    value = soft_minimum_of(values, sharpness)
    assert min(values) - np.log10(3) / sharpness - 1e-12 <= value <= min(values)


@given(three_levels, sharpnesses, st.integers(0, 2), st.floats(0.01, 5))
def test_soft_minimum_increases_in_each_value(
    values: list[float], sharpness: float, which: int, more: float
) -> None:
    raised = [value + more * (number == which) for number, value in enumerate(values)]
    low, high = soft_minimum_of(values, sharpness), soft_minimum_of(raised, sharpness)
    assert low <= high <= low + more + 1e-12
    # A value that is not far above the others matters.
    if sharpness * (values[which] - min(values)) < 8:
        assert low < high


@given(st.lists(st.floats(-40, 40), min_size=4, max_size=4), sharpnesses)
def test_soft_minima_nest(values: list[float], sharpness: float) -> None:
    halves = [soft_minimum_of(values[:2], sharpness), soft_minimum_of(values[2:], sharpness)]
    nested = soft_minimum_of(halves, sharpness)
    assert nested == pytest.approx(soft_minimum_of(values, sharpness), abs=1e-12)


def test_soft_minimum_of_equal_values_lies_log10_n_over_s_below() -> None:
    assert soft_minimum_of([30.0, 30.0], 2) == pytest.approx(30 - np.log10(2) / 2, abs=1e-12)


def test_soft_minimum_is_hard_at_high_sharpness() -> None:
    assert soft_minimum_of([30.0, 30.5, 32.0], 1e3) == pytest.approx(30.0, abs=1e-12)


def test_gradient_with_equal_inputs_is_shared_equally() -> None:
    gradient = jax.grad(lambda x: SOFT_MINIMUM(list(x), jnp.float32(4)))(jnp.full(4, 30.0))
    np.testing.assert_allclose(np.asarray(gradient), 0.25, rtol=1e-6)


@given(three_levels, sharpnesses)
def test_gradients_are_shares_of_one(values: list[float], sharpness: float) -> None:
    with jax.enable_x64(True):
        share = jax.grad(lambda x: SOFT_MINIMUM(list(x), jnp.float64(sharpness)))
        gradient = np.asarray(share(jnp.asarray(values)))
    assert (gradient >= 0).all()
    assert gradient.sum() == pytest.approx(1, abs=1e-12)


# --- effective compute ---------------------------------------------------------------------------

GAIN = jax.jit(gain_oom)
PHYSICAL = jax.jit(log10_physical_compute, static_argnames="by_spending")
EFFECTIVE = jax.jit(log10_effective_compute, static_argnames="by_spending")
NOW_ON = np.array([0.0, 0.5, 2.0, 7.0, 15.0, 40.0, 75.0])


def world(sharpness: float = 2.0, **changes: object) -> World:
    """Return a world of which every limit matters somewhere on NOW_ON, in float64."""
    limits = (ResourceLimit(29.0, 1.5, 4.0), ResourceLimit(28.2, 0.8, -1.5))
    values = {
        "training_compute": Trend(27.0, 0.45, 1.9, 9.0),
        "spending": Trend(8.6, 0.6, 2.2, 6.0),
        "price_performance": Trend(18.3, 2.1, 3.5, 12.0),
        "log10_price_performance_ceiling": 24.0,
        "gross_product": Trend(13.5, 24.0, 30.0, 50.0),
        "log10_spending_share": -2.1,
        "resource_limits": limits,
        "algorithmic_progress": (Gain(0.9, 2.0, 8.0, 9.0), Gain(0.7, 3.0, 5.0, 4.0)),
        "post_training": Gain(1.5, 4.0, 3.0, 2.0),
        "sharpness": sharpness,
    }
    return World(**(values | changes))


def arrays(given: World) -> World:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), given)


def in_linear_units(trend: tuple[float, ...], elapsed: np.ndarray) -> np.ndarray:
    return 10.0 ** np.array([integrated(Trend(*trend), float(t)) for t in elapsed])


def saturated(values: list[np.ndarray], sharpness: float) -> np.ndarray:
    """Return the soft minimum in linear units, of powers of ten without logarithms."""
    return sum(value**-sharpness for value in values) ** (-1 / sharpness)


def physical_flop(given: World, years: np.ndarray, *, by_spending: bool) -> np.ndarray:
    """Return the largest training run [FLOP], written without the package."""
    sharpness = float(given.sharpness)
    ceiling = np.full(len(years), 10.0**given.log10_price_performance_ceiling)
    flop_per_usd = saturated([in_linear_units(given.price_performance, years), ceiling], sharpness)
    budget_usd = in_linear_units(given.gross_product, years) * 10.0**given.log10_spending_share
    if by_spending:
        wanted = in_linear_units(given.spending, years) * flop_per_usd
    else:
        wanted = in_linear_units(given.training_compute, years)
    caps = [
        10.0**limit.log10_flop * 2.0 ** ((years - limit.years_from_now) / limit.doubling_time_years)
        for limit in given.resource_limits
    ]
    return saturated([wanted, budget_usd * flop_per_usd, *caps], sharpness)


def multiplier(gain: Gain, since: float, given: World) -> np.ndarray:
    """Return how much a gain multiplies compute since its reference year, in linear units."""
    doubling, long_run, half_life, ceiling = gain
    factor = in_linear_units((0.0, doubling, long_run, half_life), NOW_ON) * 2 ** (since / doubling)
    return saturated([factor, np.full(len(NOW_ON), 10.0**ceiling)], float(given.sharpness))


SINCE = np.array([3.5, 0.0])  # years since the reference of each kind of algorithms


def effective(given: World, since: np.ndarray, *, by_spending: bool) -> np.ndarray:
    """Return the paths in float64, (path, year)."""
    with jax.enable_x64(True):
        years = jnp.asarray(NOW_ON)
        paths = EFFECTIVE(arrays(given), jnp.asarray(since), years, by_spending=by_spending)
        return np.asarray(paths)


@pytest.mark.parametrize("by_spending", [False, True])
@pytest.mark.parametrize("sharpness", [1.0, 2.0, 5.0])
def test_effective_compute_against_linear_units(by_spending: bool, sharpness: float) -> None:
    given = world(sharpness)
    physical = physical_flop(given, NOW_ON, by_spending=by_spending)
    ours = effective(given, SINCE, by_spending=by_spending)
    for own, progress, since in zip(ours, given.algorithmic_progress, SINCE, strict=True):
        algorithms = multiplier(progress, since, given)
        post_training = multiplier(given.post_training, since, given)
        expected = np.log10(physical * algorithms * post_training)
        np.testing.assert_allclose(own, expected, rtol=1e-11)


@pytest.mark.parametrize("by_spending", [False, True])
def test_effective_compute_in_float32_within_1e_4_oom(by_spending: bool) -> None:
    low = EFFECTIVE(
        jax.tree.map(jnp.float32, world()),
        jnp.asarray(SINCE, jnp.float32),
        jnp.asarray(NOW_ON, jnp.float32),
        by_spending=by_spending,
    )
    high = effective(world(), SINCE, by_spending=by_spending)
    assert {path.dtype for path in low} == {jnp.dtype("float32")}
    np.testing.assert_allclose(np.asarray(low), high, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("binding", "changes"),
    [
        ("money", {"log10_spending_share": -9.0}),
        ("hardware", {"log10_price_performance_ceiling": 17.0, "log10_spending_share": -4.0}),
    ],
)
def test_the_tightest_limit_rules(binding: str, changes: dict[str, float]) -> None:
    given = world(50.0, **changes)
    with jax.enable_x64(True):
        path = np.asarray(PHYSICAL(arrays(given), jnp.asarray(NOW_ON), by_spending=False))
    product, hardware = (
        np.array([integrated(Trend(*trend), t) for t in NOW_ON])
        for trend in (given.gross_product, given.price_performance)
    )
    flop_per_usd = 17.0 if binding == "hardware" else np.minimum(hardware, 24.0)
    affordable = product + given.log10_spending_share + flop_per_usd
    np.testing.assert_allclose(path, affordable, atol=0.03)


def test_a_resource_limit_holds_its_level_in_its_own_year() -> None:
    given = world(60.0, resource_limits=(ResourceLimit(20.0, 1.5, 4.0),))
    with jax.enable_x64(True):
        path = np.asarray(PHYSICAL(arrays(given), jnp.array([4.0, 3.0]), by_spending=True))
    np.testing.assert_allclose(path, [20.0, 20.0 - np.log10(2) / 1.5], atol=1e-12)


def gain_of(doubling: float, ceiling: float) -> Gain:
    return Gain(doubling, 3.0, 5.0, ceiling)


def test_gain_is_zero_in_the_reference_year_and_log_linear_until_now() -> None:
    years = np.array([-2.5, -1.0, 0.0])
    with jax.enable_x64(True):
        gain = arrays(gain_of(0.8, ceiling=60.0))
        ours = np.asarray(GAIN(gain, jnp.float64(2.5), jnp.asarray(years), jnp.float64(1)))
    np.testing.assert_allclose(ours, np.log10(2) / 0.8 * (years + 2.5), atol=1e-12)
    assert ours[0] == pytest.approx(0, abs=1e-15)


@given(st.floats(0.2, 5), st.floats(0.5, 12), st.floats(0, 8), sharpnesses)
def test_gain_stays_under_its_ceiling(
    doubling: float, ceiling: float, since: float, sharpness: float
) -> None:
    with jax.enable_x64(True):
        gain = arrays(gain_of(doubling, ceiling))
        years = jnp.linspace(0, 80, 50)
        path = np.asarray(GAIN(gain, jnp.float64(since), years, jnp.float64(sharpness)))
    assert (path <= ceiling).all()
    assert (np.diff(path) >= 0).all()


@pytest.mark.parametrize("by_spending", [False, True])
def test_components_differ_only_through_their_reference_year(by_spending: bool) -> None:
    given = world(algorithmic_progress=(gain_of(0.8, 60.0),) * 2, post_training=gain_of(2.0, 60.0))
    first, second = effective(given, np.array([7.0, 2.0]), by_spending=by_spending)
    both = effective(given, np.array([7.0, 7.0]), by_spending=by_spending)
    with jax.enable_x64(True):
        now = jnp.zeros(1)
        physical = float(PHYSICAL(arrays(given), now, by_spending=by_spending)[0])
    # Five years more of log-linear algorithms and post-training, whatever the future holds.
    np.testing.assert_allclose(first - second, 5 * np.log10(2) * (1 / 0.8 + 1 / 2), rtol=1e-12)
    np.testing.assert_array_equal(both[0], both[1])
    np.testing.assert_array_equal(both[0], first)
    assert second[0] - physical == pytest.approx(2 * np.log10(2) * (1 / 0.8 + 1 / 2))


@given(
    st.lists(st.floats(0.2, 30), min_size=6, max_size=6),
    st.floats(1, 60),
    st.floats(0.5, 12),
    sharpnesses,
    st.booleans(),
)
def test_no_path_ever_declines(
    doublings: list[float], half_life: float, ceiling: float, sharpness: float, by_spending: bool
) -> None:
    compute, spending, price, product, algorithms, limit = doublings
    given = world(
        sharpness,
        training_compute=Trend(27.0, compute, spending, half_life),
        spending=Trend(8.6, spending, compute, half_life),
        price_performance=Trend(18.3, price, 3.5, half_life),
        gross_product=Trend(13.5, product, 30.0, half_life),
        resource_limits=(ResourceLimit(29.0, limit, 4.0),) * 2,
        algorithmic_progress=(Gain(algorithms, compute, half_life, ceiling),) * 2,
    )
    paths = effective(given, SINCE, by_spending=by_spending)
    assert (np.diff(paths, axis=1) >= -1e-12).all()
