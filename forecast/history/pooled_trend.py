"""Exponential trends of several groups: growth shared or partially pooled, rows that are linked.

    log10 y_i = a_g + b_g (t_i - t_g) + c_g(t_i) + e_i,    b_g = log10(2) / T_g

a_g is the level of group g at t_g, the median date of its rows. The doubling times are one and the
same, T_g = T, or partially pooled, log T_g normal about log T with standard deviation w (Gelman et
al. 2013, chapter 5). T_g itself is sampled, not its offset in units of w, which is a funnel in w
where the rows of a group tell much of its growth (Betancourt and Girolami 2015).

e_i is Student-t with scale sqrt(s_g^2 + u_i^2), where u_i is a standard error that the source
states. Rows that repeat each other's error (quarters of one cumulative sum, number formats of one
chip) are linked: given the row before, the standardised residual has mean r_i z_(i-1) and scale
sqrt(1 - r_i^2), r_i = exp(-gap_i / memory), an autoregression in continuous time. Leave-one-out
scores of linked rows are of each row given the row before it.

c_g = log10(1 - 10^(-b_g (t - s_g))) for sums that began on a date s_g: what was added since then
by a flow that has grown exponentially for ever. Left out, a sum's first quarters look like growth.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array

from ...priors.elicitation import Interval, distribution
from .study import Draws, Rival, priors, trend_rival
from .training_compute import frontier_excess_oom
from .trend import MOST_DEGREES_OF_FREEDOM, log10_trend_at

UNITS_PER_YEAR = {"years": 1.0, "months": 12.0}


class LinkedStudentT(dist.Distribution):
    """Student-t rows, each linked to the one before it by a correlation (0: not linked).

    df: degrees of freedom; loc, scale: of each row by itself; correlation: with the row before,
    between 0 and 1, along the last axis.
    """

    arg_constraints = {
        "df": dist.constraints.positive,
        "loc": dist.constraints.real,
        "scale": dist.constraints.positive,
        "correlation": dist.constraints.unit_interval,
    }
    support = dist.constraints.real

    def __init__(self, df: Array, loc: Array, scale: Array, correlation: Array) -> None:
        self.df, self.loc, self.scale, self.correlation = df, loc, scale, correlation
        shapes = (jnp.shape(each) for each in (df, loc, scale, correlation))
        super().__init__(batch_shape=jnp.broadcast_shapes(*shapes))

    def log_prob(self, value: Array) -> Array:
        """Return the log density of each row given the one before it."""
        before = jnp.roll((value - self.loc) / self.scale, 1, axis=-1)
        centre = self.loc + self.scale * self.correlation * before
        scale = self.scale * jnp.sqrt(1 - self.correlation**2)
        return dist.StudentT(self.df, centre, scale).log_prob(value)

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        df: np.ndarray,
        loc: np.ndarray,
        scale: np.ndarray,
        correlation: np.ndarray,
    ) -> np.ndarray:
        """Return one series for each set of parameters, (..., row)."""
        df, loc, scale, correlation = np.broadcast_arrays(df, loc, scale, correlation)
        new = rng.standard_t(df) * np.sqrt(1 - correlation**2)
        standard = np.zeros(loc.shape)
        for row in range(loc.shape[-1]):
            kept = correlation[..., row] * standard[..., row - 1] if row else 0.0
            standard[..., row] = kept + new[..., row]
        return loc + scale * standard


def model(
    *,
    year: np.ndarray,
    log10_value: np.ndarray,
    group: np.ndarray,
    anchor_year: np.ndarray,
    priors: Mapping[str, Interval],
    growth: str,
    one_scale: bool = False,
    error_oom: np.ndarray | None = None,
    gap: np.ndarray | None = None,
    since: np.ndarray | None = None,
) -> None:
    """NumPyro model of the rows of several groups.

    year, log10_value: (row,); group: (row,) int; anchor_year: (group,), where levels are
    growth: "shared" or "own"; one_scale: whether all groups have one scatter
    error_oom: (row,), standard errors that the source states
    gap: (row,), distance to the row before it, infinite where they are not linked
    since: (group,), dates on which sums began

    Sites: doubling_time_years (), log10_level (group,), residual_scale_oom (group,) or (1,),
    degrees_of_freedom; with own growth also growth_spread and group_doubling_time_years (group,);
    with gap also memory, in the unit of gap.
    """
    groups = len(anchor_year)
    typical = numpyro.sample("doubling_time_years", distribution(*priors["doubling_time_years"]))
    doubling = jnp.full(groups, typical)
    if growth == "own":
        spread = numpyro.sample("growth_spread", distribution(*priors["growth_spread"]))
        each = dist.LogNormal(jnp.log(typical), spread).expand([groups])
        doubling = numpyro.sample("group_doubling_time_years", each.to_event(1))
    level = numpyro.sample(
        "log10_level", distribution(*priors["log10_level"]).expand([groups]).to_event(1)
    )
    scales = 1 if one_scale else groups
    scale = numpyro.sample(
        "residual_scale_oom",
        distribution(*priors["residual_scale_oom"]).expand([scales]).to_event(1),
    )
    freedom = numpyro.sample("degrees_of_freedom", distribution(*priors["degrees_of_freedom"]))
    freedom = jnp.minimum(freedom, MOST_DEGREES_OF_FREEDOM)
    per_year = jnp.log10(2) / doubling[group]
    centre = level[group] + per_year * (year - anchor_year[group])
    if since is not None:
        centre = centre + jnp.log10(-jnp.expm1(-jnp.log(10) * per_year * (year - since[group])))
    width = scale[jnp.zeros_like(group) if one_scale else group]
    if error_oom is not None:
        width = jnp.sqrt(width**2 + error_oom**2)
    if gap is None:
        observed: Any = dist.StudentT(freedom, centre, width)
    else:
        memory = numpyro.sample("memory", distribution(*priors["memory"]))
        apart = np.isinf(gap)  # set aside: the gradient at an infinite gap is no number
        correlation = jnp.where(apart, 0.0, jnp.exp(-np.where(apart, 1.0, gap) / memory))
        observed = LinkedStudentT(freedom, centre, width, correlation)
    numpyro.sample("log10_value", observed, obs=log10_value)


def group_doubling_times(draws: Draws, groups: int) -> np.ndarray:
    """Return the doubling time of each group, (chain, draw, group) [yr]."""
    own = draws.get("group_doubling_time_years")
    if own is not None:
        return own
    return np.repeat(draws["doubling_time_years"][..., None], groups, axis=-1)


def log10_levels(
    draws: Draws, anchor_year: np.ndarray, at: np.ndarray, since: np.ndarray | None = None
) -> np.ndarray:
    """Return the trend of each group at dates ``at``, (chain, draw, group, at)."""
    doubling = group_doubling_times(draws, len(anchor_year))
    per_year = (np.log10(2) / doubling)[..., None]
    levels = draws["log10_level"][..., None] + per_year * (at - anchor_year[:, None])
    if since is None:
        return levels
    age = np.maximum(at - since[:, None], 0)
    with np.errstate(divide="ignore"):  # nothing is there before the sum begins
        return levels + np.log10(-np.expm1(-np.log(10) * per_year * age))


def arguments(
    rows: pd.DataFrame, section: str, growth: str, one_scale: bool = False
) -> dict[str, Any]:
    """Return what `model` needs of ``rows``.

    rows: with year, log10_value and, as far as they have them, group, error_oom, gap and since (of
        its group).
    """
    group = rows.get("group", pd.Series(0, index=rows.index)).to_numpy(dtype=int)
    by_group = rows.groupby(group)
    optional = {name: rows[name].to_numpy() for name in ("error_oom", "gap") if name in rows}
    if "since" in rows:
        optional["since"] = by_group["since"].first().to_numpy()
    return {
        "year": rows["year"].to_numpy(),
        "log10_value": rows["log10_value"].to_numpy(),
        "group": group,
        "anchor_year": by_group["year"].median().to_numpy(),
        "priors": priors(section),
        "growth": growth,
        "one_scale": one_scale,
        **optional,
    }


def pooled_rival(
    claim: str,
    rows: pd.DataFrame,
    section: str,
    groups: tuple[str, ...],
    level: str,
    *,
    growth: str = "shared",
    unit: str = "years",
    one_scale: bool = False,
    total: bool = False,
) -> Rival:
    """Return the trends of ``rows`` as one rival of a study.

    groups: their names, as in the names of quantities; level: what the record is, with its unit
    unit: of doubling times, "years" or "months"
    total: quantities and path of the sum over groups, not of the first one
    """
    given = arguments(rows, section, growth, one_scale)
    anchors, since = given["anchor_year"], given.get("since")
    last = float(rows["year"].max())

    def path(draws: Draws, at: np.ndarray) -> np.ndarray:
        levels = log10_levels(draws, anchors, at, since)
        if not total:
            return levels[..., 0, :]
        top = levels.max(axis=-2)
        return top + np.log10(np.sum(10 ** (levels - top[..., None, :]), axis=-2))

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        doubling = group_doubling_times(draws, len(groups))
        found = _growths("", np.log10(2) / draws["doubling_time_years"], unit)
        if growth == "own":
            for k, name in enumerate(groups):
                found |= _growths(f"{name}_", np.log10(2) / doubling[..., k], unit)
        ends = path(draws, np.array([last - 1, last]))
        found[f"log10_{level}_at_end"] = ends[..., 1]
        if total:
            found |= _growths("total_last_year_", ends[..., 1] - ends[..., 0], unit)
        return found

    return Rival(claim, model, given, quantities, None, path)


def _growths(prefix: str, oom_per_year: np.ndarray, unit: str) -> dict[str, np.ndarray]:
    return {
        f"{prefix}growth_oom_per_year": oom_per_year,
        f"{prefix}growth_factor_per_year": 10**oom_per_year,
        f"{prefix}doubling_time_{unit}": np.log10(2) / oom_per_year * UNITS_PER_YEAR[unit],
    }


def levelled(rival: Rival, year: np.ndarray, level: str, *, frontier: bool = False) -> Rival:
    """Return a rival of `trend_rival` with more quantities: growth as factor, level at the end.

    frontier: also the level that one row a year exceeds (`training_compute.frontier_excess_oom`)
    """
    last = float(np.max(year))

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        found = rival.quantities(draws)
        found["growth_factor_per_year"] = 10 ** found["growth_oom_per_year"]
        trend = log10_trend_at(draws, year, np.array([last]))[..., 0]
        found[f"log10_{level}_at_end"] = trend
        if frontier:
            excess = frontier_excess_oom(draws, year, as_of_year=last, reading="top-n")
            found[f"log10_leading_{level}_at_end"] = trend + excess
        return found

    return rival._replace(quantities=quantities)


def broken_rivals(
    what: str,
    rows: pd.DataFrame,
    section: str,
    level: str,
    *,
    unit: str = "years",
    frontier: bool = False,
    most: int = 1,
) -> dict[str, Rival]:
    """Return one exponential trend of ``rows``, and the same with up to ``most`` changes."""
    year = rows["year"].to_numpy()
    claims = ("grows exponentially", "changes its growth once", "changes its growth twice")
    return {
        f"{count}-breaks": levelled(
            trend_rival(f"{what} {claims[count]}", rows, section, change_points=count, unit=unit),
            year,
            level,
            frontier=frontier,
        )
        for count in range(most + 1)
    }
