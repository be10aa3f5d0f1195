"""Forecasts of the largest training run as of past dates, and their scores, for frontier.py."""

import datetime
import sys
from collections.abc import Iterable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import scoringrules
import xarray as xr
from aitimelines.forecast import engine
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.datasets import decimal_year, load_frame, table_info
from aitimelines.forecast.history import trend
from aitimelines.forecast.scenario_files import load_scenario
from scipy import stats

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
def trajectories(case: Case, reading: str) -> xr.Dataset:
    """Return the paths of the engine's forecast."""
    fits = {"training_compute": fitted(case, reading)}
    return engine.simulate(scenario(case, reading), fits)["trajectories"].to_dataset()


def paths_at(case: Case, reading: str, years_ahead: np.ndarray) -> np.ndarray:
    """Return draws of the frontier as the engine forecasts it, (horizon, draw) [log10 FLOP]."""
    found = trajectories(case, reading)
    paths = found["log10_physical_compute"].transpose("sample", "year").to_numpy()
    year = found["year"].to_numpy()
    return np.array([np.interp(case.year + years_ahead, year, path) for path in paths]).T


def slowing(case: Case, reading: str) -> np.ndarray:
    """Return draws of the frontier as the engine forecasts it, (horizon, draw) [log10 FLOP]."""
    return paths_at(case, reading, np.array(HORIZONS_YEARS))


def records(case: Case, reading: str) -> np.ndarray:
    """Return draws of the record itself, (horizon, draw) [log10 FLOP].

    The record of today, or the largest of the runs to come: as many a year as entered the fit in
    its last two years, evenly spaced, scattered about the slowing trend as the fit has it.
    """
    tree = fitted(case, reading)
    level = tree["forecast"]["log10_level"].to_numpy().ravel()
    drawn = trajectories(case, reading)["input_value"].sel(input="training_compute.log10_level")
    row = np.abs(level[:, None] - drawn.to_numpy()).argmin(axis=0)  # the draw's posterior row
    draws = {str(k): v.to_numpy() for k, v in tree["posterior"].items()}
    posterior = {k: v.reshape(len(level), -1) for k, v in draws.items()}
    year = tree["observed_data"]["year"].to_numpy()
    scale = trend.scale_at(draws, year, case.year).ravel()[row]
    runs_a_year = max(2.0, np.sum(year > case.year - 2) / 2)
    at = np.arange(0.5 / runs_a_year, max(HORIZONS_YEARS), 1 / runs_a_year)
    rng = np.random.default_rng(0)
    if reading == "latent-frontier":
        gap = rng.exponential(posterior["gap_oom"][row, 0], (len(at), len(row)))
        runs = paths_at(case, reading, at) + rng.normal(0, scale, gap.shape) - gap
    else:
        freedom = posterior["degrees_of_freedom"][row, 0]
        standard = rng.standard_t(freedom, (len(at), len(row)))
        excess = stats.t.ppf(1 - 1 / runs_a_year, freedom)
        runs = paths_at(case, reading, at) + scale * (standard - excess)
    largest = np.array([runs[at <= h].max(axis=0) for h in HORIZONS_YEARS])
    return np.maximum(largest, record(case.table, case.year))


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


FORECASTS = {"slowing": slowing, "straight": straight, "records": records}
NAIVE = "naive random walk"
METHODS = {
    **{f"{r}, {kind}": partial(f, reading=r) for kind, f in FORECASTS.items() for r in READINGS},
    NAIVE: naive,
}


def scored(cases: Iterable[Case]) -> list[Scored]:
    """Return all forecasts whose outcome is known."""
    return [
        Scored(case, method, h, draws[i], record(TABLE, case.year + h))
        for case in cases
        for method, forecast in METHODS.items()
        for draws in [forecast(case)]
        for i, h in enumerate(HORIZONS_YEARS)
        if case.year + h <= NOW.year
    ]


# Scores


def scores(forecasts: list[Scored]) -> dict[str, float]:
    """Return mean scores of some forecasts: CRPS, log score, 90 % coverage, errors [OOM].

    The log score is that of the normal distribution with the same median and 90 % interval.
    """
    actual = np.array([f.actual for f in forecasts])
    quantiles = np.array([np.quantile(f.draws, [0.05, 0.5, 0.95]) for f in forecasts])
    crps = [float(scoringrules.crps_ensemble(f.actual, f.draws)) for f in forecasts]
    sd = (quantiles[:, 2] - quantiles[:, 0]) / (2 * stats.norm.ppf(0.95))
    log_score = scoringrules.logs_normal(actual, quantiles[:, 1], sd)
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
