"""Post-training enhancements in terms of training compute (Davidson et al. 2023, arXiv 2312.07413).

The compute-equivalent gain (CEG) of an enhancement is C' / C, C' being the training compute that
would have improved the benchmark as much. On a power law of the loss, L = E + k C^-gamma, an
improvement by dL gives

    C' / C = (1 - dL / (L - E))^(-1 / gamma).

Where the curve is flat, or the improvement goes beyond E, no training compute would do: the gain is
infinite, or not a number where nothing was gained either. It is never 0 or 1 then. Gains are kept
as log10 [OOM]. All functions are elementwise but for the last axis of gains that are combined.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

RULES = ("max", "product", "power")


def compute_equivalent_gain(
    loss: ArrayLike, improvement: ArrayLike, exponent: ArrayLike, irreducible_loss: ArrayLike = 0.0
) -> Array:
    """Return C' / C of an improvement of a loss that falls as a power of compute.

    loss, irreducible_loss: before the enhancement, and what it tends to; improvement: by how much
    loss fell, negative where it rose; exponent: gamma. inf where no compute does as much; NaN where
    no compute makes a difference, or for loss at or below what is irreducible or exponent below 0.
    """
    loss, improvement = jnp.asarray(loss), jnp.asarray(improvement)
    exponent = jnp.asarray(exponent)
    reducible = loss - irreducible_loss
    left = 1 - improvement / reducible
    falls = (exponent > 0) & (left > 0)
    log_gain = -jnp.log(jnp.where(falls, left, 1)) / jnp.where(falls, exponent, 1)
    never = jnp.where(improvement > 0, jnp.inf, jnp.nan)
    sensible = (reducible > 0) & (exponent >= 0)
    return jnp.where(sensible, jnp.where(falls, jnp.exp(log_gain), never), jnp.nan)


def gain_is_defined(gain: ArrayLike) -> Array:
    """Return whether a gain is a number: whether more compute would have done the same."""
    return jnp.isfinite(jnp.asarray(gain))


def combined_gain_oom(gains_oom: ArrayLike, rule: str, exponent: ArrayLike = 1.0) -> Array:
    """Return the gain of several enhancements together [OOM].

    gains_oom: (..., enhancement); rule: "max" (they do the same thing, the best counts), "product"
    (they add up) or "power" (the product to the power ``exponent``, between 0 and 1).
    Raises ``ValueError`` for another rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule: got {rule!r}, expected one of {', '.join(RULES)}")
    gains_oom = jnp.asarray(gains_oom)
    if rule == "max":
        return gains_oom.max(axis=-1)
    whole = gains_oom.sum(axis=-1)
    return whole * exponent if rule == "power" else whole


def years_gained(gain_oom: ArrayLike, growth_per_year: ArrayLike) -> Array:
    """Return how far ahead a gain puts one whose compute grows by a factor a year [yr]."""
    return jnp.asarray(gain_oom) / jnp.log10(jnp.asarray(growth_per_year))


def effective_flop_log10(
    log10_budget_flop: ArrayLike, gain_oom: ArrayLike, one_time_share: ArrayLike
) -> Array:
    """Return the effective training compute of a budget that also pays the enhancement [log10].

    one_time_share: its one-time cost, as a part of the cost of training
    """
    return jnp.asarray(log10_budget_flop) - jnp.log10(1 + jnp.asarray(one_time_share)) + gain_oom


def inference_break_even(
    gain_oom: ArrayLike, one_time_share: ArrayLike, inference_factor: ArrayLike
) -> Array:
    """Return up to what inference the enhancement is cheaper than a larger model [training costs].

    The larger model takes ``gain`` times the training compute and, parameters growing as the square
    root of it, sqrt(gain) times the inference. inf where the enhanced model is always cheaper; 0
    where it never is.
    """
    gain = 10.0 ** jnp.asarray(gain_oom)
    saved = gain - 1 - jnp.asarray(one_time_share)
    dearer = jnp.asarray(inference_factor) - jnp.sqrt(gain)
    ratio = saved / jnp.where(dearer > 0, dearer, 1)
    return jnp.where(dearer > 0, jnp.maximum(ratio, 0), jnp.inf)
