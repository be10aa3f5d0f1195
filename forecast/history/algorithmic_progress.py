"""Algorithmic progress in language models: model 7 of Ho et al. (2024, arXiv 2403.05812).

    log perplexity = exp(a_b - alpha_year (Y - Y0) - alpha_p ln(N / N0))
                   + exp(b_b - beta_year  (Y - Y0) - beta_d  ln(D / D0))

Effective parameters double every ``ln 2 alpha_p / alpha_year`` years, effective data every
``ln 2 beta_d / beta_year``; effective compute grows at the sum of both rates. alpha_year and
beta_year are strongly anticorrelated, so the model is written in that sum (as a doubling time) and
the share of it that comes through parameters, and draws are kept joint. Neither rate is negative
here, while Ho et al. let them be.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array

from ...priors.elicitation import distribution
from .trend import MOST_DEGREES_OF_FREEDOM, Priors

BENCHMARKS = ("perplexity_wt103", "perplexity_wt2", "perplexity_ptb")


def observations(frame: pd.DataFrame, *, as_of_year: float) -> pd.DataFrame:
    """Return rows: name, year, log_perplexity [nat], log_parameters, log_tokens, benchmark (index).

    Left out: rows flagged uncertain or evaluated with a dynamic cache, and rows without perplexity,
    parameters or tokens. A model tested on several benchmarks counts on the first of WikiText-103,
    WikiText-2, Penn Treebank. (Ho et al. use inclusion flags that are not public; theirs is n=231.)
    Raises ``ValueError`` if fewer than 30 remain.
    """
    rows = usable(frame, as_of_year=as_of_year)
    measured = rows[list(BENCHMARKS)].notna().to_numpy()
    benchmark = measured.argmax(axis=1)
    perplexity = rows[list(BENCHMARKS)].to_numpy()[np.arange(len(rows)), benchmark]
    return pd.DataFrame(
        {
            "name": rows["name"].to_numpy(),
            "year": rows["year"].to_numpy(),
            "log_perplexity": np.log(perplexity.astype(float)),
            "log_parameters": np.log(rows["parameters"].to_numpy(dtype=float)),
            "log_tokens": np.log(rows["dataset_tokens"].to_numpy(dtype=float)),
            "benchmark": benchmark,
        }
    )


def usable(frame: pd.DataFrame, *, as_of_year: float) -> pd.DataFrame:
    """Return the rows of the table that `observations` takes, in its order; raises as it does."""
    rows = frame[(frame["year"] <= as_of_year) & ~frame["uncertain"].astype(bool)]
    rows = rows[~rows["uses_cache"].astype(bool)]
    rows = rows[(rows["parameters"] > 0) & (rows["dataset_tokens"] > 0)]
    rows = rows[rows[list(BENCHMARKS)].notna().any(axis=1)]
    if len(rows) < 30:
        raise ValueError(
            f"algorithmic_progress: {len(rows)} models before {as_of_year:.2f}, "
            "expected at least 30"
        )
    return rows


def model(
    *,
    year: np.ndarray,
    log_perplexity: np.ndarray,
    log_parameters: np.ndarray,
    log_tokens: np.ndarray,
    benchmark: np.ndarray,
    priors: Priors,
) -> None:
    """NumPyro model 7 with Student-t residuals of log perplexity; arrays are (observation,).

    Sites: doubling_time_years (of effective compute), parameter_share, parameter_elasticity and
    data_elasticity (-d ln loss / d ln N and D amid the record), log_reference_loss and
    parameter_part_of_loss (benchmark,; exp(a_b) + exp(b_b) amid the record, and the first term's
    part of it), residual_scale_nat, degrees_of_freedom; deterministic parameter_exponent (alpha_p),
    data_exponent (beta_d), alpha_year, beta_year.
    """
    doubling = numpyro.sample("doubling_time_years", distribution(*priors["doubling_time_years"]))
    loss = loss_nat(doubling, year, log_parameters, log_tokens, benchmark, priors)
    scale = numpyro.sample("residual_scale_nat", distribution(*priors["residual_scale_nat"]))
    freedom = numpyro.sample("degrees_of_freedom", distribution(*priors["degrees_of_freedom"]))
    freedom = jnp.minimum(freedom, MOST_DEGREES_OF_FREEDOM)
    numpyro.sample("log_perplexity", dist.StudentT(freedom, loss, scale), obs=log_perplexity)


def loss_nat(
    doubling: Array,
    year: np.ndarray,
    log_parameters: np.ndarray,
    log_tokens: np.ndarray,
    benchmark: np.ndarray,
    priors: Priors,
) -> Array:
    """Return the expected log perplexity [nat], (observation,); samples the law's constants.

    doubling: time in which effective compute doubles [yr]
    """
    share = numpyro.sample("parameter_share", somewhere_between_0_and_1())
    by_parameters = numpyro.sample(
        "parameter_elasticity", distribution(*priors["parameter_elasticity"])
    )
    by_data = numpyro.sample("data_elasticity", distribution(*priors["data_elasticity"]))
    many = [len(BENCHMARKS)]
    log_loss = numpyro.sample(
        "log_reference_loss", distribution(*priors["log_reference_loss"]).expand(many).to_event(1)
    )
    part = numpyro.sample(
        "parameter_part_of_loss", somewhere_between_0_and_1().expand(many).to_event(1)
    )
    # The data say how loss responds as a whole; the exponents follow from each term's part of it.
    alpha = numpyro.deterministic("parameter_exponent", by_parameters / part.mean())
    beta = numpyro.deterministic("data_exponent", by_data / (1 - part).mean())
    rate = jnp.log(2) / doubling
    alpha_year = numpyro.deterministic("alpha_year", share * rate * alpha)
    beta_year = numpyro.deterministic("beta_year", (1 - share) * rate * beta)
    elapsed = year - year.mean()
    through_parameters = alpha_year * elapsed + alpha * (log_parameters - log_parameters.mean())
    through_data = beta_year * elapsed + beta * (log_tokens - log_tokens.mean())
    return jnp.exp(log_loss[benchmark]) * (
        part[benchmark] * jnp.exp(-through_parameters)
        + (1 - part[benchmark]) * jnp.exp(-through_data)
    )


def somewhere_between_0_and_1() -> dist.Distribution:
    """Return a logit-normal close to Beta(1.5, 1.5), whose sampler takes seconds to compile."""
    return dist.TransformedDistribution(dist.Normal(0.0, 1.2), dist.transforms.SigmoidTransform())


def forecast_columns(draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return what the forecast takes from each draw: the doubling time of effective compute."""
    return {"doubling_time_years": draws["doubling_time_years"]}
