"""``aitimelines sweep``: forecast many scenarios into one store, and check that store."""

import re
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from .progress import Kind, shown

EXAMPLES = """Examples:

    aitimelines sweep mine.toml                    # again: goes on where it stopped
    aitimelines sweep mine.toml --output results --progress json
    aitimelines sweep mine.toml --cluster tls://scheduler.example:8786
    aitimelines sweep verify sweeps/mine
"""
SHOWN_ROWS, SHOWN_FIELDS, WIDEST = 20, 3, 24
app = App(
    name="sweep",
    help="Forecast many scenarios, crossed or listed in one file, into one store.",
    help_epilogue=EXAMPLES,
    default_parameter=Parameter(negative=()),
)
out = Console()
err = Console(stderr=True)


@app.default
def sweep(
    file: Path,
    /,
    *,
    output: Path | None = None,
    cluster: str | None = None,
    task_size: Annotated[
        int | None, Parameter(validator=lambda _, size: _at_least_one(size))
    ] = None,
    progress: Kind = "auto",
    overwrite: bool = False,
) -> None:
    """Forecast the scenarios of a sweep file.

    The folder holds sweep.zarr, its ledger, and the sweep file. The same command again goes on
    where it was interrupted, and mends what has been damaged since; a finished sweep says so.

    Parameters
    ----------
    file
        Sweep file, TOML: see docs/sweep.md.
    output
        Folder; default sweeps/NAME for NAME.toml.
    cluster
        Address of a dask.distributed scheduler whose workers see the folder: tls://HOST:PORT, or
        tcp://127.0.0.1:PORT on this machine. Default: this process alone.
    task_size
        Scenarios a task, the most that an interruption loses; default 64. Changes no result.
    progress
        On standard error: bars, lines, json (one object a line: what, done, total, elapsed_s,
        left_s), none, or auto: bars in a terminal, lines elsewhere.
    overwrite
        Replace an existing folder.
    """
    from .sweep import run_sweep
    from .sweep_store import read_sweep

    folder = output if output is not None else Path("sweeps") / file.stem
    try:
        with shown(progress) as report:
            done = run_sweep(
                file,
                folder,
                cluster=cluster,
                task_size=task_size,
                overwrite=overwrite,
                progress=report,
            )
    except KeyboardInterrupt:
        raise ValueError(
            "interrupted; what has landed is kept, the same command again goes on from there"
        ) from None
    if not done:
        err.print("the sweep was finished before: every byte of it is as it was written")
    _print_results(read_sweep(folder))
    _print_notes(folder)
    out.print(f"Written to {folder}", markup=False, soft_wrap=True)


@app.command
def verify(folder: Path, /) -> None:
    """Check every byte of a sweep, and name what is damaged.

    Parameters
    ----------
    folder
        Folder that aitimelines sweep has written.
    """
    from . import ledger
    from .sweep_store import store_of

    store = store_of(folder)
    found = ledger.damage(store)
    for sentence in found:
        out.print(sentence, markup=False, soft_wrap=True)
    if found:
        raise ValueError(f"{len(found)} damaged; the sweep command again mends what tasks wrote")
    plan = ledger.read_plan(store)
    landed = len(ledger.landed(store, plan))
    state = "complete" if ledger.is_complete(store) else "not complete"
    message = f"{folder}: {state}, {landed} of {len(plan.tasks)} tasks have landed, none is damaged"
    out.print(message, markup=False, soft_wrap=True)


def _at_least_one(size: int | None) -> None:
    if size is not None and size < 1:
        raise ValueError(f"task_size: got {size}, expected at least 1")


def _print_results(dataset: Any) -> None:
    """Print what was varied and when it arrives, for the first scenarios."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    several = len(set(dataset["scenario_id"].to_numpy())) > 1
    varied = ["scenario_id"] * several + list(dataset.attrs["varied"])
    varied, left_out = varied[:SHOWN_FIELDS], len(varied[SHOWN_FIELDS:])
    levels = [0.05, 0.5, 0.95]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in varied:
        table.add_column(Text(_cut(name.rpartition(".")[2])))
    for header in (*(f"{level:g}" for level in levels), "never", "fits"):
        table.add_column(header, no_wrap=True)
    for i in range(min(SHOWN_ROWS, dataset.sizes["scenario"])):
        row = dataset.isel(scenario=i)
        years = row["arrival_year_quantile"].sel(quantile=levels).to_numpy()
        table.add_row(
            *(Text(_cut(row[name].item())) for name in varied),
            *(f"{year:.1f}" if year < float("inf") else "-" for year in years),
            f"{float(row['p_never_by_horizon']):.3f}",
            str(row["verdict"].item()),
        )
    out.print("Year by which it has arrived with probability 5, 50, 95 %; never: by the horizon")
    out.print(table)
    if left_out:
        out.print(f"not shown: {left_out} more fields that vary")
    if dataset.sizes["scenario"] > SHOWN_ROWS:
        out.print(f"and {dataset.sizes['scenario'] - SHOWN_ROWS} scenarios more")


def _cut(value: object) -> str:
    """Return a value as short as a column should be."""
    plain = f"{value:.5g}" if isinstance(value, float) else re.sub(r'[{}"]', "", str(value))
    return plain if len(plain) <= WIDEST else f"{plain[: WIDEST - 1]}…"


def _print_notes(folder: Path) -> None:
    from . import ledger
    from .sweep_store import store_of

    notes = ledger.notes(store_of(folder))
    for note in notes[:SHOWN_ROWS]:
        err.print(f"no forecast: {note}", markup=False, soft_wrap=True)
    if len(notes) > SHOWN_ROWS:
        err.print(f"and {len(notes) - SHOWN_ROWS} scenarios more have no forecast")
