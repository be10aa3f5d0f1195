"""Algorithmic progress: known laws found, published numbers met, exact shares, calibration."""

from functools import cache
from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast import calibration, enhancements, inference, studies
from aitimelines.forecast.history import language_gains, language_progress, vision_progress
from aitimelines.forecast.history.study import Rival
from aitimelines.kernels.shapley import shapley_shares, shapley_values
from aitimelines.priors.published_enhancements import published_enhancements

# Table 2 of Ho et al. 2024: alpha_year, alpha_param, beta_year, beta_data, and standard errors.
PRINTED = {
    "alpha_year": 0.003938,
    "parameter_exponent": 0.067982,
    "beta_year": 0.035620,
    "data_exponent": 0.039587,
}
ERRORS = {
    "alpha_year": 0.021,
    "parameter_exponent": 0.022,
    "beta_year": 0.023,
    "data_exponent": 0.011,
}
FEW, FEW_OF_VISION = ("transformer", "one-paper"), ("both", "no-progress", "two-terms")


@cache
def rivals(study: str) -> dict[str, Rival]:
    return dict(studies.study(study).rivals)


@cache
def draws(study: str, name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return (draws of the sites, quantities) of one rival."""
    rival = rivals(study)[name]
    fit = inference.fit(rival.model, rival.arguments, seed=(1,))
    assert fit.pareto_k < 0.7
    return fit.draws, rival.quantities(fit.draws)


@pytest.fixture(scope="module")
def vision() -> xr.DataTree:
    return studies.fit_study("vision-progress", rivals=FEW_OF_VISION)[0]


@pytest.fixture(scope="module")
def language() -> xr.DataTree:
    return studies.fit_study("language-progress", rivals=FEW)[0]


# --- Shapley values ------------------------------------------------------------------------------


def test_shapley_values_are_averages_over_all_orders() -> None:
    rng = np.random.default_rng(0)
    worth = {frozenset(s): v for s, v in zip(subsets(4), rng.normal(size=16), strict=True)}
    expected = np.zeros(4)
    orders = list(permutations(range(4)))
    for order in orders:
        for position, cause in enumerate(order):
            before = frozenset(order[:position])
            expected[cause] += (worth[before | {cause}] - worth[before]) / len(orders)
    with jax.enable_x64(True):
        found = np.asarray(shapley_values(lambda acted: worth[acted], 4))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.sum() == pytest.approx(worth[frozenset(range(4))] - worth[frozenset()])


def subsets(count: int) -> list[tuple[int, ...]]:
    return [tuple(k for k in range(count) if mask >> k & 1) for mask in range(2**count)]


def test_shares_of_what_adds_up_are_its_parts() -> None:
    parts = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
    with jax.enable_x64(True):
        shares = np.asarray(shapley_shares(lambda acted: sum(parts[k] for k in acted), 3))
    np.testing.assert_allclose(shares, parts / parts.sum(axis=0))
    with pytest.raises(ValueError, match="causes: got 0, expected at least 1"):
        shapley_values(lambda acted: 0.0, 0)


# --- language models -----------------------------------------------------------------------------


def test_rows_of_language_models() -> None:
    rows = language_progress.observations()
    assert len(rows) == 328
    assert rows["transformer"].sum() > 100
    earlier = rows["before"].to_numpy()
    assert np.all(earlier < np.arange(len(rows)))
    assert np.sum(earlier >= 0) > 100
    assert len(language_progress.observations(2018.0)) < 150


def test_doubling_times_of_the_printed_constants() -> None:
    growth = float(language_progress.growth_nat_per_year(*map(np.array, PRINTED.values())))
    by_parameters = np.log(2) * PRINTED["parameter_exponent"] / PRINTED["alpha_year"]
    by_data = np.log(2) * PRINTED["data_exponent"] / PRINTED["beta_year"]
    assert by_parameters == pytest.approx(11.97, rel=2e-3)
    assert by_data == pytest.approx(0.770, rel=2e-3)
    assert 12 * np.log(2) / growth == pytest.approx(8.68, rel=2e-3)
    assert 2 ** (12 * 9.5 / 7.9) == pytest.approx(2.2e4, rel=0.02)


def test_rates_drawn_apart_say_far_less_than_together() -> None:
    """Ho et al. 2024, appendix C: alpha_year and beta_year are strongly anticorrelated."""
    found, _ = draws("language-progress", "either-sign")
    rng = np.random.default_rng(0)
    flat = {name: np.ravel(found[name]) for name in PRINTED}
    together = language_progress.growth_nat_per_year(*flat.values())
    apart = language_progress.growth_if_independent(found, rng)
    assert np.corrcoef(flat["alpha_year"], flat["beta_year"])[0, 1] < -0.7
    widths = [np.subtract(*np.quantile(each, [0.975, 0.025])) for each in (together, apart)]
    assert widths[1] > 1.5 * widths[0]
    # From the printed standard errors, each on its own: rates of either sign.
    printed = {name: rng.normal(PRINTED[name], ERRORS[name], 100_000) for name in PRINTED}
    growth = language_progress.growth_if_independent(printed, rng)
    assert 0.02 < np.mean(growth < 0) < 0.3
    published = np.log(2) * 12 / np.array([14.3, 4.5])
    low, high = np.quantile(growth, [0.025, 0.975])
    assert low < 0 < published[0]
    assert high > 1.4 * published[1]


def test_a_known_law_of_language_models_is_found() -> None:
    rival = rivals("language-progress")["either-sign"]
    data: dict[str, Any] = dict(rival.arguments)
    rng = np.random.default_rng(3)
    elapsed = data["year"] - data["year"].mean()
    log_n, log_d = (data[name] - data[name].mean() for name in ("log_parameters", "log_tokens"))
    part, alpha, alpha_year, beta, beta_year = 0.45, 0.08, 0.02, 0.05, 0.03
    loss = 3.5 * part * np.exp(-alpha_year * elapsed - alpha * log_n)
    loss += 3.5 * (1 - part) * np.exp(-beta_year * elapsed - beta * log_d)
    data["log_perplexity"] = loss + 0.05 * rng.standard_t(5, len(loss))
    fit = inference.fit(rival.model, data, seed=(2,))
    growth = np.ravel(rival.quantities(fit.draws)["growth_oom_per_year"])
    truth = (alpha_year / alpha + beta_year / beta) / np.log(10)
    assert abs(growth.mean() - truth) < 3 * growth.std()
    assert growth.std() < 0.2 * truth
    share = np.ravel(rival.quantities(fit.draws)["algorithms_share_2012_2022"])
    assert 0.2 < share.mean() < 0.6


def test_the_gate_and_the_published_interval(language: xr.DataTree) -> None:
    assert language.attrs["verdict"] == "PASS", language.attrs["reasons"]
    for name in FEW:
        months = language[name]["quantities"]["doubling_time_months"].to_numpy()
        assert 4.5 < np.median(months) < 14.3  # Ho et al. 2024
    jump = language["transformer"]["quantities"]
    assert 3.0 < float(np.median(jump["transformer_loss_reduction_percent"])) < 7.0
    assert 3.3 < float(np.median(jump["transformer_gain_factor_at_1e25_flop"])) < 45.7
    shares = language["one-paper"]["quantities"]["compute_share_2012_2022"].to_numpy()
    low, high = np.quantile(shares, [0.05, 0.95])
    assert 0.6 < low < high < 0.95


@pytest.mark.slow
def test_every_rival_of_language_models_passes() -> None:
    tree, _ = studies.fit_study("language-progress")
    assert tree.attrs["verdict"] == "PASS", tree.attrs["reasons"]
    score = tree["comparison"].to_dataset().to_dataframe()["elpd_loo"]
    assert score["no-progress"] < score["both"] - 10
    assert score["one-paper"] > score["both"] + 10


def test_values_of_one_paper_have_the_density_they_say() -> None:
    before = np.array([-1, -1, 0])

    with jax.enable_x64(True):
        centre, ends = jnp.array([1.0, 0.0, 2.0]), np.array([1.0, 0.0, 1.0])
        density = language_progress.InOnePaper(
            jnp.array(5.0), centre, jnp.array(0.7), jnp.array(0.6), before
        )

        first, last = np.meshgrid(np.linspace(-19, 21, 801), np.linspace(-18, 22, 801))
        values = np.stack([first.ravel(), np.zeros(first.size), last.ravel()], axis=1)
        log_density = jax.vmap(density.log_prob)(values) @ ends
    mass = float(np.exp(log_density).sum()) * 0.05**2
    assert mass == pytest.approx(1, abs=2e-3)
    ones = np.ones((200_000, 3))
    drawn = language_progress.InOnePaper.simulate(
        np.random.default_rng(0), 5 * ones, [1, 0, 2] * ones, 0.7 * ones, 0.6 * ones, before * ones
    )
    correlation = np.corrcoef(drawn.T)
    assert correlation[0, 2] == pytest.approx(0.6, abs=0.01)
    assert correlation[0, 1] == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(drawn.std(axis=0), 0.7 * np.sqrt(5 / 3), rtol=0.02)


def one_term(alpha: float) -> language_gains.Terms:
    return language_gains.Terms(
        *(np.array([x]) for x in (1.0, alpha, 0.0, 0.1, 0.0)), (20.0, 22.0, 2018.0)
    )


def test_the_transformer_on_one_term_in_closed_form() -> None:
    gain = language_gains.transformer_gain(one_term(0.07), np.array([0.046]), 1e25)
    assert gain[0] == pytest.approx(np.exp(2 * 0.046 / 0.07), rel=1e-9)
    assert language_gains.transformer_gain(one_term(0.07), np.array([0.0]), 1e25) == pytest.approx(
        1
    )


def test_shares_of_the_printed_law_are_those_of_the_notebook() -> None:
    """Ho et al. 2024, notebook of section 3: RNN (2012) to LSTM (2016) and to Chinchilla."""
    middle = (np.log(2e6), np.log(8.88e5), 2012.4877)
    levels = np.exp([0.912701, 0.7714])
    part = levels[0] / levels.sum()
    law = language_gains.Terms(
        *(np.array(x) for x in (part, 0.067982, 0.003938, 0.039587, 0.03562)), middle
    )
    short = language_gains.shares(law, "RNN (2012)", "LSTM (2016)")
    assert short["parameters"] == pytest.approx(0.127, abs=2e-3)
    assert short["data"] == pytest.approx(0.465, abs=2e-3)
    whole = language_gains.shares(law, "RNN (2012)", "Chinchilla")
    assert whole["algorithms"] == pytest.approx(0.224, abs=2e-3)
    assert sum(map(float, whole.values())) == pytest.approx(1)


# --- images --------------------------------------------------------------------------------------


def test_rows_of_image_classifiers() -> None:
    rows = vision_progress.observations()
    assert len(rows) == 102
    first, best = vision_progress.ends(rows)
    assert first["year"] == pytest.approx(2012.67, abs=0.01)
    assert best["log_flop"] == pytest.approx(np.log(1.07e23), abs=0.1)
    with pytest.raises(ValueError, match="expected at least 20"):
        vision_progress.observations(2015.0)


def test_published_progress_in_vision(vision: xr.DataTree) -> None:
    assert vision.attrs["verdict"] == "PASS", vision.attrs["reasons"]
    for name in ("both", "two-terms"):
        months = vision[name]["quantities"]["halving_time_months"].to_numpy()
        assert 4 < np.median(months) < 25  # Erdil & Besiroglu 2022
    both = vision["both"]["quantities"]
    for name, share in (("compute", 0.45), ("data", 0.10), ("algorithms", 0.45)):
        low, high = np.quantile(both[f"{name}_share"], [0.025, 0.975])
        assert low < share < high
    total = sum(both[f"{name}_share"] for name in ("compute", "data", "algorithms"))
    np.testing.assert_allclose(total, 1)
    score = vision["comparison"].to_dataset().to_dataframe()["elpd_loo"]
    assert score["no-progress"] < score["both"] - 20


def test_a_known_line_of_vision_is_found() -> None:
    rival = rivals("vision-progress")["both"]
    data: dict[str, Any] = dict(rival.arguments)
    x = {name: data[name] - data[name].mean() for name in ("year", "log_flop", "log_images")}
    fall = 0.08 * (x["log_flop"] + np.log(2) / 1.2 * x["year"]) + 0.03 * x["log_images"]
    noise = 0.05 * np.random.default_rng(5).standard_t(6, len(fall))
    fit = inference.fit(rival.model, data | {"logit_error": -1.6 - fall + noise}, seed=(3,))
    months = np.ravel(rival.quantities(fit.draws)["halving_time_months"])
    assert abs(months.mean() - 14.4) < 3 * months.std()
    assert months.std() < 3
    for name, truth in (("compute_elasticity", 0.08), ("data_elasticity", 0.03)):
        found = np.ravel(fit.draws[name])
        assert abs(found.mean() - truth) < 3 * found.std()


# Of data sets drawn from a wide prior some leave a few weights only.
@pytest.mark.filterwarnings("ignore::RuntimeWarning:arviz_stats")
@pytest.mark.parametrize(
    ("study", "name", "replications"),
    [
        ("vision-progress", "both", 30),
        pytest.param("vision-progress", "both", 200, marks=pytest.mark.slow),
        pytest.param("vision-progress", "two-terms", 200, marks=pytest.mark.slow),
        pytest.param("language-progress", "either-sign", 200, marks=pytest.mark.slow),
        pytest.param("language-progress", "one-paper", 200, marks=pytest.mark.slow),
        pytest.param("language-progress", "compute-only", 200, marks=pytest.mark.slow),
    ],
)
def test_posteriors_are_as_wide_as_they_say(study: str, name: str, replications: int) -> None:
    rival = rivals(study)[name]
    observed = studies.study(study).observed
    shares = calibration.ranks(
        rival.model, rival.arguments, observed, replications=replications, seed=replications
    )
    bins = 5 if replications < 100 else 10
    for site, share in shares.items():
        if np.ptp(share) > 0:
            assert calibration.uniformity(share, bins) > 1e-3, site


# --- post-training enhancements ------------------------------------------------------------------


def test_gains_are_as_the_survey_says() -> None:
    drawn = enhancements.draw_enhancements(20_000, seed=1)
    assert drawn.classes == (
        *("tool-use", "prompting", "scaffolding", "solution-selection", "data-generation"),
    )
    assert np.all(np.mean(drawn.gain_oom > np.log10(5), axis=0) > 0.5)  # most over 5 times
    assert np.all(np.mean(drawn.gain_oom > np.log10(20), axis=0) > 0.1)  # some over 20 times
    assert np.all(np.median(drawn.one_time_share, axis=0) < 0.01)
    free = [drawn.classes.index(name) for name in ("prompting", "scaffolding")]
    assert not drawn.one_time_share[:, free].any()
    low, high = published_enhancements()["classes"]["tool-use"]["gain"]["lognormal"]
    found = np.quantile(10 ** drawn.gain_oom[:, 0], [0.05, 0.95])
    np.testing.assert_allclose(found, [low, high], rtol=0.05)
    correlation = np.corrcoef(drawn.gain_oom.T)[np.triu_indices(5, 1)]
    np.testing.assert_allclose(correlation, 0.5, atol=0.03)


def test_rules_are_in_order_and_draws_repeat() -> None:
    drawn = enhancements.draw_enhancements(2_000, seed=2)
    again = enhancements.draw_enhancements(2_000, seed=2)
    np.testing.assert_array_equal(drawn.gain_oom, again.gain_oom)
    best, product, power = (enhancements.combined_gain_oom(drawn, r) for r in enhancements.RULES)
    assert np.median(best) < np.median(power) < np.median(product)
    one = enhancements.combined_gain_oom(drawn, "product", used=("prompting",))
    np.testing.assert_allclose(one, drawn.gain_oom[:, 1])
    table = enhancements.enhancement_table(drawn)
    assert len(table) == 8
    assert table.loc["all: max", "over_5"] > table.loc["prompting", "over_5"]
    with pytest.raises(ValueError, match="used: got 'magic'"):
        enhancements.combined_gain_oom(drawn, "max", used=("magic",))
    with pytest.raises(ValueError, match="growth_per_year: got 1.0, expected above 1"):
        enhancements.years_gained(np.array([1.0]), 1.0)
    with pytest.raises(ValueError, match="draws: got 0"):
        enhancements.draw_enhancements(0)


def test_more_actors_can_enhance_than_train() -> None:
    drawn = enhancements.draw_enhancements(5_000, seed=3)
    budgets = np.logspace(4, 11, 8)
    rng = np.random.default_rng(0)
    found = enhancements.who_can_afford(
        drawn,
        budgets,
        log10_threshold_flop=rng.normal(27, 1, 5_000),
        log10_flop_per_usd=np.log10(4e17),
    )
    columns = [name for name in found if name != "budget_usd"]
    for name in columns:
        assert found[name].is_monotonic_increasing
        assert found[name].between(0, 1).all()
    assert (found["trains_enhanced_max"] >= found["trains"]).all()
    for rule in enhancements.RULES:
        assert (found[f"enhances_{rule}"] >= found[f"trains_enhanced_{rule}"]).all()
    # A certain threshold and one budget, by hand.
    plain = enhancements.who_can_afford(
        drawn, [1e9], log10_threshold_flop=26.5, log10_flop_per_usd=17.0, used=("prompting",)
    )
    expected = np.mean(drawn.gain_oom[:, 1] >= 0.5)
    assert plain["trains"].item() == 0
    assert plain["trains_enhanced_product"].item() == pytest.approx(expected)
    assert plain["enhances_product"].item() == 1  # prompting costs nothing once
    with pytest.raises(ValueError, match="budgets_usd"):
        enhancements.who_can_afford(drawn, [0.0], log10_threshold_flop=1, log10_flop_per_usd=1)
