"""The best model that fits where it is served: small and long-trained, or large and compressed.

Within a training budget and a serving envelope, a recipe trains N dense parameters on D tokens,
6 N D FLOP, sets a share of the weights to zero and rounds the others to so many bits. Elementwise,
natural logarithms, as in ``scaling_laws``.

Three assumptions, none measured together: pruned weights are trained as long as the others (what
pruning during training would save is not counted); a sparse model is worth its dense equivalent of
Frantar et al. (2023) by any law; quantisation after training costs a sparse model what it costs a
dense one with as many weights (Kumar et al. 2024).
"""

from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .compression import (
    Quantisation,
    Sparsity,
    log_critical_tokens,
    log_dense_equivalent,
    quantised_loss,
    quantised_optimum,
    with_parameter_share,
)
from .scaling_laws import LOG_FLOP_PER_PARAMETER_TOKEN, Chinchilla

_LOG_2, _LOG_8 = log(2), log(8)


class Laws(NamedTuple):
    """What training buys, and what rounding and pruning cost."""

    training: Chinchilla
    quantisation: Quantisation
    sparsity: Sparsity


class Recipe(NamedTuple):
    """A model to serve: ln of dense parameters trained and of tokens, and its loss [nat/token].

    bits: of each weight that is not zero; sparsity: the share that is, in [0, 1)
    """

    log_parameters: Array
    log_tokens: Array
    loss: Array
    bits: Array
    sparsity: Array


def log_parameters_in_memory(log_bytes: ArrayLike, bits: ArrayLike, sparsity: ArrayLike) -> Array:
    """Return ln of the dense parameters whose compressed weights fill the memory.

    A sparse model also stores which weights are zero, one bit for each.
    """
    zero = jnp.asarray(sparsity)
    bits_each = (1 - zero) * bits + (zero > 0)
    return _LOG_8 + jnp.asarray(log_bytes) - jnp.log(bits_each)


def log_parameters_in_flop(log_flop_a_token: ArrayLike, sparsity: ArrayLike) -> Array:
    """Return ln of the dense parameters served with so many FLOP a token: 2 N (1 - S)."""
    return jnp.asarray(log_flop_a_token) - _LOG_2 - jnp.log1p(-jnp.asarray(sparsity))


def recipe(
    laws: Laws, log_flop: ArrayLike, log_limit: ArrayLike, bits: ArrayLike, sparsity: ArrayLike
) -> Recipe:
    """Return the best model of one compression: N of least loss among those up to a limit.

    log_limit: ln of the dense parameters that the envelope admits. What the best N does not fill
    stays unfilled; what would go into tokens that harm the rounded model stays unspent.
    """
    kept = jnp.log1p(-jnp.asarray(sparsity))
    worth = log_dense_equivalent(laws.sparsity, sparsity) + kept
    training = with_parameter_share(laws.training, worth)
    # Kumar's law in the dense N: it counts the weights that are left.
    fewer = laws.quantisation.log_scale - laws.quantisation.parameter_exponent * kept
    rounding = laws.quantisation._replace(log_scale=fewer)
    # One valley in ln N, so that the best within the limit is the limit or the best of all; only
    # at the limit can there be too many tokens, as elsewhere they would go into parameters.
    size = jnp.minimum(quantised_optimum(training, rounding, log_flop, bits)[0], log_limit)
    tokens = log_flop - LOG_FLOP_PER_PARAMETER_TOKEN - size
    tokens = jnp.minimum(tokens, log_critical_tokens(training, rounding, size, bits))
    loss = quantised_loss(training, rounding, size, tokens, bits)
    shape = loss.shape
    return Recipe(
        size,
        tokens,
        loss,
        jnp.broadcast_to(jnp.asarray(bits, loss.dtype), shape),
        jnp.broadcast_to(jnp.asarray(sparsity, loss.dtype), shape),
    )


def best_recipe(
    laws: Laws, log_flop: ArrayLike, log_limits: Array, bits: Array, sparsities: Array
) -> Recipe:
    """Return the recipe of least loss among some compressions; of equal ones the first.

    log_limits: (option, ...); bits, sparsities: (option,). One option after the other, so that
    memory does not grow with their number.
    """

    def better(best: Recipe, option: tuple[Array, Array, Array]) -> tuple[Recipe, None]:
        new = recipe(laws, log_flop, *option)
        chosen = new.loss < best.loss
        return Recipe(*(jnp.where(chosen, n, b) for n, b in zip(new, best, strict=True))), None

    first = recipe(laws, log_flop, log_limits[0], bits[0], sparsities[0])
    rest = (log_limits[1:], bits[1:], sparsities[1:])
    return jax.lax.scan(better, first, rest)[0]


def compression_gain(
    laws: Laws, log_flop: ArrayLike, log_limits: Array, bits: Array, sparsities: Array
) -> Array:
    """Return the loss [nat/token] saved by the best compression over the first option.

    With the dense model of 16 bits first, the share of draws where it is not positive is
    P(overtrained and small wins).
    """
    plain = recipe(laws, log_flop, log_limits[0], bits[0], sparsities[0])
    best = best_recipe(laws, log_flop, log_limits[1:], bits[1:], sparsities[1:])
    return plain.loss - best.loss
