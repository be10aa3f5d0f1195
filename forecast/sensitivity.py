"""Which inputs move a forecast."""

import jax.numpy as jnp
import numpy as np
import xarray as xr

from ..kernels import ensemble
from ..kernels.gradient import replicate_gradients
from .config import Scenario
from .problem import REPLICATES, prepare
from .timeline import rounded_samples
from .world import passage_curve


def gradient(
    scenario: Scenario, fits: dict[str, xr.DataTree], *, by_year: float, samples: int = 16384
) -> xr.Dataset:
    """Return how P(arrival before 1 January of a year) moves with each input.

    Variables: ``probability_gradient`` (input), the change of the probability as all draws of an
    input move by one standard deviation of it, to first order (a posterior column moves by itself,
    whatever it is correlated with); its Monte Carlo error ``probability_gradient_mcse``; and
    ``probability``. Inputs are sorted by the size of their effect.

    Raises ``ValueError`` if the year is not after the scenario's now and up to its horizon.
    """
    problem = prepare(scenario, fits, dtype=np.float32)
    first, last = problem.years[[0, -1]]
    if not first < by_year <= last:
        raise ValueError(f"by_year: got {by_year:g}, expected after {first:.2f} and up to {last:g}")
    nodes = np.array([0.0, by_year - first])
    one = problem.ensemble._replace(nodes=jnp.asarray(nodes, problem.ensemble.nodes.dtype))
    tiles = jnp.arange(rounded_samples(samples) // (REPLICATES * ensemble.TILE), dtype=jnp.int32)
    means, slopes = map(
        np.asarray, replicate_gradients(passage_curve(problem.structure), one, tiles)
    )
    # P = (F(t) - F(now)) / (1 - F(now)), so dP = (dF(t) - (1 - P) dF(now)) / (1 - F(now)).
    now, then = means.T.astype(float)
    probability = (then - now) / (1 - now)
    moved = slopes[:, 1] - (1 - probability)[:, None] * slopes[:, 0]
    each = moved / (1 - now)[:, None]
    names = np.array([*problem.structure.columns, *problem.structure.uncertain], dtype=object)
    error = each.std(axis=0, ddof=1) / np.sqrt(REPLICATES)
    found = xr.Dataset(
        {
            "probability_gradient": ("input", each.mean(axis=0)),
            "probability_gradient_mcse": ("input", error),
            "probability": ((), probability.mean()),
        },
        coords={"input": names},
        attrs={"scenario_id": scenario.id, "by_year": by_year, "seed": scenario.seed},
    )
    order = np.argsort(-np.abs(found["probability_gradient"].to_numpy()))
    return found.isel(input=order)
