"""Arrivals drawn one by one and counted: noisier than the forecast, and independent of it."""

import jax.numpy as jnp
import numpy as np
import xarray as xr

from ..kernels import ensemble
from ..kernels.histogram import replicate_counts
from .config import Scenario
from .problem import REPLICATES, Problem, prepare, random_points
from .timeline import rounded_samples
from .world import arrival_index

MOST_SAMPLES = 2**31  # counts are 32-bit integers


def arrival_counts(
    scenario: Scenario, fits: dict[str, xr.DataTree], *, samples: int | None = None
) -> xr.Dataset:
    """Return how many of some draws arrive in each year, as exact integers.

    Every draw has a requirement of its own; its year is found by bisection along its path, so
    memory does not grow with the samples. Variables: ``arrivals`` (replicate, year), draws that
    have arrived by the year but not by the one before (the first year is now: already met), and
    ``never`` (replicate), draws that have not by the horizon. `simulate` integrates the requirement
    out and needs far fewer draws for the same error: this is for checks, and for those who want
    draws.

    Raises ``ValueError`` for more than 2^31 samples.
    """
    wanted = rounded_samples(scenario.samples if samples is None else samples)
    if wanted > MOST_SAMPLES:
        raise ValueError(f"samples: got {samples}, expected at most 2^31")
    problem = with_drawn_requirement(prepare(scenario, fits, dtype=np.float32), scenario.seed)
    years = problem.years
    tiles = jnp.arange(wanted // (REPLICATES * ensemble.TILE), dtype=jnp.int32)
    index = arrival_index(problem.structure)
    counts = np.asarray(replicate_counts(index, len(years) + 1, problem.ensemble, tiles))
    return xr.Dataset(
        {
            "arrivals": (("replicate", "year"), counts[:, :-1].astype(np.int64)),
            "never": ("replicate", counts[:, -1].astype(np.int64)),
        },
        coords={"year": years},
        attrs={"scenario_id": scenario.id, "seed": scenario.seed, "samples": wanted},
    )


def with_drawn_requirement(problem: Problem, seed: int) -> Problem:
    """Return the problem with two more inputs: the component of the requirement, its quantile.

    The component is uniform, the quantile standard normal.
    """
    inputs = problem.ensemble.inputs
    more = inputs._replace(
        location=jnp.append(inputs.location, jnp.zeros(2)),
        scale=jnp.append(inputs.scale, jnp.ones(2)),
        is_uniform=jnp.append(inputs.is_uniform, jnp.array([True, False])),
        is_log=jnp.append(inputs.is_log, jnp.zeros(2, bool)),
    )
    points = random_points(seed, ensemble.dimension(more))
    return problem._replace(ensemble=problem.ensemble._replace(inputs=more, points=points))
