"""First passage: when a path first reaches a requirement, and the distribution of that year.

The distribution of the requirement is integrated out: given a path, the milestone has been reached
by t with probability F_R(max over s <= t of E(s)), or F_R(E(t)) where no path declines (conditional
Monte Carlo; far less noisy than counting crossings). Conditioning on "not yet" divides by the mass
left now, draw by draw, so that worlds already ruled out lose weight.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def running_maximum(path: Array) -> Array:
    """Return max over s <= t of the path; the year is the last axis."""
    return jax.lax.cummax(path, axis=path.ndim - 1)


def passage_mass(reached: Array) -> tuple[Array, Array]:
    """Return (mass arriving after now and by t, mass not yet arrived now) of one draw.

    reached: (year,), F_R at the running maximum, first entry = now.
    """
    return reached - reached[0], 1 - reached[0]


def first_passage_year(path: Array, log10_requirement: Array, years: Array) -> Array:
    """Return the year at which ``path`` first reaches ``log10_requirement``; +inf if never.

    path, years: (year,). Linear between grid years; the first grid year if already reached there.
    """
    top = running_maximum(path)
    reached = top >= log10_requirement
    after = jnp.argmax(reached)
    before = jnp.maximum(after - 1, 0)
    rise = top[after] - top[before]
    share = jnp.where(rise > 0, (log10_requirement - top[before]) / jnp.where(rise > 0, rise, 1), 1)
    year = years[before] + jnp.clip(share, 0, 1) * (years[after] - years[before])
    return jnp.where(reached[-1], year, jnp.inf)


def first_passage_index(reached: Callable[[Array], Array], count: int) -> Array:
    """Return the first of ``count`` indices at which ``reached`` is true; ``count`` if none is.

    reached: (int32 index) -> bool, false up to some index and true from there on. Bisection: it is
    asked about log2(count) times, and no path is ever stored.
    """
    steps = jnp.asarray([2**k for k in reversed(range(count.bit_length()))], jnp.int32)

    def ahead(k: Array, before: Array) -> Array:
        """Return how many indices are known to lie before the passage."""
        further = before + steps[k]
        open_ = jnp.logical_not(reached(further - 1))
        return jnp.where((further <= count) & open_, further, before)

    return jax.lax.fori_loop(0, steps.size, ahead, jnp.int32(0))
