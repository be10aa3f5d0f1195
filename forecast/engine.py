"""Scenario -> forecast: draws, kernels, labelled results."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from scipy.interpolate import PchipInterpolator

from ..kernels import ensemble, first_passage, quasi_random
from ..kernels.compute_growth import Trend, growth_oom_per_year
from ..kernels.effective_compute import (
    Gain,
    World,
    gain_oom,
    log10_effective_compute,
    log10_physical_compute,
)
from ..kernels.requirement import mixture_cumulative
from ..priors.elicitation import location_scale
from .config import Prior, RequirementComponent, Scenario, check_horizon
from .provenance import as_of_date, as_of_year
from .records import fit_records, verdict_of_all
from .scenario_files import load_scenario, scenario_from_dict, to_toml
from .schema import DIMENSIONS, label

Progress = Callable[[str, int, int], None]
REPLICATES = 16
TRAJECTORIES = 2048
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_TRENDS = ("training_compute", "spending", "price_performance", "gross_product")
_GROWTH = ("doubling_time_years", "long_run_doubling_time_years", "slowdown_half_life_years")


@dataclass(frozen=True)
class Structure:
    """What a forecast's compiled program depends on; all else is data, and does not recompile."""

    uncertain: tuple[str, ...]
    columns: tuple[str, ...]
    fixed: tuple[str, ...]
    trends: tuple[str, ...]
    resources: tuple[str, ...]
    kinds: tuple[str, ...]
    path_of_component: tuple[int, ...]
    paths: tuple[str, ...]
    by_spending: bool


class Shared(NamedTuple):
    """What all draws share.

    fixed: (number,); weights: (component,); parameters: (component, 3)
    years_since_reference: (path,), now minus the year of the algorithms the FLOP are counted in;
        components with the same year and algorithmic progress share a path of effective compute
    display_years_since_reference: scalar, the same for the path that is shown
    years_from_now: (year,), the first is 0
    """

    fixed: Array
    weights: Array
    parameters: Array
    years_since_reference: Array
    display_years_since_reference: Array
    years_from_now: Array


class Problem(NamedTuple):
    """A scenario made ready for the kernels."""

    structure: Structure
    inputs: ensemble.Inputs
    shared: Shared
    years: np.ndarray


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
    check_horizon(date.fromisoformat(as_of_date(scenario)), scenario.horizon_year)
    report = progress or (lambda what, done, total: None)
    found = fit_records(scenario, lambda name, done, total: report(f"fit {name}", done, total))
    return {name: tree for name, (tree, _) in found.items()}


def simulate(
    scenario: Scenario,
    fits: dict[str, xr.DataTree],
    *,
    progress: Progress | None = None,
    devices: int | None = None,
    chunk: int = 16,
    dtype: Any = np.float32,
) -> xr.DataTree:
    """Return the forecast of a scenario whose record has been fitted.

    devices, chunk: how the work is split; neither changes the answer.
    dtype: np.float32, or np.float64 inside ``jax.enable_x64(True)``.
    Raises ``ValueError`` if the priors leave nothing to compute.
    """
    problem = prepare(scenario, fits, dtype=dtype)
    samples = rounded_samples(scenario.samples)
    key = jax.random.fold_in(jax.random.key(scenario.seed), 0)
    points = quasi_random.randomise(key, ensemble.dimension(problem.inputs), REPLICATES)
    statistic = _passage(problem.structure)
    means = np.empty(0)
    running = ensemble.replicate_means(
        statistic,
        problem.inputs,
        problem.shared,
        points,
        samples,
        mesh=ensemble.device_mesh(devices),
        chunk=chunk,
    )
    try:
        for done, so_far in running:
            means = so_far
            if progress:
                progress("simulate", done, samples)
    except FloatingPointError as error:
        raise ValueError(
            f"{scenario.id}: got {error}, expected priors without values too small or too large"
        ) from error
    if not (means[:, -1] > 0).all():
        raise ValueError(
            f"requirement: got one that is already met on {as_of_date(scenario)} in every draw, "
            "expected a milestone that has not arrived"
        )
    tree = xr.DataTree(name=scenario.id)
    tree["timeline"] = xr.DataTree(_timeline(problem.years, means))
    values = ensemble.first_inputs(problem.inputs, points, TRAJECTORIES // REPLICATES)
    tree["trajectories"] = xr.DataTree(_trajectories(problem, values, scenario))
    for group, dataset in _history_groups(fits).items():
        tree[group] = xr.DataTree(dataset)
    tree["prior"] = xr.DataTree(_prior_group(problem, np.asarray(values), tree))
    tree.attrs = _provenance(scenario, fits, samples)
    return label(tree)


def rounded_samples(samples: int) -> int:
    """Return the samples used: at least those asked for, replicates x 1024 x a power of two."""
    least = REPLICATES * ensemble.TILE
    return least * 2 ** max(0, int(np.ceil(np.log2(samples / least))))


# Scenario -> kernel inputs


def prepare(scenario: Scenario, fits: dict[str, xr.DataTree], *, dtype: Any) -> Problem:
    """Return the scenario as arrays: uncertain inputs, posterior rows, and what is shared."""
    check_horizon(date.fromisoformat(as_of_date(scenario)), scenario.horizon_year)
    now = as_of_year(scenario)
    years = np.append(now, np.arange(np.floor(now) + 1, scenario.horizon_year + 1))
    priors, constants = _numbers(scenario, fits, now)
    uncertain = {k: location_scale(*p.interval) for k, p in priors.items() if p.interval}
    constants |= {k: float(p.lowest) for k, p in priors.items() if not p.interval}
    blocks = {
        f"{name}.{column}": values
        for name, tree in fits.items()
        for column, values in tree["forecast"].to_dataset().items()
    }
    requirement = scenario.requirement
    clocks = [
        (c.algorithms_year or requirement.algorithms_year, c.name if _has_own_progress(c) else "")
        for c in requirement.components
    ]
    paths = sorted(set(clocks))
    structure = Structure(
        uncertain=tuple(uncertain),
        columns=tuple(blocks),
        fixed=tuple(constants),
        trends=tuple(n for n in _TRENDS if getattr(scenario, n) is not None),
        resources=tuple(r.name for r in scenario.limits.resources),
        kinds=tuple(c.kind for c in requirement.components),
        path_of_component=tuple(paths.index(clock) for clock in clocks),
        paths=tuple(name for _, name in paths),
        by_spending=scenario.compute != "trend",
    )
    columns = list(zip(*uncertain.values(), strict=True)) or [(), (), (), ()]
    real = lambda values: jnp.asarray(np.asarray(values, dtype=dtype))  # noqa: E731
    inputs = ensemble.Inputs(
        location=real(columns[0]),
        scale=real(columns[1]),
        is_uniform=jnp.asarray(np.array(columns[2], dtype=bool)),
        is_log=jnp.asarray(np.array(columns[3], dtype=bool)),
        rows=tuple(real(_batches(tree["forecast"].to_dataset())) for tree in fits.values()),
    )
    shared = Shared(
        fixed=real(list(constants.values())),
        weights=real([c.weight for c in requirement.components]),
        parameters=real([c.parameters for c in requirement.components]),
        years_since_reference=real([now - year for year, _ in paths]),
        display_years_since_reference=real(now - requirement.algorithms_year),
        years_from_now=real(years - now),
    )
    return Problem(structure, inputs, shared, years)


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
        for field in _GROWTH[1:] if fitted else ("log10_level", *_GROWTH):
            priors[f"{name}.{field}"] = getattr(section, field)
        constants[f"{name}.level_age_years"] = 0.0 if fitted else now - section.level_year
    priors["price_performance.log10_ceiling"] = scenario.price_performance.log10_ceiling
    for name in ("algorithmic_progress", "post_training"):
        for field in (*_GROWTH[name in fits :], "ceiling_oom"):
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
    return priors, constants


def _batches(columns: xr.Dataset) -> np.ndarray:
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


# One draw


def _named(structure: Structure, values: Array, shared: Shared) -> dict[str, Array]:
    """Return the numbers of one draw by their dotted names."""
    drawn = zip((*structure.uncertain, *structure.columns), values, strict=True)
    return dict(drawn) | dict(zip(structure.fixed, shared.fixed, strict=True))


def _world(structure: Structure, number: dict[str, Array], shared: Shared) -> World:
    """Return the world of one draw."""

    def trend(name: str) -> Trend:
        growth = [number[f"{name}.{field}"] for field in _GROWTH]
        age = number[f"{name}.level_age_years"]
        level = number[f"{name}.log10_level"] + growth_oom_per_year(growth[0]) * age
        return Trend(level, *growth)

    def gain(name: str) -> Gain:
        def of(path: str, field: str) -> Array:
            own = f"requirement.{path}.{field}"
            # The own doubling time of a component holds for good.
            use = own.replace("long_run_", "") if name == "algorithmic_progress" else ""
            return number[use] if use in number else number[f"{name}.{field}"]

        fields = (*_GROWTH, "ceiling_oom")
        return Gain(*(jnp.stack([of(p, f) for p in structure.paths]) for f in fields))

    def of_resources(field: str) -> Array:
        found = [number[f"limits.{name}.{field}"] for name in structure.resources]
        return jnp.stack(found) if found else jnp.zeros((0,), shared.fixed.dtype)

    doubling = of_resources("doubling_time_years")
    present = {name: trend(name) for name in structure.trends}
    missing = present["price_performance"]
    return World(
        training_compute=present.get("training_compute", missing),
        spending=present.get("spending", missing),
        price_performance=present["price_performance"],
        log10_price_performance_ceiling=number["price_performance.log10_ceiling"],
        gross_product=present["gross_product"],
        log10_spending_share=number["limits.log10_spending_share"],
        resource_limits=Trend(
            of_resources("log10_flop"), doubling, doubling, jnp.ones_like(doubling)
        ),
        limit_years_from_now=of_resources("years_from_now"),
        algorithmic_progress=gain("algorithmic_progress"),
        post_training=gain("post_training"),
        years_since_reference=shared.years_since_reference,
        sharpness=number["limits.sharpness"],
    )


def _reached(structure: Structure, world: World, shared: Shared) -> Array:
    """Return F_R(max over s <= t of E(s)), (year,)."""
    by_spending = structure.by_spending
    path = log10_effective_compute(world, shared.years_from_now, by_spending=by_spending)
    top = first_passage.running_maximum(path)
    of_component = [top[i] for i in structure.path_of_component]
    return mixture_cumulative(structure.kinds, shared.weights, shared.parameters, of_component)


@cache
def _passage(structure: Structure) -> ensemble.Statistic:
    """Return the statistic of a draw: mass arriving by each year, then the mass not yet arrived."""

    def statistic(values: Array, shared: Shared) -> Array:
        world = _world(structure, _named(structure, values, shared), shared)
        reached = _reached(structure, world, shared)
        arriving, waiting = first_passage.passage_mass(reached)
        return jnp.append(arriving, waiting)

    return statistic


@cache
def _paths(structure: Structure) -> Callable[..., dict[str, Array]]:
    """Return the compiled function (values, uniform numbers, shared) -> paths of some draws."""

    def paths(values: Array, u: Array, shared: Shared) -> dict[str, Array]:
        number = _named(structure, values, shared)
        world = _world(structure, number, shared)
        years = shared.years_from_now
        reached = _reached(structure, world, shared)
        _, waiting = first_passage.passage_mass(reached)
        since = shared.display_years_since_reference[None]

        def gain(name: str) -> Array:
            fields = (*_GROWTH, "ceiling_oom")
            shown = Gain(*(number[f"{name}.{field}"][None] for field in fields))
            return gain_oom(shown, since, years, world.sharpness)[0]

        physical = log10_physical_compute(world, years, by_spending=structure.by_spending)
        algorithms, post_training = gain("algorithmic_progress"), gain("post_training")
        found = {
            "log10_physical_compute": physical,
            "algorithmic_progress": algorithms,
            "post_training_gains": post_training,
            "log10_effective_compute": physical + algorithms + post_training,
            "arrival_year": first_passage.first_passage_year(
                reached, reached[0] + u * waiting, years
            ),
            "weight": waiting,
        }
        if {"training_compute", "spending"} <= set(structure.trends):
            found["log10_physical_compute_alternative"] = log10_physical_compute(
                world, years, by_spending=not structure.by_spending
            )
        return found

    return jax.jit(jax.vmap(paths, in_axes=(0, 0, None)))


# Labels


def _timeline(years: np.ndarray, means: np.ndarray) -> xr.Dataset:
    """Return the distribution of the arrival year from the means of each replicate.

    means: (replicate, year + 1), mass arriving by each year, then the mass not yet arrived now.
    """
    replicates = means[:, :-1] / means[:, -1:]
    cdf = means[:, :-1].mean(axis=0) / means[:, -1].mean()
    # Monotone up to rounding; the last digits must not make it fall.
    cdf = np.maximum.accumulate(np.clip(cdf, 0, 1))
    error = replicates.std(axis=0, ddof=1) / np.sqrt(len(means))
    quantile, quantile_error = _quantiles(years, cdf, error)
    return xr.Dataset(
        {
            "arrival_cdf": ("year", cdf),
            "arrival_cdf_mcse": ("year", error),
            "arrival_cdf_replicates": (("replicate", "year"), replicates),
            "arrival_year_quantile": ("quantile", quantile),
            "arrival_year_quantile_mcse": ("quantile", quantile_error),
            "p_never_by_horizon": ((), 1 - cdf[-1]),
            "p_never_by_horizon_mcse": ((), error[-1]),
        },
        coords={"year": years, "quantile": list(QUANTILES)},
    )


def _quantiles(
    years: np.ndarray, cdf: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return arrival years at `QUANTILES`, +inf if beyond the horizon, and their errors.

    The distribution is interpolated monotonically (PCHIP) between years; the error of a quantile
    is the error of the probability there over the density.
    """
    fine = np.linspace(years[0], years[-1], 50 * len(years))
    smooth = PchipInterpolator(years, cdf)
    values = np.maximum.accumulate(smooth(fine))
    wanted = np.array(QUANTILES)
    reached = wanted <= values[-1]
    at = np.interp(wanted, values, fine)
    density = np.maximum(smooth.derivative()(at), 1e-12)
    with np.errstate(invalid="ignore"):
        spread = np.interp(at, years, error) / density
    return np.where(reached, at, np.inf), np.where(reached, spread, np.nan)


def _trajectories(problem: Problem, values: Array, scenario: Scenario) -> xr.Dataset:
    """Return the paths of some draws; values: (sample, input)."""
    key = jax.random.fold_in(jax.random.key(scenario.seed), 1)
    u = jax.random.uniform(key, (len(values),), dtype=values.dtype)
    paths = _paths(problem.structure)(values, u, problem.shared)
    names = [*problem.structure.uncertain, *problem.structure.columns]
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
            prefix |= {d: f"{name}_{d}" for d in dataset.dims if d not in DIMENSIONS}
            renamed = dataset.rename(prefix)
            target = "history" if group == "trend" else group
            groups[target] = xr.merge([groups[target], renamed]) if target in groups else renamed
    groups.pop("forecast", None)
    return groups


def _prior_group(problem: Problem, values: np.ndarray, tree: xr.DataTree) -> xr.Dataset:
    """Return prior draws: of the fitted models, and of the inputs that no record informs."""
    prior = tree["prior"].to_dataset() if "prior" in tree.children else xr.Dataset()
    count = min(len(values), prior.sizes.get("draw", len(values)))
    own = {
        name.replace(".", "_"): (("chain", "draw"), values[None, :count, i])
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
        "random_numbers": "Joe-Kuo Sobol', scrambled with threefry2x32",
        "algorithms_year": scenario.requirement.algorithms_year,
        "verdict": verdict.verdict,
        "verdict_reasons": json.dumps(verdict.reasons),
        "fits": json.dumps({name: _fit_summary(tree) for name, tree in fits.items()}),
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
    return {"verdict": tree.attrs["verdict"], "sampler": tree.attrs["sampler"], "q05_50_95": levels}
