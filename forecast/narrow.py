"""What is integrated out in closed form: the requirement, or where it is narrow an input.

Integrating out a wide requirement leaves a smooth function of the inputs, which quasi-random points
average with little error. Where the requirement is known to a fraction of an OOM, a jump remains;
then a direction of the inputs is integrated out in its place: that in which effective compute rises
most, found by a pilot for each year.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..kernels import ensemble
from .problem import Problem
from .world import Direction, Structure, mean_path, passage_curve

_NARROW_OOM = 0.5  # spread of a component of the requirement
_LITTLE = 0.5  # of the variance of "has arrived by t" is left when the requirement is integrated
_WORTH_MOVING = 0.05  # of the length of a direction: less costs more than it brings
_FEW_FALL = 0.001  # of the draws: along a direction effective compute has to rise in all others
_LEAST_EXPONENT = 0.2  # of compute in the reducible loss: laws have 0.15 to 0.2
_PILOT = 1024  # draws


def smoothed(problem: Problem) -> Problem:
    """Return the problem, with a direction integrated out for the requirement if that is better."""
    structure, inputs = problem.structure, problem.ensemble.inputs
    narrowest = _narrowest(problem)
    if narrowest > _NARROW_OOM or not inputs.location.size:
        return problem
    reached, slopes = map(np.asarray, _pilot(structure, problem.ensemble))
    mean = reached.mean(axis=1)
    node = int(np.argmin(np.abs(mean - 0.5 * (mean[0] + mean[-1]))))
    if reached[node].var() < _LITTLE * mean[node] * (1 - mean[node]):
        return problem
    length = np.hypot(np.linalg.norm(slopes, axis=1, keepdims=True), narrowest)
    moved = np.flatnonzero((np.abs(slopes) > _WORTH_MOVING * length).any(axis=0))
    along = np.insert(slopes[:, moved], 0, -narrowest, axis=1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    direction = Direction(
        years_from_now=problem.ensemble.nodes,
        along=jnp.asarray(along, inputs.location.dtype),
        location=inputs.location[moved],
        scale=inputs.scale[moved],
        is_log=inputs.is_log[moved],
    )
    shared = problem.ensemble.shared._replace(direction=direction)
    return problem._replace(
        structure=replace(structure, direction=tuple(structure.uncertain[i] for i in moved)),
        ensemble=problem.ensemble._replace(shared=shared),
    )


def _narrowest(problem: Problem) -> float:
    """Return the smallest spread of a component of the requirement, about a standard deviation."""
    parameters = np.asarray(problem.ensemble.shared.parameters, dtype=float)
    spreads = [
        {
            "normal": second,
            "two_piece_normal": (second + third) / 2,
            "uniform": (second - first) / np.sqrt(12),
            "logistic": second * np.pi / np.sqrt(3),
            "reducible_loss": second / _LEAST_EXPONENT,
        }[kind]
        for kind, (first, second, third) in zip(problem.structure.kinds, parameters, strict=True)
    ]
    return float(min(spreads))


@partial(jax.jit, static_argnames="structure")
def _pilot(structure: Structure, one: ensemble.Ensemble) -> tuple[Array, Array]:
    """Return (P(arrived) of some draws, (node, draw); slope of effective compute, (node, input)).

    Slopes are means over draws, per standard deviation of each input. Where effective compute does
    not rise in that direction in nearly all draws, only inputs count whose effect has one sign.
    """
    inputs, first = one.inputs, len(structure.columns)
    values = ensemble.inputs_at(inputs, one.points, jnp.int32(0), jnp.uint32(0), _PILOT)
    own = values[first:]
    per_deviation = inputs.scale[:, None] * jnp.where(inputs.is_log[:, None], own, 1)
    per_deviation = jnp.where(inputs.is_uniform[:, None], 0, per_deviation)

    def at_node(node: Array) -> tuple[Array, Array]:
        reached = jax.vmap(passage_curve(structure), in_axes=(1, None, None))
        of_path = jax.grad(partial(mean_path, structure))
        slope = jax.vmap(of_path, in_axes=(1, None, None), out_axes=1)
        slopes = slope(values, one.shared, node)[first:] * per_deviation
        mean = slopes.mean(axis=1)
        alike = (jnp.sign(slopes) == jnp.sign(mean)[:, None]).mean(axis=1) > 0.99
        rises = (mean @ slopes <= 0).mean() <= _FEW_FALL
        return reached(values, one.shared, node), jnp.where(rises | alike, mean, 0)

    return jax.lax.map(at_node, one.nodes)
