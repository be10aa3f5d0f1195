"""Published exchanges of training for inference compute, as written in their TOML file."""

import copy
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


def published_exchange() -> dict[str, Any]:
    """Return `techniques` (spans in OOM) and `hardware` (cards, prices, utilisations)."""
    return copy.deepcopy(_tables())


@cache
def _tables() -> dict[str, Any]:
    text = files(__package__).joinpath("published_exchange.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
