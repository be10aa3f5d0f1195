"""Soft caps on paths in log10 units."""

from collections.abc import Sequence
from functools import reduce

import jax.numpy as jnp
from jax import Array

from .elementary import exp, log

_LN_10 = 2.302585092994046


def soft_minimum(log10_values: Sequence[Array], sharpness: Array) -> Array:
    """Return the soft minimum of some values: ``-log10(sum_i 10^(-s x_i)) / s``.

    ``sharpness`` s = 1 is the logistic saturation of Cotra (2020), ``x / (1 + x / max)`` in linear
    units; s -> inf is the hard minimum. Where n values meet, the result lies log10(n)/s OOM below
    them. Never above the smallest value, and increasing in each. Soft minima nest: that of two
    soft minima is that of all their values.
    """
    return sum_of_soft_minima((log10_values,), sharpness)


def sum_of_soft_minima(groups: Sequence[Sequence[Array]], sharpness: Array) -> Array:
    """Return the sum of the soft minima of some groups of values, for one logarithm in all."""
    # Sequences and not stacked arrays: element by element, all of it compiles to one loop.
    lowest = [reduce(_smaller, values) for values in groups]
    rate = sharpness * _LN_10
    excess = [_excess(*each, rate) for each in zip(groups, lowest, strict=True)]
    return reduce(jnp.add, lowest) - log(reduce(jnp.multiply, excess)) * (1 / rate)


def _excess(log10_values: Sequence[Array], lowest: Array, rate: Array) -> Array:
    """Return the sum of exp(-rate (x_i - lowest)), between 1 and the number of values."""
    if len(log10_values) == 2:  # of two exponentials one is 1
        return 1 + exp(-rate * jnp.abs(log10_values[0] - log10_values[1]))
    return reduce(jnp.add, [exp(rate * (lowest - value)) for value in log10_values])


def _smaller(a: Array, b: Array) -> Array:
    """Return the smaller of two: one instruction, where ``minimum`` takes five to look for NaN."""
    return jnp.where(a < b, a, b)
