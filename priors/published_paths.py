"""Published forecasts of the largest training run, as of their day."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def published_paths() -> dict[str, dict[str, Any]]:
    """Return id -> title, published, source, year, log10_flop; low, high, mass where there are.

    Lists run over the dates ``year``; see the head of the file.
    """
    text = files(__package__).joinpath("published_paths.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
