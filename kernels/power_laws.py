"""Power laws between positive quantities, in natural logarithms, elementwise.

A single bottleneck of training loss, a compute-optimal allocation, a critical batch and a number of
tokens that is enough are all of this form; constants and arguments broadcast.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .scaling_laws import LOG_FLOP_PER_PARAMETER_TOKEN, Optimum


class Power(NamedTuple):
    """y = exp(log_scale) x^exponent."""

    log_scale: ArrayLike
    exponent: ArrayLike


def bottleneck(log_constant: ArrayLike, exponent: ArrayLike) -> Power:
    """Return the power of loss = (X / x)^exponent, as Kaplan et al. 2020 write it, from ln X."""
    return Power(jnp.asarray(exponent) * log_constant, -jnp.asarray(exponent))


def rescaled(power: Power, log_unit: ArrayLike) -> Power:
    """Return a power of x for one that was written for x in another unit (1 unit = e^log_unit)."""
    return Power(jnp.asarray(power.log_scale) - power.exponent * log_unit, power.exponent)


def log_value(power: Power, log_x: ArrayLike) -> Array:
    """Return ln y."""
    return jnp.asarray(log_x) * power.exponent + power.log_scale


def log_argument(power: Power, log_y: ArrayLike) -> Array:
    """Return ln x, the inverse of `log_value`."""
    return (jnp.asarray(log_y) - power.log_scale) / power.exponent


def composed(outer: Power, inner: Power) -> Power:
    """Return the power of x that is the outer power of the inner power of x."""
    return Power(log_value(outer, inner.log_scale), jnp.asarray(outer.exponent) * inner.exponent)


def crossing(first: Power, second: Power) -> Array:
    """Return ln x where two powers are equal; not finite where they are parallel."""
    return (jnp.asarray(first.log_scale) - second.log_scale) / (
        jnp.asarray(second.exponent) - first.exponent
    )


def optimum_of_powers(parameters: Power, loss: Power, log_flop: ArrayLike) -> Optimum:
    """Return the run of a published allocation: N and loss as powers of C, D = C / (6 N).

    loss: Power(nan, nan) for an allocation that was published without one
    """
    log_parameters = log_value(parameters, log_flop)
    log_tokens = jnp.asarray(log_flop) - LOG_FLOP_PER_PARAMETER_TOKEN - log_parameters
    return Optimum(log_parameters, log_tokens, jnp.exp(log_value(loss, log_flop)))
