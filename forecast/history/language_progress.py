"""Rival accounts of progress in language models (Ho et al. 2024, arXiv 2403.05812), same rows.

Their model 7 is `algorithmic_progress.model`. With N parameters, D tokens, Y the year and b the
benchmark, all amid the record, the others are

    loss = floor_b + L_b m^T [q_b exp(-a_year Y) N^-a + (1 - q_b) exp(-b_year Y) D^-b]

less or more: a_year, b_year of either sign; progress through data alone (model 8), parameters alone
(9) or none (16); a floor that nothing lowers (19); m for transformers, T being 1 for these; rows of
one paper whose residuals hang together (their appendix on autocorrelation); and one term of compute
6 N D (18). Effective compute grows by a_year / a + b_year / b [nat/yr]. The two are strongly
anticorrelated, so that draws are only of use together: `growth_if_independent` shows what becomes
of the interval otherwise.

Where rows of a paper hang together, the density of a row is given the one before it: leave-one-out
then predicts a row also from what its own paper reports, which the other rivals make no use of.
"""

from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array
from numpyro.distributions import constraints

from ...priors.elicitation import distribution
from . import algorithmic_progress, language_gains
from .algorithmic_progress import BENCHMARKS, somewhere_between_0_and_1
from .study import Draws, Rival, Study, dated, priors
from .trend import MOST_DEGREES_OF_FREEDOM, Priors

TABLE, SECTION = "lm_algorithmic_progress", "language-progress"
_COLUMNS = ("year", "log_perplexity", "log_parameters", "log_tokens", "benchmark")
WAYS = ("both", "either sign", "data", "parameters", "none")


class InOnePaper(dist.Distribution):
    """Student-t values, each correlated with the one before it of the same paper.

    Given that one, the next is Student-t about centre + correlation x its residual, the scale less
    by sqrt(1 - correlation^2). before: position of the earlier value, -1 for the first of a paper;
    it comes earlier in the array.
    """

    arg_constraints = {
        "freedom": constraints.positive,
        "centre": constraints.real_vector,
        "scale": constraints.positive,
        "correlation": constraints.interval(-1, 1),
        "before": constraints.real_vector,
    }
    support = constraints.real

    def __init__(
        self, freedom: Array, centre: Array, scale: Array, correlation: Array, before: Any
    ) -> None:
        self.freedom, self.centre, self.scale = freedom, centre, scale
        self.correlation, self.before = correlation, before
        super().__init__(batch_shape=jnp.shape(centre))

    def log_prob(self, value: Array) -> Array:
        """Return the log density of each value, given the one before it."""
        first = self.before < 0
        at = jnp.where(first, 0, self.before).astype(int)
        weight = jnp.where(first, 0.0, self.correlation)
        loc = self.centre + weight * (value - self.centre)[at]
        scale = self.scale * jnp.sqrt(1 - weight**2)
        return jnp.asarray(dist.StudentT(self.freedom, loc, scale).log_prob(value))

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        freedom: np.ndarray,
        centre: np.ndarray,
        scale: np.ndarray,
        correlation: np.ndarray,
        before: np.ndarray,
    ) -> np.ndarray:
        """Return one value for each element of the parameters, (..., observation)."""
        noise = scale * rng.standard_t(freedom)
        value = np.array(centre + noise)
        for row, earlier in enumerate(before.reshape(-1, before.shape[-1])[0].astype(int)):
            if earlier >= 0:
                rho = correlation[..., row]
                residual = rho * (value[..., earlier] - centre[..., earlier])
                fresh = np.sqrt(1 - rho**2) * noise[..., row]
                value[..., row] = centre[..., row] + residual + fresh
        return value


def progress(*, as_of_year: float = inf) -> Study:
    """Return the perplexities of language models, and eight rival accounts of their progress."""
    rows = observations(as_of_year)
    seven: dict[str, Any] = {name: rows[name].to_numpy() for name in _COLUMNS}
    seven["priors"] = priors(SECTION)
    data = seven | {name: rows[name].to_numpy() for name in ("transformer", "before")}
    rivals = {
        "both": Rival(
            "algorithms make parameters and data go further",
            algorithmic_progress.model,
            seven,
            partial(_of_two_terms, data=data),
        ),
        "either-sign": _rival("the same, and either may have become worse", data, "either sign"),
        "floor": _rival("part of the loss cannot be removed", data, "both", floor=True),
        "transformer": _rival("one jump, the transformer, beside a trend", data, "both", jump=True),
        "one-paper": _rival("rows of one paper err together", data, "both", correlated=True),
        "data-only": _rival("algorithms make only data go further", data, "data"),
        "parameters-only": _rival("algorithms make only parameters go further", data, "parameters"),
        "no-progress": _rival("parameters and data explain all", data, "none"),
        "compute-only": Rival(
            "one power law of compute, which algorithms make go further",
            compute_model,
            seven,
            _of_compute,
        ),
    }
    return Study(
        "Algorithmic progress in language models",
        (TABLE,),
        rows,
        "log_perplexity",
        "nat/token",
        rivals,
    )


def observations(as_of_year: float = inf) -> pd.DataFrame:
    """Return the rows of `algorithmic_progress.observations` with transformer and before.

    transformer: whether the architecture is (only) that; before: position of the row before it of
    the same paper, -1 for the first
    """
    frame = dated(TABLE, as_of_year)
    rows = algorithmic_progress.observations(frame, as_of_year=as_of_year)
    more = algorithmic_progress.usable(frame, as_of_year=as_of_year)
    last: dict[str, int] = {}
    before = []
    for position, paper in enumerate(more["paper"].astype(str)):
        before.append(last.get(paper, -1))
        last[paper] = position
    transformer = (more["architecture"].astype(str) == "Transformer").to_numpy()
    return rows.assign(transformer=transformer.astype(float), before=np.array(before))


def model(
    *,
    year: np.ndarray,
    log_perplexity: np.ndarray,
    log_parameters: np.ndarray,
    log_tokens: np.ndarray,
    benchmark: np.ndarray,
    transformer: np.ndarray,
    before: np.ndarray,
    priors: Priors,
    way: str = "both",
    floor: bool = False,
    jump: bool = False,
    correlated: bool = False,
) -> None:
    """NumPyro model of two terms, as in the head of the module; arrays are (observation,).

    way: one of `WAYS`; floor, jump, correlated: whether there is a floor, a jump by the transformer
    and correlation within a paper.

    Sites: those of `algorithmic_progress.model`, but doubling_time_years and parameter_share only
    as far as the way has them; floor_part, transformer_log_gain, correlation.
    """
    prior = {name: distribution(*interval) for name, interval in priors.items()}
    many = [len(BENCHMARKS)]
    log_loss = numpyro.sample(
        "log_reference_loss", prior["log_reference_loss"].expand(many).to_event(1)
    )
    part = numpyro.sample(
        "parameter_part_of_loss", somewhere_between_0_and_1().expand(many).to_event(1)
    )
    by_parameters = numpyro.sample("parameter_elasticity", prior["parameter_elasticity"])
    by_data = numpyro.sample("data_elasticity", prior["data_elasticity"])
    alpha = numpyro.deterministic("parameter_exponent", by_parameters / part.mean())
    beta = numpyro.deterministic("data_exponent", by_data / (1 - part).mean())
    alpha_year, beta_year = _rates(way, alpha, beta, prior)
    elapsed = year - year.mean()
    through_parameters = alpha_year * elapsed + alpha * (log_parameters - log_parameters.mean())
    through_data = beta_year * elapsed + beta * (log_tokens - log_tokens.mean())
    terms = part[benchmark] * jnp.exp(-through_parameters)
    terms += (1 - part[benchmark]) * jnp.exp(-through_data)
    if jump:
        gain = numpyro.sample("transformer_log_gain", prior["transformer_log_gain"])
        terms *= jnp.exp(-gain * (transformer - transformer.mean()))
    if floor:
        never = numpyro.sample("floor_part", somewhere_between_0_and_1())
        terms = never + (1 - never) * terms
    _observe(jnp.exp(log_loss[benchmark]) * terms, log_perplexity, prior, before, correlated)


def _rates(
    way: str, alpha: Array, beta: Array, prior: Mapping[str, dist.Distribution]
) -> tuple[Array, Array]:
    """Return by how much each term falls in a year [nat/yr]."""
    if way == "either sign":
        alpha_year = numpyro.sample("alpha_year", prior["term_per_year"])
        return alpha_year, numpyro.sample("beta_year", prior["term_per_year"])
    share, rate = {"data": 0.0, "parameters": 1.0}.get(way, 0.0), jnp.zeros(())
    if way != "none":
        rate = jnp.log(2) / numpyro.sample("doubling_time_years", prior["doubling_time_years"])
    if way == "both":
        share = numpyro.sample("parameter_share", somewhere_between_0_and_1())
    alpha_year = numpyro.deterministic("alpha_year", share * rate * alpha)
    return alpha_year, numpyro.deterministic("beta_year", (1 - share) * rate * beta)


def _observe(
    loss: Array,
    log_perplexity: np.ndarray,
    prior: Mapping[str, dist.Distribution],
    before: np.ndarray | None = None,
    correlated: bool = False,
) -> None:
    scale = numpyro.sample("residual_scale_nat", prior["residual_scale_nat"])
    freedom = numpyro.sample("degrees_of_freedom", prior["degrees_of_freedom"])
    freedom = jnp.minimum(freedom, MOST_DEGREES_OF_FREEDOM)
    observed: Any = dist.StudentT(freedom, loss, scale)
    if correlated:
        correlation = numpyro.sample("correlation", prior["correlation"])
        observed = InOnePaper(freedom, loss, scale, correlation, before)
    numpyro.sample("log_perplexity", observed, obs=log_perplexity)


def compute_model(
    *,
    year: np.ndarray,
    log_perplexity: np.ndarray,
    log_parameters: np.ndarray,
    log_tokens: np.ndarray,
    benchmark: np.ndarray,
    priors: Priors,
) -> None:
    """NumPyro model loss = L_b (C 2^(Y / doubling time))^-compute_elasticity, with C = 6 N D."""
    prior = {name: distribution(*interval) for name, interval in priors.items()}
    many = [len(BENCHMARKS)]
    log_loss = numpyro.sample(
        "log_reference_loss", prior["log_reference_loss"].expand(many).to_event(1)
    )
    doubling = numpyro.sample("doubling_time_years", prior["doubling_time_years"])
    exponent = numpyro.sample("compute_elasticity", prior["data_elasticity"])
    log_flop = log_parameters + log_tokens
    effective = log_flop - log_flop.mean() + jnp.log(2) / doubling * (year - year.mean())
    _observe(jnp.exp(log_loss[benchmark] - exponent * effective), log_perplexity, prior)


# --- what readers want ---------------------------------------------------------------------------


def growth_nat_per_year(
    alpha_year: np.ndarray, alpha: np.ndarray, beta_year: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """Return how fast effective compute grows, ln 2 / T_N + ln 2 / T_D [nat/yr]."""
    return alpha_year / alpha + beta_year / beta


def growth_if_independent(draws: Draws, rng: np.random.Generator) -> np.ndarray:
    """Return the growth from the four rates and exponents, each from another draw [nat/yr]."""
    names = ("alpha_year", "parameter_exponent", "beta_year", "data_exponent")
    shuffled = (rng.permutation(np.ravel(draws[name])) for name in names)
    return growth_nat_per_year(*shuffled)


def _rival(claim: str, data: Mapping[str, Any], way: str, **options: bool) -> Rival:
    given = dict(data) | {"way": way} | options
    return Rival(claim, model, given, partial(_of_two_terms, data=data))


def _of_two_terms(draws: Draws, data: Mapping[str, Any]) -> dict[str, np.ndarray]:
    names = ("alpha_year", "parameter_exponent", "beta_year", "data_exponent")
    growth = growth_nat_per_year(*(draws[name] for name in names))
    found = {"growth_oom_per_year": growth / np.log(10)}
    if np.any(growth):
        found["doubling_time_months"] = 12 * np.log(2) / growth
    found |= {name: draws[name] for name in (*names, "correlation", "floor_part") if name in draws}
    law = language_gains.terms(draws, data)
    for label, start in (("2012_2022", "RNN (2012)"), ("2019_2022", "GPT-2")):
        part = language_gains.shares(law, start, "Chinchilla")
        found[f"compute_share_{label}"] = part["parameters"] + part["data"]
        found[f"algorithms_share_{label}"] = part["algorithms"]
    if "transformer_log_gain" in draws:
        gain = draws["transformer_log_gain"]
        found["transformer_loss_reduction_percent"] = -100 * np.expm1(-gain)
        for flop in (1e22, 1e25):
            factor = language_gains.transformer_gain(law, gain, flop)
            found[f"transformer_gain_factor_at_1e{np.log10(flop):.0f}_flop"] = factor
    return found


def _of_compute(draws: Draws) -> dict[str, np.ndarray]:
    return {
        "growth_oom_per_year": np.log10(2) / draws["doubling_time_years"],
        "doubling_time_months": 12 * draws["doubling_time_years"],
        "compute_exponent": draws["compute_elasticity"],
    }
