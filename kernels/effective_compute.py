"""Effective compute of one draw: physical compute x algorithmic progress x post-training gains.

All functions are element by element in the years asked for. No path ever declines, since doubling
times are positive and soft minima increase in what they cap.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from .compute_growth import Trend, growth_oom_per_year, log10_trend
from .limits import soft_minimum, sum_of_soft_minima


class Gain(NamedTuple):
    """A multiplier of physical compute that is 1 in a reference year (one draw).

    doubling_time_years, long_run_doubling_time_years, slowdown_half_life_years: as in `Trend`
    ceiling_oom: the most it can ever give [OOM]
    """

    doubling_time_years: Array
    long_run_doubling_time_years: Array
    slowdown_half_life_years: Array
    ceiling_oom: Array


class ResourceLimit(NamedTuple):
    """The largest training run that a resource allows: power, chips, data, latency (one draw).

    log10_flop: in some year [log10 FLOP]; years_from_now: that year, seen from now
    doubling_time_years: of the limit, for good
    """

    log10_flop: Array
    doubling_time_years: Array
    years_from_now: Array


class World(NamedTuple):
    """One coherent world: everything that the path of effective compute depends on.

    training_compute:            Trend [log10 FLOP], the largest training run, extrapolated
    spending:                    Trend [log10 USD], on the largest training run
    price_performance:           Trend [log10 FLOP/USD]
    log10_price_performance_ceiling: [log10 FLOP/USD]
    gross_product:               Trend [log10 USD/yr], of the economy that pays
    log10_spending_share:        most of it that one training run can take [log10]
    resource_limits:             power, chips, data, latency
    algorithmic_progress:        one for each kind of algorithms that a requirement counts on
    post_training:               the same for all
    sharpness:                   of the soft caps
    """

    training_compute: Trend
    spending: Trend
    price_performance: Trend
    log10_price_performance_ceiling: Array
    gross_product: Trend
    log10_spending_share: Array
    resource_limits: tuple[ResourceLimit, ...]
    algorithmic_progress: tuple[Gain, ...]
    post_training: Gain
    sharpness: Array


def log10_physical_compute(world: World, years_from_now: Array, *, by_spending: bool) -> Array:
    """Return the largest training run [log10 FLOP], under money and resource limits.

    by_spending: take spending x price-performance for what is wanted, not the compute trend.
    """
    return soft_minimum(_bounds(world, years_from_now, by_spending=by_spending), world.sharpness)


def _bounds(world: World, years_from_now: Array, *, by_spending: bool) -> list[Array]:
    """Return what bounds the largest training run [log10 FLOP], itself extrapolated among them."""
    # What a dollar buys is the soft minimum of its trend and its ceiling, and soft minima nest.
    flop_per_usd = (
        log10_trend(world.price_performance, years_from_now),
        world.log10_price_performance_ceiling,
    )
    budget = log10_trend(world.gross_product, years_from_now) + world.log10_spending_share
    bounds = [budget + each for each in flop_per_usd]
    if by_spending:
        spent = log10_trend(world.spending, years_from_now)
        bounds += [spent + each for each in flop_per_usd]
    else:
        bounds.append(log10_trend(world.training_compute, years_from_now))
    for limit in world.resource_limits:
        growth = growth_oom_per_year(limit.doubling_time_years)
        bounds.append(limit.log10_flop + growth * (years_from_now - limit.years_from_now))
    return bounds


def gain_oom(
    gain: Gain, years_since_reference: Array, years_from_now: Array, sharpness: Array
) -> Array:
    """Return the gain since a reference year [OOM], under its ceiling.

    Up to now it is log-linear from the reference year; slowing starts now.
    """
    grown = _growth_from_now(gain, years_from_now)
    return soft_minimum(_capped(gain, grown, years_since_reference), sharpness)


def _growth_from_now(gain: Gain, years_from_now: Array) -> Array:
    return log10_trend(Trend(jnp.zeros_like(gain.ceiling_oom), *gain[:3]), years_from_now)


def _capped(gain: Gain, grown: Array, years_since_reference: Array) -> tuple[Array, Array]:
    """Return the gain since a reference year without its ceiling, and the ceiling [OOM]."""
    until_now = growth_oom_per_year(gain.doubling_time_years) * years_since_reference
    return until_now + grown, gain.ceiling_oom


def log10_effective_compute(
    world: World, years_since_reference: Array, years_from_now: Array, *, by_spending: bool
) -> tuple[Array, ...]:
    """Return E(t) for each kind of algorithms [log10 FLOP in algorithms of its reference year].

    E = physical compute + algorithmic progress + post-training gains since the reference year.
    years_since_reference: (path,), now minus the reference year of each
    """
    # Once for all kinds of algorithms that grow alike; XLA would compute it for each.
    bounds = _bounds(world, years_from_now, by_spending=by_spending)
    trained = _growth_from_now(world.post_training, years_from_now)
    grown = {id(g): _growth_from_now(g, years_from_now) for g in world.algorithmic_progress}

    def path(progress: Gain, since: Array) -> Array:
        made = _capped(progress, grown[id(progress)], since)
        return sum_of_soft_minima(
            (bounds, made, _capped(world.post_training, trained, since)), world.sharpness
        )

    return tuple(map(path, world.algorithmic_progress, years_since_reference))
