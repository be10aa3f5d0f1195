"""The same answer for any chunk and any number of devices, with an honest error."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels import ensemble, quasi_random
from aitimelines.kernels.ensemble import TILE, Ensemble, Inputs, replicate_means, stack
from jax.scipy.special import ndtr
from scipy import stats

REPLICATES = 16
INPUTS_AT = jax.jit(ensemble.inputs_at, static_argnums=4)
BITS_AT = jax.jit(quasi_random.bits_at)
LOCATION = np.array([0.3, 2.0, -1.0, 0.1])
SCALE = np.array([1.2, 0.8, 2.0, 0.4])
IS_UNIFORM = np.array([False, True, False, True])
IS_LOG = np.array([False, False, True, True])


def posterior(dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Return rows for each replicate, (replicate, row, column), of which 37 is no power of two."""
    rows = np.random.default_rng(0).normal(size=(REPLICATES, 37, 2))
    return rows.astype(dtype)


def inputs(dtype: type[np.floating] = np.float32) -> Inputs:
    return Inputs(
        (jnp.asarray(posterior(dtype)),),
        jnp.asarray(LOCATION, dtype),
        jnp.asarray(SCALE, dtype),
        jnp.asarray(IS_UNIFORM),
        jnp.asarray(IS_LOG),
    )


def points(seed: int = 0) -> quasi_random.Points:
    """Return more dimensions than most tests need: every shape of them is a compilation."""
    return quasi_random.randomise(jax.random.key(seed), 6, REPLICATES)


def curve(values: jax.Array, shift: jax.Array, year: jax.Array) -> jax.Array:
    """Return the probability at a year, from all inputs of a draw."""
    slope, level, first, second, third, fourth = values
    path = first + level + jnp.log1p(third) + jnp.exp(0.1 * slope) * fourth * year
    return ndtr(path - second + shift)


def years(dtype: type[np.floating] = np.float32) -> jax.Array:
    return jnp.linspace(0, 6, 24, dtype=dtype)


def alone(
    given: Inputs,
    made: quasi_random.Points,
    shared: object = np.float32(0),
    nodes: jax.Array | None = None,
) -> Ensemble:
    """Return one ensemble as a stack."""
    at = years(given.location.dtype.type) if nodes is None else nodes
    return stack([Ensemble(given, jax.tree.map(jnp.asarray, shared), at, made)])


def last(means: Iterator[tuple[int, np.ndarray]]) -> np.ndarray:
    *_, (_, values) = means
    return values[0]


def means(tiles: int, *, devices: int = 8, chunk: int = 6, seed: int = 0) -> np.ndarray:
    mesh = ensemble.device_mesh(devices)
    samples = REPLICATES * tiles * TILE
    given = alone(inputs(), points(seed))
    return last(replicate_means(curve, given, samples, mesh=mesh, chunk=chunk))


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return means(3)


# --- the same answer -----------------------------------------------------------------------------


def test_there_are_eight_devices() -> None:
    assert len(jax.devices()) == 8


@pytest.mark.parametrize(("devices", "chunk"), [(1, 1), (1, 3), (1, 64), (2, 3), (8, 1), (8, 3)])
def test_bits_do_not_depend_on_chunk_or_devices(
    reference: np.ndarray, devices: int, chunk: int
) -> None:
    assert means(3, devices=devices, chunk=chunk).tobytes() == reference.tobytes()


@pytest.mark.parametrize("together", [2, 5])
def test_bits_do_not_depend_on_how_many_tiles_run_side_by_side(
    reference: np.ndarray, together: int
) -> None:
    """As on accelerators, on which all tiles of a call do."""
    given, mesh = alone(inputs(), points()), ensemble.device_mesh(1)
    steps = replicate_means(
        curve, given, REPLICATES * 3 * TILE, mesh=mesh, chunk=10, together=together
    )
    assert last(steps).tobytes() == reference.tobytes()


def test_bits_do_not_depend_on_how_many_devices_the_process_has(reference: np.ndarray) -> None:
    environment = os.environ | {"XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    devices, digits = done.stdout.split()
    assert (int(devices), bytes.fromhex(digits)) == (1, reference.tobytes())


def test_bits_do_not_depend_on_the_batch(reference: np.ndarray) -> None:
    others = [alone(inputs(), points(seed), np.float32(seed)) for seed in (0, 1, 2)]
    batch = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *others)
    samples, mesh = REPLICATES * 3 * TILE, ensemble.device_mesh(2)
    *_, (done, together) = replicate_means(curve, batch, samples, mesh=mesh, chunk=7)
    assert (done, together.shape) == (3 * samples, (3, *reference.shape))
    assert together[0].tobytes() == reference.tobytes()
    for own, given in zip(together, others, strict=True):
        alone_ = last(replicate_means(curve, given, samples, mesh=mesh, chunk=7))
        assert own.tobytes() == alone_.tobytes()


def test_means_against_numpy(reference: np.ndarray) -> None:
    made = points()
    index = np.arange(3 * TILE, dtype=np.uint32)
    for replicate in (0, REPLICATES - 1):
        bits = np.asarray(
            BITS_AT(made.directions[replicate], made.shifts[replicate], jnp.asarray(index))
        )
        u = (bits + 0.5) / 2.0**32
        base = np.where(IS_UNIFORM[:, None], u[1:5], stats.norm.ppf(u[1:5]))
        value = LOCATION[:, None] + SCALE[:, None] * base
        first, second, third, fourth = np.where(IS_LOG[:, None], np.exp(value), value)
        slope, level = posterior()[replicate][(u[0] * 37).astype(int)].T
        path = first + level + np.log1p(third) + np.exp(0.1 * slope) * fourth * years()[:, None]
        expected = stats.norm.cdf(path - second).mean(axis=1)
        np.testing.assert_allclose(reference[replicate], expected, rtol=0, atol=1e-6)


def test_float32_is_float64_within_1e_6(reference: np.ndarray) -> None:
    made, mesh = points(), ensemble.device_mesh(1)
    samples = REPLICATES * 3 * TILE
    with jax.enable_x64(True):
        given = alone(inputs(np.float64), made, np.float64(0))
        double = last(replicate_means(curve, given, samples, mesh=mesh))
    np.testing.assert_allclose(reference, double, rtol=0, atol=1e-6)


def test_progress_is_told_and_ends_with_all_samples() -> None:
    samples = REPLICATES * 3 * TILE
    mesh = ensemble.device_mesh(2)
    steps = list(replicate_means(curve, alone(inputs(), points()), samples, mesh=mesh, chunk=9))
    done = [number for number, _ in steps]
    assert done == [18 * TILE, 36 * TILE, samples]
    # What is not done yet counts as zero.
    assert (np.diff([values.sum() for _, values in steps]) > 0).all()


# --- memory and compilation ----------------------------------------------------------------------


def live_bytes(tiles: int) -> tuple[int, int]:
    """Return what all arrays hold at most while samples are averaged, and afterwards."""
    most = 0
    samples, mesh = REPLICATES * tiles * TILE, ensemble.device_mesh(8)
    for _ in replicate_means(curve, alone(inputs(), points()), samples, mesh=mesh, chunk=1):
        most = max(most, sum(array.nbytes for array in jax.live_arrays()))
    gc.collect()
    return most, sum(array.nbytes for array in jax.live_arrays())


def test_memory_does_not_grow_with_the_samples() -> None:
    assert live_bytes(1) == live_bytes(64)


def test_one_compilation_for_all_sample_counts_and_values() -> None:
    def shifted(values: jax.Array, offset: jax.Array, year: jax.Array) -> jax.Array:
        return ndtr(values[2] + offset + year)

    mesh = ensemble.device_mesh(2)
    before = ensemble.tile_sums._cache_size()
    for tiles, shift in ((1, 0.0), (2, 0.5), (7, 1.0)):
        moved = inputs()._replace(location=jnp.asarray(LOCATION + shift, jnp.float32))
        given = alone(moved, points(tiles), np.float32(shift), years() + shift)
        last(replicate_means(shifted, given, REPLICATES * tiles * TILE, mesh=mesh, chunk=16))
    assert ensemble.tile_sums._cache_size() - before == 1


# --- what a draw is made of ----------------------------------------------------------------------


def joint(values: jax.Array, _: None, question: jax.Array) -> jax.Array:
    """Return whether both columns of each record come from the same row of the same replicate."""
    number, negative, square_root, square = values[:4]
    answers = jnp.array([number == -negative, square_root**2 == square, number == square_root])
    return answers[question].astype(jnp.float32)


def test_posterior_rows_stay_joint() -> None:
    numbers = np.arange(REPLICATES * 64, dtype=np.float32).reshape(REPLICATES, 64)
    records = (
        jnp.asarray(np.stack([numbers, -numbers], axis=-1)),
        jnp.asarray(np.stack([numbers, numbers**2], axis=-1)),
    )
    given = inputs()._replace(rows=records)
    mesh = ensemble.device_mesh(1)
    asked = alone(given, points(1), None, jnp.arange(3))
    values = last(replicate_means(joint, asked, REPLICATES * TILE, mesh=mesh))
    np.testing.assert_array_equal(values[:, :2], 1)
    # Rows of different records are independent: the same one in 64 draws of 4096.
    assert 0.3 / 64 < values[:, 2].mean() < 3 / 64


def test_each_replicate_draws_its_own_rows_equally_often() -> None:
    rows = np.arange(REPLICATES * 32, dtype=np.float32).reshape(REPLICATES, 32, 1)
    given = inputs()._replace(rows=(jnp.asarray(rows),))
    made = points()
    for replicate in (0, 7):
        drawn = INPUTS_AT(given, made, jnp.int32(replicate), jnp.uint32(0), TILE)[0]
        found, counts = np.unique(np.asarray(drawn), return_counts=True)
        np.testing.assert_array_equal(found, rows[replicate, :, 0])
        np.testing.assert_array_equal(counts, TILE // 32)


def test_inputs_have_their_distributions() -> None:
    drawn = INPUTS_AT(inputs(), points(), jnp.int32(3), jnp.uint32(0), 2**13)
    drawn = np.asarray(drawn, dtype=float)[2:]
    expected = [
        stats.norm(0.3, 1.2),
        stats.uniform(2.0, 0.8),
        stats.lognorm(s=2.0, scale=np.exp(-1)),
        stats.loguniform(np.exp(0.1), np.exp(0.5)),
    ]
    for column, distribution in zip(drawn, expected, strict=True):
        assert stats.kstest(column, distribution.cdf).statistic < 1e-3
    correlation = np.corrcoef(stats.rankdata(drawn, axis=1))
    assert np.abs(correlation - np.eye(4)).max() < 0.02


def test_dimension_counts_inputs_and_records() -> None:
    assert ensemble.dimension(inputs()) == 5


# --- errors --------------------------------------------------------------------------------------


def bad_below(values: jax.Array, limits: jax.Array, _: jax.Array) -> jax.Array:
    """Return NaN where the first input is below the first limit, +inf below the second."""
    bad = jnp.where(values[2] < limits[1], jnp.inf, 0.5)
    return jnp.where(values[2] < limits[0], jnp.nan, bad)


@pytest.mark.parametrize("which", [0, 1], ids=["NaN", "infinity"])
def test_nan_and_infinity_are_refused_and_the_tile_named(which: int) -> None:
    made = points()
    first = np.stack(
        [
            INPUTS_AT(inputs(), made, jnp.int32(replicate), jnp.uint32(tile * TILE), TILE)[2]
            for replicate in range(REPLICATES)
            for tile in range(3)
        ]
    )
    lowest = first.min(axis=1)
    limits = np.full(2, -np.inf, dtype=np.float32)
    limits[which] = np.sort(lowest)[1]  # exactly one tile has a draw below this
    given, mesh = alone(inputs(), made, limits), ensemble.device_mesh(2)
    steps = replicate_means(bad_below, given, REPLICATES * 3 * TILE, mesh=mesh, chunk=3)
    with pytest.raises(FloatingPointError, match=rf"in tile {np.argmin(lowest)}$"):
        last(steps)


@pytest.mark.parametrize("samples", [0, -REPLICATES * TILE, 1, TILE, REPLICATES * TILE + 1])
def test_sample_counts_that_do_not_divide_are_refused(samples: int) -> None:
    given = alone(inputs(), points())
    steps = replicate_means(curve, given, samples, mesh=ensemble.device_mesh(1))
    with pytest.raises(ValueError, match=f"^samples: got {samples}, expected a multiple of 16"):
        next(steps)


def test_more_samples_than_there_are_points_are_refused() -> None:
    samples = REPLICATES * (2**32 + TILE)
    given = alone(inputs(), points())
    steps = replicate_means(curve, given, samples, mesh=ensemble.device_mesh(1))
    with pytest.raises(ValueError, match=f"^samples: got {samples}"):
        next(steps)


@pytest.mark.parametrize("devices", [-1, 0, 9])
def test_device_counts_out_of_range_are_refused(devices: int) -> None:
    with pytest.raises(ValueError, match=f"^devices: got {devices}, expected 1 to 8"):
        ensemble.device_mesh(devices)


# --- gradients and the Monte Carlo error ---------------------------------------------------------


def test_gradient_of_a_probability_agrees_with_finite_differences() -> None:
    made = points()
    with jax.enable_x64(True):
        given = inputs(np.float64)

        @jax.jit
        def probability(location: jax.Array) -> jax.Array:
            moved = given._replace(location=location)
            values = ensemble.inputs_at(moved, made, jnp.int32(0), jnp.uint32(0), TILE)
            return jax.vmap(curve, in_axes=(1, None, None))(values, 0.0, 1.5).mean()

        gradient = np.asarray(jax.jit(jax.grad(probability))(given.location))
        step = 1e-4
        moves = step * np.eye(4)
        differences = [
            float(probability(LOCATION + move) - probability(LOCATION - move)) / (2 * step)
            for move in moves
        ]
    np.testing.assert_allclose(gradient, differences, rtol=1e-6)


def gaussian(values: jax.Array, threshold: jax.Array, _: jax.Array) -> jax.Array:
    return ndtr(threshold - values.sum())


def test_spread_between_replicates_is_the_error() -> None:
    seeds, threshold = 24, 1.0
    location, scale = np.array([0.2, -0.4, 0.5]), np.array([0.7, 0.4, 1.1])
    given = Inputs(
        (),
        jnp.asarray(location, jnp.float32),
        jnp.asarray(scale, jnp.float32),
        jnp.zeros(3, bool),
        jnp.zeros(3, bool),
    )
    exact = stats.norm.cdf((threshold - location.sum()) / np.sqrt(1 + np.sum(scale**2)))
    z = []
    for seed in range(seeds):
        one = alone(given, points(seed), np.float32(threshold), jnp.zeros(2))
        mesh = ensemble.device_mesh(8)
        values = last(replicate_means(gaussian, one, REPLICATES * TILE, mesh=mesh, chunk=2))[:, 0]
        standard_error = values.std(ddof=1) / np.sqrt(REPLICATES)
        assert standard_error < 1e-4
        z.append((values.mean() - exact) / standard_error)
    low, high = stats.chi2(seeds).ppf([1e-4, 1 - 1e-4]) / seeds
    assert low < np.mean(np.square(z)) < high
    assert abs(np.mean(z)) < 4 / np.sqrt(seeds)


if __name__ == "__main__":
    sys.stdout.write(f"{len(jax.devices())} {means(3, devices=1).tobytes().hex()}")


@pytest.mark.parametrize("most", [32, 256])
def test_few_calls_waste_little_and_long_runs_share_a_program(most: int) -> None:
    for tiles in range(1, 4 * most):
        size = ensemble._tiles_a_call(tiles, most)
        calls = -(-tiles // size)
        assert 1 <= size <= most
        assert calls == -(-tiles // most)
        assert calls * size - tiles < calls
    assert {ensemble._tiles_a_call(tiles, most) for tiles in (4 * most, 5 * most, 10**7)} == {most}


def test_the_default_chunk_gives_the_same_bits() -> None:
    samples = REPLICATES * 3 * TILE
    several = alone(inputs(), points())
    found = [
        list(replicate_means(curve, several, samples, mesh=ensemble.device_mesh(2), chunk=chunk))
        for chunk in (None, 7)
    ]
    assert found[0][-1][1].tobytes() == found[1][-1][1].tobytes()
    # 48 tiles on two devices: one call.
    assert len(found[0]) == 1
