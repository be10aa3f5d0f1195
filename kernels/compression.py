"""Training loss of models of few bits and of sparse models, elementwise, natural logarithms.

Kumar et al. (2024, arXiv 2411.04330) for precision, Frantar et al. (2023, arXiv 2309.08520) for
sparsity. Trained at low precision or sparse, a model is a `Chinchilla` law with another A, so that
every function of that law applies; quantisation after training adds a loss that grows with tokens.
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
    chinchilla_loss,
    chinchilla_reducible,
    elasticities,
)
from .solve import root

_MOST_LOG = 120.0  # e^120 FLOP, parameters or tokens: never


class Quantisation(NamedTuple):
    """delta = C_T D^gD / N^gN exp(-bits / g), what quantising the weights after training costs.

    log_scale: ln C_T; data_exponent, parameter_exponent: gD, gN; bit_scale: g [bit]
    """

    log_scale: ArrayLike
    data_exponent: ArrayLike
    parameter_exponent: ArrayLike
    bit_scale: ArrayLike


def log_effective_share(bits: ArrayLike, bit_scale: ArrayLike) -> Array:
    """Return ln(N_eff / N) = ln(1 - exp(-bits / g)) of one kind of numbers in training.

    Shares of weights, activations and cache multiply. The bias terms of the paper's table are for
    another parametrisation and are not used.
    """
    return jnp.log(-jnp.expm1(-jnp.asarray(bits) / bit_scale))


def with_parameter_share(law: Chinchilla, log_share: ArrayLike) -> Chinchilla:
    """Return the law of models whose parameters count for a share of their number."""
    log_a = law.log_parameter_constant - jnp.asarray(law.parameter_exponent) * log_share
    return law._replace(log_parameter_constant=log_a)


def log_training_flop_at_bits(
    log_parameters: ArrayLike, log_tokens: ArrayLike, bits: ArrayLike
) -> Array:
    """Return ln of the FLOP of 16 bits that training with fewer costs: 6 N D bits / 16."""
    flop = LOG_FLOP_PER_PARAMETER_TOKEN + jnp.asarray(log_parameters) + log_tokens
    return flop + jnp.log(jnp.asarray(bits) / 16)


@jax.jit
def optimal_training_bits(bit_scales: tuple[ArrayLike, ...]) -> Array:
    """Return the bits, the same for several kinds of numbers, that maximise N_eff / N a bit.

    At a cost of 6 N D bits / 16 they are compute-optimal at any budget. For one kind alone every
    bit fewer pays, and the answer is the least that is tried, 0.001.
    """
    scales = jnp.broadcast_arrays(*(jnp.asarray(x, jnp.result_type(float)) for x in bit_scales))

    def too_many(bits: Array) -> Array:
        # The sum of x / (e^x - 1) over kinds, with x = bits / scale, falls from their number to 0.
        return 1 - sum((bits / each / jnp.expm1(bits / each) for each in scales), jnp.zeros(()))

    return root(too_many, jnp.full_like(scales[0], 1e-3), jnp.full_like(scales[0], 64.0))


def quantisation_loss(
    law: Quantisation, log_parameters: ArrayLike, log_tokens: ArrayLike, bits: ArrayLike
) -> Array:
    """Return delta, the loss [nat/token] that quantising to so many bits adds."""
    by_data = law.data_exponent * jnp.asarray(log_tokens)
    by_parameters = law.parameter_exponent * jnp.asarray(log_parameters)
    by_bits = jnp.asarray(bits) / law.bit_scale
    return jnp.exp(law.log_scale + by_data - by_parameters - by_bits)


def quantised_loss(
    chinchilla: Chinchilla,
    law: Quantisation,
    log_parameters: ArrayLike,
    log_tokens: ArrayLike,
    bits: ArrayLike,
) -> Array:
    """Return the loss [nat/token] of a model quantised after training; inf bits: not at all."""
    added = quantisation_loss(law, log_parameters, log_tokens, bits)
    return chinchilla_loss(chinchilla, log_parameters, log_tokens) + added


@jax.jit
def quantised_elasticities(
    chinchilla: Chinchilla,
    law: Quantisation,
    log_parameters: ArrayLike,
    log_tokens: ArrayLike,
    bits: ArrayLike,
) -> tuple[Array, Array]:
    """Return -d ln(loss) / d ln N and -d ln(loss) / d ln D; the latter is negative past D_crit."""
    return elasticities(
        lambda n, d: quantised_loss(chinchilla, law, n, d, bits), log_parameters, log_tokens
    )


def log_critical_tokens(
    chinchilla: Chinchilla, law: Quantisation, log_parameters: ArrayLike, bits: ArrayLike
) -> Array:
    """Return ln D_crit, beyond which more tokens raise the loss of the quantised model."""
    beta = jnp.asarray(chinchilla.data_exponent)
    falls = jnp.log(beta) + chinchilla.log_data_constant
    rises = jnp.log(law.data_exponent) + law.log_scale - jnp.asarray(bits) / law.bit_scale
    rises = rises - law.parameter_exponent * jnp.asarray(log_parameters)
    return (falls - rises) / (beta + law.data_exponent)


@jax.jit
def quantised_log_tokens(
    chinchilla: Chinchilla,
    law: Quantisation,
    loss: ArrayLike,
    log_parameters: ArrayLike,
    bits: ArrayLike,
) -> Array:
    """Return ln of the fewest tokens for a loss of the quantised model; inf where never."""
    critical = log_critical_tokens(chinchilla, law, log_parameters, bits)
    target, high = jnp.broadcast_arrays(jnp.asarray(loss), jnp.minimum(critical, _MOST_LOG))
    return root(
        lambda log_d: target - quantised_loss(chinchilla, law, log_parameters, log_d, bits),
        jnp.zeros_like(high),
        high,
    )


@jax.jit
def quantised_optimum(
    chinchilla: Chinchilla, law: Quantisation, log_flop: ArrayLike, bits: ArrayLike
) -> Optimum:
    """Return the run of C = 6 N D FLOP whose quantised model has the least loss.

    All parts of the loss are exponentials in ln N at fixed C, so that it has one valley.
    """
    leaves = (*chinchilla, *law, bits)
    scaled = jnp.broadcast_arrays(jnp.asarray(log_flop), *leaves)[0] - LOG_FLOP_PER_PARAMETER_TOKEN

    def imbalance(log_parameters: Array) -> Array:
        log_tokens = scaled - log_parameters
        by_parameters, by_data = chinchilla_reducible(chinchilla, log_parameters, log_tokens)
        added = quantisation_loss(law, log_parameters, log_tokens, bits)
        falls = chinchilla.parameter_exponent * by_parameters
        falls = falls + (law.parameter_exponent + jnp.asarray(law.data_exponent)) * added
        return jnp.log(chinchilla.data_exponent * by_data) - jnp.log(falls)

    log_parameters = root(imbalance, jnp.zeros_like(scaled), scaled)
    log_tokens = scaled - log_parameters
    loss = quantised_loss(chinchilla, law, log_parameters, log_tokens, bits)
    return Optimum(log_parameters, log_tokens, loss)


@jax.jit
def quantised_log_flop(
    chinchilla: Chinchilla, law: Quantisation, loss: ArrayLike, bits: ArrayLike
) -> Array:
    """Return ln C of the cheapest run whose quantised model reaches a loss; inf where none does.

    A bisection of optima, some 4000 evaluations of the law a value.
    """
    leaves = (*chinchilla, *law, bits)
    target = jnp.broadcast_arrays(jnp.asarray(loss), *leaves)[0]
    return root(
        lambda log_flop: target - quantised_optimum(chinchilla, law, log_flop, bits).loss,
        jnp.full_like(target, LOG_FLOP_PER_PARAMETER_TOKEN),
        jnp.full_like(target, _MOST_LOG),
    )


# --- sparsity -------------------------------------------------------------------------------------


class Sparsity(NamedTuple):
    """loss = (aS (1 - S)^bS + cS) / N^bN + B / D^bD + c, with N the weights that are not zero.

    log_sparse_scale, log_dense_scale: ln aS, ln cS; sparsity_exponent, parameter_exponent,
    data_exponent: bS, bN, bD; log_data_constant: ln B = bD ln aD; irreducible_loss: c
    """

    log_sparse_scale: ArrayLike
    sparsity_exponent: ArrayLike
    log_dense_scale: ArrayLike
    parameter_exponent: ArrayLike
    log_data_constant: ArrayLike
    data_exponent: ArrayLike
    irreducible_loss: ArrayLike


def sparse_chinchilla(law: Sparsity, sparsity: ArrayLike) -> Chinchilla:
    """Return the law of models of one sparsity, the share of weights that are zero, in [0, 1)."""
    thinned = law.log_sparse_scale + law.sparsity_exponent * jnp.log1p(-jnp.asarray(sparsity))
    return Chinchilla(
        law.irreducible_loss,
        jnp.logaddexp(thinned, law.log_dense_scale),
        law.parameter_exponent,
        law.log_data_constant,
        law.data_exponent,
    )


def log_dense_equivalent(law: Sparsity, sparsity: ArrayLike) -> Array:
    """Return ln of the factor by which a dense model of equal loss has more weights."""
    dense = jnp.asarray(sparse_chinchilla(law, 0.0).log_parameter_constant)
    sparse = sparse_chinchilla(law, sparsity).log_parameter_constant
    return (dense - sparse) / law.parameter_exponent
