"""One draw of a scenario: from its inputs to a world, a path and the mass that has arrived."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtr

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
from ..kernels.elementary import exp, log
from ..kernels.requirement import mixture_cumulative, quantile
from ..kernels.scaling_laws import Chinchilla, chinchilla_frontier, chinchilla_optimum
from .compiled import quickly

_LN_10 = 2.302585092994046
GROWTH = ("doubling_time_years", "long_run_doubling_time_years", "slowdown_half_life_years")


@dataclass(frozen=True)
class Structure:
    """What a forecast's compiled program depends on; all else is data, and does not recompile.

    direction: inputs that span a direction which is integrated out in place of the requirement
    """

    columns: tuple[str, ...]
    uncertain: tuple[str, ...]
    fixed: tuple[str, ...]
    trends: tuple[str, ...]
    resources: tuple[str, ...]
    kinds: tuple[str, ...]
    path_of_component: tuple[int, ...]
    paths: tuple[str, ...]
    by_spending: bool
    direction: tuple[str, ...] = ()


class Direction(NamedTuple):
    """Lines through the standard normal inputs, along which effective compute rises: one a year.

    years_from_now: (year,)
    along: (year, 1 + input), rows of length 1; the first is the quantile of the requirement
    location, scale, is_log: (input,), as in `ensemble.Inputs`, of `Structure.direction`
    """

    years_from_now: Array
    along: Array
    location: Array
    scale: Array
    is_log: Array


class Shared(NamedTuple):
    """What all draws share.

    fixed: (number,); weights: (component,); parameters: (component, 3)
    years_since_reference: (path,), now minus the year of the algorithms the FLOP are counted in;
        components with the same year and algorithmic progress share a path of effective compute
    display_years_since_reference: scalar, the same for the path that is shown
    direction: that is integrated out, if any is
    """

    fixed: Array
    weights: Array
    parameters: Array
    years_since_reference: Array
    display_years_since_reference: Array
    direction: Direction


def _named(structure: Structure, values: Iterable[Array], shared: Shared) -> dict[str, Array]:
    """Return the numbers of one draw by their dotted names."""
    drawn = zip((*structure.columns, *structure.uncertain), _each(values), strict=True)
    return dict(drawn) | dict(zip(structure.fixed, _each(shared.fixed), strict=True))


def _each(values: Iterable[Array]) -> Iterable[Any]:
    """Return the elements of an array, by one step of tracing for all of them."""
    return jnp.unstack(values) if isinstance(values, Array) else values


def _world(structure: Structure, number: dict[str, Array]) -> World:
    """Return the world of one draw."""

    def trend(name: str) -> Trend:
        growth = [number[f"{name}.{field}"] for field in GROWTH]
        age = number[f"{name}.level_age_years"]
        level = number[f"{name}.log10_level"] + growth_oom_per_year(growth[0]) * age
        return Trend(level, *growth)

    present = {name: trend(name) for name in structure.trends}
    missing = present["price_performance"]
    common = _gain(number, "algorithmic_progress")
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
        algorithmic_progress=tuple(_progress(number, common, path) for path in structure.paths),
        post_training=_gain(number, "post_training"),
        sharpness=number["limits.sharpness"],
    )


def _gain(number: dict[str, Array], name: str) -> Gain:
    return Gain(*(number[f"{name}.{field}"] for field in Gain._fields))


def _progress(number: dict[str, Array], common: Gain, component: str) -> Gain:
    """Return algorithmic progress, or what a component of the requirement has of its own."""
    doubling = number.get(f"requirement.{component}.doubling_time_years")
    ceiling = number.get(f"requirement.{component}.ceiling_oom")
    if doubling is not None:  # of its own, for good
        common = common._replace(
            doubling_time_years=doubling, long_run_doubling_time_years=doubling
        )
    return common if ceiling is None else common._replace(ceiling_oom=ceiling)


def _paths(
    structure: Structure, values: Iterable[Array], shared: Shared, years_from_now: Array
) -> tuple[Array, ...]:
    """Return E(t) of one draw for each kind of algorithms."""
    return _paths_of(structure, _named(structure, values, shared), shared, years_from_now)


def _paths_of(
    structure: Structure, number: dict[str, Array], shared: Shared, years_from_now: Array
) -> tuple[Array, ...]:
    world = _world(structure, number)
    since = shared.years_since_reference
    return log10_effective_compute(world, since, years_from_now, by_spending=structure.by_spending)


def scaling_law(number: Mapping[str, Array]) -> Chinchilla:
    """Return the law of training loss of one draw."""
    return Chinchilla(*(number[f"scaling_law.{name}"] for name in Chinchilla._fields))


def _requirement(
    structure: Structure, number: Mapping[str, Array], shared: Shared
) -> tuple[tuple[str, ...], list[Sequence[Array]]]:
    """Return (kind, parameters) of each component in a world.

    A reducible loss on the compute-optimal frontier is a power of compute, so that a lognormal one
    is a normal requirement in log10 FLOP, with the law's constants of the draw.
    """
    kinds, parameters = list(structure.kinds), list[Sequence[Array]](_each(shared.parameters))
    for k in [k for k, kind in enumerate(kinds) if kind == "reducible_loss"]:
        frontier = chinchilla_frontier(scaling_law(number))
        mean, deviation, _ = parameters[k]
        above = frontier.log_constant / _LN_10 - mean
        slope = 1 / frontier.exponent
        kinds[k], parameters[k] = "normal", (above * slope, deviation * slope, deviation)
    return tuple(kinds), parameters


def _reached(
    structure: Structure, values: Iterable[Array], shared: Shared, years_from_now: Array
) -> Array:
    """Return F_R(E(t)), the probability that the milestone has been reached in a world by t."""
    number = _named(structure, values, shared)
    paths = _paths_of(structure, number, shared, years_from_now)
    of_component = [paths[i] for i in structure.path_of_component]
    kinds, parameters = _requirement(structure, number, shared)
    return mixture_cumulative(kinds, shared.weights, parameters, of_component)


@cache
def passage_curve(structure: Structure) -> ensemble.Curve:
    """Return the curve of a draw: the mass that has arrived by a year."""

    def curve(values: Array, shared: Shared, years_from_now: Array) -> Array:
        return _reached(structure, values, shared, years_from_now)

    return _by_direction(structure) if structure.direction else curve


@cache
def paths_curve(structure: Structure) -> Callable[[Array, Shared, Array], Array]:
    """Return the function of a draw: log10 effective compute of each path in a year, (path,)."""

    def paths(values: Array, shared: Shared, years_from_now: Array) -> Array:
        return jnp.stack(_paths(structure, values, shared, years_from_now))

    return paths


def mean_path(structure: Structure, values: Array, shared: Shared, years_from_now: Array) -> Array:
    """Return effective compute [log10 FLOP] as the components of the requirement count it."""
    paths = paths_curve(structure)(values, shared, years_from_now)
    of_component = paths[jnp.asarray(structure.path_of_component)]
    return shared.weights @ of_component / jnp.sum(shared.weights)


@cache
def arrival_index(structure: Structure) -> Callable[[Array, Shared, Array], Array]:
    """Return the function of a draw: the index of the year by which it has arrived.

    The last two inputs draw the component of the requirement, uniform, and its quantile, normal.
    Years are consecutive from the second on; an index beyond them is "never by the horizon".
    """

    def index(values: Array, shared: Shared, years_from_now: Array) -> Array:
        choice, z = values[-2], values[-1]
        bounds = jnp.cumsum(shared.weights)
        number = _named(structure, values[:-2], shared)
        world, since = _world(structure, number), shared.years_since_reference
        kinds, parameters = _requirement(structure, number, shared)

        def component(k: int) -> tuple[Array, Gain, Array]:
            path = structure.path_of_component[k]
            required = quantile(kinds[k], parameters[k], z)
            return required, world.algorithmic_progress[path], since[path]

        drawn = jnp.full_like(z, jnp.inf), *component(0)[1:]
        for k in reversed(range(len(kinds))):
            drawn = jax.tree.map(partial(jnp.where, choice < bounds[k]), component(k), drawn)
        required, progress, own_since = drawn
        world = world._replace(algorithmic_progress=(progress,))

        def reached(k: Array) -> Array:
            year = jnp.where(k == 0, 0, years_from_now[1] + (k - 1))
            by = structure.by_spending
            (level,) = log10_effective_compute(world, own_since[None], year, by_spending=by)
            return level >= required

        return first_passage.first_passage_index(reached, years_from_now.shape[0])

    return index


_BISECTIONS = 9  # what is left of a draw's z is within 0.013, and averages out
_MOST_Z = 6.5  # standard deviations


def _by_direction(structure: Structure) -> ensemble.Curve:
    """Return the curve of a draw with a direction integrated out, not the requirement.

    For a narrow requirement, integrating it out leaves a jump. Instead, inputs and requirement move
    along a line, and what has arrived by t is the part of the line's normal distribution beyond the
    point at which effective compute reaches the requirement (pre-integration along an active
    direction: Liu & Owen 2023, "Preintegration via active subspace").
    """
    names = (*structure.columns, *structure.uncertain)
    places = [names.index(name) for name in structure.direction]

    def curve(values: Array, shared: Shared, years_from_now: Array) -> Array:
        line, given = shared.direction, list(values)
        own = jnp.stack([given[place] for place in places])
        base = (jnp.where(line.is_log, log(own), own) - line.location) / line.scale
        along = line.along[jnp.argmin(jnp.abs(line.years_from_now - years_from_now))]
        # A reflection turns the first axis, which no draw needs any more, into the direction.
        mirror = along.at[0].add(-1)
        beside = jnp.concatenate([jnp.zeros(1, base.dtype), base])
        beside = beside - mirror * (mirror @ beside) * (2 / (mirror @ mirror))

        def excess(s: Array, component: int) -> Array:
            # Input by input and not as an array: so it stays one loop over the draws.
            z = [start + s * slope for start, slope in zip(beside, along, strict=True)]
            moved = list(given)
            for i, place in enumerate(places):
                value = line.location[i] + line.scale[i] * z[i + 1]
                moved[place] = jnp.where(line.is_log[i], exp(value), value)
            number = _named(structure, moved, shared)
            path = _paths_of(structure, number, shared, years_from_now)
            kinds, parameters = _requirement(structure, number, shared)
            required = quantile(kinds[component], parameters[component], z[0])
            return path[structure.path_of_component[component]] - required

        parts = [
            shared.weights[k] * _part_above_zero(partial(excess, component=k), base.dtype)
            for k in range(len(structure.kinds))
        ]
        return sum(parts[1:], parts[0])

    return curve


def _part_above_zero(rising: Callable[[Array], Array], dtype: Any) -> Array:
    """Return P(rising(z) > 0) for standard normal z, by bisection."""
    width = 2 * _MOST_Z * 0.5 ** jnp.arange(1, _BISECTIONS + 1, dtype=dtype)

    # One number is carried, because XLA would compute the path anew for each.
    def halve(k: Array, low: Array) -> Array:
        middle = low + width[k]
        return jnp.where(rising(middle) < 0, middle, low)

    low = jax.lax.fori_loop(0, _BISECTIONS, halve, jnp.full((), -_MOST_Z, dtype))
    # The middle of what is left: off by little, and as often too high as too low.
    return ndtr(-(low + 0.5 * width[-1]))


@cache
def path_function(structure: Structure) -> Callable[..., dict[str, Array]]:
    """Return the compiled function (values, uniform, shared, years) -> paths of some draws."""

    def paths(values: Array, u: Array, shared: Shared, years: Array) -> dict[str, Array]:
        number = _named(structure, values, shared)
        world = _world(structure, number)
        reached = _reached(structure, values, shared, years)
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
        if "scaling_law.irreducible_loss" in number:
            best = chinchilla_optimum(scaling_law(number), physical * _LN_10)
            found["log10_parameters"] = best.log_parameters / _LN_10
            found["log10_training_tokens"] = best.log_tokens / _LN_10
        if {"training_compute", "spending"} <= set(structure.trends):
            found["log10_physical_compute_alternative"] = log10_physical_compute(
                world, years, by_spending=not structure.by_spending
            )
        return found

    # Called once a forecast.
    every = jax.vmap(paths, in_axes=(0, 0, None, None))
    return jax.jit(every, compiler_options=quickly())
