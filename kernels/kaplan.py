"""Laws of training loss [nat/token] of Kaplan et al. (2020, arXiv 2001.08361), elementwise.

Natural logarithms of parameters N (without embeddings), tokens D, steps S and FLOP, as in
`scaling_laws`; the single bottlenecks L(N), L(D), L(C) and the fitted allocations are `Power`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .power_laws import Power, composed, crossing, log_value
from .scaling_laws import (
    LOG_FLOP_PER_PARAMETER_TOKEN,
    Chinchilla,
    Optimum,
    chinchilla_elasticities,
    chinchilla_log_flop,
    chinchilla_log_parameters,
    chinchilla_log_tokens,
    chinchilla_loss,
    chinchilla_optimum,
)


class KaplanData(NamedTuple):
    """loss = [(Nc / N)^(aN / aD) + Dc / D]^aD (eq. 1.5).

    log_parameter_scale, log_token_scale: ln Nc, ln Dc; parameter_exponent, token_exponent: aN, aD
    """

    log_parameter_scale: ArrayLike
    parameter_exponent: ArrayLike
    log_token_scale: ArrayLike
    token_exponent: ArrayLike


def _inner(law: KaplanData) -> Chinchilla:
    """Return the sum in the brackets: it has the form of Hoffmann et al. with beta = 1."""
    ratio = jnp.asarray(law.parameter_exponent) / law.token_exponent
    return Chinchilla(0.0, ratio * law.log_parameter_scale, ratio, law.log_token_scale, 1.0)


def _inner_value(law: KaplanData, loss: ArrayLike) -> Array:
    return jnp.exp(jnp.log(loss) / law.token_exponent)


def kaplan_loss(law: KaplanData, log_parameters: ArrayLike, log_tokens: ArrayLike) -> Array:
    """Return the loss [nat/token] of training on D tokens, stopped when test loss is least."""
    inner = chinchilla_loss(_inner(law), log_parameters, log_tokens)
    return jnp.exp(law.token_exponent * jnp.log(inner))


def kaplan_log_tokens(law: KaplanData, loss: ArrayLike, log_parameters: ArrayLike) -> Array:
    """Return ln D with which these parameters reach a loss; inf where they never do."""
    return chinchilla_log_tokens(_inner(law), _inner_value(law, loss), log_parameters)


def kaplan_log_parameters(law: KaplanData, loss: ArrayLike, log_tokens: ArrayLike) -> Array:
    """Return ln N that reaches a loss on these tokens; inf where none does."""
    return chinchilla_log_parameters(_inner(law), _inner_value(law, loss), log_tokens)


def kaplan_optimum(law: KaplanData, log_flop: ArrayLike) -> Optimum:
    """Return the run of least loss among those of C = 6 N D FLOP, in closed form.

    Not the allocation that the paper recommends, which comes from L(N, S) and is a `Power`.
    """
    best = chinchilla_optimum(_inner(law), log_flop)
    return best._replace(loss=jnp.exp(law.token_exponent * jnp.log(best.loss)))


def kaplan_log_flop(law: KaplanData, loss: ArrayLike) -> Array:
    """Return ln C of the cheapest run of C = 6 N D that reaches a loss."""
    return chinchilla_log_flop(_inner(law), _inner_value(law, loss))


def kaplan_elasticities(
    law: KaplanData, log_parameters: ArrayLike, log_tokens: ArrayLike
) -> tuple[Array, Array]:
    """Return -d ln(loss) / d ln N and -d ln(loss) / d ln D."""
    by_parameters, by_tokens = chinchilla_elasticities(_inner(law), log_parameters, log_tokens)
    return by_parameters * law.token_exponent, by_tokens * law.token_exponent


def log_parameters_with_embeddings(
    log_parameters: ArrayLike, log_constant: ArrayLike, exponent: ArrayLike
) -> Array:
    """Return ln of N + w N^e, all weights by those that Kaplan et al. count, from ln w and e.

    Pearce and Song (2024, arXiv 2406.12907).
    """
    embeddings = jnp.asarray(log_parameters) * exponent + log_constant
    return jnp.logaddexp(log_parameters, embeddings)


# --- steps and batch -----------------------------------------------------------------------------


def steps_law(
    log_parameter_scale: ArrayLike,
    parameter_exponent: ArrayLike,
    log_step_scale: ArrayLike,
    step_exponent: ArrayLike,
) -> Chinchilla:
    """Return L(N, S) = (Nc / N)^aN + (Sc / S)^aS (eq. 1.6) from ln Nc, aN, ln Sc, aS.

    It has the form of Hoffmann et al. without irreducible loss and with steps, at a batch far above
    the critical one, in the place of tokens: the functions of `Chinchilla` apply.
    """
    log_a = jnp.asarray(parameter_exponent) * log_parameter_scale
    log_b = jnp.asarray(step_exponent) * log_step_scale
    return Chinchilla(0.0, log_a, parameter_exponent, log_b, step_exponent)


def critical_batch(log_scale: ArrayLike, exponent: ArrayLike) -> Power:
    """Return the critical batch [token] = B* / loss^(1 / aB) as a power of loss (eq. 1.4)."""
    return Power(log_scale, -1 / jnp.asarray(exponent))


def log_minimum_steps(
    log_steps: ArrayLike, log_batch: ArrayLike, log_critical_batch: ArrayLike
) -> Array:
    """Return ln Smin, the steps at a very large batch that a run is worth: S / (1 + Bcrit / B)."""
    return -jnp.log1p(jnp.exp(jnp.asarray(log_critical_batch) - log_batch)) + log_steps


def log_minimum_work(
    log_work: ArrayLike, log_batch: ArrayLike, log_critical_batch: ArrayLike
) -> Array:
    """Return ln Cmin or ln Emin, FLOP or tokens at a very small batch: work / (1 + B / Bcrit)."""
    return -jnp.log1p(jnp.exp(jnp.asarray(log_batch) - log_critical_batch)) + log_work


def log_minimum_tokens(
    law: Chinchilla, batch: Power, loss: ArrayLike, log_parameters: ArrayLike
) -> Array:
    """Return ln Emin = ln(Smin Bcrit), the fewest tokens to reach a loss; inf where never.

    law: as of `steps_law`; batch: as of `critical_batch`
    """
    return chinchilla_log_tokens(law, loss, log_parameters) + log_value(batch, jnp.log(loss))


# --- compute-efficient training (appendix B) ------------------------------------------------------


def efficient_fraction(law: Chinchilla) -> Array:
    """Return f = aN / aS, how far above its converged loss the cheapest run stops."""
    return jnp.asarray(law.parameter_exponent) / law.data_exponent


def run_above_converged(
    law: Chinchilla, loss: ArrayLike, fraction: ArrayLike
) -> tuple[Array, Array]:
    """Return ln N and ln Smin of the run that reaches a loss a fraction above its converged one.

    law: as of `steps_law`; compute at equal loss is proportional to N Smin
    """
    log_converged = jnp.log(loss) - jnp.log1p(jnp.asarray(fraction))
    log_above = log_converged + jnp.log(fraction)
    log_parameters = jnp.asarray(law.log_parameter_constant) - log_converged
    log_steps = jnp.asarray(law.log_data_constant) - log_above
    return log_parameters / law.parameter_exponent, log_steps / law.data_exponent


def log_efficient_flop(law: Chinchilla, batch: Power, loss: ArrayLike) -> Array:
    """Return ln Cmin = ln(6 N Bcrit Smin) of the cheapest run that reaches a loss."""
    log_parameters, log_steps = run_above_converged(law, loss, efficient_fraction(law))
    log_batch = log_value(batch, jnp.log(loss))
    return LOG_FLOP_PER_PARAMETER_TOKEN + log_parameters + log_steps + log_batch


def compute_exponent(
    parameter_exponent: ArrayLike, step_exponent: ArrayLike, batch_exponent: ArrayLike
) -> Array:
    """Return aC = 1 / (1/aS + 1/aB + 1/aN), with which loss then falls with Cmin (appendix B)."""
    exponents = parameter_exponent, step_exponent, batch_exponent
    return 1 / sum((1 / jnp.asarray(each) for each in exponents), jnp.zeros(()))


def log_size_overhead(law: Chinchilla, log_size_ratio: ArrayLike) -> Array:
    """Return ln of the extra compute factor of N other than the efficient one (eq. B.16).

    log_size_ratio: ln(N / N efficient); inf where so small a model never reaches the loss
    """
    ratio = jnp.asarray(law.data_exponent) / law.parameter_exponent
    left = 1 - ratio * jnp.expm1(jnp.asarray(log_size_ratio) * -jnp.asarray(law.parameter_exponent))
    log_left = jnp.log(jnp.where(left > 0, left, 1))
    return jnp.where(left > 0, log_size_ratio - log_left / law.data_exponent, jnp.inf)


# --- the intersection (section 6.3) ---------------------------------------------------------------


class Intersection(NamedTuple):
    """Where data become the bottleneck: ln Cmin, ln N, ln D, and the loss [nat/token]."""

    log_flop: Array
    log_parameters: Array
    log_tokens: Array
    loss: Array


def intersection(
    loss_by_flop: Power, loss_by_tokens: Power, parameters_by_flop: Power, tokens_by_flop: Power
) -> Intersection:
    """Return where L(Cmin) meets L(D(Cmin)), in closed form.

    Compute-efficient training uses so few tokens that beyond this point its loss would be below
    what those tokens allow: the laws contradict each other, and data must grow faster.
    """
    log_flop = crossing(loss_by_flop, composed(loss_by_tokens, tokens_by_flop))
    return Intersection(
        log_flop,
        log_value(parameters_by_flop, log_flop),
        log_value(tokens_by_flop, log_flop),
        jnp.exp(log_value(loss_by_flop, log_flop)),
    )
