"""``aitimelines laws transition``: when data, and no longer compute, limit training."""

import json
import sys
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from .compiled import loading
from .progress import Kind, shown, warnings_as_notes

out = Console()


def laws_transition(
    *,
    scenario: str = "baseline",
    seed: int = 0,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    progress: Kind = "auto",
) -> None:
    """Say where Kaplan et al. (2020) have compute-limited training turn data-limited, and when.

    Beyond a budget C* their compute-optimal runs would see too few tokens for the loss that their
    compute promises. C* is uncertain in the exponents and in what the paper prints; the date is
    when the frontier of training compute, fitted to its record, reached it.

    Parameters
    ----------
    scenario
        Whose fit of training compute is the frontier: an id or the path of a scenario file.
    seed
        Same seed, same numbers.
    json_
        Print JSON instead of tables.
    progress
        On standard error: bars, lines, json, none, or auto.
    """
    from .scenario_files import load_scenario

    chosen = load_scenario(scenario)
    if chosen.training_compute is None or not chosen.training_compute.fit:
        raise ValueError(
            f"scenario: {chosen.id!r} fits no training compute, expected one that does"
        )
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from .records import fit_record
            from .transition import summary, transition
        fit, _ = fit_record(chosen, "training_compute", report)
        found = transition(fit["trend"].to_dataset(), seed=seed)
    plain = summary(found) | {"scenario": chosen.id, "fit": fit.attrs["verdict"]}
    if json_:
        sys.stdout.write(json.dumps(plain, indent=2, allow_nan=False) + "\n")
    else:
        _print(plain)


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("reading of the paper", title="where L(C) meets L(D(C))")
    for name in ("petaFLOP/s-days", "FLOP", "parameters", "tokens", "loss"):
        table.add_column(name, justify="right")
    for row in found["readings"]:
        numbers = (row["petaflop_s_days"], row["training_flop"], row["parameters"], row["tokens"])
        cells = [f"{value:.3g}" for value in numbers]
        table.add_row(row["reading"], *cells, f"{row['loss_nats']:.3f}")
    out.print(table)
    low, middle, high = (f"{value:.1f}" for value in found["log10_flop"])
    dates = ["after the record" if y is None else f"{y:.1f}" for y in found["crossing_year"]]
    share = found["probability_crossed"]
    for line in (
        f"log10 FLOP of the crossing: {middle} (90 %: {low} to {high})",
        f"the frontier reached it in {dates[1]} (90 %: {dates[0]} to {dates[2]})",
        f"probability that it has by now: {share:.0%}",
        f"fit of training compute: {found['fit']}",
    ):
        out.print(line, markup=False, soft_wrap=True, highlight=False)
