"""Post-training enhancements, what is published of them and priors, as written in a TOML file."""

import copy
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from .elicitation import Interval


def published_enhancements() -> dict[str, Any]:
    """Return the entries of `published_enhancements.toml`, whose head says what the keys mean."""
    return copy.deepcopy(_tables())


def enhancement_prior(entry: dict[str, Any]) -> Interval:
    """Return the interval of a prior of that file, such as ``gain`` of a class."""
    mass = entry.get("mass", 0.9)
    ((kind, (low, high)),) = (
        (key, pair) for key, pair in entry.items() if key not in ("source", "mass")
    )
    return Interval(kind, low, high, mass)


@cache
def _tables() -> dict[str, Any]:
    text = files(__package__).joinpath("published_enhancements.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
