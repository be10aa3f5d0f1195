"""Time to a given accuracy: the compiled forecast against a NumPy samples x years Monte Carlo.

``python -m benchmarks.forecast_kernel`` prints a Markdown page, ``--write`` puts it into docs/,
``--quick`` tries everything in seconds at coarser targets. Minutes otherwise.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from aitimelines.forecast import engine
from aitimelines.forecast.config import Prior, Scenario
from aitimelines.forecast.files import write_text
from aitimelines.forecast.scenario_files import load_scenario
from aitimelines.forecast.world import passage_curve
from aitimelines.kernels import ensemble, quasi_random
from aitimelines.priors.elicitation import location_scale

PAGE = Path(__file__).parents[1] / "docs" / "benchmark_forecast_kernel.md"
AS_OF, NOW = "2026-07-23", 2026 + 203 / 365
CHUNK = 2**13  # samples of the NumPy contender at a time: the fastest of 2^10 to 2^18
LONGEST_SECONDS = 60.0  # a contender that needs more is extrapolated
_LOG10_2 = np.log10(2.0)


class Settings(NamedTuple):
    """How hard to try."""

    targets: tuple[float, ...] = (1e-3, 1e-4)
    seeds: int = 8
    rounds: int = 3
    reference_samples: int = 2**19
    pilot_samples: int = 2**14


QUICK = Settings((1e-2, 3e-3), 8, 2, 2**17, 2**12)


def without_fits() -> Scenario:
    """Return the baseline with priors, about as wide as its posteriors, in place of its fits."""
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
    )


# The NumPy contender: what one would write without this package


def draw(rng: np.random.Generator, prior: Prior, n: int) -> np.ndarray:
    """Return draws of an uncertain number as a column, (n, 1)."""
    if prior.interval is None:
        return np.full((n, 1), prior.lowest)
    location, scale, is_uniform, is_log = location_scale(*prior.interval)
    base = rng.random((n, 1)) if is_uniform else rng.standard_normal((n, 1))
    value = location + scale * base
    return np.exp(value) if is_log else value


def growth_since(rng: np.random.Generator, section, years: np.ndarray, n: int) -> tuple:
    """Return (growth from now on, (n, year) [OOM]; growth rate now, (n, 1) [OOM/yr])."""
    rate = _LOG10_2 / draw(rng, section.doubling_time_years, n)
    long_run = _LOG10_2 / draw(rng, section.long_run_doubling_time_years, n)
    half_life = draw(rng, section.slowdown_half_life_years, n)
    transient = (1 - 2 ** (-years / half_life)) * half_life / np.log(2)
    return long_run * years + (rate - long_run) * transient, rate


def soft_minimum(values: list[np.ndarray], sharpness: np.ndarray) -> np.ndarray:
    """Return -log10(sum 10^(-s x)) / s; in float64 no value here overflows."""
    return -np.log10(sum(10 ** (-sharpness * value) for value in values)) / sharpness


def physical_compute(
    rng: np.random.Generator, scenario: Scenario, years: np.ndarray, sharpness: np.ndarray
) -> np.ndarray:
    """Return the largest training run, (n, year) [log10 FLOP], under money and resource limits."""
    n, limits = len(sharpness), scenario.limits

    def trend(section) -> np.ndarray:
        growth, rate = growth_since(rng, section, years, n)
        return draw(rng, section.log10_level, n) + rate * (NOW - section.level_year) + growth

    hardware = scenario.price_performance
    ceiling = draw(rng, hardware.log10_ceiling, n)
    flop_per_usd = soft_minimum([trend(hardware), ceiling], sharpness)
    share = draw(rng, limits.log10_spending_share, n)
    wanted = trend(scenario.training_compute)
    capped_by = [trend(scenario.gross_product) + share + flop_per_usd]
    for resource in limits.resources:
        rate = _LOG10_2 / draw(rng, resource.doubling_time_years, n)
        level = draw(rng, resource.log10_flop, n)
        capped_by.append(level + rate * (years + NOW - resource.year))
    return soft_minimum([wanted, *capped_by], sharpness)


def requirement(rng: np.random.Generator, scenario: Scenario, n: int) -> tuple:
    """Return draws of (log10 FLOP required, inf if none will do; year of its algorithms)."""
    required, year = np.full(n, np.inf), np.full(n, NOW)
    views = scenario.requirement.components
    weights = [view.weight for view in views] + [scenario.requirement.none_weight]
    chosen = rng.choice(len(weights), size=n, p=weights)
    for k, view in enumerate(views):
        of_view = np.flatnonzero(chosen == k)
        middle, below, above = view.parameters
        z = rng.standard_normal(len(of_view))
        if view.kind == "normal":
            above = below
        elif view.kind != "two_piece_normal":
            raise ValueError(f"requirement: got {view.kind}, expected normal or two_piece_normal")
        required[of_view] = middle + np.where(z < 0, below, above) * z
        year[of_view] = view.algorithms_year or scenario.requirement.algorithms_year
    return required[:, None], year[:, None]


def numpy_counts(
    rng: np.random.Generator, scenario: Scenario, years: np.ndarray, n: int
) -> tuple[np.ndarray, int]:
    """Return (how many samples arrive in each year, how many have not arrived by now)."""
    sharpness = draw(rng, scenario.limits.sharpness, n)
    effective = physical_compute(rng, scenario, years, sharpness)
    required, algorithms_year = requirement(rng, scenario, n)
    for section in (scenario.algorithmic_progress, scenario.post_training):
        growth, rate = growth_since(rng, section, years, n)
        ceiling = draw(rng, section.ceiling_oom, n)
        effective += soft_minimum([rate * (NOW - algorithms_year) + growth, ceiling], sharpness)
    crossed = effective >= required
    waiting = crossed[~crossed[:, 0]]
    arrivals = np.argmax(waiting, axis=1)[waiting.any(axis=1)]
    return np.bincount(arrivals, minlength=len(years)), len(waiting)


def numpy_cdf(scenario: Scenario, years: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Return the CDF of the arrival year given not yet, (year,), by plain Monte Carlo."""
    rng = np.random.default_rng(seed)
    counts, kept = np.zeros(len(years), dtype=np.int64), 0
    for start in range(0, samples, CHUNK):
        more, waiting = numpy_counts(rng, scenario, years, min(CHUNK, samples - start))
        counts, kept = counts + more, kept + waiting
    return np.cumsum(counts) / kept


# The compiled contender: this package


def kernel_means(
    problem: engine.Problem, samples: int, seed: int, replicates: int = engine.REPLICATES
) -> np.ndarray:
    """Return the means of each replicate, (replicate, year + 1), as `engine.simulate` does."""
    size = ensemble.dimension(problem.inputs)
    points = quasi_random.randomise(jax.random.key(seed), size, replicates)
    *_, (_, means) = ensemble.replicate_means(
        passage_curve(problem.structure),
        problem.inputs,
        problem.shared,
        points,
        samples,
        mesh=ensemble.device_mesh(),
        chunk=min(16, samples // ensemble.TILE),
    )
    return means


def kernel_cdf(problem: engine.Problem, samples: int, seed: int, replicates: int) -> np.ndarray:
    """Return the CDF of the arrival year given not yet, (year,)."""
    means = kernel_means(problem, samples, seed, replicates)
    return means[:, :-1].mean(axis=0) / means[:, -1].mean()


def reference(scenario: Scenario, samples: int) -> tuple[np.ndarray, float]:
    """Return the CDF in float64 with many points, and the largest standard error in it."""
    with jax.enable_x64(True):
        problem = engine.prepare(scenario, {}, dtype=np.float64)
        means = kernel_means(problem, samples, seed=2**31)
    each = means[:, :-1] / means[:, -1:]
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return means[:, :-1].mean(axis=0) / means[:, -1].mean(), float(error.max())


# Accuracy and time


class Contender(NamedTuple):
    """A method: its name, (samples, seed) -> CDF, and the fewest samples it can take."""

    name: str
    cdf: Callable[[int, int], np.ndarray]
    fewest: int


class Entry(NamedTuple):
    """What one contender needs for one target."""

    contender: Contender
    target: float
    samples: int
    error: float
    extrapolated: bool


def rms_error(contender: Contender, exact: np.ndarray, samples: int, seeds: int) -> float:
    """Return the root mean square over seeds of the largest error over the years."""
    errors = [np.abs(contender.cdf(samples, seed) - exact).max() for seed in range(seeds)]
    return float(np.sqrt(np.mean(np.square(errors))))


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Return (wall, CPU) seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def smallest(contender: Contender, exact: np.ndarray, target: float, settings: Settings) -> Entry:
    """Return the fewest samples, a power of two, that reach the target; one pilot, then a search.

    The error of plain Monte Carlo falls with the square root of the samples, that of the quasi-
    random contender no slower: so the search starts two powers below what the pilot says.
    """
    pilot = max(contender.fewest, settings.pilot_samples)
    error = rms_error(contender, exact, pilot, settings.seeds)
    wanted = 2 ** int(np.ceil(np.log2(pilot * (error / target) ** 2)))
    if wanted / pilot * seconds(partial(contender.cdf, pilot, 0))[0] > LONGEST_SECONDS:
        return Entry(contender, target, wanted, error * np.sqrt(pilot / wanted), True)
    samples = max(contender.fewest, wanted // 4) if error > target else contender.fewest
    while (error := rms_error(contender, exact, samples, settings.seeds)) > target:
        samples *= 2
    return Entry(contender, target, samples, error, False)


def interleaved(entries: list[Entry], settings: Settings) -> list[tuple[float, float]]:
    """Return the median (wall, CPU) seconds of each entry, measured in turn, round after round.

    An extrapolated entry is timed at the pilot's samples, and scaled.
    """
    found = []
    for turn in range(settings.rounds):
        times = []
        for entry in entries:
            samples = settings.pilot_samples if entry.extrapolated else entry.samples
            took = seconds(partial(entry.contender.cdf, samples, 1000 + turn))
            times.append([part * entry.samples / samples for part in took])
        found.append(times)
    return [(float(wall), float(cpu)) for wall, cpu in np.median(found, axis=0)]


def assert_agreement(
    contenders: list[Contender], exact: np.ndarray, exact_error: float, settings: Settings
) -> dict[str, float]:
    """Return for each contender the largest difference from the reference, in standard errors.

    The mean of many runs against the reference, over the scatter of the runs. Raises
    ``AssertionError`` beyond 5, which chance gives less than once in ten thousand runs.
    """
    found = {}
    for contender in contenders:
        samples, runs = max(contender.fewest, settings.pilot_samples), 4 * settings.seeds
        cdfs = np.array([contender.cdf(samples, 500 + seed) for seed in range(runs)])
        error = np.hypot(cdfs.std(axis=0, ddof=1) / np.sqrt(runs), exact_error + 1e-6)
        found[contender.name] = float(np.abs((cdfs.mean(axis=0) - exact) / error).max())
        assert found[contender.name] < 5, f"{contender.name} is biased: {found}"
    return found


# The page


def machine() -> str:
    """Return the machine and the versions in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    widest = next((f for f in ("avx512f", "avx2", "avx") if f" {f} " in f"{flags} "), "")
    packages = ", ".join(f"{package} {version(package)}" for package in ("jax", "numpy"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = names[0] if names else platform.processor() or platform.machine()
    python = platform.python_version()
    return f"{processor}, {cores} cores, {widest or 'no AVX'}; Python {python}, {packages}"


def page(settings: Settings) -> str:
    """Return the Markdown page: what was compared, on what, and the ratios."""
    scenario = without_fits()
    exact, exact_error = reference(scenario, settings.reference_samples)
    problem = engine.prepare(scenario, {}, dtype=np.float32)
    ours = [
        Contender(
            f"this package, {replicates} scramble{'s' if replicates > 1 else ''}",
            partial(_kernel, problem, replicates),
            replicates * ensemble.TILE,
        )
        for replicates in (1, engine.REPLICATES)
    ]
    plain = Contender(
        "NumPy samples x years",
        partial(numpy_cdf, scenario, problem.years - problem.years[0]),
        2**10,
    )
    compile_wall, compile_cpu = seconds(partial(ours[0].cdf, ours[0].fewest, 0))
    seconds(partial(ours[1].cdf, ours[1].fewest, 0))
    agreement = assert_agreement([ours[1], plain], exact, exact_error, settings)
    rows = []
    for target in settings.targets:
        entries = [smallest(c, exact, target, settings) for c in (*ours, plain)]
        times = interleaved(entries, settings)
        slowest_wall, slowest_cpu = times[-1]
        for entry, (wall, cpu) in zip(entries, times, strict=True):
            note = " (extrapolated)" if entry.extrapolated else ""
            rows.append(
                f"| {target:g} | {entry.contender.name} | 2^{int(np.log2(entry.samples))}{note} | "
                f"{entry.error:.1e} | {1e3 * wall:,.1f} | {1e3 * cpu:,.1f} | "
                f"{slowest_cpu / cpu:,.0f} | {slowest_wall / wall:,.0f} |"
            )
    worst = ", ".join(f"{name} {z:.1f}" for name, z in agreement.items())
    return _TEXT.format(
        machine=machine(),
        inputs=problem.inputs.location.size,
        years=len(problem.years),
        exact_error=exact_error,
        agreement=worst,
        compile_wall=compile_wall,
        compile_cpu=compile_cpu,
        rounds=settings.rounds,
        seeds=settings.seeds,
        rows="\n".join(rows),
    )


def _kernel(problem: engine.Problem, replicates: int, samples: int, seed: int) -> np.ndarray:
    return kernel_cdf(problem, samples, seed, replicates)


_TEXT = """# Time to a given accuracy of the arrival distribution

*Written by `python -m benchmarks.forecast_kernel --write`; machine: {machine}.*

The scenario `baseline` with priors about as wide as its posteriors in place of its fits: {inputs} uncertain inputs,
{years} years, 9 components of the requirement. Error is the largest error of the arrival CDF over the years, root mean
square over {seeds} seeds, against a float64 reference whose own standard error is {exact_error:.0e}. Each contender gets the fewest
samples, a power of two, that reach the target. The NumPy contender draws all inputs and the requirement, forms the samples x
years matrix, drops samples that have arrived by now, and counts first crossings. Contenders agree with the reference (mean
of many runs, largest difference in standard errors: {agreement}).

Times are warm, the median of {rounds} rounds in which the contenders take turns. Compilation, once a structure of scenario,
takes {compile_wall:.1f} s ({compile_cpu:.1f} s of CPU). Ratios are NumPy over this package. With one scramble there is no error
estimate; a forecast uses 16.

| target error | contender | samples | error | wall [ms] | CPU [ms] | ratio, CPU | ratio, wall |
|---:|---|---:|---:|---:|---:|---:|---:|
{rows}
"""


def main() -> None:
    """Print the page; --write also puts it into docs/, --quick uses coarse targets."""
    settings = QUICK if "--quick" in sys.argv[1:] else Settings()
    text = page(settings)
    sys.stdout.write(text)
    if "--write" in sys.argv[1:]:
        write_text(PAGE, text)


if __name__ == "__main__":
    main()
