"""Curves of performance against compute, elementwise: straight, bending and flat at the end.

Performance rises: an Elo rating or other score, or minus the natural logarithm of a loss, so that a
power law of the loss is a straight line. Compute enters as its natural logarithm. Constants and
arguments broadcast against each other.
"""

from collections.abc import Callable
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .solve import root

LOG_10 = log(10)
_FARTHEST = 60 * LOG_10  # beyond the last compute, where looking for a plateau ends


class Power(NamedTuple):
    """level + slope x ln C: a power law of the loss, or Elo linear in log compute."""

    level: ArrayLike
    slope: ArrayLike


class PowerFloor(NamedTuple):
    """-ln(E + A C^-rate): a power law of the loss, above a floor.

    ceiling: -ln E, what is approached; middle: ln C where E = A C^-rate; rate: the exponent;
    nat: one nat of log loss in units of performance
    """

    ceiling: ArrayLike
    middle: ArrayLike
    rate: ArrayLike
    nat: ArrayLike = 1.0


class Saturating(NamedTuple):
    """ceiling - (ceiling - p0) C^-rate: a score that falls short of a ceiling by a power law.

    gap: ceiling - p0, how far it falls short at ln C = middle
    """

    ceiling: ArrayLike
    gap: ArrayLike
    middle: ArrayLike
    rate: ArrayLike


class Logistic(NamedTuple):
    """From a floor to floor + rise, halfway at ln C = middle, logistic in rate x ln C."""

    floor: ArrayLike
    rise: ArrayLike
    middle: ArrayLike
    rate: ArrayLike


class Broken(NamedTuple):
    """A straight line with one smooth bend (Caballero et al. 2023, arXiv 2210.14891, one break).

    level: where both lines meet, at ln C = bend; width: of the bend, in ln C
    """

    level: ArrayLike
    slope: ArrayLike
    slope_after: ArrayLike
    bend: ArrayLike
    width: ArrayLike


class Changepoint(NamedTuple):
    """min(ceiling, max(floor, incline)) of Jones (2021, arXiv 2104.03113, section 4).

    start: ln C where the incline leaves the floor; length: of the incline, in ln C; width: over
    which its two corners are rounded, in ln C, 0 for the hard minimum and maximum
    """

    floor: ArrayLike
    rise: ArrayLike
    start: ArrayLike
    length: ArrayLike
    width: ArrayLike = 0.0


Curve = Power | PowerFloor | Saturating | Logistic | Broken | Changepoint


def power(curve: Power, log_flop: ArrayLike) -> Array:
    """Return performance on a straight line."""
    return jnp.asarray(curve.slope) * log_flop + curve.level


def power_floor(curve: PowerFloor, log_flop: ArrayLike) -> Array:
    """Return minus the log of a loss that falls to a floor."""
    beyond = jnp.asarray(curve.rate) * (log_flop - jnp.asarray(curve.middle))
    return jnp.asarray(curve.ceiling) - jnp.asarray(curve.nat) * jax.nn.softplus(-beyond)


def saturating(curve: Saturating, log_flop: ArrayLike) -> Array:
    """Return a score that approaches a ceiling by a power law."""
    beyond = jnp.asarray(curve.rate) * (log_flop - jnp.asarray(curve.middle))
    return jnp.asarray(curve.ceiling) - jnp.asarray(curve.gap) * jnp.exp(-beyond)


def logistic(curve: Logistic, log_flop: ArrayLike) -> Array:
    """Return performance on a logistic curve of log compute."""
    beyond = jnp.asarray(curve.rate) * (log_flop - jnp.asarray(curve.middle))
    return jnp.asarray(curve.floor) + jnp.asarray(curve.rise) * jax.nn.sigmoid(beyond)


def broken(curve: Broken, log_flop: ArrayLike) -> Array:
    """Return performance on a straight line with one smooth bend."""
    beyond = log_flop - jnp.asarray(curve.bend)
    bent = jnp.asarray(curve.width) * jax.nn.softplus(beyond / curve.width)
    return jnp.asarray(curve.slope) * (beyond - bent) + curve.slope_after * bent + curve.level


def changepoint(curve: Changepoint, log_flop: ArrayLike) -> Array:
    """Return performance on an incline between a floor and a ceiling."""
    beyond, length = log_flop - jnp.asarray(curve.start), jnp.asarray(curve.length)
    width = jnp.maximum(curve.width, 1e-9 * length)
    corners = jax.nn.softplus(beyond / width) - jax.nn.softplus((beyond - length) / width)
    return jnp.asarray(curve.floor) + curve.rise * (width / length) * corners


# Every family with its function.
FAMILIES: dict[type[Curve], Callable[..., Array]] = {
    Power: power,
    PowerFloor: power_floor,
    Saturating: saturating,
    Logistic: logistic,
    Broken: broken,
    Changepoint: changepoint,
}


def performance(curve: Curve, log_flop: ArrayLike) -> Array:
    """Return performance on a curve of any family."""
    return FAMILIES[type(curve)](curve, log_flop)


def gain_left(
    curve: Curve,
    log_flop: ArrayLike,
    log_factor: ArrayLike = LOG_10,
    limit: ArrayLike = jnp.inf,
) -> Array:
    """Return what exp(log_factor) times the compute adds to performance.

    limit: the best performance there can be, as perfect play, or a loss of nothing
    """
    later = jnp.asarray(log_flop) + log_factor
    now, then = (jnp.minimum(performance(curve, at), limit) for at in (log_flop, later))
    return jnp.subtract(then, now)


def log_flop_of_plateau(
    curve: Curve, log_flop: ArrayLike, noise: ArrayLike, limit: ArrayLike = jnp.inf
) -> Array:
    """Return ln C from ``log_flop`` on where the next tenfold compute gains less than ``noise``.

    ``log_flop`` itself where it does already (a floor before take-off included), inf where it never
    does within 60 orders of magnitude.
    """
    low = jnp.asarray(log_flop)

    def short_of_noise(at: Array) -> Array:
        return jnp.subtract(noise, gain_left(curve, at, limit=limit))

    shape = jnp.shape(short_of_noise(low))
    return root(
        short_of_noise, jnp.broadcast_to(low, shape), jnp.broadcast_to(low, shape) + _FARTHEST
    )
