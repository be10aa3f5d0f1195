"""The points are those of Sobol', stay so when scrambled, and their errors are honest."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels import quasi_random
from aitimelines.kernels.quasi_random import BITS, MAX_DIMENSION, Points
from scipy import special, stats

BITS_AT = jax.jit(quasi_random.bits_at)
NORMAL = jax.jit(quasi_random.normal, static_argnums=1)
OF_ALL_REPLICATES = jax.jit(jax.vmap(quasi_random.bits_at, in_axes=(0, 0, None)))
ALL_EDGES = [0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]


def integers(points: Points, replicate: int, index: np.ndarray) -> np.ndarray:
    """Return the points of one replicate as integers, (dimension, index)."""
    at = jnp.asarray(index, dtype=jnp.uint32)
    return np.asarray(BITS_AT(points.directions[replicate], points.shifts[replicate], at))


@cache
def all_scrambled(seed: int) -> Points:
    return quasi_random.randomise(jax.random.key(seed), MAX_DIMENSION, 128)


def scrambled(dimension: int, replicates: int, seed: int = 0) -> Points:
    """Return part of some points that are made once: every shape of them is a compilation."""
    every = all_scrambled(seed)
    return Points(every.directions[:replicates, :dimension], every.shifts[:replicates, :dimension])


def unscrambled(dimension: int) -> Points:
    directions = jnp.asarray(quasi_random.direction_numbers(dimension))[None]
    return Points(directions, jnp.zeros((1, dimension), jnp.uint32))


def replicate_estimates(points: Points, count: int) -> np.ndarray:
    """Return the mean of a smooth integrand, of which the integral is 1, from each replicate."""

    def estimate(directions: jax.Array, shift: jax.Array) -> jax.Array:
        bits = quasi_random.bits_at(directions, shift, jnp.arange(count, dtype=jnp.uint32))
        u = quasi_random.uniform(bits, jnp.float64)
        return jnp.prod(jnp.pi / 2 * jnp.sin(jnp.pi * u), axis=0).mean()

    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(estimate))(points.directions, points.shifts))


def test_unscrambled_points_are_those_of_scipy_in_every_dimension() -> None:
    count = 2**11
    theirs = stats.qmc.Sobol(MAX_DIMENSION, scramble=False, bits=BITS).random(count)
    order = np.arange(count)
    # SciPy walks through the points in Gray-code order.
    ours = integers(unscrambled(MAX_DIMENSION), 0, order ^ (order >> 1))
    np.testing.assert_array_equal(ours.T / 2.0**BITS, theirs)


def test_direction_numbers_make_an_invertible_matrix() -> None:
    numbers = quasi_random.direction_numbers(MAX_DIMENSION)
    leading = 1 << (BITS - 1 - np.arange(BITS, dtype=np.uint64))
    assert (numbers & leading == leading).all()
    assert (numbers & (leading - 1) == 0).all()


@pytest.mark.parametrize("log2_count", [4, 8, 12])
@pytest.mark.parametrize("block", [0, 5])
def test_every_projection_hits_every_dyadic_interval_once(log2_count: int, block: int) -> None:
    count = 2**log2_count
    bits = integers(scrambled(MAX_DIMENSION, 2), 1, block * count + np.arange(count))
    cells = np.sort(bits >> np.uint32(BITS - log2_count), axis=1)
    np.testing.assert_array_equal(cells, np.tile(np.arange(count), (MAX_DIMENSION, 1)))


def test_scrambling_keeps_the_first_two_dimensions_a_net() -> None:
    log2_count = 8
    first, second = integers(scrambled(2, 1), 0, np.arange(2**log2_count))
    for split in range(log2_count + 1):
        column = first.astype(np.int64) >> (BITS - split)
        row = second.astype(np.int64) >> (BITS - log2_count + split)
        rectangles = column * 2 ** (log2_count - split) + row
        np.testing.assert_array_equal(np.sort(rectangles), np.arange(2**log2_count))


def test_a_point_depends_on_its_index_alone() -> None:
    points = scrambled(7, 3)
    whole = integers(points, 2, np.arange(4096))
    some = np.array([4095, 17, 17, 1024])
    np.testing.assert_array_equal(integers(points, 2, some), whole[:, some])


def test_points_do_not_depend_on_the_float_precision() -> None:
    in_float32 = scrambled(MAX_DIMENSION, 128)
    with jax.enable_x64(True):
        key = jax.random.key(0)
        in_float64 = quasi_random.randomise(key, MAX_DIMENSION, 128)
    for low, high in zip(in_float32, in_float64, strict=True):
        assert low.dtype == high.dtype == jnp.uint32
        np.testing.assert_array_equal(low, high)


def test_single_points_of_replicates_are_uniform_and_uncorrelated() -> None:
    points = scrambled(8, 128, seed=1)
    indices = jnp.array([0, 1, 1000], dtype=jnp.uint32)
    bits = np.asarray(OF_ALL_REPLICATES(points.directions, points.shifts, indices))
    for at_index in np.moveaxis(bits, -1, 0):
        u = (at_index + 0.5) / 2.0**BITS
        assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
        between_replicates = np.corrcoef(u[::2].ravel(), u[1::2].ravel())[0, 1]
        assert abs(between_replicates) < 4 / np.sqrt(u.size / 2)


def test_replicates_are_unbiased_and_independent() -> None:
    estimates = replicate_estimates(scrambled(5, 128), 128)
    standard_error = estimates.std(ddof=1) / np.sqrt(len(estimates))
    assert abs(estimates.mean() - 1) < 4 * standard_error
    # Means of independent pairs have half the variance; a shared scramble would leave it whole.
    pairs = estimates.reshape(-1, 2).mean(axis=1)
    ratio = pairs.var(ddof=1) / estimates.var(ddof=1)
    assert stats.f(63, 127).ppf(1e-4) < 2 * ratio < stats.f(63, 127).ppf(1 - 1e-4)


def test_error_falls_faster_than_monte_carlo() -> None:
    points = scrambled(4, 64)
    counts = 2 ** np.arange(6, 14, 2)
    errors = [np.sqrt(np.mean((replicate_estimates(points, n) - 1) ** 2)) for n in counts]
    slope = stats.linregress(np.log(counts), np.log(errors)).slope
    assert slope < -0.8


def test_different_keys_give_different_points() -> None:
    first, second = scrambled(3, 2, seed=0), scrambled(3, 2, seed=1)
    assert (np.asarray(first.shifts) != np.asarray(second.shifts)).all()
    assert (np.asarray(first.directions) != np.asarray(second.directions)).any(axis=-1).all()


@pytest.mark.parametrize("count", [1, 3, 37, 250, 2**16])
def test_below_is_the_floor_of_the_product(count: int) -> None:
    edges = np.arange(count, dtype=np.uint64) * np.uint64(2**32) // np.uint64(count)
    random = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint64)
    bits = np.concatenate([random, edges, edges[1:] - 1, np.uint64([2**32 - 1])])
    ours = np.asarray(quasi_random.below(jnp.asarray(bits.astype(np.uint32)), count))
    np.testing.assert_array_equal(ours, bits * np.uint64(count) >> np.uint64(32))


def test_a_block_is_its_points() -> None:
    points = quasi_random.randomise(jax.random.key(3), 5, 2)
    start = jnp.uint32(3 * 2**20 + 64)
    block = quasi_random.block_at(points.directions[1], points.shifts[1], start, 64)
    index = start + jnp.arange(64, dtype=jnp.uint32)
    each = quasi_random.bits_at(points.directions[1], points.shifts[1], index)
    np.testing.assert_array_equal(np.asarray(block), np.asarray(each))


def test_uniform_in_float64_is_the_centre_of_its_cell() -> None:
    with jax.enable_x64(True):
        u = np.asarray(quasi_random.uniform(jnp.array(ALL_EDGES, jnp.uint32), jnp.float64))
    np.testing.assert_array_equal(u, [(2 * edge + 1) / 2.0 ** (BITS + 1) for edge in ALL_EDGES])
    assert ((u > 0) & (u < 1)).all()


def random_bits() -> np.ndarray:
    drawn = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    small = np.arange(1000, dtype=np.uint32)
    return np.concatenate([np.array(ALL_EDGES, np.uint32), small, ~small, drawn])


def scipy_normal(bits: np.ndarray) -> np.ndarray:
    """Return normal quantiles from SciPy, from the nearer tail."""
    tail = np.minimum(bits, ~bits)
    z = special.ndtri((tail + 0.5) / 2.0**BITS)
    return np.where(bits < 2**31, z, -z)


def test_normal_in_float64_agrees_with_scipy() -> None:
    bits = random_bits()
    with jax.enable_x64(True):
        ours = np.asarray(NORMAL(jnp.asarray(bits), jnp.float64))
    np.testing.assert_allclose(ours, scipy_normal(bits), rtol=1e-12, atol=1e-12)


def test_normal_in_float32_agrees_with_float64() -> None:
    bits = random_bits()
    ours = np.asarray(NORMAL(jnp.asarray(bits), jnp.float32))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, scipy_normal(bits), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("x64", [False, True])
def test_both_tails_of_the_normal_are_alike(x64: bool) -> None:
    bits = random_bits()
    with jax.enable_x64(x64):
        dtype = jnp.float64 if x64 else jnp.float32
        upper = np.asarray(NORMAL(jnp.asarray(~bits), dtype))
        lower = np.asarray(NORMAL(jnp.asarray(bits), dtype))
    np.testing.assert_array_equal(upper, -lower)
    assert np.isfinite(lower).all()
    assert 6.2 < lower.max() < 6.4


def test_a_legacy_key_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^key: .*jax\.random\.key"):
        quasi_random.randomise(jax.random.PRNGKey(0), 2, 1)


@pytest.mark.parametrize("dimension", [-1, 0, MAX_DIMENSION + 1])
def test_a_dimension_out_of_range_is_refused(dimension: int) -> None:
    with pytest.raises(ValueError, match=f"^dimension: got {dimension}, expected 1 to 64"):
        quasi_random.randomise(jax.random.key(0), dimension, 1)
