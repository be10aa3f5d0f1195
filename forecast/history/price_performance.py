"""FLOP per dollar: what training runs realised, and what accelerators offer for their price.

Two sources share one growth rate. Group 0, the one that is forecast, is what training runs got for
their amortised hardware and energy cost (training compute / cost, both as estimated by Epoch AI).
Group 1 is peak operations per second per dollar of release price of accelerators, a longer record.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .trend import log10_trend_at


def observations(costs: pd.DataFrame, hardware: pd.DataFrame, *, as_of_year: float) -> pd.DataFrame:
    """Return rows with columns name, year, log10_value, group; raise if a group has under five."""
    runs = costs.assign(
        value=costs["training_compute_flop"] / costs["amortized_hardware_energy_cost_usd"], group=0
    )
    chips = hardware.assign(value=hardware["price_performance_op_per_s_per_usd"], group=1)
    rows = pd.concat([part[["name", "year", "value", "group"]] for part in (runs, chips)])
    rows = rows[(rows["value"] > 0) & (rows["year"] <= as_of_year)]
    counts = rows["group"].value_counts().reindex([0, 1], fill_value=0)
    if counts.min() < 5:
        raise ValueError(
            f"price_performance: {counts[0]} training costs and {counts[1]} hardware prices before "
            f"{as_of_year:.2f}, expected at least 5 of each"
        )
    rows = rows.assign(log10_value=np.log10(rows["value"])).sort_values(["group", "year", "name"])
    return rows[["name", "year", "log10_value", "group"]].reset_index(drop=True)


def forecast_columns(
    draws: Mapping[str, np.ndarray], year: np.ndarray, *, as_of_year: float
) -> dict[str, np.ndarray]:
    """Return what the forecast takes from each draw: log10 FLOP/USD now and its doubling time."""
    return {
        "log10_level": log10_trend_at(draws, year, np.array([as_of_year]))[..., 0],
        "doubling_time_years": draws["doubling_time_years"],
    }
