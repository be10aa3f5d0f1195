"""Model size, the gap in it, training sets and data stock: Villalobos et al. (2022, 2024)."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pandas as pd

from .. import data_stock
from ..datasets import load_frame
from .computed import DAYS_A_MONTH, Computed, bootstrap_slopes, ols

_BOOTSTRAPS = 10_000
_DAYS_A_YEAR = 365.0
# The vintage in which both periods have as many systems as printed, and where its second one ends.
_VINTAGE, _LAST = "notable_models_2022_05", "2022-04-01"
_PERIODS: dict[str, tuple[str, str, float, float]] = {  # from, to, smallest, largest
    "1952-2018": ("1952", "2018", 0, np.inf),
    "2018-2022": ("2018", _LAST, 0, np.inf),
    "above-gap": ("2018", _LAST, 7e10, np.inf),
    "below-gap": ("2018", _LAST, 0, 2e10),
}


@cache
def _sized(table: str, domain: str | None = None) -> pd.DataFrame:
    """Return the systems of a table with date and parameters."""
    frame = load_frame(table)
    frame = frame[frame["date"].notna() & frame["parameters"].notna()]
    return frame if domain is None else frame[(frame["domain"] == domain).fillna(value=False)]


@cache
def _period(name: str) -> pd.DataFrame:
    since, until, smallest, largest = _PERIODS[name]
    frame = _sized(_VINTAGE)
    frame = frame[(frame["date"] >= since) & (frame["date"] < until)]
    return frame[frame["parameters"].between(smallest, largest)]


def _points(rows: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    days = (rows["date"] - rows["date"].min()).dt.days.to_numpy(dtype=float)
    return days, np.log10(rows[column].to_numpy(dtype=float))


def _slope(rows: pd.DataFrame, column: str, seed: int) -> Computed:
    """Return the slope of least squares [OOM/yr] with its bootstrap interval of 95 %."""
    days, value = _points(rows, column)
    slopes = bootstrap_slopes(days, value, samples=_BOOTSTRAPS, seed=seed)
    low, high = np.quantile(slopes, [0.025, 0.975]) * _DAYS_A_YEAR
    return Computed(ols(days, value)[0] * _DAYS_A_YEAR, float(low), float(high), len(rows))


def _doubling(name: str, seed: int) -> Computed:
    """Return the doubling time in months of 30 days; its interval only where slopes keep sign."""
    slope, low, high, count, _ = _slope(_period(name), "parameters", seed)
    months = np.log10(2) * _DAYS_A_YEAR / DAYS_A_MONTH / np.array([slope, high, low])
    value, shortest, longest = map(float, months)
    if low < 0 < high:
        note = "Bootstrap slopes have both signs, so doubling times have no central interval."
        return Computed(value, n=count, note=note)
    return Computed(value, shortest, longest, count)


def _r_squared(name: str) -> Computed:
    rows = _period(name)
    return Computed(ols(*_points(rows, "parameters"))[2], n=len(rows))


def _growth(domain: str | None, since: str, until: str, years: float, seed: int) -> Computed:
    """Return growth over ``years`` at the slope of a domain's systems from one date to another."""
    rows = _sized(_VINTAGE, domain)
    rows = rows[(rows["date"] >= since) & (rows["date"] < until)]
    slope = _slope(rows, "parameters", seed)
    _, value = _points(rows, "parameters")
    return Computed(
        slope.value * years,
        slope.low * years,
        slope.high * years,
        len(rows),
        f"Of {len(rows)} systems since {rows['date'].dt.year.min()}; the largest is "
        f"{np.ptp(value):.1f} OOM above the smallest.",
    )


def _systems() -> Computed:
    frame = _sized("notable_models_2022_06")
    return Computed(float(np.sum(frame["date"] < "2022-02-01")))


def _training_sets() -> Computed:
    """Return the growth of training sets as Villalobos et al. (2024) state it.

    That is the middle of the bootstrap interval, which their projections use.
    """
    rows = load_frame("dataset_sizes")
    days, value = _points(rows, "training_datapoints")
    slopes = bootstrap_slopes(days, value, samples=_BOOTSTRAPS, seed=5) * _DAYS_A_YEAR
    low, high = map(float, np.quantile(slopes, [0.025, 0.975]))
    return Computed((low + high) / 2, low, high, len(rows))


@cache
def _stock() -> tuple[data_stock.Stock, data_stock.Use]:
    drawn = data_stock.inputs()
    return data_stock.stock(drawn), data_stock.published_use(drawn)


def _tokens(which: str) -> Computed:
    """Return a stock in 1e12 tokens."""
    found = getattr(_stock()[0], which) / 1e12
    low, middle, high = map(float, np.quantile(found, [0.025, 0.5, 0.975]))
    return Computed(middle, low, high, len(found))


def _run_out(overtraining: float) -> Computed:
    year = data_stock.run_out_year(*_stock(), overtraining=overtraining)
    low, middle, high = map(float, np.quantile(year, [0.025, 0.5, 0.975]))
    return Computed(middle, low, high, len(year))


def _gap(table: str, null: str) -> Computed:
    from ..history.parameter_gap import gap_test

    found = gap_test(table, null=null, ends="half-open", multimodal=False)
    return Computed(
        found.probability, n=found.n, note=f"Here {found.in_band} of {found.n} are in the band."
    )


def _table_of_2022() -> dict[str, Callable[[], Computed]]:
    found: dict[str, Callable[[], Computed]] = {}
    for seed, name in enumerate(_PERIODS):
        start = f"villalobos-2022-{name}"
        found |= {
            f"{start}-count": partial(_count, name),
            f"{start}-slope": partial(_slope_of, name, seed),
            f"{start}-doubling": partial(_doubling, name, seed),
            f"{start}-r-squared": partial(_r_squared, name),
        }
    return found


def _count(name: str) -> Computed:
    return Computed(float(len(_period(name))))


def _slope_of(name: str, seed: int) -> Computed:
    return _slope(_period(name), "parameters", seed)


COMPUTED: dict[str, Callable[[], Computed]] = {
    "villalobos-2022-systems": _systems,
    **_table_of_2022(),
    "villalobos-2022-language-1950-2018": partial(_growth, "Language", "1950", "2018", 68.0, 10),
    "villalobos-2022-language-2018-2022": partial(_growth, "Language", "2018", _LAST, 4.0, 11),
    "villalobos-2022-language-2018-2022-blog": partial(_growth, None, "2018", _LAST, 4.0, 12),
    "villalobos-2022-vision-1950-2022": partial(_growth, "Vision", "1950", _LAST, 72.0, 13),
    "gap-notable-log-normal": partial(_gap, "notable_models", "log-normal"),
    "gap-notable-log-uniform": partial(_gap, "notable_models", "log-uniform"),
    "gap-all-log-normal": partial(_gap, "all_models", "log-normal"),
    "gap-all-log-uniform": partial(_gap, "all_models", "log-uniform"),
    "villalobos-2024-growth": _training_sets,
    "villalobos-2024-stock-raw": partial(_tokens, "raw"),
    "villalobos-2024-stock-effective": partial(_tokens, "effective"),
    "villalobos-2024-run-out": partial(_run_out, 1.0),
    "villalobos-2024-run-out-overtrained": partial(_run_out, 5.0),
}
