"""Training loss as a law of parameters and tokens: Hoffmann et al. (2022, arXiv 2203.15556).

    loss = E + A / N^alpha + B / D^beta

Fitted as in approach 3 of Hoffmann et al. and by Besiroglu et al. (2024, arXiv 2404.10102), with
two changes: residuals of log loss are Student-t instead of a Huber loss, and the posterior stands
in place of a point. A and alpha, B and beta are correlated beyond 0.99, so the model is written in
what the data say directly: the loss amid the record, and the parts of it that are reducible, by
parameters or by data.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from ...kernels.data_constrained import log_worth
from ...kernels.scaling_laws import Chinchilla, chinchilla_balanced_log_parameters
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
REPEATS = ("data_repeats", "parameter_repeats")


LEAST_SCALE = 3e-4  # of residuals of log loss: rounding, and seeds of the same run
LEAST_RUNS = 10
LEAST_RANGE_OF_FLOP = 2.0
# Flags of a table, and which value of them is fitted.
_FLAGS = {"excluded_besiroglu2024": False, "outlier": False, "in_published_fit": True}


def default_priors() -> dict[str, Interval]:
    """Return the priors of the set ``scaling-law``, with sources in its file."""
    section = load_prior_set("scaling-law")["scaling_law"]
    return {name: _interval(**entry) for name, entry in section.items()}


def _interval(source: str, mass: float = 0.9, **pair: tuple[float, float]) -> Interval:
    ((kind, (low, high)),) = pair.items()
    return Interval(kind, low, high, mass)


def observations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows: log_parameters, log_tokens, log_loss (all natural), index as in the frame.

    frame: parameters; training_tokens, or training_flop, of which tokens are C / 6 N; loss_nats (or
        ``loss`` in another unit: E, A and B come out in it); unique_tokens where data repeat, which
        gives log_unique_tokens. Rows that ``excluded_besiroglu2024`` or ``outlier`` flags are left
        out, and where there is a column ``in_published_fit`` those that it does not.
    Raises ``ValueError`` for a missing column or a cell that is no positive number, naming rows;
    for fewer than 10 rows or 3 different values of a column; for runs of one budget of compute; and
    if the loss does not fall with compute.
    """
    rows = frame[_used(frame)]
    parameters = _positive(rows, "parameters")
    if "training_tokens" in rows:
        tokens = _positive(rows, "training_tokens")
    else:
        flop = _positive(rows, "training_flop", "training_compute_flop")
        tokens = flop / (6 * parameters)
    loss = _positive(rows, "loss_nats", "loss")
    _check_design(parameters, tokens, loss)
    columns = {"log_parameters": parameters, "log_tokens": tokens, "log_loss": loss}
    if "unique_tokens" in rows:
        columns["log_unique_tokens"] = np.minimum(_positive(rows, "unique_tokens"), tokens)
    return pd.DataFrame(
        {name: np.log(values) for name, values in columns.items()}, index=rows.index
    )


def _used(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows no flag leaves out."""
    used = np.ones(len(frame), dtype=bool)
    for column, value in _FLAGS.items():
        if column in frame:
            text = frame[column].astype(str).str.lower()
            used &= text.isin(("true", "1", "1.0", "yes")).to_numpy() == value
    return used


def _positive(rows: pd.DataFrame, *names: str) -> np.ndarray:
    """Return the column that has one of these names, every cell a positive number."""
    name = next((name for name in names if name in rows), None)
    if name is None:
        raise ValueError(
            f"scaling_law: no column {' or '.join(map(repr, names))} among "
            f"{', '.join(map(str, rows))}; expected parameters, training_tokens or training_flop, "
            "and loss_nats"
        )
    values = pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        label = rows.index.name or "row"
        cells = [f"{label} {rows.index[i]}: {str(rows[name].iloc[i])!r}" for i in wrong[:5]]
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"scaling_law: {name}: {len(wrong)} of {len(rows)} cells are no positive number "
            f"({', '.join(cells)}{more}); fill them in or remove these rows"
        )
    return values


def _check_design(parameters: np.ndarray, tokens: np.ndarray, loss: np.ndarray) -> None:
    """Raise if the runs cannot tell a law."""
    design = {"parameters": parameters, "tokens": tokens, "loss": loss}
    few = {name: len(np.unique(values)) for name, values in design.items()}
    if len(loss) < LEAST_RUNS or min(few.values()) < 3:
        counts = ", ".join(f"{count} of {name}" for name, count in few.items())
        raise ValueError(
            f"scaling_law: {len(loss)} runs with parameters, tokens and loss, expected at "
            f"least {LEAST_RUNS} with at least 3 different values of each (got {counts})"
        )
    log_flop = np.log(6 * parameters * tokens)
    if np.ptp(log_flop) < np.log(LEAST_RANGE_OF_FLOP):
        raise ValueError(
            f"scaling_law: all runs are of one budget, {np.exp(log_flop.mean()):.3g} FLOP within a "
            f"factor {np.exp(np.ptp(log_flop)):.3g}; expected at least {LEAST_RANGE_OF_FLOP:g}"
        )
    slope = np.polyfit(log_flop - log_flop.mean(), np.log(loss), 1)[0]
    if slope >= 0:
        raise ValueError(
            f"scaling_law: the loss does not fall with compute (it goes as compute to the power "
            f"{slope:+.3g}); expected runs for which it does"
        )


def model(
    *,
    log_parameters: np.ndarray,
    log_tokens: np.ndarray,
    log_loss: Any,
    priors: Priors,
    log_unique_tokens: np.ndarray | None = None,
) -> None:
    """NumPyro model of a table of runs; arrays are (observation,), natural logarithms, nat/token.

    log_unique_tokens: where data repeat; the law is then that of Muennighoff et al. (2023, arXiv
        2305.16264), in which repeated tokens, and parameters beyond what unique tokens call for,
        are worth less and less

    Sites: log_reference_loss (amid the record), reducible_part (of the loss there),
    parameter_part (of what is reducible there), parameter_exponent (alpha), data_exponent (beta),
    residual_scatter_nat (of log loss), degrees_of_freedom, and where data repeat data_repeats
    (R_D*), parameter_repeats (R_N*); deterministic irreducible_loss (E), log_parameter_constant
    (ln A), log_data_constant (ln B), residual_scale_nat (scatter and LEAST_SCALE).
    """
    alpha = numpyro.sample("parameter_exponent", distribution(*priors["parameter_exponent"]))
    beta = numpyro.sample("data_exponent", distribution(*priors["data_exponent"]))
    log_reference = numpyro.sample(
        "log_reference_loss", distribution(*priors["log_reference_loss"])
    )
    reducible = numpyro.sample("reducible_part", somewhere_between_0_and_1())
    part = numpyro.sample("parameter_part", somewhere_between_0_and_1())
    middle_parameters, middle_tokens = log_parameters.mean(), log_tokens.mean()
    lowest = numpyro.deterministic("irreducible_loss", jnp.exp(log_reference) * (1 - reducible))
    log_reducible = log_reference + jnp.log(reducible)
    log_a = numpyro.deterministic(
        "log_parameter_constant", log_reducible + jnp.log(part) + alpha * middle_parameters
    )
    log_b = numpyro.deterministic(
        "log_data_constant", log_reducible + jnp.log1p(-part) + beta * middle_tokens
    )
    log_n: Any = log_parameters
    log_d: Any = log_tokens
    if log_unique_tokens is not None:
        data_repeats, parameter_repeats = (
            numpyro.sample(name, distribution(*priors[name])) for name in REPEATS
        )
        balanced = chinchilla_balanced_log_parameters(
            Chinchilla(lowest, log_a, alpha, log_b, beta), log_unique_tokens
        )
        log_n = log_worth(log_parameters, balanced, parameter_repeats)
        log_d = log_worth(log_tokens, log_unique_tokens, data_repeats)
    relative = (1 - reducible) + reducible * (
        part * jnp.exp(-alpha * (log_n - middle_parameters))
        + (1 - part) * jnp.exp(-beta * (log_d - middle_tokens))
    )
    scatter = numpyro.sample("residual_scatter_nat", distribution(*priors["residual_scale_nat"]))
    scale = numpyro.deterministic("residual_scale_nat", scatter + LEAST_SCALE)
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
