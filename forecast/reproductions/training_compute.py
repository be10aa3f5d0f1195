"""Training compute: Sevilla et al. (2022) and Sevilla & Roldán (2024)."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..datasets import load_frame
from .computed import DAYS_A_MONTH, Computed, bootstrap_slopes, ols

_BOOTSTRAPS = 10_000


def _doubling_time(rows: pd.DataFrame, seed: int) -> Computed:
    """Return the doubling time of compute in months of 30 days."""
    days = (rows["date"] - rows["date"].min()).dt.days.to_numpy(dtype=float)
    log10_flop = np.log10(rows["training_compute_flop"].to_numpy(dtype=float))
    slope, _, _ = ols(days, log10_flop)
    slopes = bootstrap_slopes(days, log10_flop, samples=_BOOTSTRAPS, seed=seed)
    low, high = np.quantile(slopes, [0.025, 0.975])
    value, shortest, longest = np.log10(2) / np.array([slope, high, low]) / DAYS_A_MONTH
    return Computed(float(value), float(shortest), float(longest), len(days))


def pre_2010() -> Computed:
    """Return the doubling time before 2010, on the first 112 of the 123 systems."""
    frame = load_frame("three_eras_123")
    return _doubling_time(frame[(frame["date"] < "2010") & (frame["row"] <= 112)], 1)


COMPUTED: dict[str, Callable[[], Computed]] = {"sevilla-2022-pre-2010": pre_2010}
