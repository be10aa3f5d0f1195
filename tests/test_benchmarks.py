"""The benchmarks compare like with like: contenders agree, and the pages add up."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aitimelines.forecast.problem import prepare
from aitimelines.forecast.year_grid import computed_years
from aitimelines.kernels import ensemble

from benchmarks import contenders, forecast_kernel, throughput, yardstick
from benchmarks.measure import blocks, conditioned, kernel_means, with_points, without_fits
from benchmarks.operations import count_operations

SAMPLES = 2**12
NEEDS = forecast_kernel.NEEDS


@pytest.fixture(scope="module")
def problem() -> Any:
    return with_points(prepare(without_fits(), {}, dtype=np.float32), 7, 1)


@pytest.fixture(scope="module")
def means(problem: Any) -> np.ndarray:
    """Return P(reached by each year) from the kernel, error 5e-4."""
    every = np.arange(len(problem.years))
    return kernel_means(problem, every, SAMPLES, mesh=ensemble.device_mesh(1))[0]


@pytest.mark.parametrize("name", forecast_kernel.PROGRAMS)
def test_contenders_agree_with_the_kernel(name: str, problem: Any, means: np.ndarray) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    scenario, runs = without_fits(), 4
    np.testing.assert_allclose(
        contenders.years_from_now(scenario), problem.years - problem.years[0], atol=1e-9
    )
    found = [
        forecast_kernel.PROGRAMS[name](scenario, contenders.CHUNK, seed).cdf()
        for seed in range(runs)
    ]
    expected = conditioned(means)
    # Binomial, with the error of the kernel; over the years the largest of a handful that are free.
    error = np.sqrt(expected * (1 - expected) / (runs * contenders.CHUNK)) + 5e-4
    assert (np.abs(np.mean(found, axis=0) - expected) < 4.5 * error).all()
    assert np.std(found, axis=0)[1:].all()  # seeds count


def test_yardstick_agrees_with_the_kernel(problem: Any, means: np.ndarray, tmp_path: Path) -> None:
    try:
        libraries = yardstick.build(tmp_path)
    except yardstick.NotBuiltError as error:
        pytest.skip(str(error))
    chosen = computed_years(len(problem.years))
    given = yardstick.arguments(problem, chosen)
    for library in libraries.values():
        found = yardstick.means(ctypes.CDLL(library), given, SAMPLES)
        np.testing.assert_allclose(found, means[chosen], rtol=0, atol=1e-6)


def test_operations_are_those_of_the_formulas(problem: Any) -> None:
    found = count_operations(problem)
    # Exponentials, each of which rounds once: seven bounds, two gains under a ceiling on each of
    # two paths, where one of two is 1; and compute, price-performance and two gains slow, while
    # gross product slows alike in all draws.
    assert found.a_node["round"] == 7 + 2 * 2 + 4
    # Functions of the normal distribution are ratios of polynomials.
    assert found.a_node["div"] == len(problem.structure.kinds)


def test_table_and_goals_follow_from_the_times() -> None:
    one, blocked, whole = forecast_kernel.OURS
    rows = [
        forecast_kernel.Row(1e-3, one, "2^10", 9e-4, 2e-3, 1e-3),
        forecast_kernel.Row(1e-3, blocked, "2^12", 4e-4, 5e-3, 4e-3),
        forecast_kernel.Row(1e-3, whole, "2^14", 2e-4, 3e-2, 2e-2),
        forecast_kernel.Row(1e-3, "NumPy, samples x years", "1e+06", 1e-3, 30.0, 20.0),
    ]
    last = forecast_kernel.table(rows).splitlines()[-1]
    assert last.endswith("| 20,000.0 | 20,000 | 5,000 | 1,000 |")
    first, *rest = forecast_kernel.verdicts(rows).splitlines()
    assert first.endswith("| 20,000, reached | 5,000, reached | 1,000, **missed**: 33% of it |")
    assert [line.count("did not run") for line in rest] == [3, 3]


def test_blocks_of_a_scramble_are_that_scramble(problem: Any) -> None:
    size, count = 2 * ensemble.TILE, 3
    whole = np.asarray(
        ensemble.first_inputs(problem.ensemble.inputs, problem.ensemble.points, 2**13)
    )
    parts = blocks(problem, count, size).ensemble
    found = np.asarray(ensemble.first_inputs(parts.inputs, parts.points, size))
    np.testing.assert_array_equal(found, whole[: count * size])


def test_a_worker_answers_and_goes(problem: Any) -> None:
    with throughput.Worker(devices=2) as worker:
        found = worker.ask("time_operations")
        assert found["a_node"]["div"] == len(problem.structure.kinds)
        with pytest.raises(RuntimeError, match="process of no such task died"):
            worker.ask("no such task")
    assert worker.process.returncode == 1
