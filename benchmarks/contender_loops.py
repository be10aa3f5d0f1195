"""What one would write without this package, a draw at a time: numba and JAX.

As contenders.py, which holds what they have in common with NumPy and squigglepy.
"""

# ruff: noqa: NPY002 - numba has these, with a state for each thread
from collections.abc import Callable
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np
from aitimelines.forecast.config import Prior, Scenario
from aitimelines.priors.elicitation import location_scale

from .contenders import CHUNK, Counts, in_chunks, views, years_from_now
from .measure import NOW

_LOG10_2, _LOG_2 = float(np.log10(2)), float(np.log(2))


class Table(NamedTuple):
    """The scenario as arrays: (input,) of all that is uncertain, in the order of `numba_loop`."""

    location: np.ndarray
    scale: np.ndarray
    is_log: np.ndarray
    limit_years: np.ndarray  # from now to the year of each limit
    sharpness: float
    product_level: float
    product_age: float
    product_half_life: float


def table(scenario: Scenario) -> Table:
    """Return the scenario as arrays. Raises ``ValueError`` if other inputs are uncertain."""
    limits, product = scenario.limits, scenario.gross_product
    growth = ("doubling_time_years", "long_run_doubling_time_years", "slowdown_half_life_years")
    wanted: list[Prior] = []
    for section in (scenario.algorithmic_progress, scenario.post_training):
        wanted += [getattr(section, name) for name in (*growth, "ceiling_oom")]
    wanted.append(limits.log10_spending_share)
    for resource in limits.resources:
        wanted += [resource.log10_flop, resource.doubling_time_years]
    for section in (scenario.training_compute, scenario.price_performance):
        wanted += [getattr(section, name) for name in ("log10_level", *growth)]
    wanted += [scenario.price_performance.log10_ceiling]
    wanted += [product.doubling_time_years, product.long_run_doubling_time_years]
    if any(prior.interval is None or prior.uniform or prior.loguniform for prior in wanted):
        raise ValueError("scenario: expected all of these inputs normal or lognormal")
    location, scale, _, is_log = zip(*(location_scale(*p.interval) for p in wanted), strict=True)
    fixed = (limits.sharpness, product.log10_level, product.slowdown_half_life_years)
    if any(prior.interval for prior in fixed) or len(limits.resources) != 4:
        raise ValueError("scenario: expected four limits, their sharpness and the product fixed")
    sharpness, level, half_life = (prior.lowest for prior in fixed)
    return Table(
        *(np.array(column) for column in (location, scale, is_log)),
        np.array([resource.year - NOW for resource in limits.resources]),
        *(sharpness, level, NOW - product.level_year, half_life),
    )


def numba_program(scenario: Scenario, samples: int, seed: int) -> Counts:
    """Count with numba: a parallel loop over samples that stops at the first crossing."""
    block = 1024
    shape = (-(-samples // block), block)
    years, numbers = years_from_now(scenario), table(scenario)
    each, kept = numba_loop()(seed, shape, years, numbers, views(scenario))
    return Counts(each.sum(axis=0), int(kept.sum()))


@cache
def numba_path() -> Callable[..., float]:
    """Return the compiled function (inputs, year from now, since, numbers) -> effective compute."""
    import numba

    @numba.njit(fastmath=True, inline="always")
    def growth(years, now, long_run, half_life):
        rate = -_LOG_2 / half_life
        later = _LOG10_2 / long_run
        return later * years + (_LOG10_2 / now - later) * np.expm1(rate * years) / rate

    @numba.njit(fastmath=True)
    def effective_compute(x, t, since, numbers, bound):
        rate = numbers.sharpness * np.log(10.0)
        budget = numbers.product_level + _LOG10_2 / x[26] * numbers.product_age + x[8]
        budget += growth(t, x[26], x[27], numbers.product_half_life)
        bound[0] = x[17] + growth(t, x[18], x[19], x[20])
        bound[1] = budget + x[21] + growth(t, x[22], x[23], x[24])
        bound[2] = budget + x[25]
        for k in range(4):
            slope = _LOG10_2 / x[10 + 2 * k]
            bound[3 + k] = x[9 + 2 * k] + slope * (t - numbers.limit_years[k])
        lowest = bound.min()
        total = 0.0
        for k in range(7):
            total += np.exp(rate * (lowest - bound[k]))
        found = lowest - np.log(total) / rate
        for k in (0, 4):
            gain = _LOG10_2 / x[k] * since + growth(t, x[k], x[k + 1], x[k + 2])
            least = min(gain, x[k + 3])
            both = np.exp(rate * (least - gain)) + np.exp(rate * (least - x[k + 3]))
            found += least - np.log(both) / rate
        return found

    return effective_compute


@cache
def numba_loop() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return the compiled loop over blocks of samples."""
    import numba

    effective_compute = numba_path()

    @numba.njit(parallel=True, fastmath=True)
    def loop(seed, shape, years, numbers, requirement):
        weight, middle, below, above, since = requirement
        arrivals = np.zeros((shape[0], len(years)), np.int64)
        waiting = np.zeros(shape[0], np.int64)
        inputs = len(numbers.location)
        for b in numba.prange(shape[0]):
            np.random.seed((seed * 100003 + b) % 2**32)
            x, bound = np.empty(inputs), np.empty(7)
            for _ in range(shape[1]):
                u, view = np.random.random(), 0
                while view < len(weight) and u >= weight[view]:
                    u -= weight[view]
                    view += 1
                if view == len(weight):  # no amount of compute will do
                    waiting[b] += 1
                    continue
                z = np.random.standard_normal()
                required = middle[view] + z * (below[view] if z < 0 else above[view])
                for i in range(inputs):
                    x[i] = numbers.location[i] + numbers.scale[i] * np.random.standard_normal()
                    if numbers.is_log[i]:
                        x[i] = np.exp(x[i])
                year = 0
                while year < len(years):
                    if effective_compute(x, years[year], since[view], numbers, bound) >= required:
                        break
                    year += 1
                if year > 0:  # not by now
                    waiting[b] += 1
                    if year < len(years):
                        arrivals[b, year] += 1
        return arrivals, waiting

    return loop


def jax_program(scenario: Scenario, samples: int, seed: int) -> Counts:
    """Count with JAX: a function of one draw, `vmap`, and `jit`, in float32."""
    import jax

    of_chunk, key = jax_chunk(scenario), jax.random.key(seed)
    years, number = len(years_from_now(scenario)), iter(range(samples))

    def few(n: int) -> tuple[np.ndarray, int]:
        arrivals, waiting = of_chunk(jax.random.fold_in(key, next(number)), n)
        return np.asarray(arrivals), int(waiting)

    return in_chunks(few, years, samples, CHUNK)


@cache
def jax_chunk(scenario: Scenario) -> Callable[..., Any]:
    """Return the compiled function (key, samples) -> counts of some samples."""
    import jax
    import jax.numpy as jnp

    location, scale, is_log, limit_years, sharpness, *product = table(scenario)
    weight, middle, below, above, since = (np.append(column, 0) for column in views(scenario))
    weight[-1], middle[-1] = 1 - weight.sum(), np.inf
    weight, middle, below, above, since = map(jnp.asarray, (weight, middle, below, above, since))
    years = jnp.asarray(years_from_now(scenario), jnp.float32)

    def growth(now, long_run, half_life):
        transient = -jnp.expm1(-_LOG_2 / half_life * years) * half_life / _LOG_2
        return _LOG10_2 / long_run * years + (_LOG10_2 / now - _LOG10_2 / long_run) * transient

    def soft_minimum(values):
        # Four times faster than logsumexp over a stack of the values.
        lowest, rate = reduce(jnp.minimum, values), sharpness * np.log(10)
        return lowest - jnp.log(sum(jnp.exp(rate * (lowest - v)) for v in values)) / rate

    def effective_compute(x, since):
        level, age, half_life = product
        budget = level + _LOG10_2 / x[26] * age + growth(x[26], x[27], half_life) + x[8]
        hardware = soft_minimum([x[21] + growth(*x[22:25]), x[25]])
        bounds = [x[17] + growth(*x[18:21]), budget + hardware]
        for k, year in enumerate(limit_years):
            bounds.append(x[9 + 2 * k] + _LOG10_2 / x[10 + 2 * k] * (years - year))
        gains = [
            soft_minimum([_LOG10_2 / own[0] * since + growth(*own[:3]), own[3]])
            for own in (x[0:4], x[4:8])
        ]
        return soft_minimum(bounds) + sum(gains)

    def crossed(normals, view):
        x = location + scale * normals[1:]
        x = jnp.where(is_log, jnp.exp(x), x)
        spread = jnp.where(normals[0] < 0, below[view], above[view])
        return effective_compute(x, since[view]) >= middle[view] + normals[0] * spread

    def counts(key, n):
        of_normals, of_view = jax.random.split(key)
        normals = jax.random.normal(of_normals, (n, 1 + len(location)))
        view = jax.random.choice(of_view, len(weight), (n,), p=weight)
        reached = jax.vmap(crossed)(normals, view)
        waiting = ~reached[:, 0]
        arrives = waiting & reached[:, -1]
        first = jnp.where(arrives, jnp.argmax(reached, axis=1), len(years))
        return jnp.bincount(first, length=len(years) + 1)[:-1], waiting.sum()

    return jax.jit(counts, static_argnums=1)
