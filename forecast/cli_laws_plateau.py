"""``aitimelines laws plateau``: whether more training still helps."""

import json
import sys
from math import inf
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from .compiled import loading
from .progress import Kind, shown, warnings_as_notes

out = Console()


def laws_plateau(
    table: str,
    /,
    *,
    performance: str | None = None,
    lower_is_better: bool = False,
    run: str | None = None,
    where: tuple[str, ...] = (),
    noise: float | None = None,
    limit: float | None = None,
    seed: int = 0,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    progress: Kind = "auto",
) -> None:
    """Say whether a training run has flattened, and what 10 and 100 times the compute would gain.

    Power law, floor, logistic, broken power law and changepoint are fitted and stacked. Of a table
    of several runs, the best at each compute is looked at, unless one run is asked for.

    Parameters
    ----------
    table
        A CSV file with the columns training_compute_flop, performance (see below) and, for several
        runs, run, run_id or curve_id; or the id of a packaged table, as board_games_elo.
    performance
        The column of performance; default loss_nats if losses, else elo_vs_perfect_play.
    lower_is_better
        Performance is a loss; gains are then falls of its natural logarithm.
    run
        One run, by the cell of its column.
    where
        COLUMN=CELL: only rows with this cell, board_size=9 for example.
    noise
        Gains below it count as none; default the scatter about the curve.
    limit
        The best score there can be; default 0 for elo_vs_perfect_play, else none.
    seed
        Same seed, same numbers.
    json_
        Print JSON instead of a table.
    progress
        On standard error: bars, lines, json, none, or auto.
    """
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from .cli_laws_fit import pair
            from .plateaus import plateau, plateau_summary, read_curve
        column = performance or ("loss_nats" if lower_is_better else "elo_vs_perfect_play")
        known = 0.0 if column == "elo_vs_perfect_play" else inf
        best = known if limit is None else limit
        filters = dict(map(pair, where))
        curve = read_curve(table, column, run=run, where=filters, losses=lower_is_better)
        answer = plateau(
            curve.flop,
            curve.performance,
            losses=lower_is_better,
            noise=noise,
            limit=best,
            seed=seed,
            report=report,
        )
    unit = f"ln {column}" if lower_is_better else column
    found = {"table": table, "curve": curve.what, "unit": unit, **plateau_summary(answer)}
    if json_:
        sys.stdout.write(json.dumps(found, indent=2, allow_nan=False) + "\n")
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    families = Table("curve", title=f"{found['table']}: {found['curve']}")
    for name in ("weight", "P(plateau)", "gain at 10x", "gain at 100x", "fit"):
        families.add_column(name, justify="right")
    for name, each in found["families"].items():
        gains = [_span(each[key]) for key in ("gain_10x", "gain_100x")]
        numbers = (f"{each['weight']:.2f}", f"{each['p_plateau']:.2f}")
        families.add_row(name, *numbers, *gains, each["verdict"])
    both = [_span(found[key]) for key in ("gain_10x", "gain_100x")]
    families.add_row("stacked", "1.00", f"{found['p_plateau']:.2f}", *both, found["verdict"])
    out.print(families)
    side = {
        "plateau": "More training no longer helps: ten times the compute gains less than noise.",
        "improving": "More training still helps.",
        "open": "Open: the run does not say.",
    }[found["side"]]
    for line in (side, f"Gains and noise ({_span(found['noise'])}) in {found['unit']}."):
        out.print(line, markup=False, soft_wrap=True, highlight=False)


def _span(values: dict[str, float | None]) -> str:
    low, middle, high = ("never" if v is None else f"{v:.4g}" for v in values.values())
    return f"{middle} ({low} to {high})"
