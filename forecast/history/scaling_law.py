"""Training loss as a law of parameters and tokens: Hoffmann et al. (2022, arXiv 2203.15556).

    loss = E + A / N^alpha + B / D^beta

Fitted as in approach 3 of Hoffmann et al. and by Besiroglu et al. (2024, arXiv 2404.10102), with
two changes: residuals of log loss are Student-t instead of a Huber loss, and the posterior stands
in place of a point. A and alpha, B and beta are correlated beyond 0.99, so the model is written in
what the data say directly: the loss amid the record, and the parts of it that are reducible, by
parameters or by data.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from ...priors.elicitation import Interval, distribution
from ...priors.prior_sets import load_prior_set
from .algorithmic_progress import somewhere_between_0_and_1
from .trend import MOST_DEGREES_OF_FREEDOM, Priors

CONSTANTS = (
    "irreducible_loss",
    "log_parameter_constant",
    "parameter_exponent",
    "log_data_constant",
    "data_exponent",
)


def default_priors() -> dict[str, Interval]:
    """Return the priors of the set ``scaling-law``, with sources in its file."""
    section = load_prior_set("scaling-law")["scaling_law"]
    return {name: _interval(**entry) for name, entry in section.items()}


def _interval(source: str, mass: float = 0.9, **pair: tuple[float, float]) -> Interval:
    ((kind, (low, high)),) = pair.items()
    return Interval(kind, low, high, mass)


def observations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows: log_parameters, log_tokens, log_loss (all natural).

    frame: parameters, training_tokens, loss_nats; rows without one of these are left out, and those
    that ``excluded_besiroglu2024`` flags, where there is such a column (5 of 245 Chinchilla runs).
    Raises ``ValueError`` if fewer than 10 remain, or if parameters and tokens do not both vary.
    """
    columns = ["parameters", "training_tokens", "loss_nats"]
    rows = frame[(frame[columns] > 0).all(axis=1)]
    if "excluded_besiroglu2024" in rows:
        rows = rows[~rows["excluded_besiroglu2024"].astype(bool)]
    if len(rows) < 10 or (rows[columns].nunique() < 3).any():
        raise ValueError(
            f"scaling_law: {len(rows)} runs with parameters, tokens and loss, expected at least 10 "
            "with at least 3 different values of each"
        )
    names = ("log_parameters", "log_tokens", "log_loss")
    logs = np.log(rows[columns].to_numpy(dtype=float))
    return pd.DataFrame(logs, columns=list(names)).reset_index(drop=True)


def model(
    *, log_parameters: np.ndarray, log_tokens: np.ndarray, log_loss: np.ndarray, priors: Priors
) -> None:
    """NumPyro model of a table of runs; arrays are (observation,), natural logarithms, nat/token.

    Sites: log_reference_loss (amid the record), reducible_part (of the loss there),
    parameter_part (of what is reducible there), parameter_exponent (alpha), data_exponent (beta),
    residual_scale_nat (of log loss), degrees_of_freedom; deterministic irreducible_loss (E),
    log_parameter_constant (ln A), log_data_constant (ln B).
    """
    alpha = numpyro.sample("parameter_exponent", distribution(*priors["parameter_exponent"]))
    beta = numpyro.sample("data_exponent", distribution(*priors["data_exponent"]))
    log_reference = numpyro.sample(
        "log_reference_loss", distribution(*priors["log_reference_loss"])
    )
    reducible = numpyro.sample("reducible_part", somewhere_between_0_and_1())
    part = numpyro.sample("parameter_part", somewhere_between_0_and_1())
    middle_parameters, middle_tokens = log_parameters.mean(), log_tokens.mean()
    numpyro.deterministic("irreducible_loss", jnp.exp(log_reference) * (1 - reducible))
    log_reducible = log_reference + jnp.log(reducible)
    numpyro.deterministic(
        "log_parameter_constant", log_reducible + jnp.log(part) + alpha * middle_parameters
    )
    numpyro.deterministic(
        "log_data_constant", log_reducible + jnp.log1p(-part) + beta * middle_tokens
    )
    relative = (1 - reducible) + reducible * (
        part * jnp.exp(-alpha * (log_parameters - middle_parameters))
        + (1 - part) * jnp.exp(-beta * (log_tokens - middle_tokens))
    )
    scale = numpyro.sample("residual_scale_nat", distribution(*priors["residual_scale_nat"]))
    freedom = numpyro.sample("degrees_of_freedom", distribution(*priors["degrees_of_freedom"]))
    centre = log_reference + jnp.log(relative)
    freedom = jnp.minimum(freedom, MOST_DEGREES_OF_FREEDOM)
    numpyro.sample("log_loss", dist.StudentT(freedom, centre, scale), obs=log_loss)


def log_loss_at(
    draws: Mapping[str, np.ndarray], parameters: np.ndarray, tokens: np.ndarray
) -> np.ndarray:
    """Return the log loss [ln nat/token] at points of (point,), (chain, draw, point), by draw."""
    lowest, log_a, alpha, log_b, beta = (draws[name][..., None] for name in CONSTANTS)
    log_n, log_d = np.log(np.asarray(parameters)), np.log(np.asarray(tokens))
    return np.log(lowest + np.exp(log_a - alpha * log_n) + np.exp(log_b - beta * log_d))


def optimal_parameter_exponent(draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a of N ~ C^a, the compute-optimal allocation: beta / (alpha + beta)."""
    alpha, beta = draws["parameter_exponent"], draws["data_exponent"]
    return beta / (alpha + beta)
