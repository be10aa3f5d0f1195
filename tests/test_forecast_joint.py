"""The joint model of compute, spending, price-performance and algorithms, and its forecast."""

import json
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from aitimelines.forecast import (
    engine,
    inference,
    joint,
    model_program,
    provenance,
    records,
    studies,
)
from aitimelines.forecast.calibration import ranks, uniformity
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.history import joint_growth
from aitimelines.forecast.history.joint_model import (
    CHIPS,
    COMPUTE,
    COST,
    LANGUAGE,
    FollowsPartner,
    model,
)
from aitimelines.forecast.history.study import Study, priors
from aitimelines.forecast.problem import prepare
from aitimelines.forecast.scenario_files import load_scenario, scenario_from_dict
from scipy import integrate, stats

START = 2018.0
TRUE = {
    "spending_doubling_time_years": 0.6,
    "price_performance_doubling_time_years": 2.1,
    "algorithms_doubling_time_years": 0.8,
    "log10_spending_at_anchor": 5.0,
    "log10_flop_per_usd_at_anchor": 17.0,
    "log10_chips_at_anchor": 10.0,
    "cost_response": 0.9,
}


@pytest.fixture(scope="module")
def study() -> Study:
    return studies.study("joint-growth")


def simulated(seed: int, runs: int, compared: int) -> joint_growth.Rows:
    """Return rows drawn from known parameters, with a third of the costs unknown."""
    rng = np.random.default_rng(seed)
    year = np.sort(rng.uniform(2010, 2026, runs))
    year += START - np.median(year)
    usd = TRUE["log10_spending_at_anchor"] + np.log10(2) / 0.6 * (year - START)
    price = np.log10(2) / 2.1 * (year - START)
    above = 0.5 * rng.standard_t(8, runs)
    cost = usd + 0.9 * above + 0.25 * rng.standard_t(5, runs)
    names = np.array([f"run {k}" for k in range(runs)])
    known = rng.random(runs) < 2 / 3
    return joint_growth.observations(
        pd.DataFrame({"name": names, "year": year, "log10_value": usd + 17 + price + above}),
        pd.DataFrame({"name": names, "log10_value": cost})[known],
        language(rng, compared),
        pd.DataFrame(
            {"name": names, "year": year, "log10_value": 10 + price + rng.normal(0, 0.3, runs)}
        ),
    )


def language(rng: np.random.Generator, count: int) -> pd.DataFrame:
    """Return language models of model 7: doubling 0.8 years, half of it through parameters."""
    year = rng.uniform(2013, 2023, count)
    n, d = rng.normal(18, 3, count), rng.normal(20, 3, count)
    benchmark = rng.integers(3, size=count)
    alpha, beta, rate = 0.08, 0.04, np.log(2) / 0.8
    gone = year - year.mean()
    loss = np.array([1.2, 1.3, 1.3])[benchmark]
    loss = np.exp(loss) / 2 * np.exp(-alpha * (rate / 2 * gone + n - n.mean())) + np.exp(
        loss
    ) / 2 * np.exp(-beta * (rate / 2 * gone + d - d.mean()))
    return pd.DataFrame(
        {
            "name": [f"language model {k}" for k in range(count)],
            "year": year,
            "log_perplexity": loss + 0.15 * rng.standard_t(6, count),
            "log_parameters": n,
            "log_tokens": d,
            "benchmark": benchmark,
        }
    )


def told(breaks: int = 0, **more: Any) -> dict[str, Any]:
    """Return the arguments of a model of few simulated rows."""
    choice = {"identity": True, "factor": True} | more
    return joint_growth.arguments(
        simulated(0, 12, 12), priors("joint-growth"), breaks=breaks, **choice
    )


# --- which rows enter -----------------------------------------------------------------------------


def test_no_run_counts_twice_and_every_cost_belongs_to_a_frontier_run(study: Study) -> None:
    rows = study.rows
    compute, cost = (rows[rows["kind"] == kind] for kind in (COMPUTE, COST))
    assert not compute["name"].duplicated().any()
    assert not cost["name"].duplicated().any()
    of = rows.loc[cost["partner"]]
    assert list(of["name"]) == list(cost["name"])
    assert list(of["year"]) == list(cost["year"])
    assert set(of["kind"]) == {COMPUTE}
    assert (rows.loc[rows["kind"] != COST, "partner"] == -1).all()
    assert {"GPT-4 (Mar 2023)", "Grok 3"} <= set(cost["name"])  # named otherwise among costs
    # A run gets 3e14 to 1e20 FLOP for its dollar.
    assert (of["value"].to_numpy() - cost["value"].to_numpy()).min() > 14.5
    assert (of["value"].to_numpy() - cost["value"].to_numpy()).max() < 20


def test_rows_are_those_known_by_then() -> None:
    frame = joint_growth.frontier(2021.0).frame
    assert frame["year"].max() <= 2021.0
    assert set(frame["kind"]) == {COMPUTE, COST, CHIPS, LANGUAGE}
    by_kind = frame.groupby("kind")["standard_value"]
    assert np.allclose(by_kind.mean(), 0)
    assert np.allclose(by_kind.std(), 1)


@pytest.mark.parametrize(("breaks", "distance"), [(1, 1.0), (2, 2.0)])
def test_breaks_are_apart_and_not_at_the_ends(breaks: int, distance: float) -> None:
    years = np.array([2010.4, 2015.0, 2026.4])
    nodes = joint_growth.break_nodes(years, breaks)
    assert nodes is not None
    assert nodes.shape[1] == breaks
    assert nodes.min() >= 2011.4
    assert nodes.max() == pytest.approx(2025.4)
    assert np.all(np.diff(nodes, axis=1) >= distance - 1e-9)
    assert np.allclose(np.diff(np.unique(nodes.round(6))), distance)
    assert joint_growth.break_nodes(years, 0) is None


# --- the distribution and the priors --------------------------------------------------------------


def pair(response: float) -> FollowsPartner:
    return FollowsPartner(
        np.array([0, 1]),
        jnp.array([5.0, 3.0]),
        jnp.array([1.0, -2.0]),
        jnp.array([0.5, 0.3]),
        jnp.array(response),
        np.array([-1, 0]),
    )


def test_a_pair_integrates_to_one() -> None:
    found = pair(0.8)
    grid = np.linspace(-30, 30, 401)
    with jax.enable_x64(True):
        values = jnp.stack(jnp.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
        density = np.asarray(jnp.exp(jax.vmap(found.log_prob)(values).sum(axis=-1)))
    inner = integrate.simpson(density.reshape(401, 401), x=grid, axis=1)
    assert integrate.simpson(inner, x=grid) == pytest.approx(1, abs=2e-3)


def test_a_pair_is_a_regression_on_its_partner() -> None:
    value = np.array([1.7, -1.1])
    given = stats.t(3, loc=-2.0 + 0.8 * 0.7, scale=0.3).logpdf(value[1])
    expected = [stats.t(5, loc=1.0, scale=0.5).logpdf(value[0]), given]
    assert np.allclose(pair(0.8).log_prob(jnp.asarray(value)), expected, rtol=1e-5)


def test_simulated_pairs_have_the_covariance_of_the_density() -> None:
    rng = np.random.default_rng(1)
    shape = (200_000, 2)
    freedom, centre = np.array([30.0, 30.0]), np.array([1.0, -2.0])
    scale, partner = np.array([0.5, 0.3]), np.array([-1.0, 0.0])
    full = [np.broadcast_to(each, shape) for each in (freedom, centre, scale, 0.8, partner)]
    found = FollowsPartner.simulate(rng, *full)
    unit = 30 / 28
    expected = unit * np.array([[0.25, 0.2], [0.2, 0.64 * 0.25 + 0.09]])
    assert np.allclose(np.cov(found.T), expected, rtol=0.02)
    assert np.allclose(found.mean(axis=0), centre, atol=0.01)


def test_growth_rates_keep_their_priors_and_share_a_factor() -> None:
    data = told(breaks=2)
    given = data["priors"]
    compiled = model_program.compile_model(model, data, np.array([2014.0, 2020.0]))
    z = np.random.default_rng(2).standard_normal((20_000, compiled.size))
    node = np.tile([2014.0, 2020.0], (len(z), 1))
    prior = compiled.evaluate(compiled.prior_points(z, node), node).values
    names = [f"spending_doubling_time_years_segment_{k}" for k in (1, 2, 3)]
    names += ["price_performance_doubling_time_years", "algorithms_doubling_time_years"]
    for name in names:
        own = given[name.partition("_segment")[0]]
        assert np.quantile(prior[name], [0.025, 0.975]) == pytest.approx([own.low, own.high], 0.1)
    correlations = np.corrcoef([np.log(prior[name]) for name in names])
    expected = np.full((5, 5), prior["growth_correlation"].mean()) + np.diag([0.55] * 5)
    assert np.allclose(correlations, expected, atol=0.03)


def test_without_a_factor_growth_rates_are_unrelated() -> None:
    compiled = model_program.compile_model(model, told(factor=False))
    z = np.random.default_rng(3).standard_normal((20_000, compiled.size))
    node = np.zeros((len(z), 1))
    prior = compiled.evaluate(compiled.prior_points(z, node), node).values
    assert "growth_correlation" not in prior
    pair_of = [prior[f"{name}_doubling_time_years"] for name in ("spending", "algorithms")]
    assert abs(np.corrcoef(np.log(pair_of))[0, 1]) < 0.03


# --- recovery -------------------------------------------------------------------------------------


def test_known_parameters_are_recovered() -> None:
    rows = simulated(5, 70, 120)
    data = joint_growth.arguments(
        rows, priors("joint-growth"), breaks=0, identity=True, factor=True
    )
    found = inference.fit(
        model, data, seed=(3,), settings=inference.SamplerSettings(sampler="importance")
    )
    assert found.pareto_k < 0.7
    for name, truth in TRUE.items():
        low, high = np.quantile(found.draws[name], [0.005, 0.995])
        assert low < truth < high, name
    assert np.quantile(found.draws["spending_doubling_time_years"], 0.9) < 0.7
    year = rows.frame["year"][rows.frame["kind"] == COMPUTE].to_numpy()
    said = joint_growth.quantities(found.draws, START, float(year.max()))
    assert np.allclose(said["compute_growth_not_bought_oom_per_year"], 0)
    total = said["spending_growth_oom_per_year"] + said["price_performance_growth_oom_per_year"]
    assert np.allclose(said["compute_growth_oom_per_year"], total)
    # What a run costs and what a dollar buys trade off: their sum is known best.
    assert said["correlation_spending_and_price_performance"].max() < -0.2


def test_levels_and_growth_of_two_breaks_by_hand() -> None:
    two = np.ones((1, 2))
    draws = {
        "spending_doubling_time_years_segment_1": two,
        "spending_doubling_time_years_segment_2": two / 2,
        "spending_doubling_time_years_segment_3": two * 2,
        "price_performance_doubling_time_years": two * 4,
        "algorithms_doubling_time_years": two,
        "log10_spending_at_anchor": two * 5,
        "log10_flop_per_usd_at_anchor": two * 17,
        "change_point_years": np.tile([2014.0, 2020.0], (1, 2, 1)),
    }
    at = joint_growth.world(draws, 2016.0, 2024.0)
    doublings = 4 * 2 + 4 / 2  # 2016 to 2020 at two a year, then at half a one
    assert at.spending == pytest.approx(5 + doublings * np.log10(2))
    assert at.compute == pytest.approx(at.spending + at.price_performance)
    assert at.compute_growth == pytest.approx((0.5 + 0.25) * np.log10(2))
    before = joint_growth.world(draws, 2016.0, 2012.0)
    assert before.spending == pytest.approx(5 - (2 * 2 + 2 * 1) * np.log10(2))


# --- the record -----------------------------------------------------------------------------------


def joint_scenario(**more: Any) -> Scenario:
    """Return the baseline with a joint history without breaks, which is fitted in little time."""
    values = load_scenario("baseline").model_dump(mode="python", exclude_none=True)
    values["training_compute"] |= {"change_points": 0}
    values["training_compute"].pop("change_point_weights", None)
    return scenario_from_dict(values | {"history": "joint"} | more)


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    return {name: tree for name, (tree, _) in records.fit_records(joint_scenario()).items()}


def column(fits: dict[str, Any], record: str, name: str) -> np.ndarray:
    found: np.ndarray = fits[record]["forecast"][name].to_numpy().ravel()
    return found


def test_a_draw_of_all_records_is_one_world(fits: dict[str, Any]) -> None:
    assert set(fits) == set(provenance.RECORDS)
    assert records.verdict_of_all(fits).verdict == "PASS"
    level, rate = (
        {record: transform(column(fits, record, name)) for record in provenance.RECORDS[:3]}
        for name, transform in (("log10_level", np.asarray), ("doubling_time_years", np.reciprocal))
    )
    for part in (level, rate):
        bought = part["spending"] + part["price_performance"]
        assert np.allclose(part["training_compute"], bought)


def test_published_trends_are_met(fits: dict[str, Any]) -> None:
    # Cottier et al. (2024): costs 2.4 times a year (2.0 to 3.1). Epoch AI: compute 4 to 5 times.
    low, high = np.quantile(
        2 ** (1 / column(fits, "spending", "doubling_time_years")), [0.05, 0.95]
    )
    assert low < 3.5
    assert high > 2.0
    growth = np.quantile(2 ** (1 / column(fits, "training_compute", "doubling_time_years")), 0.5)
    assert 4.0 < growth < 5.5
    # Ho et al. (2024): algorithms double compute in 5 to 14 months (95 %).
    months = np.quantile(12 * column(fits, "algorithmic_progress", "doubling_time_years"), 0.5)
    assert 5 < months < 14


def test_the_forecast_draws_one_row_for_all_records(fits: dict[str, Any]) -> None:
    problem = prepare(joint_scenario(), fits, dtype=np.float64)
    (rows,) = problem.ensemble.inputs.rows
    named = dict(zip(problem.structure.columns, np.moveaxis(rows, -1, 0), strict=True))
    bought = named["spending.log10_level"] + named["price_performance.log10_level"]
    assert np.allclose(named["training_compute.log10_level"], bought)
    apart = prepare(load_scenario("baseline"), fits, dtype=np.float64)
    assert len(apart.ensemble.inputs.rows) == 4
    assert set(apart.structure.columns) == set(problem.structure.columns)


@pytest.mark.slow
def test_both_routes_to_compute_start_at_one_level(fits: dict[str, Any]) -> None:
    def paths(history: str) -> Any:
        scenario = joint_scenario(history=history, samples=2**14)
        return engine.simulate(scenario, fits)

    together, apart = paths("joint"), paths("separate")
    routes = ("log10_physical_compute", "log10_physical_compute_alternative")
    gaps = []
    for tree in (together, apart):
        first = [tree["trajectories"][name].isel(year=0).to_numpy() for name in routes]
        gaps.append(np.abs(first[0] - first[1]))
    assert np.median(gaps[0]) < 1e-4
    assert np.median(gaps[1]) > 0.02
    assert set(json.loads(together.attrs["fits"])) == set(provenance.RECORDS)
    by_2040 = [float(tree["timeline"]["arrival_cdf"].sel(year=2040)) for tree in (together, apart)]
    assert by_2040[0] != by_2040[1]
    assert by_2040[0] == pytest.approx(by_2040[1], abs=0.05)  # marginals are the same


def test_weights_of_breaks_count_more_than_one_as_one() -> None:
    def section(**more: Any) -> Any:
        found = joint_scenario(training_compute={"fit": True} | more).training_compute
        assert found is not None
        return found

    def tried(**more: Any) -> tuple[int, ...]:
        return joint._counts(section(**more))

    assert tried(change_points=1) == (1,)
    assert tried(change_points="average") == (0, 1)
    assert tried(change_points="average", change_point_weights=(0.0, 0.5, 0.0, 0.5)) == (1,)
    given = section(change_points="average", change_point_weights=(0.2, 0.3, 0.1, 0.4))
    assert joint._given(given) == pytest.approx((0.2, 0.8))


def test_a_mixture_keeps_draws_together() -> None:
    fits = {count: SimpleNamespace(log_likelihood=np.zeros((2, 100, 1))) for count in (0, 2)}
    mix = joint._mixture(np.array([0.3, 0.7]), fits, 4)  # type: ignore[arg-type]
    draw = np.tile(np.arange(100.0), (2, 1))
    first = mix([draw, 1000 + draw])
    assert np.all(np.sum(first >= 1000, axis=1) == 70)
    assert np.array_equal(mix([2 * draw, 2 * (1000 + draw)]), 2 * first)


def test_what_one_record_is_fitted_to_moves_all_of_a_world() -> None:
    def keys(history: str, residual: float) -> list[Any]:
        values = load_scenario("baseline").model_dump(mode="python", exclude_none=True)
        values["spending"]["residual_scale_oom"] = {"lognormal": [0.1, residual]}
        scenario = scenario_from_dict(values | {"history": history})
        return [provenance.fit_key(scenario, name) for name in provenance.RECORDS]

    apart = [a != b for a, b in zip(keys("separate", 2.0), keys("separate", 3.0), strict=True)]
    assert apart == [name == "spending" for name in provenance.RECORDS]
    together = keys("joint", 2.0)
    assert all(key == together[0] for key in together)
    assert together != keys("joint", 3.0)


@pytest.mark.parametrize(
    ("section", "change", "problem"),
    [
        ("training_compute", {"reading": "upper-quantile"}, "reading = 'top-n'"),
        ("training_compute", {"change_points": 3}, "change_points"),
        ("spending", {"fit": False, "log10_level": 8.0, "level_year": 2025.0}, "fit = true"),
    ],
)
def test_a_history_that_cannot_be_joint_is_refused(
    section: str, change: dict[str, Any], problem: str
) -> None:
    values = load_scenario("baseline").model_dump(mode="python", exclude_none=True)
    values["training_compute"].pop("change_point_weights", None)
    values[section] |= change
    with pytest.raises(ValueError, match=problem):
        scenario_from_dict(values | {"history": "joint"})


# --- slow -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_rival_passes_the_gate_and_compute_is_what_money_buys() -> None:
    tree, _ = studies.fit_study("joint-growth")
    assert tree.attrs["verdict"] == "PASS"
    apart = tree["separate"]["quantities"]["compute_growth_not_bought_oom_per_year"].to_numpy()
    assert abs(np.median(apart)) < 0.05
    assert np.quantile(np.abs(apart), 0.9) < 0.1
    together = tree["joint"]["quantities"]
    for name in ("spending_and_algorithms", "price_performance_and_algorithms"):
        assert abs(together[f"correlation_{name}"].to_numpy()).max() < 0.25


@pytest.mark.slow
def test_ranks_of_truths_are_uniform() -> None:
    rows = simulated(0, 30, 40)
    data = joint_growth.arguments(
        rows, priors("joint-growth"), breaks=0, identity=True, factor=True
    )
    found = ranks(model, data, "standard_value", replications=120, seed=1, proposals=4096)
    for name, shares in found.items():
        assert uniformity(shares, 10) > 1e-3 / len(found), name
