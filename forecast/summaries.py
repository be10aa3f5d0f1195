"""What people read first: probabilities by year, quantiles, their errors, the verdict."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .files import written_whole
from .storage import write_tree


def summary(tree: xr.DataTree) -> dict[str, Any]:
    """Return the forecast as plain values, as written to ``summary.json``.

    ``p_arrival_by`` {year: {value, mcse}}: probability of arrival before 1 January of the year,
    given none by ``as_of``; ``quantiles`` {q: {year, mcse}}: decimal years, None beyond the
    horizon; ``p_never_by_horizon`` and its ``_mcse``; ``physical_compute`` {year: {route: [5, 50,
    95 % quantile of log10 FLOP]}}; provenance.
    """
    timeline = tree["timeline"].to_dataset()
    year = timeline["year"].to_numpy()
    cdf, error = timeline["arrival_cdf"].to_numpy(), timeline["arrival_cdf_mcse"].to_numpy()
    quantile = timeline["arrival_year_quantile"].to_numpy()
    quantile_error = timeline["arrival_year_quantile_mcse"].to_numpy()
    return {
        "scenario": tree.attrs["scenario_id"],
        "title": tree.attrs["title"],
        "milestone": tree.attrs["milestone"],
        "as_of": tree.attrs["as_of"],
        "horizon_year": int(tree.attrs["horizon_year"]),
        "p_arrival_by": {
            str(int(y)): {"value": float(p), "mcse": float(e)}
            for y, p, e in zip(year, cdf, error, strict=True)
            if y == int(y) and y > year[0]
        },
        "quantiles": {
            f"{q:g}": {
                "year": float(y) if np.isfinite(y) else None,
                "mcse": float(e) if np.isfinite(e) else None,
            }
            for q, y, e in zip(
                timeline["quantile"].to_numpy(), quantile, quantile_error, strict=True
            )
        },
        "p_never_by_horizon": float(timeline["p_never_by_horizon"]),
        "p_never_by_horizon_mcse": float(timeline["p_never_by_horizon_mcse"]),
        "verdict": tree.attrs["verdict"],
        "verdict_reasons": json.loads(tree.attrs["verdict_reasons"]),
        "physical_compute": _physical_compute(tree),
        "fits": json.loads(tree.attrs["fits"]),
        "seed": int(tree.attrs["seed"]),
        "samples": int(tree.attrs["samples"]),
        "samples_asked_for": int(tree.attrs["samples_asked_for"]),
        "data": json.loads(tree.attrs["data"]),
        "versions": json.loads(tree.attrs["versions"]),
    }


def _physical_compute(tree: xr.DataTree) -> dict[str, dict[str, list[float]]]:
    """Return quantiles of log10 training FLOP by both routes, over worlds not yet ruled out."""
    paths = tree["trajectories"].to_dataset()
    routes = {
        "scenario": "log10_physical_compute",
        "alternative": "log10_physical_compute_alternative",
    }
    shown = [y for y in (*range(2026, 2031), 2035, 2040, 2050) if y in paths["year"].to_numpy()]
    return {
        str(y): {
            route: weighted_quantiles(paths[name].sel(year=y), paths["weight"]).tolist()
            for route, name in routes.items()
            if name in paths
        }
        for y in shown
    }


def weighted_quantiles(
    values: xr.DataArray, weight: xr.DataArray, levels: tuple[float, ...] = (0.05, 0.5, 0.95)
) -> np.ndarray:
    """Return quantiles over samples that count by their weight."""
    order = np.argsort(values.to_numpy(), kind="stable")
    share = np.cumsum(weight.to_numpy()[order])
    return np.interp(levels, share / share[-1], values.to_numpy()[order])


def write_result(tree: xr.DataTree, folder: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Write the result folder, whole or not at all; return the summary."""
    from . import plots

    found = summary(tree)
    with written_whole(folder, overwrite=overwrite) as temporary:
        write_tree(tree, temporary / "result.zarr")
        plots.save(plots.timeline(tree), temporary / "timeline")
        plots.save(plots.compute(tree), temporary / "compute")
        (temporary / "scenario.toml").write_text(tree.attrs["scenario_toml"], encoding="utf-8")
        text = json.dumps(found, indent=2, allow_nan=False)
        (temporary / "summary.json").write_text(text + "\n", encoding="utf-8")
    return found
