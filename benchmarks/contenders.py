"""What one would write without this package, for the scenario of `measure.without_fits`.

Four plain Monte Carlo programs for P(arrival by a year, given not yet): NumPy and squigglepy, and
in contender_loops.py numba and JAX. All draw every uncertain input and the requirement, follow effective compute over the
years, drop samples that have arrived by now and count first crossings. They share no code with the
package beyond the scenario and the meaning of its priors.

Each is a function (scenario, samples, seed) -> `Counts`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from aitimelines.forecast.config import Prior, Scenario
from aitimelines.priors.elicitation import location_scale

from .measure import NOW

CHUNK = 2**13  # samples at a time: the fastest of 2^10 to 2^18
_LOG10_2 = float(np.log10(2))


class Counts(NamedTuple):
    """Samples that arrive in each year, (year,), and all that have not arrived by now."""

    arrivals: np.ndarray
    waiting: int

    def cdf(self) -> np.ndarray:
        """Return P(arrival by a year, given not yet), (year,)."""
        return np.cumsum(self.arrivals) / self.waiting


Program = Callable[[Scenario, int, int], Counts]


def years_from_now(scenario: Scenario) -> np.ndarray:
    """Return the years asked for: now, then the turn of every year [years from now]."""
    return np.append(0.0, np.arange(np.floor(NOW) + 1, scenario.horizon_year + 1) - NOW)


def in_chunks(
    few: Callable[[int], tuple[np.ndarray, int]], years: int, samples: int, chunk: int
) -> Counts:
    """Return the counts of many samples, ``chunk`` at a time; few: samples -> counts."""
    arrivals, waiting = np.zeros(years, dtype=np.int64), 0
    for start in range(0, samples, chunk):
        more, kept = few(min(chunk, samples - start))
        arrivals, waiting = arrivals + more, waiting + int(kept)
    return Counts(arrivals, waiting)


# NumPy and squigglepy: a matrix of samples x years


class Sampler(NamedTuple):
    """Where random numbers come from: (prior, n), n, (weights, n) -> (n,)."""

    number: Callable[[Prior, int], np.ndarray]
    normal: Callable[[int], np.ndarray]
    choice: Callable[[list[float], int], np.ndarray]


def numpy_program(scenario: Scenario, samples: int, seed: int) -> Counts:
    """Count with NumPy, in float64."""
    rng = np.random.default_rng(seed)

    def number(prior: Prior, n: int) -> np.ndarray:
        if prior.interval is None:
            return np.full(n, prior.lowest)
        location, scale, is_uniform, is_log = location_scale(*prior.interval)
        value = location + scale * (rng.random(n) if is_uniform else rng.standard_normal(n))
        return np.exp(value) if is_log else value

    def choice(weights: list[float], n: int) -> np.ndarray:
        return rng.choice(len(weights), size=n, p=weights)

    return grid_program(Sampler(number, rng.standard_normal, choice), scenario, samples)


def squigglepy_program(scenario: Scenario, samples: int, seed: int) -> Counts:
    """Count with squigglepy's distributions, and NumPy for the rest, in float64."""
    import squigglepy as sq

    sq.set_seed(seed)

    def draw(distribution: Any, n: int) -> np.ndarray:
        return np.asarray(sq.sample(distribution, n=n, verbose=False))

    def number(prior: Prior, n: int) -> np.ndarray:
        if prior.interval is None:
            return np.full(n, prior.lowest)
        credibility = 100 * prior.mass
        if prior.normal is not None:
            return draw(sq.norm(*prior.normal, credibility=credibility), n)
        if prior.lognormal is not None:
            return draw(sq.lognorm(*prior.lognormal, credibility=credibility), n)
        raise ValueError("prior: expected normal or lognormal")

    def choice(weights: list[float], n: int) -> np.ndarray:
        return draw(sq.discrete([[weight, k] for k, weight in enumerate(weights)]), n)

    normal = sq.norm(mean=0, sd=1)
    return grid_program(Sampler(number, lambda n: draw(normal, n), choice), scenario, samples)


def grid_program(sampler: Sampler, scenario: Scenario, samples: int) -> Counts:
    """Count in a matrix of samples x years."""
    years = years_from_now(scenario)

    def few(n: int) -> tuple[np.ndarray, int]:
        crossed = effective_minus_required(sampler, scenario, years, n) >= 0
        waiting = crossed[~crossed[:, 0]]
        first = np.argmax(waiting, axis=1)[waiting.any(axis=1)]
        return np.bincount(first, minlength=len(years)), len(waiting)

    return in_chunks(few, len(years), samples, CHUNK)


def growth_since(sampler: Sampler, section: Any, years: np.ndarray, n: int) -> tuple:
    """Return (growth from now on, (n, year) [OOM]; growth rate now, (n, 1) [OOM/yr])."""
    rate = _LOG10_2 / sampler.number(section.doubling_time_years, n)[:, None]
    long_run = _LOG10_2 / sampler.number(section.long_run_doubling_time_years, n)[:, None]
    half_life = sampler.number(section.slowdown_half_life_years, n)[:, None]
    transient = (1 - 2 ** (-years / half_life)) * half_life / np.log(2)
    return long_run * years + (rate - long_run) * transient, rate


def soft_minimum(values: list[np.ndarray], sharpness: np.ndarray) -> np.ndarray:
    """Return -log10(sum 10^(-s x)) / s; in float64 no value here overflows."""
    return -np.log10(sum(10 ** (-sharpness * value) for value in values)) / sharpness


def physical_compute(
    sampler: Sampler, scenario: Scenario, years: np.ndarray, sharpness: np.ndarray
) -> np.ndarray:
    """Return the largest training run, (n, year) [log10 FLOP], under money and resource limits."""
    n, limits = len(sharpness), scenario.limits

    def number(prior: Prior) -> np.ndarray:
        return sampler.number(prior, n)[:, None]

    def trend(section: Any) -> np.ndarray:
        growth, rate = growth_since(sampler, section, years, n)
        return number(section.log10_level) + rate * (NOW - section.level_year) + growth

    hardware = scenario.price_performance
    flop_per_usd = soft_minimum([trend(hardware), number(hardware.log10_ceiling)], sharpness)
    share = number(limits.log10_spending_share)
    wanted = trend(scenario.training_compute)
    capped_by = [trend(scenario.gross_product) + share + flop_per_usd]
    for resource in limits.resources:
        rate = _LOG10_2 / number(resource.doubling_time_years)
        capped_by.append(number(resource.log10_flop) + rate * (years + NOW - resource.year))
    return soft_minimum([wanted, *capped_by], sharpness)


def requirement(sampler: Sampler, scenario: Scenario, n: int) -> tuple:
    """Return draws of (log10 FLOP required, inf if none will do; year of its algorithms)."""
    weights, middle, below, above, since = views(scenario)
    chosen = sampler.choice([*weights, 1 - sum(weights)], n)
    z = sampler.normal(n)
    required = np.append(middle, np.inf)[chosen]
    required += np.where(z < 0, np.append(below, 0)[chosen], np.append(above, 0)[chosen]) * z
    return required[:, None], np.append(since, 0)[chosen][:, None]


def views(scenario: Scenario) -> tuple[np.ndarray, ...]:
    """Return weight, median, spread below and above [OOM], years since the year of its algorithms.

    Of each component of the requirement. Raises ``ValueError`` for one that is not normal.
    """
    found = []
    for view in scenario.requirement.components:
        middle, below, above = view.parameters
        if view.kind == "normal":
            above = below
        elif view.kind != "two_piece_normal":
            raise ValueError(f"requirement: got {view.kind}, expected normal or two_piece_normal")
        year = view.algorithms_year or scenario.requirement.algorithms_year
        found.append((view.weight, middle, below, above, NOW - year))
    return tuple(np.array(column) for column in zip(*found, strict=True))


def effective_minus_required(
    sampler: Sampler, scenario: Scenario, years: np.ndarray, n: int
) -> np.ndarray:
    """Return effective compute over the requirement, (n, year) [OOM]."""
    sharpness = sampler.number(scenario.limits.sharpness, n)[:, None]
    effective = physical_compute(sampler, scenario, years, sharpness)
    required, since = requirement(sampler, scenario, n)
    for section in (scenario.algorithmic_progress, scenario.post_training):
        growth, rate = growth_since(sampler, section, years, n)
        ceiling = sampler.number(section.ceiling_oom, n)[:, None]
        effective += soft_minimum([rate * since + growth, ceiling], sharpness)
    return effective - required
