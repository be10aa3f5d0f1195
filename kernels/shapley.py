"""Exact Shapley values: a change divided among the causes that brought it about together.

The share of a cause is its contribution, averaged over all orders in which the causes may act
(Shapley 1953); all 2^n sets of causes are valued, so n is small. The shares add up to the change.
"""

from collections.abc import Callable
from itertools import combinations
from math import factorial

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

Value = Callable[[frozenset[int]], ArrayLike]


def shapley_values(value: Value, causes: int) -> Array:
    """Return the contribution of each cause, (cause, ...), in the unit of the value.

    value: of the outcome when the causes of a set, numbered from 0, have acted and no other
    Raises ``ValueError`` for fewer than one cause.
    """
    if causes < 1:
        raise ValueError(f"causes: got {causes}, expected at least 1")
    worth = {
        frozenset(chosen): jnp.asarray(value(frozenset(chosen)))
        for size in range(causes + 1)
        for chosen in combinations(range(causes), size)
    }
    return jnp.stack([_contribution(worth, cause, causes) for cause in range(causes)])


def _contribution(worth: dict[frozenset[int], Array], cause: int, causes: int) -> Array:
    orders = factorial(causes)
    return sum(
        (
            (factorial(len(others)) * factorial(causes - len(others) - 1) / orders)
            * (worth[others | {cause}] - worth[others])
            for others in worth
            if cause not in others
        ),
        jnp.zeros(()),
    )


def shapley_shares(value: Value, causes: int) -> Array:
    """Return the part of the whole change that each cause brought about, (cause, ...)."""
    contributions = shapley_values(value, causes)
    return contributions / contributions.sum(axis=0)
