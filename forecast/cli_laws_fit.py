"""``aitimelines laws fit``: the posterior of a law from a table of training runs."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from .compiled import loading
from .progress import Kind, shown, warnings_as_notes

out = Console()

SHOWN = ("E", "A", "alpha", "B", "beta", "R_D", "R_N", "a", "gamma", "sigma", "nu")


def laws_fit(
    table: str,
    /,
    *,
    where: list[str] | None = None,
    flop: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    output: Path | None = None,
    figure: Path | None = None,
    seed: int = 0,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    progress: Kind = "auto",
    overwrite: bool = False,
) -> None:
    """Fit a law of training loss to a table of runs: posterior, published point, what follows.

    The law is E + A / N^alpha + B / D^beta, or with a column unique_tokens that of repeated data,
    in which repeats count for R_D (data) and R_N (parameters) at most. The best N of C FLOP goes
    as C^a, what is reducible of its loss as C^-gamma. sigma and nu: scale and degrees of freedom
    of the residuals of log loss.

    Fits are kept in the cache folder ($AITIMELINES_CACHE).

    Parameters
    ----------
    table
        A CSV file with the columns parameters; training_tokens, or training_flop, of which tokens
        are C / 6 N; loss_nats; or the id of a packaged table (see: aitimelines data list).
    where
        COLUMN=CELL: only rows with this cell; may be given again.
    flop
        Budgets at which the compute-optimal run is derived [FLOP]; default 1e21 to 1e26.
    output
        Folder to write: fit.zarr (all draws) and fit.json.
    figure
        File to draw lines of equal loss into (.png, .svg or .pdf), beside which loss at equal
        compute is drawn with -slices in its name.
    seed
        Same seed, same numbers.
    json_
        Print JSON instead of tables: posterior, point, verdict, reasons, derived, loo and more.
    progress
        On standard error: bars, lines, json, none, or auto.
    overwrite
        Replace an existing output folder.
    """
    from .files import check_figure, refuse_existing

    if figure is not None:
        check_figure(figure)
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from .law_fits import DEFAULT_FLOP, fit_runs, law_summary, read_runs
        runs = read_runs(table, dict(map(pair, where or ())))
        tree, _ = fit_runs(runs, flop=flop or DEFAULT_FLOP, seed=seed, report=report)
    found = law_summary(tree)
    text = json.dumps(found, indent=2, allow_nan=False) + "\n"
    if output is not None:
        _write(tree, text, output, overwrite=overwrite)
    if figure is not None:
        _draw(tree, figure)
    if json_:
        sys.stdout.write(text)
    else:
        _print(found)
        if output is not None:
            out.print(f"Written to {output}", markup=False, soft_wrap=True)


def pair(text: str) -> tuple[str, str]:
    """Return (column, cell) of ``COLUMN=CELL``; raise ``ValueError`` if it is not that."""
    column, equals, cell = text.partition("=")
    if not (column and equals):
        raise ValueError(f"where: got {text!r}, expected COLUMN=CELL")
    return column, cell


def _write(tree: Any, text: str, folder: Path, *, overwrite: bool) -> None:
    from .files import write_text, written_whole
    from .storage import write_tree

    with written_whole(folder, overwrite=overwrite) as temporary:
        write_tree(tree, temporary / "fit.zarr")
        write_text(temporary / "fit.json", text)


def _draw(tree: Any, figure: Path) -> None:
    from .plot_laws import isoflop_slices, loss_contours
    from .plot_page import save_as

    save_as(loss_contours(tree), figure)
    save_as(isoflop_slices(tree), figure.with_stem(f"{figure.stem}-slices"))


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    constants = Table(title=f"{found['table']}: {found['n_rows']} runs, {found['law']} law")
    for name in ("constant", "mean", "sd", "5 %", "95 %", "Huber fit"):
        constants.add_column(name, justify="right")
    for name in SHOWN:
        if name in found["posterior"]:
            values = [found["posterior"][name][key] for key in ("mean", "sd", "q05", "q95")]
            point = [found["point"][name]] if name in found["point"] else []
            constants.add_row(name, *(f"{value:.4g}" for value in (*values, *point)))
    best = Table(title="compute-optimal runs, C = 6 N D: median (90 %)")
    shown_columns = ("optimal_parameters", "optimal_tokens", "tokens_per_parameter", "optimal_loss")
    for name in ("FLOP", "parameters", "tokens", "D / N", "loss"):
        best.add_column(name, justify="right")
    for entry in found["derived"]:
        spans = [entry[name] for name in shown_columns]
        cells = [f"{x['q50']:.3g} ({x['q05']:.3g} to {x['q95']:.3g})" for x in spans]
        best.add_row(f"{entry['flop']:.3g}", *cells)
    out.print(constants)
    out.print(best)
    lines = [f"fit: {found['verdict']}", *(f"  {reason}" for reason in found["reasons"])]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True, highlight=False)
