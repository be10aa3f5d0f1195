"""What a question is, what an answer holds, and the rules by which numbers decide between sides.

A verdict is made by a function of this module from computed numbers, never written by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import cleandoc
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

SIDE_A, SIDE_B, OPEN, DEPENDS = "side A", "side B", "open", "depends"
SURE = 0.9  # probability from which a side is taken

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Question:
    """A claim with what speaks for it (side A) and against it (side B), as in `claims.toml`.

    why_not: why it is not computed; None for a question with a computation
    """

    id: str
    claim: str
    side_a: str
    side_b: str
    why_not: str | None = None


class Evidence(NamedTuple):
    """Draws that several questions share: name -> (draw,), where from, and what the gate says."""

    values: dict[str, np.ndarray]
    source: str
    verdict: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quantity:
    """A named number, or the median of draws with their 5 and 95 % quantiles.

    published: the same number by others; source: of an input, or of the published number
    """

    name: str
    value: float
    unit: str = ""
    q05: float | None = None
    q95: float | None = None
    published: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Verdict:
    """Which side the numbers take: `SIDE_A`, `SIDE_B`, `OPEN` or `DEPENDS`.

    because: the number that decided, in words; cases: of what it depends on, case -> verdict
    """

    side: str
    because: str = ""
    cases: Mapping[str, "Verdict"] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Numbers, the rule that reads them and what it says; draw: puts them on matplotlib Axes."""

    inputs: tuple[Quantity, ...]
    results: tuple[Quantity, ...]
    rule: str
    verdict: Verdict
    draw: Callable[[Any], None] | None = None


class Computation(NamedTuple):
    """compute: of the values of each evidence, an answer; its docstring says how.

    needs: functions of `evidence`, each (report) -> Evidence
    """

    compute: Callable[..., Answer]
    needs: tuple[Callable[[Report], Evidence], ...] = ()

    @property
    def method(self) -> str:
        """Method, inputs and sources, in words."""
        paragraphs = cleandoc(self.compute.__doc__ or "").split("\n\n")
        return "\n\n".join(" ".join(each.split()) for each in paragraphs)

    def answer(self, *evidence: Mapping[str, np.ndarray]) -> Answer:
        """Return the answer from the values of each evidence, in double precision."""
        import jax

        with jax.enable_x64(True):
            return self.compute(*evidence)


# --- numbers --------------------------------------------------------------------------------------


def of_draws(
    name: str,
    draws: ArrayLike,
    unit: str = "",
    *,
    published: float | None = None,
    source: str = "",
) -> Quantity:
    """Return the median of draws with their 5 and 95 % quantiles, which may be infinite.

    Raises ``ValueError`` if there is no draw or one is not a number.
    """
    values = np.ravel(np.asarray(draws, float))
    if values.size == 0 or np.isnan(values).any():
        raise ValueError(f"{name}: got no draws or draws that are not numbers")
    # Not interpolated: between a number and infinity there is nothing.
    low, middle, high = (
        float(q) for q in np.quantile(values, (0.05, 0.5, 0.95), method="inverted_cdf")
    )
    return Quantity(name, middle, unit, low, high, published, source)


def probability(name: str, happens: ArrayLike) -> Quantity:
    """Return the share of draws in which something happens."""
    return Quantity(name, float(np.mean(np.asarray(happens, float))), "probability")


def short(value: float, digits: int = 3) -> str:
    """Return a number in few characters: 1e22, 0.27, 8e9."""
    return f"{value:.{digits}g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


# --- rules ----------------------------------------------------------------------------------------


def probability_rule(what: str, sure: float = SURE) -> str:
    """Return the words of `by_probability`."""
    return (
        f"side A if P({what}) is at least {sure:g}, side B if at most {1 - sure:.2g}, open between"
    )


def by_probability(of_side_a: ArrayLike, what: str = "side A", sure: float = SURE) -> Verdict:
    """Return the side that is sure enough; of_side_a: the probability, or draws of true and false.

    Raises ``ValueError`` for a probability outside 0 to 1.
    """
    p = float(np.mean(np.asarray(of_side_a, float)))
    if not 0 <= p <= 1:
        raise ValueError(f"of_side_a: got {p!r}, expected a probability")
    side = SIDE_A if p >= sure else SIDE_B if 1 - p >= sure else OPEN
    return Verdict(side, f"P({what}) = {short(p)}")


def by_threshold(value: float, threshold: float, what: str) -> Verdict:
    """Return side A for a number of at least a threshold, else side B; open for NaN."""
    if np.isnan(value):
        return Verdict(OPEN, f"{what} is unknown")
    side = SIDE_A if value >= threshold else SIDE_B
    return Verdict(side, f"{what} = {short(value)} (threshold {short(threshold)})")


def by_indecision(happens: ArrayLike, what: str, sure: float = SURE) -> Verdict:
    """Return side A for a probability that is neither sure nor excluded, else side B."""
    decided = by_probability(happens, what, sure)
    return Verdict(SIDE_A if decided.side == OPEN else SIDE_B, decided.because)


def by_cases(cases: Mapping[str, Verdict]) -> Verdict:
    """Return the side that every case takes; if they differ, that it depends, and on which.

    Raises ``ValueError`` without a case.
    """
    if not cases:
        raise ValueError("cases: got none")
    sides = {case.side for case in cases.values()}
    side = sides.pop() if len(sides) == 1 else DEPENDS
    words = "; ".join(f"{name}: {case.side}" for name, case in cases.items())
    return Verdict(side, words, dict(cases))


# --- as plain values ------------------------------------------------------------------------------


def plain_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values."""
    return {
        "side": verdict.side,
        "because": verdict.because,
        "cases": {name: plain_verdict(case) for name, case in verdict.cases.items()},
    }


def plain_quantity(quantity: Quantity) -> dict[str, Any]:
    """Return a quantity as plain values; None for what is infinite, which JSON cannot say."""
    found = dict(vars(quantity))
    for name in ("value", "q05", "q95", "published"):
        value = found[name]
        found[name] = value if value is not None and isfinite(value) else None
    return found
