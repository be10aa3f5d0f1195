"""The distribution of the arrival year of one or many scenarios of a structure."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
import xarray as xr
from jax.sharding import Mesh
from scipy.interpolate import PchipInterpolator

from ..kernels import ensemble
from .narrow import smoothed
from .problem import REPLICATES, Problem
from .world import Structure, passage_curve
from .year_grid import computed_years, further_years, interpolated, is_smooth

Progress = Callable[[str, int, int], None]
BATCH = 64  # scenarios in one compiled call
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_HALVINGS = 40  # of a year
_LEAST_WAITING = 1e-5  # less probability of "not yet" is lost in rounding


def timelines(
    problems: Sequence[Problem],
    samples: int,
    *,
    progress: Progress | None = None,
    mesh: Mesh | None = None,
    chunk: int | None = None,
) -> list[xr.Dataset]:
    """Return the timeline of each problem, the same bits as for it alone.

    problems: with the same numbers of years and of posterior rows; those of one structure share
    compiled programs
    samples: of each, see `rounded_samples`
    mesh, chunk: how the work is split; neither changes the answer
    Raises ``ValueError`` if priors leave nothing to compute, or give NaN.
    """
    smooth = [smoothed(problem) for problem in problems]
    mesh = mesh or ensemble.device_mesh()
    found: dict[int, xr.Dataset] = {}

    def report(done: int) -> None:
        if progress:
            total = len(problems) * samples
            progress("simulate: samples", min(len(found) * samples + done, total), total)

    report(0)
    for places in _batches(smooth):
        means = _means([smooth[i] for i in places], samples, report, mesh, chunk)
        found |= {i: timeline(problems[i].years, own) for i, own in zip(places, means, strict=True)}
    return [found[i] for i in range(len(problems))]


def _batches(problems: Sequence[Problem]) -> list[list[int]]:
    """Return the places of problems of one structure, at most `BATCH` at a time."""
    alike: dict[Structure, list[int]] = {}
    for i, problem in enumerate(problems):
        alike.setdefault(problem.structure, []).append(i)
    return [
        places[start : start + BATCH]
        for places in alike.values()
        for start in range(0, len(places), BATCH)
    ]


def _means(
    problems: Sequence[Problem],
    samples: int,
    report: Callable[[int], None],
    mesh: Mesh,
    chunk: int | None,
) -> list[np.ndarray]:
    """Return P(the milestone has been reached) of each replicate, (replicate, year) each.

    More years are computed where a curve is not smooth enough to be interpolated.
    """
    times = [problem.years - problem.years[0] for problem in problems]
    count = len(times[0])
    chosen = computed_years(count)
    batch = BATCH if len(problems) > 1 else 1
    means_at = partial(
        _means_at, samples=samples, report=report, mesh=mesh, chunk=chunk, batch=batch
    )
    coarse = means_at(problems, chosen)
    for problem, own in zip(problems, coarse, strict=True):
        if own[:, 0].max() > 1 - _LEAST_WAITING:
            raise ValueError(
                f"requirement: got one that is already met on {problem.as_of} in all draws, "
                "expected a milestone that has not arrived"
            )
    known = chosen
    found = [interpolated(time, known, own) for time, own in zip(times, coarse, strict=True)]

    def rough(places: Iterable[int]) -> list[int]:
        curves = {i: found[i][:, known].mean(axis=0) for i in places}
        return [i for i, own in curves.items() if not is_smooth(times[i], known, own)]

    places = rough(range(len(problems)))
    while places and len(known) < count:
        more = further_years(count, known, len(chosen))
        # As many years as before, in the same compiled program.
        some = np.resize(more, len(chosen))
        fine = means_at([problems[i] for i in places], some)
        known = np.union1d(known, more)
        for i, own in zip(places, fine, strict=True):
            found[i][:, some] = own
            found[i] = interpolated(times[i], known, found[i][:, known])
        places = rough(places)
    return found


def _means_at(
    problems: Sequence[Problem],
    chosen: np.ndarray,
    *,
    samples: int,
    report: Callable[[int], None],
    mesh: Mesh,
    chunk: int | None,
    batch: int,
) -> np.ndarray:
    """Return the means at some of the years, (problem, replicate, chosen).

    batch: how many problems the compiled program is for, at least as many as there are
    """
    (structure,) = {problem.structure for problem in problems}
    count = len(problems)
    # One compiled program for all batches: a short one is filled up, and what fills it not run.
    padded = [*problems, *[problems[0]] * (batch - count)]
    every = ensemble.stack([problem.ensemble for problem in padded])
    stacked = every._replace(nodes=every.nodes[:, chosen])
    means = np.empty(0)
    running = ensemble.replicate_means(
        passage_curve(structure), stacked, samples, count=count, mesh=mesh, chunk=chunk
    )
    try:
        for done, so_far in running:
            means = so_far
            report(done)
    except FloatingPointError as error:
        raise ValueError(
            f"simulation: got {error}, expected priors without values too small or too large"
        ) from error
    return means


def rounded_samples(samples: int) -> int:
    """Return the samples used: at least those asked for, replicates x 1024 x a power of two."""
    least = REPLICATES * ensemble.TILE
    return least * 2 ** max(0, int(np.ceil(np.log2(samples / least))))


def timeline(years: np.ndarray, means: np.ndarray, of: tuple[str, ...] = ()) -> xr.Dataset:
    """Return the distribution of the arrival year from the means of each replicate.

    means: (..., replicate, year), P(the milestone has been reached); the first year is now
    of: names of the dimensions that come before the replicates
    """
    now = means[..., :1]
    replicates = (means - now) / (1 - now)
    pooled = means.mean(axis=-2)
    cdf = (pooled - pooled[..., :1]) / (1 - pooled[..., :1])
    # Monotone up to rounding; the last digits must not make it fall.
    cdf = np.maximum.accumulate(np.clip(cdf, 0, 1), axis=-1)
    error = replicates.std(axis=-2, ddof=1) / np.sqrt(means.shape[-2])
    quantile, quantile_error = _quantiles(years, cdf, error)
    return xr.Dataset(
        {
            "arrival_cdf": ((*of, "year"), cdf),
            "arrival_cdf_mcse": ((*of, "year"), error),
            "arrival_cdf_replicates": ((*of, "replicate", "year"), replicates),
            "arrival_year_quantile": ((*of, "quantile"), quantile),
            "arrival_year_quantile_mcse": ((*of, "quantile"), quantile_error),
            "p_never_by_horizon": (of, 1 - cdf[..., -1]),
            "p_never_by_horizon_mcse": (of, error[..., -1]),
        },
        coords={"year": years, "quantile": list(QUANTILES)},
    )


def _quantiles(
    years: np.ndarray, cdf: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return arrival years at `QUANTILES`, +inf if beyond the horizon, and their errors.

    The distribution is interpolated monotonically (PCHIP) between years; the error of a quantile
    is the error of the probability there over the density.
    """
    wanted = np.array(QUANTILES)
    after = np.sum(cdf[..., None, :] < wanted[:, None], axis=-1).clip(1, len(years) - 1)
    before = after - 1
    pieces = np.moveaxis(PchipInterpolator(years, cdf, axis=-1).c, 1, -1)  # power, ..., interval
    own = np.stack([np.take_along_axis(power, before, axis=-1) for power in pieces])
    low, high = np.zeros(before.shape), years[after] - years[before]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = ((own[0] * middle + own[1]) * middle + own[2]) * middle + own[3] < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    density = np.maximum((3 * own[0] * high + 2 * own[1]) * high + own[2], 1e-12)
    first, last = (np.take_along_axis(error, place, axis=-1) for place in (before, after))
    there = first + (last - first) * high / (years[after] - years[before])
    reached = wanted <= cdf[..., -1:]
    at = years[before] + high
    return np.where(reached, at, np.inf), np.where(reached, there / density, np.nan)
