"""What the tokens that a model will serve do to how it is trained: smaller, on more data.

Elementwise; arguments and results are natural logarithms of parameters, tokens and FLOP, and
constants broadcast, as in ``scaling_laws``. On Chinchilla's law everything here is a function of
one number, the *wedge* w: the ratio of the loss's elasticities in N and in D is 1 + w. The
compute-optimal run has w = 0; a run that also has to serve has w > 0 and is smaller and longer.
"""

from math import log

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .scaling_laws import (
    Chinchilla,
    Optimum,
    chinchilla_log_flop,
    chinchilla_loss,
    chinchilla_optimum,
    log_training_flop,
)
from .solve import root

_LOG_2, _LOG_3 = log(2), log(3)
_NO_WEDGE = -40.0  # ln w of a run that is compute-optimal to the last digit


# --- smaller and longer at the same loss ---------------------------------------------------------


def log_size_and_token_factors(law: Chinchilla, log_wedge: ArrayLike) -> tuple[Array, Array]:
    """Return ln k_N <= 0 and ln k_D >= 0, of a run of this wedge relative to compute-optimal.

    Both runs have the same loss; the answer is the same at every loss (de Vries 2023).
    """
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    log_share = jnp.log(beta / (alpha + beta))
    # What is left of the loss: B / D^beta falls to 1 / (1 + share w), and A / N^alpha makes it up.
    falls = jax.nn.softplus(log_share + log_wedge)
    return (falls - jax.nn.softplus(log_wedge)) / alpha, falls / beta


def log_token_factor(law: Chinchilla, log_size_factor: ArrayLike) -> Array:
    """Return ln k_D of a run of k_N times the compute-optimal parameters; inf where none will do.

    k_D = (1 - (k_N^-alpha - 1) beta / alpha)^(-1 / beta), de Vries 2023 ("Go smol or go home").
    """
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    missing = jnp.expm1(-alpha * log_size_factor) * beta / alpha
    possible = missing < 1
    return jnp.where(possible, -jnp.log1p(-jnp.where(possible, missing, 0)) / beta, jnp.inf)


def overtraining_overhead(law: Chinchilla, log_size_factor: ArrayLike) -> Array:
    """Return k_N k_D - 1, the training compute added by k_N times the parameters [fraction]."""
    return jnp.expm1(log_size_factor + log_token_factor(law, log_size_factor))


def log_critical_size_factor(law: Chinchilla) -> Array:
    """Return ln k_N at and below which no amount of data makes up for the missing parameters."""
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    return -jnp.log1p(alpha / beta) / alpha


def log_size_factor_at_training_factor(law: Chinchilla, log_training_factor: ArrayLike) -> Array:
    """Return ln k_N of the smallest run of the same loss for k_N k_D times the training compute."""
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    asked = jnp.asarray(log_training_factor)
    log_share = jnp.log(beta / (alpha + beta))
    # Near w = 0 the compute rises as w^2; far out k_D alone as w^(1/beta), k_N being bounded.
    high = beta * (asked - log_critical_size_factor(law)) - log_share
    low = jnp.full_like(high, _NO_WEDGE)
    wedge = root(lambda w: sum(log_size_and_token_factors(law, w)) - asked, low, high)
    return log_size_and_token_factors(law, wedge)[0]


def scaling_policy_at_exchange(
    law: Chinchilla, training_per_inference: ArrayLike
) -> tuple[Array, Array]:
    """Return ln k_N and ln(k_N k_D) where a further OOM of inference saved costs so many to train.

    training_per_inference: -d ln C / d ln N at constant loss, 6 in Villalobos & Atkinson (2023,
    "Trading off compute in training and inference"), who call it the end of efficient scaling.
    It is the wedge itself.
    """
    smaller, longer = log_size_and_token_factors(law, jnp.log(training_per_inference))
    return smaller, smaller + longer


def pruning_rounds(share_pruned_a_round: ArrayLike, density: ArrayLike) -> Array:
    """Return the rounds n that leave a density, (1 - x)^n."""
    return jnp.log(jnp.asarray(density)) / jnp.log1p(-jnp.asarray(share_pruned_a_round))


def pruning_cost_factor(share_pruned_a_round: ArrayLike, density: ArrayLike) -> Array:
    """Return the cost of pruning to a density in rounds, relative to one training run.

    sum over rounds k < n of (1 - x)^k = (1 - (1 - x)^n) / x, each a training run of what is left
    (Villalobos & Atkinson 2023).
    """
    return (1 - jnp.asarray(density)) / share_pruned_a_round


# --- the optimum with serving --------------------------------------------------------------------


def log_priced_tokens(
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    training_flop_per_dollar: ArrayLike,
    input_flop_per_dollar: ArrayLike,
    output_flop_per_dollar: ArrayLike,
) -> Array:
    """Return ln of the tokens to serve, each counted at its price over that of training FLOP.

    With them the objective in FLOP, 6 N D + 2 N D_inf, is the one in dollars of Sardana et al.
    (2023, eq. 3). FLOP per dollar: those delivered, peak rate x utilisation / price.
    """
    priced = jnp.asarray(input_tokens) / input_flop_per_dollar
    priced = priced + jnp.asarray(output_tokens) / output_flop_per_dollar
    return jnp.log(priced) + jnp.log(training_flop_per_dollar)


def log_serving_flop(log_parameters: ArrayLike, log_tokens_served: ArrayLike) -> Array:
    """Return ln of 2 N D_inf, the FLOP of serving so many tokens."""
    return _LOG_2 + jnp.asarray(log_parameters) + log_tokens_served


def log_lifetime_flop(run: Optimum, log_tokens_served: ArrayLike) -> Array:
    """Return ln of 6 N D + 2 N D_inf; of dollars too, in training FLOP, for priced tokens."""
    return jnp.logaddexp(
        log_training_flop(run.log_parameters, run.log_tokens),
        log_serving_flop(run.log_parameters, log_tokens_served),
    )


def _log_wedge(log_demand: Array, share: ArrayLike, power: ArrayLike) -> Array:
    """Return ln w of w (1 + share w)^power = demand, for power >= 0; -inf at no demand."""
    served = jnp.where(jnp.isneginf(log_demand), 0, log_demand)
    log_share = jnp.log(jnp.asarray(share))
    low = served - power * jax.nn.softplus(log_share + served)
    wedge = root(lambda w: w + power * jax.nn.softplus(log_share + w) - served, low, served)
    return jnp.where(jnp.isneginf(log_demand), -jnp.inf, wedge)


def serving_optimum_at_loss(
    law: Chinchilla, loss: ArrayLike, log_tokens_served: ArrayLike
) -> Optimum:
    """Return the run that reaches a loss at the least lifetime cost, 6 N D + 2 N D_inf.

    Sardana et al. 2023 (arXiv 2401.00448), eq. 2. At it the elasticities of the loss have the
    ratio 1 + D_inf / (3 D), so that w k_D(w) = D_inf / (3 D) of the compute-optimal run: one
    unknown in a closed bracket. inf at a loss that no run reaches.
    """
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    cheapest = chinchilla_optimum(law, chinchilla_log_flop(law, loss))
    reached = jnp.isfinite(cheapest.log_tokens)
    tokens = jnp.where(reached, cheapest.log_tokens, 0)
    log_wedge = _log_wedge(
        jnp.asarray(log_tokens_served) - _LOG_3 - tokens, beta / (alpha + beta), 1 / beta
    )
    smaller, longer = log_size_and_token_factors(law, log_wedge)
    size = jnp.where(reached, cheapest.log_parameters + smaller, jnp.inf)
    tokens = jnp.where(reached, tokens + longer, jnp.inf)
    return Optimum(size, tokens, jnp.broadcast_to(jnp.asarray(loss, size.dtype), size.shape))


def serving_optimum_at_training_flop(
    law: Chinchilla, log_flop: ArrayLike, log_tokens_served: ArrayLike
) -> Optimum:
    """Return the run of 6 N D FLOP that reaches its own loss at the least lifetime cost."""
    total = jnp.asarray(law.parameter_exponent) + law.data_exponent
    chosen = chinchilla_optimum(law, log_flop)
    log_demand = jnp.asarray(log_tokens_served) - _LOG_3 - chosen.log_tokens
    shift = jax.nn.softplus(_log_wedge(log_demand, 1.0, 1 / total)) / total
    size, tokens = chosen.log_parameters - shift, chosen.log_tokens + shift
    return Optimum(size, tokens, chinchilla_loss(law, size, tokens))


def serving_optimum_at_lifetime_flop(
    law: Chinchilla, log_flop: ArrayLike, log_tokens_served: ArrayLike
) -> Optimum:
    """Return the run of least loss among those of 6 N D + 2 N D_inf FLOP, for alpha < 1."""
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    alone = chinchilla_optimum(law, log_flop)  # as if nothing had to be served
    log_demand = jnp.asarray(log_tokens_served) - _LOG_3 - alone.log_tokens
    log_wedge = _log_wedge(log_demand, 1.0, (1 - alpha) / (alpha + beta))
    return serving_optimum_at_training_flop(
        law, log_flop - jax.nn.softplus(log_wedge), log_tokens_served
    )
