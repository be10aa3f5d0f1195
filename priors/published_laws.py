"""Published scaling laws and the training runs they are argued with, as written in TOML files."""

import copy
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


def published_laws() -> dict[str, dict[str, Any]]:
    """Return id -> entry of `published_laws.toml`, whose head says what the keys mean."""
    return copy.deepcopy(_tables("published_laws.toml"))


def named_runs() -> dict[str, dict[str, Any]]:
    """Return id -> title, parameters, tokens, source of well-known training runs."""
    return copy.deepcopy(_tables("named_runs.toml"))


@cache
def _tables(name: str) -> dict[str, dict[str, Any]]:
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
