"""Scores against closed forms, naive forecasts by the textbook, backtests that do not peek."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scoringrules
import xarray as xr
from aitimelines.forecast import (
    averaging,
    backtest,
    backtest_fits,
    backtest_scores,
    calibration,
    inference,
    plot_backtest,
    records,
    scoring,
)
from aitimelines.forecast.cli import main
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.history import trend
from aitimelines.forecast.model_program import compile_model
from aitimelines.forecast.naive import last_growth_rate, random_walk_with_drift
from aitimelines.forecast.scenario_files import load_scenario
from aitimelines.forecast.scoring import Mixture
from aitimelines.priors.elicitation import Interval
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

TABLE = "notable_models"
SHORT = ("2020", "2022")


def small() -> Scenario:
    return load_scenario("baseline", inference={"draws": 250})


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AITIMELINES_CACHE", str(tmp_path_factory.mktemp("cache")))
        return backtest.backtest(small(), SHORT, vintages=False)[0]


# --- scores --------------------------------------------------------------------------------------


def normal(centre: float, scale: float) -> Mixture:
    return Mixture(np.array([[centre]]), np.array([[scale]]), np.array([[1e6]]), np.ones(1))


def test_scores_of_a_normal_forecast_are_the_closed_forms() -> None:
    actual = np.array([1.7])
    found = scoring.scored_mixture(normal(1.0, 0.5), actual, np.random.default_rng(0))
    assert found["log_score"] == pytest.approx(-stats.norm.logpdf(1.7, 1.0, 0.5), abs=1e-5)
    assert found["pit"] == pytest.approx(stats.norm.cdf(1.4), abs=1e-5)
    # 2000 draws: the CRPS is a mean of |x - y|, standard deviation under 0.5.
    exact = scoringrules.crps_normal(1.7, 1.0, 0.5)
    assert found["crps"] == pytest.approx(exact, abs=4 * 0.5 / np.sqrt(2000))
    # A quantile of n draws has standard error sqrt(p (1 - p) / n) / density.
    quantile = stats.norm.ppf(0.95, 1.0, 0.5)
    error = np.sqrt(0.95 * 0.05 / 2000) / stats.norm.pdf(quantile, 1.0, 0.5)
    assert found["q95"] == pytest.approx(quantile, abs=4 * error)


@given(
    st.lists(
        st.tuples(st.floats(-2, 2), st.floats(0.1, 2), st.floats(2, 50), st.floats(0.1, 1)),
        min_size=1,
        max_size=4,
    )
)
def test_a_mixture_has_density_and_distribution_that_agree(parts: list[tuple[float, ...]]) -> None:
    centre, scale, freedom, weight = (np.array(column) for column in zip(*parts, strict=True))
    mixture = Mixture(
        centre[:, None], scale[:, None], freedom[:, None], np.asarray(weight / weight.sum())
    )

    def density(x: float) -> float:
        return float(np.exp(mixture.log_density(np.array([x])))[0])

    below = mixture.cumulative(np.array([0.3]))[0] - mixture.cumulative(np.array([-1.0]))[0]
    assert integrate.quad(density, -1.0, 0.3, limit=200)[0] == pytest.approx(below, abs=1e-6)


def test_a_forecast_without_spread_is_scored_by_its_error_alone() -> None:
    found = scoring.scored_draws(np.array([[3.0, 5.0]]), np.array([3.5, 4.0]))
    np.testing.assert_allclose(found["crps"], [0.5, 1.0])
    assert np.isnan(found["log_score"]).all()


def test_stacking_finds_the_best_mixture() -> None:
    rng = np.random.default_rng(3)
    data = np.where(rng.random(800) < 0.3, rng.normal(-1, 0.5, 800), rng.normal(1, 1, 800))
    models = [(-1, 0.5), (1, 1), (4, 1)]
    log_density = np.stack([stats.norm.logpdf(data, *each) for each in models], axis=1)
    weights = scoring.stacking_weights(log_density)

    def loss(free: np.ndarray) -> float:
        share = np.exp(free - free.max())
        return -float(np.mean(np.log(np.exp(log_density) @ (share / share.sum()))))

    best = optimize.minimize(loss, np.zeros(3)).fun
    found = -np.mean(np.log(np.exp(log_density) @ weights))
    assert found == pytest.approx(best, abs=1e-5)
    assert weights[:2] == pytest.approx([0.3, 0.7], abs=4 * np.sqrt(0.3 * 0.7 / 800))
    assert weights.sum() == pytest.approx(1)


def test_skill_resamples_dates_and_not_outcomes() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(5), 40)
    reference = np.full(200, 1.0)
    score = 0.5 + np.repeat(rng.normal(0, 0.2, 5), 40)
    value, low, high = scoring.skill(score, reference, cluster)
    assert value == pytest.approx(1 - score.mean())
    means = score.reshape(5, 40).mean(axis=1)
    width = 2 * 1.645 * means.std() / np.sqrt(5)  # of the bootstrap of five dates
    assert high - low == pytest.approx(width, rel=0.2)
    same = scoring.skill(score, score, cluster)
    assert same == pytest.approx((0, 0, 0), abs=1e-12)


# --- naive forecasts -----------------------------------------------------------------------------


def test_the_last_growth_rate_has_the_textbook_prediction_interval() -> None:
    rng = np.random.default_rng(1)
    year = np.sort(rng.uniform(2016, 2020, 30))
    value = 20 + 0.6 * (year - 2016) + rng.normal(0, 0.3, 30)
    at = np.array([2020.5, 2024.0])
    found = last_growth_rate(year, value, at)
    recent = year > year[-1] - 4
    x, y = year[recent], value[recent]
    line = stats.linregress(x, y)
    design = np.stack([np.ones_like(x), x], axis=1)
    rest = y - line.intercept - line.slope * x
    spread = rest @ rest / (len(x) - 2)
    inverse = np.linalg.inv(design.T @ design)
    for number, date in enumerate(at):
        new = np.array([1.0, date])
        scale = np.sqrt(spread * (1 + new @ inverse @ new))
        exact = stats.t(len(x) - 2, line.intercept + line.slope * date, scale)
        one = Mixture(found.centre[:, [number]], found.scale[:, [number]], *found[2:])
        for y0 in (21.0, 24.0):
            assert one.cumulative(np.array([y0]))[0] == pytest.approx(exact.cdf(y0), rel=1e-6)


def test_the_random_walk_goes_on_with_its_drift() -> None:
    year = np.arange(2010, 2020) + 0.5
    steps = np.array([0.2, 0.6, 0.4, 0.4, 0.2, 0.6, 0.4, 0.4, 0.4])
    value = np.concatenate([[20.0], 20 + np.cumsum(steps)])
    doubled = np.concatenate([value - 0.1, value + 0.1])  # two runs a year, 0.1 about its mean
    found = random_walk_with_drift(np.tile(year, 2), doubled, np.array([2023.5]))
    assert found.centre[0, 0] == pytest.approx(value[-1] + 4 * steps.mean())
    within = np.sum(0.1**2 * np.ones(20)) / (20 - 10)
    variance = steps.var(ddof=1) * (4 + 16 / 9) + within
    assert found.scale[0, 0] == pytest.approx(np.sqrt(variance))


# --- what is known on a date ---------------------------------------------------------------------


def test_dates_are_read_and_vintages_added() -> None:
    found = backtest_fits.cases(TABLE, ["2018", "2021-05-06"], vintages=True)
    assert [case.as_of for case in found if not case.vintage] == ["2018-01-01", "2021-05-06"]
    assert {case.table for case in found if case.vintage} == {
        "notable_models_2022_07",
        "notable_models_2024_07",
    }
    assert found == sorted(found)


@pytest.mark.parametrize("wrong", ["20", "2018-13-01", "yesterday", "2031", "1801"])
def test_dates_that_are_none_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=rf"^as_of: got '{wrong}', expected"):
        backtest_fits.cases(TABLE, [wrong], vintages=False)


@pytest.mark.parametrize("quantity", backtest_fits.QUANTITIES)
def test_rows_known_then_are_the_past_of_those_known_now(quantity: str) -> None:
    now = backtest_fits.rows_known(small(), quantity, TABLE, 2026.5)
    then = backtest_fits.rows_known(small(), quantity, TABLE, 2021.0)
    expected = now[now["year"] <= 2021.0].reset_index(drop=True)
    pd.testing.assert_frame_equal(then, expected)
    assert (now["year"] > 2021.0).any()


def test_rows_that_only_fill_up_do_not_count() -> None:
    rows = backtest_fits.rows_known(small(), "training_compute", TABLE, 2018.0)
    data = backtest_fits._padded(small(), "training_compute", rows, len(rows) + 37)
    varying = ("year", "log10_value", "group", "known", "anchor_year")
    nodes = trend.padded_nodes(rows["year"].to_numpy(), 0)
    padded = compile_model(trend.model, data, nodes[0], varying)
    whole = {name: value[: len(rows)] for name, value in data.items() if name in varying[:4]}
    plain = {**data, **whole, "known": None}
    exact = compile_model(trend.model, plain, nodes[0])
    rng = np.random.default_rng(0)
    z = rng.standard_normal((5, padded.size))
    node = np.tile(nodes[0], (5, 1))
    np.testing.assert_allclose(
        padded.log_density(z, node), exact.log_density(z, node), rtol=1e-10, atol=1e-8
    )
    # Another date's rows go through the same program.
    other = backtest_fits.rows_known(small(), "training_compute", TABLE, 2016.0)
    moved = backtest_fits._padded(small(), "training_compute", other, len(rows) + 37)
    again = compile_model(trend.model, moved, nodes[0], varying)
    np.testing.assert_allclose(
        padded.bound(moved).log_density(z, node), again.log_density(z, node), rtol=1e-12
    )


def candidate(draws: int) -> backtest_fits.Candidate:
    ones = np.ones(draws)
    return backtest_fits.Candidate(20 * ones, 0.5 * ones, 0.3 * ones, 8 * ones, 0.0, 0.0)


def test_growth_goes_on_or_slows_by_its_priors() -> None:
    ahead = np.array([0.0, 1.0, 4.0])
    rng = np.random.default_rng(0)
    straight = backtest_fits.predicted(candidate(10), None, ahead, rng)
    np.testing.assert_allclose(straight.centre, 20 + np.log10(2) / 0.5 * np.tile(ahead, (10, 1)))
    narrow = (Interval("lognormal", 3.999, 4.001), Interval("lognormal", 1.999, 2.001))
    slowing = backtest_fits.predicted(candidate(10), narrow, ahead, rng)
    fast, slow = np.log10(2) / np.array([0.5, 4.0])
    path = 20 + slow * ahead + (fast - slow) * 2 * (1 - 2 ** (-ahead / 2)) / np.log(2)
    np.testing.assert_allclose(slowing.centre, np.tile(path, (10, 1)), rtol=1e-4)


def test_scatter_that_shrinks_is_found_and_calibrated() -> None:
    year = np.linspace(2010, 2024, 12)
    priors = {
        "doubling_time_years": Interval("lognormal", 0.3, 3.0),
        "log10_level_at_anchor": Interval("normal", 18, 26),
        "residual_scale_oom": Interval("lognormal", 0.2, 1.0),
        "scatter_growth_per_year": Interval("normal", -0.15, 0.15),
        "degrees_of_freedom": Interval("lognormal", 3, 30),
    }
    arguments: dict[str, Any] = {
        "year": year,
        "log10_value": np.zeros(12),
        "group": np.zeros(12, int),
        "priors": priors,
        "change_points": 0,
        "residual": "student_t",
    }
    shares = calibration.ranks(trend.model, arguments, "log10_value", replications=40, seed=2)
    for name in ("scatter_growth_per_year", "residual_scale_oom", "log10_level_at_anchor"):
        assert calibration.uniformity(shares[name], bins=5) > 1e-3
    many = np.sort(np.random.default_rng(5).uniform(2010, 2024, 200))
    scale = 0.5 * np.exp(-0.1 * (many - np.median(many)))
    value = 20 + 0.6 * (many - 2010) + np.random.default_rng(6).normal(0, scale)
    data = {**arguments, "year": many, "log10_value": value, "group": np.zeros(200, int)}
    draws = inference.fit(trend.model, data, seed=(0,)).draws
    low, high = np.quantile(draws["scatter_growth_per_year"], [0.005, 0.995])
    assert low < -0.1 < high < 0
    at_end = trend.scale_at(draws, many, 2024.0)
    low, high = np.quantile(at_end, [0.005, 0.995])
    assert low < 0.5 * np.exp(-0.1 * (2024 - np.median(many))) < high


# --- the weights of a scenario -------------------------------------------------------------------


def test_given_weights_are_those_of_the_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path))
    weights = [0.25, 0.75, 0.0, 0.0]
    given = load_scenario(
        "baseline",
        inference={"draws": 200},
        training_compute={"change_point_weights": weights},
    )
    tree, _ = records.fit_record(given, "training_compute")
    count = tree["posterior"]["number_of_change_points"].to_numpy()
    assert [np.mean(count == k) for k in range(4)] == pytest.approx(weights)
    assert tree["change_points"]["weight"].to_numpy() == pytest.approx(weights[:2])
    assert averaging.verdict_of(tree).verdict in ("PASS", "REVIEW")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"change_point_weights": [0.5, 0.4, 0.0, 0.0]}, "change_point_weights: got"),
        ({"change_point_weights": [1.5, -0.5, 0.0, 0.0]}, "change_point_weights: got"),
    ],
)
def test_weights_that_cannot_be_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_scenario("baseline", training_compute=fields)


# --- the backtest --------------------------------------------------------------------------------


def test_outcomes_lie_after_the_date_and_within_eight_years(short: xr.DataTree) -> None:
    frame = backtest_scores.forecasts_of(short)
    date = frame["as_of"].str[:4].astype(float)
    assert ((frame["year"] > date) & (frame["year"] <= date + 8)).all()
    assert set(frame["as_of"]) == {"2020-01-01", "2022-01-01"}
    assert set(frame["quantity"]) == set(backtest_fits.QUANTITIES)
    later = records._frame(TABLE).set_index("name")
    runs = frame[(frame["quantity"] == "training_compute") & (frame["target"] == "run")]
    flop = later.loc[runs["name"], "training_compute_flop"].to_numpy()
    np.testing.assert_allclose(runs["actual"], np.log10(flop))


def test_every_method_is_scored_on_the_same_outcomes(short: xr.DataTree) -> None:
    frame = backtest_scores.forecasts_of(short)
    for _, part in frame[frame["target"] == "run"].groupby(["quantity", "as_of"]):
        names = [list(each["name"]) for _, each in part.groupby("method")]
        assert all(each == names[0] for each in names)


def test_weights_come_from_what_was_known_by_then(short: xr.DataTree) -> None:
    frame = backtest_scores.forecasts_of(short)
    runs = frame[(frame["quantity"] == "training_compute") & (frame["target"] == "run")]
    early = runs[(runs["as_of"] == "2020-01-01") & (runs["year"] <= 2022.0)]
    density = np.stack(
        [-early[early["method"] == f"{k} changes"]["log_score"].to_numpy() for k in range(4)], 1
    )
    weights = short["weights"].to_dataset()["training_compute"]
    expected = scoring.stacking_weights(density)
    np.testing.assert_allclose(weights.sel(as_of="2022-01-01"), expected, atol=1e-6)
    np.testing.assert_allclose(weights.sum("change_points"), 1)
    assert (weights.sel(as_of="2020-01-01") > 0).all()  # nothing had been scored


def test_the_record_never_falls_and_is_the_largest_run(short: xr.DataTree) -> None:
    frame = backtest_scores.forecasts_of(short)
    table = records._frame(TABLE)
    part = frame[
        (frame["quantity"] == "training_compute")
        & (frame["target"] == "record")
        & (frame["method"] == backtest.STACKED)
    ]
    for _, row in part.iterrows():
        known = table[table["year"] <= row["year"]]["training_compute_flop"].max()
        assert row["actual"] == pytest.approx(np.log10(known))
    for _, each in part.groupby("as_of"):
        assert (np.diff(each["q50"]) >= -1e-9).all()


def test_published_forecasts_stand_beside_those_of_their_year(short: xr.DataTree) -> None:
    frame = backtest_scores.forecasts_of(short).set_index("method")
    cotra = frame.loc["Cotra 2020, Biological Anchors"]
    assert set(cotra["as_of"]) == {"2020-01-01"}
    assert cotra["q50"].iloc[0] == pytest.approx(26.60)  # 1e9 USD times 4e17 FLOP/USD in 2025
    epoch = frame.loc["Besiroglu, Heim & Sevilla 2022, Projecting compute trends"]
    assert set(epoch["as_of"]) == {"2022-01-01"}
    first = epoch.iloc[0]
    assert first["q50"] == pytest.approx(25.90, abs=1e-3)
    # Published 95 % is 25.33 to 26.14; ours is shown at 90 %, normal on either side.
    ratio = stats.norm.ppf(0.95) / stats.norm.ppf(0.975)
    assert first["q05"] == pytest.approx(25.90 - ratio * 0.57, abs=0.01)
    assert first["q95"] == pytest.approx(25.90 + ratio * 0.24, abs=0.01)


def test_summary_and_figures(short: xr.DataTree) -> None:
    found = backtest_scores.backtest_summary(short)
    json.dumps(found, allow_nan=False)
    for row in found["scores"]:
        assert row["crps"] >= 0
        assert 0 <= row["inside_50"] <= row["inside_90"] <= 1
    for draw in (plot_backtest.calibration_figure, plot_backtest.horizon_figure):
        assert draw(short).axes
    assert len(plot_backtest.fan_figure(short, "model_size").axes) == 2
    with pytest.raises(ValueError, match="^quantity: got 'money', expected one of"):
        plot_backtest.fan_figure(short, "money")


def test_a_scenario_without_a_fit_has_no_backtest() -> None:
    with pytest.raises(ValueError, match="^training_compute: a backtest needs fit = true"):
        backtest.backtest(load_scenario("cotra-2020"), SHORT)


def test_the_command_refuses_what_is_no_date(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["backtest", "baseline", "--as-of", "2016,soon", "--progress", "none"])
    assert stopped.value.code == 2
    assert "as_of: got 'soon'" in capsys.readouterr().err


@pytest.mark.slow
def test_intervals_cover_later_frontier_runs_and_beat_naive_forecasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path))
    tree, _ = backtest.backtest(load_scenario("baseline"))
    frame = backtest_scores.forecasts_of(tree)
    scores = backtest_scores.scores(frame).set_index(["quantity", "target", "method"])
    ours = scores.loc[("training_compute", "run", backtest.STACKED)]
    assert 0.80 <= ours["inside_90"] <= 0.97
    skills = backtest_scores.skills(frame)
    assert (skills["skill"] > 0).all()
    # What the baseline's scenario file says is what the command prints.
    final = tree["final_weights"].to_dataset()["training_compute"]
    section = load_scenario("baseline").training_compute
    assert section is not None
    np.testing.assert_allclose(final, section.change_point_weights, atol=0.01)
