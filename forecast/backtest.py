"""Backtest: forecasts from what was known on past dates, scored on what came.

Two kinds of outcome, one to eight years ahead: each later *run* of the record, at its date, and
the *record*, the largest run known by so many years after the forecast. Forecasts are made from the
rows dated before, with today's priors; the choice that time could have taught (how many changes of
growth) is weighed by what was known then.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from ..priors.elicitation import Interval
from ..priors.published_paths import published_paths
from .backtest_fits import (
    CHANGE_POINTS,
    QUANTITIES,
    Candidate,
    Case,
    cases,
    fits,
    loo_weights,
    predicted,
    rows_known,
)
from .config import Scenario
from .datasets import decimal_year, table_info
from .naive import last_growth_rate, random_walk_with_drift
from .provenance import code_key
from .records import provenance_of
from .scoring import (
    QUANTILES,
    Mixture,
    mixed,
    scored_draws,
    scored_mixture,
    stacking_weights,
)
from .storage import cached_tree

Report = Callable[[str, int, int], None]
DATES = ("2016", "2018", "2020", "2022", "2024")
MOST_YEARS_AHEAD = 8
STACKED, AVERAGED, STRAIGHT = "stacked", "averaged by LOO", "stacked, growth as it is"
NAIVE = {
    "last growth rate": last_growth_rate,
    "random walk with drift": random_walk_with_drift,
}
_FAN_YEARS = np.arange(0, MOST_YEARS_AHEAD + 0.01, 0.25)


class Made(NamedTuple):
    """All that is forecast of one quantity on one date.

    known: the rows of then; later: those of the next eight years, with years_ahead
    parts: of each candidate, predictive distribution at `later`; log_density: (row, candidate)
    """

    case: Case
    known: pd.DataFrame
    later: pd.DataFrame
    candidates: list[Candidate]
    parts: list[Mixture]
    log_density: np.ndarray


def backtest(
    scenario: Scenario,
    dates: Sequence[str] = DATES,
    *,
    vintages: bool = True,
    report: Report | None = None,
) -> tuple[xr.DataTree, bool]:
    """Return the backtest of a scenario, and whether it came from the cache.

    dates: years or days to forecast from; vintages: also from older versions of the table of models
        that come with the package, as they were on their day

    A tree with the groups forecasts (forecast; one outcome of one method each), record (row; all
    runs that are known), weights (as_of, change_points), final_weights (change_points) and fan
    (as_of, fan_years_ahead, quantile), the last three with a variable for each quantity.
    Raises ``ValueError`` for a date that is none, or a scenario that fits no training compute by
    the reading top-n.
    """
    section = scenario.training_compute
    if section is None or not section.fit or section.reading != "top-n":
        raise ValueError(
            "training_compute: a backtest needs fit = true and reading = 'top-n', "
            f"got {'none' if section is None else section.reading!r}"
        )
    chosen = cases(section.table, dates, vintages=vintages)
    key = {
        "scenario": scenario.model_dump(mode="json"),
        "cases": [list(case) for case in chosen],
        "data": {table: table_info(table).sha256 for table in _tables(section.table, chosen)},
        **code_key(),
    }
    tell = report or (lambda what, done, total: None)
    return cached_tree("backtest", key, lambda: _made_tree(scenario, chosen, tell))


def _tables(table: str, chosen: Sequence[Case]) -> list[str]:
    return sorted({table, "training_costs", "ml_hardware", *(case.table for case in chosen)})


def _made_tree(scenario: Scenario, chosen: Sequence[Case], report: Report) -> xr.DataTree:
    assert scenario.training_compute is not None
    table = scenario.training_compute.table
    now = _last_known(table)
    rows: list[dict[str, Any]] = []
    records, weights, final, fans = [], {}, {}, {}
    for quantity in QUANTITIES:
        record = rows_known(scenario, quantity, table, now)
        record = record[record["group"] == 0]
        records.append(record.assign(quantity=quantity))
        made = list(_forecasts(scenario, quantity, chosen, record, report))
        for number, each in enumerate(made):
            weight = _weights_then(made[:number], each)
            weights[quantity, each.case.as_of] = weight
            rows += _scored(scenario, quantity, each, weight, record)
            fans[quantity, each.case.as_of] = _fan(scenario, quantity, each, weight)
        densities = [each.log_density for each in made if len(each.later)]
        final[quantity] = stacking_weights(np.concatenate(densities))
    tree = xr.DataTree.from_dict(
        {
            "forecasts": _dataset(pd.DataFrame(rows), "forecast"),
            "record": _dataset(pd.concat(records), "row"),
            "weights": _by_date(weights, "change_points", np.array(CHANGE_POINTS)),
            "final_weights": _final(final),
            "fan": _by_date(fans, "fan_years_ahead", _FAN_YEARS),
        }
    )
    tree.attrs = {
        "scenario_id": scenario.id,
        "as_of": json.dumps([case.as_of for case in chosen]),
        "record_known": table_info(table).as_of.isoformat(),
        "data": json.dumps({name: provenance_of(name) for name in _tables(table, chosen)}),
    }
    return tree


def _last_known(table: str) -> float:
    return float(decimal_year(np.datetime64(table_info(table).as_of)))


def _forecasts(
    scenario: Scenario,
    quantity: str,
    chosen: Sequence[Case],
    record: pd.DataFrame,
    report: Report,
) -> Iterator[Made]:
    for case, known, candidates in fits(scenario, quantity, chosen, report):
        ahead = record["year"].to_numpy() - case.year
        later = record.assign(years_ahead=ahead)[(ahead > 0) & (ahead <= MOST_YEARS_AHEAD)]
        at = later["years_ahead"].to_numpy()
        parts = [
            predicted(each, _growth(scenario, quantity), at, _rng(scenario, case, k))
            for k, each in enumerate(candidates)
        ]
        actual = later["log10_value"].to_numpy()
        density = np.stack([part.log_density(actual) for part in parts], axis=1)
        own = known[known["group"] == 0]
        yield Made(case, own, later, candidates, parts, density)


def _growth(scenario: Scenario, quantity: str) -> tuple[Interval, Interval]:
    """Return the priors of how growth slows; model size borrows those of training compute."""
    name = "price_performance" if quantity == "price_performance" else "training_compute"
    section = getattr(scenario, name)
    priors = (section.long_run_doubling_time_years, section.slowdown_half_life_years)
    return tuple(prior.interval for prior in priors)  # type: ignore[return-value]


def _rng(scenario: Scenario, case: Case, *more: int) -> np.random.Generator:
    return np.random.default_rng((scenario.seed, int(1000 * case.year), *more))


def _weights_then(earlier: Sequence[Made], now: Made) -> np.ndarray:
    """Return stacking weights by the forecasts made before, scored on rows known by then.

    Before any of these they are those of leave-one-out.
    """
    densities = [
        each.log_density[(each.later["year"] <= now.case.year).to_numpy()]
        for each in earlier
        if len(each.candidates) == len(now.candidates)
    ]
    together = np.concatenate([np.zeros((0, len(now.candidates))), *densities])
    return stacking_weights(together) if len(together) else loo_weights(now.candidates)


def _scored(
    scenario: Scenario, quantity: str, made: Made, weight: np.ndarray, record: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Yield one row for each outcome and method."""
    actual, at = made.later["log10_value"].to_numpy(), made.later["years_ahead"].to_numpy()
    rng = _rng(scenario, made.case, 99)
    by_loo = loo_weights(made.candidates)
    straight = [predicted(each, None, at, rng) for each in made.candidates]
    year, value = made.known["year"].to_numpy(), made.known["log10_value"].to_numpy()
    methods = {
        STACKED: mixed(made.parts, weight),
        AVERAGED: mixed(made.parts, by_loo),
        STRAIGHT: mixed(straight, weight),
        **{f"{k} changes": part for k, part in enumerate(made.parts)},
        **{name: method(year, value, made.case.year + at) for name, method in NAIVE.items()},
    }
    outcome = {"name": made.later["name"].to_numpy(), "actual": actual}
    for method, mixture in methods.items():
        found = scored_mixture(mixture, actual, rng)
        ahead = {"years_ahead": np.ceil(at).astype(int), "year": made.later["year"].to_numpy()}
        yield from _as_rows(quantity, "run", method, made.case, outcome | ahead | found)
    if quantity != "price_performance":
        yield from _scored_record(scenario, quantity, made, weight, record)


def _as_rows(
    quantity: str, target: str, method: str, case: Case, columns: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    first = {
        "quantity": quantity,
        "target": target,
        "method": method,
        "as_of": case.as_of,
        "vintage": case.vintage,
    }
    for number in range(len(columns["actual"])):
        yield first | {name: values[number] for name, values in columns.items()}


def _scored_record(
    scenario: Scenario, quantity: str, made: Made, weight: np.ndarray, record: pd.DataFrame
) -> Iterator[dict[str, Any]]:
    """Yield the scores of forecasts of the record, one to eight years after the date.

    The record of then, or the largest of the runs to come: as many a year as in the last two years.
    """
    case, best = made.case, made.known["log10_value"].max()
    horizon = _whole_years(case, record)
    actual = np.array(
        [record["log10_value"][record["year"] <= case.year + h].max() for h in horizon]
    )
    runs_a_year = max(2.0, float(np.sum(made.known["year"] > case.year - 2)) / 2)
    at = np.arange(0.5 / runs_a_year, horizon[-1], 1 / runs_a_year)
    rng = _rng(scenario, case, 7)
    year, value = made.known["year"].to_numpy(), made.known["log10_value"].to_numpy()
    growth = _growth(scenario, quantity)
    parts = [predicted(each, growth, at, rng) for each in made.candidates]
    runs = {
        STACKED: mixed(parts, weight),
        AVERAGED: mixed(parts, loo_weights(made.candidates)),
        **{name: method(year, value, case.year + at) for name, method in NAIVE.items()},
    }
    found = {
        method: np.maximum(
            best,
            np.stack([mixture.draws(rng)[:, at <= h].max(axis=1) for h in horizon], axis=1),
        )
        for method, mixture in runs.items()
    }
    if quantity == "training_compute":
        found |= _published(case, horizon)
    outcome = {
        "name": np.array([f"record by {case.year + h:.1f}" for h in horizon], dtype=object),
        "actual": actual,
        "years_ahead": horizon,
        "year": case.year + horizon,
    }
    for method, draws in found.items():
        scores = scored_draws(draws, actual)
        kept = np.isfinite(draws[0])
        columns = {name: np.asarray(v)[kept] for name, v in (outcome | scores).items()}
        yield from _as_rows(quantity, "record", method, case, columns)


def _whole_years(case: Case, record: pd.DataFrame) -> np.ndarray:
    """Return after how many years the record is known, 1 to 8."""
    return np.arange(1, min(MOST_YEARS_AHEAD, int(record["year"].max() - case.year)) + 1)


def _published(case: Case, horizon: np.ndarray) -> dict[str, np.ndarray]:
    """Return the forecasts published in the year of a date, (draw, horizon), NaN where silent."""
    found = {}
    for path in published_paths().values():
        if path["published"].year != int(case.year):
            continue
        at = case.year + horizon
        inside = (at >= path["year"][0]) & (at <= path["year"][-1])

        def line(values: list[float], at: np.ndarray, path: dict[str, Any]) -> np.ndarray:
            return np.interp(at, path["year"], values)

        middle = line(path["log10_flop"], at, path)[None]
        if "low" in path:
            z = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)[:, None]
            width = stats.norm.ppf(0.5 + path["mass"] / 2)
            below, above = (
                np.abs(line(path[k], at, path) - middle) / width for k in ("low", "high")
            )
            middle = middle + z * np.where(z < 0, below, above)
        found[path["title"]] = np.where(inside, middle, np.nan)
    return found


def _fan(scenario: Scenario, quantity: str, made: Made, weight: np.ndarray) -> np.ndarray:
    """Return quantiles of single runs over the years ahead, (time, quantile)."""
    rng = _rng(scenario, made.case, 3)
    growth = _growth(scenario, quantity)
    parts = [predicted(each, growth, _FAN_YEARS, rng) for each in made.candidates]
    return np.quantile(mixed(parts, weight).draws(rng), QUANTILES, axis=0).T


# The tree


def _dataset(frame: pd.DataFrame, dimension: str) -> xr.Dataset:
    return xr.Dataset(
        {
            str(name): (dimension, column.to_numpy(dtype=object if _is_text(column) else None))
            for name, column in frame.items()
        }
    )


def _is_text(column: pd.Series) -> bool:
    return not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))


def _by_date(
    values: dict[tuple[str, str], np.ndarray], dimension: str, coordinate: np.ndarray
) -> xr.Dataset:
    """Return one variable a quantity, (as_of, dimension[, quantile]), NaN where none was made."""
    dates = sorted({as_of for _, as_of in values})
    example = max(values.values(), key=np.ndim)
    dims = ("as_of", dimension, "quantile")[: 1 + example.ndim]
    found = {}
    for quantity in QUANTITIES:
        shape = (len(dates), len(coordinate), *example.shape[1:])
        filled = np.full(shape, np.nan)
        for number, as_of in enumerate(dates):
            if (quantity, as_of) in values:
                here = values[quantity, as_of]
                filled[number, : len(here)] = here
        found[quantity] = (dims, filled)
    coords: dict[str, Any] = {"as_of": np.array(dates, dtype=object), dimension: coordinate}
    if "quantile" in dims:
        coords["quantile"] = list(QUANTILES)
    return xr.Dataset(found, coords=coords)


def _final(values: dict[str, np.ndarray]) -> xr.Dataset:
    filled = {
        name: ("change_points", np.append(value, np.zeros(len(CHANGE_POINTS) - len(value))))
        for name, value in values.items()
    }
    return xr.Dataset(filled, coords={"change_points": np.array(CHANGE_POINTS)})
