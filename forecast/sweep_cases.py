"""The scenarios of a sweep, each checked, with what is needed to plan for them.

Imports nothing heavy.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from . import preflight
from .config import Scenario
from .provenance import as_of_date, as_of_year, fitted_records, fitted_section, tables_of
from .scenario_files import load_scenario
from .sweep_file import Row, Sweep, described, is_prior, resolve, rows_of, value_at

Progress = Callable[[str, int, int], None]
_WORDS = {"id", "title", "description", "source", "milestone", "prior_set", "as_of"}


class Case(NamedTuple):
    """A scenario of a sweep that has been checked."""

    row: Row
    id: str  # hash of the scenario as resolved
    shape: str  # scenarios that agree in it have one structure
    fits: tuple[tuple[str, str], ...]  # (record, hash of what its fit depends on)
    now: float  # decimal year
    horizon_year: int
    scenario_id: str
    values: tuple[Any, ...]  # of what is varied, in the order of `Cases.places`


class Cases(NamedTuple):
    """All scenarios of a sweep, those that can share a batch or a fit side by side."""

    cases: list[Case]
    bases: dict[tuple[str, str | None], Scenario]  # by scenario and prior set of the row
    places: tuple[str, ...]  # fields that are varied
    tables: tuple[str, ...]  # data that the scenarios use

    @property
    def years(self) -> tuple[int, ...]:
        """The calendar years that any of them covers."""
        first = min(int(case.now) for case in self.cases) + 1
        return tuple(range(first, max(case.horizon_year for case in self.cases) + 1))


def check_cases(sweep: Sweep, progress: Progress | None = None) -> Cases:
    """Return all scenarios of a sweep, checked; nothing has been computed.

    Raises ``ValueError``, one sentence, for the first that is not valid, that another row gives
    too, or whose fits need more than this machine has.
    """
    report = progress or (lambda what, done, total: None)
    rows = list(rows_of(sweep))
    bases = {row.base: load_scenario(row.scenario, prior_set=row.prior_set) for row in rows[:1]}
    places = dict.fromkeys(place for row in rows for place in row.changes)
    if any(row.prior_set for row in rows):
        places["prior_set"] = None
    found: dict[str, Case] = {}
    shapes: set[str] = set()
    tables: set[str] = set()
    for done, row in enumerate(rows):
        if done % 100 == 0:
            report("check: scenarios", done, len(rows))
        if row.base not in bases:
            bases[row.base] = load_scenario(row.scenario, prior_set=row.prior_set)
        scenario = resolve(bases[row.base], row.changes)
        case = _case(row, scenario, tuple(places))
        if case.id in found:
            raise ValueError(f"sweep: got {described(row.changes)} twice, expected it once")
        if case.shape not in shapes:
            preflight.check(scenario)
            shapes.add(case.shape)
        found[case.id] = case
        tables.update(t for name, _ in case.fits for t in tables_of(scenario, name))
    report("check: scenarios", len(rows), len(rows))
    return Cases(_side_by_side(list(found.values())), bases, tuple(places), tuple(sorted(tables)))


def identify(scenario: Scenario) -> str:
    """Return the id of a scenario: the same for the same values, as of the same date."""
    return _digest(scenario.model_dump(mode="json") | {"as_of": as_of_date(scenario)})[:16]


def _case(row: Row, scenario: Scenario, places: tuple[str, ...]) -> Case:
    plain = scenario.model_dump(mode="json")
    rest = (plain["inference"], as_of_date(scenario), scenario.seed)
    return Case(
        row=row,
        id=identify(scenario),
        shape=_shape(scenario, plain),
        fits=tuple(
            (name, _digest([fitted_section(scenario, name), *rest]))
            for name in fitted_records(scenario)
        ),
        now=as_of_year(scenario),
        horizon_year=scenario.horizon_year,
        scenario_id=scenario.id,
        values=tuple(value_at(plain, place) for place in places),
    )


def _shape(scenario: Scenario, plain: dict[str, Any]) -> str:
    """Return a hash of all that decides which compiled program forecasts a scenario."""
    requirement = scenario.requirement
    clocks = [c.algorithms_year or requirement.algorithms_year for c in requirement.components]
    order = sorted(set(clocks))
    years = scenario.horizon_year - int(as_of_year(scenario))
    parts = [_skeleton(plain), [order.index(clock) for clock in clocks], years, scenario.samples]
    return _digest([*parts, plain["inference"]])[:16]


def _skeleton(value: Any) -> Any:
    """Return plain values without numbers and words: what is there, and what is uncertain."""
    if is_prior(value):
        return "fixed" if value["fixed"] is not None else "uncertain"
    if isinstance(value, dict):
        return {key: _skeleton(item) for key, item in value.items() if key not in _WORDS}
    if isinstance(value, list):
        return [_skeleton(item) for item in value]
    return "number" if type(value) in (int, float) else value


def _side_by_side(cases: list[Case]) -> list[Case]:
    """Return the cases sorted by shape, then by fits, in the order of first appearance."""
    first: dict[Any, int] = {}
    for place, case in enumerate(cases):
        first.setdefault(case.shape, place)
        first.setdefault((case.shape, case.fits), place)
    return sorted(cases, key=lambda case: (first[case.shape], first[case.shape, case.fits]))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
