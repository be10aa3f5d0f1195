"""What all benchmarks share: the scenario, forecasts of it, the clock, the machine."""

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.problem import Problem, random_points
from aitimelines.forecast.scenario_files import load_scenario
from aitimelines.forecast.world import passage_curve
from aitimelines.forecast.year_grid import computed_years, interpolated
from aitimelines.kernels import ensemble
from aitimelines.kernels.quasi_random import Points
from jax.sharding import Mesh

LEAST_BLOCKS = 4  # of a scramble, for error bars
AS_OF, NOW = "2026-07-23", 2026 + 203 / 365


def without_fits(**changes: Any) -> Scenario:
    """Return the baseline with priors, about as wide as its posteriors, in place of its fits.

    changes: to its top-level fields
    """
    level = {"fit": False, "level_year": NOW}
    return load_scenario(
        "baseline",
        as_of=AS_OF,
        training_compute=level
        | {"log10_level": {"normal": [26.9, 27.4]}}
        | {"doubling_time_years": {"lognormal": [0.40, 0.48]}},
        spending=level
        | {"log10_level": {"normal": [8.3, 8.8]}}
        | {"doubling_time_years": {"lognormal": [0.6, 0.9]}},
        price_performance=level
        | {"log10_level": {"normal": [18.27, 18.44]}}
        | {"doubling_time_years": {"lognormal": [1.9, 2.4]}},
        algorithmic_progress={"fit": False, "doubling_time_years": {"lognormal": [0.68, 1.35]}},
        **changes,
    )


def with_points(problem: Problem, seed: int, replicates: int) -> Problem:
    """Return the problem with other quasi-random points."""
    points = random_points(seed, ensemble.dimension(problem.ensemble.inputs), replicates)
    return problem._replace(ensemble=problem.ensemble._replace(points=points))


def kernel_means(
    problem: Problem, chosen: np.ndarray, samples: int, *, mesh: Mesh | None = None
) -> np.ndarray:
    """Return P(reached by some of the years), (replicate, chosen), from the kernel alone."""
    given = problem.ensemble._replace(nodes=problem.ensemble.nodes[chosen])
    *_, (_, means) = ensemble.replicate_means(
        passage_curve(problem.structure),
        ensemble.stack([given]),
        samples,
        mesh=mesh or ensemble.device_mesh(),
    )
    return means[0]


def conditioned(means: np.ndarray) -> np.ndarray:
    """Return P(arrival by a year, given not yet) from P(reached by a year)."""
    return (means - means[..., :1]) / (1 - means[..., :1])


def one_scramble(problem: Problem, samples: int, seed: int) -> np.ndarray:
    """Return the CDF, (year,), from one scramble: scrambling, kernel, spline; no error bars."""
    return scrambled(with_points(problem, seed, 1), samples)[0]


def in_blocks(problem: Problem, samples: int, seed: int) -> np.ndarray:
    """Return the CDF, (year,), from one scramble, with error bars from its blocks."""
    return with_error_bars(problem, samples, seed)[0]


def with_error_bars(problem: Problem, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (CDF, its standard error), (year,) each, from one scramble.

    Consecutive blocks of it, each a power of two long, are nets of their own. They complement one
    another, so that their spread makes the error look larger than it is.
    """
    size = 2 ** int(np.log2(samples // LEAST_BLOCKS))
    found = scrambled(blocks(with_points(problem, seed, 1), samples // size, size), samples)
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(len(found))


def blocks(problem: Problem, count: int, size: int) -> Problem:
    """Return the problem with blocks of its first scramble as replicates; size: a power of two."""
    directions, shifts = (np.asarray(part) for part in problem.ensemble.points)
    starts = np.arange(count, dtype=np.uint32)[:, None] * np.uint32(size)
    moved = np.repeat(shifts[:1], count, axis=0)
    for bit in range(size.bit_length() - 1, (count * size).bit_length()):
        moved ^= (starts >> np.uint32(bit) & np.uint32(1)) * directions[0, :, bit]
    points = Points(np.repeat(directions[:1], count, axis=0), moved)
    return problem._replace(ensemble=problem.ensemble._replace(points=points))


def scrambled(problem: Problem, samples: int) -> np.ndarray:
    """Return the CDF of each replicate of a problem, (replicate, year)."""
    time, chosen = problem.years - problem.years[0], computed_years(len(problem.years))
    return conditioned(interpolated(time, chosen, kernel_means(problem, chosen, samples)))


def seconds(call: Callable[[], object], least: float = 0.0) -> tuple[float, float]:
    """Return (wall, CPU) seconds of a call, the mean of as many as fill ``least`` seconds."""
    calls, wall, cpu = 0, time.perf_counter(), time.process_time()
    while not calls or time.perf_counter() - wall < least:
        call()
        calls += 1
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def machine(*packages: str) -> str:
    """Return the machine and the versions in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    widest = next((f for f in ("avx512f", "avx2", "avx") if f" {f} " in f"{flags} "), "")
    found = [f"{package} {installed(package)}" for package in ("jax", "numpy", *packages)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = names[0] if names else platform.processor() or platform.machine()
    python = platform.python_version()
    return f"{processor}, {cores} cores, {widest or 'no AVX'}; Python {python}, {', '.join(found)}"


def installed(package: str) -> str:
    """Return the version of a package, or that it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
