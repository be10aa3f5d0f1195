"""Averages over draws: batching, streaming and devices live here and nowhere else.

Draws are evaluated in tiles of a fixed number of consecutive points. The sum over a tile is one
compiled program whatever the chunk (tiles in a call) and the device; tiles are then added as
integers, in which the order of addition cannot matter. So the same seed gives the same answer, bit
for bit, for any chunking and any number of devices, in memory that does not grow with the samples.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from .quasi_random import BITS, Points, bits_at, normal, uniform

TILE = 1024
_MOST_TILES = 2**BITS // TILE  # of a replicate: after 2^32 points they would repeat
_UNITS_PER_ONE = 2.0**30  # tile sums are added as integers in units of 2^-30

Statistic = Callable[[Array, Any], Array]


class Inputs(NamedTuple):
    """Where the uncertain inputs of a draw come from.

    location, scale: (input,), value = location + scale x base
    is_uniform: (input,) bool, base is uniform on (0, 1) and not standard normal
    is_log:     (input,) bool, the value is exp(location + scale x base)
    rows: one (replicate, row, column) array for each fitted record: posterior draws, of which one
        row is taken whole, so that they stay joint. A replicate has rows of its own, so that the
        spread between replicates includes the error of the finite posterior sample.
    """

    location: Array
    scale: Array
    is_uniform: Array
    is_log: Array
    rows: tuple[Array, ...]


def dimension(inputs: Inputs) -> int:
    """Return the number of Sobol' coordinates: one an input, one a fitted record, at least one."""
    return max(1, inputs.location.shape[0] + len(inputs.rows))


def inputs_at(inputs: Inputs, points: Points, replicate: Array, index: Array) -> Array:
    """Return the values of all inputs at some points, (point, input + columns of all records)."""
    dtype = inputs.location.dtype.type
    bits = bits_at(points.directions[replicate], points.shifts[replicate], index)
    own = inputs.location.shape[0]
    u = uniform(bits[:own], dtype)
    base = jnp.where(inputs.is_uniform[:, None], u, normal(bits[:own], dtype))
    value = inputs.location[:, None] + inputs.scale[:, None] * base
    columns = [jnp.where(inputs.is_log[:, None], jnp.exp(value), value).T]
    for number, rows in enumerate(inputs.rows):
        count = rows.shape[1]
        row = (uniform(bits[own + number], dtype) * count).astype(jnp.int32)
        columns.append(rows[replicate, jnp.minimum(row, count - 1)])
    return jnp.concatenate(columns, axis=1)


@partial(jax.jit, static_argnames="count")
def first_inputs(inputs: Inputs, points: Points, count: int) -> Array:
    """Return the inputs of the first ``count`` points of every replicate, (draw, input)."""
    index = jnp.arange(count, dtype=jnp.uint32)
    replicates = jnp.arange(points.shifts.shape[0], dtype=jnp.int32)
    values = jax.lax.map(lambda r: inputs_at(inputs, points, r, index), replicates)
    return values.reshape(replicates.size * count, values.shape[-1])


def _tile_sum(
    statistic: Statistic,
    inputs: Inputs,
    shared: Any,
    points: Points,
    tiles: Array,
    number: Array,
) -> Array:
    """Return the sum of ``statistic`` over one tile of one replicate."""
    replicate, tile = number // tiles, number % tiles
    index = tile.astype(jnp.uint32) * TILE + jnp.arange(TILE, dtype=jnp.uint32)
    values = inputs_at(inputs, points, replicate.astype(jnp.int32), index)
    return jnp.sum(jax.vmap(statistic, in_axes=(0, None))(values, shared), axis=0)


@partial(jax.jit, static_argnames=("statistic", "mesh"))
def tile_sums(
    statistic: Statistic,
    mesh: Mesh,
    inputs: Inputs,
    shared: Any,
    points: Points,
    tiles: Array,
    numbers: Array,
) -> Array:
    """Return the sums of ``statistic`` over the tiles ``numbers``, (tile, ...), on all devices.

    statistic(values, shared): values (input,) of one draw, shared the same for all draws.

    tiles: scalar, tiles in a replicate; numbers: int32 (tile,), replicate x tiles + tile, a
    multiple of the device count long.
    """

    def on_one_device(
        inputs: Inputs, shared: Any, points: Points, tiles: Array, numbers: Array
    ) -> Array:
        return jax.lax.map(partial(_tile_sum, statistic, inputs, shared, points, tiles), numbers)

    everywhere, split = PartitionSpec(), PartitionSpec("tile")
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(everywhere, everywhere, everywhere, everywhere, split),
        out_specs=split,
        check_vma=False,
    )(inputs, shared, points, tiles, numbers)


def device_mesh(devices: int | None = None) -> Mesh:
    """Return a one-dimensional mesh over the first ``devices`` devices (default: all).

    Raises ``ValueError`` if there are fewer.
    """
    available = jax.devices()
    count = len(available) if devices is None else devices
    if not 1 <= count <= len(available):
        raise ValueError(f"devices: got {count}, expected 1 to {len(available)}")
    return Mesh(np.array(available[:count]), ("tile",))


def replicate_means(
    statistic: Statistic,
    inputs: Inputs,
    shared: Any,
    points: Points,
    samples: int,
    *,
    mesh: Mesh,
    chunk: int = 16,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (samples done, running sums); the last one holds the mean of each replicate.

    statistic: of one draw's inputs and ``shared``, values in [0, 1], shape (output,)
    samples:   in all replicates together, a multiple of replicates x TILE
    chunk:     tiles a call (per device): the memory used and the grain of progress, not the answer

    Each yield is (samples done, float64 (replicate, output) means so far).
    Raises ``ValueError`` if ``samples`` does not divide, ``FloatingPointError`` on NaN.
    """
    replicates = points.shifts.shape[0]
    tiles, remainder = divmod(samples, replicates * TILE)
    if remainder or not 1 <= tiles <= _MOST_TILES:
        raise ValueError(
            f"samples: got {samples}, expected a multiple of {replicates} replicates x {TILE}, "
            "at most 2^32 a replicate"
        )
    total = None
    step = chunk * mesh.size
    last = replicates * tiles
    for start in range(0, last, step):
        wanted = np.arange(start, min(start + step, last))
        # Every call has the same shape, so there is one compilation: surplus tiles are dropped.
        numbers = np.resize(wanted, step).astype(np.int32)
        sums = np.asarray(
            tile_sums(
                statistic, mesh, inputs, shared, points, jnp.int32(tiles), jnp.asarray(numbers)
            )
        )[: len(wanted)]
        if not np.isfinite(sums).all():
            raise FloatingPointError(
                f"NaN or infinity in tile {wanted[~np.isfinite(sums).all(axis=1)][0]}"
            )
        if total is None:
            total = np.zeros((replicates, sums.shape[1]), dtype=np.int64)
        units = np.rint(sums.astype(np.float64) * _UNITS_PER_ONE).astype(np.int64)
        np.add.at(total, wanted // tiles, units)
        done = (wanted[-1] + 1) * TILE
        yield int(done), total / (_UNITS_PER_ONE * tiles * TILE)
