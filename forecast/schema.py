"""The output contract: which groups and variables a forecast has, with dimensions and units.

docs/output.md is this table in words. `label` adds units and long names, `validate` checks a tree.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

VERSION = "1"
DIMENSIONS = ("chain", "draw", "year", "quantile", "sample", "input", "replicate", "model")


class Variable(NamedTuple):
    """One variable of the contract; `finite` is False where +inf means never."""

    group: str
    name: str
    dims: tuple[str, ...]
    units: str
    long_name: str
    required: bool = True
    finite: bool = True


_PATH = ("sample", "year")
CONTRACT = (
    Variable("timeline", "arrival_cdf", ("year",), "1", "probability of arrival by the year"),
    Variable("timeline", "arrival_cdf_mcse", ("year",), "1", "its Monte Carlo standard error"),
    Variable(
        "timeline",
        "arrival_cdf_replicates",
        ("replicate", "year"),
        "1",
        "the same from each replicate alone",
    ),
    Variable(
        "timeline",
        "arrival_year_quantile",
        ("quantile",),
        "year",
        "arrival year at the quantile, inf if beyond the horizon",
        finite=False,
    ),
    Variable(
        "timeline",
        "arrival_year_quantile_mcse",
        ("quantile",),
        "year",
        "its Monte Carlo standard error",
        finite=False,
    ),
    Variable("timeline", "p_never_by_horizon", (), "1", "probability of no arrival by the horizon"),
    Variable("timeline", "p_never_by_horizon_mcse", (), "1", "its Monte Carlo standard error"),
    Variable(
        "trajectories",
        "log10_physical_compute",
        _PATH,
        "log10(FLOP)",
        "largest training run under limits",
    ),
    Variable(
        "trajectories",
        "log10_physical_compute_alternative",
        _PATH,
        "log10(FLOP)",
        "the same by the route that the scenario does not take",
        required=False,
    ),
    Variable(
        "trajectories",
        "log10_parameters",
        _PATH,
        "log10(parameter)",
        "compute-optimal parameters of the largest run",
        required=False,
    ),
    Variable(
        "trajectories",
        "log10_training_tokens",
        _PATH,
        "log10(token)",
        "compute-optimal training tokens of the largest run",
        required=False,
    ),
    Variable(
        "trajectories",
        "algorithmic_progress",
        _PATH,
        "OOM",
        "algorithmic progress since the reference year",
    ),
    Variable(
        "trajectories",
        "post_training_gains",
        _PATH,
        "OOM",
        "post-training gains since the reference year",
    ),
    Variable(
        "trajectories",
        "log10_effective_compute",
        _PATH,
        "log10(FLOP)",
        "effective compute in the algorithms of the reference year",
    ),
    Variable(
        "trajectories",
        "arrival_year",
        ("sample",),
        "year",
        "arrival year of the draw given not yet, inf if beyond the horizon",
        finite=False,
    ),
    Variable(
        "trajectories", "weight", ("sample",), "1", "probability that it has not arrived by now"
    ),
    Variable("trajectories", "input_value", ("sample", "input"), "mixed", "inputs of the draw"),
)
COORDINATES = {
    "year": ("year", "decimal year; the first is the forecast's now, the others 1 January"),
    "quantile": ("1", "probability level"),
    "input": ("", "name of the input; its unit is in the name"),
    "model": ("1", "number of change points"),
}
ATTRIBUTES = (
    "title",
    "scenario_id",
    "scenario_toml",
    "as_of",
    "horizon_year",
    "seed",
    "samples",
    "verdict",
    "verdict_reasons",
    "milestone",
    "data",
    "versions",
    "schema_version",
)
FITTED_GROUPS = (
    "posterior",
    "prior",
    "sample_stats",
    "posterior_predictive",
    "prior_predictive",
    "log_likelihood",
    "observed_data",
)

# Endings of variable names say their unit.
_UNIT_OF_ENDING = {
    "_years": "year",
    "_year": "year",
    "_oom": "OOM",
    "_nat": "nat",
    "log10_flop": "log10(FLOP)",
    "log10_level": "log10(FLOP, USD or FLOP/USD)",
    "log10_level_at_anchor": "log10(FLOP, USD or FLOP/USD)",
    "log10_value": "log10(FLOP, USD or FLOP/USD)",
    "log10_ceiling": "log10(FLOP/USD)",
    "log_perplexity": "nat",
    "_year_rate": "1/year",
}


def label(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree with units and a long name on every variable and the schema version."""
    known = {(v.group, v.name): v for v in CONTRACT}
    for node in tree.subtree:
        group = node.path.strip("/")
        dataset = node.to_dataset(inherit=False)
        for name, variable in dataset.variables.items():
            entry = known.get((group, str(name)))
            units, long_name = (entry.units, entry.long_name) if entry else _described(str(name))
            variable.attrs = {"units": units, "long_name": long_name}
        node.dataset = dataset
    tree.attrs["schema_version"] = VERSION
    return tree


def _described(name: str) -> tuple[str, str]:
    if name in COORDINATES:
        return COORDINATES[name]
    endings = [ending for ending in _UNIT_OF_ENDING if name.endswith(ending)]
    units = _UNIT_OF_ENDING[max(endings, key=len)] if endings else "1"
    return units, name.replace("_", " ")


def validate(tree: xr.DataTree) -> None:
    """Raise ``ValueError`` naming the first place where ``tree`` breaks the contract."""
    for attribute in ATTRIBUTES:
        if attribute not in tree.attrs:
            raise ValueError(f"attribute {attribute!r} is missing")
    for entry in CONTRACT:
        place = f"{entry.group}/{entry.name}"
        if entry.group not in tree.children or entry.name not in tree[entry.group]:
            if entry.required:
                raise ValueError(f"{place} is missing")
            continue
        variable = tree[entry.group][entry.name]
        if variable.dims != entry.dims:
            raise ValueError(f"{place}: got dimensions {variable.dims}, expected {entry.dims}")
        if variable.attrs.get("units") != entry.units:
            raise ValueError(
                f"{place}: got units {variable.attrs.get('units')!r}, expected {entry.units!r}"
            )
        if entry.finite and not np.isfinite(variable.to_numpy()).all():
            raise ValueError(f"{place}: got values that are not finite")
    _check_probabilities(tree["timeline"].to_dataset())
    for node in tree.subtree:
        for name, entry_variable in node.to_dataset(inherit=False).variables.items():
            if not {"units", "long_name"} <= set(entry_variable.attrs):
                raise ValueError(f"{node.path}/{name} has no units or long_name")


def _check_probabilities(timeline: xr.Dataset) -> None:
    cdf = timeline["arrival_cdf"].to_numpy()
    if cdf.min() < 0 or cdf.max() > 1 or np.any(np.diff(cdf) < 0):
        raise ValueError("timeline/arrival_cdf: expected to rise within 0 and 1")
    quantile = timeline["arrival_year_quantile"].to_numpy()
    if np.any(np.diff(quantile[np.isfinite(quantile)]) < 0):
        raise ValueError("timeline/arrival_year_quantile: expected to rise")
    if abs(cdf[-1] + float(timeline["p_never_by_horizon"]) - 1) > 1e-9:
        raise ValueError("timeline: arrival_cdf at the horizon and p_never_by_horizon miss 1")
