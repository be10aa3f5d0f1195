"""``aitimelines history``: the historical record, and rival models of it compared."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console

from .compiled import loading
from .progress import Kind, Report, shown, warnings_as_notes
from .tables import json_text, quantiles_text, quantity_words

EXAMPLES = """Examples:

    aitimelines history list
    aitimelines history show training-compute-eras
    aitimelines history fit training-compute-eras --figure eras.png
    aitimelines history fit --json                  # all studies
"""
app = App(
    name="history",
    help="The historical record, study by study: rival models fitted, judged, compared.",
    help_epilogue=EXAMPLES,
    default_parameter=Parameter(negative=()),
)
out = Console()

Json = Annotated[bool, Parameter(name="--json")]


@app.command(name="list")
def history_list(*, json_: Json = False, progress: Kind = "auto") -> None:
    """List the studies: what each is of, how many rows, which models compete.

    Parameters
    ----------
    json_
        Print JSON instead of a table.
    progress
        On standard error: bars, lines, json, none, or auto.
    """
    from rich.table import Table

    with _shown(progress):
        from .studies import study_ids

        found = [_described(name, inf) for name in study_ids()]
    if json_:
        return _print_json(found)
    table = Table("id", "title", "rows", "rivals")
    table.columns[0].no_wrap = True
    table.columns[2].justify = "right"
    for each in found:
        table.add_row(each["study"], each["title"], str(each["rows"]), ", ".join(each["rivals"]))
    out.print(table)
    return None


@app.command(name="show")
def history_show(
    study: str, /, *, as_of: date | None = None, json_: Json = False, progress: Kind = "auto"
) -> None:
    """Describe a study: its rows and their tables, and what each rival model says.

    Parameters
    ----------
    study
        Id of the study (see: aitimelines history list).
    as_of
        Leave out what is dated later, YYYY-MM-DD.
    json_
        Print JSON instead of text.
    progress
        On standard error: bars, lines, json, none, or auto.
    """
    _known(study)
    with _shown(progress):
        found = _described(study, _decimal(as_of))
    if json_:
        return _print_json(found)
    span = found["years"]
    dates = f", {span[0]:.1f} to {span[1]:.1f}" if span else ""
    _line(f"{found['study']}  {found['title']}", style="bold")
    _line(f"rows: {found['rows']} of {', '.join(found['tables'])}{dates}")
    _line(f"observed: {found['observed']} [{found['unit']}]")
    for name, claim in found["rivals"].items():
        _line(f"{name}: {claim}")
    return None


FIT_EXAMPLES = """Examples:

    aitimelines history fit training-compute-eras
    aitimelines history fit training-compute-eras --as-of 2020-01-01
    aitimelines history fit training-compute-eras --rival 0-breaks 1-breaks
    aitimelines history fit training-compute-eras --figure e.png --output eras
    aitimelines history fit --progress json --json | jq '.[] | {study, verdict}'
"""


@app.command(name="fit", help_epilogue=FIT_EXAMPLES)
def history_fit(
    *studies: str,
    rival: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    as_of: date | None = None,
    seed: int = 0,
    sampler: Literal["auto", "importance", "nuts"] = "auto",
    figure: Path | None = None,
    output: Path | None = None,
    json_: Json = False,
    progress: Kind = "auto",
    overwrite: bool = False,
) -> None:
    """Fit the rival models of a record, judge each fit, compare how they predict rows left out.

    For every rival: the verdict of the gate, the expected log predictive density (leave-one-out)
    that it lacks of the best, its stacking weight, and its quantities, median and 90 %. Fits are
    kept in the cache folder ($AITIMELINES_CACHE).

    Parameters
    ----------
    studies
        Ids (see: aitimelines history list); default all.
    rival
        Only these models, of one study.
    as_of
        Leave out what is dated later, YYYY-MM-DD.
    seed
        Same seed, same numbers.
    sampler
        auto (importance, NUTS if its Pareto k is over 0.7), importance or nuts.
    figure
        File to draw the record and the rivals' trends into (.png, .svg or .pdf), of one study;
        beside it posterior predictive checks, -checks, and prior and posterior of the best rival,
        -priors in the name.
    output
        Folder to write: ID.zarr (all draws) and ID.json for each study.
    json_
        Print JSON instead of tables: an object for one study, else a list.
    progress
        On standard error: bars, lines, json, none, or auto.
    overwrite
        Replace an existing output folder.
    """
    from .files import check_figure, refuse_existing

    one = len(studies) == 1
    for option, value in (("rival", rival), ("figure", figure)):
        if value is not None and not one:
            raise ValueError(f"{option}: got {len(studies) or 'all'} studies, expected one of them")
    for name in studies:
        _known(name)
    if figure is not None:
        check_figure(figure)
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    fitted = _fitted(studies, tuple(rival or ()), as_of, seed, sampler, progress)
    from .studies import study_summary

    found = {name: study_summary(tree) for name, tree in fitted.items()}
    if output is not None:
        _write(fitted, found, output, overwrite=overwrite)
    if figure is not None:
        _draw(fitted[studies[0]], figure)
    if json_:
        _print_json(found[studies[0]] if one else list(found.values()))
        return
    for summary in found.values():
        _print(summary)
    if output is not None:
        _line(f"Written to {output}")


def _known(name: str) -> None:
    """Raise ``ValueError`` naming the nearest study if there is none of this name."""
    from .studies import check_study

    check_study(name)


@contextmanager
def _shown(progress: Kind) -> Iterator[Report]:
    """Load the libraries of studies, then give a function that shows progress."""
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from .history import study  # noqa: F401
        yield report


def _decimal(as_of: date | None) -> float:
    """Return a date as a decimal year; infinity for none."""
    from .datasets import decimal_year

    return inf if as_of is None else float(decimal_year(as_of.isoformat()))


def _described(name: str, as_of_year: float) -> dict[str, Any]:
    from .studies import study

    found = study(name, as_of_year=as_of_year)
    year = found.rows.get("year")
    return {
        "study": name,
        "title": found.title,
        "tables": list(found.tables),
        "rows": len(found.rows),
        "years": None if year is None else [float(year.min()), float(year.max())],
        "observed": found.observed,
        "unit": found.unit,
        "rivals": {key: rival.claim for key, rival in found.rivals.items()},
    }


def _fitted(
    studies: Sequence[str],
    rivals: tuple[str, ...],
    as_of: date | None,
    seed: int,
    sampler: str,
    progress: Kind,
) -> dict[str, Any]:
    with _shown(progress) as report:
        from .studies import fit_study, study_ids

        chosen = list(dict.fromkeys(studies)) or study_ids()
        year, fitted = _decimal(as_of), {}
        for number, name in enumerate(chosen):
            report("studies", number, len(chosen))
            options: dict[str, Any] = {"seed": seed, "sampler": sampler, "report": report}
            fitted[name], _ = fit_study(name, as_of_year=year, rivals=rivals, **options)
        report("studies", len(chosen), len(chosen))
    return fitted


def _write(fitted: Any, found: Any, folder: Path, *, overwrite: bool) -> None:
    from .files import write_text, written_whole
    from .storage import write_tree

    with written_whole(folder, overwrite=overwrite) as temporary:
        for name, tree in fitted.items():
            write_tree(tree, temporary / f"{name}.zarr")
            write_text(temporary / f"{name}.json", json_text(found[name]))


def _draw(tree: Any, figure: Path) -> None:
    from .plot_history import predictive_figure, prior_posterior_figure, study_figure
    from .plot_page import save_as
    from .studies import best_rival

    save_as(study_figure(tree), figure)
    save_as(predictive_figure(tree), figure.with_stem(f"{figure.stem}-checks"))
    priors = prior_posterior_figure(tree, best_rival(tree))
    save_as(priors, figure.with_stem(f"{figure.stem}-priors"))


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    _line(f"{found['study']}  {found['title']}, {found['rows']} rows", style="bold")
    rivals, quantities = (
        Table("rival", "claim"),
        Table("rival", "quantity", "median (90 %)", "unit"),
    )
    rivals.columns[0].no_wrap = quantities.columns[2].no_wrap = True
    for header in ("fit", "elpd - best", "weight"):
        rivals.add_column(header, justify="right", no_wrap=True)
    for name, rival in found["rivals"].items():
        weight = f"{rival['stacking_weight']:.2f}"
        rivals.add_row(name, Text(rival["claim"]), rival["verdict"], lacking(rival), weight)
        for quantity, values in sorted(rival["quantities"].items()):
            what, unit = quantity_words(quantity)
            quantities.add_row(name, what, quantiles_text(values, unit), unit)
        quantities.add_section()
    out.print(rivals)
    out.print(quantities)
    _line(f"fit: {found['verdict']}")
    for reason in found["reasons"]:
        _line(f"  {reason}")
    out.print()


def lacking(rival: dict[str, Any]) -> str:
    """Return the elpd that a rival of `study_summary` lacks of the best, with standard error."""
    behind, error = rival["elpd_difference"], rival["elpd_difference_se"]
    return "best" if behind == 0 else f"{-behind:.1f} ± {error:.1f}"


def _line(text: str, style: str | None = None) -> None:
    out.print(text, style=style, markup=False, soft_wrap=True, highlight=False)


def _print_json(value: Any) -> None:
    sys.stdout.write(json_text(value))
