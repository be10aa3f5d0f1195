"""The training compute of notable models, and the frontier that sets the date.

The largest run, not the average one, reaches a requirement. Three readings of the frontier:

- ``top-n``: only systems that were among the n largest at their release enter the fit; the
  frontier is the level that one such run a year exceeds (a quantile of the Student-t residuals).
- ``upper-quantile``: all systems enter; the frontier is the level that one run a year exceeds.
- ``latent-frontier``: all systems enter, each an exponential gap below a latent frontier.

docs/frontier.md compares them, by posterior predictive check and backtest.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from .trend import log10_trend_at, scale_at

READINGS = ("top-n", "upper-quantile", "latent-frontier")


def top_n_at_release(values: np.ndarray, n: int) -> np.ndarray:
    """Return which of ``values``, in order of release, were among the n largest so far."""
    return np.array([np.sum(values[:i] > value) < n for i, value in enumerate(values)], dtype=bool)


def observations(
    frame: pd.DataFrame, *, as_of_year: float, since_year: float, reading: str, top_n: int
) -> pd.DataFrame:
    """Return the rows that enter the fit, with columns name, year, log10_value; oldest first.

    frame: a table of models with year (decimal) and training_compute_flop; rows without either,
    before ``since_year`` or after ``as_of_year`` are left out, but older systems still count when
    it is asked which were the largest.
    Raises ``ValueError`` if fewer than ten remain.
    """
    known = frame[frame["training_compute_flop"].notna() & (frame["year"] <= as_of_year)]
    known = known.assign(log10_value=np.log10(known["training_compute_flop"]))
    known = known.sort_values(["year", "log10_value", "name"], kind="stable")
    if reading == "top-n":
        known = known[top_n_at_release(known["log10_value"].to_numpy(), top_n)]
    known = known[known["year"] >= since_year]
    if len(known) < 10:
        raise ValueError(
            f"training_compute: {len(known)} systems between {since_year} and {as_of_year:.2f}, "
            "expected at least 10"
        )
    return known[["name", "year", "log10_value"]].reset_index(drop=True)


def frontier_excess_oom(
    draws: Mapping[str, np.ndarray], year: np.ndarray, *, as_of_year: float, reading: str
) -> np.ndarray:
    """Return how far the frontier lies above the trend, (chain, draw) [OOM].

    The level that one run a year exceeds: the quantile 1 - 1/m of the residuals, m being the
    number of runs in the fit that were released in the last two years, per year.
    """
    if reading == "latent-frontier":
        return np.zeros(draws["doubling_time_years"].shape)
    runs_a_year = max(2.0, np.sum(year > as_of_year - 2.0) / 2.0)
    standard = stats.t.ppf(1 - 1 / runs_a_year, draws["degrees_of_freedom"])
    return scale_at(draws, year, as_of_year) * standard


def forecast_columns(
    draws: Mapping[str, np.ndarray], year: np.ndarray, *, as_of_year: float, reading: str
) -> dict[str, np.ndarray]:
    """Return what the forecast takes from each draw: frontier level now and doubling time."""
    trend = log10_trend_at(draws, year, np.array([as_of_year]))[..., 0]
    excess = frontier_excess_oom(draws, year, as_of_year=as_of_year, reading=reading)
    return {
        "log10_level": trend + excess,
        "doubling_time_years": draws["doubling_time_years"],
    }
