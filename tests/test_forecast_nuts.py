"""NUTS: exact posteriors, nodes summed over, and checkpoints that give the same draws."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.forecast import nuts
from scipy import stats

MEAN = np.array([3.0, -1.0])
COVARIANCE = np.array([[4.0, 1.1], [1.1, 0.5]])
ONE_NODE = np.zeros((1, 1))
START = np.array([[0.0, 0.0], [5.0, 1.0]])
SETTINGS: dict[str, Any] = {"draws": 250, "warmup": 150}


def correlated(flat: jax.Array, _: jax.Array) -> jax.Array:
    away = jnp.linalg.solve(jnp.linalg.cholesky(jnp.asarray(COVARIANCE)), flat - MEAN)
    return -0.5 * jnp.sum(away**2)


def nothing(done: int, total: int) -> None:
    """Take a report of progress."""


def run(folder: Path | None, report: Any = nothing, **changed: Any) -> Any:
    return nuts.sample(
        correlated, START, ONE_NODE, 7, folder=folder, report=report, **(SETTINGS | changed)
    )


@pytest.fixture(scope="module")
def uninterrupted() -> Any:
    return run(None)


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1].keys() == expected[1].keys()
    for name, values in expected[1].items():
        np.testing.assert_array_equal(found[1][name], values)


# --- what it samples -----------------------------------------------------------------------------


def test_mean_and_covariance_of_a_normal_density(uninterrupted: Any) -> None:
    flat, statistics = run(None, draws=2000)
    assert flat.shape == (4000, 2)
    # Draws of NUTS on a normal density are about as good as independent ones; be modest.
    error = 4 * np.sqrt(np.diag(COVARIANCE) / (len(flat) / 2))
    assert (np.abs(flat.mean(axis=0) - MEAN) < error).all()
    np.testing.assert_allclose(np.cov(flat, rowvar=False), COVARIANCE, rtol=0.15)
    assert not statistics["diverging"].any()
    # More draws of the same chains begin with the fewer.
    np.testing.assert_array_equal(
        flat.reshape(2, 2000, 2)[:, :250], uninterrupted[0].reshape(2, 250, 2)
    )


def test_nodes_are_summed_over() -> None:
    # Node (place, weight): overlapping normals, so that the sum is a mixture.
    nodes = np.array([[-1.0, 0.7], [1.5, 0.3]])

    def log_density(flat: jax.Array, node: jax.Array) -> jax.Array:
        return jnp.log(node[1]) - 0.5 * jnp.sum((flat - node[0]) ** 2)

    flat, _ = nuts.sample(
        log_density, np.zeros((2, 1)), nodes, 3, draws=1200, warmup=200, report=nothing
    )
    mixture = 0.7 * stats.norm(-1).cdf(flat[:, 0]) + 0.3 * stats.norm(1.5).cdf(flat[:, 0])
    # A third of the draws counts as independent.
    assert stats.kstest(mixture, "uniform").statistic < 1.95 / np.sqrt(len(flat) / 3)


def test_statistics_have_a_value_for_each_draw(uninterrupted: Any) -> None:
    _, statistics = uninterrupted
    assert set(statistics) == {"diverging", "energy", "num_steps", "accept_prob"}
    assert all(values.shape == (2, 250) for values in statistics.values())


# --- interruptions -------------------------------------------------------------------------------


class Interrupted(Exception):
    """The user has had enough."""


def test_an_interrupted_run_goes_on_to_the_same_draws(tmp_path: Path, uninterrupted: Any) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 400:  # of two chains: after the second block
            raise Interrupted

    with pytest.raises(Interrupted):
        run(tmp_path, stop)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(before) == ["block-000000.npz", "block-000001.npz"]
    steps: list[tuple[int, int]] = []
    assert_same(run(tmp_path, lambda done, total: steps.append((done, total))), uninterrupted)
    assert steps == [(200, 800), (400, 800), (600, 800), (800, 800)]
    # What was there has been read, not made again.
    assert before.items() <= {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}.items()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
import test_forecast_nuts as case

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "between blocks":
    case.run(Path(sys.argv[2]), lambda done, total: done >= 600 and die())
else:
    # In the middle of the third file: part of it is written, and it has no name yet.
    real, calls = os.fsync, []
    def fsync(file):
        calls.append(file)
        if len(calls) == 3:
            os.ftruncate(file, 1000)
            die()
        real(file)
    os.fsync = fsync
    case.run(Path(sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize(("moment", "blocks"), [("between blocks", 3), ("while writing", 2)])
def test_a_killed_run_goes_on_to_the_same_draws(
    tmp_path: Path, uninterrupted: Any, moment: str, blocks: int
) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), moment]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(tmp_path.glob("block-*.npz"))) == blocks
    assert_same(run(tmp_path), uninterrupted)


# --- checkpoints that are not to be used ---------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(folder)
    return folder


def copied(finished: Path, folder: Path) -> Path:
    for path in finished.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << (place % 8)
    return bytes(changed)


def test_a_damaged_block_is_sampled_again(
    tmp_path: Path, finished: Path, uninterrupted: Any
) -> None:
    folder = copied(finished, tmp_path)
    path = folder / "block-000001.npz"
    content = path.read_bytes()
    path.write_bytes(flipped(content, len(content) // 2))
    assert_same(run(folder), uninterrupted)
    assert path.read_bytes() == content


def test_no_damage_goes_unnoticed(tmp_path: Path, finished: Path) -> None:
    whole = (finished / "block-000000.npz").read_bytes()
    path = tmp_path / "block.npz"
    with np.load(finished / "block-000000.npz") as stored:
        digest = stored["digest"].tobytes()
        like = [stored[f"state_{k}"] for k in range(sum(n.startswith("state_") for n in stored))]
    expected = nuts._read(finished / "block-000000.npz", digest, like)
    assert expected is not None
    for damaged in (b"", b"not an archive", whole[:-200], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        assert nuts._read(path, digest, like) is None
    assert nuts._read(tmp_path / "missing.npz", digest, like) is None
    for place in np.random.default_rng(0).integers(len(whole), size=300):
        path.write_bytes(flipped(whole, int(place)))
        found = nuts._read(path, digest, like)
        if found is not None:  # a byte that says nothing, such as a date of the archive
            for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_blocks_of_another_posterior_or_run_have_another_digest() -> None:
    def shifted(by: float) -> nuts.LogDensity:
        data = np.arange(40.0)
        data[17] += by
        return lambda flat, node: -jnp.sum((flat[0] + node[0] * flat[1] - data) ** 2)

    with jax.enable_x64(True):
        usual = (shifted(0.0), START, ONE_NODE, 7, 150)
        digests = [
            nuts._digest(*usual),
            nuts._digest(shifted(1e-12), *usual[1:]),
            nuts._digest(usual[0], START + 1e-12, *usual[2:]),
            nuts._digest(*usual[:2], ONE_NODE + 1e-12, *usual[3:]),
            nuts._digest(*usual[:3], 8, 150),
            nuts._digest(*usual[:4], 151),
        ]
        again = nuts._digest(shifted(0.0), *usual[1:])
    assert digests[0] == again
    assert len(set(digests)) == len(digests)


@pytest.mark.slow
def test_a_folder_of_another_run_does_not_mix_in(
    tmp_path: Path, finished: Path, uninterrupted: Any
) -> None:
    folder = copied(finished, tmp_path)
    other = nuts.sample(correlated, START, ONE_NODE, 8, folder=folder, report=nothing, **SETTINGS)
    expected = nuts.sample(correlated, START, ONE_NODE, 8, report=nothing, **SETTINGS)
    assert_same(other, expected)
    assert not np.array_equal(other[0], uninterrupted[0])
