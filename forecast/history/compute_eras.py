"""Eras of training compute: where the trend of all systems breaks (Sevilla et al. 2022)."""

from math import inf

import numpy as np

from .study import Study, dated, trend_rival

TABLE = "three_eras_123"


def eras(*, as_of_year: float = inf) -> Study:
    """Return the training compute of the 123 systems, with 0 to 2 change points of one trend."""
    rows = dated(TABLE, as_of_year)
    rows = rows.assign(log10_value=np.log10(rows["training_compute_flop"]))
    rows = rows[["name", "year", "log10_value"]]
    rivals = {
        f"{count}-breaks": trend_rival(
            f"one trend with {count} breaks and a heavy tail",
            rows,
            "training-compute-eras",
            change_points=count,
            unit="months",
        )
        for count in range(3)
    }
    return Study(
        "Training compute, 123 systems", (TABLE,), rows, "log10_value", "log10 FLOP", rivals
    )
