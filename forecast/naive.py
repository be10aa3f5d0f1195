"""What anyone would forecast without a model: the baselines that a backtest is set against.

Both see only the rows of a record known on a date, (observation,): decimal year and log10 value.
"""

import numpy as np

from .scoring import Mixture

RECENT_YEARS = 4.0
_FEWEST = 5
_NORMAL = 1e6  # degrees of freedom


def last_growth_rate(year: np.ndarray, value: np.ndarray, at: np.ndarray) -> Mixture:
    """Return the line through the last four years (or five rows), with its textbook error.

    The predictive distribution of least squares: Student-t with n - 2 degrees of freedom.
    """
    count = max(_FEWEST, int(np.sum(year > year[-1] - RECENT_YEARS)))
    x, y = year[-count:], value[-count:]
    slope, start = np.polyfit(x - x.mean(), y, 1)
    freedom = len(x) - 2
    residual = y - start - slope * (x - x.mean())
    spread = np.sqrt(np.sum(residual**2) / freedom)
    away = (at - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    scale = spread * np.sqrt(1 + 1 / len(x) + away)
    return _one(start + slope * (at - x.mean()), scale, float(freedom))


def random_walk_with_drift(year: np.ndarray, value: np.ndarray, at: np.ndarray) -> Mixture:
    """Return a walk of the yearly means: their drift and spread, and the scatter within a year.

    The drift's own error counts: over h years the variance is s^2 (h + h^2 / n) for n past steps.
    Years without rows are bridged by a straight line.
    """
    known = np.unique(np.floor(year))
    means = np.array([value[np.floor(year) == each].mean() for each in known])
    steps = np.diff(np.interp(np.arange(known[0], known[-1] + 1), known, means))
    within = np.std(value - means[np.searchsorted(known, np.floor(year))], ddof=len(known))
    ahead = np.maximum(at - (known[-1] + 0.5), 0)
    variance = steps.var(ddof=1) * (ahead + ahead**2 / len(steps)) + within**2
    return _one(means[-1] + steps.mean() * ahead, np.sqrt(variance), _NORMAL)


def _one(centre: np.ndarray, scale: np.ndarray, freedom: float) -> Mixture:
    return Mixture(centre[None], scale[None], np.array([[freedom]]), np.ones(1))
