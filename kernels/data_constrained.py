"""Training loss when unique tokens run out: Muennighoff et al. (2023, arXiv 2305.16264).

Repeated tokens and parameters beyond what the unique tokens call for are worth less and less:

    loss = E + A / N'^alpha + B / D'^beta,    D' = U + U R (1 - exp(-(D / U - 1) / R))

with U the unique tokens in use and R the repeats that data are worth at most; N' likewise, with the
parameters for which the unique tokens are compute-optimal in the place of U. Elementwise, natural
logarithms, as in `scaling_laws`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .scaling_laws import (
    LOG_FLOP_PER_PARAMETER_TOKEN,
    Chinchilla,
    Optimum,
    chinchilla_balanced_log_parameters,
    chinchilla_log_tokens,
    chinchilla_loss,
    elasticities,
)
from .solve import root

_MOST_LOG = 120.0  # e^120 FLOP, parameters or tokens: never
_VERY_LARGE = 1e6  # in the place of inf, where inf - inf threatens


class DataConstrained(NamedTuple):
    """chinchilla: the law of fresh data; parameter_repeats, data_repeats: R_N*, R_D*."""

    chinchilla: Chinchilla
    parameter_repeats: ArrayLike
    data_repeats: ArrayLike


def log_worth(log_total: ArrayLike, log_unique: ArrayLike, repeats: ArrayLike) -> Array:
    """Return ln of what a total is worth in unique ones: U + U R (1 - exp(-(X / U - 1) / R)).

    log_unique: inf where nothing is repeated
    """
    beyond = jnp.maximum(jnp.exp(jnp.asarray(log_total) - log_unique) - 1, 0)
    gained = jnp.asarray(repeats) * -jnp.expm1(-beyond / repeats)
    return jnp.minimum(log_total, log_unique) + jnp.log1p(gained)


def _log_total(log_worth: Array, log_unique: ArrayLike, repeats: ArrayLike) -> Array:
    """Return the inverse of `log_worth`: inf at and beyond what repeats can be worth."""
    beyond = jnp.maximum(jnp.exp(log_worth - log_unique) - 1, 0)
    left = 1 - beyond / repeats
    passes = -jnp.asarray(repeats) * jnp.log(jnp.where(left > 0, left, 1))
    total = jnp.minimum(log_worth, log_unique) + jnp.log1p(passes)
    return jnp.where(left > 0, total, jnp.inf)


def _log_share(log_total: Array, log_unique: ArrayLike, repeats: ArrayLike) -> Array:
    """Return ln of d ln(worth) / d ln(total): 0 until the unique ones are used, then ever lower."""
    log_ratio = jnp.maximum(log_total - log_unique, 0)
    share = log_ratio - jnp.expm1(log_ratio) / repeats - log_worth(log_ratio, 0.0, repeats)
    return jnp.maximum(share, -_VERY_LARGE)


def constrained_loss(
    law: DataConstrained,
    log_parameters: ArrayLike,
    log_tokens: ArrayLike,
    log_unique_tokens: ArrayLike,
) -> Array:
    """Return the loss [nat/token] of D tokens in all, of which at most U are unique."""
    used = jnp.minimum(jnp.asarray(log_tokens), log_unique_tokens)
    balanced = chinchilla_balanced_log_parameters(law.chinchilla, used)
    return chinchilla_loss(
        law.chinchilla,
        log_worth(log_parameters, balanced, law.parameter_repeats),
        log_worth(log_tokens, used, law.data_repeats),
    )


@jax.jit
def constrained_elasticities(
    law: DataConstrained,
    log_parameters: ArrayLike,
    log_tokens: ArrayLike,
    log_unique_tokens: ArrayLike,
) -> tuple[Array, Array]:
    """Return -d ln(loss) / d ln N and -d ln(loss) / d ln D at given unique tokens."""
    return elasticities(
        lambda n, d: constrained_loss(law, n, d, log_unique_tokens), log_parameters, log_tokens
    )


@jax.jit
def constrained_log_tokens(
    law: DataConstrained, loss: ArrayLike, log_parameters: ArrayLike, log_unique_tokens: ArrayLike
) -> Array:
    """Return ln D, repeats included, with which N parameters reach a loss; inf where never."""
    target = jnp.asarray(loss)
    shape = jnp.broadcast_arrays(target, log_parameters, log_unique_tokens, *_leaves(law))[0]
    return root(
        lambda log_tokens: (
            target - constrained_loss(law, log_parameters, log_tokens, log_unique_tokens)
        ),
        jnp.zeros_like(shape),
        jnp.full_like(shape, _MOST_LOG),
    )


def _leaves(law: DataConstrained) -> tuple[ArrayLike, ...]:
    return (*law.chinchilla, law.parameter_repeats, law.data_repeats)


def _imbalance(
    law: DataConstrained, log_parameters: Array, log_tokens: Array, log_unique_tokens: ArrayLike
) -> Array:
    """Return ln of what a little more data gains over what a little larger a model gains.

    It rises with N both at equal compute and at equal loss, so that its zero is the only optimum.
    Parameters are measured by those that all unique tokens call for: no optimum has repeats of one
    kind without having used all of the other.
    """
    chinchilla = law.chinchilla
    balanced = chinchilla_balanced_log_parameters(chinchilla, log_unique_tokens)
    alpha, beta = jnp.asarray(chinchilla.parameter_exponent), jnp.asarray(chinchilla.data_exponent)
    worth = log_worth(log_parameters, balanced, law.parameter_repeats)
    by_parameters = jnp.log(alpha) + chinchilla.log_parameter_constant - alpha * worth
    by_parameters += _log_share(log_parameters, balanced, law.parameter_repeats)
    worth = log_worth(log_tokens, log_unique_tokens, law.data_repeats)
    by_data = jnp.log(beta) + chinchilla.log_data_constant - beta * worth
    by_data += _log_share(log_tokens, log_unique_tokens, law.data_repeats)
    return by_data - by_parameters


@jax.jit
def constrained_optimum(
    law: DataConstrained, log_flop: ArrayLike, log_unique_tokens: ArrayLike
) -> Optimum:
    """Return the run of least loss among those of C = 6 N D FLOP on at most U unique tokens."""
    shape = jnp.broadcast_arrays(jnp.asarray(log_flop), log_unique_tokens, *_leaves(law))[0]
    scaled = shape - LOG_FLOP_PER_PARAMETER_TOKEN
    log_parameters = root(
        lambda log_n: _imbalance(law, log_n, scaled - log_n, log_unique_tokens),
        jnp.zeros_like(scaled),
        scaled,
    )
    log_tokens = scaled - log_parameters
    loss = constrained_loss(law, log_parameters, log_tokens, log_unique_tokens)
    return Optimum(log_parameters, log_tokens, loss)


def constrained_floor(law: DataConstrained, log_unique_tokens: ArrayLike) -> Array:
    """Return the loss [nat/token] that nothing but more unique tokens can lower."""
    balanced = chinchilla_balanced_log_parameters(law.chinchilla, log_unique_tokens)
    return chinchilla_loss(
        law.chinchilla,
        balanced + jnp.log1p(jnp.asarray(law.parameter_repeats)),
        log_unique_tokens + jnp.log1p(jnp.asarray(law.data_repeats)),
    )


@jax.jit
def constrained_cheapest(
    law: DataConstrained, loss: ArrayLike, log_unique_tokens: ArrayLike
) -> Optimum:
    """Return the run of least C = 6 N D that reaches a loss; ln N and ln D are inf where none does.

    In the place of a bisection over optima: at equal loss, tokens follow from parameters.
    """
    floor = constrained_floor(law, log_unique_tokens)
    target, floor = jnp.broadcast_arrays(jnp.asarray(loss), floor)
    reached = target > floor
    safe = jnp.where(reached, target, floor + 1)
    balanced = chinchilla_balanced_log_parameters(law.chinchilla, log_unique_tokens)

    def log_tokens(log_parameters: Array) -> Array:
        worth = log_worth(log_parameters, balanced, law.parameter_repeats)
        needed = chinchilla_log_tokens(law.chinchilla, safe, worth)
        total = _log_total(needed, log_unique_tokens, law.data_repeats)
        return jnp.minimum(total, _VERY_LARGE)

    log_parameters = root(
        lambda log_n: _imbalance(law, log_n, log_tokens(log_n), log_unique_tokens),
        jnp.zeros_like(target),
        jnp.full_like(target, _MOST_LOG),
    )
    return Optimum(
        jnp.where(reached, log_parameters, jnp.inf),
        jnp.where(reached, log_tokens(log_parameters), jnp.inf),
        target,
    )
