"""Named, cited sets of priors, one TOML file each in `sets/`."""

import copy
import tomllib
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any


def prior_set_names() -> list[str]:
    """Return the names of the prior sets that ship with the package."""
    folder = files(__package__).joinpath("sets")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_prior_set(name: str) -> dict[str, Any]:
    """Return a prior set: section -> field -> interval, as in a scenario file.

    Raises ``ValueError`` naming the nearest set if there is none of this name.
    """
    names = prior_set_names()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"prior_set: no set named {name!r}, expected one of {names}{hint}")
    return copy.deepcopy(_sections(name))


@cache
def _sections(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath("sets", f"{name}.toml").read_text(encoding="utf-8")
    return {key: value for key, value in tomllib.loads(text).items() if isinstance(value, dict)}
