"""The Epoch Capabilities Index: how fast its frontier rises, and what compute and date explain.

Frontier (`frontier`): rows are the models that raised the maximum at their release,

    ECI_i  =  level + g (t_i - t_0), with another g after a date in the rival,  + e_i

where e is Student t with the sides of the published interval as in `time_horizons`: a part of it
is a model's own, beside a scatter about the trend. Epoch (2025) finds that the rise went from 8.3
to 15.5 points a year in April 2024, on rows that begin in December 2021. The packaged release has
no model before February 2023, and then an open one that was behind the frontier of its day: rows
begin with GPT-4, and what the trend was before the break hangs on three of them.

Compute (`by_compute`): all models whose training compute is known,

    ECI_i  =  level + b (log10 C_i - c_0) + a (t_i - t_0) + e_i

so that a / b is progress at constant compute in OOM a year ("effective compute"). Errors of compute
are not modelled (a factor of 3 against a spread of about 10 makes b some 8 % too small), nor is who
publishes compute.
"""

from functools import partial
from math import inf

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array
from scipy import stats

from ...priors.elicitation import distribution
from . import trend
from .study import Draws, Rival, Study, dated, priors
from .time_horizons import SplitStudentT

TABLE = "capabilities_index"
_INTERVAL_MASS = 0.9  # of Epoch's intervals, which do not say: our reading
_FRONTIER_SINCE = 2023.17  # the release has only open models before GPT-4


def models(as_of_year: float) -> pd.DataFrame:
    """Return one row a model (all versions of one have the same index), oldest first."""
    frame = dated(TABLE, as_of_year)
    return frame.drop_duplicates("name", ignore_index=True)


def frontier_rows(as_of_year: float) -> pd.DataFrame:
    """Return the models that raised the maximum since GPT-4: name, year, eci, below and above.

    Scales are of the interval of February 2026 about that release's value, as the packaged release
    has none; models without one have the median of the others.
    """
    found = models(as_of_year)
    found = found[found["year"] > _FRONTIER_SINCE]
    found = found.sort_values(["year", "eci"], ascending=[True, False])
    before = found["eci"].cummax().shift(fill_value=-inf)
    rows = found[found["eci"] > before]
    z = stats.norm.ppf((1 + _INTERVAL_MASS) / 2)
    sides = {
        "below": (rows["eci_2026_02"] - rows["eci_2026_02_ci_low"]) / z,
        "above": (rows["eci_2026_02_ci_high"] - rows["eci_2026_02"]) / z,
    }
    rows = rows.assign(**{name: side.fillna(side.median()) for name, side in sides.items()})
    return rows[["name", "year", "eci", "below", "above"]].reset_index(drop=True)


def frontier_model(
    *,
    year: np.ndarray,
    eci: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    priors: trend.Priors,
    node: Array | None = None,
) -> None:
    """NumPyro model of the frontier: all arrays (row,); node: (1,), the year of a break."""

    def site(name: str) -> Array:
        return numpyro.sample(name, distribution(*priors[name]))

    start = trend.anchor(year)
    dates = jnp.zeros(0) if node is None else node
    growth = numpyro.sample(
        "segment_points_per_year",
        distribution(*priors["points_per_year"]).expand([1 + len(dates)]).to_event(1),
    )
    if node is not None:
        numpyro.deterministic("change_point_year", node[0])
    centre = trend.piecewise_trend(year, site("level_at_anchor"), growth, dates, start)
    scatter, own_part = site("model_scatter_points"), site("own_part_of_interval")
    freedom = jnp.minimum(site("degrees_of_freedom"), trend.MOST_DEGREES_OF_FREEDOM)
    lower, upper = (jnp.sqrt(scatter**2 + (own_part * side) ** 2) for side in (above, below))
    numpyro.sample("eci", SplitStudentT(freedom, centre, lower, upper), obs=eci)


def frontier_at(draws: Draws, year: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the index of the frontier's trend at dates, (chain, draw, date)."""
    growth, level = draws["segment_points_per_year"], draws["level_at_anchor"][..., None]
    start = trend.anchor(year)
    found: np.ndarray = level + growth[..., :1] * (at - start)
    if "change_point_year" in draws:
        date = draws["change_point_year"][..., None]
        bend = np.maximum(at - date, 0) - np.maximum(start - date, 0)
        found = found + np.diff(growth) * bend
    return found


def _frontier_quantities(year: np.ndarray, draws: Draws) -> dict[str, np.ndarray]:
    growth = draws["segment_points_per_year"]
    found = {
        "points_per_year_now": growth[..., -1],
        "index_now": frontier_at(draws, year, np.array([year.max()]))[..., 0],
    }
    if "change_point_year" in draws:
        found["points_per_year_before_break"] = growth[..., 0]
        found["acceleration_points_per_year"] = growth[..., 1] - growth[..., 0]
        found["change_point_year"] = draws["change_point_year"]
    return found


def frontier(*, as_of_year: float = inf) -> Study:
    """Return the frontier of the index, with a straight and a broken trend."""
    rows = frontier_rows(as_of_year)
    arguments = {name: rows[name].to_numpy() for name in ("year", "eci", "below", "above")}
    year = arguments["year"]
    claims = {"linear": "so many points a year", "broken": "points a year changed once"}
    rivals = {
        name: Rival(
            claims[name],
            frontier_model,
            {**arguments, "priors": priors("capabilities-index")},
            partial(_frontier_quantities, year),
            trend.change_point_nodes(year, change_points),
            partial(_frontier_path, year),
        )
        for change_points, name in enumerate(claims)
    }
    return Study("Epoch Capabilities Index, frontier", (TABLE,), rows, "eci", "point", rivals)


def _frontier_path(year: np.ndarray, draws: Draws, at: np.ndarray) -> np.ndarray:
    return frontier_at(draws, year, at)


def compute_model(
    *,
    year: np.ndarray,
    log10_flop: np.ndarray,
    eci: np.ndarray,
    regressors: tuple[str, ...],
    priors: trend.Priors,
) -> None:
    """NumPyro model of index by compute, date, or both (``regressors``); arrays (row,)."""

    def site(name: str) -> Array:
        return numpyro.sample(name, distribution(*priors[name]))

    centre = site("level_at_centre")
    if "compute" in regressors:
        centre = centre + site("points_per_oom") * (log10_flop - np.median(log10_flop))
    if "date" in regressors:
        centre = centre + site("points_per_year") * (year - np.median(year))
    freedom = jnp.minimum(site("degrees_of_freedom"), trend.MOST_DEGREES_OF_FREEDOM)
    observed = dist.StudentT(freedom, centre, site("residual_scale_points"))
    numpyro.sample("eci", observed, obs=eci)


def _compute_quantities(draws: Draws) -> dict[str, np.ndarray]:
    names = ("points_per_oom", "points_per_year", "residual_scale_points")
    found = {name: draws[name] for name in names if name in draws}
    if {"points_per_oom", "points_per_year"} <= found.keys():
        ratio = found["points_per_year"] / found["points_per_oom"]
        found["algorithmic_progress_oom_per_year"] = ratio
        found["effective_compute_doubling_time_months"] = 12 * np.log10(2) / ratio
    return found


def by_compute(*, as_of_year: float = inf) -> Study:
    """Return the index of models with known training compute, by compute, date and both."""
    rows = models(as_of_year)
    rows = rows[rows["training_compute_flop"] > 0].reset_index(drop=True)
    rows = rows.assign(log10_flop=np.log10(rows["training_compute_flop"]))
    rows = rows[["name", "year", "log10_flop", "eci"]]
    arguments = {name: rows[name].to_numpy() for name in ("year", "log10_flop", "eci")}
    claims = {
        "compute-and-date": "both count",
        "compute": "compute alone counts: no algorithmic progress",
        "date": "the date alone counts",
    }
    rivals = {
        name: Rival(
            claim,
            compute_model,
            {
                **arguments,
                "regressors": tuple(name.split("-and-")),
                "priors": priors("capabilities-index-compute"),
            },
            _compute_quantities,
        )
        for name, claim in claims.items()
    }
    title = "Epoch Capabilities Index by training compute and date"
    return Study(title, (TABLE,), rows, "eci", "point", rivals)
