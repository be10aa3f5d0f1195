"""Elementary functions in float32: a forecast is made of little else.

XLA's look after special cases, in long chains of steps of which each waits for the one before: with
them a forecast takes a CPU a third longer. These are polynomials in Estrin's scheme, after
reduction by powers of two (Muller 2016, "Elementary Functions", chapters 3 and 11; coefficients of
minimax fits of our own). In other precisions they are JAX's. NaN stays NaN.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import bitcast_convert_type

Function = Callable[[Array], Array]

_LOG2_E = 1.4426950408889634
_LOG_2 = 0.6931471805599453
_ROOT_HALF = np.float32(0.5**0.5).view(np.int32)
# Lowest power first: of 2^f for |f| <= 1/2, of what log(1 + f) is beyond f - f^2 / 2, and of erf(x)
# as a ratio in x^2 up to where it is 1.
_EXP2 = (
    *(1, 0.6931471824646, 0.24022647738457, 0.055503323674202),
    *(0.0096184369176626, 0.0013398873852566, 1.5353361959570e-4),
)
_LOG1P = (
    0.333339095,
    -0.250013381,
    0.199630633,
    -0.165775850,
    0.149147674,
    -0.142674863,
    0.087004356,
)
_ERF_ABOVE = (1.12837899, 0.193183005, 0.0531085171, 0.00388441933, 2.87508650e-4, 2.02701176e-6)
_ERF_BELOW = (1, 0.504535615, 0.115251146, 0.0152046010, 0.00119141035, 3.79925259e-5)
_MOST_ERF = 3.93


def polynomial(coefficients: Sequence[float], x: Array) -> Array:
    """Return a polynomial from its coefficients, lowest power first (Estrin's scheme)."""
    parts: list[Any] = list(coefficients)
    while len(parts) > 1:
        pairs = [low + high * x for low, high in zip(parts[::2], parts[1::2], strict=False)]
        parts = pairs + parts[2 * len(pairs) :]
        x = x * x
    return jnp.asarray(parts[0])


def _with_derivative(jvp: Callable[[Array, Array, Array], Array]) -> Callable[[Function], Function]:
    """Return a decorator that gives a function its derivative; it is traced once and then reused.

    A forecast's program has a hundred calls, the tracing of which would take a second.
    jvp: (tangent, value, argument) -> tangent of the value
    """

    def decorated(function: Function) -> Function:
        differentiable = jax.custom_jvp(function)
        differentiable.defjvps(jvp)
        return jax.jit(differentiable)

    return decorated


@_with_derivative(lambda tangent, value, x: value * tangent)
def exp(x: Array) -> Array:
    """Return exp(x), off by (2 + |x|) 1e-7 of it; 0 below 2^-126.5, infinite from 2^127.5 on."""
    if x.dtype != jnp.float32:
        return jnp.exp(x)
    y = x * _LOG2_E
    y = jnp.where(y < -127, -127, jnp.where(y > 128, 128, y))
    whole = jnp.round(y)
    # The integer in the lowest bits of a float of 2^23, where no conversion has to mind NaN.
    bits = bitcast_convert_type(y + np.float32(1.5 * 2**23), jnp.int32)
    power = bitcast_convert_type((bits + 127) << 23, jnp.float32)
    return polynomial(_EXP2, y - whole) * power


@_with_derivative(lambda tangent, value, x: tangent / x)
def log(x: Array) -> Array:
    """Return log(x) of x >= 2^-126, off by 2e-7 of it; NaN where x is not above 0."""
    if x.dtype != jnp.float32:
        return jnp.log(x)
    bits = bitcast_convert_type(x, jnp.int32)
    power = (bits - _ROOT_HALF) >> 23
    f = bitcast_convert_type(bits - (power << 23), jnp.float32) - 1
    square = f * f
    tail = square * (f * polynomial(_LOG1P, f) - 0.5)
    return jnp.where(x > 0, power.astype(jnp.float32) * _LOG_2 + (f + tail), jnp.nan)


@_with_derivative(lambda tangent, value, x: 2 * np.pi**-0.5 * exp(-x * x) * tangent)
def erf(x: Array) -> Array:
    """Return erf(x), off by 4e-7."""
    if x.dtype != jnp.float32:
        return jax.lax.erf(x)
    x = jnp.where(x < -_MOST_ERF, -_MOST_ERF, jnp.where(x > _MOST_ERF, _MOST_ERF, x))
    square = x * x
    return x * polynomial(_ERF_ABOVE, square) / polynomial(_ERF_BELOW, square)
