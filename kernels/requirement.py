"""The requirement: a mixture of distributions of log10 FLOP, in closed form.

The weights sum to at most one; what is missing is the weight of "none of these", a milestone that
no amount of compute reaches this way.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import expit, log_ndtr, ndtr

from .elementary import erf

_ROOT_HALF = 0.5**0.5
KINDS = ("normal", "two_piece_normal", "uniform", "logistic")


@partial(jax.jit, static_argnames="kind")
def cumulative(kind: str, parameters: Sequence[Array], log10_flop: Array) -> Array:
    """Return P(requirement <= ``log10_flop``) of one distribution.

    parameters: (3,), by ``kind``: normal (mean, sd, -), two_piece_normal (median, sd below, sd
    above), uniform (low, high, -), logistic (median, scale, -), all in OOM.
    """
    first, second, third = parameters[0], parameters[1], parameters[2]
    if kind == "normal":
        return _normal((log10_flop - first) * (1 / second))
    if kind == "two_piece_normal":
        distance = log10_flop - first
        return _normal(distance * jnp.where(distance < 0, 1 / second, 1 / third))
    if kind == "uniform":
        return jnp.clip((log10_flop - first) / (second - first), 0, 1)
    if kind == "logistic":
        return expit((log10_flop - first) / second)
    raise ValueError(f"requirement kind: got {kind!r}, expected one of {KINDS}")


def _normal(z: Array) -> Array:
    """Return the normal distribution function, within a few roundings of 1.

    A quarter of the price of one that is exact far into the lower tail, which no mean needs.
    """
    return 0.5 + 0.5 * erf(z * _ROOT_HALF)


def mixture_cumulative(
    kinds: tuple[str, ...],
    weights: Array,
    parameters: Sequence[Sequence[Array]],
    log10_flop: Sequence[Array],
) -> Array:
    """Return P(requirement <= ...) of the mixture.

    weights: (component,), sum <= 1; parameters: of each component, 3; log10_flop: one array a
    component, the effective compute in the algorithms of its own reference year.
    """
    parts = [
        weights[k] * cumulative(kind, parameters[k], log10_flop[k]) for k, kind in enumerate(kinds)
    ]
    return sum(parts[1:], parts[0])


def quantile(kind: str, parameters: Sequence[Array], z: Array) -> Array:
    """Return the log10 requirement at the standard normal quantile ``z``.

    parameters: (3,), as in `cumulative`, of which this is the inverse.
    """
    first, second, third = parameters[0], parameters[1], parameters[2]
    if kind == "normal":
        return first + second * z
    if kind == "two_piece_normal":
        return first + z * jnp.where(z < 0, second, third)
    if kind == "uniform":
        return first + (second - first) * ndtr(z)
    if kind == "logistic":
        return first + second * (log_ndtr(z) - log_ndtr(-z))
    raise ValueError(f"requirement kind: got {kind!r}, expected one of {KINDS}")
