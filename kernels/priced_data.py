"""Models that must learn from data of their own: what it costs, and who shares the pre-training.

Elementwise; arguments and results are natural logarithms, as in ``scaling_laws``.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .scaling_laws import (
    LOG_FLOP_PER_PARAMETER_TOKEN,
    Chinchilla,
    chinchilla_elasticities,
    chinchilla_log_flop,
    chinchilla_log_parameters,
    chinchilla_log_tokens,
    chinchilla_optimum,
    log_training_flop,
)
from .solve import root
from .training_economics import log_serving_flop

_WIDEST = 100.0  # how far above the smallest possible ln N a larger model is looked for


class Learning(NamedTuple):
    """What a deployed model has to learn: a loss on new data, at a price.

    law, loss: with N parameters it needs the D_new tokens that reach ``loss`` by ``law``
    log_price: ln of the price of a new token [FLOP of training]
    """

    law: Chinchilla
    loss: ArrayLike
    log_price: ArrayLike


def _log_elasticity_ratio(law: Chinchilla, log_parameters: Array, log_tokens: Array) -> Array:
    """Return ln(-d ln D / d ln N) at constant loss."""
    by_parameters, by_tokens = chinchilla_elasticities(law, log_parameters, log_tokens)
    return jnp.log(by_parameters) - jnp.log(by_tokens)


def log_largest_parameters(law: Chinchilla, loss: ArrayLike, log_flop: ArrayLike) -> Array:
    """Return ln N of the largest run of 6 N D FLOP that reaches a loss; NaN if none does."""
    smallest = chinchilla_log_flop(law, loss)
    low = chinchilla_optimum(law, smallest).log_parameters
    # However large N, D is at least what an infinite model needs.
    high = log_flop - LOG_FLOP_PER_PARAMETER_TOKEN - chinchilla_log_tokens(law, loss, jnp.inf)
    found = root(
        lambda size: log_training_flop(size, chinchilla_log_tokens(law, loss, size)) - log_flop,
        low,
        jnp.maximum(high, low),
    )
    return jnp.where(smallest <= log_flop, jnp.where(jnp.isposinf(high), high, found), jnp.nan)


def log_parameters_of_learner(
    law: Chinchilla, loss: ArrayLike, log_tokens_served: ArrayLike, learning: Learning
) -> Array:
    """Return ln N of least 6 N D + 2 N D_inf + price x D_new, at a fixed training loss.

    A larger model costs more to train and to serve, and learns from less. All three terms are
    convex in ln N, so that their slope crosses zero once, in a bracket that opens where one of the
    losses stops being reachable. inf where a loss is never reached; bound N by a training budget
    with ``log_largest_parameters``.
    """
    free = jnp.isneginf(jnp.asarray(learning.log_price))
    new_floor = chinchilla_log_parameters(learning.law, learning.loss, jnp.inf)
    floor = chinchilla_log_parameters(law, loss, jnp.inf)
    low = jnp.maximum(floor, jnp.where(free, floor, new_floor))

    def slope(size: Array) -> Array:
        tokens = chinchilla_log_tokens(law, loss, size)
        new_tokens = chinchilla_log_tokens(learning.law, learning.loss, size)
        ratio = _log_elasticity_ratio(law, size, tokens)
        new_ratio = _log_elasticity_ratio(learning.law, size, new_tokens)
        training = log_training_flop(size, tokens)
        new = jnp.where(free, -jnp.inf, learning.log_price + new_tokens + new_ratio)
        paid = jnp.logaddexp(training, log_serving_flop(size, log_tokens_served))
        # Where a loss is out of reach both sides are infinite: N is too small.
        possible = jnp.isfinite(tokens) & (free | jnp.isfinite(new_tokens))
        return jnp.where(possible, paid - jnp.logaddexp(training + ratio, new), -jnp.inf)

    finite = jnp.isfinite(low)
    found = root(slope, jnp.where(finite, low, 0), jnp.where(finite, low, 0) + _WIDEST)
    return jnp.where(finite, found, jnp.inf)


def log_price_threshold(
    law: Chinchilla,
    loss: ArrayLike,
    log_tokens_served: ArrayLike,
    new_law: Chinchilla,
    new_loss: ArrayLike,
) -> Array:
    """Return ln of the price of new data [FLOP/token] above which N is best above compute-optimal.

    Where the slopes of serving and of learning cancel at the compute-optimal N: price = 2 N D_inf /
    (D_new x elasticity of D_new in 1 / N). -inf where that N cannot reach ``new_loss`` at all.
    """
    size = chinchilla_optimum(law, chinchilla_log_flop(law, loss)).log_parameters
    new_tokens = chinchilla_log_tokens(new_law, new_loss, size)
    learnt = new_tokens + _log_elasticity_ratio(new_law, size, new_tokens)
    served = log_serving_flop(size, log_tokens_served)
    return jnp.where(jnp.isfinite(new_tokens), served - learnt, -jnp.inf)


def log_cost_a_task(
    log_pretraining_flop: ArrayLike, log_tuning_flop: ArrayLike, tasks: ArrayLike
) -> Array:
    """Return ln of the FLOP a task costs where so many share the pre-training."""
    shared = jnp.asarray(log_pretraining_flop) - jnp.log(jnp.asarray(tasks))
    return jnp.logaddexp(shared, log_tuning_flop)


def log_tasks_to_break_even(
    log_pretraining_flop: ArrayLike, log_tuning_flop: ArrayLike, log_scratch_flop: ArrayLike
) -> Array:
    """Return ln K* of the tasks beyond which tuning is cheaper a task than training from scratch.

    K* = C_pre / (C_scratch - C_tune); inf where tuning alone costs no less than training.
    """
    part = jnp.exp(jnp.asarray(log_tuning_flop) - log_scratch_flop)
    saved = jnp.log1p(-jnp.where(part < 1, part, 0))
    fewest = log_pretraining_flop - (jnp.asarray(log_scratch_flop) + saved)
    return jnp.where(part < 1, fewest, jnp.inf)
