"""What the largest training runs cost: amortised hardware and energy [USD].

Only runs among the n largest by compute at their release enter, as in Cottier et al. (2024); the
frontier is read as for training compute.
"""

import numpy as np
import pandas as pd

from .training_compute import forecast_columns, top_n_at_release

__all__ = ["forecast_columns", "observations"]


def observations(costs: pd.DataFrame, *, as_of_year: float, top_n: int) -> pd.DataFrame:
    """Return rows with columns name, year, log10_value; raise ``ValueError`` if under ten."""
    rows = costs[
        (costs["amortized_hardware_energy_cost_usd"] > 0)
        & (costs["training_compute_flop"] > 0)
        & (costs["year"] <= as_of_year)
    ].sort_values(["year", "training_compute_flop", "name"])
    rows = rows[top_n_at_release(rows["training_compute_flop"].to_numpy(), top_n)]
    if len(rows) < 10:
        raise ValueError(
            f"spending: {len(rows)} training costs before {as_of_year:.2f}, expected at least 10"
        )
    rows = rows.assign(log10_value=np.log10(rows["amortized_hardware_energy_cost_usd"]))
    return rows[["name", "year", "log10_value"]].reset_index(drop=True)
