"""One training run: performance against compute, by one of several families of curves.

A run is written in its own units: ln compute and performance both from -1 to 1. Residuals are
Student-t and hang together along the run (an Ornstein-Uhlenbeck process in log compute, each point
given the one before), so that a hundred points of one smooth run do not count as independent.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from ...kernels import learning_curves as curves
from ...priors.elicitation import Interval, distribution
from ...priors.prior_sets import load_prior_set
from .trend import MOST_DEGREES_OF_FREEDOM

FEWEST_POINTS = 8
LEAST_STEP_OOM = 0.05
SCORE_FAMILIES = ("power", "saturating", "logistic", "broken", "changepoint")
LOSS_FAMILIES = ("power", "power_floor", "logistic", "broken", "changepoint")
_FAR_OOM = 1e3  # no point before: nothing is kept of a residual
_CORNER = 0.1  # of half a run: corners sharper than the points tell would make densities with cusps
# About where a curve may turn: several, because a run may fit it in several places.
_PLACES = {"broken": np.linspace(-0.9, 0.9, 5), "changepoint": np.linspace(-1.8, 0.8, 5)}
Priors = Mapping[str, Mapping[str, Interval]]


class Run(NamedTuple):
    """A run in its own units.

    log_flop, performance: (point,), from -1 to 1, in order of compute
    step_oom: (point,), log10 of compute over that of the point before, vast for the first
    middle, half: of ln compute and of performance, (lowest + highest) / 2 and half of their span
    """

    log_flop: np.ndarray
    performance: np.ndarray
    step_oom: np.ndarray
    middle: tuple[float, float]
    half: tuple[float, float]


def default_priors() -> dict[str, dict[str, Interval]]:
    """Return the priors of the set ``learning-curves``, family -> constant; sources in its file."""
    return {
        family: {name: _interval(**entry) for name, entry in section.items()}
        for family, section in load_prior_set("learning-curves").items()
    }


def _interval(source: str, mass: float = 0.9, **pair: tuple[float, float]) -> Interval:
    ((kind, (low, high)),) = pair.items()
    return Interval(kind, low, high, mass)


def observations(flop: np.ndarray, performance: np.ndarray) -> Run:
    """Return a run, thinned: of points less than 0.05 orders of magnitude apart the first stays.

    flop, performance: (point,), in any order; performance rises (for losses, minus their log).
    Raises ``ValueError`` for compute that is not positive, performance that is not finite or never
    varies, or fewer than 8 points.
    """
    flop, performance = np.asarray(flop, dtype=float), np.asarray(performance, dtype=float)
    check(flop, performance)
    order = np.argsort(flop, kind="stable")
    kept = order[apart(np.log10(flop[order]), LEAST_STEP_OOM)]
    if len(kept) < FEWEST_POINTS:
        raise ValueError(
            f"run: got {len(kept)} points that are {LEAST_STEP_OOM} orders of magnitude of compute "
            f"apart, expected at least {FEWEST_POINTS}"
        )
    log_flop, score = np.log(flop[kept]), performance[kept]
    if np.ptp(score) == 0:
        raise ValueError(f"performance: got {score[0]:g} throughout, expected it to vary")
    (x, *about_x), (y, *about_y) = _standardised(log_flop), _standardised(score)
    step = np.append(_FAR_OOM, np.diff(log_flop) / curves.LOG_10)
    return Run(x, y, step, (about_x[0], about_y[0]), (about_x[1], about_y[1]))


def check(flop: np.ndarray, performance: np.ndarray) -> None:
    """Raise ``ValueError`` unless compute is positive and performance finite."""
    wrong = ~(np.isfinite(flop) & (flop > 0))
    if wrong.any():
        raise ValueError(f"training_compute_flop: got {flop[wrong][0]:g}, expected positive FLOP")
    wrong = ~np.isfinite(performance)
    if wrong.any():
        raise ValueError(f"performance: got {performance[wrong][0]:g}, expected finite numbers")


def apart(log10_flop: np.ndarray, step_oom: float) -> list[int]:
    """Return which points stay of a rising sequence so that none are closer than a step."""
    kept = [0]
    for i in range(1, len(log10_flop)):
        if log10_flop[i] - log10_flop[kept[-1]] >= step_oom * (1 - 1e-3):
            kept.append(i)
    return kept


def _standardised(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    middle, half = (values.max() + values.min()) / 2, np.ptp(values) / 2
    return (values - middle) / half, float(middle), float(half)


def nodes(run: Run, family: str) -> np.ndarray:
    """Return the nodes of a fit, (node, ...): the run itself, and about where it may bend.

    The run enters as a node and not as data so that a program compiled once serves every run of as
    many points.
    """
    about = _PLACES.get(family, np.zeros(1))
    data = np.concatenate([run.half[1:], run.log_flop, run.performance, run.step_oom])
    return np.column_stack([about, np.tile(data, (len(about), 1))])


def model(*, family: str, priors: Priors, node: Array) -> None:
    """NumPyro model of one run, in its own units; node: one of `nodes`.

    Sites: the constants of the family, as in the prior set; residual_scale (of the whole scatter
    about the curve), degrees_of_freedom, correlation_length_oom.
    """
    log_flop, performance, step_oom = node[2:].reshape(3, -1)
    given = {name: numpyro.sample(name, distribution(*p)) for name, p in priors[family].items()}
    shared = {name: numpyro.sample(name, distribution(*p)) for name, p in priors["shared"].items()}
    for name in ("bend", "start"):
        if f"{name}_offset" in given:
            given[name] = numpyro.deterministic(name, node[0] + given[f"{name}_offset"])
    fitted = curves.performance(curve(family, given, half_performance=node[1]), log_flop)
    kept = jnp.exp(-step_oom / shared["correlation_length_oom"])
    before = jnp.append(0.0, (performance - fitted)[:-1])
    scale = shared["residual_scale"] * jnp.sqrt(1 - kept**2)
    freedom = jnp.minimum(shared["degrees_of_freedom"], MOST_DEGREES_OF_FREEDOM)
    numpyro.sample(
        "performance", dist.StudentT(freedom, fitted + kept * before, scale), obs=performance
    )


def curve(family: str, given: Mapping[str, Any], *, half_performance: Any) -> curves.Curve:
    """Return the curve, in the run's units, of a family's sampled constants.

    `power_floor` alone needs to know how many nats of log loss the run spans.
    Raises ``ValueError`` if there is no such family.
    """
    if family == "power":
        return curves.Power(given["level"], given["slope"])
    if family == "power_floor":
        nat, odds = 1 / half_performance, given["log_odds_irreducible"]
        rate = given["slope"] * (1 + jnp.exp(odds)) / nat  # of the reducible part alone
        return curves.PowerFloor(
            given["level"] + nat * jnp.log1p(jnp.exp(-odds)), -odds / rate, rate, nat
        )
    if family == "saturating":
        return curves.Saturating(given["level"] + given["gap"], given["gap"], 0.0, given["rate"])
    if family == "logistic":
        return curves.Logistic(given["floor"], given["rise"], given["middle"], given["rate"])
    if family == "changepoint":
        # Where the run is all incline, its line is known and the rest is not: sampled apart.
        floor = given["level"] + given["slope"] * given["start"]
        rise = given["slope"] * given["length"]
        return curves.Changepoint(floor, rise, given["start"], given["length"], _CORNER)
    if family == "broken":
        bent = curves.Broken(0.0, *(given[name] for name in curves.Broken._fields[1:]))
        return bent._replace(level=given["level"] - curves.broken(bent, 0.0))
    raise ValueError(f"family: got {family!r}, expected one of {SCORE_FAMILIES + LOSS_FAMILIES}")


def physical(found: curves.Curve, run: Run) -> curves.Curve:
    """Return a curve in ln FLOP and units of performance, from one in the run's units."""
    (half_x, half_y), (middle_x, middle_y) = run.half, run.middle
    scales = {
        **dict.fromkeys(("level", "ceiling", "floor"), (middle_y, half_y)),
        **dict.fromkeys(("middle", "bend", "start"), (middle_x, half_x)),
        **dict.fromkeys(("gap", "rise", "nat"), (0.0, half_y)),
        **dict.fromkeys(("length", "width"), (0.0, half_x)),
        **dict.fromkeys(("slope", "slope_after"), (0.0, half_y / half_x)),
        "rate": (0.0, 1 / half_x),
    }
    moved = {
        name: scales[name][0] + scales[name][1] * np.asarray(value)
        for name, value in found._asdict().items()
    }
    if isinstance(found, curves.Power):  # its level is at ln C = 0
        moved["level"] = moved["level"] - moved["slope"] * middle_x
    return type(found)(**moved)
