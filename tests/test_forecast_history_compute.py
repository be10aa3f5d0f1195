"""Studies of training compute: eras and scales, domains, what is told, the frontier."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from aitimelines.forecast import calibration, inference, plot_eras, studies
from aitimelines.forecast.datasets import load_frame
from aitimelines.forecast.history import compute_disclosure, compute_domains, compute_eras, trend
from aitimelines.forecast.history.study import Study
from scipy import integrate, special, stats

# Sites whose ranks are looked at: each chi-squared test may fail by chance once in a thousand.
UNIFORM = 1e-3


# --- distributions --------------------------------------------------------------------------------


def exact(fn: Any, value: Any) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(fn().log_prob(jnp.asarray(value)))


def test_two_scales_is_a_mixture() -> None:
    value = np.linspace(-4, 9, 40)
    found = exact(lambda: compute_eras.TwoScales(4.0, 0.5, 3.0, 0.7, 0.2), value)
    regular, large = (stats.t.pdf(value, 4, centre, 0.7) for centre in (0.5, 3.0))
    np.testing.assert_allclose(found, np.log(0.8 * regular + 0.2 * large), rtol=1e-12)


def test_without_a_share_there_is_one_scale_and_a_gradient() -> None:
    def score(share: jax.Array) -> jax.Array:
        return compute_eras.TwoScales(4.0, 0.5, 3.0, 0.7, share).log_prob(2.0)

    with jax.enable_x64(True):
        assert float(score(jnp.array(0.0))) == pytest.approx(stats.t.logpdf(2, 4, 0.5, 0.7))
        assert np.isfinite(jax.grad(score)(jnp.array(0.0)))


def test_two_scales_are_simulated_as_they_are_scored() -> None:
    rng = np.random.default_rng(0)
    ones = np.ones(20_000)
    drawn = compute_eras.TwoScales.simulate(rng, 5 * ones, 0 * ones, 3 * ones, ones, 0.3 * ones)

    def cdf(x: np.ndarray) -> np.ndarray:
        return 0.7 * stats.t.cdf(x, 5) + 0.3 * stats.t.cdf(x, 5, 3)

    assert stats.kstest(drawn, cdf).pvalue > UNIFORM


@pytest.mark.parametrize("gap", [2.0, 0.3, 0.02, 1e-3])
def test_frontier_is_an_exponentially_modified_normal(gap: float) -> None:
    value = np.linspace(-3, 2, 21)
    found = exact(lambda: trend.BelowFrontier(0.4, gap, 0.8), value)
    above, ratio = (value - 0.4) / 0.8, 0.8 / gap
    # log of the scaled complementary error function, in which nothing cancels
    mills = np.log(special.erfcx((above + ratio) / np.sqrt(2)) / 2)
    # the asymptotic series, from 100 on, is off by 2 / z^4
    np.testing.assert_allclose(found, -np.log(gap) - above**2 / 2 + mills, atol=3e-8)


def test_a_frontier_without_a_gap_is_normal() -> None:
    value = np.linspace(-3, 3, 13)
    found = exact(lambda: trend.BelowFrontier(0.0, 1e-10, 1.0), value)
    np.testing.assert_allclose(found, stats.norm.logpdf(value), atol=1e-8)


@pytest.mark.parametrize("noise", [1e-3, 2e-9, 1e-14])
def test_a_frontier_without_noise_leaves_an_exponential_gap(noise: float) -> None:
    # Two squares of 10^18 cancel here: their difference once looked like a likelihood of e^600.
    value = np.linspace(20, 35, 16)
    found = exact(lambda: trend.BelowFrontier(36.0, 0.95, noise), value)
    expected = stats.expon(scale=0.95).logpdf(36.0 - value)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


SELECTED = [(-1.2, 1.3), (0.0, 1.3), (0.8, 0.2), (-1.2, 1e-3)]


@pytest.mark.parametrize(("slope", "gap"), SELECTED)
def test_what_is_told_and_what_is_not_make_one(slope: float, gap: float) -> None:
    told = compute_disclosure.Disclosed(1.0, gap, 0.9, 0.2, 0.3, slope)
    grid = np.linspace(-25, 8, 20_001)
    density = np.exp(exact(lambda: told, grid))
    untold = np.exp(exact(lambda: told, np.nan))
    # trapezoids of the density, and 32 nodes of Gauss-Laguerre
    assert integrate.trapezoid(density, grid) + untold == pytest.approx(1, abs=2e-5)


def test_missing_at_random_is_a_coin() -> None:
    found = exact(lambda: compute_disclosure.Disclosed(1.0, 1.3, 0.9, 0.2, 0.3, 0.0), np.nan)
    assert found == pytest.approx(stats.norm.logcdf(-0.3), abs=1e-9)


def test_values_that_are_not_told_have_a_gradient() -> None:
    def score(slope: jax.Array) -> jax.Array:
        return compute_disclosure.Disclosed(1.0, 1.3, 0.9, 0.2, 0.3, slope).log_prob(jnp.nan)

    with jax.enable_x64(True):
        step = 1e-5
        numeric = (score(step - 0.7) - score(-step - 0.7)) / (2 * step)
        assert jax.grad(score)(jnp.array(-0.7)) == pytest.approx(float(numeric), rel=1e-5)


@pytest.mark.parametrize(("slope", "gap"), SELECTED)
def test_told_values_are_simulated_as_they_are_scored(slope: float, gap: float) -> None:
    many = np.ones(40_000)
    parameters = [each * many for each in (1.0, gap, 0.9, 0.2, 0.3, slope)]
    drawn = compute_disclosure.Disclosed.simulate(np.random.default_rng(1), *parameters)
    expected = np.exp(
        exact(lambda: compute_disclosure.Disclosed(1.0, gap, 0.9, 0.2, 0.3, slope), np.nan)
    )
    error = np.sqrt(expected * (1 - expected) / len(many))
    assert abs(np.isnan(drawn).mean() - expected) < 4 * error


def test_mean_of_what_is_not_told_against_simulation() -> None:
    rows = pd.DataFrame({"year": [2019.0, 2022.0, 2025.5]})
    draws = {
        name: np.array([[value]])
        for name, value in {
            "doubling_time_years": 0.5,
            "log10_level_at_anchor": 22.0,
            "residual_scale_oom": 0.9,
            "gap_oom": 1.2,
            "disclosure_at_anchor": 0.2,
            "disclosure_per_year": -0.1,
            "disclosure_per_year_since_turn": -0.3,
            "disclosure_per_oom": -0.8,
        }.items()
    }
    mean = compute_disclosure.expected(draws, rows)
    untold, told = compute_disclosure.disclosed_means(draws, rows, mean)
    rng, many = np.random.default_rng(2), 400_000
    for row, year in enumerate(rows["year"]):
        turned = max(year - 2023, 0)
        probit = 0.2 - 0.1 * (year - 2022) - 0.3 * turned
        centre = mean[0, 0, row]
        x = centre + 1.2 - rng.exponential(1.2, many) + rng.normal(0, 0.9, many)
        seen = rng.uniform(size=many) < stats.norm.cdf(probit - 0.8 * (x - centre))
        # the error of a mean of some 1e5 values is 0.005
        assert untold[0, 0, row] == pytest.approx(x[~seen].mean(), abs=0.02)
        assert told[0, 0, row] == pytest.approx(x[seen].mean(), abs=0.02)


# --- what enters ----------------------------------------------------------------------------------


def test_the_eras_are_fitted_to_the_systems_of_the_paper() -> None:
    found = studies.study("training-compute-eras")
    assert len(found.rows) == 123
    before = studies.study("training-compute-eras", as_of_year=2010.0)
    assert len(before.rows) == 19  # table 2 of Sevilla et al. (2022)


@pytest.mark.parametrize(
    ("listed", "domain"),
    [
        ("Language", "Language"),
        ("Vision,Image generation", "Vision"),
        ("Vision,Language", "Multimodal"),
        ("Video,Multimodal", "Multimodal"),
        ("Audio,Speech", "Audio"),
    ],
)
def test_domains(listed: str, domain: str) -> None:
    assert compute_domains.domain_of(listed) == domain


def test_every_system_has_a_domain() -> None:
    frame = load_frame("notable_models")
    known = frame["training_compute_flop"].notna() & frame["domain"].notna()
    rows, domains = compute_domains.observations(
        compute_domains.dated(compute_domains.TABLE, np.inf)
    )
    assert len(rows) == int((known & (frame["date"] >= "2010")).sum())
    count = rows["group"].value_counts()
    assert sorted(count.index) == list(range(len(domains)))
    assert (count[[n for n, name in enumerate(domains) if name != "Other"]] >= 15).all()


def test_systems_without_compute_stay() -> None:
    frame = load_frame("notable_models")
    frame = frame[frame["date"] >= "2018"]
    rows = studies.study("training-compute-disclosure").rows
    assert len(rows) == len(frame)
    assert rows["log10_value"].isna().sum() == frame["training_compute_flop"].isna().sum()
    assert rows["parameters_unknown"].sum() == frame["parameters"].isna().sum()


# --- known truths ---------------------------------------------------------------------------------

FAST = 0.6  # OOM/year


def split_record(share: float, seed: int = 3) -> pd.DataFrame:
    """Return 150 systems on a line, and from 2015 a share of them 2.5 OOM above it."""
    rng = np.random.default_rng(seed)
    year = np.sort(np.append(rng.uniform(1960, 2010, 30), rng.uniform(2010, 2022, 120)))
    line = 16 + np.where(year < 2010, 0.17, FAST) * (year - 2010)
    large = (rng.uniform(size=150) < share) & (year > 2015)
    value = line + 2.5 * large + rng.normal(0, 0.4, 150)
    return pd.DataFrame({"year": year, "log10_value": value, "name": "made up"})


def test_two_lines_are_found_where_there_are() -> None:
    rows = split_record(0.3)
    rival = compute_eras.two_scales_rival("two lines", rows)
    draws = inference.fit(rival.model, rival.arguments, seed=(0,)).draws
    found = rival.quantities(draws)
    for name, truth in (
        ("large_scale_offset_oom", 2.5),
        ("large_scale_last_offset_oom", 2.5),
        ("growth_oom_per_year", FAST),
        ("large_scale_growth_oom_per_year", FAST),
    ):
        low, high = np.quantile(found[name], [0.005, 0.995])
        assert low < truth < high, name
    first, second = compute_eras.lines_at(draws, rows["year"].to_numpy(), np.array([2014.0, 2018]))
    assert np.isnan(second[..., 0]).all()
    assert np.median(second - first, axis=(0, 1))[1] == pytest.approx(2.5, abs=0.3)


@pytest.mark.slow
def test_the_size_of_what_is_not_told_is_found_where_the_shape_is_known() -> None:
    rng = np.random.default_rng(4)
    year = np.sort(rng.uniform(2018, 2026, 2400))
    value = 21 + FAST * (year - 2022) + rng.normal(0, 1.2, 2400)
    seen = rng.uniform(size=2400) < stats.norm.cdf(0.1 - 0.9 * (value - 21 - FAST * (year - 2022)))
    arguments = {
        **studies.study("training-compute-disclosure").rivals["by-size-normal"].arguments,
        "year": year,
        "log10_value": np.where(seen, value, np.nan),
        "log10_parameters": np.zeros(2400),
        "parameters_unknown": np.zeros(2400),
    }
    draws = inference.fit(compute_disclosure.model, arguments, seed=(0,)).draws
    low, high = np.quantile(draws["disclosure_per_oom"], [0.005, 0.995])
    assert low < -0.9 < high < 0
    low, high = np.quantile(np.log10(2) / draws["doubling_time_years"], [0.005, 0.995])
    assert low < FAST < high


# --- calibration ----------------------------------------------------------------------------------


def small(name: str, rival: str, rows: int) -> tuple[Any, dict[str, Any]]:
    """Return a rival's model, and its arguments with some of the rows."""
    chosen = studies.study(name).rivals[rival]
    size = len(chosen.arguments["log10_value"])
    some = np.sort(np.random.default_rng(0).choice(size, rows, replace=False))
    return chosen.model, {
        key: value[some] if np.shape(value)[:1] == (size,) else value
        for key, value in chosen.arguments.items()
    }


def check_ranks(
    name: str, rival: str, rows: int, replications: int, nodes: np.ndarray | None = None
) -> None:
    model, arguments = small(name, rival, rows)
    shares = calibration.ranks(
        model, arguments, "log10_value", replications=replications, seed=1, nodes=nodes
    )
    for site, share in shares.items():
        if np.ptp(share) > 0:
            assert calibration.uniformity(share, 5 if replications < 100 else 10) > UNIFORM, site


def test_the_frontier_is_calibrated_in_few_replications() -> None:
    check_ranks("training-compute-eras", "frontier", 60, 40, np.array([[2000.0], [2010.0]]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rival", "nodes"),
    [
        ("training-compute-eras", "frontier", np.array([[2000.0], [2010.0]])),
        ("training-compute-eras", "two-scales", np.array([[2008.0, 2013.0], [2010.0, 2016.0]])),
        ("training-compute-domains", "one-growth", None),
        ("training-compute-disclosure", "by-size", None),
        ("training-compute-disclosure", "given-parameters-by-size", None),
    ],
)
def test_compute_studies_are_calibrated(name: str, rival: str, nodes: np.ndarray | None) -> None:
    check_ranks(name, rival, 80, 150, nodes)


# --- figure ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> xr.DataTree:
    return studies.fit_study(
        "training-compute-eras", rivals=("1-breaks", "frontier", "two-scales")
    )[0]


def test_the_eras_pass_the_gate(fitted: xr.DataTree) -> None:
    assert fitted.attrs["verdict"] == "PASS"


def test_deep_learning_began_about_2010(fitted: xr.DataTree) -> None:
    """Sevilla et al. (2022) put the break at 2010, with 21 months before and 6 after it."""
    found = fitted["1-breaks"]["quantities"]
    low, high = np.quantile(found["change_point_1_year"], [0.025, 0.975])
    assert low < 2010 < high
    for name, truth in (("segment_1", 21.3), ("segment_2", 5.7)):
        months = found[f"doubling_time_months_{name}"] * 365.25 / 12 / 30
        low, high = np.quantile(months, [0.025, 0.975])
        assert low < truth < high


def test_the_figure_says_what_the_scores_say(fitted: xr.DataTree) -> None:
    figure = plot_eras.three_eras(fitted)
    assert figure.texts[0].get_text() == plot_eras.finding(fitted)
    gain, error = plot_eras.second_line(fitted)
    comparison = fitted["comparison"]["elpd_loo"]
    one = float(comparison.sel(rival=["1-breaks", "frontier"]).max())
    # Scores of log likelihoods kept in single precision.
    assert gain == pytest.approx(float(comparison.sel(rival="two-scales")) - one, abs=1e-2)
    assert error > 0
    words = "two lines fit better" if gain > 2 * error else "no sign of a second line"
    assert plot_eras.finding(fitted).endswith(words)


def test_rivals_of_a_study_score_the_same_rows() -> None:
    for name in studies.study_ids():
        if name.startswith("training-compute-"):
            found: Study = studies.study(name)
            for rival in found.rivals.values():
                np.testing.assert_array_equal(
                    rival.arguments["log10_value"], found.rows["log10_value"]
                )
