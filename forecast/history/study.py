"""A study: one historical record, and rival models of the same rows."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...priors.elicitation import Interval
from ...priors.prior_sets import load_prior_set
from ..datasets import decimal_year, load_frame, table_info
from . import trend

Draws = Mapping[str, np.ndarray]


class Rival(NamedTuple):
    """One model of a study's rows.

    claim: what it says of the record, in a few words
    model: NumPyro function with one observed site, named as the argument that holds its data
    arguments: its keyword arguments
    quantities: posterior draws, site -> (chain, draw, ...), to what readers want, name ->
        (chain, draw), each with its unit in the name
    nodes: (node, ...), alternatives that are equally likely beforehand, as `inference.fit` has them
    path: (draws, dates) -> (chain, draw, date), the centre of the record over time, for a figure
    """

    claim: str
    model: Callable[..., None]
    arguments: Mapping[str, Any]
    quantities: Callable[[Draws], dict[str, np.ndarray]]
    nodes: np.ndarray | None = None
    path: Callable[[Draws, np.ndarray], np.ndarray] | None = None


class Study(NamedTuple):
    """One record, and the models that compete for it.

    rows: with name, the column ``observed`` and, for a record over time, year; one an observation
    tables: data tables that the rows are from
    unit: of the observed column
    """

    title: str
    tables: tuple[str, ...]
    rows: pd.DataFrame
    observed: str
    unit: str
    rivals: Mapping[str, Rival]


def priors(section: str) -> dict[str, Interval]:
    """Return the priors of a section of the set ``history``; sources in its file."""
    return {name: _interval(**entry) for name, entry in load_prior_set("history")[section].items()}


def _interval(source: str, mass: float = 0.9, **pair: tuple[float, float]) -> Interval:
    ((kind, (low, high)),) = pair.items()
    return Interval(kind, low, high, mass)


def dated(table: str, as_of_year: float) -> pd.DataFrame:
    """Return the rows of a packaged table up to a date, with decimal ``year``, oldest first."""
    frame = load_frame(table)
    year = decimal_year(frame[table_info(table).date_column].to_numpy())
    rows = frame.assign(year=year)
    return rows[rows["year"] <= as_of_year].sort_values("year", kind="stable", ignore_index=True)


def trend_rival(
    claim: str, rows: pd.DataFrame, section: str, *, change_points: int = 0, unit: str = "years"
) -> Rival:
    """Return the exponential trend of ``rows`` with so many change points (`trend.model`).

    rows: with year, log10_value and, where there are several sources, group
    unit: of doubling times in its quantities, "years", "months" or "days"
    """
    year = rows["year"].to_numpy()
    group = rows["group"].to_numpy(dtype=int) if "group" in rows else np.zeros(len(rows), int)
    arguments = {
        "year": year,
        "log10_value": rows["log10_value"].to_numpy(),
        "group": group,
        "priors": priors(section),
        "change_points": change_points,
        "residual": "student_t",
    }
    per_year = {"years": 1.0, "months": 12.0, "days": 365.25}[unit]

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        doubling = draws["segment_doubling_time_years"]
        found = {"growth_oom_per_year": np.log10(2) / draws["doubling_time_years"]}
        for k in range(change_points + 1):
            name = f"doubling_time_{unit}" + (f"_segment_{k + 1}" if change_points else "")
            found[name] = doubling[..., k] * per_year
        for k in range(change_points):
            found[f"change_point_{k + 1}_year"] = draws["change_point_years"][..., k]
        return found

    return Rival(
        claim,
        trend.model,
        arguments,
        quantities,
        trend.change_point_nodes(year, change_points),
        lambda draws, at: trend.log10_trend_at(draws, year, at),
    )
