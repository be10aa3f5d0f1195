"""Epoch's Direct Approach model of timelines (Barnett & Besiroglu 2023), a port in NumPy.

Transformative AI arrives in the first of the years 2023 to 2100 in which

    log10 spending + log10 FLOP/USD + algorithmic progress [OOM]  >  requirement [log10 FLOP]

Everything is drawn independently, as in the published code. Growth is bounded by a soft ceiling,
L (1 - exp(-x / L)). FLOP/s of a chip follow from its process size and number of cores, each on a
trend to a physical limit; the trends are fitted here to the packaged table of the code's GPUs, as
the code stores its own fits as pickles, which this package does not open. The requirement: a model
whose loss above the entropy of text is l is told from a human after k = slowdown x 2.54 / l tokens,
at the compute-optimal size and data for C; the line through C = 1e10 and 1e30 is inverted at a k
drawn. It is then updated on no arrival so far, and shrunk by 5/7 towards 1e25.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, sparse, stats

from ...priors.elicitation import location_scale
from ..datasets import load_frame

YEARS = np.arange(2023, 2101)
_GROWTH_YEARS = np.arange(1, len(YEARS) + 1)
_SECONDS_A_YEAR = 365 * 24 * 3600.0
# log10 nm at 1.4e9 s after 1970 and its change per second, from the line that the code ships: it is
# none of the quantile regressions of the table (the file's name says 0.5 %).
_PROCESS_LINE = (1.29218857, -0.06913686 / 3.15576e7)
_EPOCH_SECONDS = 1.4e9
_CORE_QUANTILES = (0.8, 0.85, 0.9, 0.95)
_PAST_RUNS = ((17.0, 8.0), (23.0, 2.0), (25.0, 1.0))  # log10 FLOP, years at that size


class Assumptions(NamedTuple):
    """What differs between versions of the code.

    investment: growth of spending in percent a year, interval of a normal and its mass
    algorithms: the same of OOM a year, mass 0.8; law: A, B, alpha, beta
    mended: exponentiate all of G, instead of its denominator
    """

    investment: tuple[float, float, float]
    algorithms: tuple[float, float]
    law: tuple[float, float, float, float]
    mended: bool = False


HOFFMANN, BESIROGLU = (406.4, 410.7, 0.34, 0.28), (482.01, 2085.43, 0.3478, 0.3658)
AUGUST_2023 = Assumptions((25.9, 99.5, 0.9), (0.21, 0.65), HOFFMANN)
HEAD = Assumptions((146, 246, 0.8), (0.244, 0.775), BESIROGLU)


def _draw(rng: np.random.Generator, n: int, *interval: float, kind: str, mass: float) -> np.ndarray:
    found = location_scale(kind, interval[0], interval[1], mass)
    value = rng.normal(found.location, found.scale, n)
    return np.exp(value) if found.is_log else value


def _positive(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Return the values, those that are not positive replaced by random ones of the others."""
    good = values[values > 0]
    return np.where(values > 0, values, rng.choice(good, size=len(values)))


def soft_ceiling(log10_value: np.ndarray, log10_limit: np.ndarray) -> np.ndarray:
    """Return log10 of L (1 - exp(-x / L))."""
    part = 10.0 ** np.minimum(log10_value - log10_limit, 300)
    grown: np.ndarray = log10_limit + np.log10(-np.expm1(-np.maximum(part, 1e-300)))
    return grown


def spending(rng: np.random.Generator, n: int, given: Assumptions) -> np.ndarray:
    """Return log10 USD of the largest training run, (sample, year)."""
    low, high, mass = given.investment
    growth = _positive(rng, 1 + _draw(rng, n, low, high, kind="normal", mass=mass) / 100)
    share = _draw(rng, n, 0.004, 5, kind="lognormal", mass=0.95) / 100
    world = _positive(rng, 1 + _draw(rng, n, 0.4, 4.75, kind="normal", mass=0.8) / 100)
    wanted = np.log10(60e6) + np.outer(np.log10(growth), _GROWTH_YEARS)
    product = np.log10(1.17e14) + np.outer(np.log10(world), _GROWTH_YEARS)
    return soft_ceiling(wanted, product + np.log10(share)[:, None])


def quantile_line(x: np.ndarray, y: np.ndarray, quantile: float) -> np.ndarray:
    """Return (intercept, slope) of quantile regression, as the linear programme that it is."""
    n = len(x)
    columns = sparse.csr_matrix(np.stack([np.ones(n), x], axis=1))
    found = optimize.linprog(
        np.concatenate([[0, 0], np.full(n, quantile), np.full(n, 1 - quantile)]),
        A_eq=sparse.hstack([columns, sparse.eye(n), -sparse.eye(n)]),
        b_eq=y,
        bounds=[(None, None)] * 2 + [(0, None)] * (2 * n),
        method="highs",
    )
    line: np.ndarray = found.x[:2]
    return line


class ChipTrends(NamedTuple):
    """Trends of chips over a grid of dates: log10 values at its points, (..., point).

    process: nanometres; transistors: millions; cores: (quantile, point); flop_per_s: intercept and
    coefficients of process and cores; new_years: the grid's first point of each year from 2023 on
    """

    process: np.ndarray
    transistors: np.ndarray
    cores: np.ndarray
    flop_per_s: np.ndarray
    new_years: np.ndarray


@cache
def chip_trends() -> ChipTrends:
    """Return the trends, fitted to the GPUs of the code."""
    frame = load_frame("gpus_2005_2021")
    chips = {
        name: np.log10(frame[name].to_numpy(dtype=float))
        for name in ("fp32_flop_per_s", "process_nm", "num_cores", "transistors_million")
    }
    dated = frame["release_date"].notna().to_numpy()
    # The code's dates are at noon.
    seconds = frame["release_date"].to_numpy().astype("datetime64[s]").astype(float) + 43200.0
    grid = np.linspace(np.min(seconds[dated]) - 1e8, np.max(seconds[dated]) + 1e9, 1001)

    def line(name: str, quantile: float | None = None) -> np.ndarray:
        known = dated & np.isfinite(chips[name])
        x, y = (seconds[known] - _EPOCH_SECONDS) / 1e9, chips[name][known]
        a, b = quantile_line(x, y, quantile) if quantile else np.polyfit(x, y, 1)[::-1]
        found: np.ndarray = a + b * (grid - _EPOCH_SECONDS) / 1e9
        return found

    columns = [np.ones(len(frame)), chips["process_nm"], chips["num_cores"]]
    flop_per_s = np.linalg.lstsq(np.stack(columns, axis=1), chips["fp32_flop_per_s"], rcond=None)[0]
    years = grid.astype("datetime64[s]").astype("datetime64[Y]").astype(int) + 1970
    later = np.unique(years[years >= YEARS[0]])
    return ChipTrends(
        _PROCESS_LINE[0] + _PROCESS_LINE[1] * (grid - _EPOCH_SECONDS),
        line("transistors_million"),
        np.stack([line("num_cores", quantile) for quantile in _CORE_QUANTILES]),
        flop_per_s,
        np.searchsorted(years, later),
    )


def chip_flop_per_s(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return log10 FLOP/s of a leading chip before specialisation, (sample, year)."""
    trends = chip_trends()
    smallest = np.log10(_draw(rng, n, 1.4, 2.48, kind="lognormal", mass=0.7))
    fewest = np.log10(_draw(rng, n, 0.896, 1.98, kind="lognormal", mass=0.7))  # million a core
    reached = np.argmax(trends.process <= smallest[:, None], axis=1)
    here = trends.new_years
    process = np.maximum(trends.process[here], smallest[:, None])
    transistors = np.minimum(trends.transistors[here], trends.transistors[reached][:, None])
    cores = trends.cores[rng.integers(len(_CORE_QUANTILES), size=n)][:, here]
    cores = np.minimum(cores, transistors - fewest[:, None])
    a, by_process, by_cores = trends.flop_per_s
    found = a + by_process * process + by_cores * cores
    rest = np.repeat(found[:, -1:], len(YEARS) - len(here), axis=1)  # no progress after the grid
    return np.concatenate([found, rest], axis=1)


def flop_per_usd(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return log10 FLOP per dollar of a chip over its life, (sample, year)."""
    chips = chip_flop_per_s(rng, n)
    special = _draw(rng, n, 0.04, 0.25, kind="lognormal", mass=0.8)
    chips = chips + np.minimum(np.outer(special, _GROWTH_YEARS), np.log10(250))
    growth = 10.0 ** np.diff(chips, axis=1) - 1
    growth = np.concatenate([np.full((n, 1), 0.5), growth], axis=1)
    life_seconds = 1.2 / (growth + 0.1) * _SECONDS_A_YEAR
    return chips + np.log10(life_seconds / 5000)


def algorithms(rng: np.random.Generator, n: int, given: Assumptions) -> np.ndarray:
    """Return algorithmic progress since 2022, (sample, year) [OOM]."""
    growth = _draw(rng, n, *given.algorithms, kind="normal", mass=0.8)
    growth = growth * _draw(rng, n, 0.4, 1.1, kind="lognormal", mass=0.7)
    limit = _draw(rng, n, 2.25, 12.1, kind="lognormal", mass=0.8)
    return soft_ceiling(np.outer(growth, _GROWTH_YEARS), limit[:, None])


def information_of_a_judge(confidence: float = 0.9) -> float:
    """Return the tokens x loss that an ideal judge needs, in bits (Wald's sequential test)."""
    odds = confidence / (1 - confidence)
    one = (1 - odds) / (1 / odds - odds)
    other = one / odds
    return float(-(one * np.log2(other / one) + (1 - one) * np.log2((1 - other) / (1 - one))))


def raw_requirement(rng: np.random.Generator, n: int, given: Assumptions) -> np.ndarray:
    """Return log10 FLOP at which text is told from a human's after k tokens, (sample,)."""
    slowdown = _draw(rng, n, 9.84, 290, kind="lognormal", mass=0.7)
    tokens = _draw(rng, n, 3129, 141714, kind="lognormal", mass=0.7)
    spread = (25, 25, 0.05, 0.05)
    a, b, alpha, beta = (rng.normal(m, s, n) for m, s in zip(given.law, spread, strict=True))
    power = 1 / (alpha + beta)
    # The published code leaves out the outer parentheses.
    g = (alpha * a / (beta * b)) ** power if given.mended else alpha * a / (beta * b) ** power

    def log10_tokens_needed(log10_flop: float) -> np.ndarray:
        sixth = 10**log10_flop / 6
        parameters, data = g * sixth ** (beta * power), sixth ** (alpha * power) / g
        loss = a / parameters**alpha + b / data**beta
        needed: np.ndarray = np.log10(slowdown * information_of_a_judge() / loss)
        return needed

    low, high = log10_tokens_needed(10), log10_tokens_needed(30)
    found: np.ndarray = 10 + 20 * (np.log10(tokens) - low) / (high - low)
    return found


def requirement_cdf(raw: np.ndarray, log10_flop: np.ndarray) -> np.ndarray:
    """Return the probability that so much is enough, updated on no arrival so far and shrunk.

    The prior of the update is a normal distribution, arrivals are Poisson; on a grid.
    """
    grid = np.linspace(raw.mean() - 8 * raw.std(), raw.mean() + 8 * raw.std(), 20_001)
    none = sum(years * 10 ** (0.3 * (run - grid)) for run, years in _PAST_RUNS)
    density = stats.norm.pdf(grid, raw.mean(), raw.std()) * np.exp(-none)
    below = np.cumsum(density) / density.sum()
    met: np.ndarray = np.interp(log10_flop, 25 + 5 / 7 * (grid - 25), below)
    return met


class Timeline(NamedTuple):
    """probability: of arrival by each of `YEARS`; log10_physical_flop: median, (year,)."""

    probability: np.ndarray
    log10_physical_flop: np.ndarray
    log10_raw_requirement: np.ndarray


@cache
def timeline(given: Assumptions, samples: int = 20_000, seed: int = 2023) -> Timeline:
    """Return the forecast of the model."""
    rng = np.random.default_rng(seed)
    physical = spending(rng, samples, given) + flop_per_usd(rng, samples)
    effective = physical + algorithms(rng, samples, given)
    raw = raw_requirement(rng, samples, given)
    met = requirement_cdf(raw, effective).mean(axis=0)
    return Timeline(met, np.median(physical, axis=0), raw)


def year_of(probability: float, given: Assumptions) -> float:
    """Return the first year with that probability of arrival, ``inf`` if it is after 2100."""
    reached = timeline(given).probability >= probability
    return float(YEARS[np.argmax(reached)]) if reached.any() else float("inf")
