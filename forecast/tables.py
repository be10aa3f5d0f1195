"""Tables for the terminal, and numbers in words."""

import json
import re
from collections.abc import Mapping
from math import isfinite, isnan
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

SHOWN_YEARS = (2027, 2030, 2035, 2040, 2050, 2100)
# Units that stand in the names of quantities, and how they are written; longer ones first.
_UNITS = {
    "log10_flop_per_usd": "log10 FLOP/USD",
    "log10_flop": "log10 FLOP",
    "log10_usd": "log10 USD",
    "log10_tokens": "log10 tokens",
    "log10_parameters": "log10 parameters",
    "doublings_per_year": "doublings/year",
    "points_per_year": "points/year",
    "points_per_oom": "points/OOM",
    "oom_per_year": "OOM/year",
    "factor_per_year": "x/year",
    "percent_per_year": "%/year",
    "per_year": "/year",
    "parameters_1e9": "1e9 parameters",
    "doublings": "doublings",
    "points": "points",
    "months": "months",
    "years": "years",
    "days": "days",
    "hours": "hours",
    "minutes": "minutes",
    "year": "year",
    "oom": "OOM",
    "percent": "%",
    "factor": "x",
}
_UNIT = re.compile("(?:^|_)(" + "|".join(_UNITS) + ")(?=_|$)")


def quantity_words(name: str) -> tuple[str, str]:
    """Return (what, unit) of a quantity: ("doubling time segment 1", "months"); unit may be empty.

    name: with its unit in it, doubling_time_months_segment_1; a unit that it begins with stays
        among the words (points per year now), and *_year after a Greek letter is a coefficient
    """
    words = name.replace("_", " ")
    found = [*_UNIT.finditer(name)]
    if not found or name in ("alpha_year", "beta_year"):
        return words, ""
    if found[0].start() == 0:
        return words, _UNITS[found[0][1]]
    unit = found[-1]
    return (name[: unit.start()] + name[unit.end() :]).replace("_", " "), _UNITS[unit[1]]


def number_text(value: float | None, unit: str = "") -> str:
    """Return a number in few characters (1.2e25, 0.27), a date as 2010.4; "" if it is not known."""
    if value is None or isnan(value):
        return ""
    if unit in ("year", "yr") and 1000 <= abs(value) < 10_000:
        return f"{value:.1f}"
    digits = 4 if 100 <= abs(value) < 10_000 else 3
    return re.sub(r"e([+-])0*", lambda e: f"e{e[1].strip('+')}", f"{value:.{digits}g}")


def span_text(low: float | None, middle: float, high: float | None, unit: str = "") -> str:
    """Return "middle (low to high)", without the interval if it is not known."""
    ends = number_text(low, unit), number_text(high, unit)
    return number_text(middle, unit) + (f" ({ends[0]} to {ends[1]})" if any(ends) else "")


def json_text(value: Any) -> str:
    """Return plain values as JSON, with null for numbers that are not finite."""

    def finite(each: Any) -> Any:
        if isinstance(each, dict):
            return {key: finite(inner) for key, inner in each.items()}
        if isinstance(each, list | tuple):
            return [finite(inner) for inner in each]
        return None if isinstance(each, float) and not isfinite(each) else each

    return json.dumps(finite(value), indent=2, allow_nan=False) + "\n"


def quantiles_text(found: Mapping[str, float], unit: str = "") -> str:
    """Return median and 90 % interval of quantiles q05, q50, q95."""
    return span_text(found["q05"], found["q50"], found["q95"], unit)


def text_table(found: dict[str, Any]) -> Group:
    """Return the summary as a table for the terminal (a rich renderable)."""
    chances = Table(title=Text(f"{found['milestone']}\nas of {found['as_of']}, given not yet"))
    chances.add_column("before 1 January of")
    chances.add_column("probability", justify="right")
    chances.add_column("Monte Carlo error", justify="right")
    for year in SHOWN_YEARS:
        entry = found["p_arrival_by"].get(str(year))
        if entry:
            chances.add_row(str(year), f"{entry['value']:.1%}", f"{entry['mcse']:.2%}")
    never = f"never by {found['horizon_year']}"
    chances.add_row(
        never, f"{found['p_never_by_horizon']:.1%}", f"{found['p_never_by_horizon_mcse']:.2%}"
    )
    years = Table()
    years.add_column("quantile")
    years.add_column("arrival year", justify="right")
    years.add_column("Monte Carlo error", justify="right")
    for q, entry in found["quantiles"].items():
        known = entry["year"] is not None
        late = f"after {found['horizon_year']}"
        years.add_row(
            f"{float(q):.0%}",
            f"{entry['year']:.1f}" if known else late,
            f"{entry['mcse']:.2f}" if known else "",
        )
    runs = Table(title="largest training run, log10 FLOP: median (90 %)")
    runs.add_column("1 January of")
    routes = list(next(iter(found["physical_compute"].values()), {}))
    names = {"scenario": "as in the scenario", "alternative": "by the other route"}
    for route in routes:
        runs.add_column(names[route])
    for year, entry in found["physical_compute"].items():
        cells = [f"{m:.1f} ({low:.1f} to {high:.1f})" for low, m, high in entry.values()]
        runs.add_row(year, *cells)
    lines = [Text(f"fit: {found['verdict']}"), *(Text(f"  {r}") for r in found["verdict_reasons"])]
    for name, fit in found["fits"].items():
        weights = fit.get("change_point_weights")
        if weights:
            shares = ", ".join(f"{count} with weight {w:.2f}" for count, w in weights.items())
            lines.append(Text(f"  {name}: changes of growth {shares}"))
    return Group(chances, years, runs, *lines)
