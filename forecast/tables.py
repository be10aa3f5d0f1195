"""Tables for the terminal."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

SHOWN_YEARS = (2027, 2030, 2035, 2040, 2050, 2100)


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
    return Group(chances, years, runs, *lines)
