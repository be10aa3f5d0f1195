"""One draw of a scenario: from its inputs to a world, a path and the mass that has arrived."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
from jax import Array

from ..kernels import ensemble, first_passage
from ..kernels.compute_growth import Trend, growth_oom_per_year
from ..kernels.effective_compute import (
    Gain,
    ResourceLimit,
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

    columns: tuple[str, ...]
    uncertain: tuple[str, ...]
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
    """

    fixed: Array
    weights: Array
    parameters: Array
    years_since_reference: Array
    display_years_since_reference: Array


def _named(structure: Structure, values: Array, shared: Shared) -> dict[str, Array]:
    """Return the numbers of one draw by their dotted names."""
    drawn = zip((*structure.columns, *structure.uncertain), values, strict=True)
    return dict(drawn) | dict(zip(structure.fixed, shared.fixed, strict=True))


def _world(structure: Structure, number: dict[str, Array]) -> World:
    """Return the world of one draw."""

    def trend(name: str) -> Trend:
        growth = [number[f"{name}.{field}"] for field in GROWTH]
        age = number[f"{name}.level_age_years"]
        level = number[f"{name}.log10_level"] + growth_oom_per_year(growth[0]) * age
        return Trend(level, *growth)

    present = {name: trend(name) for name in structure.trends}
    missing = present["price_performance"]
    return World(
        training_compute=present.get("training_compute", missing),
        spending=present.get("spending", missing),
        price_performance=present["price_performance"],
        log10_price_performance_ceiling=number["price_performance.log10_ceiling"],
        gross_product=present["gross_product"],
        log10_spending_share=number["limits.log10_spending_share"],
        resource_limits=tuple(
            ResourceLimit(*(number[f"limits.{name}.{field}"] for field in ResourceLimit._fields))
            for name in structure.resources
        ),
        algorithmic_progress=tuple(_progress(number, path) for path in structure.paths),
        post_training=_gain(number, "post_training"),
        sharpness=number["limits.sharpness"],
    )


def _gain(number: dict[str, Array], name: str) -> Gain:
    return Gain(*(number[f"{name}.{field}"] for field in Gain._fields))


def _progress(number: dict[str, Array], component: str) -> Gain:
    """Return algorithmic progress, or what a component of the requirement has of its own."""
    common = _gain(number, "algorithmic_progress")
    doubling = number.get(f"requirement.{component}.doubling_time_years")
    if doubling is not None:  # of its own, for good
        common = common._replace(
            doubling_time_years=doubling, long_run_doubling_time_years=doubling
        )
    ceiling = number.get(f"requirement.{component}.ceiling_oom", common.ceiling_oom)
    return common._replace(ceiling_oom=ceiling)


def _reached(structure: Structure, world: World, shared: Shared, years_from_now: Array) -> Array:
    """Return F_R(E(t)), the probability that the milestone has been reached in a world by t."""
    paths = log10_effective_compute(
        world, shared.years_since_reference, years_from_now, by_spending=structure.by_spending
    )
    of_component = [paths[i] for i in structure.path_of_component]
    return mixture_cumulative(structure.kinds, shared.weights, shared.parameters, of_component)


@cache
def passage_curve(structure: Structure) -> ensemble.Curve:
    """Return the curve of a draw: the mass that has arrived by a year."""

    def curve(values: Array, shared: Shared, years_from_now: Array) -> Array:
        world = _world(structure, _named(structure, values, shared))
        return _reached(structure, world, shared, years_from_now)

    return curve


@cache
def path_function(structure: Structure) -> Callable[..., dict[str, Array]]:
    """Return the compiled function (values, uniform, shared, years) -> paths of some draws."""

    def paths(values: Array, u: Array, shared: Shared, years: Array) -> dict[str, Array]:
        number = _named(structure, values, shared)
        world = _world(structure, number)
        reached = _reached(structure, world, shared, years)
        _, waiting = first_passage.passage_mass(reached)

        def gain(name: str) -> Array:
            since = shared.display_years_since_reference
            return gain_oom(_gain(number, name), since, years, world.sharpness)

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

    return jax.jit(jax.vmap(paths, in_axes=(0, 0, None, None)))
