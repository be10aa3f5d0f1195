"""What docs/reproducibility.md promises: same bits, same random numbers, or within a tolerance."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast import engine, storage
from aitimelines.forecast.problem import random_points
from aitimelines.forecast.scenario_files import load_scenario, to_toml
from aitimelines.kernels import quasi_random
from scipy import stats

GIVEN = {"fit": False, "level_year": 2026.5}


def baseline_without_fits(**changes: Any) -> Any:
    """Return the baseline with priors in place of its fits: every kind of input, in seconds."""
    return load_scenario(
        "baseline",
        as_of="2026-07-23",
        samples=2**14,
        training_compute=GIVEN
        | {"log10_level": {"normal": [26.9, 27.4]}}
        | {"doubling_time_years": {"lognormal": [0.40, 0.48]}},
        spending=GIVEN
        | {"log10_level": {"uniform": [8.3, 8.8]}}
        | {"doubling_time_years": {"lognormal": [0.6, 0.9]}},
        price_performance=GIVEN
        | {"log10_level": {"normal": [18.27, 18.44]}}
        | {"doubling_time_years": {"loguniform": [1.9, 2.4]}},
        algorithmic_progress={"fit": False, "doubling_time_years": {"lognormal": [0.68, 1.35]}},
        **changes,
    )


# A. The same bits in other processes, on other numbers of devices, from kept programs

_COMMAND = """
import collections, json, sys
from jax import monitoring
events = collections.Counter()
monitoring.register_event_listener(lambda event, **_: events.update([event.split("/")[-1]]))
from aitimelines.forecast import cli
cli.main(sys.argv[1:])
import jax
print(json.dumps([len(jax.devices()), events["cache_hits"], events["cache_misses"]]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a scenario file."""
    found = tmp_path_factory.mktemp("runs")
    views = [{"name": "a", "weight": 1, "two_piece_normal": [29, 32, 40]}]
    requirement = {"milestone": "m", "algorithms_year": 2022.0, "components": views}
    scenario = baseline_without_fits(requirement=requirement)
    (found / "small.toml").write_text(to_toml(scenario), encoding="utf-8")
    return found


ONE_DEVICE = "--xla_force_host_platform_device_count=1"


def run(folder: Path, name: str, cache: str, flags: str) -> tuple[int, int, int]:
    """Make the forecast in a process of its own; return (devices, programs found, not found)."""
    environment = {**os.environ, "XLA_FLAGS": flags, "AITIMELINES_CACHE": str(folder / cache)}
    environment["PYTHONHASHSEED"] = str(len(name))
    command = [sys.executable, "-c", _COMMAND, "run", str(folder / "small.toml")]
    command += ["--output", str(folder / name), "--progress", "none"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    devices, hits, misses = json.loads(done.stdout.splitlines()[-1])
    return devices, hits, misses


@pytest.fixture(scope="module")
def first(folder: Path) -> tuple[int, int, int]:
    return run(folder, "first", "cache", ONE_DEVICE)


def contents(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_four_devices_give_the_same_files(folder: Path, first: tuple[int, int, int]):
    devices, _, _ = run(folder, "on four", "other cache", ONE_DEVICE.replace("1", "4"))
    assert (first[0], devices) == (1, 4)
    one, four = contents(folder / "first"), contents(folder / "on four")
    assert one.keys() == four.keys()
    assert not [path for path in one if one[path] != four[path]]
    assert {Path("summary.json"), Path("timeline.svg")} < one.keys()


def test_a_second_process_compiles_nothing_and_gives_the_same_files(
    folder: Path, first: tuple[int, int, int]
):
    shutil.rmtree(folder / "cache" / "results")
    _, hits, misses = run(folder, "again", "cache", ONE_DEVICE)
    assert first[1] < first[2]  # nothing was kept before
    assert (misses, hits > 3) == (0, True)
    assert contents(folder / "first") == contents(folder / "again")


# B. The same random numbers with any version of JAX, derived anew from their definitions


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Return threefry2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers")."""
    keys = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    a, b = (counter[0] + keys[0]) % 2**32, (counter[1] + keys[1]) % 2**32
    for round_ in range(20):
        turn = ((13, 15, 26, 6), (17, 29, 16, 24))[round_ // 4 % 2][round_ % 4]
        a = (a + b) % 2**32
        b = (b << turn | b >> 32 - turn) % 2**32 ^ a
        if round_ % 4 == 3:
            part = round_ // 4 + 1
            a = (a + keys[part % 3]) % 2**32
            b = (b + keys[(part + 1) % 3] + part) % 2**32
    return a, b


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1,) * 2, (2**32 - 1,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_here_is_the_published_one(key: Any, counter: Any, words: Any):
    """Known answers of the authors' library Random123."""
    assert threefry(key, counter) == words


def expected_bits(seed: int, dimension: int, count: int, replicates: int = 16) -> np.ndarray:
    """Return the points of a forecast from their definitions, (replicate, dimension, point)."""
    key = threefry((0, seed), (0, 0))  # folded in: 0, the stream of the points
    words = [threefry(key, (0, p)) for p in range(replicates * dimension * 33)]
    random = np.array([a ^ b for a, b in words], dtype=np.uint64).reshape(replicates, dimension, 33)
    # SciPy's points come in the order of the Gray code; index i is its point number gray^-1(i).
    order = [number ^ number >> 1 for number in range(count)]
    plain = np.empty((count, dimension), dtype=np.uint64)
    plain[order] = stats.qmc.Sobol(dimension, scramble=False, bits=32).random(count) * 2.0**32
    found = np.empty((replicates, dimension, count), dtype=np.uint32)
    for r, d in np.ndindex(replicates, dimension):
        bits = np.zeros(count, dtype=np.uint64)
        for row in range(32):  # from the most significant bit
            own = 1 << 31 - row
            mask = int(random[r, d, row]) & ~(2 * own - 1) | own  # bits above are taken at random
            parity = np.bitwise_count(plain[:, d] & np.uint64(mask)) % 2
            bits |= parity.astype(np.uint64) * np.uint64(own)
        found[r, d] = bits ^ random[r, d, 32]
    return found


def bits_of(seed: int, dimension: int, count: int) -> np.ndarray:
    """Return the points that a forecast uses, (replicate, dimension, point)."""
    points = random_points(seed, dimension)
    index = jax.numpy.arange(count, dtype=jax.numpy.uint32)
    return np.array(
        [quasi_random.bits_at(d, s, index) for d, s in zip(*map(np.asarray, points), strict=True)]
    )


@pytest.mark.parametrize(("seed", "dimension"), [(0, 1), (20260723, 5), (2**32 - 1, 3)])
def test_points_are_those_of_their_definition(seed: int, dimension: int):
    count = 256
    np.testing.assert_array_equal(
        bits_of(seed, dimension, count), expected_bits(seed, dimension, count)
    )


def test_points_do_not_change():
    """Pinned once derived as above; another hash would be another stream of random numbers."""
    found = bits_of(20260723, 5, 256)
    assert found[0, :, 0].tolist() == WORDS
    assert hashlib.sha256(found.astype("<u4").tobytes()).hexdigest() == DIGEST


WORDS = [1488055102, 2059838501, 2177108865, 1772453558, 1096439730]
DIGEST = "151ab012e15f92f903f842656ba70b27f17baa3fe1863dc6b56f0eb8c9a371b3"


@pytest.mark.parametrize("partitionable", [True, False])
def test_points_do_not_depend_on_settings_of_jax(partitionable: bool):
    with jax.threefry_partitionable(partitionable), jax.default_prng_impl("rbg"):
        found = bits_of(7, 2, 64)
    np.testing.assert_array_equal(found, expected_bits(7, 2, 64))


# C. Other devices: within a tolerance, measured by the coarsest change there is


def test_float32_is_within_the_tolerance_of_float64(folder: Path, first: tuple[int, int, int]):
    """The page states what it is for the shipped scenarios, fits included."""
    single = storage.read(folder / "first")
    with jax.enable_x64(True):
        double = engine.simulate(load_scenario(folder / "small.toml"), {}, dtype=np.float64)
    assert 0 < largest(single, double, "timeline", "arrival_cdf") < 1e-5
    assert 0 < largest(single, double, "timeline", "arrival_year_quantile") < 0.5 / 365
    assert 0 < largest(single, double, "trajectories", "log10_effective_compute") < 1e-4


def largest(one: xr.DataTree, other: xr.DataTree, group: str, name: str) -> float:
    """Return the largest difference; what is infinite must be infinite in both."""
    first, second = (tree[group][name].to_numpy() for tree in (one, other))
    known = np.isfinite(first)
    np.testing.assert_array_equal(known, np.isfinite(second))
    return float(np.abs(first[known] - second[known]).max())
