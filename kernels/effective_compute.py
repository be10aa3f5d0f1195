"""Effective compute of one draw: physical compute x algorithmic progress x post-training gains."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from .compute_growth import Trend, log10_trend
from .limits import soft_minimum


class Gain(NamedTuple):
    """A multiplier of physical compute that starts at 1 in a reference year (one draw).

    doubling_time_years, long_run_doubling_time_years, slowdown_half_life_years: as in `Trend`
    ceiling_oom: the most it can ever give [OOM]
    Leaves have shape (path,): one for each reference year (and progress) that is asked for.
    """

    doubling_time_years: Array
    long_run_doubling_time_years: Array
    slowdown_half_life_years: Array
    ceiling_oom: Array


class World(NamedTuple):
    """One coherent world: everything that the path of effective compute depends on.

    training_compute:            Trend [log10 FLOP], the largest training run, extrapolated
    spending:                    Trend [log10 USD], on the largest training run
    price_performance:           Trend [log10 FLOP/USD]
    log10_price_performance_ceiling: [log10 FLOP/USD]
    gross_product:               Trend [log10 USD/yr], of the economy that pays
    log10_spending_share:        most of it that one training run can take [log10]
    resource_limits:             Trend, leaves (limit,) [log10 FLOP] (power, chips, data, latency)
    limit_years_from_now:        (limit,), when each of these levels holds [yr from now]
    algorithmic_progress:        Gain, leaves (path,)
    post_training:               Gain, leaves (path,)
    years_since_reference:       (path,), now minus the year of the requirement's algorithms
    sharpness:                   of the soft caps
    """

    training_compute: Trend
    spending: Trend
    price_performance: Trend
    log10_price_performance_ceiling: Array
    gross_product: Trend
    log10_spending_share: Array
    resource_limits: Trend
    limit_years_from_now: Array
    algorithmic_progress: Gain
    post_training: Gain
    years_since_reference: Array
    sharpness: Array


def log10_flop_per_usd(world: World, years_from_now: Array) -> Array:
    """Return the FLOP that a dollar buys, (year,) [log10 FLOP/USD]."""
    trend = log10_trend(world.price_performance, years_from_now)
    ceiling = jnp.broadcast_to(world.log10_price_performance_ceiling, trend.shape)
    return soft_minimum(jnp.stack([trend, ceiling]), world.sharpness)


def log10_physical_compute(world: World, years_from_now: Array, *, by_spending: bool) -> Array:
    """Return the largest training run, (year,) [log10 FLOP], under money and resource limits.

    by_spending: take spending x price-performance for what is wanted, not the compute trend.
    """
    flop_per_usd = log10_flop_per_usd(world, years_from_now)
    product = log10_trend(world.gross_product, years_from_now)
    affordable = product + world.log10_spending_share + flop_per_usd
    if by_spending:
        wanted = log10_trend(world.spending, years_from_now) + flop_per_usd
    else:
        wanted = log10_trend(world.training_compute, years_from_now)
    limits = log10_trend(
        Trend(*(leaf[:, None] for leaf in world.resource_limits)),
        years_from_now[None, :] - world.limit_years_from_now[:, None],
    )
    return soft_minimum(jnp.concatenate([jnp.stack([wanted, affordable]), limits]), world.sharpness)


def gain_oom(
    gain: Gain, years_since_reference: Array, years_from_now: Array, sharpness: Array
) -> Array:
    """Return the gain since each reference year, (path, year) [OOM], under its ceiling."""
    column = Gain(*(leaf[:, None] for leaf in gain))
    trend = Trend(jnp.zeros_like(column.ceiling_oom), *column[:3])
    # Up to now the gain is log-linear from the reference year; slowing starts now.
    until_now = log10_trend(trend, -years_since_reference[:, None])
    raw = log10_trend(trend, years_from_now[None, :]) - until_now
    ceiling = jnp.broadcast_to(column.ceiling_oom, raw.shape)
    return soft_minimum(jnp.stack([raw, ceiling]), sharpness)


def log10_effective_compute(world: World, years_from_now: Array, *, by_spending: bool) -> Array:
    """Return E(t), (path, year) [log10 FLOP in the algorithms of the reference year].

    E = physical compute + algorithmic progress + post-training gains since each reference year.
    """
    physical = log10_physical_compute(world, years_from_now, by_spending=by_spending)
    since = world.years_since_reference
    algorithms = gain_oom(world.algorithmic_progress, since, years_from_now, world.sharpness)
    post_training = gain_oom(world.post_training, since, years_from_now, world.sharpness)
    return physical + algorithms + post_training
