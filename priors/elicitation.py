"""Distributions from intervals, exactly: the central interval holds the stated mass.

``lognormal`` and ``normal`` intervals are central with probability ``mass``;
``uniform`` and ``loguniform`` intervals hold everything.
"""

from math import isfinite, log
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from numpyro.distributions import Distribution

KINDS = ("normal", "lognormal", "uniform", "loguniform")
POSITIVE_KINDS = ("lognormal", "loguniform")


class Interval(NamedTuple):
    """A distribution as it was elicited: the interval [low, high] holds the given mass."""

    kind: str
    low: float
    high: float
    mass: float = 0.9


class LocationScale(NamedTuple):
    """A distribution as location + scale x base, base standard normal or uniform on (0, 1).

    is_log: the value is the exponential of that.
    """

    location: float
    scale: float
    is_uniform: bool
    is_log: bool


def check_interval(kind: str, low: float, high: float, mass: float) -> None:
    """Raise ``ValueError`` if the interval cannot define a distribution of this kind."""
    if kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")
    if not (isfinite(low) and isfinite(high)):
        raise ValueError(f"{kind}: got [{low}, {high}], expected finite numbers")
    if not low < high:
        raise ValueError(f"{kind}: got [{low}, {high}], expected the lower end first")
    if kind in POSITIVE_KINDS and low <= 0:
        raise ValueError(f"{kind}: got [{low}, {high}], expected positive numbers")
    if not 0.5 < 0.5 + mass / 2 < 1:  # in floating point: both tails have some mass
        raise ValueError(f"mass: got {mass}, expected a probability between 0 and 1")


def location_scale(kind: str, low: float, high: float, mass: float = 0.9) -> LocationScale:
    """Return the distribution whose central interval of probability ``mass`` is [low, high].

    Raises ``ValueError`` as `check_interval` does.
    """
    check_interval(kind, low, high, mass)
    is_log = kind in POSITIVE_KINDS
    bottom, top = (log(low), log(high)) if is_log else (low, high)
    if kind in ("uniform", "loguniform"):
        return LocationScale(bottom, top - bottom, True, is_log)
    z = NormalDist().inv_cdf(0.5 + mass / 2)
    return LocationScale((bottom + top) / 2, (top - bottom) / (2 * z), False, is_log)


def distribution(kind: str, low: float, high: float, mass: float = 0.9) -> "Distribution":
    """Return the same distribution for a NumPyro model."""
    import numpyro.distributions as dist

    location, scale, is_uniform, is_log = location_scale(kind, low, high, mass)
    if is_uniform:
        return dist.LogUniform(low, high) if is_log else dist.Uniform(low, high)
    return dist.LogNormal(location, scale) if is_log else dist.Normal(location, scale)
