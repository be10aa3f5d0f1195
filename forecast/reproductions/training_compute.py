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


def _factor_per_year(rows: pd.DataFrame, seed: int, mass: float = 0.90) -> Computed:
    slopes, count = _growth(rows, mass, seed)
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


def _all_since_2010() -> pd.DataFrame:
    frame = load_frame("three_eras_123")
    return frame[(frame["date"] >= "2010") & (frame[_OF_NOTEBOOK] != "low_outlier")]


def _of_notebook(group: str) -> pd.DataFrame:
    frame = load_frame("three_eras_123")
    return frame[(frame["date"] >= _LARGE_SINCE) & (frame[_OF_NOTEBOOK] == group)]


def _alexnet_to_alphazero(group: str | None) -> pd.DataFrame:
    frame = _of_paper()
    frame = frame[(frame["date"] >= "2012-09-01") & (frame["date"] < "2018-01-01")]
    if group is None:
        return frame[frame[_OF_PAPER] != "low_outlier"]
    return frame[frame[_OF_PAPER] == group]


def scale_groups(rows: pd.DataFrame, large_since: str = _LARGE_SINCE) -> np.ndarray:
    """Return the group of each system by the rule of Sevilla et al. (2022), from these rows alone.

    Their website and notebook (function filterOutliers) take the z-score in a window of 52 weeks on
    either side, after systems of other dates are left out.
    """
    day = rows["date"].to_numpy().astype("datetime64[D]").astype(int)
    value = np.log10(rows["training_compute_flop"].to_numpy(dtype=float))
    near = (day >= day[:, None] - 364) & (day < day[:, None] + 364)
    count = near.sum(axis=1)
    mean = near @ value / count
    deviation = np.sqrt(np.maximum(near @ value**2 / count - mean**2, 1e-12))
    z = np.where(count > 1, (value - mean) / deviation, 0.0)
    late = (rows["date"] > large_since).to_numpy()
    found = np.where(z < -2, "low_outlier", "regular")
    return np.where((z > 0.76) & late, "large_scale", found)


def _before_alphazero(group: str | None) -> pd.DataFrame:
    """Return the notebook's systems with the dates of the website's preset for appendix E."""
    frame = load_frame("three_eras_123")
    frame = frame[(frame["date"] >= "2012-09-01") & (frame["date"] < "2017-12-01")]
    groups = scale_groups(frame)
    return frame[groups != "low_outlier" if group is None else groups == group]


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


_OUTLIERS = ("AlphaGo Master", "AlphaGo Zero")
# The labs, by the organizations that the report lists for each.
_LABS = {
    "openai": "OpenAI",
    "google-deepmind": "Google|DeepMind",
    "meta": r"Meta AI|Facebook|FAIR\b",
}


def _top(frame: pd.DataFrame, count: int = 10) -> pd.DataFrame:
    return frame[top_n_at_release(frame["training_compute_flop"].to_numpy(), count)]


def _frontier(count: int = 10) -> pd.DataFrame:
    return _top(_notable("2010"), count)


def _lab(name: str) -> pd.DataFrame:
    frame = _notable_2024()
    # Adam was published before OpenAI began, as the report says.
    own = frame["organization"].fillna("").str.contains(_LABS[name], case=False)
    return _top(frame[own & ~frame["name"].str.contains("ADAM", case=False)])


def _lab_growth(name: str, seed: int) -> Computed:
    return _factor_per_year(_lab(name), seed)


def _before_2020(frame: pd.DataFrame, seed: int) -> Computed:
    return _factor_per_year(frame[frame["date"] < "2020-06-01"], seed)


def _gpt() -> pd.DataFrame:
    frame = _notable_2024()
    own = frame["organization"].fillna("").str.contains("OpenAI")
    return frame[own & frame["name"].str.contains(r"\bGPT")]


def _frontier_without_outliers() -> pd.DataFrame:
    frame = _top_ten("2010")
    return frame[~frame["name"].isin(_OUTLIERS)]


def _top_language() -> pd.DataFrame:
    return _top(_language("2010")).loc[lambda rows: rows["date"] >= "2017-06-01"]


def _of_2022_definition() -> pd.DataFrame:
    frame = _notable("2010")
    return frame[scale_groups(frame, "2010-01-01") == "large_scale"]


@cache
def _kinked(rows: Callable[[], pd.DataFrame]) -> tuple[Computed, Computed]:
    """Return (growth after the kink [x/yr], its date) of the continuous line that fits best.

    The report chooses the kink by BIC, with ten systems on either side at least, anew in each
    bootstrap sample. Here kinks are tried at the beginning of every month.
    """
    frame = rows()
    day, y = _points(frame)
    first = frame["date"].min()
    year = first.year + (first.day_of_year - 1) / 365.25 + day / 365.25
    rng = np.random.default_rng(0)
    # Weights of systems: all once, then resampled.
    draws = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=1000)
    weight = np.concatenate([np.ones((1, len(y))), draws])
    best, slope, kink = (np.full(len(weight), fill) for fill in (np.inf, np.nan, np.nan))
    for date in np.arange(np.ceil(12 * year.min()), 12 * year.max()) / 12:
        after = np.maximum(year - date, 0)
        design = np.column_stack([np.ones_like(year), year - 2015, after])
        enough = np.minimum(weight @ (after > 0), weight @ (after == 0)) >= 10
        if not enough.any():
            continue
        w = weight[enough]
        normal = np.einsum("bi,ij,ik->bjk", w, design, design)
        right = np.einsum("bi,ij,i->bj", w, design, y)
        found = np.linalg.solve(normal, right[..., None])[..., 0]
        missed = np.einsum("bi,bi->b", w, (y - found @ design.T) ** 2)
        better = np.flatnonzero(enough)[missed < best[enough]]
        chosen = found[missed < best[enough]]
        best[better] = missed[missed < best[enough]]
        slope[better], kink[better] = chosen[:, 1] + chosen[:, 2], date
    ends = np.nanquantile(np.column_stack([10**slope, kink])[1:], [0.05, 0.95], axis=0)
    growth, date = 10 ** slope[0], kink[0]
    return (
        Computed(float(growth), float(ends[0, 0]), float(ends[1, 0]), len(y)),
        Computed(float(date), float(ends[0, 1]), float(ends[1, 1]), len(y)),
    )


def _notable_2025() -> pd.DataFrame:
    frame = load_frame("notable_models")
    known = frame["training_compute_flop"] > 0
    return frame[known & (frame["date"] >= "2010") & (frame["date"] < "2025-06-01")]


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
    # The slow trend is pooled, as a geometric mean, with a doubling in 20 months.
    slow = np.sqrt(slow * np.log10(2) / (20 / 12))
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
    "sevilla-2022-pre-2010-slope": lambda: _oom_per_year(_early(), 1),
    "sevilla-2022-regular-slope": lambda: _oom_per_year(_regular(), 2),
    "sevilla-2022-large-scale-slope": lambda: _oom_per_year(_large(), 3),
    "sevilla-2022-all-since-2010": lambda: _factor_per_year(_all_since_2010(), 15, 0.95),
    "sevilla-2022-large-scale-factor": lambda: _factor_per_year(_large(), 3, 0.95),
    "sevilla-2022-alexnet-to-alphazero": lambda: _doubling_months(_before_alphazero(None), 6),
    "sevilla-2022-alexnet-to-alphazero-slope": lambda: _oom_per_year(_before_alphazero(None), 6),
    "sevilla-2022-alexnet-to-alphazero-r-squared": lambda: _r_squared(_before_alphazero(None)),
    "amodei-hernandez-2018": lambda: _doubling_months(_before_alphazero(None), 6),
    "sevilla-2022-alexnet-to-alphazero-regular": lambda: _doubling_months(
        _before_alphazero("regular"), 7
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
    "sevilla-roldan-2024-frontier-kinked": lambda: _kinked(_frontier_without_outliers)[0],
    "sevilla-roldan-2024-frontier-kink": lambda: _kinked(_frontier_without_outliers)[1],
    "sevilla-roldan-2024-frontier-all-kinked": lambda: _kinked(_frontier)[0],
    "sevilla-roldan-2024-language-kinked": lambda: _kinked(_top_language)[0],
    "sevilla-roldan-2024-language-kink": lambda: _kinked(_top_language)[1],
    "sevilla-roldan-2024-top-five": lambda: _factor_per_year(_frontier(5), 16),
    "sevilla-roldan-2024-top-twenty": lambda: _factor_per_year(_frontier(20), 17),
    "sevilla-roldan-2024-definition-of-2022": lambda: _factor_per_year(_of_2022_definition(), 18),
    **{
        f"sevilla-roldan-2024-{lab}": partial(_lab_growth, lab, seed)
        for seed, lab in enumerate(_LABS, 19)
    },
    "sevilla-roldan-2024-gpt": lambda: _factor_per_year(_gpt(), 22),
    "sevilla-roldan-2024-before-2020": lambda: _before_2020(_notable("2010"), 23),
    "sevilla-roldan-2024-frontier-before-2020": lambda: _before_2020(_top_ten("2010"), 24),
    "sevilla-roldan-2024-estimates": lambda: Computed(len(_notable("2010"))),
    "epoch-2025-notable": lambda: _factor_per_year(_notable_2025(), 25),
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
