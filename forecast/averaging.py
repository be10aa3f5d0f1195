"""One fit from several of the same record, averaged over the number of change points."""

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.special import softmax

from . import checks
from .leave_one_out import leave_one_out


def averaged(
    trees: dict[int, xr.DataTree], seed: int, given: Sequence[float] | None = None
) -> xr.DataTree:
    """Return one fit averaged over the number of change points.

    given: the weight of each; default the pseudo-BMA weights of leave-one-out on the record itself
    (stacking on it would give all weight to one of models that predict alike, Yao et al. 2018)
    """
    loo = [leave_one_out(tree) for tree in trees.values()]
    weights = softmax([float(entry.elpd) for entry in loo]) if given is None else np.array(given)
    first = next(iter(trees.values()))
    chains, draws = first["forecast"]["doubling_time_years"].shape
    edges = np.rint(np.cumsum(weights) * draws).astype(int)
    model = np.searchsorted(edges, np.arange(draws), side="right")
    order = np.random.default_rng(seed).permutation(draws)

    tree = first.copy()
    for group in (
        "posterior",
        "posterior_predictive",
        "log_likelihood",
        "sample_stats",
        "forecast",
    ):
        parts = [each[group].to_dataset() for each in trees.values()]
        tree[group] = xr.DataTree(_mixed(parts, model, order))
    count = np.broadcast_to(np.array(list(trees))[model][order], (chains, draws))
    tree["posterior"] = xr.DataTree(
        tree["posterior"].to_dataset().assign(number_of_change_points=(("chain", "draw"), count))
    )
    tree["trend"] = xr.DataTree(
        sum(w * t["trend"].to_dataset() for w, t in zip(weights, trees.values(), strict=True))
    )
    tree["change_points"] = xr.DataTree(
        xr.Dataset(
            {
                "elpd_loo": ("model", [float(entry.elpd) for entry in loo]),
                "elpd_loo_se": ("model", [float(entry.se) for entry in loo]),
                "largest_pareto_k_loo": ("model", [float(entry.pareto_k.max()) for entry in loo]),
                "weight": ("model", weights),
            },
            coords={"model": list(trees)},
        )
    )
    judged = {f"{c} change points": verdict_of(t) for c, t in trees.items()}
    relevant = {k: v for (k, v), w in zip(judged.items(), weights, strict=True) if w >= 0.05}
    verdict = checks.together(relevant)
    tree.attrs |= {"verdict": verdict.verdict, "reasons": json.dumps(verdict.reasons)}
    return tree


def _mixed(parts: list[xr.Dataset], model: np.ndarray, order: np.ndarray) -> xr.Dataset:
    """Return what all parts have, each draw from the part that ``model`` says, then reordered."""
    shared = [
        str(name)
        for name, value in parts[0].items()
        if all(name in part and part[name].shape == value.shape for part in parts)
    ]
    if not shared:  # statistics of different samplers
        return xr.Dataset()
    pieces = [part[shared].isel(draw=np.flatnonzero(model == k)) for k, part in enumerate(parts)]
    together = xr.concat(pieces, dim="draw").assign_coords(draw=np.arange(len(model)))
    return together.isel(draw=order).assign_coords(draw=np.arange(len(model)))


def verdict_of(tree: xr.DataTree) -> checks.Verdict:
    """Return the verdict that a fit carries in its attributes."""
    return checks.Verdict(tree.attrs["verdict"], tuple(json.loads(tree.attrs["reasons"])))
