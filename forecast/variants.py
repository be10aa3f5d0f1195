"""Other requirements for the same worlds: thousands of them from one simulation."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from ..kernels import ensemble
from ..kernels.histogram import CENTRES, replicate_histograms
from ..kernels.requirement import cumulative
from .config import Scenario
from .problem import REPLICATES, Problem, prepare
from .scenario_files import scenario_from_dict
from .timeline import rounded_samples, timeline
from .world import Structure, paths_curve


def requirement_variants(
    scenario: Scenario,
    fits: dict[str, xr.DataTree],
    requirements: Sequence[Mapping[str, Any]],
) -> list[xr.Dataset]:
    """Return the timeline of a scenario under each of some requirements.

    requirements: each as the table ``requirement`` of a scenario file; only weights and
        distributions of the components may differ from the scenario's, not the algorithms that
        they count on

    The worlds are simulated once and effective compute kept as a histogram of 1/64 OOM cells, so
    that a requirement costs a fraction of a millisecond. Differs from the timeline of `simulate`
    by the rounding to cells, about 0.005 x density per OOM / sqrt(samples).

    Raises ``ValueError`` for a requirement that is not valid or counts on other algorithms.
    """
    values = scenario.model_dump()
    variants = [
        prepare(
            scenario_from_dict(values | {"requirement": dict(each)}, name=f"requirement {i}"),
            fits,
            dtype=np.float32,
        )
        for i, each in enumerate(requirements)
    ]
    base = prepare(scenario, fits, dtype=np.float32)
    for i, variant in enumerate(variants):
        if _algorithms(variant) != _algorithms(base):
            raise ValueError(
                f"requirement {i}: got components that count on other algorithms, expected those "
                f"of {scenario.id}: the same algorithms_year and algorithmic progress"
            )
    tiles = rounded_samples(scenario.samples) // (REPLICATES * ensemble.TILE)
    counts = replicate_histograms(
        paths_curve(base.structure), base.ensemble, jnp.arange(tiles, dtype=jnp.int32)
    )
    part = np.asarray(counts, dtype=np.float32).transpose(0, 2, 1, 3) / (tiles * ensemble.TILE)
    shape = part.shape[:2]
    reached = np.stack([_reached(variant) for variant in variants])
    means = part.reshape(shape[0] * shape[1], -1) @ reached.reshape(len(variants), -1).T
    return [timeline(base.years, own.reshape(shape).astype(float)) for own in means.T]


def _algorithms(problem: Problem) -> tuple[Any, ...]:
    since = np.asarray(problem.ensemble.shared.years_since_reference).tolist()
    return (*since, problem.structure.paths, problem.structure.uncertain, problem.structure.fixed)


def _reached(problem: Problem) -> np.ndarray:
    """Return the weighted F_R of the components of each path, (path, cell)."""
    structure, shared = problem.structure, problem.ensemble.shared
    return np.asarray(_mixtures(structure, shared.weights, shared.parameters))


@partial(jax.jit, static_argnames="structure")
def _mixtures(structure: Structure, weights: Array, parameters: Array) -> Array:
    centres = jnp.asarray(CENTRES, weights.dtype)
    mixed = jnp.zeros((len(structure.paths), centres.size), weights.dtype)
    for k, (kind, path) in enumerate(
        zip(structure.kinds, structure.path_of_component, strict=True)
    ):
        mixed = mixed.at[path].add(weights[k] * cumulative(kind, parameters[k], centres))
    return mixed
