"""Other requirements for the same worlds: thousands of them from one simulation."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from pydantic import ValidationError

from ..kernels import ensemble
from ..kernels.histogram import CENTRES, replicate_histograms
from ..kernels.requirement import cumulative
from .config import Requirement, RequirementComponent, Scenario
from .problem import REPLICATES, algorithms_of, prepare
from .scenario_files import sentence
from .timeline import rounded_samples, timeline
from .world import paths_curve


def requirement_variants(
    scenario: Scenario,
    fits: dict[str, xr.DataTree],
    requirements: Sequence[Mapping[str, Any]],
) -> xr.Dataset:
    """Return the timelines of a scenario under some requirements, along the dimension requirement.

    requirements: each as the table ``requirement`` of a scenario file; only weights and
        distributions of the components may differ from the scenario's, not the algorithms that
        they count on

    The worlds are simulated once and effective compute kept as a histogram of 1/64 OOM cells, so
    that a requirement costs less than a millisecond. Differs from the timeline of `simulate`
    by the rounding to cells, about 0.005 x density per OOM / sqrt(samples).

    Raises ``ValueError`` for a requirement that is not valid or counts on other algorithms.
    """
    paths = sorted(set(algorithms_of(scenario.requirement)))
    own = {c.name: _own_progress(c) for c in scenario.requirement.components}
    checked = [_checked(values, i, paths, own) for i, values in enumerate(requirements)]
    base = prepare(scenario, fits, dtype=np.float32)
    tiles = rounded_samples(scenario.samples) // (REPLICATES * ensemble.TILE)
    counts = np.asarray(
        replicate_histograms(
            paths_curve(base.structure), base.ensemble, jnp.arange(tiles, dtype=jnp.int32)
        )
    )
    occupied = np.flatnonzero(counts.any(axis=(0, 1, 2)))
    part = counts[..., occupied].transpose(0, 2, 1, 3).astype(np.float32) / (tiles * ensemble.TILE)
    reached = np.stack([_reached(each, paths, CENTRES[occupied]).ravel() for each in checked])
    means = reached @ part.reshape(-1, reached.shape[1]).T
    shape = len(checked), *part.shape[:2]
    return timeline(base.years, means.reshape(shape).astype(float), ("requirement",))


def _own_progress(component: RequirementComponent) -> tuple[Any, Any]:
    return component.algorithmic_doubling_time_years, component.algorithmic_ceiling_oom


def _checked(
    values: Mapping[str, Any],
    number: int,
    paths: list[tuple[float, str]],
    own: dict[str, tuple[Any, Any]],
) -> Requirement:
    """Return a requirement that counts on algorithms which the base counts on."""
    try:
        requirement = Requirement.model_validate(dict(values))
    except ValidationError as error:
        raise ValueError(f"requirement {number}: {sentence(error, Requirement)}") from None
    for component, path in zip(requirement.components, algorithms_of(requirement), strict=True):
        if component.kind == "reducible_loss":
            raise ValueError(
                f"requirement {number}: got the component {component.name!r} in terms of loss, "
                "which differs between draws; expected one in log10 FLOP"
            )
        if path not in paths or (path[1] and _own_progress(component) != own[component.name]):
            raise ValueError(
                f"requirement {number}: got the component {component.name!r} that counts on other "
                "algorithms, expected the algorithms_year and algorithmic progress of one that "
                "the scenario has"
            )
    return requirement


def _reached(
    requirement: Requirement, paths: list[tuple[float, str]], log10_flop: np.ndarray
) -> np.ndarray:
    """Return the weighted F_R of the components of each path, (path, cell)."""
    components = requirement.components
    return np.asarray(
        _mixtures(
            tuple(c.kind for c in components),
            tuple(paths.index(path) for path in algorithms_of(requirement)),
            len(paths),
            np.array([c.weight for c in components], np.float32),
            np.array([c.parameters for c in components], np.float32),
            log10_flop.astype(np.float32),
        )
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _mixtures(
    kinds: tuple[str, ...],
    path_of: tuple[int, ...],
    paths: int,
    weights: Array,
    parameters: Array,
    log10_flop: Array,
) -> Array:
    mixed = jnp.zeros((paths, log10_flop.size), weights.dtype)
    for k, (kind, path) in enumerate(zip(kinds, path_of, strict=True)):
        mixed = mixed.at[path].add(weights[k] * cumulative(kind, list(parameters[k]), log10_flop))
    return mixed
