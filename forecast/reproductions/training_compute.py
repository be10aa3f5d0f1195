"""Training compute: Sevilla et al. (2022), Sevilla & Roldán (2024), Besiroglu et al. (2022).

Sevilla et al. fit lines by least squares to log10 compute over days, count 365 days a year and 30 a
month, and resample systems for intervals. Systems more than 2 standard deviations under the mean of
a window of two years are left out, from September 2015 those more than .76 above it are
"large-scale"; the packaged table has these groups, for all 123 systems of the notebook and for the
first 112, whose counts are the paper's.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pandas as pd

from ..datasets import load_frame
from ..history.training_compute import top_n_at_release
from .computed import DAYS_A_MONTH, Computed, bootstrap_slopes, ols

_BOOTSTRAPS = 10_000
_DAYS_A_YEAR = 365.0
_LARGE_SINCE = "2015-09-01"
_OF_PAPER, _OF_NOTEBOOK = "group_z076_first112", "group_z076_all123"


def _points(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return (days since the first system, log10 FLOP)."""
    days = (rows["date"] - rows["date"].min()).dt.days.to_numpy(dtype=float)
    return days, np.log10(rows["training_compute_flop"].to_numpy(dtype=float))


def _growth(rows: pd.DataFrame, mass: float, seed: int) -> tuple[np.ndarray, int]:
    """Return (slope, lower and upper end of its bootstrap interval) [OOM/day], rows."""
    days, log10_flop = _points(rows)
    slopes = bootstrap_slopes(days, log10_flop, samples=_BOOTSTRAPS, seed=seed)
    ends = np.quantile(slopes, [(1 - mass) / 2, (1 + mass) / 2])
    return np.append(ols(days, log10_flop)[0], ends), len(rows)


def _doubling_months(rows: pd.DataFrame, seed: int) -> Computed:
    slopes, count = _growth(rows, 0.95, seed)
    # Growth that may be none has no longest doubling time.
    value, longest, shortest = np.where(
        slopes > 0, np.log10(2) / np.maximum(slopes, 1e-9) / DAYS_A_MONTH, np.inf
    )
    return Computed(float(value), float(shortest), float(longest), count)


def _oom_per_year(rows: pd.DataFrame, seed: int) -> Computed:
    slopes, count = _growth(rows, 0.95, seed)
    value, low, high = slopes * _DAYS_A_YEAR
    return Computed(float(value), float(low), float(high), count)


def _factor_per_year(rows: pd.DataFrame, seed: int) -> Computed:
    slopes, count = _growth(rows, 0.90, seed)
    value, low, high = 10 ** (slopes * 365.25)
    return Computed(float(value), float(low), float(high), count)


def _r_squared(rows: pd.DataFrame) -> Computed:
    return Computed(ols(*_points(rows))[2], n=len(rows))


# The systems of Sevilla et al. (2022)


def _of_paper() -> pd.DataFrame:
    frame = load_frame("three_eras_123")
    return frame[frame["row"] <= 112]


def _early() -> pd.DataFrame:
    frame = _of_paper()
    return frame[frame["date"] < "2010"]


def _regular() -> pd.DataFrame:
    frame = _of_paper()
    return frame[(frame["date"] >= "2010") & (frame[_OF_PAPER] == "regular")]


def _large() -> pd.DataFrame:
    frame = _of_paper()
    return frame[(frame["date"] >= _LARGE_SINCE) & (frame[_OF_PAPER] == "large_scale")]


def _of_notebook(group: str) -> pd.DataFrame:
    frame = load_frame("three_eras_123")
    return frame[(frame["date"] >= _LARGE_SINCE) & (frame[_OF_NOTEBOOK] == group)]


def _alexnet_to_alphazero(group: str | None) -> pd.DataFrame:
    frame = _of_paper()
    frame = frame[(frame["date"] >= "2012-09-01") & (frame["date"] < "2018-01-01")]
    if group is None:
        return frame[frame[_OF_PAPER] != "low_outlier"]
    return frame[frame[_OF_PAPER] == group]


# The systems of Sevilla & Roldán (2024)


@cache
def _notable_2024() -> pd.DataFrame:
    frame = load_frame("notable_models_2024_07")
    known = frame[(frame["training_compute_flop"] > 0) & (frame["date"] < "2024-06-01")]
    return known.sort_values(["date", "training_compute_flop"], kind="stable")


def _notable(since: str) -> pd.DataFrame:
    frame = _notable_2024()
    return frame[frame["date"] >= since]


def _top_ten(since: str) -> pd.DataFrame:
    frame = _notable_2024()
    top = frame[top_n_at_release(frame["training_compute_flop"].to_numpy(), 10)]
    return top[top["date"] >= since]


def _language(since: str) -> pd.DataFrame:
    frame = _notable(since)
    return frame[frame["domain"].fillna("").str.contains("Language")]


def _retrodiction(factor: float, date: str) -> Computed:
    """Return GPT-3's 3e23 FLOP of 28 May 2020, grown by a factor a year until a date."""
    years = (pd.Timestamp(date) - pd.Timestamp("2020-05-28")).days / 365.25
    return Computed(3e23 * factor**years / 1e25)


# The projection of Besiroglu, Heim & Sevilla (2022)

_SIMULATIONS = 4000
_STEP_YEARS = 0.1
_NOTE = (
    "Our reading: growth of all systems since 2010 reverts to that of before 2010, both resampled, "
    "from the largest of the 123 systems; the report does not say which slopes it resamples."
)


@cache
def _projected() -> tuple[np.ndarray, np.ndarray]:
    """Return (years, quantiles 2.5, 50 and 97.5 % of log10 FLOP, (quantile, year))."""
    frame = load_frame("three_eras_123")
    recent = frame["date"] >= "2010"
    fast, slow = (
        _DAYS_A_YEAR * bootstrap_slopes(*_points(part), samples=_SIMULATIONS, seed=seed)
        for seed, part in enumerate((frame[recent], frame[~recent]))
    )
    reversion = np.random.default_rng(2).choice(
        [8.0, 12.0, 18.0], _SIMULATIONS, p=[0.75, 0.20, 0.05]
    )
    ahead = np.arange(0, 58 + _STEP_YEARS / 2, _STEP_YEARS)
    weight = np.exp(-(ahead**2) / (2 * reversion[:, None] ** 2))  # as printed
    growth = fast[:, None] ** weight * slow[:, None] ** (1 - weight)
    steps = (growth[:, 1:] + growth[:, :-1]) / 2 * _STEP_YEARS
    start = np.log10(frame["training_compute_flop"].max())
    paths = start + np.concatenate([np.zeros((_SIMULATIONS, 1)), np.cumsum(steps, axis=1)], axis=1)
    return 2022 + ahead, np.quantile(paths, [0.025, 0.5, 0.975], axis=0)


def _projection(year: float) -> Computed:
    years, quantiles = _projected()
    low, middle, high = (float(np.interp(year, years, each)) for each in quantiles)
    return Computed(middle, low, high, 123, _NOTE)


def _crossing() -> Computed:
    """Return when the paths reach 10^34.36 FLOP, Cotra's median anchor."""
    years, quantiles = _projected()
    late, middle, early = (float(np.interp(34.36, each, years)) for each in quantiles)
    return Computed(middle, early, late, 123, _NOTE)


def _weight_at_reversion() -> Computed:
    return Computed(float(np.exp(-0.5)))


COMPUTED: dict[str, Callable[[], Computed]] = {
    "sevilla-2022-pre-2010": lambda: _doubling_months(_early(), 1),
    "sevilla-2022-pre-2010-r-squared": lambda: _r_squared(_early()),
    "sevilla-2022-regular": lambda: _doubling_months(_regular(), 2),
    "sevilla-2022-large-scale": lambda: _doubling_months(_large(), 3),
    "sevilla-2022-notebook-large-scale": lambda: _doubling_months(_of_notebook("large_scale"), 4),
    "sevilla-2022-notebook-regular": lambda: _doubling_months(_of_notebook("regular"), 5),
    "sevilla-2022-alexnet-to-alphazero": lambda: _doubling_months(_alexnet_to_alphazero(None), 6),
    "sevilla-2022-alexnet-to-alphazero-slope": lambda: _oom_per_year(
        _alexnet_to_alphazero(None), 6
    ),
    "sevilla-2022-alexnet-to-alphazero-regular": lambda: _doubling_months(
        _alexnet_to_alphazero("regular"), 7
    ),
    "sevilla-2022-alexnet-to-alphazero-large-scale": lambda: _doubling_months(
        _alexnet_to_alphazero("large_scale"), 8
    ),
    "sevilla-roldan-2024-notable": lambda: _factor_per_year(_notable("2010"), 9),
    "sevilla-roldan-2024-since-2022": lambda: _factor_per_year(_notable("2022-02-01"), 10),
    "sevilla-roldan-2024-frontier": lambda: _factor_per_year(_top_ten("2010"), 11),
    "sevilla-roldan-2024-frontier-since-2018": lambda: _factor_per_year(_top_ten("2018"), 12),
    "sevilla-roldan-2024-language": lambda: _factor_per_year(_language("2017-06-01"), 13),
    "sevilla-roldan-2024-language-since-2020": lambda: _factor_per_year(
        _language("2020-07-01"), 14
    ),
    "sevilla-roldan-2024-gpt-4-by-four": partial(_retrodiction, 4.0, "2023-03-14"),
    "sevilla-roldan-2024-gemini-by-four": partial(_retrodiction, 4.0, "2023-12-06"),
    "sevilla-roldan-2024-gpt-4-by-five": partial(_retrodiction, 5.0, "2023-03-14"),
    "sevilla-roldan-2024-gemini-by-five": partial(_retrodiction, 5.0, "2023-12-06"),
    **{
        f"besiroglu-2022-{year}": partial(_projection, float(year))
        for year in (2025, 2030, 2040, 2050, 2060, 2070, 2080)
    },
    "besiroglu-2022-crossing": _crossing,
    "besiroglu-2022-weight": _weight_at_reversion,
}
