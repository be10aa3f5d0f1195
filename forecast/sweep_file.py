"""Sweep files: scenarios crossed or listed, and the scenario of each row. Imports nothing heavy."""

import copy
import datetime
import itertools
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError

from .config import REQUIREMENT_KINDS, Name, Scenario, Strict, Whole
from .scenario_files import load_scenario, read_text, scenario_from_dict, sentence

MAX_SCENARIOS = 100_000


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class SweepFile(Strict):
    """What a sweep file may say."""

    scenario: Annotated[tuple[Name, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = (
        "baseline",
    )
    cross: dict[str, Any] = Field({}, description="scenario field -> values, all combinations")
    listed: tuple[dict[str, Any], ...] = Field(
        (), alias="list", description="scenario fields that change together, one table a row"
    )
    as_of: tuple[datetime.date, ...] = Field((), description="dates, crossed with the rest")
    seeds: tuple[Whole, ...] = Field((), description="crossed with the rest")


class Sweep(NamedTuple):
    """A sweep that has been read: what is crossed with what."""

    text: str
    scenarios: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]  # of `[[list]]`
    axes: dict[str, list[Any]]  # scenario field -> values

    @property
    def number(self) -> int:
        """How many scenarios there are, without making them."""
        return len(self.scenarios) * len(self.rows) * math.prod(map(len, self.axes.values()))


class Row(NamedTuple):
    """One scenario of a sweep, as the changes that make it from a scenario in a file."""

    scenario: str
    prior_set: str | None
    changes: dict[str, Any]

    @property
    def base(self) -> tuple[str, str | None]:
        """What the changes are made to."""
        return self.scenario, self.prior_set


def load_sweep(path: Path) -> Sweep:
    """Return a sweep from a file; no scenario is made yet.

    Raises ``ValueError``, one sentence, if the file says what it may not, or too much.
    """
    text = read_text(path, "sweep")
    try:
        found = SweepFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"sweep {str(path)!r} is not TOML: {error}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {sentence(error, SweepFile)}") from None
    axes = dict(_leaves(found.cross, ""))
    for field, values in (("as_of", found.as_of), ("seed", found.seeds)):
        if values and field in axes:
            raise ValueError(f"{path}: {field} is given twice, expected once, at the top")
        axes |= {field: list(values)} if values else {}
    for field, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"cross.{field}: got {values!r}, expected a list of values")
    sweep = Sweep(
        text,
        tuple(_beside(path, name) for name in found.scenario),
        found.listed or ({},),
        {field: [_plain(value) for value in values] for field, values in axes.items()},
    )
    if sweep.number > MAX_SCENARIOS:
        longest = max(axes, key=lambda field: len(axes[field]), default="list")
        raise ValueError(
            f"{path}: got {sweep.number} scenarios, expected at most {MAX_SCENARIOS}; "
            f"shorten {longest}, or split the file"
        )
    return sweep


def _leaves(table: Mapping[str, Any], parent: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted place, value) of nested tables: `limits.sharpness = [...]` needs no quotes."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{parent}{key}.")
        else:
            yield parent + key, value


def _beside(path: Path, name: str) -> str:
    """Return the path of a scenario file that is named relative to the sweep file."""
    return str(path.parent / name) if name.endswith(".toml") else name


def _plain(value: Any) -> Any:
    """Return a value of TOML as one of JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


def rows_of(sweep: Sweep) -> Iterator[Row]:
    """Yield the rows, seeds fastest."""
    bases = {name: load_scenario(name).model_dump(mode="json") for name in sweep.scenarios}
    for name, listed, *values in itertools.product(
        sweep.scenarios, sweep.rows, *sweep.axes.values()
    ):
        changes = dict(_changes(_plain(listed), bases[name], ""))
        if twice := changes.keys() & sweep.axes.keys():
            raise ValueError(f"list and cross both give {min(twice)}, expected one of them")
        changes |= zip(sweep.axes, values, strict=True)
        yield Row(name, changes.pop("prior_set", None), changes)


def _changes(table: Mapping[str, Any], base: Any, parent: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted place, value) of a row, whose values may be tables themselves: priors."""
    for key, value in table.items():
        inside = _named(base).get(key)
        if isinstance(value, dict) and _named(inside) and not is_prior(inside):
            yield from _changes(value, inside, f"{parent}{key}.")
        else:
            yield parent + key, value


def _named(table: Any) -> dict[str, Any]:
    """Return the parts of a section, or of a list whose entries have names."""
    if isinstance(table, dict):
        return table
    entries = table if isinstance(table, list) else ()
    return {e["name"]: e for e in entries if isinstance(e, dict) and "name" in e}


def is_prior(value: Any) -> bool:
    """Return whether a plain value of a resolved scenario is a prior."""
    return isinstance(value, dict) and "loguniform" in value


def resolve(base: Scenario, changes: Mapping[str, Any]) -> Scenario:
    """Return a scenario with the values at dotted places replaced, checked.

    Weights of the requirement that are not named keep their ratios and make the sum 1. A kind of
    distribution takes the place of the one before.
    Raises ``ValueError``, one sentence with the nearest name, for a place that does not exist.
    """
    touched = {place.partition(".")[0] for place in changes}
    # Sections that stay are passed on as they are, which saves checking them again.
    values = {name: getattr(base, name) for name in Scenario.model_fields}
    values |= copy.deepcopy(base.model_dump(mode="json", include=touched))
    for place, value in changes.items():
        table, key = _find(values, place)
        for rival in _rivals(table, key):
            if place.removesuffix(key) + rival not in changes:
                table[rival] = None
        table[key] = copy.deepcopy(value)
    _rescale(values["requirement"], changes)
    return scenario_from_dict(values, name=f"{base.id} with {described(changes)}")


def _find(values: dict[str, Any], place: str) -> tuple[Any, Any]:
    """Return the table or list, and the key in it, at a dotted place."""
    table: Any = values
    rest = place
    while True:
        named = _named(table)
        # The longest, since names of components may hold dots themselves.
        name = max((n for n in named if f"{rest}.".startswith(f"{n}.")), key=len, default=None)
        if name is None:
            raise ValueError(_unknown(place, rest, named))
        if name == rest:
            return (table, table.index(named[name])) if isinstance(table, list) else (table, name)
        table, rest = named[name], rest[len(name) + 1 :]


def _rivals(table: Any, key: Any) -> tuple[str, ...]:
    """Return the kinds of distribution that cannot stand beside the one that ``key`` is."""
    kinds = REQUIREMENT_KINDS
    if is_prior(table):
        kinds = tuple(name for name in table if name not in ("mass", "source"))
    return tuple(kind for kind in kinds if key in kinds and kind != key and kind in table)


def _unknown(place: str, rest: str, named: Mapping[str, Any]) -> str:
    before, (first, *after) = place.removesuffix(rest), rest.split(".")
    near = get_close_matches(first, named, n=1, cutoff=0.4)
    if near:
        return f"unknown field {place}; did you mean {'.'.join([before + near[0], *after])!r}?"
    if not named:
        return f"unknown field {place}: {before.rstrip('.')} has no parts; give it whole"
    return f"unknown field {place}, expected {before}X with X one of {', '.join(named)}"


def _rescale(requirement: Any, changes: Mapping[str, Any]) -> None:
    """Let weights that no change names fill up to 1."""
    given = {place for place in changes if place.startswith("requirement.")}
    if not isinstance(requirement, dict) or "requirement.components" in given:
        return
    places = {"requirement.none_weight": (requirement, "none_weight")} | {
        f"requirement.components.{entry['name']}.weight": (entry, "weight")
        for entry in requirement["components"]
    }
    others = [where for place, where in places.items() if place not in given]
    named = [table[key] for place, (table, key) in places.items() if place in given]
    total = sum(table[key] for table, key in others)
    if named and total > 0 and all(isinstance(w, int | float) and 0 <= w <= 1 for w in named):
        for table, key in others:
            table[key] *= max(0.0, 1 - sum(named)) / total


def value_at(values: dict[str, Any], place: str) -> Any:
    """Return what a resolved scenario (as JSON values) has at a place: a number, or a text."""
    table, key = _find(values, place)
    value = table[key]
    if is_prior(value):
        given = {k: v for k, v in value.items() if v is not None and k != "source"}
        value = given["fixed"] if "fixed" in given else given
    return json.dumps(value) if isinstance(value, dict | list | bool) else value


def described(changes: Mapping[str, Any]) -> str:
    """Return changes in a line for people."""
    text = ", ".join(f"{place} = {json.dumps(value)}" for place, value in changes.items())
    return text if len(text) <= 200 else f"{text[:197]}..."
