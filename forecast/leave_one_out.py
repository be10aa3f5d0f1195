"""Leave-one-out scores by Pareto-smoothed importance sampling (Vehtari, Gelman & Gabry 2017)."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData

_LEAST_DIFFERENCE = 1e-6  # nat


def leave_one_out(fitted: xr.DataTree, *, reff: float | None = None) -> "ELPDData":
    """Return expected log predictive densities of the rows of a fit, each given all others.

    fitted: with the groups posterior and log_likelihood; reff: effective part of the draws, default
        estimated from the posterior
    A Pareto k over 0.7 is in the answer, without a warning.
    """
    import arviz_stats

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto", UserWarning)
        return arviz_stats.loo(ties_broken(fitted), pointwise=True, reff=reff)


def ties_broken(fitted: xr.DataTree) -> xr.DataTree:
    """Return a fit, no two draws of which have the same likelihood.

    Draws of importance sampling repeat, and those of a chain that does not move; where a quarter of
    the largest ratios are equal their tail has no fit, and ArviZ returns NaN.
    """
    rng = np.random.default_rng(0)
    likelihood = fitted["log_likelihood"].to_dataset()
    apart = {
        name: value + _LEAST_DIFFERENCE * rng.random(value.shape)
        for name, value in likelihood.astype(float).items()
    }
    found = fitted.copy()
    found["log_likelihood"] = xr.DataTree(likelihood.assign(apart))
    return found
