"""The posteriors that several questions rest on, each fitted once and kept in the cache folder."""

import json
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from ..averaging import verdict_of
from ..config import REQUIREMENT_KINDS, Scenario
from ..engine import fit
from ..law_fits import fit_runs, read_runs
from ..provenance import as_of_year, forecast_key
from ..records import fit_record, verdict_of_all
from ..scenario_files import load_scenario
from ..storage import cached_tree
from ..variants import requirement_variants
from .answer import Evidence, Report

DRAWS = 2000  # of each posterior; draws of different ones are independent, so that they pair up
SHIFTS_OOM = tuple(np.linspace(-2, 3, 21).tolist())


def chinchilla(report: Report) -> Evidence:
    """Return the constants of Chinchilla's law, by the names of the kernel (`Chinchilla`).

    From the 240 runs that Besiroglu et al. (2024) read from the figure of Hoffmann et al. (2022).
    """
    tree, _ = fit_runs(read_runs("chinchilla_losses"), report=report)
    return _evidence(tree, "posterior of Chinchilla's law from the table chinchilla_losses")


def training_compute(report: Report) -> Evidence:
    """Return ``doubling_time_years`` [yr] and ``log10_level`` of the largest runs, as_of_year.

    The frontier of training compute in the scenario `baseline`, at its date ``as_of_year``.
    """
    return _of_baseline("training_compute", report)


def algorithmic_progress(report: Report) -> Evidence:
    """Return the columns that the scenario `baseline` forecasts algorithmic progress from."""
    return _of_baseline("algorithmic_progress", report)


def arrival_years(report: Report) -> Evidence:
    """Return when the milestone of `baseline` arrives if it takes ``shift_oom`` more compute.

    ``year_q25``, ``year_q50``, ``year_q75`` of the arrival year, inf beyond the horizon, each
    (shift,), not draws.
    """
    scenario = load_scenario("baseline")
    key = {"shifts": list(SHIFTS_OOM), **forecast_key(scenario)}
    tree, _ = cached_tree("arrival", key, partial(_arrival_years, scenario, report))
    dataset = tree["arrival"].to_dataset()
    values = {str(name): value.to_numpy() for name, value in dataset.items()}
    verdict = verdict_of(tree)
    source = "forecast of the scenario baseline"
    return Evidence(values, source, verdict.verdict, verdict.reasons)


def _arrival_years(scenario: Scenario, report: Report) -> xr.DataTree:
    fits = fit(scenario, progress=report)
    plain = scenario.requirement.model_dump(exclude_none=True)
    report("shift the requirement", 0, 1)
    times = requirement_variants(scenario, fits, [_shifted(plain, oom) for oom in SHIFTS_OOM])
    report("shift the requirement", 1, 1)
    years = times["arrival_year_quantile"]
    columns = {
        f"year_q{q * 100:.0f}": ("shift", years.sel(quantile=q).to_numpy())
        for q in (0.25, 0.5, 0.75)
    }
    columns["shift_oom"] = ("shift", np.array(SHIFTS_OOM))
    verdict = verdict_of_all(fits)
    tree = xr.DataTree.from_dict({"arrival": xr.Dataset(columns)})
    tree.attrs = {"verdict": verdict.verdict, "reasons": json.dumps(verdict.reasons)}
    return tree


def _shifted(requirement: Mapping[str, Any], oom: float) -> dict[str, Any]:
    """Return a requirement, components of quantiles of log10 FLOP, that takes more compute."""
    components = [
        {
            key: [x + oom for x in value] if key in REQUIREMENT_KINDS else value
            for key, value in component.items()
        }
        for component in requirement["components"]
    ]
    return {**requirement, "components": components}


def _of_baseline(record: str, report: Report) -> Evidence:
    scenario = load_scenario("baseline")

    def of_record(name: str, done: int, total: int) -> None:
        report(f"fit {name}", done, total)

    tree, _ = fit_record(scenario, record, of_record)
    found = _evidence(tree, f"posterior of {record} in the scenario baseline")
    now = {"as_of_year": np.full(DRAWS, as_of_year(scenario))}
    return found._replace(values=found.values | now)


def _evidence(tree: xr.DataTree, source: str) -> Evidence:
    """Return draws of a fit's forecast columns in an order of chance, the same each time."""
    columns = {
        str(name): value.to_numpy().reshape(-1, *value.shape[2:])
        for name, value in tree["forecast"].to_dataset().items()
    }
    count = len(next(iter(columns.values())))
    chance = np.random.default_rng(zlib.crc32(source.encode()))
    chosen = chance.choice(count, DRAWS, replace=count < DRAWS)
    verdict = verdict_of(tree)
    values = {name: value[chosen] for name, value in columns.items()}
    return Evidence(values, source, verdict.verdict, verdict.reasons)
