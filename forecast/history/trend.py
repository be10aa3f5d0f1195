"""The trend model shared by training compute, spending and price-performance.

log10 of a quantity is piecewise linear in time, with Student-t residuals or below a latent
frontier. The dates of the change points are nodes: a grid of alternatives, equally likely
beforehand, which inference weighs (so they are marginalised, not climbed).
"""

from collections.abc import Mapping
from itertools import combinations
from math import comb
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import log_ndtr

from ...priors.elicitation import Interval, distribution

MAX_CHANGE_POINTS = 3
UNUSED_YEAR = 9999.0  # an unused change point lies beyond the record
_MOST_NODES = 500
_SHORTEST_SEGMENT_YEARS = 1.0
# Standard deviations beyond which Mills's ratio is its asymptotic series to 2e-8: where the gap is
# a tiny part of the noise, its terms are large and cancel.
_FAR = 100.0
# Beyond this Student's t is the normal distribution to 1e-6, and its density, a difference of large
# log gammas, loses its digits.
MOST_DEGREES_OF_FREEDOM = 1e6
Priors = Mapping[str, Interval]


class BelowFrontier(dist.Distribution):
    """Value = frontier - exponential gap + normal noise (stochastic frontier analysis).

    Aigner, Lovell & Schmidt (1977); an exponentially modified normal. All arguments in OOM.
    """

    arg_constraints = {
        "frontier": dist.constraints.real,
        "gap": dist.constraints.positive,
        "noise": dist.constraints.positive,
    }
    support = dist.constraints.real

    def __init__(self, frontier: Array, gap: Array, noise: Array) -> None:
        self.frontier, self.gap, self.noise = frontier, gap, noise
        shape = jnp.broadcast_shapes(jnp.shape(frontier), jnp.shape(gap), jnp.shape(noise))
        super().__init__(batch_shape=shape)

    def log_prob(self, value: Array) -> Array:
        """Return the log density: normal in ``value``, times Mills's ratio."""
        above = (value - self.frontier) / self.noise
        ratio = self.noise / self.gap
        z = above + ratio
        far = z > _FAR
        near = jnp.where(far, 0.0, z)
        # (z^2 - above^2) / 2 is worked out where both may be large, for tiny noise.
        below = jnp.where(z < 0, ratio * (above + ratio / 2), near**2 / 2 - above**2 / 2)
        z = jnp.where(far, z, 1.0)
        asymptotic = -jnp.log(z) - jnp.log(2 * jnp.pi) / 2 - jnp.log1p(1 / z**2)
        mills = jnp.where(far, asymptotic - above**2 / 2, below + log_ndtr(-near))
        return mills - jnp.log(self.gap)

    @staticmethod
    def simulate(
        rng: np.random.Generator, frontier: np.ndarray, gap: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Return one value for each element of the parameters."""
        return frontier - rng.exponential(gap) + rng.normal(0, noise)


def change_point_nodes(years: np.ndarray, change_points: int) -> np.ndarray | None:
    """Return all sets of ``change_points`` dates on a regular grid, (node, change point) [yr].

    At least a year apart from each other and from the ends; the finest of some grids that gives at
    most 500 sets. None for no change point. Raises ``ValueError`` if the record is too short.
    """
    if change_points == 0:
        return None
    first, last = years.min() + _SHORTEST_SEGMENT_YEARS, years.max() - _SHORTEST_SEGMENT_YEARS
    for step in (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0):
        grid = np.arange(first, last, step)
        if comb(len(grid), change_points) > 4 * _MOST_NODES:
            continue
        sets = np.array(list(combinations(grid, change_points))).reshape(-1, change_points)
        apart = np.diff(sets, axis=1) >= _SHORTEST_SEGMENT_YEARS - 1e-9
        nodes = sets[apart.all(axis=1)]
        if 0 < len(nodes) <= _MOST_NODES:
            return nodes
    raise ValueError(
        f"change_points: got {change_points}, but the record spans only "
        f"{years.max() - years.min():.1f} years"
    )


def padded_nodes(years: np.ndarray, change_points: int) -> np.ndarray:
    """Return `change_point_nodes` with unused change points added, (node, 3) [yr]."""
    nodes = change_point_nodes(years, change_points)
    used = np.zeros((1, 0)) if nodes is None else nodes
    spare = np.full((len(used), MAX_CHANGE_POINTS - change_points), UNUSED_YEAR)
    return np.concatenate([used, spare], axis=1)


def piecewise_trend(
    years: np.ndarray, level: Array, growth: Array, change_points: Array, anchor_year: Any
) -> Array:
    """Return log10 of the quantity: ``level`` in ``anchor_year``, linear between change points.

    growth: (segment,) [OOM/yr]; change_points: (segment - 1,) [yr]; years: (observation,).
    """
    bends = jnp.maximum(years - change_points[:, None], 0) - jnp.maximum(
        anchor_year - change_points[:, None], 0
    )
    return level + growth[0] * (years - anchor_year) + jnp.diff(growth) @ bends


def model(
    *,
    year: np.ndarray,
    log10_value: np.ndarray,
    group: np.ndarray,
    priors: Priors,
    change_points: int,
    residual: str,
    node: Array | None = None,
    known: np.ndarray | None = None,
    anchor_year: float | None = None,
    groups: int | None = None,
) -> None:
    """NumPyro model of one record.

    year, log10_value: (observation,); group: (observation,) int, sources that share their growth
    but not their level and scatter; group 0 is the one that is forecast.
    residual: "student_t" or "latent_frontier".
    known: (observation,) bool, rows that count; others only fill up, and repeat a date of one that
        does. anchor_year and groups: as follow from ``year`` and ``group`` if not given.

    Sites: segment_doubling_time_years (segment,), log10_level_at_anchor (group,),
    residual_scale_oom (group,), scatter_growth_per_year if it has a prior (see `scale_at`),
    degrees_of_freedom or gap_oom, doubling_time_years (of the last
    segment of the record), change_point_years.

    Models with fewer change points are the same program with unused ones beyond the record, whose
    doubling times keep their prior: see `padded_nodes`.
    """
    groups = int(group.max()) + 1 if groups is None else groups
    at = anchor(year) if anchor_year is None else anchor_year
    doubling = numpyro.sample(
        "segment_doubling_time_years",
        distribution(*priors["doubling_time_years"]).expand([change_points + 1]).to_event(1),
    )
    dates = jnp.zeros(0) if node is None else node
    numpyro.deterministic("doubling_time_years", doubling[jnp.sum(dates < year.max())])
    if change_points:
        numpyro.deterministic("change_point_years", dates)
    level = numpyro.sample(
        "log10_level_at_anchor",
        distribution(*priors["log10_level_at_anchor"]).expand([groups]).to_event(1),
    )
    scale = numpyro.sample(
        "residual_scale_oom",
        distribution(*priors["residual_scale_oom"]).expand([groups]).to_event(1),
    )
    centre = piecewise_trend(year, level[group], jnp.log10(2) / doubling, dates, at)
    if residual == "latent_frontier":
        gap = numpyro.sample("gap_oom", distribution(*priors["gap_oom"]))
        observed: Any = BelowFrontier(centre, gap, scale[group])
    else:
        freedom = numpyro.sample("degrees_of_freedom", distribution(*priors["degrees_of_freedom"]))
        freedom = jnp.minimum(freedom, MOST_DEGREES_OF_FREEDOM)
        scatter = scale[group]
        if "scatter_growth_per_year" in priors:
            growth = numpyro.sample(
                "scatter_growth_per_year", distribution(*priors["scatter_growth_per_year"])
            )
            scatter = scatter * jnp.exp(growth * (year - at))
        observed = dist.StudentT(freedom, centre, scatter)
    if known is not None:
        observed = observed.mask(known)
    numpyro.sample("log10_value", observed, obs=log10_value)


def anchor(year: np.ndarray) -> float:
    """Return the date at which the level is a parameter: amid the data, where it is best known."""
    return float(np.median(year))


def scale_at(draws: Mapping[str, np.ndarray], year: np.ndarray, at: float) -> np.ndarray:
    """Return the scale of group 0's residuals at a date [OOM], (chain, draw), from posterior draws.

    It grows or shrinks exponentially over the record where ``scatter_growth_per_year`` was fitted.
    """
    growth = draws.get("scatter_growth_per_year", 0.0)
    scale: np.ndarray = draws["residual_scale_oom"][..., 0] * np.exp(growth * (at - anchor(year)))
    return scale


def log10_trend_at(draws: Mapping[str, np.ndarray], year: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the trend of group 0 at dates ``at``, (chain, draw, at), from posterior draws."""
    growth = np.log10(2) / draws["segment_doubling_time_years"]
    dates = draws.get("change_point_years", np.zeros((*growth.shape[:2], 0)))[..., None]
    start = anchor(year)
    bends = np.maximum(at - dates, 0) - np.maximum(start - dates, 0)
    level = draws["log10_level_at_anchor"][..., :1]
    straight = level + growth[..., :1] * (at - start)
    return straight + np.einsum("...s,...st->...t", np.diff(growth, axis=-1), bends)
