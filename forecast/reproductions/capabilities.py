"""Capability trends: METR time horizons (Kwa et al. 2025, time horizon 1.1) and Epoch's index.

METR fits log2 of the 50 % horizon of the models that were best at their release by least squares on
the release date. Its intervals resample tasks and runs, which are not in the table; ours resample
the models.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from ..datasets import decimal_year, load_frame
from .computed import Computed, bootstrap_slopes, ols

_BOOTSTRAPS = 10_000
_PAPER, _POST = "2025-03-20", "2026-01-29"  # of Kwa et al., of time horizon 1.1
_TODAY = "2026-12-31"
_WORK_MONTH_MINUTES = 167 * 60
_DAYS_A_YEAR = 365.25


def best_models(suite: str, since: str, before: str) -> pd.DataFrame:
    """Return the models of a suite that were best at their release, released in [since, before)."""
    frame = load_frame("time_horizons")
    rows = frame[(frame["suite_version"].astype(str) == suite) & frame["sota_at_release"]]
    return rows[(rows["release_date"] >= since) & (rows["release_date"] < before)]


def _days(rows: pd.DataFrame) -> np.ndarray:
    found: np.ndarray = (rows["release_date"] - pd.Timestamp("2019-01-01")).dt.days.to_numpy(float)
    return found


def doubling_time(rows: pd.DataFrame, *, success: int = 50, seed: int = 1) -> Computed:
    """Return the doubling time in days, with an interval of 95 % from resampled models."""
    days = _days(rows)
    log2_minutes = np.log2(rows[f"p{success}_horizon_minutes"].to_numpy(dtype=float))
    slope, _, _ = ols(days, log2_minutes)
    slopes = bootstrap_slopes(days, log2_minutes, samples=_BOOTSTRAPS, seed=seed)
    low, high = 1 / np.quantile(slopes, [0.975, 0.025])
    note = "Interval from resampled models; METR resamples tasks."
    return Computed(1 / slope, float(low), float(high), len(rows), note)


def _doubling(suite: str, since: str, before: str) -> Computed:
    return doubling_time(best_models(suite, since, before))


def stitched(before: str = _TODAY) -> Computed:
    """Return the doubling time of suite 1.0 until 2024 and suite 1.1 after, best models of both."""
    return doubling_time(
        pd.concat([best_models("1.0", "2019", "2024"), best_models("1.1", "2024", before)])
    )


def r_squared() -> Computed:
    """Return R squared of the fit on suite 1.1 since 2023."""
    rows = best_models("1.1", "2023", _TODAY)
    found = ols(_days(rows), np.log2(rows["p50_horizon_minutes"].to_numpy(dtype=float)))[2]
    return Computed(found, n=len(rows))


def when_one_month(since: str) -> Computed:
    """Return the year of a 50 % horizon of one work month (167 h), of suite 1.0 to Claude 3.7."""
    rows = best_models("1.0", since, _PAPER)
    year = decimal_year(rows["release_date"].to_numpy())
    slope, intercept, _ = ols(year, np.log2(rows["p50_horizon_minutes"].to_numpy(dtype=float)))
    return Computed((np.log2(_WORK_MONTH_MINUTES) - intercept) / slope, n=len(rows))


def _claude_3_7(success: int) -> Computed:
    frame = load_frame("time_horizons")
    row = frame[(frame["model"] == "claude_3_7_sonnet") & (frame["suite_version"] == "1.0")].iloc[0]
    value, low, high = (
        float(row[f"p{success}_{name}_minutes"]) for name in ("horizon", "ci_low", "ci_high")
    )
    return Computed(value, low, high, 1)


def constant_hazard(success: float) -> Computed:
    """Return how much shorter than the 50 % horizon one is, if failure has a constant hazard."""
    return Computed(float(np.log(0.5) / np.log(success)))


def ratio_in_the_table() -> Computed:
    """Return the median over all measurements of the 50 % over the 80 % horizon, middle 80 %."""
    frame = load_frame("time_horizons")
    ratio = (frame["p50_horizon_minutes"] / frame["p80_horizon_minutes"]).to_numpy(dtype=float)
    low, middle, high = np.quantile(ratio, [0.1, 0.5, 0.9])
    return Computed(float(middle), float(low), float(high), len(ratio))


def index_frontier(since: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (year, index) of the models that raised the maximum of Epoch's index since a date."""
    frame = load_frame("capabilities_index").dropna(subset=["release_date", "eci"])
    frame = frame[frame["release_date"] >= since].drop_duplicates("name")
    frame = frame.sort_values(["release_date", "eci"], ascending=[True, False])
    rows = frame[frame["eci"] > frame["eci"].cummax().shift(fill_value=-np.inf)]
    return decimal_year(rows["release_date"].to_numpy()), rows["eci"].to_numpy(dtype=float)


def broken_line(year: np.ndarray, value: np.ndarray) -> tuple[float, float, float]:
    """Return (slope before, slope after, date) of the continuous broken line of least squares.

    The date is the best of a grid of months that leaves three rows on both sides.
    """
    ordered = np.sort(year)
    best = (np.inf, 0.0, 0.0, 0.0)
    for date in np.arange(ordered[2], ordered[-3], 1 / 12):
        columns = [np.ones_like(year), year - date, np.maximum(year - date, 0)]
        found, _, _, _ = np.linalg.lstsq(np.stack(columns, axis=1), value, rcond=None)
        squares = float(np.sum((np.stack(columns, axis=1) @ found - value) ** 2))
        best = min(best, (squares, float(found[1]), float(found[1] + found[2]), float(date)))
    return best[1:]


def _index(which: int, since: str = "2023") -> Computed:
    year, value = index_frontier(since)
    found = broken_line(year, value)
    later = broken_line(*index_frontier("2023-03"))
    note = (
        f"Broken line of least squares on {len(year)} frontier rows since February 2023: "
        f"{found[0]:.1f} points a year before {found[2]:.1f}, {found[1]:.1f} after; without the "
        f"open model of February 2023: {later[0]:.1f} before {later[2]:.1f}, "
        f"{later[1]:.1f} after."
    )
    return Computed(found[which], n=len(year), note=note)


COMPUTED: dict[str, Callable[[], Computed]] = {
    "kwa-2025-doubling-time": partial(_doubling, "1.0", "2019", _PAPER),
    "metr-2026-doubling-time-all": partial(_doubling, "1.0", "2019", _POST),
    "metr-2026-doubling-time-since-2023-suite-1-0": partial(_doubling, "1.0", "2023", _POST),
    "metr-2026-doubling-time-since-2024-suite-1-0": partial(_doubling, "1.0", "2024", _POST),
    "metr-2026-doubling-time-since-2023-suite-1-1": partial(_doubling, "1.1", "2023", _POST),
    "metr-2026-doubling-time-since-2024-suite-1-1": partial(_doubling, "1.1", "2024", _POST),
    "metr-th-1-1-doubling-time-since-2023": partial(_doubling, "1.1", "2023", _TODAY),
    "metr-th-1-1-doubling-time-all-stitched": stitched,
    "metr-th-1-1-r-squared-since-2023": r_squared,
    "kwa-2025-claude-3-7-horizon-50": partial(_claude_3_7, 50),
    "kwa-2025-claude-3-7-horizon-80": partial(_claude_3_7, 80),
    "kwa-2025-one-month-2019-2025": partial(when_one_month, "2019"),
    "kwa-2025-one-month-2024-2025": partial(when_one_month, "2024"),
    "ord-2025-horizon-80": partial(constant_hazard, 0.8),
    "ord-2025-horizon-99": partial(constant_hazard, 0.99),
    "ord-2025-horizon-80-in-the-table": ratio_in_the_table,
    "epoch-2025-index-before-break": partial(_index, 0),
    "epoch-2025-index-after-break": partial(_index, 1),
    "epoch-2025-index-break": partial(_index, 2),
}
