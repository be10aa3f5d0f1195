"""``aitimelines reproduce``: published numbers, computed again from the packaged data."""

import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from .compiled import loading
from .progress import Kind, shown, warnings_as_notes
from .tables import json_text, span_text

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """Examples:

    aitimelines reproduce                   # all; the first time, studies are fitted
    aitimelines reproduce --no-posterior    # a minute: no study is fitted
    aitimelines reproduce sevilla-2022 --json | jq '.table[].computed'
    aitimelines reproduce --csv > table.csv
"""
WIDE, PIPED = 110, 140  # columns from which the posterior is shown; of what is no terminal
app = App(
    name="reproduce",
    help="Published numbers on the record, computed again from the data.",
    help_epilogue=EXAMPLES,
    default_parameter=Parameter(negative=()),
)
out = Console()


@app.default
def reproduce(
    *ids: str,
    posterior: Annotated[bool, Parameter(name="--posterior", negative="--no-posterior")] = True,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    csv: bool = False,
    progress: Kind = "auto",
) -> None:
    """Compute published numbers on the record again, and say which of them come out.

    Each by the method of its authors, from the packaged data, and beside it the posterior (median,
    and the interval of the published mass) where a study of ours estimates the same quantity.
    Verdicts: reproduced, if within the tolerance of the published number; inside interval, if only
    within its published interval; differs, with the known reason.

    Parameters
    ----------
    ids
        Ids, or the beginnings of some, as sevilla-2022; default all.
    posterior
        Fit the studies whose posterior stands beside a number (kept in the cache folder).
    json_
        Print JSON: table (a list of rows, of which all columns), verdicts (counts), slips
        (errors found in published work). Unknown numbers are null.
    csv
        Print the table as CSV, with all columns.
    progress
        On standard error: bars, lines, json, none, or auto.
    """
    if json_ and csv:
        raise ValueError("csv: got --json as well, expected one of them")
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from . import reproduce as reproduction

            chosen = reproduction.select(ids)
        table = reproduction.reproduce(ids, posteriors=posterior, report=report)
    slips = {name: slip for name, slip in reproduction.slips().items() if name in set(chosen)}
    if csv:
        sys.stdout.write(table.to_csv(index=False, lineterminator="\n"))
    elif json_:
        rows = table.to_dict("records")
        counts = verdict_counts(table)
        sys.stdout.write(json_text({"table": rows, "verdicts": counts, "slips": slips}))
    else:
        _print(table, slips, every_note=bool(ids))


def verdict_counts(table: "pd.DataFrame") -> dict[str, int]:
    """Return how many rows have each verdict, in the order of `reproduce.VERDICTS`."""
    from .reproduce import VERDICTS

    found = Counter(table["verdict"])
    return {verdict: found[verdict] for verdict in VERDICTS}


def cells(row: Mapping[Any, Any]) -> dict[str, str]:
    """Return a row of the reproduction table in words, for a page or a terminal."""
    told = {name: str(row[name]) for name in ("id", "source", "quantity", "unit", "verdict")}
    told["unit"] = "" if told["unit"] in ("1", "none") else told["unit"]
    for name in ("published", "computed", "posterior"):
        told[name] = span_text(row[f"{name}_low"], row[name], row[f"{name}_high"], row["unit"])
    return told


def _print(table: "pd.DataFrame", slips: dict[str, str], *, every_note: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    width = out.width if out.is_terminal else max(out.width, PIPED)
    fitted = width >= WIDE and bool(table["posterior"].notna().any())
    names = ["published", "computed", *(["posterior"] if fitted else [])]
    shown_table = Table(width=width)
    shown_table.add_column(Text("id, quantity [unit]"), ratio=1, overflow="fold")
    for name in (*names, "verdict"):
        shown_table.add_column(name)
    colours = {"reproduced": "green", "differs": "yellow"}
    rows = table.to_dict("records")
    for row in rows:
        told = cells(row)
        what = Text(told["id"], style="bold")
        what.append(f"\n{told['quantity']}" + f" [{told['unit']}]" * bool(told["unit"]), "not bold")
        numbers = [told[name].replace(" (", "\n").removesuffix(")") for name in names]
        shown_table.add_row(what, *numbers, Text(row["verdict"], colours.get(row["verdict"], "")))
    out.print(shown_table, width=width, crop=False)
    for row in rows:
        if row["note"] and (every_note or row["verdict"] == "differs"):
            _line(f"{row['id']} ({row['verdict']}): {row['note']}")
    _line("")
    _line(", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(table).items()))
    if slips:
        _line("\nErrors found in published work:")
    for name, slip in slips.items():
        _line(f"  {name}: {slip}")


def _line(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True, highlight=False)
