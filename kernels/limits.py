"""Soft caps on paths in log10 units."""

from collections.abc import Sequence
from functools import reduce

import jax.numpy as jnp
from jax import Array

_LN_10 = 2.302585092994046


def soft_minimum(log10_values: Sequence[Array], sharpness: Array) -> Array:
    """Return the soft minimum of some values: ``-log10(sum_i 10^(-s x_i)) / s``.

    ``sharpness`` s = 1 is the logistic saturation of Cotra (2020), ``x / (1 + x / max)`` in linear
    units; s -> inf is the hard minimum. Where n values meet, the result lies log10(n)/s OOM below
    them. Never above the smallest value, and increasing in each. Soft minima nest: that of two
    soft minima is that of all their values.
    """
    # A sequence and not a stacked array: element by element, all of it compiles to one loop.
    lowest = reduce(jnp.minimum, log10_values)
    rate = sharpness * _LN_10
    if len(log10_values) == 2:  # of two exponentials one is 1
        parts = [jnp.exp(-rate * jnp.abs(log10_values[0] - log10_values[1])), jnp.ones_like(lowest)]
    else:
        parts = [jnp.exp(rate * (lowest - value)) for value in log10_values]
    excess = reduce(jnp.add, parts)
    return lowest - jnp.log(excess) * (1 / rate)
