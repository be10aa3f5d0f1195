"""Time horizons: how long a task AI agents complete half of the time (METR; Kwa et al. 2025).

    log2 horizon of model i on suite 1.1  =  y(t_i) + e_i
    log2 horizon on suite 1.0  =  y(t_i) + offset + difference (t_i - t_0) + rho e_i + e'_i

y(t), t in years from the middle of the record t_0, T the doubling time there, is one of

    exponential            y = y_0 + t / T
    broken exponential     the same with another T after a date, which is summed over
    superexponential       y = y_0 - (S / T) ln(1 - t / S): each doubling takes exp(-T / S) times
                           as long as the one before, and the horizon is infinite at t = S.
                           As a function of t this is hyperbolic growth, (S - t)^-p
    accelerating           y = y_0 + t / T + a t^2 / 2: doublings a year grow linearly

Residuals are Student t with the two sides of METR's 95 % interval as scales: the side above the
measurement counts where the curve runs above it. Errors of one suite are largely common to all its
models (the same tasks), so only a part kappa of an interval is a model's own, beside the scatter
tau of models about the curve: scale^2 = tau^2 + (kappa s)^2. The common part moves all horizons of
a suite together; it is not in any of our intervals, which are of horizons "as this suite measures".

Rows are the models that were best at their release, as METR fits them; on suite 1.0 without the
three before 2023, whose measurement is that of suite 1.1. A model measured on both suites has one
error: the row of suite 1.0 is conditional on that of suite 1.1, with correlation rho (linear, as
for a normal pair: the simplification made here).

The singularity lies beyond the last row by construction: a prior on the years between, see
`priors/sets/history.toml`. A horizon past it is ``inf``.
"""

from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array

from ...priors.elicitation import distribution
from . import trend
from .study import Draws, Rival, Study, dated, priors, trend_rival

TABLE = "time_horizons"
DAYS_A_YEAR = 365.25
WORK_MONTH_MINUTES, WORK_YEAR_MINUTES = 167 * 60.0, 2000 * 60.0  # as METR counts them
# Suite 1.0's names of models that suite 1.1 has under another.
_SAME = {
    "claude_3_5_sonnet": "claude_3_5_sonnet_20240620",
    "o1_elicited": "o1",
    "gpt_5": "gpt_5_2025_08_07",
}
_Z95 = 1.959963984540054
Parameters = Mapping[str, Any]


class SplitStudentT(dist.Distribution):
    """Student t with one scale below its centre and another above; density continuous there."""

    arg_constraints = {
        "df": dist.constraints.positive,
        "centre": dist.constraints.real,
        "below": dist.constraints.positive,
        "above": dist.constraints.positive,
    }
    support = dist.constraints.real

    def __init__(self, df: Array, centre: Array, below: Array, above: Array) -> None:
        self.df, self.centre, self.below, self.above = df, centre, below, above
        shapes = (jnp.shape(each) for each in (df, centre, below, above))
        super().__init__(batch_shape=jnp.broadcast_shapes(*shapes))

    def log_prob(self, value: Array) -> Array:
        """Return the log density."""
        scale = jnp.where(value < self.centre, self.below, self.above)
        standard = dist.StudentT(self.df).log_prob((value - self.centre) / scale)
        return standard + jnp.log(2 / (self.below + self.above))

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        df: np.ndarray,
        centre: np.ndarray,
        below: np.ndarray,
        above: np.ndarray,
    ) -> np.ndarray:
        """Return one value for each element of the parameters."""
        size = np.abs(rng.standard_t(df))
        downwards = rng.random(size.shape) < below / (below + above)
        return centre + np.where(downwards, -below, above) * size


def _exponential(p: Parameters, t: Any, xp: Any) -> Any:
    return p["level"] + t / p["doubling"]


def _broken(p: Parameters, t: Any, xp: Any) -> Any:
    bend = xp.maximum(t - p["break"], 0) - xp.maximum(-p["break"], 0)
    return p["level"] + t / p["doubling"] + (1 / p["after"] - 1 / p["doubling"]) * bend


def _superexponential(p: Parameters, t: Any, xp: Any) -> Any:
    left = 1 - t / p["singular"]
    grown = -p["singular"] / p["doubling"] * xp.log(xp.where(left > 0, left, 1.0))
    return xp.where(left > 0, p["level"] + grown, inf)


def _accelerating(p: Parameters, t: Any, xp: Any) -> Any:
    return p["level"] + t / p["doubling"] + p["acceleration"] * t**2 / 2


def _when_exponential(p: Parameters, y: float) -> Any:
    return (y - p["level"]) * p["doubling"]


def _when_broken(p: Parameters, y: float) -> Any:
    """Return when, if that is after the break (the horizons asked for are beyond the record)."""
    return p["break"] + (y - _broken(p, p["break"], np)) * p["after"]


def _when_superexponential(p: Parameters, y: float) -> Any:
    return p["singular"] * -np.expm1(-(y - p["level"]) * p["doubling"] / p["singular"])


def _when_accelerating(p: Parameters, y: float) -> Any:
    rate, a = 1 / p["doubling"], p["acceleration"]
    return (np.sqrt(rate**2 + 2 * a * (y - p["level"])) - rate) / a


class Curve(NamedTuple):
    """A shape of growth: its claim, log2 horizon at t, and the t at which it has a value."""

    claim: str
    value: Callable[[Parameters, Any, Any], Any]
    when: Callable[[Parameters, float], Any]


CURVES = {
    "exponential": Curve("one doubling time", _exponential, _when_exponential),
    "broken": Curve("a doubling time that changed once", _broken, _when_broken),
    "superexponential": Curve(
        "each doubling is shorter by the same part: infinite at a date",
        _superexponential,
        _when_superexponential,
    ),
    "accelerating": Curve(
        "doublings a year grow linearly, no singularity", _accelerating, _when_accelerating
    ),
}


def anchor(year: np.ndarray) -> float:
    """Return t_0, the middle of the record."""
    return float(np.median(year))


def _sampled(curve: str, year: np.ndarray, given: trend.Priors, node: Array | None) -> Parameters:
    """Sample the parameters of a curve."""

    def site(name: str) -> Array:
        return numpyro.sample(name, distribution(*given[name]))

    found: dict[str, Array] = {
        "level": site("log2_horizon_at_anchor"),
        "doubling": site("doubling_time_years"),
    }
    if curve == "broken":
        found["after"] = numpyro.sample(
            "later_doubling_time_years", distribution(*given["doubling_time_years"])
        )
        date = jnp.asarray(node)[0]
        found["break"] = numpyro.deterministic("change_point_year", date) - anchor(year)
    elif curve == "superexponential":
        after = site("years_from_record_to_singularity")
        found["singular"] = after + float(year.max()) - anchor(year)
    elif curve == "accelerating":
        found["acceleration"] = site("acceleration_doublings_per_year2")
    return found


def _parameters(curve: str, draws: Draws, year: np.ndarray) -> Parameters:
    """Return the parameters of a curve from posterior draws, each (chain, draw)."""
    found = {"level": draws["log2_horizon_at_anchor"], "doubling": draws["doubling_time_years"]}
    if curve == "broken":
        found["after"] = draws["later_doubling_time_years"]
        found["break"] = draws["change_point_year"] - anchor(year)
    elif curve == "superexponential":
        after = draws["years_from_record_to_singularity"]
        found["singular"] = after + float(year.max()) - anchor(year)
    elif curve == "accelerating":
        found["acceleration"] = draws["acceleration_doublings_per_year2"]
    return found


def model(
    *,
    curve: str,
    year: np.ndarray,
    log2_minutes: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
    older_suite: np.ndarray,
    paired_log2_minutes: np.ndarray,
    priors: trend.Priors,
    node: Array | None = None,
) -> None:
    """NumPyro model of time horizons.

    year, log2_minutes: (row,); below, above: (row,), scales of the interval on both sides of the
    measurement [log2]; older_suite: (row,), 1 if measured on suite 1.0, else 0;
    paired_log2_minutes: (row,), for those the same model's value on suite 1.1, else NaN.
    node: (1,), the year in which the doubling time of the broken exponential changes.
    """
    t = year - anchor(year)
    centre = CURVES[curve].value(_sampled(curve, year, priors, node), t, jnp)

    def site(name: str) -> Array:
        return numpyro.sample(name, distribution(*priors[name]))

    model_scatter, own_part = site("model_scatter_doublings"), site("own_part_of_interval")
    freedom = jnp.minimum(site("degrees_of_freedom"), trend.MOST_DEGREES_OF_FREEDOM)
    shrink = jnp.ones(len(year))
    if older_suite.any():
        offset = site("suite_offset_doublings")
        difference = site("suite_growth_difference_doublings_per_year")
        correlation = site("suite_correlation")
        paired = np.isfinite(paired_log2_minutes)
        carried = correlation * (np.where(paired, paired_log2_minutes, 0.0) - centre)
        shift = offset + difference * t + jnp.where(paired, carried, 0.0)
        centre = centre + older_suite * shift
        shrink = jnp.where(paired, jnp.sqrt(1 - correlation**2), 1.0)

    def scale(side: np.ndarray) -> Array:
        return shrink * jnp.sqrt(model_scatter**2 + (own_part * side) ** 2)

    # Where the curve runs above a measurement, the interval's upper side says how likely that is.
    observed = SplitStudentT(freedom, centre, scale(above), scale(below))
    numpyro.sample("log2_minutes", observed, obs=log2_minutes)


def log2_minutes_at(curve: str, draws: Draws, year: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the log2 horizon on suite 1.1 at dates, (chain, draw, date); ``inf`` if singular.

    year: (row,), of the rows that were fitted
    """
    parameters = {k: v[..., None] for k, v in _parameters(curve, draws, year).items()}
    value: np.ndarray = CURVES[curve].value(parameters, at - anchor(year), np)
    return value


def year_reached(curve: str, draws: Draws, year: np.ndarray, minutes: float) -> np.ndarray:
    """Return the decimal year in which the horizon on suite 1.1 is so long, (chain, draw)."""
    when: np.ndarray = CURVES[curve].when(_parameters(curve, draws, year), float(np.log2(minutes)))
    return when + anchor(year)


def _quantities(curve: str, rows: pd.DataFrame, draws: Draws) -> dict[str, np.ndarray]:
    year = rows["year"].to_numpy()
    step = 1e-4  # years; the rate at the end of the record
    ends = log2_minutes_at(curve, draws, year, year.max() - np.array([step, 0.0]))
    found = {
        "doubling_time_days_now": DAYS_A_YEAR * step / (ends[..., 1] - ends[..., 0]),
        "horizon_minutes_now": 2 ** ends[..., 1],
        "year_of_one_work_month": year_reached(curve, draws, year, WORK_MONTH_MINUTES),
        "year_of_one_work_year": year_reached(curve, draws, year, WORK_YEAR_MINUTES),
    }
    if curve == "broken":
        found["doubling_time_days_before_break"] = draws["doubling_time_years"] * DAYS_A_YEAR
        found["change_point_year"] = draws["change_point_year"]
    if curve == "superexponential":
        singular = draws["years_from_record_to_singularity"] + year.max()
        found["singularity_year"] = singular
        found["each_doubling_shorter_by_part"] = -np.expm1(
            -draws["doubling_time_years"] / (singular - anchor(year))
        )
    found |= {name: draws[name] for name in ("own_part_of_interval", "model_scatter_doublings")}
    names = ("suite_offset_doublings", "suite_growth_difference_doublings_per_year")
    found |= {name: draws[name] for name in (*names, "suite_correlation") if name in draws}
    if curve == "exponential" and names[1] in draws:
        faster = draws[names[1]]
        found["doubling_time_days_older_suite"] = DAYS_A_YEAR / (
            1 / draws["doubling_time_years"] + faster
        )
    return found


def _interval_scale(wider: pd.Series, value: pd.Series) -> np.ndarray:
    found: np.ndarray = np.abs(np.log2((wider / value).to_numpy(dtype=float))) / _Z95
    return found


def observations(*, as_of_year: float, success: int, best_only: bool) -> pd.DataFrame:
    """Return the rows that are fitted: name, year, log2_minutes and arguments of `model`.

    success: percent, 50 or 80. best_only: those best at their release on their suite (at 50 %),
    else all of suite 1.1.
    """
    frame = dated(TABLE, as_of_year)
    older = frame["suite_version"].astype(str) == "1.0"
    minutes = frame[f"p{success}_horizon_minutes"]
    rows = pd.DataFrame(
        {
            "name": frame["model"] + " (" + frame["suite_version"].astype(str) + ")",
            "year": frame["year"],
            "log2_minutes": np.log2(minutes),
            "below": _interval_scale(frame[f"p{success}_ci_low_minutes"], minutes),
            "above": _interval_scale(frame[f"p{success}_ci_high_minutes"], minutes),
            "older_suite": older.astype(int),
        }
    )
    newer = frame[~older].set_index("model")[f"p{success}_horizon_minutes"]
    names = frame["model"].replace(_SAME)
    rows["paired_log2_minutes"] = np.log2(names.map(newer).where(older))
    same_measurement = older & (frame["year"] < 2023)
    keep = frame["sota_at_release"].astype(bool) & ~same_measurement if best_only else ~older
    return rows[keep].reset_index(drop=True)


def _study(as_of_year: float, success: int, section: str, title: str) -> Study:
    rows = observations(as_of_year=as_of_year, success=success, best_only=True)
    given = priors(section)
    columns = ("year", "log2_minutes", "below", "above", "older_suite", "paired_log2_minutes")
    arguments = {name: rows[name].to_numpy() for name in columns}
    year = arguments["year"]
    rivals = {
        name: Rival(
            curve.claim,
            model,
            {**arguments, "curve": name, "priors": given},
            partial(_quantities, name, rows),
            trend.change_point_nodes(year, 1) if name == "broken" else None,
            partial(_path, name, year),
        )
        for name, curve in CURVES.items()
    }
    return Study(title, (TABLE,), rows, "log2_minutes", "log2 minute", rivals)


def _path(curve: str, year: np.ndarray, draws: Draws, at: np.ndarray) -> np.ndarray:
    return log2_minutes_at(curve, draws, year, at)


def time_horizons(*, as_of_year: float = inf) -> Study:
    """Return the horizons at 50 % success of the models that were best at their release."""
    return _study(as_of_year, 50, "time-horizons", "Time horizon at 50 % success, best models")


def time_horizons_80(*, as_of_year: float = inf) -> Study:
    """Return the horizons at 80 % success of the same models."""
    return _study(as_of_year, 80, "time-horizons", "Time horizon at 80 % success, best models")


def all_models(*, as_of_year: float = inf) -> Study:
    """Return the horizons of all models of suite 1.1, below a frontier that is not observed.

    The other reading of "best models": no row is selected by its value, and each lies an
    exponential gap below a latent frontier (`trend.BelowFrontier`), exponential or broken once.
    """
    rows = observations(as_of_year=as_of_year, success=50, best_only=False)
    rows = rows.assign(log10_value=rows["log2_minutes"] * np.log10(2))
    rows = rows[["name", "year", "log10_value"]]
    rivals = {
        name: _frontier_rival(CURVES[name].claim, rows, change_points)
        for name, change_points in (("exponential", 0), ("broken", 1))
    }
    title = "Time horizon at 50 % success, all models of suite 1.1"
    return Study(title, (TABLE,), rows, "log10_value", "log10 minute", rivals)


def _frontier_rival(claim: str, rows: pd.DataFrame, change_points: int) -> Rival:
    section = "time-horizons-frontier"
    rival = trend_rival(claim, rows, section, change_points=change_points, unit="days")
    year = rows["year"].to_numpy()

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        now = trend.log10_trend_at(draws, year, np.array([year.max()]))[..., 0]
        growth = np.log10(2) / draws["doubling_time_years"]
        return {
            **rival.quantities(draws),
            "doubling_time_days_now": draws["doubling_time_years"] * DAYS_A_YEAR,
            "horizon_minutes_now": 10**now,
            "year_of_one_work_month": year.max() + (np.log10(WORK_MONTH_MINUTES) - now) / growth,
            "year_of_one_work_year": year.max() + (np.log10(WORK_YEAR_MINUTES) - now) / growth,
        }

    arguments = {**rival.arguments, "residual": "latent_frontier"}
    return rival._replace(arguments=arguments, quantities=quantities)
