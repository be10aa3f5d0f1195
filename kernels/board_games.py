"""Playing strength by training compute: Jones (2021, arXiv 2104.03113), Hex on small boards.

Elo relative to perfect play, natural logarithms of FLOP, elementwise. The law is of the best agent
for a compute, over all sizes of network; the curve of a single network flattens below it.
"""

from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

ELO_PER_LOG_ODDS = 400 / log(10)


class BoardGame(NamedTuple):
    """Elo = min(0, max(plateau, incline)) at board size b (Jones 2021).

    incline = incline_by_log_flop ln C + incline_by_size b + incline_constant: learning;
    plateau = plateau_by_size b + plateau_constant: no better than random
    """

    incline_by_log_flop: ArrayLike
    incline_by_size: ArrayLike
    incline_constant: ArrayLike
    plateau_by_size: ArrayLike
    plateau_constant: ArrayLike


def plateau(law: BoardGame, size: ArrayLike) -> Array:
    """Return the Elo of an agent that has learnt nothing."""
    return jnp.asarray(size) * law.plateau_by_size + law.plateau_constant


def elo(law: BoardGame, log_flop: ArrayLike, size: ArrayLike) -> Array:
    """Return the Elo, at most 0, of the best agent of a training compute."""
    incline = law.incline_by_log_flop * jnp.asarray(log_flop)
    incline = incline + law.incline_by_size * jnp.asarray(size) + law.incline_constant
    return jnp.minimum(0, jnp.maximum(plateau(law, size), incline))


def log_flop_at_elo(law: BoardGame, elo: ArrayLike, size: ArrayLike) -> Array:
    """Return ln C of the cheapest agent of at least this Elo; inf above perfect play.

    0 Elo is perfect play. -inf at or below the plateau, which takes no compute.
    """
    wanted = jnp.asarray(elo) - law.incline_by_size * jnp.asarray(size) - law.incline_constant
    found = jnp.where(elo > plateau(law, size), wanted / law.incline_by_log_flop, -jnp.inf)
    return jnp.where(jnp.asarray(elo) > 0, jnp.inf, found)


def log_takeoff_flop(law: BoardGame, size: ArrayLike) -> Array:
    """Return ln C at which learning begins, where the incline meets the plateau."""
    wanted = plateau(law, size) - law.incline_by_size * jnp.asarray(size) - law.incline_constant
    return wanted / law.incline_by_log_flop


def log_flop_ratio_of_sizes(law: BoardGame) -> Array:
    """Return ln of the compute for equal Elo, perfect play say, per board size more."""
    return -jnp.asarray(law.incline_by_size) / law.incline_by_log_flop


def elo_elasticity(law: BoardGame, log_flop: ArrayLike, size: ArrayLike) -> Array:
    """Return d Elo / d ln C: the slope on the incline, 0 on the plateau and at perfect play."""
    value = elo(law, log_flop, size)
    inclined = (value > plateau(law, size)) & (value < 0)
    return jnp.where(inclined, law.incline_by_log_flop, 0.0)


def win_probability(elo_difference: ArrayLike) -> Array:
    """Return the probability to beat an opponent who is weaker by this difference."""
    return jax.nn.sigmoid(jnp.asarray(elo_difference) / ELO_PER_LOG_ODDS)


def envelope(log_flop: Array, elo: Array, at_log_flop: ArrayLike) -> Array:
    """Return the best Elo seen at or below a compute; -inf where nothing is that cheap.

    log_flop, elo: (point,), of runs of any sizes of network, in any order
    """
    order = jnp.argsort(log_flop)
    best = jax.lax.cummax(elo[order])
    last = jnp.searchsorted(log_flop[order], jnp.asarray(at_log_flop), side="right") - 1
    return jnp.where(last >= 0, best[last], -jnp.inf)


class Exchange(NamedTuple):
    """ln(test FLOP) = by_log_training_flop ln(training FLOP) + by_elo Elo + constant, at one Elo.

    Jones 2021: compute of training against that of search at test time.
    """

    by_log_training_flop: ArrayLike
    by_elo: ArrayLike
    constant: ArrayLike


def log_test_flop(law: Exchange, log_training_flop: ArrayLike, elo: ArrayLike) -> Array:
    """Return ln of the search compute a move with which a trained agent reaches an Elo."""
    by_training = jnp.asarray(log_training_flop) * law.by_log_training_flop
    return by_training + jnp.asarray(elo) * law.by_elo + law.constant


def log_training_flop_for(law: Exchange, log_test_flop: ArrayLike, elo: ArrayLike) -> Array:
    """Return ln of the training compute with which search of this compute reaches an Elo."""
    left = jnp.asarray(log_test_flop) - law.by_elo * jnp.asarray(elo) - law.constant
    return left / law.by_log_training_flop
