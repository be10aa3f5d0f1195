"""What a backtest says: mean scores, skill over naive forecasts, weights; as plain values."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import xarray as xr

from .backtest import NAIVE, STACKED
from .backtest_fits import TITLES
from .scoring import skill


def forecasts_of(tree: xr.DataTree) -> pd.DataFrame:
    """Return all scored forecasts as a table, one row an outcome of a method."""
    return tree["forecasts"].to_dataset().to_dataframe().reset_index(drop=True)


def scores(
    frame: pd.DataFrame, by: Sequence[str] = ("quantity", "target", "method")
) -> pd.DataFrame:
    """Return mean scores of groups of forecasts: crps, log_score, coverages, median's error."""
    inside = {
        f"inside_{100 * (high - low):.0f}": (frame["actual"] >= frame[f"q{100 * low:02.0f}"])
        & (frame["actual"] <= frame[f"q{100 * high:02.0f}"])
        for low, high in ((0.05, 0.95), (0.25, 0.75))
    }
    wide = frame.assign(error=frame["q50"] - frame["actual"], **inside)
    wide = wide.assign(outcomes=1)
    grouped = wide.groupby(list(by), sort=False)
    means = grouped[["crps", "log_score", *inside, "error"]].mean()
    return means.assign(outcomes=grouped["outcomes"].sum()).reset_index()


def skills(frame: pd.DataFrame, method: str = STACKED) -> pd.DataFrame:
    """Return the CRPS skill of a method over each naive baseline, with 90 % intervals.

    1 - CRPS / CRPS of the baseline: above 0 is better; dates are resampled (`scoring.skill`).
    """
    rows = []
    for (quantity, target), part in frame.groupby(["quantity", "target"], sort=False):
        of = {name: each for name, each in part.groupby("method", sort=False)}
        for baseline in NAIVE:
            ours, theirs = of[method], of[baseline]
            found = skill(
                ours["crps"].to_numpy(), theirs["crps"].to_numpy(), ours["as_of"].to_numpy(str)
            )
            rows.append((quantity, target, baseline, *found))
    names = ["quantity", "target", "baseline", "skill", "skill_low", "skill_high"]
    return pd.DataFrame(rows, columns=names)


def backtest_summary(tree: xr.DataTree) -> dict[str, Any]:
    """Return a backtest as plain values: scores, by years ahead too, skills, stacking weights."""
    frame = forecasts_of(tree)
    by_year = ("quantity", "target", "method", "years_ahead")
    weights = tree["final_weights"].to_dataset()
    return {
        "scenario": tree.attrs["scenario_id"],
        "as_of": json.loads(tree.attrs["as_of"]),
        "record_known": tree.attrs["record_known"],
        "quantities": TITLES,
        "scores": _plain(scores(frame)),
        "scores_by_years_ahead": _plain(scores(frame, by_year)),
        "skill": _plain(skills(frame)),
        "stacking_weights_of_change_points": {
            name: [round(float(w), 4) for w in value] for name, value in weights.items()
        },
    }


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in records]
