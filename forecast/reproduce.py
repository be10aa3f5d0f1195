"""The reproduction table: published numbers, computed again from the packaged data.

Each is computed by the method of its authors (`reproductions`), and where a study of ours estimates
the same quantity its posterior stands beside it.
"""

import tomllib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.resources import files
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from .beliefs import Mass, Number, Strict
from .reproductions.computed import Computed

Report = Callable[[str, int, int], None]
VERDICTS = ("reproduced", "inside interval", "differs")
COLUMNS = (
    *("id", "source", "quantity", "unit", "published", "published_low", "published_high"),
    *("computed", "computed_low", "computed_high", "tolerance", "verdict"),
    *("rows", "posterior", "posterior_low", "posterior_high", "note"),
)
TOPICS = (
    "training_compute",
    "capabilities",
    "timelines",
    "algorithms",
    "laws",
    "sizes",
    "hardware",
)


class Published(Strict):
    """One published number, as the TOML files of `reproductions` have it."""

    source: str
    read_from: str = Field(pattern="^(primary|secondary|derived)$")
    quantity: str
    unit: str
    published: Number
    published_low: Number | None = None
    published_high: Number | None = None
    mass: Mass | None = Field(None, description="of the published interval")
    tolerance: Number = Field(ge=0, description="in the unit")
    tolerance_reason: str
    posterior: str | None = Field(None, pattern="^[^:]+:[^:]+:[^:]+$")
    factor: Number = Field(1.0, description="from the unit of the posterior to this one")
    note: str = ""
    slip: str = Field("", description="an error found in the published work, with evidence")

    @model_validator(mode="after")
    def _whole_interval(self) -> "Published":
        if (self.published_low is None) != (self.published_high is None):
            raise ValueError("published_low, published_high: got one, expected both or neither")
        return self


@cache
def published() -> dict[str, Published]:
    """Return all published numbers by id; ``ValueError`` if a file is not as described."""
    found: dict[str, Published] = {}
    for topic in TOPICS:
        entries = _entries(topic)
        twice = found.keys() & entries.keys()
        if twice:
            raise ValueError(f"{topic}.toml: got {sorted(twice)[0]!r} again, expected it once")
        found |= entries
    return found


@cache
def _entries(topic: str) -> dict[str, Published]:
    text = files(__package__).joinpath("reproductions", f"{topic}.toml").read_text("utf-8")
    return {name: Published(**entry) for name, entry in tomllib.loads(text).items()}


def by_topic() -> dict[str, list[str]]:
    """Return the ids of each topic, topic in words -> ids."""
    return {topic.replace("_", " "): list(_entries(topic)) for topic in TOPICS}


@cache
def _computing() -> dict[str, Callable[[], Computed]]:
    """Return id -> the function that computes it."""
    found: dict[str, Callable[[], Computed]] = {}
    for topic in TOPICS:
        found |= import_module(f".reproductions.{topic}", __package__).COMPUTED
    return found


def verdict(entry: Published, computed: Computed) -> str:
    """Return whether a number is reproduced, only inside its published interval, or differs."""
    if not isfinite(computed.value):
        return "differs"
    # Numbers that are printed to a digit differ by that digit and the last bits.
    if abs(computed.value - entry.published) <= entry.tolerance * (1 + 1e-9):
        return "reproduced"
    if entry.published_low is None or entry.published_high is None:
        return "differs"
    inside = entry.published_low <= computed.value <= entry.published_high
    return "inside interval" if inside else "differs"


def reproduce(
    ids: Sequence[str] = (), *, posteriors: bool = True, report: Report | None = None
) -> pd.DataFrame:
    """Return the table of published numbers and what we compute, columns as in `COLUMNS`.

    ids: some of them, or the beginnings of some ("sevilla-2022"); default all
    posteriors: fit the studies whose posterior stands beside a number (kept in the cache)
    Raises ``ValueError`` if an id is the beginning of none.
    """
    chosen = select(ids)
    tell = report or (lambda what, done, total: None)
    fits: dict[str, Any] = {}
    rows = []
    for number, name in enumerate(chosen):
        tell("reproduce", number, len(chosen))
        entry = published()[name]
        beside = _posterior(entry, fits, report) if posteriors and entry.posterior else _UNKNOWN
        rows.append(_row(name, entry, _computing()[name](), beside))
    tell("reproduce", len(chosen), len(chosen))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def select(ids: Sequence[str]) -> list[str]:
    """Return the ids that begin with one of ``ids``, all if there are none of these."""
    known = list(published())
    for start in ids:
        if not any(name.startswith(start) for name in known):
            near = get_close_matches(start, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"id: no published number {start!r}; did you mean {near!r}?")
    return [name for name in known if not ids or name.startswith(tuple(ids))]


_UNKNOWN = (np.nan,) * 3


def _row(
    name: str, entry: Published, computed: Computed, fitted: tuple[float, float, float]
) -> dict[str, Any]:
    return {
        "id": name,
        "source": entry.source,
        "quantity": entry.quantity,
        "unit": entry.unit,
        "published": entry.published,
        "published_low": entry.published_low,
        "published_high": entry.published_high,
        "computed": computed.value,
        "computed_low": computed.low,
        "computed_high": computed.high,
        "tolerance": entry.tolerance,
        "verdict": verdict(entry, computed),
        "rows": computed.n,
        "posterior": fitted[1],
        "posterior_low": fitted[0],
        "posterior_high": fitted[2],
        "note": " ".join(filter(None, (entry.note or entry.slip, computed.note))),
    }


def _posterior(
    entry: Published, fits: dict[str, Any], report: Report | None
) -> tuple[float, float, float]:
    """Return (low, median, high) of a study's quantity.

    fits: of the studies so far, by id; a study is added where it is missing
    """
    from .studies import fit_study

    study, rival, quantity = str(entry.posterior).split(":")
    if study not in fits:
        fits[study], _ = fit_study(study, report=report)
    draws = fits[study][rival]["quantities"][quantity].to_numpy() * entry.factor
    mass = entry.mass or 0.9
    low, middle, high = np.quantile(draws, [(1 - mass) / 2, 0.5, (1 + mass) / 2])
    return float(low), float(middle), float(high)


def slips() -> dict[str, str]:
    """Return the errors found in published work, id -> what is wrong, with evidence."""
    return {name: entry.slip for name, entry in published().items() if entry.slip}
