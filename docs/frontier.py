"""Write docs/frontier.md: which reading of the compute frontier forecasts the largest run best.

Run as ``python docs/frontier.py``; about ten minutes, seconds once the fits are in the cache.
"""

import datetime
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scoringrules
import xarray as xr
from aitimelines.forecast import engine
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.datasets import decimal_year, load_frame, table_info
from aitimelines.forecast.scenario_files import load_scenario
from scipy import stats

PAGE = Path(__file__).with_suffix(".md")
READINGS = ("top-n", "upper-quantile", "latent-frontier")
TABLE, VINTAGE = "notable_models", "notable_models_2022_06"
HORIZONS_YEARS = (1, 2, 3, 4)
# Only the training compute is fitted: nothing else moves it within four years, except that money
# caps it softly. Limits of 2030 are left out, since they were estimated in 2024.
NOT_FITTED = {
    "spending": {"fit": False, "log10_level": 8.5, "level_year": 2026.5},
    "price_performance": {
        "fit": False,
        "log10_level": {"normal": [18.27, 18.44]},
        "level_year": 2026.56,
        "doubling_time_years": {"lognormal": [1.9, 2.4]},
    },
    "algorithmic_progress": {"fit": False},
    "limits": {"resources": []},
}


class Case(NamedTuple):
    """A date to forecast from, and the table that is read as of it."""

    date: str
    table: str

    @property
    def year(self) -> float:
        """The date as decimal year."""
        return float(decimal_year(np.datetime64(self.date)))


BACKTEST = tuple(Case(f"{year}-01-01", TABLE) for year in (2016, 2018, 2020, 2022, 2024))
OF_2022 = (Case("2022-06-20", TABLE), Case("2022-06-20", VINTAGE))
NOW = Case(table_info(TABLE).vintage.isoformat(), TABLE)


class Scored(NamedTuple):
    """One forecast of the largest known run, and what happened [log10 FLOP]."""

    case: Case
    method: str
    years_ahead: int
    draws: np.ndarray
    actual: float


# The record


@cache
def known_runs(table: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (year, log10 FLOP) of all systems whose compute is known, oldest first."""
    frame = load_frame(table)
    year = decimal_year(frame["date"].to_numpy())
    flop = frame["training_compute_flop"].to_numpy(dtype=float)
    known = np.isfinite(year) & (flop > 0)
    order = np.argsort(year[known], kind="stable")
    return year[known][order], np.log10(flop[known][order])


def record(table: str, at: float) -> float:
    """Return the largest run known by a date [log10 FLOP]."""
    year, log10_flop = known_runs(table)
    return float(log10_flop[year <= at].max())


def disclosed() -> list[tuple[int, int, int]]:
    """Return (year, notable models, those whose compute is known) of the last years."""
    frame = load_frame(TABLE)
    year = np.floor(decimal_year(frame["date"].to_numpy()))
    known = frame["training_compute_flop"].notna().to_numpy()
    return [
        (y, int((year == y).sum()), int(known[year == y].sum()))
        for y in range(2018, int(NOW.year) + 1)
    ]


# Forecasts


def scenario(case: Case, reading: str) -> Scenario:
    """Return the baseline as of a date, with the training compute as its only fitted record."""
    return load_scenario(
        "baseline",
        as_of=datetime.date.fromisoformat(case.date),
        horizon_year=int(case.date[:4]) + 6,
        samples=engine.REPLICATES * 1024,
        training_compute={"reading": reading, "table": case.table},
        **NOT_FITTED,
    )


@cache
def fitted(case: Case, reading: str) -> xr.DataTree:
    """Return the fit of the training compute."""
    print(f"fit {reading} as of {case.date} on {case.table}", file=sys.stderr, flush=True)
    return engine.fit(scenario(case, reading))["training_compute"]


def straight(case: Case, reading: str) -> np.ndarray:
    """Return draws of the frontier if growth goes on as it is, (horizon, draw) [log10 FLOP]."""
    columns = fitted(case, reading)["forecast"].to_dataset()
    growth = np.log10(2) / columns["doubling_time_years"].to_numpy().ravel()
    level = columns["log10_level"].to_numpy().ravel()
    return level + np.array(HORIZONS_YEARS)[:, None] * growth


@cache
def slowing(case: Case, reading: str) -> np.ndarray:
    """Return draws of the frontier as the engine forecasts it, (horizon, draw) [log10 FLOP]."""
    fits = {"training_compute": fitted(case, reading)}
    found = engine.simulate(scenario(case, reading), fits)["trajectories"]
    paths = found["log10_physical_compute"].transpose("sample", "year").to_numpy()
    at = [case.year + h for h in HORIZONS_YEARS]
    return np.array([np.interp(at, found["year"].to_numpy(), path) for path in paths]).T


def naive(case: Case) -> np.ndarray:
    """Return draws of a random walk with drift: no model, only past records, (horizon, draw).

    Drift: growth of the record over the last four years. Spread: standard deviation of its yearly
    growth over the last ten, with the error that this makes in a drift over four years.
    """
    past = np.array([record(case.table, case.year - k) for k in range(11)])
    drift, spread = (past[0] - past[4]) / 4, np.std(-np.diff(past), ddof=1)
    ahead = np.array(HORIZONS_YEARS)[:, None]
    standard = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    return past[0] + drift * ahead + spread * np.sqrt(ahead + ahead**2 / 4) * standard


def methods() -> dict[str, Callable[[Case], np.ndarray]]:
    """Return the contenders by name."""
    found: dict[str, Callable[[Case], np.ndarray]] = {}
    for reading in READINGS:
        found[f"{reading}, slowing"] = lambda case, reading=reading: slowing(case, reading)
    for reading in READINGS:
        found[f"{reading}, straight"] = lambda case, reading=reading: straight(case, reading)
    return found | {"naive random walk": naive}


def scored(cases: Iterable[Case]) -> list[Scored]:
    """Return all forecasts whose outcome is known."""
    return [
        Scored(case, method, h, draws[i], record(TABLE, case.year + h))
        for case in cases
        for method, forecast in methods().items()
        for draws in [forecast(case)]
        for i, h in enumerate(HORIZONS_YEARS)
        if case.year + h <= NOW.year
    ]


# Scores


def scores(forecasts: list[Scored]) -> dict[str, float]:
    """Return mean scores of some forecasts: CRPS, log score, 90 % coverage, errors [OOM]."""
    actual = np.array([f.actual for f in forecasts])
    quantiles = np.array([np.quantile(f.draws, [0.05, 0.5, 0.95]) for f in forecasts])
    crps = [float(scoringrules.crps_ensemble(f.actual, f.draws)) for f in forecasts]
    log_score = [
        float(scoringrules.logs_normal(f.actual, f.draws.mean(), f.draws.std())) for f in forecasts
    ]
    inside = (quantiles[:, 0] <= actual) & (actual <= quantiles[:, 2])
    return {
        "crps": float(np.mean(crps)),
        "log_score": float(np.mean(log_score)),
        "coverage": float(np.mean(inside)),
        "error": float(np.mean(quantiles[:, 1] - actual)),
        "absolute_error": float(np.mean(np.abs(quantiles[:, 1] - actual))),
        "width": float(np.mean(quantiles[:, 2] - quantiles[:, 0])),
    }


def of_method(forecasts: list[Scored], method: str, **conditions: object) -> list[Scored]:
    """Return the forecasts of one method, with other fields as given."""
    return [
        f
        for f in forecasts
        if f.method == method and all(getattr(f, k) == v for k, v in conditions.items())
    ]


# Posterior predictive checks


def _record_setters(values: np.ndarray) -> np.ndarray:
    before = np.maximum.accumulate(values, axis=-1)[..., :-1]
    return 1 + np.sum(values[..., 1:] > before, axis=-1)


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda values: values.mean(axis=-1),
    "sd": lambda values: values.std(axis=-1),
    "largest = final record": lambda values: values.max(axis=-1),
    "record-setting runs": _record_setters,
    "mean of the record curve": lambda v: np.maximum.accumulate(v, axis=-1).mean(axis=-1),
}


def predictive_rows(reading: str) -> list[list[str]]:
    """Return for each statistic: the data, the central 90 % of replications, the p-value."""
    tree = fitted(NOW, reading)
    data = tree["observed_data"]["log10_value"].to_numpy()
    dims = ("chain", "draw", "training_compute_observation")
    replicated = tree["posterior_predictive"]["log10_value"].transpose(*dims).to_numpy()
    rows = []
    for name, statistic in STATISTICS.items():
        actual, many = float(statistic(data)), statistic(replicated).ravel()
        low, high = np.quantile(many, [0.05, 0.95])
        p = np.mean(many > actual) + 0.5 * np.mean(many == actual)
        numbers = [f"{x:.0f}" if "setting" in name else f"{x:.2f}" for x in (actual, low, high)]
        rows.append([reading, str(len(data)), name, numbers[0], f"{numbers[1]} to {numbers[2]}"])
        rows[-1].append(f"{p:.3f}")
    return rows


def distance_from_record(reading: str) -> tuple[float, float]:
    """Return (mean, root mean square) of the reading's frontier minus the record since 2012 [OOM].

    The frontier is the posterior median of the fit to all data, twice a year.
    """
    trend = fitted(NOW, reading)["trend"].to_dataset().sel(quantile=0.5)
    year = trend["trend_year"].to_numpy()
    recent = year >= 2012
    gap = trend["log10_value"].to_numpy() - np.array([record(TABLE, y) for y in year])
    return float(gap[recent].mean()), float(np.sqrt(np.mean(gap[recent] ** 2)))
