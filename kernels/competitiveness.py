"""What a constraint on a model costs its developer: taxes on training, on use, on the ceiling.

training_tax:  tau >= 1 multiplies the compute of a training run, once
inference_tax: iota >= 1 multiplies the cost of each use
ceiling_tax:   delta >= 0, performance that no amount of training brings back
Elementwise; FLOP, parameters and tokens are natural logarithms, times are years.
"""

from math import log
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .scaling_laws import log_training_flop
from .training_economics import log_serving_flop

_LOG_2, _LOG_3 = log(2), log(3)


def delay_years(log_compute_factor: ArrayLike, doubling_time_years: ArrayLike) -> Array:
    """Return how much later [yr] a run of this many times the compute comes: log2(factor) x T.

    doubling_time_years: of the effective compute the developer has.
    """
    return jnp.asarray(log_compute_factor) / _LOG_2 * doubling_time_years


def affordable_tax(lead_years: ArrayLike, doubling_time_years: ArrayLike) -> Array:
    """Return the largest training tax a lead pays for, 2^(lead / T)."""
    return jnp.exp2(jnp.asarray(lead_years) / doubling_time_years)


def log_cost_of_ownership(
    log_parameters: ArrayLike,
    log_tokens: ArrayLike,
    log_tokens_served: ArrayLike,
    training_tax: ArrayLike = 1.0,
    inference_tax: ArrayLike = 1.0,
) -> Array:
    """Return ln of tau 6 N D + iota 2 N D_inf [FLOP]."""
    training = log_training_flop(log_parameters, log_tokens)
    serving = log_serving_flop(log_parameters, log_tokens_served)
    return jnp.logaddexp(
        training + jnp.log(jnp.asarray(training_tax)),
        serving + jnp.log(jnp.asarray(inference_tax)),
    )


def log_tokens_of_equal_taxes(
    log_tokens: ArrayLike, training_tax: ArrayLike, inference_tax: ArrayLike
) -> Array:
    """Return ln of the tokens served at which both taxes cost the same.

    (tau - 1) 6 N D = (iota - 1) 2 N D_inf. Beyond it the inference tax is the worse one; inf
    without an inference tax, -inf without a training tax, NaN without either.
    """
    taxes = jnp.log(jnp.asarray(training_tax) - 1) - jnp.log(jnp.asarray(inference_tax) - 1)
    return _LOG_3 + jnp.asarray(log_tokens) + taxes


def is_one_dimension(inference_tax: ArrayLike, ceiling_tax: ArrayLike) -> Array:
    """Return where competitiveness is training competitiveness alone: a delay says everything.

    More training buys back neither a ceiling nor the price of each use.
    """
    return (jnp.asarray(inference_tax) == 1) & (jnp.asarray(ceiling_tax) == 0)


class Performance(NamedTuple):
    """p(C) = p_max - (p_max - p_0) (C / C_0)^-exponent for C >= C_0, p_0 below.

    ceiling: p_max; start: p_0; log_start_flop: ln C_0; exponent: > 0
    """

    ceiling: ArrayLike
    start: ArrayLike
    log_start_flop: ArrayLike
    exponent: ArrayLike


def performance(
    curve: Performance,
    log_flop: ArrayLike,
    training_tax: ArrayLike = 1.0,
    ceiling_tax: ArrayLike = 0.0,
) -> Array:
    """Return the performance of a run, its compute divided by tau and its ceiling less delta."""
    above = jnp.asarray(log_flop) - jnp.log(jnp.asarray(training_tax)) - curve.log_start_flop
    left = jnp.exp(-jnp.asarray(curve.exponent) * jnp.maximum(above, 0))
    ceiling = jnp.asarray(curve.ceiling) - ceiling_tax
    return ceiling - (ceiling - curve.start) * left


def log_flop_to_match(
    curve: Performance,
    log_flop: ArrayLike,
    training_tax: ArrayLike = 1.0,
    ceiling_tax: ArrayLike = 0.0,
) -> Array:
    """Return ln C with which a taxed developer performs as the untaxed one does with ``log_flop``.

    tau C where the ceiling is the same; inf where the untaxed one is at or above the taxed ceiling.
    """
    above = jnp.maximum(log_flop - jnp.asarray(curve.log_start_flop), 0)
    gap, tax = curve.ceiling - jnp.asarray(curve.start), jnp.asarray(ceiling_tax)
    # (gap - tax) left_taxed = gap left - tax, with left = (C / C_0)^-exponent.
    share = (gap * jnp.exp(-jnp.asarray(curve.exponent) * above) - tax) / (gap - tax)
    possible = (share > 0) & (tax < gap)
    needed = -jnp.log(jnp.where(possible, share, 1)) / curve.exponent
    matched = curve.log_start_flop + needed + jnp.log(jnp.asarray(training_tax))
    return jnp.where(possible, matched, jnp.inf)
