"""Model size, the parameter gap, training sets, data stock: rows, recovery, calibration, trends."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast import calibration, data_stock, inference, plot_sizes, studies
from aitimelines.forecast.history import model_size, parameter_gap, training_data, trend
from aitimelines.forecast.history.parameter_gap import CostStep, JumpThenRace
from aitimelines.forecast.history.study import priors
from scipy import integrate, stats

LOG_LOW, LOG_HIGH = np.log10([20e9, 70e9])


@pytest.fixture(scope="module")
def gap() -> xr.DataTree:
    return studies.fit_study("parameter-gap")[0]


@pytest.fixture(scope="module")
def language() -> xr.DataTree:
    return studies.fit_study("model-size-language")[0]


@pytest.fixture(scope="module")
def largest() -> xr.DataTree:
    return studies.fit_study("dataset-size-largest")[0]


def quantiles(tree: xr.DataTree, rival: str, quantity: str) -> tuple[float, float, float]:
    low, middle, high = np.quantile(tree[rival]["quantities"][quantity], [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)


def elpd(tree: xr.DataTree, rival: str) -> float:
    return float(tree["comparison"]["elpd_loo"].sel(rival=rival))


# --- which rows enter -----------------------------------------------------------------------------


def test_a_system_of_several_domains_counts_once_and_language_goes_first() -> None:
    import pandas as pd

    given = pd.Series(["Language", "Multimodal,Vision,Language", "Vision", "Video,Vision", "Games"])
    found = model_size.domain_of(pd.concat([given, pd.Series([pd.NA])], ignore_index=True))
    assert found.tolist() == ["Language", "Language", "Vision", "Vision", "", ""]


def test_the_237_systems_of_the_paper_enter() -> None:
    rows = studies.study("model-size-2022").rows
    assert len(rows) == 237
    assert rows["year"].is_monotonic_increasing


@pytest.mark.parametrize("name", ["model-size-language", "parameter-gap", "dataset-size"])
def test_nothing_later_than_as_of_enters(name: str) -> None:
    rows = studies.study(name, as_of_year=2021.5).rows
    assert rows["year"].max() <= 2021.5
    assert len(rows) < len(studies.study(name).rows)


def test_language_sizes_end_where_leaders_cease_to_publish_them() -> None:
    assert studies.study("model-size-language").rows["year"].max() < 2023


def test_the_largest_sets_are_the_largest_at_their_release() -> None:
    rows = studies.study("dataset-size-largest").rows
    value = rows["log10_value"].to_numpy()
    for place in range(training_data.LARGEST, len(value)):
        assert np.sum(value[:place] > value[place]) < training_data.LARGEST


# --- distributions --------------------------------------------------------------------------------

STEPS = [
    CostStep(4.0, 10.0, 0.8, 0.2),
    CostStep(20.0, 11.0, 0.3, 0.05),
    CostStep(3.0, 9.0, 1.5, 1.4),
]
RACES = [JumpThenRace(5.0, 9.5, 1.0, 0.2, 11.3, 0.1), JumpThenRace(3.0, 10.0, 0.5, 0.6, 11.2, 0.4)]


@pytest.mark.parametrize("made", [*STEPS, *RACES])
def test_densities_integrate_to_one(made: Any) -> None:
    grid = np.unique(np.concatenate([np.linspace(-40, 60, 200_001), [LOG_LOW, LOG_HIGH]]))
    density = np.exp(np.asarray(made.log_prob(grid), dtype=float))
    assert integrate.trapezoid(density, grid) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("made", [*STEPS, *RACES])
def test_simulation_follows_the_density(made: Any) -> None:
    rng = np.random.default_rng(3)
    given = [np.full(4000, float(getattr(made, name))) for name in type(made).arg_constraints]
    drawn = type(made).simulate(rng, *given)
    grid = np.linspace(-60, 80, 400_001)
    below = integrate.cumulative_trapezoid(np.exp(np.asarray(made.log_prob(grid))), grid, initial=0)
    result = stats.kstest(drawn, lambda x: np.interp(x, grid, below / below[-1]))
    assert result.pvalue > 1e-3


def test_a_step_of_one_is_no_step_and_no_share_is_no_race() -> None:
    at = np.linspace(7, 13, 50)
    smooth = stats.t.logpdf(at, 5.0, 10.0, 0.9)
    np.testing.assert_allclose(CostStep(5.0, 10.0, 0.9, 1.0).log_prob(at), smooth, rtol=1e-4)
    race = JumpThenRace(5.0, 10.0, 0.9, 1e-12, 11.0, 0.1)
    np.testing.assert_allclose(race.log_prob(at), smooth, rtol=1e-4)


def test_the_step_multiplies_the_density_inside_and_not_at_the_ends() -> None:
    made, plain = CostStep(5.0, 10.0, 0.9, 0.25), CostStep(5.0, 10.0, 0.9, 1.0)
    at = np.array([LOG_LOW, LOG_LOW + 0.01, LOG_HIGH - 0.01, LOG_HIGH])
    ratio = np.exp(np.asarray(made.log_prob(at) - plain.log_prob(at)))
    np.testing.assert_allclose(ratio[1:3] / ratio[[0, 3]], 0.25, rtol=1e-4)


# --- recovery and calibration ---------------------------------------------------------------------

YEAR = np.linspace(2020.4, 2022.5, 300)


def sizes(rival: str) -> np.ndarray:
    rng = np.random.default_rng(8)
    centre = 9.8 + 0.5 * (YEAR - np.median(YEAR))
    shared = np.broadcast_arrays(8.0, centre, 0.8)
    if rival == "cost-step":
        return CostStep.simulate(rng, *shared, np.full(300, 0.15))
    return JumpThenRace.simulate(rng, *shared, *np.broadcast_arrays(0.25, 11.3, 0.12 * (YEAR > 0)))


@pytest.mark.parametrize(
    ("rival", "truth"),
    [
        ("cost-step", {"kept_in_band": 0.15, "growth_oom_per_year": 0.5}),
        ("jump-then-race", {"race_share": 0.25, "race_log10_parameters": 11.3, "scale_oom": 0.8}),
    ],
)
def test_known_parameters_are_recovered(rival: str, truth: dict[str, float]) -> None:
    data = {
        "year": YEAR,
        "log10_parameters": sizes(rival),
        "rival": rival,
        "priors": priors("parameter-gap"),
    }
    found = inference.fit(parameter_gap.model, data, seed=(1,))
    assert found.pareto_k < inference.PARETO_K_LIMIT
    for name, value in truth.items():
        low, high = np.quantile(found.draws[name], [0.01, 0.99])
        assert low < value < high, name


def _ranks(rival: str, replications: int, rows: int = 60) -> dict[str, np.ndarray]:
    year = np.linspace(2020.4, 2022.5, rows)
    arguments = {
        "year": year,
        "log10_parameters": np.zeros(rows),
        "rival": rival,
        "priors": priors("parameter-gap"),
    }
    return calibration.ranks(
        parameter_gap.model, arguments, "log10_parameters", replications=replications, seed=4
    )


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["smooth", "cost-step", "jump-then-race"])
def test_posteriors_are_as_wide_as_they_say(rival: str) -> None:
    for name, shares in _ranks(rival, 200).items():
        assert calibration.uniformity(shares, bins=10) > 1e-3, name


def test_the_step_is_calibrated_in_a_few_replications() -> None:
    for name, shares in _ranks("cost-step", 30, 40).items():
        assert calibration.uniformity(shares, bins=5) > 1e-3, name


@pytest.mark.slow
@pytest.mark.parametrize("section", ["model-size", "dataset-size"])
def test_trends_are_as_wide_as_they_say(section: str) -> None:
    year = np.linspace(2010, 2024, 60)
    arguments = {
        "year": year,
        "log10_value": np.zeros(60),
        "group": np.zeros(60, int),
        "priors": priors(section),
        "change_points": 1,
        "residual": "student_t",
    }
    nodes = trend.change_point_nodes(year, 1)
    found = calibration.ranks(
        trend.model, arguments, "log10_value", replications=200, seed=4, nodes=nodes
    )
    # Dates are on a grid: where one is certain, all draws tie with the truth and its rank is 1/2.
    del found["change_point_years"]
    for name, shares in found.items():
        assert calibration.uniformity(shares, bins=10) > 1e-3, name


# --- the fits of the record -----------------------------------------------------------------------

IDS = (
    *("model-size-language", "model-size-vision", "model-size-2022"),
    *("model-size-language-2022", "model-size-vision-2022"),
    *("parameter-gap", "parameter-gap-all", "dataset-size", "dataset-size-largest"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
def test_every_rival_of_every_study_passes_the_gate(name: str) -> None:
    tree, _ = studies.fit_study(name)
    assert tree.attrs["verdict"] == "PASS", tree.attrs["reasons"]


def test_the_gate_passes_and_the_gap_is_preferred(gap: xr.DataTree) -> None:
    assert gap.attrs["verdict"] == "PASS", gap.attrs["reasons"]
    assert elpd(gap, "cost-step") > elpd(gap, "smooth")
    low, _, high = quantiles(gap, "cost-step", "kept_in_band")
    assert high < 1
    assert low > 0
    expected = quantiles(gap, "smooth", "expected_systems_in_band")
    assert expected[0] > 4  # of a smooth density, where there are two


def test_the_expected_share_is_that_of_the_predictive_draws(gap: xr.DataTree) -> None:
    for name in studies.rivals_of(gap):
        drawn = gap[name]["posterior_predictive"]["log10_parameters"].to_numpy()
        found = np.mean((drawn > LOG_LOW) & (drawn < LOG_HIGH))
        told = float(gap[name]["quantities"]["expected_share_in_band"].mean())
        assert told == pytest.approx(found, abs=0.003)


def test_the_language_break_is_where_villalobos_et_al_put_it(language: xr.DataTree) -> None:
    assert language.attrs["verdict"] == "PASS", language.attrs["reasons"]
    assert elpd(language, "1-breaks") > elpd(language, "0-breaks") + 5
    low, middle, high = quantiles(language, "1-breaks", "change_point_1_year")
    assert low < 2019 < high
    assert 2017 < middle < 2020.5
    # Their doubling times, 39.7 and 4.0 months, are of all domains.
    slow = quantiles(language, "1-breaks", "doubling_time_months_segment_1")
    fast = quantiles(language, "1-breaks", "doubling_time_months_segment_2")
    assert slow[0] < 39.7 < slow[2]
    assert fast[2] < slow[0]


def test_growth_over_a_span_is_that_of_the_trend(language: xr.DataTree) -> None:
    found = language["0-breaks"]["quantities"].to_dataset()
    np.testing.assert_allclose(
        found["growth_oom_2018_to_2022"], 4 * found["growth_oom_per_year"], rtol=1e-6
    )


def test_training_sets_grow_as_villalobos_et_al_have_it(largest: xr.DataTree) -> None:
    assert largest.attrs["verdict"] == "PASS", largest.attrs["reasons"]
    low, _, high = quantiles(largest, "1-breaks", "growth_oom_per_year")
    assert low < 0.38 < high


# --- the test of the gap --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "largest_parameters", "published"),
    [(43, 1.571e12, 0.1222), (68, 1.75e12, 0.0070)],
)
def test_the_log_uniform_null_gives_the_known_probabilities(
    n: int, largest_parameters: float, published: float
) -> None:
    values = np.linspace(9, np.log10(largest_parameters), n)
    share = float(np.diff(parameter_gap._cdf("log-uniform", values)([LOG_LOW, LOG_HIGH]))[0])
    assert stats.binom.cdf(4, n, share) == pytest.approx(published, abs=5e-5 + 0.005 * published)


def test_the_gap_test_against_its_definition() -> None:
    rows = parameter_gap.language_models("notable_models", 2020.4, 2022.5)
    parameters = 10 ** rows["log10_parameters"].to_numpy()
    counted = {
        "open": np.sum((parameters > 20.0001e9) & (parameters < 69.9999e9)),
        "half-open": np.sum((parameters > 19.9999e9) & (parameters < 69.9999e9)),
        "closed": np.sum((parameters > 19.9999e9) & (parameters < 70.0001e9)),
    }
    log10 = np.log10(parameters)
    normal = stats.norm(log10.mean(), log10.std(ddof=1))
    share = normal.cdf(LOG_HIGH) - normal.cdf(LOG_LOW)
    for ends, count in counted.items():
        found = parameter_gap.gap_test("notable_models", ends=ends)
        assert (found.n, found.in_band) == (len(rows), count)
        assert found.probability == pytest.approx(stats.binom.cdf(count, len(rows), share))


def test_significance_depends_on_rule_and_null_and_on_where_one_looks() -> None:
    table = parameter_gap.gap_tests()
    assert len(table) == 36
    assert table["probability"].min() < 1e-4
    assert table["probability"].max() > 0.1
    by_null = table.pivot_table(index=["table", "multimodal", "ends"], columns="null")
    assert (by_null["probability"]["log-uniform"] > by_null["probability"]["log-normal"]).all()
    found = parameter_gap.gap_test("notable_models", simulations=200)
    assert found.probability_anywhere > found.probability


def test_looking_anywhere_is_a_test_of_its_own() -> None:
    """Of records without a gap, few have so improbable a band that it would be rare anywhere."""
    values = np.sort(np.random.default_rng(1).normal(10, 1, 60))
    rare = parameter_gap._anywhere("log-normal", values, 0.544, 1e-9, 100)
    common = parameter_gap._anywhere("log-normal", values, 0.544, 0.5, 100)
    assert rare == 0
    assert common == 1


@pytest.mark.parametrize(
    ("given", "named"), [({"null": "flat"}, "null: got 'flat'"), ({"ends": "shut"}, "ends: got")]
)
def test_wrong_arguments_of_the_gap_test_are_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parameter_gap.gap_test("notable_models", **given)


def test_a_period_without_models_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 10"):
        parameter_gap.gap_test("notable_models", 1960, 1961)


# --- the stock ------------------------------------------------------------------------------------


def test_the_stock_of_villalobos_et_al() -> None:
    drawn = data_stock.inputs()
    found = data_stock.stock(drawn)
    low, raw, high = np.quantile(found.raw, [0.025, 0.5, 0.975]) / 1e12
    assert raw == pytest.approx(513, rel=0.05)  # an independent Monte Carlo; 510 published
    assert (low, high) == pytest.approx((130, 2100), rel=0.05)
    low, effective, high = np.quantile(found.effective, [0.025, 0.5, 0.975]) / 1e12
    assert effective == pytest.approx(324, rel=0.05)
    assert (low, high) == pytest.approx((65, 1700), rel=0.05)
    assert np.all(found.raw > 0)
    use = data_stock.published_use(drawn)
    assert np.median(data_stock.run_out_year(found, use)) == pytest.approx(2029.0, abs=0.3)
    early = data_stock.run_out_year(found, use, overtraining=5)
    assert np.median(early) == pytest.approx(2027.0, abs=0.3)


def one(value: float) -> np.ndarray:
    return np.array([value])


def test_run_out_in_closed_form() -> None:
    found = data_stock.Stock(one(1e15), one(1e15), one(1e15), one(0.1))
    use = data_stock.Use(one(12.0), one(0.6), 2024.0)
    assert data_stock.run_out_year(found, use) == pytest.approx(2024 + 3 / 0.5)
    later = data_stock.Use(one(12.6), one(0.6), 2025.0)  # the same line
    assert data_stock.run_out_year(found, later) == pytest.approx(2024 + 3 / 0.5)
    tenfold = data_stock.run_out_year(found, use, overtraining=10)
    assert tenfold == pytest.approx(2024 + 2 / 0.5)
    never = data_stock.Use(one(12.0), one(0.05), 2024.0)
    assert np.isposinf(data_stock.run_out_year(found, never))
    met = data_stock.Use(one(16.0), one(0.05), 2024.0)
    assert np.isneginf(data_stock.run_out_year(found, met))


def test_overtraining_must_be_positive() -> None:
    drawn = data_stock.inputs(64)
    with pytest.raises(ValueError, match="overtraining"):
        data_stock.run_out_year(
            data_stock.stock(drawn), data_stock.published_use(drawn), overtraining=0
        )


def test_use_from_a_fit_follows_its_weights(largest: xr.DataTree) -> None:
    use = data_stock.fitted_use(largest, 20_000)
    weights = largest["comparison"]["stacking_weight"]
    expected = sum(
        float(weights.sel(rival=name))
        * float(largest[name]["quantities"]["growth_oom_per_year"].mean())
        for name in studies.rivals_of(largest)
    )
    assert use.growth_oom_per_year.mean() == pytest.approx(expected, abs=0.002)
    found = data_stock.stock(data_stock.inputs())
    table = data_stock.run_out_table(
        {"fitted": data_stock.fitted_use(largest, len(found.raw))}, found
    )
    assert table["overtraining"].tolist() == [1.0, 5.0]
    assert table["q50"].is_monotonic_decreasing
    assert (table["q2.5"] < table["q50"]).all()


# --- figures --------------------------------------------------------------------------------------


def test_figures_draw(gap: xr.DataTree, language: xr.DataTree, largest: xr.DataTree) -> None:
    for figure in (
        plot_sizes.gap_figure(gap),
        plot_sizes.break_figure(language),
        plot_sizes.stock_figure(largest),
    ):
        figure.draw_without_rendering()
        assert figure.axes
