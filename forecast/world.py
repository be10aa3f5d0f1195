"""One draw of a scenario: from its inputs to a world, a path and the mass that has arrived."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..kernels import ensemble, first_passage
from ..kernels.compute_growth import Trend, growth_oom_per_year
from ..kernels.effective_compute import (
    Gain,
    World,
    gain_oom,
    log10_effective_compute,
    log10_physical_compute,
)
from ..kernels.requirement import mixture_cumulative

GROWTH = ("doubling_time_years", "long_run_doubling_time_years", "slowdown_half_life_years")


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


def _named(structure: Structure, values: Array, shared: Shared) -> dict[str, Array]:
    """Return the numbers of one draw by their dotted names."""
    drawn = zip((*structure.uncertain, *structure.columns), values, strict=True)
    return dict(drawn) | dict(zip(structure.fixed, shared.fixed, strict=True))


def _world(structure: Structure, number: dict[str, Array], shared: Shared) -> World:
    """Return the world of one draw."""

    def trend(name: str) -> Trend:
        growth = [number[f"{name}.{field}"] for field in GROWTH]
        age = number[f"{name}.level_age_years"]
        level = number[f"{name}.log10_level"] + growth_oom_per_year(growth[0]) * age
        return Trend(level, *growth)

    def gain(name: str) -> Gain:
        def of(path: str, field: str) -> Array:
            own = f"requirement.{path}.{field}"
            # The own doubling time of a component holds for good.
            use = own.replace("long_run_", "") if name == "algorithmic_progress" else ""
            return number[use] if use in number else number[f"{name}.{field}"]

        fields = (*GROWTH, "ceiling_oom")
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
def passage_statistic(structure: Structure) -> ensemble.Statistic:
    """Return the statistic of a draw: mass arriving by each year, then the mass not yet arrived."""

    def statistic(values: Array, shared: Shared) -> Array:
        world = _world(structure, _named(structure, values, shared), shared)
        reached = _reached(structure, world, shared)
        arriving, waiting = first_passage.passage_mass(reached)
        return jnp.append(arriving, waiting)

    return statistic


@cache
def path_function(structure: Structure) -> Callable[..., dict[str, Array]]:
    """Return the compiled function (values, uniform numbers, shared) -> paths of some draws."""

    def paths(values: Array, u: Array, shared: Shared) -> dict[str, Array]:
        number = _named(structure, values, shared)
        world = _world(structure, number, shared)
        years = shared.years_from_now
        reached = _reached(structure, world, shared)
        _, waiting = first_passage.passage_mass(reached)
        since = shared.display_years_since_reference[None]

        def gain(name: str) -> Array:
            fields = (*GROWTH, "ceiling_oom")
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
