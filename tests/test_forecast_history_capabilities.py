"""Capability trends: rows, curves, distributions; parameters recovered; fits pass; figures draw."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast import calibration, inference, plot_capabilities, reproduce, studies
from aitimelines.forecast.history import capabilities, time_horizons
from aitimelines.forecast.history.study import priors
from scipy import integrate, stats

OLS_SINCE_2024_DAYS = 104.7  # METR's method on suite 1.1 since 2024
PARAMETERS = {
    "level": np.array(5.0),
    "doubling": np.array(0.4),
    "after": np.array(0.25),
    "break": np.array(0.7),
    "singular": np.array(3.0),
    "acceleration": np.array(0.3),
}


def shares_below(draws: np.ndarray, truth: float) -> float:
    return float(np.mean(draws < truth))


@pytest.fixture(scope="module")
def horizons() -> xr.DataTree:
    return studies.fit_study("time-horizons")[0]


@pytest.fixture(scope="module")
def index() -> xr.DataTree:
    return studies.fit_study("capabilities-index")[0]


@pytest.fixture(scope="module")
def by_compute() -> xr.DataTree:
    return studies.fit_study("capabilities-index-compute")[0]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# --- distributions and curves ---------------------------------------------------------------------


@pytest.mark.parametrize(("freedom", "below", "above"), [(2, 0.5, 2), (5, 3, 0.1), (40, 1, 1)])
def test_a_split_t_has_the_mass_of_its_sides(freedom: float, below: float, above: float) -> None:
    split = time_horizons.SplitStudentT(freedom, 1.5, below, above)
    u = np.linspace(-25, 25, 20_001)
    density = np.exp(np.asarray(split.log_prob(1.5 + np.sinh(u)))) * np.cosh(u)
    total, left = (integrate.trapezoid(density[part], u[part]) for part in (u < 99, u <= 0))
    assert total == pytest.approx(1, abs=1e-4)
    assert left == pytest.approx(below / (below + above), abs=1e-4)


def test_a_split_t_is_simulated_as_it_is_written() -> None:
    rng = np.random.default_rng(1)
    size = np.ones(20_000)
    drawn = time_horizons.SplitStudentT.simulate(rng, 4 * size, size, 0.5 * size, 2 * size)
    left = drawn[drawn < 1]
    assert len(left) / len(drawn) == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 20_000))
    assert stats.kstest((1 - left) / 0.5, lambda x: 2 * stats.t.cdf(x, 4) - 1).pvalue > 1e-3
    assert stats.kstest((drawn[drawn > 1] - 1) / 2, lambda x: 2 * stats.t.cdf(x, 4) - 1)[1] > 1e-3


@pytest.mark.parametrize("name", time_horizons.CURVES)
def test_a_curve_is_inverted_by_when_it_has_a_value(name: str) -> None:
    curve = time_horizons.CURVES[name]
    for y in (9.0, 13.3, 16.9):
        assert curve.value(PARAMETERS, curve.when(PARAMETERS, y), np) == pytest.approx(y)
    assert curve.value(PARAMETERS, 0.0, np) == pytest.approx(5.0)
    slope = (curve.value(PARAMETERS, 1e-6, np) - curve.value(PARAMETERS, -1e-6, np)) / 2e-6
    assert slope == pytest.approx(1 / 0.4, rel=1e-4)


def test_each_superexponential_doubling_is_shorter_by_the_same_part() -> None:
    when = time_horizons.CURVES["superexponential"].when
    times = np.diff([when(PARAMETERS, y) for y in np.arange(5.0, 30.0)])
    np.testing.assert_allclose(times[1:] / times[:-1], np.exp(-0.4 / 3.0))
    value = time_horizons.CURVES["superexponential"].value(PARAMETERS, np.array([2.99, 3, 4]), np)
    assert np.isfinite(value[0])
    assert np.isposinf(value[1:]).all()


def test_a_far_singularity_is_an_exponential() -> None:
    t = np.linspace(-6, 3, 10)
    far = {**PARAMETERS, "singular": np.array(1e7)}
    np.testing.assert_allclose(
        time_horizons.CURVES["superexponential"].value(far, t, np), 5 + t / 0.4, atol=1e-4
    )


# --- rows -----------------------------------------------------------------------------------------


def test_rows_are_the_best_models_of_both_suites() -> None:
    rows = time_horizons.time_horizons().rows
    older = rows["older_suite"] == 1
    assert ((~older).sum(), older.sum()) == (17, 14)
    assert rows.loc[older, "year"].min() > 2023
    paired = rows.loc[rows["name"] == "o1_elicited (1.0)", "paired_log2_minutes"].item()
    assert 2**paired == pytest.approx(38.83, abs=0.01)
    without = rows.loc[older & rows["paired_log2_minutes"].isna(), "name"].tolist()
    assert without == ["grok_4 (1.0)"]
    assert rows.loc[~older, "paired_log2_minutes"].isna().all()
    newest = rows.loc[rows["name"] == "claude_opus_4_6 (1.1)"].iloc[0]
    assert 2 ** newest["log2_minutes"] == pytest.approx(718.8, abs=0.1)
    assert newest["above"] == pytest.approx(np.log2(3949.75 / 718.807) / 1.96, rel=1e-4)
    assert len(time_horizons.all_models().rows) == 25


def test_later_rows_are_left_out() -> None:
    assert time_horizons.time_horizons(as_of_year=2025.2).rows["year"].max() < 2025.2
    assert capabilities.by_compute(as_of_year=2025.2).rows["year"].max() < 2025.2


def test_rows_of_the_index_raise_its_maximum_and_count_models_once() -> None:
    rows = capabilities.frontier().rows
    assert rows["name"].iloc[0] == "GPT-4 (Mar 2023)"
    assert (np.diff(rows["eci"]) > 0).all()
    assert (rows[["below", "above"]] > 0).all(axis=None)
    rows = capabilities.by_compute().rows
    assert len(rows) == 80
    assert rows["name"].is_unique


# --- fits -----------------------------------------------------------------------------------------


def simulated(rows: Any, seed: int) -> np.ndarray:
    """Return log2 horizons of a superexponential whose doublings each take 10 % less."""
    rng = np.random.default_rng(seed)
    t = rows["year"].to_numpy() - time_horizons.anchor(rows["year"].to_numpy())
    value = time_horizons.CURVES["superexponential"].value(
        {"level": 5.0, "doubling": 0.35, "singular": 0.35 / -np.log(0.9)}, t, np
    )
    # Suite 1.0 lies half a doubling higher, and a model's errors are the same on both.
    error = 0.3 * rng.standard_normal(len(t))
    return value + 0.5 * rows["older_suite"].to_numpy() + error


def test_a_superexponential_is_recovered() -> None:
    study = time_horizons.time_horizons()
    rival = study.rivals["superexponential"]
    value = simulated(study.rows, 3)
    alone = {"paired_log2_minutes": np.full(len(value), np.nan), "log2_minutes": value}
    found = inference.fit(rival.model, {**rival.arguments, **alone}, seed=(3,)).draws
    truths = {
        "log2_horizon_at_anchor": 5.0,
        "doubling_time_years": 0.35,
        "suite_offset_doublings": 0.5,
    }
    for name, truth in truths.items():
        assert 0.005 < shares_below(found[name], truth) < 0.995
    shorter = rival.quantities(found)["each_doubling_shorter_by_part"]
    assert 0.005 < shares_below(shorter, 0.1) < 0.995
    assert np.std(shorter) < 0.03


def test_every_fit_of_horizons_passes(horizons: xr.DataTree) -> None:
    assert {
        name: horizons[name].attrs["verdict"] for name in time_horizons.CURVES
    } == dict.fromkeys(time_horizons.CURVES, "PASS")
    assert float(horizons["comparison"]["stacking_weight"].sum()) == pytest.approx(1)


def test_horizons_agree_with_what_metr_publishes(horizons: xr.DataTree) -> None:
    exponential, broken = horizons["exponential"]["quantities"], horizons["broken"]["quantities"]
    older = np.median(exponential["doubling_time_days_older_suite"])
    assert 171 <= older <= 249  # Kwa et al. 2025, 95 %
    now = broken["doubling_time_days_now"].to_numpy()
    assert 0.025 < shares_below(now, OLS_SINCE_2024_DAYS) < 0.975
    elpd = horizons["comparison"]["elpd_loo"].to_series()
    assert elpd["broken"] > elpd["exponential"] + 10  # METR: faster since 2024


def test_a_singularity_is_never_within_the_record(horizons: xr.DataTree) -> None:
    found = horizons["superexponential"]["quantities"]
    last = float(horizons["superexponential"]["observed_data"]["year"].max())
    assert (found["singularity_year"] > last).all()
    assert (found["year_of_one_work_month"] < found["year_of_one_work_year"]).all()
    assert (found["year_of_one_work_year"] < found["singularity_year"]).all()


def test_quantities_are_on_the_path(horizons: xr.DataTree) -> None:
    for name in time_horizons.CURVES:
        draws = {k: v.to_numpy() for k, v in horizons[name]["posterior"].to_dataset().items()}
        year = horizons[name]["observed_data"]["year"].to_numpy()
        when = time_horizons.year_reached(name, draws, year, time_horizons.WORK_MONTH_MINUTES)
        assert when[0, 0] > year.max()
        first = {k: v[:1, :1] for k, v in draws.items()}
        path = time_horizons.log2_minutes_at(name, first, year, when[0, :1])
        assert path.item() == pytest.approx(np.log2(167 * 60), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["time-horizons-80", "time-horizons-all-models"])
def test_other_readings_pass_and_agree(name: str, horizons: xr.DataTree) -> None:
    tree, _ = studies.fit_study(name)
    assert tree.attrs["verdict"] == "PASS"
    ours = np.median(horizons["broken"]["quantities"]["doubling_time_days_now"])
    theirs = np.median(tree["broken"]["quantities"]["doubling_time_days_now"])
    assert theirs == pytest.approx(ours, rel=0.15)


def test_the_index_passes_and_holds_what_epoch_publishes(index: xr.DataTree) -> None:
    assert index.attrs["verdict"] == "PASS"
    found = index["broken"]["quantities"]
    assert 0.05 < shares_below(found["points_per_year_now"].to_numpy(), 15.5) < 0.95
    assert 0.05 < shares_below(found["points_per_year_before_break"].to_numpy(), 8.3) < 0.95


def test_compute_and_date_both_count(by_compute: xr.DataTree) -> None:
    assert by_compute.attrs["verdict"] == "PASS"
    rows = capabilities.by_compute().rows
    columns = [np.ones(len(rows)), rows["log10_flop"], rows["year"]]
    ols = np.linalg.lstsq(np.stack(columns, axis=1), rows["eci"], rcond=None)[0]
    found = by_compute["compute-and-date"]["quantities"]
    for name, value in (("points_per_oom", ols[1]), ("points_per_year", ols[2])):
        assert 0.01 < shares_below(found[name].to_numpy(), value) < 0.99
    assert by_compute["comparison"]["elpd_difference"].sel(rival="compute") > 10


def test_posteriors_stand_beside_published_numbers(
    horizons: xr.DataTree, index: xr.DataTree
) -> None:
    ours = {"time-horizons": horizons, "capabilities-index": index}
    beside = [e.posterior.split(":") for e in reproduce.published().values() if e.posterior]
    named = [where for where in beside if where[0] in ours]
    assert len(named) == 9
    for study, rival, quantity in named:
        assert quantity in ours[study][rival]["quantities"].data_vars


def test_figures_draw(horizons: xr.DataTree, index: xr.DataTree, by_compute: xr.DataTree) -> None:
    figure = plot_capabilities.horizon_figure(horizons)
    (axes,) = figure.axes
    assert "1 work month" in [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(plot_capabilities.index_figure(index, by_compute).axes) == 2


# --- calibration ----------------------------------------------------------------------------------


def horizon_ranks(replications: int, seed: int) -> dict[str, np.ndarray]:
    rows = time_horizons.time_horizons().rows.iloc[::4]
    names = ("year", "log2_minutes", "below", "above", "older_suite", "paired_log2_minutes")
    arguments = {name: rows[name].to_numpy() for name in names}
    arguments |= {"curve": "exponential", "priors": priors("time-horizons")}
    return calibration.ranks(
        time_horizons.model, arguments, "log2_minutes", replications=replications, seed=seed
    )


def test_horizons_are_calibrated_in_few_replications() -> None:
    for shares in horizon_ranks(40, 0).values():
        assert calibration.uniformity(shares, bins=5) > 1e-3


@pytest.mark.slow
def test_horizons_are_calibrated() -> None:
    for shares in horizon_ranks(200, 1).values():
        assert calibration.uniformity(shares, bins=20) > 1e-3
        assert stats.kstest(shares, "uniform").pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("study", "rival"), [("frontier", "linear"), ("by_compute", "compute")])
def test_the_index_is_calibrated(study: str, rival: str) -> None:
    chosen = getattr(capabilities, study)().rivals[rival]
    found = calibration.ranks(chosen.model, chosen.arguments, "eci", replications=200, seed=2)
    for shares in found.values():
        assert calibration.uniformity(shares, bins=20) > 1e-3
