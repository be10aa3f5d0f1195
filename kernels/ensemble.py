"""Averages over draws: batching, streaming and devices live here and nowhere else.

Draws are evaluated in tiles of a fixed number of consecutive points and added as integers, in which
the order of addition cannot matter. So the same seed gives the same answer, bit for bit, for any
chunking, any batch and any number of devices, in memory that does not grow with the samples.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .elementary import exp
from .quasi_random import BITS, Points, below, block_at, normal, uniform

TILE = 1024
_SPARE = 16  # draws that a tile has again: see `tile_inputs`
_MOST_TILES = 2**BITS // TILE  # of a replicate: after 2^32 points they would repeat
_UNITS_PER_ONE = 2**20  # so that the sum over a tile stays below 2^31
# Tiles in a call on a device, at most: on a CPU some ten milliseconds; to fill a GPU or TPU.
_ON_CPU, _ON_ACCELERATORS = 32, 256

Curve = Callable[[Array, Any, Array], Array]


class Inputs(NamedTuple):
    """Where the uncertain inputs of a draw come from.

    rows: one (replicate, row, column) array for each fitted record: posterior draws, of which one
        row is taken whole, so that they stay joint. A replicate has rows of its own, so that the
        spread between replicates includes the error of the finite posterior sample.
    location, scale: (input,), value = location + scale x base
    is_uniform: (input,) bool, base is uniform on (0, 1) and not standard normal
    is_log:     (input,) bool, the value is exp(location + scale x base)

    Records come first, inputs in the order given: the earlier, the better their points.
    """

    rows: tuple[Array, ...]
    location: Array
    scale: Array
    is_uniform: Array
    is_log: Array


class Ensemble(NamedTuple):
    """What is averaged over. `stack` puts several, alike in structure, along a leading axis.

    shared: the same for all draws
    nodes:  (node,), where the curve is wanted
    """

    inputs: Inputs
    shared: Any
    nodes: Array
    points: Points


def stack(ensembles: Sequence[Ensemble]) -> Ensemble:
    """Return ensembles as one, each leaf with a leading axis."""
    # By NumPy: a program for each leaf would take longer to compile than to run.
    return jax.tree.map(lambda *leaves: np.stack(leaves), *ensembles)


def dimension(inputs: Inputs) -> int:
    """Return the number of Sobol' coordinates: one an input, one a fitted record, at least one."""
    return max(1, inputs.location.shape[0] + len(inputs.rows))


def inputs_at(inputs: Inputs, points: Points, replicate: Array, start: Array, count: int) -> Array:
    """Return all inputs of ``count`` consecutive points, (columns of all records + input, point).

    start, count: as in `quasi_random.block_at`
    """
    dtype = inputs.location.dtype.type
    directions, shift = (jnp.asarray(part)[replicate] for part in points)
    bits = block_at(directions, shift, start, count)
    records = len(inputs.rows)
    values = []
    for rows, own in zip(inputs.rows, bits, strict=False):
        values.append(rows[replicate].T[:, below(own, rows.shape[1])])
    free = bits[records : records + inputs.location.shape[0]]
    base = jnp.where(inputs.is_uniform[:, None], uniform(free, dtype), normal(free, dtype))
    value = inputs.location[:, None] + inputs.scale[:, None] * base
    values.append(jnp.where(inputs.is_log[:, None], exp(value), value))
    return jnp.concatenate(values)


def tile_inputs(inputs: Inputs, points: Points, replicate: Array, tile: Array) -> Array:
    """Return `inputs_at` of a tile's points, of which some stand again at the end, to be left out.

    Numbers of the same draw would else lie 4 kB apart, where they drive each other out of the cache
    of a CPU: a fifth of the time of a forecast.
    """
    start = tile.astype(jnp.uint32) * TILE
    values = inputs_at(inputs, points, replicate, start, TILE)
    return jnp.concatenate([values, values[:, :_SPARE]], axis=1)


@partial(jax.jit, static_argnames="count")
def first_inputs(inputs: Inputs, points: Points, count: int) -> Array:
    """Return the inputs of the first ``count`` points of every replicate, (draw, input).

    count: a power of two
    """
    replicates = jnp.arange(points.shifts.shape[0], dtype=jnp.int32)
    start = jnp.uint32(0)
    values = jax.lax.map(lambda r: inputs_at(inputs, points, r, start, count).T, replicates)
    return values.reshape(replicates.size * count, values.shape[-1])


def _tile(curve: Curve, ensembles: Ensemble, place: Array) -> tuple[Array, Array]:
    """Return (sum of the curve over one tile, int32 (node,) in units of 2^-20; is it finite).

    place: int32 (ensemble, replicate, tile)
    """
    own = jax.tree.map(lambda leaf: leaf[place[0]], ensembles)
    values = tile_inputs(own.inputs, own.points, place[1], place[2])
    of_draws = jax.vmap(curve, in_axes=(1, None, None))
    nodes = own.nodes.shape[0]

    # Draws lie along the vector lanes and nodes in a loop, in which XLA keeps what does not depend
    # on the node out. One use of the value, because XLA computes it anew for another.
    def at_node(k: Array, found: Array) -> Array:
        return found.at[k].set(of_draws(values, own.shared, own.nodes[k]))

    empty = jnp.zeros((nodes, values.shape[1]), values.dtype)
    found = jax.lax.fori_loop(0, nodes, at_node, empty)[:, :TILE]
    # Integers, so that their order in a sum cannot matter.
    units = jnp.rint(found * _UNITS_PER_ONE).astype(jnp.int32)
    return jnp.sum(units, axis=1), jnp.isfinite(found).all()


@partial(jax.jit, static_argnames=("curve", "mesh", "together"))
def tile_sums(
    curve: Curve, mesh: Mesh, together: int, ensembles: Ensemble, places: Array
) -> tuple[Array, Array]:
    """Return `_tile` of each of some places, (tile, node) and (tile,), on all devices of a mesh.

    curve:    of one draw, (values (input,), shared, node) -> value in [0, 1]
    together: tiles that a device evaluates side by side
    places:   int32 (tile, 3), a multiple of the device count long
    """

    def on_one_device(ensembles: Ensemble, places: Array) -> tuple[Array, Array]:
        one = partial(_tile, curve, ensembles)
        return jax.lax.map(one, places, batch_size=together if together > 1 else None)

    everywhere, split = PartitionSpec(), PartitionSpec("tile")
    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(everywhere, split),
        out_specs=split,
        check_vma=False,
    )(ensembles, places)


def device_mesh(devices: int | None = None) -> Mesh:
    """Return a one-dimensional mesh over the first ``devices`` devices of this process.

    Default: all. Raises ``ValueError`` if there are fewer.
    """
    available = jax.local_devices()
    count = len(available) if devices is None else devices
    if not 1 <= count <= len(available):
        raise ValueError(f"devices: got {count}, expected 1 to {len(available)}")
    return Mesh(np.array(available[:count]), ("tile",))


def replicate_means(
    curve: Curve,
    ensembles: Ensemble,
    samples: int,
    *,
    mesh: Mesh,
    chunk: int | None = None,
    together: int | None = None,
    count: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (samples done, running means); the last holds the means of each replicate.

    curve:     of one draw, (values (input,), shared, node) -> value in [0, 1]
    ensembles: of `stack`
    samples:   of one ensemble in all its replicates, a multiple of replicates x TILE
    chunk:     tiles a call (per device): the memory used and the grain of progress, not the answer;
               default 32 on a CPU, 256 on accelerators; less for a few calls, all then equal
    together:  of these, how many side by side; default 1 on a CPU, for its caches, and all on
               accelerators, to fill them
    count:     of the first ensembles only, default all

    Each yield is (samples done of all ensembles, float64 (ensemble, replicate, node)). With several
    processes (``jax.distributed``) each does its share and only the last yield holds them all.
    Raises ``ValueError`` if ``samples`` does not divide, ``FloatingPointError`` on NaN.
    """
    every, replicates = ensembles.points.shifts.shape[:2]
    count = every if count is None else count
    tiles, remainder = divmod(samples, replicates * TILE)
    if remainder or not 1 <= tiles <= _MOST_TILES:
        raise ValueError(
            f"samples: got {samples}, expected a multiple of {replicates} replicates x {TILE}, "
            "at most 2^32 a replicate"
        )
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    processes = jax.process_count()
    # Of all ensembles and not the first: so that the program is the same.
    share = -(-every * replicates * tiles // (mesh.size * processes))
    chunk = chunk or _tiles_a_call(share, _ON_CPU if on_cpu else _ON_ACCELERATORS)
    together = together or (1 if on_cpu else chunk)
    step = chunk * mesh.size
    last = count * replicates * tiles
    starts = range(jax.process_index() * step, last, processes * step)
    if not on_cpu:  # where it would be one copy a call
        ensembles = jax.device_put(ensembles, NamedSharding(mesh, PartitionSpec()))

    def begun() -> Iterator[Any]:
        for start in starts:
            wanted = np.arange(start, min(start + step, last))
            row, tile = np.divmod(wanted, tiles)
            places = np.stack([*np.divmod(row, replicates), tile], axis=1).astype(np.int32)
            # Every call has the same shape, so there is one compilation: surplus tiles are dropped.
            padded = np.resize(places, (step, 3))
            yield wanted, row, tile_sums(curve, mesh, together, ensembles, padded)

    total = np.zeros((count * replicates, ensembles.nodes.shape[1]), dtype=np.int64)
    whole = _UNITS_PER_ONE * tiles * TILE
    # In pairs, so that the next call has begun when the host adds up the one before.
    for (wanted, row, sums), _ in pairwise(chain(begun(), [None])):
        units, finite = (np.asarray(each)[: len(wanted)] for each in sums)
        if not finite.all():
            raise FloatingPointError(f"NaN or infinity in tile {wanted[~finite][0]}")
        np.add.at(total, row, units)
        done = min(int(wanted[0]) + processes * step, last) * TILE
        if processes > 1 and done == last * TILE:
            break
        yield done, total.reshape(count, replicates, -1) / whole
    if processes > 1:
        yield last * TILE, _over_processes(total).reshape(count, replicates, -1) / whole


def _tiles_a_call(tiles: int, most: int) -> int:
    """Return how many tiles a call takes: ``most``, or for a few calls what wastes least."""
    tiles = min(tiles, 4 * most)  # beyond, all take the same program
    calls = -(-tiles // most)
    return -(-tiles // calls)


def _over_processes(total: np.ndarray) -> np.ndarray:
    """Return the sum of the int64 totals of all processes of ``jax.distributed``."""
    from jax.experimental.multihost_utils import process_allgather

    halves = np.stack([total >> 32, total & 0xFFFFFFFF]).astype(np.uint32)  # JAX has no int64
    high, low = np.asarray(process_allgather(halves), dtype=np.int64).sum(axis=0)
    return (high << 32) + low
