"""Models of history: which rows enter, known parameters recovered, published trends met."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from aitimelines.forecast import datasets, inference
from aitimelines.forecast.history import (
    algorithmic_progress,
    price_performance,
    spending,
    training_compute,
    trend,
)
from aitimelines.forecast.inference import Fit
from aitimelines.priors.elicitation import Interval
from hypothesis import given
from hypothesis import strategies as st
from numpyro import handlers
from scipy import integrate, stats

LATEST = 2026.6
TREND_PRIORS = {
    "doubling_time_years": Interval("lognormal", 0.15, 6.0, 0.95),
    "log10_level_at_anchor": Interval("normal", 0, 40, 0.95),
    "residual_scale_oom": Interval("lognormal", 0.1, 2.0),
    "degrees_of_freedom": Interval("lognormal", 2, 30),
    "gap_oom": Interval("lognormal", 0.3, 3.0),
}
ALGORITHM_PRIORS = {
    "doubling_time_years": Interval("lognormal", 0.25, 4.0, 0.95),
    "parameter_elasticity": Interval("lognormal", 0.005, 0.1),
    "data_elasticity": Interval("lognormal", 0.005, 0.1),
    "log_reference_loss": Interval("normal", 0, 2.5),
    "residual_scale_nat": Interval("lognormal", 0.02, 0.5),
    "degrees_of_freedom": Interval("lognormal", 2, 30),
}


def frame(table: str) -> pd.DataFrame:
    """Return a table with its decimal year, without the rows that have no date."""
    info = datasets.table_info(table)
    read = datasets.load_frame(table)
    year = datasets.decimal_year(read[info.date_column].to_numpy())
    return read.assign(year=year)[~np.isnan(year)]


def fit_trend(
    year: np.ndarray, log10_value: np.ndarray, change_points: int, residual: str = "student_t"
) -> Fit:
    data = {
        "year": year,
        "log10_value": log10_value,
        "group": np.zeros(len(year), int),
        "priors": TREND_PRIORS,
        "change_points": change_points,
        "residual": residual,
    }
    nodes = trend.change_point_nodes(year, change_points)
    return inference.fit(trend.model, data, nodes=nodes, seed=(1,))


def interval(draws: np.ndarray, mass: float) -> np.ndarray:
    """Return the central interval over chains and draws."""
    return np.quantile(draws, [0.5 - mass / 2, 0.5 + mass / 2], axis=(0, 1))


# --- which rows enter ----------------------------------------------------------------------------


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 6))
def test_top_n_at_release_against_brute_force(values: list[int], n: int) -> None:
    ours = training_compute.top_n_at_release(np.array(values, dtype=float), n)
    for i, value in enumerate(values):
        # Equal ones share a place, and a newcomer pushes nobody out before it is there.
        leaders = sorted(values[: i + 1], reverse=True)[:n]
        assert ours[i] == (value >= leaders[-1])
    assert len(ours) == len(values)


def systems(*rows: tuple[str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["name", "year", "training_compute_flop"])


def test_older_systems_count_in_the_ranking_but_not_in_the_fit() -> None:
    large = systems(("old", 2009.0, 1e30))
    late = systems(*((f"new {i}", 2011.0 + i, 10.0 ** (20 + i)) for i in range(11)))
    table = pd.concat([late, large])
    arguments: dict[str, Any] = {"as_of_year": 2030.0, "since_year": 2010.0, "top_n": 2}
    rows = training_compute.observations(table, reading="top-n", **arguments)
    assert list(rows["name"]) == list(late["name"])
    np.testing.assert_allclose(rows["log10_value"], 20 + np.arange(11))
    # Of one place the old one keeps hold until it is beaten, in the end.
    only_largest = {**arguments, "top_n": 1}
    with pytest.raises(ValueError, match=r"^training_compute: 1 systems between 2010\.0 and 2030"):
        training_compute.observations(table, reading="top-n", **only_largest)


@pytest.mark.parametrize("reading", training_compute.READINGS)
def test_training_compute_as_of_a_date_is_the_past_of_what_is_known_later(reading: str) -> None:
    table = frame("notable_models")
    arguments: dict[str, Any] = {"since_year": 2010.0, "reading": reading, "top_n": 5}
    now = training_compute.observations(table, as_of_year=LATEST, **arguments)
    then = training_compute.observations(table, as_of_year=2019.5, **arguments)
    assert then["year"].max() <= 2019.5 < now["year"].max()
    pd.testing.assert_frame_equal(then, now[now["year"] <= 2019.5])
    assert now["year"].is_monotonic_increasing
    assert now["year"].min() >= 2010
    assert len(now) > len(then) >= 10
    assert np.isfinite(now["log10_value"]).all()


def test_all_systems_enter_but_for_the_top_n() -> None:
    table = frame("notable_models")
    arguments: dict[str, Any] = {"as_of_year": LATEST, "since_year": 2010.0, "top_n": 5}
    known = table["training_compute_flop"].notna() & (table["year"] >= 2010)
    counts = {
        reading: len(training_compute.observations(table, reading=reading, **arguments))
        for reading in training_compute.READINGS
    }
    assert counts["upper-quantile"] == counts["latent-frontier"] == known.sum()
    assert 10 <= counts["top-n"] < known.sum() / 2


def test_other_records_as_of_a_date_leave_out_what_came_later() -> None:
    costs, hardware = frame("training_costs"), frame("ml_hardware")
    perplexities = frame("lm_algorithmic_progress")
    for date in (2021.0, LATEST):
        found = [
            spending.observations(costs, as_of_year=date, top_n=10),
            price_performance.observations(costs, hardware, as_of_year=date),
            algorithmic_progress.observations(perplexities, as_of_year=date),
        ]
        latest = [rows["year"].max() for rows in found]
        assert max(latest) <= date
        assert min(latest) > date - 4
    assert max(latest) > 2024


def test_spending_is_the_cost_of_runs_large_in_compute() -> None:
    costs = frame("training_costs")
    rows = spending.observations(costs, as_of_year=LATEST, top_n=10)
    named = costs.set_index("name").loc[rows["name"]]
    expected = np.log10(named["amortized_hardware_energy_cost_usd"])
    np.testing.assert_allclose(rows["log10_value"], expected)
    # Named by compute, not by cost: each is among the three largest runs at its release.
    few = spending.observations(costs, as_of_year=LATEST, top_n=3)
    assert 10 <= len(few) < len(rows)
    priced = costs[costs["amortized_hardware_energy_cost_usd"] > 0]
    for name, year in zip(few["name"], few["year"], strict=True):
        own = priced.loc[priced["name"] == name, "training_compute_flop"].max()
        larger = priced[(priced["year"] < year) & (priced["training_compute_flop"] > own)]
        assert len(larger) < 3


def test_price_performance_has_two_sources() -> None:
    rows = price_performance.observations(
        frame("training_costs"), frame("ml_hardware"), as_of_year=LATEST
    )
    runs, chips = (rows[rows["group"] == number] for number in (0, 1))
    assert len(runs) + len(chips) == len(rows)
    # A training run uses a chip for years: it gets 1e16 FLOP a dollar and more. A chip's price
    # buys 1e8 operations a second and more.
    assert runs["log10_value"].between(14, 22).all()
    assert chips["log10_value"].between(7, 13).all()


def test_algorithmic_progress_reads_the_first_benchmark_and_drops_what_is_doubtful() -> None:
    count = 40
    table = pd.DataFrame(
        {
            "name": [f"model {i}" for i in range(count)],
            "year": np.linspace(2012, 2023, count),
            "uncertain": False,
            "uses_cache": False,
            "parameters": 1e6,
            "dataset_tokens": 1e8,
            "perplexity_wt103": np.nan,
            "perplexity_wt2": 50.0,
            "perplexity_ptb": 60.0,
        }
    )
    table.loc[0, "uncertain"] = True
    table.loc[1, "uses_cache"] = True
    table.loc[2, "parameters"] = np.nan
    table.loc[3, "dataset_tokens"] = np.nan
    table.loc[4, ["perplexity_wt2", "perplexity_ptb"]] = np.nan
    table.loc[5, "perplexity_wt103"] = 20.0
    table.loc[6, "perplexity_wt2"] = np.nan
    rows = algorithmic_progress.observations(table, as_of_year=2024.0)
    assert list(rows["name"]) == [f"model {i}" for i in range(5, count)]
    assert list(rows["benchmark"][:3]) == [0, 2, 1]
    np.testing.assert_allclose(rows["log_perplexity"][:3], np.log([20, 60, 50]))
    np.testing.assert_allclose(rows["log_parameters"], np.log(1e6))
    np.testing.assert_allclose(rows["log_tokens"], np.log(1e8))


def test_too_few_rows_are_refused() -> None:
    costs, hardware = frame("training_costs"), frame("ml_hardware")
    with pytest.raises(ValueError, match=r"^training_compute: 0 systems .* expected at least 10"):
        training_compute.observations(
            frame("notable_models"),
            as_of_year=1949.0,
            since_year=1900.0,
            reading="upper-quantile",
            top_n=5,
        )
    with pytest.raises(ValueError, match=r"^spending: \d training costs .* expected at least 10"):
        spending.observations(costs, as_of_year=2016.0, top_n=10)
    with pytest.raises(ValueError, match=r"^price_performance: 0 training costs and \d+ hardware"):
        price_performance.observations(costs, hardware, as_of_year=2015.0)
    with pytest.raises(ValueError, match=r"^algorithmic_progress: \d+ models before 2014\.00"):
        algorithmic_progress.observations(frame("lm_algorithmic_progress"), as_of_year=2014.0)


# --- the trend -----------------------------------------------------------------------------------


@given(st.floats(1900, 2020), st.floats(4.5, 90), st.integers(1, 3))
def test_change_point_nodes(first: float, span: float, change_points: int) -> None:
    years = np.array([first, first + span / 3, first + span])
    nodes = trend.change_point_nodes(years, change_points)
    assert nodes is not None
    assert nodes.shape[1] == change_points
    assert 1 <= len(nodes) <= 500
    assert len(np.unique(nodes, axis=0)) == len(nodes)
    ends = np.tile([[years.min()], [years.max()]], len(nodes)).T
    gaps = np.diff(np.column_stack([ends[:, 0], nodes, ends[:, 1]]), axis=1)
    assert gaps.min() > 1 - 1e-6
    # All on one regular grid that starts a year into the record.
    steps = (nodes - (first + 1)) / 0.25
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)
    if change_points == 1:  # every quarter of a year
        expected = np.arange(len(nodes)) * 0.25
        np.testing.assert_allclose(nodes[:, 0] - first - 1, expected, atol=1e-6)
        assert years.max() - nodes.max() <= 1.25 + 1e-6


def test_no_change_point_has_no_nodes() -> None:
    assert trend.change_point_nodes(np.array([2010.0, 2020.0]), 0) is None


def test_a_record_too_short_for_its_change_points_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^change_points: got 2, .* spans only 2\.5 years"):
        trend.change_point_nodes(np.array([2010.0, 2012.5]), 2)


@pytest.mark.parametrize("change_points", range(trend.MAX_CHANGE_POINTS + 1))
def test_padded_nodes_add_unused_change_points_beyond_the_record(change_points: int) -> None:
    years = np.array([2010.0, 2018.0, 2026.0])
    padded = trend.padded_nodes(years, change_points)
    nodes = trend.change_point_nodes(years, change_points)
    assert padded.shape[1] == trend.MAX_CHANGE_POINTS
    expected = np.zeros((1, 0)) if nodes is None else nodes
    np.testing.assert_array_equal(padded[:, :change_points], expected)
    assert (padded[:, change_points:] == trend.UNUSED_YEAR).all()


def traced(year: np.ndarray, node: np.ndarray, sites: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the trace of the model where all sites are given; the last row is of group 1."""
    with jax.enable_x64(True):
        given = {name: jnp.asarray(value) for name, value in sites.items()}
        return handlers.trace(handlers.substitute(trend.model, given)).get_trace(
            year=year,
            log10_value=year,
            group=np.append(np.zeros(len(year) - 1, int), 1),
            priors=TREND_PRIORS,
            change_points=len(node),
            residual="student_t",
            node=jnp.asarray(node),
        )


@pytest.mark.parametrize("change_points", [0, 1])
def test_unused_change_points_change_nothing_but_their_own_prior(change_points: int) -> None:
    year = np.linspace(2010, 2026, 12)
    doubling = np.array([0.4, 1.7, 0.9, 2.5])
    sites = {
        "segment_doubling_time_years": doubling[: change_points + 1],
        "log10_level_at_anchor": np.array([22.0, 15.0]),
        "residual_scale_oom": np.array([0.5, 0.3]),
        "degrees_of_freedom": np.array(5.0),
    }
    used = np.full(change_points, 2017.0)
    spare = np.full(trend.MAX_CHANGE_POINTS - change_points, trend.UNUSED_YEAR)
    plain = traced(year, used, sites)
    padded_sites = {**sites, "segment_doubling_time_years": doubling}
    padded = traced(year, np.append(used, spare), padded_sites)
    for trace in (plain, padded):
        assert np.asarray(trace["doubling_time_years"]["value"]) == doubling[change_points]
    centres = [np.asarray(trace["log10_value"]["fn"].loc) for trace in (plain, padded)]
    np.testing.assert_allclose(*centres, rtol=1e-12)
    draws = {name: value[None, None] for name, value in padded_sites.items()}
    draws["change_point_years"] = np.append(used, spare)[None, None]
    np.testing.assert_allclose(
        trend.log10_trend_at(draws, year, year)[0, 0, :-1], centres[0][:-1], rtol=1e-12
    )


growths = st.lists(st.floats(0.05, 2), min_size=4, max_size=4)
dates = st.lists(st.floats(1, 9), min_size=3, max_size=3, unique=True).map(sorted)


@given(growths, dates, st.floats(-2, 12), st.floats(10, 30))
def test_piecewise_trend_is_the_integral_of_its_growth(
    growth: list[float], change_points: list[float], anchor: float, level: float
) -> None:
    years = np.linspace(-3, 13, 30)
    with jax.enable_x64(True):
        path = np.asarray(
            trend.piecewise_trend(
                years,
                jnp.float64(level),
                jnp.array(growth),
                jnp.array(change_points),
                anchor,
            )
        )
    knots = np.array([-1e3, *change_points, 1e3])
    cumulative = np.concatenate([[0.0], np.cumsum(growth * np.diff(knots))])
    expected = level + np.interp(years, knots, cumulative) - np.interp(anchor, knots, cumulative)
    np.testing.assert_allclose(path, expected, atol=1e-9)


def test_piecewise_trend_is_continuous_and_changes_slope_at_the_change_point() -> None:
    years = np.array([2015.0 - 1e-6, 2015.0, 2015.0 + 1e-6])
    with jax.enable_x64(True):
        growth, dates = jnp.array([0.2, 0.9]), jnp.array([2015.0])
        path = np.asarray(trend.piecewise_trend(years, jnp.float64(20), growth, dates, 2018.0))
    np.testing.assert_allclose(np.diff(path) / 1e-6, [0.2, 0.9], rtol=1e-6)
    assert path[1] == pytest.approx(20 - 3 * 0.9, rel=1e-12)


@pytest.mark.parametrize("change_points", [0, 2])
def test_trend_of_draws_is_the_centre_of_the_model(change_points: int) -> None:
    rng = np.random.default_rng(0)
    year = np.sort(rng.uniform(2010, 2026, 20))
    shape = (2, 3)
    draws = {
        "segment_doubling_time_years": rng.uniform(0.3, 3, (*shape, change_points + 1)),
        "log10_level_at_anchor": rng.normal(22, 1, (*shape, 2)),
        "residual_scale_oom": np.ones((*shape, 2)),
        "degrees_of_freedom": np.full(shape, 5.0),
    }
    nodes = np.sort(rng.uniform(2011, 2025, (*shape, change_points)), axis=-1)
    if change_points:
        draws["change_point_years"] = nodes
    ours = trend.log10_trend_at(draws, year, year)
    assert ours.shape == (*shape, len(year))
    sites = [name for name in draws if name != "change_point_years"]
    for index in np.ndindex(shape):
        own = {name: draws[name][index] for name in sites}
        centre = np.asarray(traced(year, nodes[index], own)["log10_value"]["fn"].loc)
        np.testing.assert_allclose(ours[index][:19], centre[:19], rtol=1e-10)
        # The second source has its own level, and the same growth.
        levels = draws["log10_level_at_anchor"][index]
        assert centre[19] - ours[index][19] == pytest.approx(levels[1] - levels[0])


# --- what lies below a frontier ------------------------------------------------------------------


LOG_PROB = jax.jit(lambda value, *arguments: trend.BelowFrontier(*arguments).log_prob(value))


def below(value: np.ndarray, frontier: float, gap: float, noise: float) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(LOG_PROB(value, frontier, gap, noise))


@pytest.mark.parametrize(("gap", "noise"), [(1.0, 0.3), (0.2, 0.8), (4.0, 0.1), (0.01, 1.0)])
def test_density_below_a_frontier_is_scipys_mirrored(gap: float, noise: float) -> None:
    value = np.linspace(20, 27, 80)
    theirs = stats.exponnorm(K=gap / noise, loc=-25.0, scale=noise)
    np.testing.assert_allclose(below(value, 25, gap, noise), theirs.logpdf(-value), rtol=1e-6)


@given(st.floats(0.05, 3), st.floats(0.05, 3))
def test_density_below_a_frontier_integrates_to_one(gap: float, noise: float) -> None:
    grid = np.linspace(25 - 40 * gap - 10 * noise, 25 + 10 * noise, 20_001)
    density = np.exp(below(grid, 25, gap, noise))
    assert integrate.simpson(density, x=grid) == pytest.approx(1, abs=1e-6)


def test_simulated_values_below_a_frontier_have_this_density() -> None:
    simulate = trend.BelowFrontier.simulate
    drawn = simulate(
        np.random.default_rng(0), *(np.full(4000, value) for value in (25.0, 0.8, 0.4))
    )
    theirs = stats.exponnorm(K=0.8 / 0.4, loc=-25.0, scale=0.4)
    assert stats.kstest(-drawn, theirs.cdf).pvalue > 1e-3


def test_frontier_is_the_level_that_one_run_a_year_exceeds() -> None:
    draws = {
        "doubling_time_years": np.full((2, 3), 0.5),
        "residual_scale_oom": np.full((2, 3, 1), 0.6),
        "degrees_of_freedom": np.full((2, 3), 4.0),
    }
    year = np.concatenate([np.linspace(2010, 2023.9, 30), np.linspace(2024.1, 2025.9, 16)])
    excess = training_compute.frontier_excess_oom(
        draws, year, as_of_year=2026.0, reading="upper-quantile"
    )
    # 16 runs in two years: one in eight lies above.
    np.testing.assert_allclose(stats.t(4, scale=0.6).sf(excess), 1 / 8, rtol=1e-9)
    none = training_compute.frontier_excess_oom(
        draws, year, as_of_year=2026.0, reading="latent-frontier"
    )
    np.testing.assert_array_equal(none, np.zeros((2, 3)))


# --- known parameters are recovered --------------------------------------------------------------


@pytest.fixture(scope="module")
def bent() -> tuple[np.ndarray, Fit]:
    """Return the dates and the fit of a record with one change point."""
    rng = np.random.default_rng(11)
    year = np.sort(rng.uniform(1980, 2024, 120))
    true = np.interp(year, [1980, 2010, 2024], [8.0, 8 + 30 * 0.15, 8 + 30 * 0.15 + 14 * 0.6])
    return year, fit_trend(year, true + 0.4 * rng.standard_t(6, 120), change_points=1)


def test_parameters_of_a_bent_trend_are_recovered(bent: tuple[np.ndarray, Fit]) -> None:
    year, fit = bent
    assert fit.pareto_k < 0.7
    low, high = interval(fit.draws["segment_doubling_time_years"], 0.9)
    true = np.log10(2) / np.array([0.15, 0.6])
    assert (low < true).all()
    assert (true < high).all()
    assert ((high - low) / true < 0.5).all()
    for name, true_value, widest in (
        ("change_point_years", 2010.0, 4.0),
        ("residual_scale_oom", 0.4, 0.25),
        ("degrees_of_freedom", 6.0, 50.0),
        ("doubling_time_years", true[1], 0.2),
    ):
        low, high = (np.squeeze(end) for end in interval(fit.draws[name], 0.9))
        assert low < true_value < high
        assert high - low < widest
    at = np.array([1985.0, 2005.0, 2024.0])
    low, high = interval(trend.log10_trend_at(fit.draws, year, at), 0.9)
    truth = np.array([8.75, 11.75, 12.5 + 8.4])
    assert (low < truth).all()
    assert (truth < high).all()


def test_forecast_columns_of_a_bent_trend(bent: tuple[np.ndarray, Fit]) -> None:
    year, fit = bent
    columns = training_compute.forecast_columns(fit.draws, year, as_of_year=2024.0, reading="top-n")
    np.testing.assert_array_equal(
        columns["doubling_time_years"], fit.draws["segment_doubling_time_years"][..., -1]
    )
    level = trend.log10_trend_at(fit.draws, year, np.array([2024.0]))[..., 0]
    runs = np.sum(year > 2022) / 2
    quantile = stats.t.ppf(1 - 1 / runs, fit.draws["degrees_of_freedom"])
    expected = level + quantile * fit.draws["residual_scale_oom"][..., 0]
    np.testing.assert_allclose(columns["log10_level"], expected, rtol=1e-12)
    plain = price_performance.forecast_columns(fit.draws, year, as_of_year=2024.0)
    np.testing.assert_array_equal(plain["log10_level"], level)
    assert spending.forecast_columns is training_compute.forecast_columns


def test_parameters_of_a_latent_frontier_are_recovered() -> None:
    rng = np.random.default_rng(3)
    year = np.sort(rng.uniform(2010, 2024, 250))
    growth, gap, noise = 0.6, 1.5, 0.4
    frontier = 25 + growth * (year - 2024)
    value = frontier - rng.exponential(gap, 250) + rng.normal(0, noise, 250)
    fit = fit_trend(year, value, change_points=0, residual="latent_frontier")
    assert fit.pareto_k < 0.7
    now = trend.log10_trend_at(fit.draws, year, np.array([2024.0]))
    for draws, true, widest in (
        (now, 25.0, 0.6),
        (fit.draws["doubling_time_years"], np.log10(2) / growth, 0.1),
        (fit.draws["gap_oom"], gap, 0.6),
        (fit.draws["residual_scale_oom"], noise, 0.5),
    ):
        low, high = (np.squeeze(end) for end in interval(draws, 0.9))
        assert low < true < high
        assert high - low < widest


def perplexities(doubling_time_years: float) -> dict[str, np.ndarray]:
    """Return a synthetic record of model 7, written with the paper's own parameters."""
    rng = np.random.default_rng(8)
    count, share, alpha, beta = 240, 0.4, 0.08, 0.05
    year = rng.uniform(2012, 2023, count)
    log_parameters = rng.normal(np.log(1e8) + 0.5 * (year - 2018), 1.5)
    log_tokens = rng.normal(np.log(1e9) + 0.5 * (year - 2018), 1.5)
    benchmark = rng.integers(0, 3, count)
    rate = np.log(2) / doubling_time_years
    constants = np.array([[0.55, 0.6, 0.5], [0.45, 0.55, 0.6]])[:, benchmark]
    first = constants[0] - alpha * (share * rate * (year - 2018) + log_parameters - np.log(1e8))
    second = constants[1] - beta * ((1 - share) * rate * (year - 2018) + log_tokens - np.log(1e9))
    loss = np.exp(first) + np.exp(second)
    return {
        "year": year,
        "log_perplexity": loss + 0.05 * rng.standard_t(5, count),
        "log_parameters": log_parameters,
        "log_tokens": log_tokens,
        "benchmark": benchmark,
    }


def fit_algorithms(data: dict[str, np.ndarray]) -> Fit:
    arguments = {**data, "priors": ALGORITHM_PRIORS}
    return inference.fit(algorithmic_progress.model, arguments, seed=(2,))


@pytest.mark.slow
def test_doubling_time_of_effective_compute_is_recovered() -> None:
    fit = fit_algorithms(perplexities(0.75))
    low, high = interval(fit.draws["doubling_time_years"], 0.9)
    assert low < 0.75 < high
    assert high / low < 2.5
    columns = algorithmic_progress.forecast_columns(fit.draws)
    np.testing.assert_array_equal(columns["doubling_time_years"], fit.draws["doubling_time_years"])


# --- published results ---------------------------------------------------------------------------


def test_two_eras_of_training_compute_are_those_published() -> None:
    table = frame("three_eras_123")
    rows = training_compute.observations(
        table, as_of_year=LATEST, since_year=1950.0, reading="upper-quantile", top_n=10
    )
    assert len(rows) == 123
    fit = fit_trend(rows["year"].to_numpy(), rows["log10_value"].to_numpy(), change_points=1)
    assert fit.pareto_k < 0.7
    # Sevilla et al. 2022, table 2, in months of 30 days of years of 365 days: doubling times
    # before and after 2010 with 95 % intervals.
    months = fit.draws["segment_doubling_time_years"] * 365 / 30
    low, high = interval(months, 0.95)
    published = np.array([[17.0, 4.3], [29.3, 9.0]])
    assert (low < published[1]).all()
    assert (high > published[0]).all()
    median = np.median(months, axis=(0, 1))
    assert (published[0] < median).all()
    assert (median < published[1]).all()
    # They put the start of the deep-learning era between 2010 and 2012.
    low, high = interval(fit.draws["change_point_years"], 0.95).ravel()
    assert low < 2010 < high


@pytest.fixture(scope="module")
def shipped_perplexities() -> Fit:
    rows = algorithmic_progress.observations(frame("lm_algorithmic_progress"), as_of_year=LATEST)
    return fit_algorithms({name: rows[name].to_numpy() for name in rows if name != "name"})


def test_algorithmic_progress_overlaps_what_is_published(shipped_perplexities: Fit) -> None:
    # Ho et al. 2024, arXiv 2403.05812: effective compute doubles every 8.4 [4.5, 14.3] months.
    months = 12 * shipped_perplexities.draws["doubling_time_years"]
    low, high = interval(months, 0.95)
    assert low < 14.3
    assert high > 4.5
    assert 4.5 < np.median(months) < 14.3


def test_both_ways_of_progress_are_anticorrelated(shipped_perplexities: Fit) -> None:
    draws = {
        name: values.ravel()
        for name, values in shipped_perplexities.draws.items()
        if values.ndim == 2
    }
    correlation = stats.spearmanr(draws["alpha_year"], draws["beta_year"]).statistic
    assert correlation < -0.3
    # Rates of effective parameters and effective data add up to that of effective compute.
    rate = draws["alpha_year"] / draws["parameter_exponent"]
    rate += draws["beta_year"] / draws["data_exponent"]
    np.testing.assert_allclose(np.log(2) / rate, draws["doubling_time_years"], rtol=1e-9)
