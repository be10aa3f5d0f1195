"""What throughput.py measures: tasks for processes that take turns."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from . import yardstick

SEED = 7


class Worker:
    """A process that does one task after the other, and answers in JSON.

    devices: virtual devices of JAX; pinned: on one core only
    """

    def __init__(self, *, devices: int = 1, pinned: bool = False) -> None:
        command = [sys.executable, "-m", "benchmarks.throughput", "--worker", str(devices)]
        self.process = subprocess.Popen(
            [*command, *["--pinned"] * pinned],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, task: str, **given: Any) -> dict[str, Any]:
        """Return the answer of a task, by name. Raises ``RuntimeError`` if the process dies."""
        self.process.stdin.write(json.dumps({"task": task} | given) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {task} died")
        return json.loads(line)


def work(devices: int, pinned: bool) -> None:
    """Be a worker: read tasks from standard input until it ends."""
    if pinned and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    for line in sys.stdin:
        given = json.loads(line)
        answer = TASKS[given.pop("task")](**given)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


@cache
def prepared(replicates: int) -> Any:
    """Return (problem, computed years) of the scenario without fits."""
    from aitimelines.forecast.problem import prepare
    from aitimelines.forecast.year_grid import computed_years

    from .measure import with_points, without_fits

    problem = prepare(without_fits(), {}, dtype=np.float32)
    return with_points(problem, SEED, replicates), computed_years(len(problem.years))


def time_kernel(samples: int) -> dict[str, float]:
    """Time the kernel on all devices of this process; seconds."""
    from .measure import kernel_means, seconds

    problem, chosen = prepared(16)
    wall, cpu = seconds(lambda: kernel_means(problem, chosen, samples))
    return {"wall": wall, "cpu": cpu}


def time_against_c(samples: int, rounds: int, libraries: dict[str, str]) -> dict[str, Any]:
    """Time the kernel and the yardstick in turns, CPU seconds; one scramble."""
    from .measure import kernel_means, seconds

    problem, chosen = prepared(1)
    given = yardstick.arguments(problem, chosen)
    loaded = {name: ctypes.CDLL(path) for name, path in libraries.items()}
    expected = kernel_means(problem, chosen, samples)[0]
    differences = {
        name: float(np.abs(yardstick.means(library, given, samples) - expected).max())
        for name, library in loaded.items()
    }
    found: dict[str, list[float]] = {"kernel": [], **{name: [] for name in loaded}}
    for _ in range(rounds):
        found["kernel"].append(seconds(lambda: kernel_means(problem, chosen, samples))[1])
        for name, library in loaded.items():
            found[name].append(seconds(lambda x=library: yardstick.means(x, given, samples))[1])
    some = next(iter(loaded.values()))
    return {
        "cpu": found,
        "differences": differences,
        "nodes": len(chosen),
        "multiply_adds_per_ns": yardstick.multiply_adds_per_ns(some),
        "bytes_per_ns": yardstick.bytes_per_ns(some),
    }


def time_arrivals_against_c(samples: int, rounds: int, libraries: dict[str, str]) -> dict[str, Any]:
    """Time the kernel that counts arrivals and the yardstick in turns, CPU seconds."""
    import jax.numpy as jnp
    from aitimelines.forecast.arrivals import with_drawn_requirement
    from aitimelines.forecast.world import arrival_index
    from aitimelines.kernels.ensemble import TILE
    from aitimelines.kernels.histogram import replicate_counts

    from .measure import seconds, with_points

    problem = with_points(with_drawn_requirement(prepared(1)[0], SEED), SEED, 1)
    years = np.arange(len(problem.years))
    given = yardstick.arguments(problem, years)
    loaded = {name: ctypes.CDLL(path) for name, path in libraries.items()}
    index, tiles = arrival_index(problem.structure), jnp.arange(samples // TILE, dtype=jnp.int32)

    def kernel() -> np.ndarray:
        return np.asarray(replicate_counts(index, len(years) + 1, problem.ensemble, tiles))[0]

    expected = np.cumsum(kernel())
    found: dict[str, list[float]] = {"kernel": [], **{name: [] for name in loaded}}
    moved = {
        name: int(np.abs(np.cumsum(yardstick.arrivals(library, given, samples)) - expected).max())
        for name, library in loaded.items()
    }
    for _ in range(rounds):
        found["kernel"].append(seconds(kernel)[1])
        for name, library in loaded.items():
            found[name].append(seconds(lambda x=library: yardstick.arrivals(x, given, samples))[1])
    return {"cpu": found, "moved": max(moved.values())}


def time_operations() -> dict[str, Any]:
    """Count what the kernel computes."""
    from .operations import count_operations

    problem, chosen = prepared(1)
    found = count_operations(problem)
    inputs = problem.ensemble.inputs.location.size
    return found._asdict() | {"inputs": int(inputs), "nodes": len(chosen)}


def resident_bytes() -> int:
    """Return the resident memory of this process now; where that cannot be had, its peak.

    Without pages of files: how much of its libraries has been read is not memory it asked for.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        _, resident, of_files, *_ = map(int, statm.read_text().split())
        return (resident - of_files) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def use_memory(samples: int) -> dict[str, float]:
    """Return the largest resident set [byte] during a forecast, and its wall seconds."""
    import time

    from aitimelines.forecast.world import passage_curve
    from aitimelines.kernels import ensemble

    problem, chosen = prepared(16)
    stacked = ensemble.stack([problem.ensemble._replace(nodes=problem.ensemble.nodes[chosen])])
    least = 16 * ensemble.TILE
    samples = -(-samples // least) * least
    curve, mesh, begin = passage_curve(problem.structure), ensemble.device_mesh(), time.time()
    most = 0
    for _ in ensemble.replicate_means(curve, stacked, samples, mesh=mesh):
        most = max(most, resident_bytes())
    return {"bytes": most, "samples": samples, "wall": time.time() - begin}


def time_scenarios(count: int, alone: int) -> dict[str, Any]:
    """Time many scenarios of one structure in one call, and one after the other; 2^13 points each."""
    import jax.numpy as jnp
    from aitimelines.forecast.problem import prepare
    from aitimelines.forecast.timeline import BATCH, timelines
    from aitimelines.kernels import ensemble

    from .measure import seconds, without_fits

    base, _ = prepared(8)
    samples, rng = 8 * ensemble.TILE, np.random.default_rng(SEED)

    def varied() -> Any:
        """Return a scenario with other priors and another requirement."""
        inputs, shared = base.ensemble.inputs, base.ensemble.shared
        moved = inputs.location + 0.2 * inputs.scale * rng.standard_normal(inputs.scale.shape)
        by = jnp.asarray(shared.parameters).at[:, 0].add(rng.standard_normal())
        ensemble_ = base.ensemble._replace(
            inputs=inputs._replace(location=moved.astype(inputs.location.dtype)),
            shared=shared._replace(parameters=by),
        )
        return base._replace(ensemble=ensemble_)

    problems = [varied() for _ in range(count)]
    before = ensemble.tile_sums._cache_size()
    first = seconds(lambda: timelines(problems[: min(BATCH, count)], samples))
    batch = seconds(lambda: timelines(problems, samples))
    compiled = ensemble.tile_sums._cache_size() - before
    timelines(problems[:1], samples)
    one = seconds(lambda: [timelines([each], samples) for each in problems[:alone]])
    scenario = without_fits()
    return {
        "compiled": compiled,
        "first": first,
        "batch": [part / count for part in batch],
        "alone": [part / alone for part in one],
        "prepare": seconds(lambda: prepare(scenario, {}, dtype=np.float32), least=0.3),
        "batch_size": BATCH,
    }


def time_gradient(samples: int, rounds: int) -> dict[str, Any]:
    """Time the gradient of P(arrival by a year) by all inputs, and the CDF, in turns; CPU seconds."""
    import jax
    import jax.numpy as jnp
    from aitimelines.forecast.world import passage_curve
    from aitimelines.kernels import ensemble
    from aitimelines.kernels.gradient import replicate_gradients

    from .measure import kernel_means, seconds

    problem, chosen = prepared(16)
    curve = passage_curve(problem.structure)
    one = problem.ensemble._replace(nodes=problem.ensemble.nodes[np.array([0, 20])])
    tiles = jnp.arange(samples // (16 * ensemble.TILE), dtype=jnp.int32)

    def gradient() -> object:
        return jax.block_until_ready(replicate_gradients(curve, one, tiles))

    calls = {"gradient": gradient, "cdf": lambda: kernel_means(problem, chosen, samples)}
    for call in calls.values():
        call()
    times = [{name: seconds(call)[1] for name, call in calls.items()} for _ in range(rounds)]
    return {name: float(np.median([turn[name] for turn in times])) for name in calls}


def time_requirements(count: int) -> dict[str, Any]:
    """Time the timelines of many requirements from one histogram, and of one; CPU seconds."""
    from aitimelines.forecast.variants import requirement_variants

    from .measure import seconds, without_fits

    scenario = without_fits()
    base = scenario.requirement.model_dump()
    first, *others = base["components"]

    def moved(by: float) -> dict[str, Any]:
        own = first | {"normal": [bound + by for bound in first["normal"]]}
        return base | {"components": [own, *others]}

    variants = [moved(k / count) for k in range(count)]
    for few in (1, count):  # compile both
        requirement_variants(scenario, {}, variants[:few])
    one = seconds(lambda: requirement_variants(scenario, {}, variants[:1]))[1]
    return {"one": one, "all": seconds(lambda: requirement_variants(scenario, {}, variants))[1]}


def err_narrow(samples: int, seeds: int) -> dict[str, Any]:
    """Return the errors of forecasts for a narrow requirement, (seed,), and of plain Monte Carlo."""
    from aitimelines.forecast.narrow import smoothed
    from aitimelines.forecast.problem import prepare
    from aitimelines.forecast.scenario_files import scenario_from_dict
    from aitimelines.forecast.timeline import timelines

    from .contenders import numpy_program
    from .measure import one_scramble, seconds, with_points, without_fits

    values = without_fits().model_dump()
    known = {"name": "narrow", "weight": 0.9, "normal": [34 - 1.645 * 0.2, 34 + 1.645 * 0.2]}
    table = values["requirement"] | {"components": [known]}
    scenario = scenario_from_dict(values | {"requirement": table})
    problem = prepare(scenario, {}, dtype=np.float32)

    def forecast(seed: int, samples: int) -> np.ndarray:
        (found,) = timelines([with_points(problem, seed, 16)], samples)
        return found["arrival_cdf"].to_numpy()

    exact, direct = forecast(10**6, 16 * samples), smoothed(problem)
    cdfs: dict[str, Callable[[int], np.ndarray]] = {
        "ours": lambda seed: forecast(seed, samples),
        "one_scramble": lambda seed: one_scramble(direct, samples, seed),
        "plain": lambda seed: numpy_program(scenario, samples, seed).cdf(),
    }
    errors = {
        name: [float(np.abs(cdf(seed) - exact).max()) for seed in range(seeds)]
        for name, cdf in cdfs.items()
    }
    return errors | {"us": 1e6 * seconds(lambda: cdfs["ours"](0))[1] / samples}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    task.__name__: task
    for task in (
        *(time_kernel, time_against_c, time_arrivals_against_c, time_operations, use_memory),
        *(time_scenarios, time_gradient, time_requirements, err_narrow),
    )
}
