"""Guarded solvers of one unknown, elementwise, for use inside compiled programs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

_GOLDEN = (5**0.5 - 1) / 2


def _steps(low: Array) -> int:
    """Return how many halvings, or golden sections, leave no more than rounding of a bracket."""
    return int(jnp.finfo(low.dtype).nmant) + 12


def root(rising: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return where a rising function crosses zero in [low, high], by bisection.

    rising: elementwise. Where it is positive at ``low`` the answer is ``low``, where it is negative
    at ``high`` it is ``inf`` (never reached); NaN stays NaN.
    """
    low, high = jnp.broadcast_arrays(low, high)

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = bracket
        middle = 0.5 * (lower + upper)
        above = rising(middle) > 0
        return jnp.where(above, lower, middle), jnp.where(above, middle, upper)

    lower, upper = jax.lax.fori_loop(0, _steps(low), halve, (low, high))
    found = jnp.where(rising(high) < 0, jnp.inf, 0.5 * (lower + upper))
    return jnp.where(jnp.isnan(rising(low) + rising(high)), jnp.nan, found)


def minimum(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return where a function with one valley is least in [low, high], by golden section.

    function: elementwise; precise to about the square root of the rounding of its values, as any
    method that looks at values alone.
    """
    low, high = jnp.broadcast_arrays(low, high)

    def narrow(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        lower, upper = bracket
        left, right = upper - _GOLDEN * (upper - lower), lower + _GOLDEN * (upper - lower)
        falls = function(left) > function(right)
        return jnp.where(falls, left, lower), jnp.where(falls, upper, right)

    lower, upper = jax.lax.fori_loop(0, _steps(low), narrow, (low, high))
    return 0.5 * (lower + upper)
