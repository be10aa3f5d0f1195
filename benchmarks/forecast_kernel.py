"""Time to a given accuracy: this package against what one would write without it.

``python -m benchmarks.forecast_kernel`` prints a Markdown page, ``--write`` puts it into docs/,
``--quick`` tries everything in seconds at coarser targets. Three minutes otherwise. The contenders
need ``pip install -e '.[bench]'``; one whose package is missing is left out, and the page says so.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.files import write_text
from aitimelines.forecast.problem import REPLICATES, Problem, prepare
from aitimelines.forecast.timeline import timelines
from aitimelines.forecast.year_grid import computed_years
from aitimelines.kernels import ensemble

from .contender_loops import jax_program, numba_program
from .contenders import CHUNK, Program, numpy_program, squigglepy_program
from .measure import (
    LEAST_BLOCKS,
    conditioned,
    in_blocks,
    kernel_means,
    machine,
    one_scramble,
    seconds,
    with_error_bars,
    with_points,
    without_fits,
)

PAGE = Path(__file__).parents[1] / "docs" / "benchmark_forecast_kernel.md"
PROGRAMS: dict[str, Program] = {
    "NumPy, samples x years": numpy_program,
    "squigglepy, and NumPy": squigglepy_program,
    "numba, parallel loop": numba_program,
    "JAX, vmap of one draw": jax_program,
}
NEEDS = {"squigglepy, and NumPy": "squigglepy", "numba, parallel loop": "numba"}
# Of the time by NumPy, numba and JAX: what we aim for at each error.
WANTED = {
    1e-3: {"NumPy": 3_000, "numba": 1_000, "JAX": 750},
    1e-4: {"NumPy": 100_000, "numba": 30_000, "JAX": 25_000},
}
HORIZON_YEAR = 2126  # a hundred years
ONE_CORE = {"NPROC": "1", "NUMBA_NUM_THREADS": "1"}  # JAX and numba read these as they start


class Settings(NamedTuple):
    """How hard to try.

    seeds:    of this package, to find the error of a number of samples
    runs:     of each plain Monte Carlo program, of CHUNK samples, to find its error
    rounds:   in which the contenders take turns
    timed:    samples of a timed run of the slowest plain programs; the faster ones get more
    """

    targets: tuple[float, ...] = tuple(WANTED)
    seeds: int = 32
    runs: int = 48
    rounds: int = 5
    timed: int = 2**15
    reference_samples: int = 2**20


QUICK = Settings((1e-2, 3e-3), 8, 8, 2, 2**13, 2**17)


def whole_forecast(problem: Problem, samples: int, seed: int) -> np.ndarray:
    """Return the CDF, (year,), as a forecast does: with error bars and quantiles."""
    (found,) = timelines([with_points(problem, seed, REPLICATES)], samples)
    return found["arrival_cdf"].to_numpy()


def reference(scenario: Scenario, samples: int) -> tuple[np.ndarray, float]:
    """Return the CDF in float64, every year computed, and the largest standard error in it."""
    with jax.enable_x64(True):
        problem = with_points(prepare(scenario, {}, dtype=np.float64), 2**31, REPLICATES)
        means = kernel_means(problem, np.arange(len(problem.years)), samples)
    error = conditioned(means).std(axis=0, ddof=1) / np.sqrt(len(means))
    return conditioned(means.mean(axis=0)), float(error.max())


# Accuracy


def rms(errors: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(errors))))


def fewest(
    cdf: Callable[[int, int], np.ndarray],
    candidates: Iterable[int],
    exact: np.ndarray,
    target: float,
    seeds: int,
) -> tuple[int, float]:
    """Return the first number of samples that reaches the target, and the error with it."""
    for samples in candidates:
        if (error := rms(errors(cdf, samples, exact, range(seeds)))) <= target:
            return samples, error
    raise ValueError(f"target: got {target}, expected one that some candidate reaches")


def candidates(first: int, parts: int) -> Iterator[int]:
    """Yield multiples of ``first``: x powers of two, and between two of these ``parts`` - 1 more."""
    every = (2**power * (parts + part) / parts for power in range(20) for part in range(parts))
    yield from (first * int(number) for number in every if number == int(number))


def errors(
    cdf: Callable[[int, int], np.ndarray], samples: int, exact: np.ndarray, seeds: range
) -> np.ndarray:
    """Return for each seed the largest error over the years."""
    return np.array([np.abs(cdf(samples, seed) - exact).max() for seed in seeds])


def too_wide(problem: Problem, samples: int, exact: np.ndarray, seeds: int) -> float:
    """Return error bars from blocks over errors, in the year of the largest error."""
    found, bars = zip(
        *(with_error_bars(problem, samples, seed) for seed in range(seeds)), strict=True
    )
    error, bar = (
        np.sqrt(np.mean(np.square(part), axis=0)) for part in (np.subtract(found, exact), bars)
    )
    return float(bar[error.argmax()] / error.max())


class Plain(NamedTuple):
    """A plain Monte Carlo program.

    constant: c of its error, c / sqrt(samples)
    z:        largest difference of the mean of its runs from the reference, in standard errors
    """

    name: str
    cdf: Callable[[int, int], np.ndarray]
    constant: float
    z: float


def examined(
    name: str,
    program: Program,
    scenario: Scenario,
    exact: tuple[np.ndarray, float],
    seeds: range,
) -> Plain:
    """Return a plain Monte Carlo program with what many of its runs show.

    Raises ``AssertionError`` if their mean differs from the reference by over 5 standard errors,
    which chance gives less than once in ten thousand times.
    """

    def cdf(samples: int, seed: int) -> np.ndarray:
        return program(scenario, samples, seed).cdf()

    found = np.array([cdf(CHUNK, seed) for seed in seeds])
    z = largest_z(found, exact)
    assert z < 5, f"{name} differs from the reference by {z:.1f} standard errors"
    return Plain(name, cdf, rms(np.abs(found - exact[0]).max(axis=1)) * np.sqrt(CHUNK), z)


def largest_z(found: np.ndarray, exact: tuple[np.ndarray, float]) -> float:
    """Return how far the mean of some runs is from the reference, in standard errors.

    found: (run, year). Errors of the reference, and of rounding, count.
    """
    deviation = np.sqrt(exact[0] * (1 - exact[0]) / CHUNK)  # more stable than that of a few runs
    error = np.maximum(found.std(axis=0, ddof=1), 0.5 * deviation) / np.sqrt(len(found))
    return float(np.abs((found.mean(axis=0) - exact[0]) / np.hypot(error, exact[1] + 1e-6)).max())


# Time


def timed(calls: dict[str, Callable[[int], object]], settings: Settings) -> dict[str, tuple]:
    """Return the median (wall, CPU) seconds of each call, which take turns, round after round."""
    found: dict[str, list] = {name: [] for name in calls}
    for call in calls.values():
        call(999)
    for turn in range(settings.rounds):
        for name, call in calls.items():
            found[name].append(seconds(partial(call, 1000 + turn), least=0.2))
    return {name: tuple(np.median(times, axis=0)) for name, times in found.items()}


class Row(NamedTuple):
    """A line of the table: what a contender needs for a target; seconds."""

    target: float
    name: str
    samples: str
    error: float
    wall: float
    cpu: float


# The function, the fewest samples, and how many numbers of samples there are to a power of two.
IN_BLOCKS = "this package, one scramble in blocks"
OURS = {
    "this package, one scramble": (one_scramble, ensemble.TILE, 8),
    IN_BLOCKS: (in_blocks, LEAST_BLOCKS * ensemble.TILE, 8),
    f"this package, {REPLICATES} scrambles": (whole_forecast, REPLICATES * ensemble.TILE, 1),
}


def rows_of(
    problem: Problem, plain: list[Plain], exact: np.ndarray, settings: Settings
) -> list[Row]:
    """Return the table: every contender at every target."""
    calls: dict[str, Callable[[int], object]] = {}
    needed: dict[tuple[float, str], tuple[int, float]] = {}
    for name, (function, *counts) in OURS.items():
        cdf = partial(function, problem)
        for target in settings.targets:
            samples, error = fewest(cdf, candidates(*counts), exact, target, settings.seeds)
            needed[target, name] = samples, error
            calls[f"{name} {samples}"] = partial(cdf, samples)
    pilots = affordable(plain, settings.timed)
    for one in plain:
        calls[one.name] = partial(one.cdf, pilots[one.name])
    constant = rms(np.array([one.constant for one in plain]))
    times = timed(calls, settings)
    rows = []
    for target in settings.targets:
        for name in OURS:
            samples, error = needed[target, name]
            rows.append(Row(target, name, f"{samples:,}", error, *times[f"{name} {samples}"]))
        for one in plain:
            samples, pilot = int((constant / target) ** 2), pilots[one.name]
            scale = samples / pilot
            text = f"{samples:.2g} (timed: {pilot:.2g})"
            wall, cpu = (scale * part for part in times[one.name])
            rows.append(Row(target, one.name, text, target, wall, cpu))
    return rows


def affordable(plain: list[Plain], samples: int) -> dict[str, int]:
    """Return how many samples to time of each program: as many as the slowest does in the time."""
    took = {}
    for one in plain:
        one.cdf(CHUNK, 0)
        took[one.name] = seconds(partial(one.cdf, CHUNK, 1))[0]
    slowest = max(took.values())
    return {name: 2 ** int(np.log2(samples * slowest / time) + 0.5) for name, time in took.items()}


# The page


def ratio(rows: list[Row], target: float, ours: str, other: str, part: str) -> float | None:
    """Return by how much another contender needs longer than ours; None if it did not run."""
    found = {row.name: getattr(row, part) for row in rows if row.target == target}
    times = [time for name, time in found.items() if name.startswith(other)]
    return times[0] / found[ours] if times else None


def table(rows: list[Row]) -> str:
    """Return all measurements as a Markdown table."""
    lines = []
    for row in rows:
        cells = [f"{row.target:g}", row.name, row.samples, f"{row.error:.1e}"]
        cells += [f"{1e3 * row.wall:,.1f}", f"{1e3 * row.cpu:,.1f}"]
        for ours in OURS:
            found = ratio(rows, row.target, ours, row.name, "cpu")
            cells.append(f"{found:,.0f}" if row.name not in OURS and found else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdicts(rows: list[Row]) -> str:
    """Return, goal by goal, what was aimed for and what was reached."""
    lines = []
    for target in dict.fromkeys(row.target for row in rows):
        for other, wanted in WANTED.get(target, {}).items():
            cells = [f"{target:g}", other, f"{wanted:,}"]
            for ours in OURS:
                found = ratio(rows, target, ours, other, "cpu")
                cells.append("did not run" if found is None else against(found, wanted))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) or "| (none at these targets) | | | | | |"


def against(found: float, wanted: float) -> str:
    """Return a ratio and how it compares with the goal."""
    share = found / wanted
    return f"{found:,.0f}, " + ("reached" if share >= 1 else f"**missed**: {share:.0%} of it")


def page(settings: Settings) -> str:
    """Return the Markdown page: what was compared, on what, and the ratios."""
    scenario = without_fits(horizon_year=HORIZON_YEAR)
    exact = reference(scenario, settings.reference_samples)
    problem = prepare(scenario, {}, dtype=np.float32)
    missing = [name for name, package in NEEDS.items() if find_spec(package) is None]
    first = {name: partial(f, problem, least) for name, (f, least, _) in OURS.items()}
    compile_wall, compile_cpu = seconds(partial(first["this package, one scramble"], 0))
    plain = [
        # Seeds of their own, since squigglepy draws as NumPy does.
        examined(name, program, scenario, exact, range(1000 * k, 1000 * k + settings.runs))
        for k, (name, program) in enumerate(PROGRAMS.items(), 1)
        if name not in missing
    ]
    rows = rows_of(problem, plain, exact[0], settings)
    names = [name.removeprefix("this package, ") for name in OURS]
    blocked = max(int(row.samples.replace(",", "")) for row in rows if row.name == IN_BLOCKS)
    return _TEXT.format(
        machine=machine("numba", "squigglepy"),
        inputs=problem.ensemble.inputs.location.size,
        years=len(problem.years),
        horizon=HORIZON_YEAR,
        components=len(problem.structure.kinds),
        least_blocks=LEAST_BLOCKS,
        blocked=f"{blocked:,}",
        too_wide=too_wide(problem, blocked, exact[0], settings.seeds),
        columns=" | ".join(f"x {name}" for name in names),
        names=" | ".join(names),
        nodes=len(computed_years(len(problem.years))),
        exact_error=exact[1],
        agreement=", ".join(f"{one.name}: {one.constant:.2f}, {one.z:.1f}" for one in plain),
        constant=rms(np.array([one.constant for one in plain])),
        left_out=f"Not installed, and left out: {', '.join(missing)}. " if missing else "",
        compile_wall=compile_wall,
        compile_cpu=compile_cpu,
        **settings._asdict(),
        chunk=CHUNK,
        replicates=REPLICATES,
        table=table(rows),
        verdicts=verdicts(rows),
    )


_TEXT = """# Time to a given accuracy of the arrival distribution

*Written by `python -m benchmarks.forecast_kernel --write`; machine: {machine}.*

How long until P(arrival by a year, given not yet) is within an error, in every year? The scenario is `baseline` until {horizon},
with priors about as wide as its posteriors in place of its fits: {inputs} uncertain inputs, {years} years, {components} components of the
requirement. Error is the largest over the years, root mean square over seeds, against a reference in float64 with every year
computed, whose own standard error is {exact_error:.0e}. {left_out}

## Contenders

- **This package, one scramble**: the fewest points that reach the target ({seeds} seeds), 1024 x a power of two or up to seven
  numbers between two of these. Times hold everything from the seed to the CDF: scrambling, the kernel at {nodes} nodes, the spline to {years}
  years. It gives no error bars.
- **This package, one scramble in blocks**: likewise, but at least {least_blocks} x 1024 points, with error bars: from the spread between blocks
  of a power of two of the points, at least {least_blocks}, as if they were independent. They complement one another, so that the error bars
  are too wide: with {blocked} points {too_wide:.1f} times the error (root mean squares over {seeds} seeds, in the year of the largest error).
- **This package, {replicates} scrambles**: what `aitimelines run` does, with error bars and quantiles. It cannot take fewer than
  {replicates} x 1024 points, which is more than the coarse target needs.
- **NumPy**: a matrix of samples x years, float64, {chunk} samples at a time. **squigglepy**: its distributions, then the same
  matrix. **numba**: a loop over samples that stops at the first crossing, `prange`, `fastmath`, float64. **JAX**: `vmap` of a
  function of one draw over the years, `jax.random`, float32. All four count first crossings of plain Monte Carlo samples;
  the code is benchmarks/contenders.py and benchmarks/contender_loops.py.

Plain Monte Carlo has the error c / sqrt(samples), with the same c whatever the language: from {runs} runs each of {chunk} samples,
c and the largest difference of the mean of the runs from the reference, in standard errors, are {agreement}. Together c =
{constant:.2f}, hence the samples in the table. **Their times are extrapolated**: measured at the number of samples in brackets, and
scaled, since time grows with the samples.

Everything runs on one core (JAX and numba are told so; more cores divide the times of all). Times are warm, the median of {rounds}
rounds in which all contenders take turns; ratios are of CPU time, the other contender over this package, since others may use the
machine. Compilation of this package, once a structure of scenario, takes {compile_wall:.1f} s ({compile_cpu:.1f} s of CPU), and is not in the times.

| target error | contender | samples | error | wall [ms] | CPU [ms] | {columns} |
|---:|---|---:|---:|---:|---:|---:|---:|---:|
{table}

## Against the goals

| target error | contender | goal | {names} |
|---:|---|---:|---:|---:|---:|
{verdicts}
"""


def main() -> None:
    """Print the page; --write also puts it into docs/, --quick uses coarse targets."""
    os.environ |= ONE_CORE
    settings = QUICK if "--quick" in sys.argv[1:] else Settings()
    text = page(settings)
    sys.stdout.write(text)
    if "--write" in sys.argv[1:]:
        write_text(PAGE, text)


if __name__ == "__main__":
    main()
