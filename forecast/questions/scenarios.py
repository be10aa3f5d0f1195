"""What the questions ask of whole forecasts: gains of the baseline, Cotra's date, a transition."""

from collections.abc import Mapping

import jax
import numpy as np

from .. import engine
from ..config import Scenario
from ..provenance import as_of_year
from ..records import fit_record
from ..scenario_files import load_scenario, scenario_from_dict
from ..transition import transition
from .answer import Evidence, Report
from .evidence import DRAWS

YEARS_AHEAD = 10
HORIZON_ANCHORS = ("medium-horizon", "long-horizon")
PRETRAINING_ANCHOR = "short-horizon"
_SAMPLES = 4096  # of the baseline: only its trajectories are used


def baseline_gains(report: Report) -> Evidence:
    """Return what the scenario `baseline` gains within ten years [OOM], each (draw,).

    ``physical_compute``, ``algorithms``, ``post_training``; ``log10_flop``: its largest run now.
    """
    tree = engine.run("baseline", samples=_SAMPLES, progress=report)
    paths = tree["trajectories"].to_dataset()
    now = float(paths["year"][0])
    weight = paths["weight"].to_numpy().astype(float)
    chosen = np.random.default_rng(0).choice(len(weight), DRAWS, p=weight / weight.sum())
    ends = paths.interp(year=[now, now + YEARS_AHEAD]).isel(sample=chosen)
    names = {
        "physical_compute": "log10_physical_compute",
        "algorithms": "algorithmic_progress",
        "post_training": "post_training_gains",
    }
    values = {key: np.diff(ends[name].to_numpy(), axis=1)[:, 0] for key, name in names.items()}
    values["log10_flop"] = ends["log10_physical_compute"].to_numpy()[:, 0]
    return Evidence(values, "trajectories of the scenario baseline", tree.attrs["verdict"])


def kaplan_transition(report: Report) -> Evidence:
    """Return ``log10_flop`` of C* and ``crossing_year`` of the fitted frontier, each (draw,).

    With ``as_of_year``, the date of the record of training compute in the scenario `baseline`.
    """
    scenario = load_scenario("baseline")

    def of_record(name: str, done: int, total: int) -> None:
        report(f"fit {name}", done, total)

    tree, _ = fit_record(scenario, "training_compute", of_record)
    found = transition(tree["trend"].to_dataset(), draws=DRAWS)
    assert found.crossing_year is not None  # a frontier was given
    values = {
        "log10_flop": found.log10_flop,
        "crossing_year": found.crossing_year,
        "as_of_year": np.full(DRAWS, as_of_year(scenario)),
    }
    source = "readings of kaplan-2020 against the frontier of training compute in baseline"
    return Evidence(values, source, tree.attrs["verdict"])


def cotra_anchors() -> dict[str, float]:
    """Return the median requirement of each anchor of the scenario `cotra-2020` [log10 FLOP]."""
    components = load_scenario("cotra-2020").requirement.components
    return {c.name: c.parameters[0] for c in components}


def cotra_arrival(
    shifts_oom: Mapping[str, Mapping[str, float]],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return (year, P(arrival by the year) by case) of `cotra-2020` with anchors moved.

    shifts_oom: case -> anchor -> by how much its requirement moves [OOM]
    """
    base = load_scenario("cotra-2020")
    moved = [_moved(base, shift) for shift in shifts_oom.values()]
    with jax.enable_x64(False):
        found = engine.timelines(moved, [{}] * len(moved))
    cdfs = (each["arrival_cdf"].to_numpy() for each in found)
    return found[0]["year"].to_numpy(), dict(zip(shifts_oom, cdfs, strict=True))


def _moved(scenario: Scenario, shift: Mapping[str, float]) -> Scenario:
    values = scenario.model_dump(exclude_none=True)
    for component in values["requirement"]["components"]:
        by = shift.get(component["name"], 0.0)
        component["normal"] = tuple(edge + by for edge in component["normal"])
    return scenario_from_dict(values)


def year_at(year: np.ndarray, cdf: np.ndarray, level: float = 0.5) -> float:
    """Return the year at which a distribution function reaches a level, inf if not in it."""
    return float(np.interp(level, cdf, year)) if cdf[-1] >= level else float("inf")
