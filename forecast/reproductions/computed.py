"""What a reproduction returns, and methods that several papers share."""

from typing import NamedTuple

import numpy as np

DAYS_A_MONTH = 30.0  # as Sevilla et al. (2022) count them


class Computed(NamedTuple):
    """A number computed again: value, central interval as the paper states it, rows used.

    note: what differs from the paper's own computation, if anything does
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int | None = None
    note: str = ""


def ols(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return (slope, intercept, R squared) of least squares of y on x."""
    slope, intercept = np.polyfit(x - x.mean(), y, 1)
    fitted = intercept + slope * (x - x.mean())
    r_squared = 1 - np.sum((y - fitted) ** 2) / np.sum((y - y.mean()) ** 2)
    return float(slope), float(intercept - slope * x.mean()), float(r_squared)


def bootstrap_slopes(x: np.ndarray, y: np.ndarray, *, samples: int, seed: int) -> np.ndarray:
    """Return OLS slopes of resampled rows, (sample,), but for resamples of one row alone."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(x), size=(samples, len(x)))
    rows = rows[np.ptp(x[rows], axis=1) > 0]
    xs, ys = x[rows], y[rows]
    xs, ys = xs - xs.mean(axis=1, keepdims=True), ys - ys.mean(axis=1, keepdims=True)
    return np.sum(xs * ys, axis=1) / np.sum(xs**2, axis=1)
