"""How a mean over draws moves with each input, by reverse-mode differentiation."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from .ensemble import TILE, Curve, Ensemble, Inputs, tile_inputs

_SD_OF_UNIFORM = 12**-0.5


def deviations(inputs: Inputs, values: Array) -> Array:
    """Return the change of each value as its input moves by one standard deviation.

    values: (column + input, draw), as of `inputs_at`. Columns of posterior rows are moved by their
    standard deviation, inputs on the scale on which they are normal or uniform.
    """
    own = values[values.shape[0] - inputs.location.shape[0] :]
    spread = inputs.scale * jnp.where(inputs.is_uniform, _SD_OF_UNIFORM, 1)
    moved = spread[:, None] * jnp.where(inputs.is_log[:, None], own, 1)
    columns = [jnp.std(rows, axis=(0, 1)) for rows in inputs.rows]
    spread_of_rows = jnp.concatenate([*columns, jnp.zeros(0, values.dtype)])
    return jnp.concatenate(
        [jnp.broadcast_to(spread_of_rows[:, None], (spread_of_rows.size, values.shape[1])), moved]
    )


@partial(jax.jit, static_argnames="curve")
def replicate_gradients(curve: Curve, one: Ensemble, tiles: Array) -> tuple[Array, Array]:
    """Return (means (replicate, node), gradients (replicate, node, column + input)) of a curve.

    Gradients are per standard deviation of each input, see `deviations`.
    tiles: int32 (tile,), of each replicate
    """

    def of_tile(replicate: Array, tile: Array) -> tuple[Array, Array]:
        values = tile_inputs(one.inputs, one.points, replicate, tile)
        unit = deviations(one.inputs, values)
        # Input by input and not as an array, whose gradient would be put together from 0s.
        slopes = jax.vmap(jax.value_and_grad(curve), in_axes=(0, None, None))
        rows = tuple(values)

        def at_node(node: Array) -> tuple[Array, Array]:
            value, slope = slopes(rows, one.shared, node)
            return jnp.mean(value[:TILE]), jnp.mean((jnp.stack(slope) * unit)[:, :TILE], axis=1)

        return jax.lax.map(at_node, one.nodes)

    def of_replicate(replicate: Array) -> tuple[Array, Array]:
        each = jax.lax.map(partial(of_tile, replicate), tiles)
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), each)

    return jax.lax.map(of_replicate, jnp.arange(one.points.shifts.shape[0], dtype=jnp.int32))
