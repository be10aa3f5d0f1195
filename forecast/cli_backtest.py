"""``aitimelines backtest``: forecasts from past dates, scored on what came."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from .compiled import loading
from .progress import Kind, shown, warnings_as_notes
from .tables import json_text

out = Console()
_FIGURES = ("fan", "model-size-fan", "calibration", "years-ahead")


def backtest(
    scenario: str = "baseline",
    /,
    *,
    as_of: str = "2016,2018,2020,2022,2024",
    vintages: Annotated[bool, Parameter(negative="--no-vintages")] = True,
    output: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    progress: Kind = "auto",
    overwrite: bool = False,
) -> None:
    """Forecast from past dates what is known now, and score it beside naive forecasts.

    Training compute, model size and FLOP per dollar are fitted to what was dated by then, and
    forecast one to eight years ahead: each later run at its date, and the record of largest runs.
    Scores: CRPS and log score (smaller is better), how many outcomes fell inside the 50 % and 90 %
    intervals, mean error of the median; skill is 1 - CRPS / CRPS of the naive forecast.

    Numbers of changes of growth are weighed by stacking: on each date by the forecasts made before,
    and at the end by all, which is what a scenario can use as change_point_weights.

    Parameters
    ----------
    scenario
        Id of a scenario (see: aitimelines scenario list), or the path of a scenario file. It must
        fit training compute.
    as_of
        Dates to forecast from: years (their first day) or YYYY-MM-DD, separated by commas.
    vintages
        Also forecast from older versions of the table of models as they were published.
    output
        Folder to write: backtest.zarr (every scored forecast), summary.json, figures.
    json_
        Print the summary as JSON instead of tables.
    progress
        On standard error: bars, lines, json, none, or auto.
    overwrite
        Replace an existing output folder.
    """
    from .files import refuse_existing
    from .scenario_files import load_scenario

    chosen = load_scenario(scenario)
    dates = [text.strip() for text in as_of.split(",") if text.strip()]
    if not dates:
        raise ValueError(f"as_of: got {as_of!r}, expected years or dates")
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from .backtest import backtest as run_backtest
            from .backtest_scores import backtest_summary
        tree, _ = run_backtest(chosen, dates, vintages=vintages, report=report)
        found = backtest_summary(tree)
    if output is not None:
        _write(tree, found, output, overwrite=overwrite)
    if json_:
        sys.stdout.write(json_text(found))
        return
    _print(found)
    if output is not None:
        out.print(f"Written to {output}", markup=False, soft_wrap=True, highlight=False)


def _write(tree: Any, found: dict[str, Any], folder: Path, *, overwrite: bool) -> None:
    from . import plot_backtest
    from .files import written_whole
    from .plot_page import save
    from .storage import write_tree

    drawn = (
        plot_backtest.fan_figure(tree),
        plot_backtest.fan_figure(tree, "model_size"),
        plot_backtest.calibration_figure(tree),
        plot_backtest.horizon_figure(tree),
    )
    with written_whole(folder, overwrite=overwrite) as temporary:
        write_tree(tree, temporary / "backtest.zarr")
        for name, figure in zip(_FIGURES, drawn, strict=True):
            save(figure, temporary / name)
        (temporary / "summary.json").write_text(json_text(found), encoding="utf-8")


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    for quantity, title in found["quantities"].items():
        table = Table("outcome", "forecast", title=title)
        table.columns[1].no_wrap = True
        for name in ("CRPS", "log score", "in 90 %", "in 50 %", "error", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        for row in (row for row in found["scores"] if row["quantity"] == quantity):
            log_score = "" if row["log_score"] is None else f"{row['log_score']:.2f}"
            table.add_row(
                row["target"],
                row["method"],
                f"{row['crps']:.2f}",
                log_score,
                f"{row['inside_90']:.0%}",
                f"{row['inside_50']:.0%}",
                f"{row['error']:+.2f}",
                str(row["outcomes"]),
            )
        out.print(table)
    skills = Table("quantity", "outcome", "over", title="Skill of the stacked forecast (90 %)")
    skills.add_column("skill", justify="right")
    for row in found["skill"]:
        interval = f"{row['skill']:.2f} ({row['skill_low']:.2f} to {row['skill_high']:.2f})"
        skills.add_row(row["quantity"], row["target"], row["baseline"], interval)
    out.print(skills)
    for quantity, weights in found["stacking_weights_of_change_points"].items():
        shares = ", ".join(f"{k}: {w:.2f}" for k, w in enumerate(weights))
        line = f"stacking weights of 0 to 3 changes of growth, {quantity}: {shares}"
        out.print(line, markup=False, soft_wrap=True, highlight=False)
