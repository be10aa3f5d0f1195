"""Log-linear trends that may slow: training compute, spending, price-performance, algorithms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .elementary import exp

_LOG_2 = 0.6931471805599453
_LOG10_2 = 0.3010299956639812


class Trend(NamedTuple):
    """A quantity that grows exponentially, ever more slowly (one draw).

    log10_level:                  log10 of the quantity now [log10 unit]
    doubling_time_years:          its doubling time now [yr]
    long_run_doubling_time_years: the doubling time it tends to [yr]
    slowdown_half_life_years:     time in which the excess growth halves [yr]
    """

    log10_level: Array
    doubling_time_years: Array
    long_run_doubling_time_years: Array
    slowdown_half_life_years: Array


def growth_oom_per_year(doubling_time_years: Array) -> Array:
    """Return the growth rate [OOM/yr] of a doubling time [yr]."""
    return _LOG10_2 / doubling_time_years


@jax.jit
def log10_trend(trend: Trend, elapsed_years: Array) -> Array:
    """Return log10 of the quantity ``elapsed_years`` [yr] from now; the past is log-linear.

    The growth rate is ``g(t) = g_inf + (g_0 - g_inf) 2^(-t/h)`` for t > 0, so that
    ``log10 x(t) = log10 x(0) + g_inf t + (g_0 - g_inf) h (1 - 2^(-t/h)) / ln 2``.
    """
    growth = growth_oom_per_year(trend.doubling_time_years)
    long_run = growth_oom_per_year(trend.long_run_doubling_time_years)
    ahead = jnp.maximum(elapsed_years, 0)
    rate = _LOG_2 / trend.slowdown_half_life_years
    excess = (growth - long_run) / rate
    past = jnp.minimum(elapsed_years, 0)
    slowed = excess * _one_minus_exp(ahead * rate)
    return trend.log10_level + long_run * ahead + slowed + growth * past


def _one_minus_exp(x: Array) -> Array:
    """Return 1 - exp(-x) for x >= 0, in float32 to 5e-7 of it, for less than ``expm1``."""
    if x.dtype != jnp.float32:
        return -jnp.expm1(-x)
    series = x * (1 - x * (1 / 2 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120)))))
    return jnp.where(x < 1 / 8, series, 1 - exp(-x))
