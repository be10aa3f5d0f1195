"""Scenario -> forecast: fit, simulate, label."""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from jax import Array

from ..kernels import ensemble
from . import preflight, timeline
from .config import Scenario
from .problem import REPLICATES, Problem, prepare
from .provenance import as_of_date
from .records import fit_records, verdict_of_all
from .scenario_files import load_scenario, scenario_from_dict, to_toml
from .schema import DIMENSIONS, label
from .timeline import rounded_samples
from .world import path_function

Progress = Callable[[str, int, int], None]
TRAJECTORIES = 2048


def run(
    scenario: Scenario | str | Path,
    *,
    samples: int | None = None,
    seed: int | None = None,
    as_of: Any = None,
    horizon_year: int | None = None,
    progress: Progress | None = None,
) -> xr.DataTree:
    """Fit the record, simulate, and return the forecast as a labelled tree.

    scenario: a `Scenario`, an id that ships with the package, or the path of a scenario file; the
    keywords override it. progress is called with (what, done, total).
    Raises ``ValueError`` for a scenario that is not valid.
    """
    changes = {"samples": samples, "seed": seed, "as_of": as_of, "horizon_year": horizon_year}
    given = {key: value for key, value in changes.items() if value is not None}
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario, **given)
    elif given:
        scenario = scenario_from_dict({**scenario.model_dump(), **given}, name=scenario.id)
    fits = fit(scenario, progress=progress)
    return simulate(scenario, fits, progress=progress)


def fit(scenario: Scenario, *, progress: Progress | None = None) -> dict[str, xr.DataTree]:
    """Return the fit of every record that the scenario fits, from the cache where possible."""
    preflight.check(scenario)
    report = progress or (lambda what, done, total: None)
    chains = scenario.inference.chains

    def of_record(name: str, done: int, total: int) -> None:
        report(f"fit {name}: draws of {chains} chains", done, total)

    found = fit_records(scenario, of_record)
    return {name: tree for name, (tree, _) in found.items()}


def simulate(
    scenario: Scenario,
    fits: dict[str, xr.DataTree],
    *,
    progress: Progress | None = None,
    devices: int | None = None,
    chunk: int | None = None,
    dtype: Any = np.float32,
) -> xr.DataTree:
    """Return the forecast of a scenario whose record has been fitted.

    devices, chunk: how the work is split; neither changes the answer.
    dtype: np.float32, or np.float64 inside ``jax.enable_x64(True)``.
    Raises ``ValueError`` if the priors leave nothing to compute.
    """
    problem = prepare(scenario, fits, dtype=dtype)
    samples = rounded_samples(scenario.samples)
    (found,) = timeline.timelines(
        [problem], samples, progress=progress, mesh=ensemble.device_mesh(devices), chunk=chunk
    )
    tree = xr.DataTree(name=scenario.id)
    tree["timeline"] = xr.DataTree(found)
    inputs, points = problem.ensemble.inputs, problem.ensemble.points
    values = ensemble.first_inputs(inputs, points, TRAJECTORIES // REPLICATES)
    tree["trajectories"] = xr.DataTree(_trajectories(problem, values, scenario))
    for group, dataset in _history_groups(fits).items():
        tree[group] = xr.DataTree(dataset)
    tree["prior"] = xr.DataTree(_prior_group(problem, np.asarray(values), tree))
    tree.attrs = _provenance(scenario, fits, samples)
    return label(tree)


def timelines(
    scenarios: Sequence[Scenario],
    fits: Sequence[dict[str, xr.DataTree]],
    *,
    progress: Progress | None = None,
) -> list[xr.Dataset]:
    """Return the timeline of each scenario, the same bits as `simulate` gives for it alone.

    fits: of each scenario. Those that differ in numbers only share compiled programs.
    Raises ``ValueError`` unless all have the same samples.
    """
    problems = [prepare(*each, dtype=np.float32) for each in zip(scenarios, fits, strict=True)]
    samples = {rounded_samples(scenario.samples) for scenario in scenarios}
    if len(samples) != 1:
        raise ValueError(f"samples: got {sorted(samples)}, expected the same of all scenarios")
    return timeline.timelines(problems, samples.pop(), progress=progress)


def _trajectories(problem: Problem, values: Array, scenario: Scenario) -> xr.Dataset:
    """Return the paths of some draws; values: (sample, input)."""
    u = np.random.default_rng((scenario.seed, 1)).random(len(values)).astype(values.dtype)
    shared, nodes = problem.ensemble.shared, problem.ensemble.nodes
    paths = path_function(problem.structure)(values, u, shared, nodes)
    names = [*problem.structure.columns, *problem.structure.uncertain]
    found: dict[str, Any] = {
        name: (("sample", "year")[: value.ndim], np.asarray(value, dtype=np.float32))
        for name, value in paths.items()
    }
    found["arrival_year"] = ("sample", _absolute(paths["arrival_year"], problem.years[0]))
    return xr.Dataset(
        found | {"input_value": (("sample", "input"), np.asarray(values, dtype=np.float32))},
        coords={"year": problem.years, "input": np.array(names, dtype=object)},
    )


def _absolute(years_from_now: Array, now: float) -> np.ndarray:
    return np.asarray(years_from_now, dtype=np.float64) + now


def _history_groups(fits: dict[str, xr.DataTree]) -> dict[str, xr.Dataset]:
    """Return the groups of all fitted records together, variables prefixed by their record."""
    groups: dict[str, xr.Dataset] = {}
    for name, tree in fits.items():
        for group in sorted(tree.children):
            dataset = tree[group].to_dataset()
            prefix = {v: f"{name}_{v}" for v in dataset.data_vars}
            own = [str(d) for d in dataset.dims if d not in DIMENSIONS]
            prefix |= {d: f"{name}_{d}" for d in own if not d.startswith(name)}
            renamed = dataset.rename(prefix)
            target = "history" if group == "trend" else group
            groups[target] = xr.merge([groups[target], renamed]) if target in groups else renamed
    groups.pop("forecast", None)
    return groups


def _prior_group(problem: Problem, values: np.ndarray, tree: xr.DataTree) -> xr.Dataset:
    """Return prior draws: of the fitted models, and of the inputs that no record informs."""
    prior = tree["prior"].to_dataset() if "prior" in tree.children else xr.Dataset()
    count = min(len(values), prior.sizes.get("draw", len(values)))
    first = len(problem.structure.columns)
    own = {
        name.replace(".", "_"): (("chain", "draw"), values[None, :count, first + i])
        for i, name in enumerate(problem.structure.uncertain)
    }
    return prior.isel(draw=slice(count), missing_dims="ignore").assign(own)


def _provenance(scenario: Scenario, fits: dict[str, xr.DataTree], samples: int) -> dict[str, Any]:
    """Return what the result was made from; nothing in it depends on the clock."""
    verdict = verdict_of_all(fits)
    data: dict[str, Any] = {}
    for tree in fits.values():
        data |= json.loads(tree.attrs["data"])
    packages = ("aitimelines", "jax", "jaxlib", "numpyro", "numpy", "scipy", "xarray")
    return {
        "title": scenario.title,
        "scenario_id": scenario.id,
        "scenario_toml": to_toml(scenario),
        "milestone": scenario.requirement.milestone,
        "as_of": as_of_date(scenario),
        "horizon_year": scenario.horizon_year,
        "seed": scenario.seed,
        "samples": samples,
        "samples_asked_for": scenario.samples,
        "replicates": REPLICATES,
        "random_numbers": "Joe-Kuo Sobol', scrambled with threefry2x32, partitionable",
        "algorithms_year": scenario.requirement.algorithms_year,
        "verdict": verdict.verdict,
        "verdict_reasons": json.dumps(verdict.reasons),
        "fits": json.dumps(
            {name: _fit_summary(tree) for name, tree in fits.items()},
            sort_keys=True,  # a store does not keep the order of columns
        ),
        "data": json.dumps(data),
        "versions": json.dumps({package: version(package) for package in packages}),
        "platform": jax.default_backend(),
    }


def _fit_summary(tree: xr.DataTree) -> dict[str, Any]:
    columns = tree["forecast"].to_dataset()
    levels = {
        name: [round(float(q), 4) for q in np.quantile(value, [0.05, 0.5, 0.95])]
        for name, value in columns.items()
    }
    found = {
        "verdict": tree.attrs["verdict"],
        "sampler": tree.attrs["sampler"],
        "q05_50_95": levels,
    }
    if "change_points" in tree.children:
        averaged = tree["change_points"].to_dataset()
        weights = zip(averaged["model"].to_numpy(), averaged["weight"].to_numpy(), strict=True)
        found["change_point_weights"] = {str(k): round(float(weight), 4) for k, weight in weights}
    return found
