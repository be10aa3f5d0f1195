"""Soft caps on paths in log10 units."""

import jax.numpy as jnp
from jax import Array

_LN_10 = 2.302585092994046


def soft_minimum(log10_values: Array, sharpness: Array) -> Array:
    """Return the soft minimum over the first axis: ``-log10(sum_i 10^(-s x_i)) / s``.

    ``sharpness`` s = 1 is the logistic saturation of Cotra (2020), ``x / (1 + x / max)`` in linear
    units; s -> inf is the hard minimum. Where n values meet, the result lies log10(n)/s OOM below
    them. Never above the smallest value, and increasing in each.
    """
    lowest = jnp.min(log10_values, axis=0)
    excess = jnp.exp(-sharpness * _LN_10 * (log10_values - lowest))
    return lowest - jnp.log(jnp.sum(excess, axis=0)) / (sharpness * _LN_10)
