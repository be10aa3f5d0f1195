"""Laws of training loss [nat/token] in parameters, tokens and compute, elementwise.

Arguments are natural logarithms (``log_parameters``, ``log_tokens``, ``log_flop``), because FLOP
overflow float32; constants and arguments broadcast against each other, so that a law with
constants of shape (draw,) gives a value for each draw.
"""

from collections.abc import Callable
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

LOG_FLOP_PER_PARAMETER_TOKEN = log(6)


class Optimum(NamedTuple):
    """The compute-optimal run: natural logs of parameters and tokens, and its loss [nat/token]."""

    log_parameters: Array
    log_tokens: Array
    loss: Array


def log_training_flop(log_parameters: ArrayLike, log_tokens: ArrayLike) -> Array:
    """Return ln C of C = 6 N D (Kaplan et al. 2020, section 2.1)."""
    return LOG_FLOP_PER_PARAMETER_TOKEN + jnp.asarray(log_parameters) + log_tokens


def elasticities(
    loss: Callable[[Array, Array], Array], log_parameters: ArrayLike, log_tokens: ArrayLike
) -> tuple[Array, Array]:
    """Return -d ln(loss) / d ln N and -d ln(loss) / d ln D of any elementwise loss."""
    real = (jnp.asarray(x, jnp.result_type(float)) for x in (log_parameters, log_tokens))
    at = tuple(jnp.broadcast_arrays(*real))
    one, zero = jnp.ones_like(at[0]), jnp.zeros_like(at[0])
    value, by_parameters = jax.jvp(loss, at, (one, zero))
    _, by_tokens = jax.jvp(loss, at, (zero, one))
    return -by_parameters / value, -by_tokens / value


class Chinchilla(NamedTuple):
    """loss = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, arXiv 2203.15556, eq. 2).

    irreducible_loss: E [nat/token]; log_parameter_constant, log_data_constant: ln A, ln B;
    parameter_exponent, data_exponent: alpha, beta
    """

    irreducible_loss: ArrayLike
    log_parameter_constant: ArrayLike
    parameter_exponent: ArrayLike
    log_data_constant: ArrayLike
    data_exponent: ArrayLike


def chinchilla_reducible(
    law: Chinchilla, log_parameters: ArrayLike, log_tokens: ArrayLike
) -> tuple[Array, Array]:
    """Return the two reducible parts of the loss, A / N^alpha and B / D^beta [nat/token]."""
    log_n, log_d = jnp.asarray(log_parameters), jnp.asarray(log_tokens)
    by_parameters = jnp.exp(law.log_parameter_constant - law.parameter_exponent * log_n)
    return by_parameters, jnp.exp(law.log_data_constant - law.data_exponent * log_d)


def chinchilla_loss(law: Chinchilla, log_parameters: ArrayLike, log_tokens: ArrayLike) -> Array:
    """Return the loss [nat/token]."""
    by_parameters, by_data = chinchilla_reducible(law, log_parameters, log_tokens)
    return by_parameters + by_data + law.irreducible_loss


def chinchilla_elasticities(
    law: Chinchilla, log_parameters: ArrayLike, log_tokens: ArrayLike
) -> tuple[Array, Array]:
    """Return -d ln(loss) / d ln N and -d ln(loss) / d ln D."""
    by_parameters, by_data = chinchilla_reducible(law, log_parameters, log_tokens)
    loss = by_parameters + by_data + law.irreducible_loss
    return by_parameters * law.parameter_exponent / loss, by_data * law.data_exponent / loss


def chinchilla_log_tokens(law: Chinchilla, loss: ArrayLike, log_parameters: ArrayLike) -> Array:
    """Return ln D of the run with these parameters that reaches a loss; inf where none does."""
    log_n = jnp.asarray(log_parameters)
    by_parameters = jnp.exp(law.log_parameter_constant - law.parameter_exponent * log_n)
    left = jnp.asarray(loss) - law.irreducible_loss - by_parameters
    reached = (law.log_data_constant - jnp.log(jnp.where(left > 0, left, 1))) / law.data_exponent
    return jnp.where(left > 0, reached, jnp.inf)


def chinchilla_log_parameters(law: Chinchilla, loss: ArrayLike, log_tokens: ArrayLike) -> Array:
    """Return ln N of the run on these tokens that reaches a loss; inf where none does."""
    mirrored = Chinchilla(
        law.irreducible_loss,
        law.log_data_constant,
        law.data_exponent,
        law.log_parameter_constant,
        law.parameter_exponent,
    )
    return chinchilla_log_tokens(mirrored, loss, log_tokens)


def chinchilla_balanced_log_parameters(law: Chinchilla, log_tokens: ArrayLike) -> Array:
    """Return ln N for which D is compute-optimal: alpha A / N^alpha = beta B / D^beta."""
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    log_ratio = jnp.log(alpha / beta) + law.log_parameter_constant - law.log_data_constant
    return (log_ratio + beta * log_tokens) / alpha


class Frontier(NamedTuple):
    """What is reducible on the compute-optimal frontier: exp(log_constant - exponent x ln C).

    Exact, not an approximation: both parts of the reducible loss fall as the same power of C.
    log_parameter_scale: ln G of N = G (C / 6)^a (Hoffmann et al. 2022, eq. 4)
    parameter_share_exponent: a = beta / (alpha + beta)
    """

    log_constant: Array
    exponent: Array
    log_parameter_scale: Array
    parameter_share_exponent: Array


def chinchilla_frontier(law: Chinchilla) -> Frontier:
    """Return the compute-optimal frontier under C = 6 N D, in closed form."""
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    total = alpha + beta
    ln_a, ln_b = jnp.asarray(law.log_parameter_constant), law.log_data_constant
    log_scale = (jnp.log(alpha / beta) + ln_a - ln_b) / total
    exponent = alpha * beta / total
    # At the optimum alpha x (A / N^alpha) = beta x (B / D^beta).
    log_parts = ln_a - alpha * log_scale + jnp.log1p(alpha / beta)
    log_constant = log_parts + exponent * LOG_FLOP_PER_PARAMETER_TOKEN
    return Frontier(log_constant, exponent, log_scale, beta / total)


def chinchilla_optimum(law: Chinchilla, log_flop: ArrayLike) -> Optimum:
    """Return the run of least loss among those of C = 6 N D FLOP (eq. 4 of Hoffmann et al.)."""
    frontier = chinchilla_frontier(law)
    scaled = jnp.asarray(log_flop) - LOG_FLOP_PER_PARAMETER_TOKEN
    log_parameters = frontier.log_parameter_scale + frontier.parameter_share_exponent * scaled
    log_tokens = scaled - log_parameters
    return Optimum(log_parameters, log_tokens, chinchilla_loss(law, log_parameters, log_tokens))


def chinchilla_log_flop(law: Chinchilla, loss: ArrayLike) -> Array:
    """Return ln C of the cheapest run that reaches a loss; inf at or below the irreducible."""
    frontier = chinchilla_frontier(law)
    left = loss - jnp.asarray(law.irreducible_loss)
    reached = (frontier.log_constant - jnp.log(jnp.where(left > 0, left, 1))) / frontier.exponent
    return jnp.where(left > 0, reached, jnp.inf)
