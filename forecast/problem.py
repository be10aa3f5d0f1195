"""Scenario -> kernel inputs: uncertain numbers, posterior rows, and what all draws share."""

from datetime import date
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from ..kernels import ensemble, quasi_random
from ..priors.elicitation import location_scale
from .config import Prior, Requirement, RequirementComponent, Scenario, check_horizon
from .law_frames import training_law
from .provenance import as_of_date, as_of_year, fitted_with
from .world import GROWTH, Direction, Shared, Structure

REPLICATES = 16
# Measured on the baseline by rank correlation with P(arrival by a year).
_BY_INFLUENCE = (
    *("algorithmic_progress", "requirement", "post_training", "limits"),
    *("training_compute", "price_performance", "gross_product", "spending", "scaling_law"),
)
_TRENDS = ("training_compute", "spending", "price_performance", "gross_product")


class Problem(NamedTuple):
    """A scenario made ready for the kernels."""

    structure: Structure
    ensemble: ensemble.Ensemble
    years: np.ndarray
    as_of: str


def prepare(scenario: Scenario, fits: dict[str, xr.DataTree], *, dtype: Any) -> Problem:
    """Return the scenario as arrays: uncertain inputs, posterior rows, points, what is shared.

    They are NumPy's: the programs that take them move them to the devices, all at once.
    """
    check_horizon(date.fromisoformat(as_of_date(scenario)), scenario.horizon_year)
    now = as_of_year(scenario)
    years = np.append(now, np.arange(np.floor(now) + 1, scenario.horizon_year + 1))
    priors, constants = _numbers(scenario, fits, now)
    uncertain = {k: location_scale(*p.interval) for k, p in priors.items() if p.interval}
    constants |= {k: float(p.lowest) for k, p in priors.items() if not p.interval}
    posterior = _posterior(scenario, fits)
    requirement = scenario.requirement
    clocks = algorithms_of(requirement)
    paths = sorted(set(clocks))
    structure = Structure(
        columns=tuple(name for columns in posterior for name in columns),
        uncertain=tuple(uncertain),
        fixed=tuple(constants),
        trends=tuple(n for n in _TRENDS if getattr(scenario, n) is not None),
        resources=tuple(r.name for r in scenario.limits.resources),
        kinds=tuple(c.kind for c in requirement.components),
        path_of_component=tuple(paths.index(clock) for clock in clocks),
        paths=tuple(name for _, name in paths),
        by_spending=scenario.compute != "trend",
    )
    real = partial(_array, dtype=dtype)
    nothing = real([])
    shared = Shared(
        fixed=real(list(constants.values())),
        weights=real([c.weight for c in requirement.components]),
        parameters=real([c.parameters for c in requirement.components]),
        years_since_reference=real([now - year for year, _ in paths]),
        display_years_since_reference=real(now - requirement.algorithms_year),
        direction=Direction(nothing, nothing, nothing, nothing, nothing),
    )
    own = list(zip(*uncertain.values(), strict=True)) or [(), (), (), ()]
    inputs = ensemble.Inputs(
        rows=tuple(real(_batches(columns)) for columns in posterior),
        location=real(own[0]),
        scale=real(own[1]),
        is_uniform=_array(own[2], dtype=bool),
        is_log=_array(own[3], dtype=bool),
    )
    points = random_points(scenario.seed, ensemble.dimension(inputs))
    made = ensemble.Ensemble(inputs, shared, real(years - now), points)
    return Problem(structure, made, years, as_of_date(scenario))


def _posterior(scenario: Scenario, fits: dict[str, xr.DataTree]) -> list[dict[str, xr.DataArray]]:
    """Return the columns of posterior rows, by dotted name; one dictionary for each row drawn.

    Records that were fitted together are one row.
    """
    found: dict[tuple[str, ...], dict[str, xr.DataArray]] = {}
    for name, tree in sorted(fits.items(), key=lambda item: _influence(item[0])):
        row = found.setdefault(fitted_with(scenario, name), {})
        # Sorted, because a tree that was stored comes back with its variables in another order.
        columns = tree["forecast"].to_dataset()
        row |= {f"{name}.{column}": columns[column] for column in sorted(map(str, columns))}
    return list(found.values())


def random_points(seed: int, dimension: int, replicates: int = REPLICATES) -> quasi_random.Points:
    """Return the quasi-random points of a forecast."""
    points = quasi_random.randomise(_points_key(np.uint32(seed)), dimension, replicates)
    return jax.tree.map(np.asarray, points)


@jax.jit
def _points_key(seed: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), 0)


def _array(values: Any, *, dtype: Any) -> Any:  # kernels take it for an array of JAX
    return np.asarray(values, dtype=dtype)


def _influence(name: str) -> int:
    """Return the place of an input: what moves forecasts most gets the best coordinates."""
    return _BY_INFLUENCE.index(name.partition(".")[0])


def algorithms_of(requirement: Requirement) -> list[tuple[float, str]]:
    """Return for each component the year of its algorithms, and its name if they are its own.

    Components that have the same see the same path of effective compute.
    """
    return [
        (c.algorithms_year or requirement.algorithms_year, c.name if _has_own_progress(c) else "")
        for c in requirement.components
    ]


def _has_own_progress(component: RequirementComponent) -> bool:
    own = (component.algorithmic_doubling_time_years, component.algorithmic_ceiling_oom)
    return any(prior is not None for prior in own)


def _numbers(
    scenario: Scenario, fits: dict[str, xr.DataTree], now: float
) -> tuple[dict[str, Prior], dict[str, float]]:
    """Return (priors by dotted name, constants by dotted name) of everything not fitted."""
    priors: dict[str, Prior] = {}
    constants: dict[str, float] = {}
    for name in _TRENDS:
        section = getattr(scenario, name)
        if section is None:
            continue
        fitted = name in fits
        for field in GROWTH[1:] if fitted else ("log10_level", *GROWTH):
            priors[f"{name}.{field}"] = getattr(section, field)
        constants[f"{name}.level_age_years"] = 0.0 if fitted else now - section.level_year
    law = scenario.scaling_law
    if law is not None and law.law is not None:
        published = training_law(law.law)._asdict()
        constants |= {f"scaling_law.{name}": float(value) for name, value in published.items()}
    priors["price_performance.log10_ceiling"] = scenario.price_performance.log10_ceiling
    for name in ("algorithmic_progress", "post_training"):
        for field in (*GROWTH[name in fits :], "ceiling_oom"):
            priors[f"{name}.{field}"] = getattr(getattr(scenario, name), field)
    priors["limits.sharpness"] = scenario.limits.sharpness
    priors["limits.log10_spending_share"] = scenario.limits.log10_spending_share
    for resource in scenario.limits.resources:
        priors[f"limits.{resource.name}.log10_flop"] = resource.log10_flop
        priors[f"limits.{resource.name}.doubling_time_years"] = resource.doubling_time_years
        constants[f"limits.{resource.name}.years_from_now"] = resource.year - now
    for component in scenario.requirement.components:
        for field in ("doubling_time_years", "ceiling_oom"):
            own = getattr(component, f"algorithmic_{field}")
            if own is not None:
                priors[f"requirement.{component.name}.{field}"] = own
    return dict(sorted(priors.items(), key=lambda item: _influence(item[0]))), constants


def _batches(columns: dict[str, xr.DataArray]) -> np.ndarray:
    """Return posterior rows for the replicates, (replicate, row, column).

    Each replicate has rows of its own, in order of their first principal component, so that the
    row is a smooth function of its quasi-random coordinate.
    """
    table = np.stack([v.transpose("chain", "draw").to_numpy() for v in columns.values()], axis=-1)
    table = table.reshape(-1, table.shape[-1])
    rows = len(table) // REPLICATES
    batches = table[: rows * REPLICATES].reshape(REPLICATES, rows, -1)
    standard = (table - table.mean(axis=0)) / table.std(axis=0)
    direction = np.linalg.svd(np.cov(standard, rowvar=False).reshape(table.shape[1], -1))[0][:, 0]
    score = ((batches - table.mean(axis=0)) / table.std(axis=0)) @ direction
    return np.take_along_axis(batches, np.argsort(score, axis=1)[..., None], axis=1)
