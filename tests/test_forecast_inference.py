"""Posteriors that are known exactly, both samplers against each other, and calibration."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from aitimelines.forecast import (
    calibration,
    importance,
    inference,
    model_program,
    records,
    student_mixture,
)
from aitimelines.forecast.history import trend
from aitimelines.forecast.inference import Fit, SamplerSettings
from aitimelines.forecast.leave_one_out import leave_one_out
from aitimelines.forecast.scenario_files import load_scenario
from aitimelines.priors.elicitation import Interval
from arviz_stats.base import array_stats
from scipy import stats

NEARLY_NORMAL = 1e9  # degrees of freedom at which Student's t is the normal distribution
NOISE = 0.7
PRIOR_SD = np.array([2.0, 1.0, 3.0])


def many(fit: Fit, name: str) -> np.ndarray:
    """Return the draws of all chains, (draw, ...)."""
    return fit.draws[name].reshape(-1, *fit.draws[name].shape[2:])


# --- a linear model with known scatter: the posterior is exactly normal --------------------------


def linear(*, design: np.ndarray, value: np.ndarray) -> None:
    slope = numpyro.sample("coefficients", dist.Normal(0, PRIOR_SD).to_event(1))
    numpyro.deterministic("total", slope.sum())
    numpyro.sample("value", dist.StudentT(NEARLY_NORMAL, design @ slope, NOISE), obs=value)


def linear_data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    first = rng.normal(size=12)
    # The second column repeats most of the first, so that the posterior is correlated.
    design = np.stack([first, first + 0.4 * rng.normal(size=12), np.ones(12)], axis=1)
    value = design @ np.array([0.5, -1.0, 2.0]) + NOISE * rng.normal(size=12)
    return {"design": design, "value": value}


def exact_posterior() -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance (Bishop 2006, Pattern Recognition, equations 3.50 and 3.51)."""
    data = linear_data()
    precision = np.diag(PRIOR_SD**-2) + data["design"].T @ data["design"] / NOISE**2
    covariance = np.linalg.inv(precision)
    return covariance @ data["design"].T @ data["value"] / NOISE**2, covariance


@cache
def compiled_linear() -> model_program.Compiled:
    return model_program.compile_model(linear, linear_data())


@pytest.fixture(scope="module")
def steps() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def conjugate(steps: list[tuple[int, int]]) -> Fit:
    def progress(done: int, total: int) -> None:
        steps.append((done, total))

    return inference.fit(linear, linear_data(), seed=(0,), progress=progress)


def test_conjugate_mean_and_covariance(conjugate: Fit) -> None:
    mean, covariance = exact_posterior()
    draws = many(conjugate, "coefficients")
    assert draws.shape == (4000, 3)
    count = len(draws)
    variance = np.diag(covariance)
    assert (np.abs(draws.mean(axis=0) - mean) < 4 * np.sqrt(variance / count)).all()
    # Standard errors of the elements of a sample covariance of normal draws.
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / count)
    assert (np.abs(np.cov(draws, rowvar=False) - covariance) < 4 * error).all()
    assert covariance[0, 1] / np.sqrt(variance[0] * variance[1]) < -0.8


def test_conjugate_marginals_are_normal(conjugate: Fit) -> None:
    mean, covariance = exact_posterior()
    draws = many(conjugate, "coefficients")
    for column, centre, variance in zip(draws.T, mean, np.diag(covariance), strict=True):
        distance = stats.kstest(column, stats.norm(centre, np.sqrt(variance)).cdf).statistic
        assert distance < 1.95 / np.sqrt(len(column))


def test_chains_are_independent_repetitions(conjugate: Fit) -> None:
    chains = conjugate.draws["coefficients"]
    assert chains.shape == (4, 1000, 3)
    assert len(np.unique(chains[:, :, 0])) > 3000
    rhat = [array_stats.rhat(chains[..., k], chain_axis=0, draw_axis=1) for k in range(3)]
    assert max(rhat) < 1.01
    # Rows stand in no order, so that any part of a chain is a sample too.
    for chain in chains[..., 0]:
        assert abs(np.corrcoef(chain[1:], chain[:-1])[0, 1]) < 4 / np.sqrt(len(chain))


def test_a_good_fit_has_a_low_pareto_k(conjugate: Fit) -> None:
    assert conjugate.sampler == "importance"
    assert conjugate.pareto_k < 0.5
    of_chains = conjugate.statistics["pareto_k"]
    assert of_chains.shape == (4, 1000)
    assert of_chains.max() < 0.7
    np.testing.assert_array_equal(of_chains, np.tile(of_chains[:, :1], 1000))
    efficiency = conjugate.statistics["importance_efficiency"]
    assert ((efficiency > 0.5) & (efficiency <= 1)).all()


def test_outputs_belong_to_their_draws(conjugate: Fit) -> None:
    data, draws = linear_data(), conjugate.draws["coefficients"]
    np.testing.assert_allclose(conjugate.draws["total"], draws.sum(axis=-1), rtol=1e-12)
    expected = stats.norm(draws @ data["design"].T, NOISE).logpdf(data["value"])
    np.testing.assert_allclose(conjugate.log_likelihood, expected, rtol=1e-5, atol=1e-5)


def test_predictions_have_the_exact_mean_and_scatter(conjugate: Fit) -> None:
    mean, covariance = exact_posterior()
    design = linear_data()["design"]
    predicted = conjugate.predictive.reshape(-1, len(design))
    variance = NOISE**2 + np.einsum("ij,jk,ik->i", design, covariance, design)
    z = (predicted.mean(axis=0) - design @ mean) / np.sqrt(variance / len(predicted))
    assert np.abs(z).max() < 4.5
    np.testing.assert_allclose(predicted.var(axis=0), variance, rtol=0.15)


def test_prior_and_prior_predictive(conjugate: Fit) -> None:
    coefficients = conjugate.prior["coefficients"]
    assert coefficients.shape == (1, 1000, 3)
    for column, scale in zip(coefficients[0].T, PRIOR_SD, strict=True):
        assert stats.kstest(column, stats.norm(0, scale).cdf).pvalue > 1e-3
    design = linear_data()["design"]
    variance = NOISE**2 + np.sum((design * PRIOR_SD) ** 2, axis=1)
    np.testing.assert_allclose(conjugate.prior_predictive[0].var(axis=0), variance, rtol=0.25)


def test_progress_rises_to_the_whole(conjugate: Fit, steps: list[tuple[int, int]]) -> None:
    assert conjugate.draws
    shares = [done / total for done, total in steps]
    assert len(steps) >= 4
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert steps[-1] == (4000, 4000)


def test_same_seed_same_draws_also_with_a_program_compiled_before(conjugate: Fit) -> None:
    again = inference.fit(linear, linear_data(), seed=(0,), compiled=compiled_linear())
    for name, draws in conjugate.draws.items():
        np.testing.assert_array_equal(again.draws[name], draws)
    np.testing.assert_array_equal(again.predictive, conjugate.predictive)
    np.testing.assert_array_equal(again.prior["total"], conjugate.prior["total"])


def test_another_seed_gives_other_draws(conjugate: Fit) -> None:
    settings = SamplerSettings(chains=2, draws=300, proposals=1024)
    other = inference.fit(
        linear, linear_data(), seed=(1,), settings=settings, compiled=compiled_linear()
    )
    assert other.draws["coefficients"].shape == (2, 300, 3)
    assert not np.isin(other.draws["total"], conjugate.draws["total"]).any()
    assert not np.isin(other.prior["total"], conjugate.prior["total"]).any()


def test_an_unknown_sampler_is_refused() -> None:
    message = "^sampler: got 'hmc', expected 'auto', 'importance' or 'nuts'"
    with pytest.raises(ValueError, match=message):
        inference.fit(linear, linear_data(), seed=(0,), settings=SamplerSettings(sampler="hmc"))


def gamma_prior(*, value: np.ndarray) -> None:
    rate = numpyro.sample("rate", dist.Gamma(2.0, 1.0))
    numpyro.sample("value", dist.StudentT(NEARLY_NORMAL, rate, NOISE), obs=value)


def test_a_prior_without_a_quantile_function_is_refused() -> None:
    with pytest.raises(ValueError, match="^rate: got the prior Gamma, expected one with a quant"):
        inference.fit(gamma_prior, {"value": np.zeros(3)}, seed=(0,))


def kinds_of_priors(*, value: np.ndarray) -> None:
    numpyro.sample("normal", dist.Normal(1.0, 2.0).expand([2]).to_event(1))
    numpyro.sample("lognormal", dist.LogNormal(0.5, 0.7))
    numpyro.sample("uniform", dist.Uniform(-1.0, 3.0))
    numpyro.sample("loguniform", dist.LogUniform(0.1, 10.0))
    numpyro.sample("cauchy", dist.Cauchy(1.0, 2.0))
    numpyro.sample("value", dist.StudentT(4.0, 0.0, 1.0), obs=value)


def test_prior_draws_of_every_kind_have_their_distribution() -> None:
    compiled = model_program.compile_model(kinds_of_priors, {"value": np.zeros(2)})
    assert compiled.size == 6
    standard = np.random.default_rng(0).standard_normal((3000, 6))
    node = np.zeros((3000, 1))
    drawn = compiled.evaluate(compiled.prior_points(standard, node), node).values
    expected = {
        "lognormal": stats.lognorm(0.7, scale=np.exp(0.5)),
        "uniform": stats.uniform(-1, 4),
        "loguniform": stats.loguniform(0.1, 10),
        "cauchy": stats.cauchy(1, 2),
    }
    for name, distribution in expected.items():
        assert stats.kstest(drawn[name], distribution.cdf).pvalue > 1e-3
    for column in drawn["normal"].T:
        assert stats.kstest(column, stats.norm(1, 2).cdf).pvalue > 1e-3
    # Each value has the quantile of the standard normal number it comes from, in the model's order.
    for place, (name, distribution) in zip((2, 3, 4, 5), expected.items(), strict=True):
        quantile = distribution.ppf(stats.norm.cdf(standard[:, place]))
        np.testing.assert_allclose(drawn[name], quantile, rtol=1e-6, atol=1e-9)


def test_log_density_is_the_joint_density_with_the_jacobian() -> None:
    compiled = model_program.compile_model(regression, regression_data())
    z = np.random.default_rng(0).standard_normal((5, 3))
    slope, level, log_scale = z.T
    data = regression_data()
    centre = level[:, None] + slope[:, None] * data["position"]
    likelihood = stats.t(4, centre, np.exp(log_scale)[:, None]).logpdf(data["value"]).sum(axis=1)
    prior = stats.norm(0, 1).logpdf(slope) + stats.norm(0, 5).logpdf(level)
    expected = likelihood + prior + stats.norm(0, 1).logpdf(log_scale)
    found = compiled.log_density(z, np.zeros((5, 1)))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


# --- both samplers on a regression with unknown scatter ------------------------------------------


def regression(*, position: np.ndarray, value: np.ndarray) -> None:
    slope = numpyro.sample("slope", dist.Normal(0, 1))
    level = numpyro.sample("level", dist.Normal(0, 5))
    scale = numpyro.sample("scale", dist.LogNormal(0, 1))
    numpyro.sample("value", dist.StudentT(4, level + slope * position, scale), obs=value)


def regression_data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    position = np.linspace(-2, 2, 25)
    return {"position": position, "value": 1 + 0.5 * position + 0.6 * rng.standard_t(4, 25)}


@pytest.fixture(scope="module")
def by_nuts() -> Fit:
    settings = SamplerSettings(sampler="nuts", chains=2, draws=500, warmup=300)
    return inference.fit(regression, regression_data(), seed=(3,), settings=settings)


@pytest.fixture(scope="module")
def by_importance() -> Fit:
    return inference.fit(regression, regression_data(), seed=(3,))


def moments(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation with their Monte Carlo errors, each (mean, sd)."""
    ess = array_stats.ess(draws, chain_axis=0, draw_axis=1)
    sd = draws.std(ddof=1)
    return np.array([draws.mean(), sd]), sd * np.sqrt([1 / ess, 1 / ess])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slope", "level", "scale"])
def test_importance_agrees_with_nuts(by_importance: Fit, by_nuts: Fit, name: str) -> None:
    assert (by_importance.sampler, by_nuts.sampler) == ("importance", "nuts")
    ours, our_error = moments(by_importance.draws[name])
    theirs, their_error = moments(by_nuts.draws[name])
    assert (np.abs(ours - theirs) < 4 * np.hypot(our_error, their_error)).all()


@pytest.mark.slow
def test_nuts_tells_its_statistics(by_nuts: Fit) -> None:
    assert set(by_nuts.statistics) == {"diverging", "energy", "num_steps", "accept_prob"}
    for values in by_nuts.statistics.values():
        assert values.shape == (2, 500)
    assert by_nuts.statistics["diverging"].mean() < 0.01
    assert np.isnan(by_nuts.pareto_k)


@pytest.mark.slow
def test_nuts_outputs_belong_to_their_draws(by_nuts: Fit) -> None:
    data, draws = regression_data(), {name: x[..., None] for name, x in by_nuts.draws.items()}
    centre = draws["level"] + draws["slope"] * data["position"]
    expected = stats.t(4, centre, draws["scale"]).logpdf(data["value"])
    np.testing.assert_allclose(by_nuts.log_likelihood, expected, rtol=1e-9)


def funnel(*, value: np.ndarray) -> None:
    """Neal (2003), Slice Sampling, section 8: no proposal of one shape covers it."""
    log_scale = numpyro.sample("log_scale", dist.Normal(0, 3))
    within = dist.Normal(0, jnp.exp(log_scale / 2)).expand([4]).to_event(1)
    inside = numpyro.sample("inside", within)
    numpyro.sample("value", dist.StudentT(4, 1e-9 * inside.sum(), 1), obs=value)


@pytest.mark.slow
def test_importance_that_fails_its_check_falls_back_to_nuts() -> None:
    settings = SamplerSettings(chains=2, draws=200, proposals=2048, warmup=200)
    fit = inference.fit(funnel, {"value": np.zeros(3)}, seed=(0,), settings=settings)
    assert fit.sampler == "nuts"
    assert "diverging" in fit.statistics
    assert fit.draws["inside"].shape == (2, 200, 4)


@pytest.mark.parametrize(
    ("sampler", "limit", "expected"),
    [("auto", -np.inf, "nuts"), ("auto", np.inf, "importance"), ("importance", -np.inf, None)],
)
def test_auto_takes_nuts_where_the_pareto_k_is_over_the_limit(
    monkeypatch: pytest.MonkeyPatch, sampler: str, limit: float, expected: str | None
) -> None:
    settings = SamplerSettings(sampler=sampler, chains=2, draws=50, proposals=256)
    # NUTS itself takes long to compile: other tests run it.
    instead = (np.full((100, 3), 7.0), {"diverging": np.zeros((2, 50), bool)})
    monkeypatch.setattr(inference, "_nuts", lambda *arguments: instead)
    monkeypatch.setattr(inference, "PARETO_K_LIMIT", limit)
    compiled = compiled_linear()
    fit = inference.fit(linear, linear_data(), seed=(0,), settings=settings, compiled=compiled)
    assert fit.sampler == (expected or sampler)
    assert ("diverging" in fit.statistics) == (expected == "nuts")
    assert (fit.draws["coefficients"] == 7.0).all() == (expected == "nuts")


# --- the importance sampler alone, on densities written in NumPy ---------------------------------


def sample(
    log_density: importance.LogDensity, size: int, nodes: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return draws, the node of each, and the Pareto k."""
    rng = np.random.default_rng(seed)
    draws, chosen, _, pareto_k = importance.sample(
        log_density,
        rng.normal(size=(256, size)),
        np.zeros((1, 1)) if nodes is None else nodes,
        rng.integers(2**32, size=importance.ADAPTATIONS + 2, dtype=np.uint32),
        draws=2000,
        proposals=4096,
        report=lambda chains: None,
    )
    return draws, chosen, pareto_k


def neals_funnel(flat: np.ndarray, _: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        within = stats.norm(0, np.exp(flat[:, :1] / 2)).logpdf(flat[:, 1:]).sum(axis=1)
    return stats.norm(0, 3).logpdf(flat[:, 0]) + within


def cauchy(flat: np.ndarray, _: np.ndarray) -> np.ndarray:
    return stats.cauchy.logpdf(flat).sum(axis=1)


def two_modes(flat: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Return a mixture of two normals, not far apart, of weights 0.8 and 0.2."""
    near = stats.norm(-1, 0.8).logpdf(flat).sum(axis=1)
    far = stats.norm(2, 0.4).logpdf(flat).sum(axis=1)
    return np.logaddexp(np.log(0.8) + near, np.log(0.2) + far)


def skewed(flat: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Return the logarithm of a gamma variable of shape 2, a skewed density."""
    return (2 * flat - np.exp(flat)).sum(axis=1)


@pytest.mark.parametrize(("target", "size"), [(neals_funnel, 5), (cauchy, 16)])
def test_targets_that_the_proposals_do_not_cover_have_a_large_pareto_k(
    target: importance.LogDensity, size: int
) -> None:
    _, _, pareto_k = sample(target, size)
    assert pareto_k > inference.PARETO_K_LIMIT


def test_a_skewed_target_is_sampled_exactly() -> None:
    draws, _, pareto_k = sample(skewed, 2)
    assert pareto_k < inference.PARETO_K_LIMIT
    for column in draws.T:
        distance = stats.kstest(np.exp(column), stats.gamma(2).cdf).statistic
        assert distance < 1.95 / np.sqrt(len(column))


def test_two_modes_within_reach_are_both_sampled() -> None:
    draws, _, _ = sample(two_modes, 1)
    mixture = 0.8 * stats.norm(-1, 0.8).cdf(draws[:, 0]) + 0.2 * stats.norm(2, 0.4).cdf(draws[:, 0])
    assert stats.kstest(mixture, "uniform").statistic < 1.95 / np.sqrt(len(draws))


def far_modes(flat: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Return a mixture of two normals, 60 standard deviations apart, of weights 0.7 and 0.3."""
    near = stats.norm(-1, 0.05).logpdf(flat).sum(axis=1)
    far = stats.norm(2, 0.08).logpdf(flat).sum(axis=1)
    return np.logaddexp(np.log(0.7) + near, np.log(0.3) + far)


def test_two_modes_far_apart_are_sampled_in_proportion() -> None:
    draws, _, pareto_k = sample(far_modes, 3)
    assert pareto_k < inference.PARETO_K_LIMIT
    first = draws[:, 0] < 0.5
    # Systematic resampling of thousands of proposals: less noise than independent draws have.
    assert abs(first.mean() - 0.7) < 3 * np.sqrt(0.21 / len(draws))
    for column in draws.T:
        assert stats.kstest(column[first], stats.norm(-1, 0.05).cdf).pvalue > 1e-3
        assert stats.kstest(column[~first], stats.norm(2, 0.08).cdf).pvalue > 1e-3


def test_the_better_of_two_modes_is_found_where_few_draws_lead_to_it() -> None:
    def trap(flat: np.ndarray, _: np.ndarray) -> np.ndarray:
        wide = -20 + stats.norm(0.5, 0.5).logpdf(flat).sum(axis=1)
        return np.logaddexp(wide, stats.norm(-2.0, 0.4).logpdf(flat).sum(axis=1))

    draws, _, pareto_k = sample(trap, 4)
    assert pareto_k < inference.PARETO_K_LIMIT
    assert np.abs(draws.mean(axis=0) + 2.0).max() < 4 * 0.4 / np.sqrt(len(draws) / 2)


def test_weights_of_which_few_matter_are_a_failure_and_not_an_error() -> None:
    log_weight = np.full(1024, -1e300)
    log_weight[:3] = 0.0
    smoothed, pareto_k = importance._smoothed(log_weight)
    assert pareto_k == np.inf
    assert np.exp(smoothed).sum() == pytest.approx(1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning:arviz_stats")
def test_leave_one_out_takes_draws_that_repeat() -> None:
    rng = np.random.default_rng(0)
    likelihood = np.sort(0.5 * rng.normal(size=(4000, 3)), axis=0)
    likelihood[135:195] = likelihood[135]  # a draw that was taken 60 times, where the tail begins
    assert np.isnan(array_stats.psislw(likelihood[:, 0])[0]).all()
    shape = (4, 1000, 3)
    groups = {
        "log_likelihood": xr.Dataset(
            {"y": (("chain", "draw", "row"), rng.permutation(likelihood).reshape(shape))}
        ),
        "posterior": xr.Dataset({"x": (("chain", "draw"), rng.normal(size=shape[:2]))}),
    }
    found = leave_one_out(xr.DataTree.from_dict(groups), reff=1.0)
    by_hand = -np.log(np.mean(np.exp(-likelihood), axis=0))  # without smoothing
    np.testing.assert_allclose(found.elpd_i, by_hand, atol=0.02)
    assert np.isfinite(found.pareto_k).all()
    still = {**groups, "log_likelihood": 0 * groups["log_likelihood"]}
    assert np.isfinite(leave_one_out(xr.DataTree.from_dict(still), reff=1.0).elpd)


def test_a_correlated_target_far_from_the_start_is_sampled_exactly() -> None:
    mean, root = np.array([30.0, -20.0]), np.array([[0.1, 0.0], [3.0, 0.4]])
    exact = stats.multivariate_normal(mean, root @ root.T)
    draws, _, pareto_k = sample(lambda flat, _: exact.logpdf(flat), 2)
    assert pareto_k < 0.5
    white = np.linalg.solve(root, (draws - mean).T)
    for row in white:
        assert stats.kstest(row, "norm").statistic < 1.95 / np.sqrt(len(row))


def test_evidence_weighs_the_nodes_whatever_the_width_of_each() -> None:
    # Node (weight, width): a normal density times the weight, so the weights are the evidence.
    nodes = np.array([[0.1, 0.05], [0.3, 1.0], [0.6, 5.0], [1e-4, 1.0]])

    def log_density(flat: np.ndarray, node: np.ndarray) -> np.ndarray:
        weight, width = node.T
        return np.log(weight) + stats.norm(3, width).logpdf(flat[:, 0])

    _, chosen, _ = sample(log_density, 1, nodes)
    shares = np.bincount(chosen, minlength=4) / len(chosen)
    expected = nodes[:, 0] / nodes[:, 0].sum()
    error = np.sqrt(expected * (1 - expected) / len(chosen))
    assert (np.abs(shares - expected) < 4 * error).all()


def test_the_map_of_the_proposals_has_the_determinant_that_its_weights_count_with() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 3, 5):
        root = np.tril(rng.normal(size=(size, size)), -1) + np.diag(rng.uniform(0.2, 3, size))
        extent = rng.uniform(0.7, 6.0, (1, size, 2))
        bend = rng.choice(importance._BENDS, (1, size))

        def place(white: np.ndarray, root=root, extent=extent, bend=bend) -> np.ndarray:
            away, _ = importance._skewed(extent, white[None])
            return importance._bent(root[None], away, bend)[0]

        at, step = 1.5 * rng.standard_normal(size), 1e-6
        columns = [(place(at + h) - place(at - h)) / (2 * step) for h in step * np.eye(size)]
        _, log_slope = importance._skewed(extent, at[None])
        expected = log_slope[0] + student_mixture.log_volume(root[None])[0]
        assert np.linalg.slogdet(np.array(columns))[1] == pytest.approx(expected, abs=1e-5)


def banana(flat: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Return Haario et al.'s (1999) twisted normal density: x2 + x1^2 / 4 is normal."""
    first = stats.norm(0, 2).logpdf(flat[:, 0])
    return first + stats.norm(0, 0.5).logpdf(flat[:, 1] + flat[:, 0] ** 2 / 4)


def test_a_curved_target_is_sampled_exactly() -> None:
    draws, _, pareto_k = sample(banana, 2)
    assert pareto_k < inference.PARETO_K_LIMIT
    straight = draws[:, 1] + draws[:, 0] ** 2 / 4
    for values, scale in ((draws[:, 0], 2), (straight, 0.5)):
        distance = stats.kstest(values, stats.norm(0, scale).cdf).statistic
        assert distance < 1.95 / np.sqrt(len(values))


def test_components_are_student_t_and_find_separate_groups() -> None:
    rng = np.random.default_rng(1)
    near, far = rng.normal([-3, 0], [0.5, 1], (3000, 2)), rng.normal([4, 1], [1, 0.3], (1000, 2))
    mixture = student_mixture.fitted(np.concatenate([near, far]), np.zeros(4000), 2)
    order = np.argsort(mixture.centre[:2, 0])  # the third is the wide one
    np.testing.assert_allclose(mixture.centre[order], [[-3, 0], [4, 1]], atol=0.15)
    share = np.exp(mixture.log_share)
    assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(share[order] / share[:2].sum(), [0.75, 0.25], atol=0.02)
    points = rng.normal(size=(7, 2))
    for k, found in enumerate(student_mixture.log_student(mixture, points).T):
        shape = mixture.root[k] @ mixture.root[k].T
        theirs = stats.multivariate_t(mixture.centre[k], shape, df=6)
        np.testing.assert_allclose(found, theirs.logpdf(points), rtol=1e-9)


# --- discrete alternatives -----------------------------------------------------------------------

NODES = np.array([[-1.0, 0.0], [0.5, 3.0]])


def alternatives(*, value: np.ndarray, node: jax.Array) -> None:
    numpyro.deterministic("node", node)
    level = numpyro.sample("level", dist.Normal(node[1], 1.0))
    numpyro.sample("value", dist.StudentT(NEARLY_NORMAL, level + node[0], NOISE), obs=value)


def exact_alternatives(value: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the probability of each node, and mean (node,) and variance of the level given it."""
    covariance = NOISE**2 * np.eye(len(value)) + 1.0
    log_evidence = [
        stats.multivariate_normal(np.full(len(value), shift + centre), covariance).logpdf(value)
        for shift, centre in NODES
    ]
    share = np.exp(log_evidence - np.logaddexp(*log_evidence))
    precision = 1 + len(value) / NOISE**2
    means = [(c + np.sum(value - shift) / NOISE**2) / precision for shift, c in NODES]
    return share, np.array(means), 1 / precision


def test_nodes_have_their_exact_probabilities() -> None:
    value = np.array([1.2, 0.9, 1.3])
    share, means, variance = exact_alternatives(value)
    assert 0.1 < share[0] < 0.9
    fit = inference.fit(alternatives, {"value": value}, seed=(4,), nodes=NODES)
    node, level = many(fit, "node"), many(fit, "level")
    assert fit.pareto_k < 0.7
    for number, row in enumerate(NODES):
        chosen = (node == row).all(axis=1)
        error = np.sqrt(share[number] * (1 - share[number]) / len(node))
        assert abs(chosen.mean() - share[number]) < 4 * error
        distance = stats.kstest(level[chosen], stats.norm(means[number], variance**0.5).cdf)
        assert distance.statistic < 1.95 / np.sqrt(chosen.sum())
    # Beforehand both are equally likely.
    prior = fit.prior["node"][0, :, 0]
    assert abs((prior == NODES[0, 0]).mean() - 0.5) < 4 * 0.5 / np.sqrt(len(prior))
    below = fit.prior_predictive[0, :, 0][prior == NODES[0, 0]]
    above = fit.prior_predictive[0, :, 0][prior != NODES[0, 0]]
    for drawn, (shift, centre) in zip((below, above), NODES, strict=True):
        expected = stats.norm(shift + centre, np.hypot(1, NOISE))
        assert stats.kstest(drawn, expected.cdf).pvalue > 1e-3


@pytest.mark.slow
def test_nuts_gives_the_nodes_their_exact_probabilities_too() -> None:
    value = np.array([1.2, 0.9, 1.3])
    share, means, variance = exact_alternatives(value)
    settings = SamplerSettings(sampler="nuts", draws=1500, warmup=300)
    fit = inference.fit(alternatives, {"value": value}, seed=(5,), nodes=NODES, settings=settings)
    assert fit.sampler == "nuts"
    node, level = many(fit, "node"), many(fit, "level")
    # A quarter of the draws counts as independent.
    for number, row in enumerate(NODES):
        chosen = (node == row).all(axis=1)
        error = np.sqrt(share[number] * (1 - share[number]) / (len(node) / 4))
        assert abs(chosen.mean() - share[number]) < 4 * error
        distance = stats.kstest(level[chosen], stats.norm(means[number], variance**0.5).cdf)
        assert distance.statistic < 1.95 / np.sqrt(chosen.sum() / 4)


# --- the trend with a change point ---------------------------------------------------------------

TREND_PRIORS = {
    "doubling_time_years": Interval("lognormal", 0.2, 4.0, 0.95),
    "log10_level_at_anchor": Interval("normal", 0, 40, 0.95),
    "residual_scale_oom": Interval("lognormal", 0.1, 2.0),
    "degrees_of_freedom": Interval("lognormal", 2, 30),
}


def bent_record(residual: str = "student_t") -> tuple[dict[str, Any], np.ndarray]:
    """Return data with a bend that is hard to date, and nodes every half year."""
    rng = np.random.default_rng(8)
    year = np.sort(rng.uniform(2010, 2024, 60))
    centre = 21 + 0.3 * (year - 2016) + 0.35 * np.maximum(year - 2017, 0)
    data = {
        "year": year,
        "log10_value": centre + 0.4 * rng.standard_t(3, 60),
        "group": np.zeros(60, int),
        "priors": TREND_PRIORS,
        "change_points": 1,
        "residual": residual,
    }
    return data, np.arange(year.min() + 1, year.max() - 1, 0.5)[:, None]


@pytest.mark.parametrize("seed", range(3))
def test_tails_of_the_change_point_are_covered(seed: int) -> None:
    data, nodes = bent_record()
    compiled = model_program.compile_model(trend.model, data, nodes[0])
    fit = inference.fit(trend.model, data, seed=(seed,), nodes=nodes, compiled=compiled)
    assert fit.sampler == "importance"
    assert fit.pareto_k < 0.5
    assert fit.statistics["importance_efficiency"].min() > 0.3


@pytest.mark.slow
def test_both_samplers_agree_on_the_change_point() -> None:
    data, nodes = bent_record()
    ours = inference.fit(trend.model, data, seed=(1,), nodes=nodes)
    settings = SamplerSettings(sampler="nuts", draws=2000)
    theirs = inference.fit(trend.model, data, seed=(2,), nodes=nodes, settings=settings)
    assert (ours.sampler, theirs.sampler) == ("importance", "nuts")
    assert theirs.statistics["diverging"].mean() < 0.005
    tailed = {"degrees_of_freedom", "segment_doubling_time_years", "doubling_time_years"}
    for name in ours.draws:
        size = ours.draws[name][0, 0].size
        mine, other = (fit.draws[name].reshape(4, -1, size) for fit in (ours, theirs))
        if name in tailed:  # which make their moments noisy
            mine, other = np.log(mine), np.log(other)
        for ours_k, theirs_k in zip(np.moveaxis(mine, 2, 0), np.moveaxis(other, 2, 0), strict=True):
            (mean, sd), (error, _) = moments(ours_k)
            (their_mean, their_sd), (their_error, _) = moments(theirs_k)
            assert abs(mean - their_mean) < 4 * np.hypot(error, their_error)
            assert sd == pytest.approx(their_sd, rel=0.1)


@pytest.mark.slow
def test_a_fit_by_nuts_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    settings = SamplerSettings(sampler="nuts", chains=2, draws=150, warmup=150)

    def fitted(**more: Any) -> Fit:
        data = regression_data()
        return inference.fit(regression, data, seed=(9,), settings=settings, **more)

    def stop(done: int, total: int) -> None:
        if done >= total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(checkpoints=tmp_path, progress=stop)
    assert list(tmp_path.iterdir())
    resumed, whole = fitted(checkpoints=tmp_path), fitted()
    for name, draws in whole.draws.items():
        np.testing.assert_array_equal(resumed.draws[name], draws)
    np.testing.assert_array_equal(resumed.predictive, whole.predictive)


# --- the record's fits ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_record_whose_fits_took_different_samplers_is_averaged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path))
    real, calls = importance.sample, []

    def failing_once(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments)
        *found, pareto_k = real(*arguments, **more)
        return *found, 1.0 if len(calls) == 2 else pareto_k

    def instead(*arguments: Any) -> Any:
        # The draws of the importance sampler, in place of minutes of NUTS.
        compiled, start, nodes, seed, settings, _, folder = arguments
        assert tmp_path in folder.parents
        count = importance.ADAPTATIONS + settings.chains
        seeds = np.random.default_rng(seed).integers(2**32, size=count, dtype=np.uint32)
        flat, *_ = real(
            compiled.log_density,
            start,
            nodes,
            seeds,
            draws=settings.draws,
            proposals=2048,
            report=lambda chains: None,
        )
        return flat, {"diverging": np.zeros((settings.chains, settings.draws), bool)}

    monkeypatch.setattr(importance, "sample", failing_once)
    monkeypatch.setattr(inference, "_nuts", instead)
    plain = load_scenario("baseline")
    assert plain.training_compute is not None
    section = plain.training_compute.model_copy(update={"change_point_weights": None})
    scenario = plain.model_copy(update={"training_compute": section})
    tree, cached = records.fit_record(scenario, "training_compute")
    assert not cached
    assert len(calls) == 4
    assert tree["change_points"]["weight"].sum() == pytest.approx(1)
    assert tree["posterior"]["degrees_of_freedom"].shape == (4, 1000)
    assert records.fit_record(scenario, "training_compute")[1]


# --- simulation-based calibration ----------------------------------------------------------------

YEAR = np.linspace(2020, 2022, 5)  # little data, so that the prior matters
PRIORS = {
    "doubling_time_years": Interval("lognormal", 0.3, 3.0),
    "log10_level_at_anchor": Interval("normal", 18, 26),
    "residual_scale_oom": Interval("lognormal", 0.2, 1.0),
    "degrees_of_freedom": Interval("lognormal", 3, 30),
}
SITES = (
    "segment_doubling_time_years",
    "log10_level_at_anchor",
    "residual_scale_oom",
    "degrees_of_freedom",
)


def wider(interval: Interval, factor: float) -> Interval:
    """Return the prior with its standard deviation (of the logarithm) times ``factor``."""
    is_log = interval.kind == "lognormal"
    low, high = np.log(interval[1:3]) if is_log else interval[1:3]
    centre, half = (low + high) / 2, factor * (high - low) / 2
    ends = np.array([centre - half, centre + half])
    low, high = np.exp(ends) if is_log else ends
    return interval._replace(low=low, high=high)


def ranks(replications: int, sd_factor: float, seed: int) -> dict[str, np.ndarray]:
    arguments = {
        "year": YEAR,
        "log10_value": np.zeros(len(YEAR)),
        "group": np.zeros(len(YEAR), int),
        "priors": PRIORS,
        "change_points": 0,
        "residual": "student_t",
    }
    true_priors = {name: wider(interval, sd_factor) for name, interval in PRIORS.items()}
    return calibration.ranks(
        trend.model,
        arguments,
        "log10_value",
        replications=replications,
        seed=seed,
        truth={"priors": true_priors},
    )


def test_calibration_in_few_replications() -> None:
    shares = ranks(40, 1.0, seed=0)
    for name in SITES:
        assert calibration.uniformity(shares[name], bins=5) > 1e-3


@pytest.mark.slow
def test_calibration() -> None:
    shares = ranks(200, 1.0, seed=1)
    for name in SITES:
        assert calibration.uniformity(shares[name], bins=20) > 1e-3
        assert stats.kstest(shares[name], "uniform").pvalue > 1e-3


@pytest.mark.slow
def test_calibration_finds_data_from_another_prior() -> None:
    shares = ranks(200, 1.5, seed=1)
    assert min(calibration.uniformity(shares[name], bins=20) for name in SITES) < 1e-3


def test_calibration_on_few_data_sets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importance.sample
    monkeypatch.setattr(importance, "sample", lambda *a, **more: (*real(*a, **more)[:3], np.inf))
    with pytest.raises(ValueError, match="proposals: 0 of 2 data sets"):
        ranks(2, 1.0, seed=0)
