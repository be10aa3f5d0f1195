"""Histograms over draws: of effective compute year by year, and of the year of arrival.

One histogram serves any number of requirements: P(reached by t) is the sum over cells of the part
of draws in the cell times F_R at its centre. The rounding to cells is off by
F_R'' x CELL_OOM^2 / 24 on average, and by F_R' x CELL_OOM / sqrt(12 x draws) at random.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .ensemble import TILE, Ensemble, inputs_at, tile_inputs

CELLS = 4096
CELL_OOM = 1 / 64
CENTRES = (np.arange(CELLS) + 0.5) * CELL_OOM  # [log10 FLOP], 0 to 64

Paths = Callable[[Array, Any, Array], Array]
Index = Callable[[Array, Any, Array], Array]


@partial(jax.jit, static_argnames="paths")
def replicate_histograms(paths: Paths, one: Ensemble, tiles: Array) -> Array:
    """Return counts of draws in cells of log10 FLOP, int32 (replicate, path, node, cell).

    paths: of one draw, (values (input,), shared, node) -> (path,) [log10 FLOP]
    tiles: int32 (tile,), of each replicate. What lies beyond the cells is in the last ones.
    """
    of_draws = jax.vmap(paths, in_axes=(1, None, None), out_axes=1)

    def of_replicate(replicate: Array) -> Array:
        def add_tile(counts: Array, tile: Array) -> tuple[Array, None]:
            values = tile_inputs(one.inputs, one.points, replicate, tile)

            def add_node(k: Array, counts: Array) -> Array:
                level = of_draws(values, one.shared, one.nodes[k])[:, :TILE]
                cell = jnp.clip(level / CELL_OOM, 0, CELLS - 1).astype(jnp.int32)
                path = jnp.arange(level.shape[0])[:, None]
                return counts.at[path, k, cell].add(1)

            return jax.lax.fori_loop(0, nodes, add_node, counts), None

        empty = jnp.zeros((path_count, nodes, CELLS), jnp.int32)
        return jax.lax.scan(add_tile, empty, tiles)[0]

    nodes = one.nodes.shape[0]
    draw = jax.eval_shape(partial(inputs_at, count=TILE), one.inputs, one.points, 0, jnp.uint32(0))
    values = jax.ShapeDtypeStruct(draw.shape[:1], draw.dtype)
    path_count = jax.eval_shape(paths, values, one.shared, one.nodes[0]).shape[0]
    return jax.lax.map(of_replicate, jnp.arange(one.points.shifts.shape[0], dtype=jnp.int32))


@partial(jax.jit, static_argnames=("index", "size"))
def replicate_counts(index: Index, size: int, one: Ensemble, tiles: Array) -> Array:
    """Return how many draws have each index, int32 (replicate, size).

    index: of one draw, (values (input,), shared, nodes) -> int32 below ``size``
    tiles: int32 (tile,), of each replicate
    """
    of_draws = jax.vmap(index, in_axes=(1, None, None))

    def of_replicate(replicate: Array) -> Array:
        def add_tile(counts: Array, tile: Array) -> tuple[Array, None]:
            values = tile_inputs(one.inputs, one.points, replicate, tile)
            return counts.at[of_draws(values, one.shared, one.nodes)[:TILE]].add(1), None

        return jax.lax.scan(add_tile, jnp.zeros(size, jnp.int32), tiles)[0]

    return jax.lax.map(of_replicate, jnp.arange(one.points.shifts.shape[0], dtype=jnp.int32))
