"""The command ``aitimelines``. Heavy libraries are imported by the commands that need them."""

import _thread
import atexit
import gc
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from .compiled import loading, use_every_core
from .progress import Kind, note, shown, warnings_as_notes
from .tables import text_table

EXAMPLES = """Examples:

    aitimelines run baseline
    aitimelines run baseline --samples 1e6 --horizon-year 2060 --output mine
    aitimelines run cotra-2020 --json
    aitimelines run mine.toml --progress json    # progress for a program
"""
app = App(
    name="aitimelines",
    help="AI timelines: fit the record, forecast effective compute, find when it arrives.",
    help_epilogue="""Examples:

    aitimelines run baseline              # fit, forecast, write runs/baseline
    aitimelines show runs/baseline
    aitimelines scenario new mine.toml    # beliefs of your own, to edit
    aitimelines run --help
""",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
for _name, _help in (
    ("scenario", "Scenario files: what is forecast, and from which beliefs."),
    ("data", "The data tables that the record is fitted to."),
    ("laws", "Scaling laws: published ones, their losses and compute-optimal runs."),
    ("sweep", "Forecast many scenarios, crossed or listed in one file, into one store."),
    ("history", "The historical record, study by study: rival models fitted, judged, compared."),
    ("reproduce", "Published numbers on the record, computed again from the data."),
):
    app.command(f"{__package__}.cli_{_name}:app", name=_name, help=_help)
app.command(
    f"{__package__}.cli_ask:ask",
    name="ask",
    help="Questions of the forecasting debate: both sides, and what the numbers say.",
)
app.command(
    f"{__package__}.cli_backtest:backtest",
    name="backtest",
    help="Forecasts from past dates, scored on what came, beside naive and published ones.",
    help_epilogue="""Examples:

    aitimelines backtest baseline
    aitimelines backtest mine.toml --as-of 2019,2021-07-01 --output backtest-of-mine
    aitimelines backtest --json | jq .skill
""",
)

out = Console()
err = Console(stderr=True)


def _whole(_: Any, tokens: Sequence[Any]) -> int:
    """Return a whole number, which may be written 1000000, 1_000_000 or 1e6."""
    text = tokens[0].value
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        if float(text).is_integer():
            return int(float(text))
    raise ValueError(f"got {text!r}, expected a whole number")


Whole = Annotated[int | None, Parameter(converter=_whole)]


@app.command(help_epilogue=EXAMPLES)
def run(
    scenario: str = "baseline",
    /,
    *,
    output: Path | None = None,
    samples: Whole = None,
    seed: Whole = None,
    as_of: str | None = None,
    horizon_year: Whole = None,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    progress: Kind = "auto",
    overwrite: bool = False,
) -> None:
    """Fit the record, simulate, print the forecast and write a result folder.

    The folder holds result.zarr, summary.json, scenario.toml (as resolved), timeline and compute
    figures (.png and .svg). Fits and results are kept in the cache folder ($AITIMELINES_CACHE) and
    reused while scenario, data, code, versions and seed agree.

    Parameters
    ----------
    scenario
        Id of a scenario (see: aitimelines scenario list), or the path of a scenario file.
    output
        Result folder; default runs/ID, numbered if that exists.
    samples
        At least so many draws (rounded up; the number used is in the result), 1e6 for example.
    seed
        Same seed, same numbers.
    as_of
        The forecast's now, YYYY-MM-DD; default the scenario's, or the date of the data.
    horizon_year
        Last year of the forecast.
    json_
        Print summary.json instead of tables.
    progress
        On standard error: bars, lines, json (one object a line: what, done, total, elapsed_s,
        left_s; or note), none, or auto: bars in a terminal, lines elsewhere.
    overwrite
        Replace an existing result folder.
    """
    from .files import cached_path, copy_folder, refuse_existing
    from .preflight import check
    from .provenance import forecast_key
    from .scenario_files import load_scenario

    chosen = load_scenario(
        scenario, samples=samples, seed=seed, as_of=as_of, horizon_year=horizon_year
    )
    folder = output if output is not None else _free_folder(Path("runs"), chosen.id)
    refuse_existing(folder, overwrite=overwrite)
    check(chosen, folder=folder)
    kept = cached_path("results", chosen.id, forecast_key(chosen))
    if (kept / "summary.json").is_file():
        with shown(progress) as report:
            copy_folder(kept, folder, overwrite=overwrite)
            report("copy the result, made before", 1, 1)
        _print_summary(folder, json_)
    else:
        _forecast(chosen, folder, overwrite=overwrite, as_json=json_, progress=progress)
        try:
            with suppress(KeyboardInterrupt):
                copy_folder(folder, kept, overwrite=True)
        except OSError as error:
            note(f"the result is not kept for another run: {error}", progress)
    if not json_:
        out.print(f"Written to {folder}", markup=False, soft_wrap=True)


def _forecast(
    scenario: Any, folder: Path, *, overwrite: bool, as_json: bool, progress: Kind
) -> None:
    """Fit, simulate, print, and write the result folder."""
    tree = _simulated(scenario, progress)
    from .summaries import summary, write_result

    # A person need not wait for the figures. A program gets what has been written.
    early = out.is_terminal and not as_json
    if early:
        out.print(text_table(summary(tree)))
    with shown(progress) as report:
        report("write", 0, 1)
        write_result(tree, folder, overwrite=overwrite)
        report("write", 1, 1)
    if not early:
        _print_summary(folder, as_json)


def _simulated(scenario: Any, progress: Kind) -> Any:
    """Fit and simulate."""
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from .engine import fit, simulate

            use_every_core()
        return simulate(scenario, fit(scenario, progress=report), progress=report)


SHOW_EXAMPLES = """Examples:

    aitimelines show runs/baseline
    aitimelines show runs/baseline --json | jq .quantiles
"""


@app.command(help_epilogue=SHOW_EXAMPLES)
def show(result: Path, /, *, json_: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Print the summary of a result folder.

    Parameters
    ----------
    result
        Folder that aitimelines run has written.
    json_
        Print summary.json instead of tables.
    """
    _print_summary(result, json_)


def _print_summary(folder: Path, as_json: bool) -> None:
    path = folder / "summary.json"
    if not path.is_file():
        raise ValueError(f"result: no summary.json in {str(folder)!r}, expected a result folder")
    text = path.read_text(encoding="utf-8")
    if as_json:
        sys.stdout.write(text)
    else:
        out.print(text_table(json.loads(text)))


EXPORT_EXAMPLES = """Examples:

    aitimelines export runs/baseline baseline.nc
    aitimelines export runs/baseline tables --format csv
"""


@app.command(help_epilogue=EXPORT_EXAMPLES)
def export(
    result: Path,
    target: Path,
    /,
    *,
    format_: Annotated[Literal["netcdf", "parquet", "csv"], Parameter(name="--format")] = "netcdf",
    overwrite: bool = False,
) -> None:
    """Write a result as netCDF (one file), or as Parquet or CSV tables (a folder).

    Parameters
    ----------
    result
        Result folder.
    target
        File (netcdf) or folder (parquet, csv) to write.
    format_
        netcdf, parquet or csv.
    overwrite
        Replace an existing target.
    """
    from .storage import export as write_export
    from .storage import find_result, read_tree

    tree = read_tree(find_result(result))
    for path in write_export(tree, target, format_, overwrite=overwrite):
        out.print(str(path), markup=False, soft_wrap=True)


def _free_folder(parent: Path, name: str) -> Path:
    candidates = (parent / (name if i == 1 else f"{name}-{i}") for i in range(1, 10_000))
    return next(folder for folder in candidates if not folder.exists())


def main(arguments: list[str] | None = None) -> None:
    """Run the command; bad input is one sentence on standard error and exit code 2."""
    atexit.register(gc.freeze)  # what is left goes with the process
    try:
        with _no_interrupt_is_lost():
            app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(f"{error}")
    except (ValueError, FileExistsError, FileNotFoundError) as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of a pipe has left, and output may still be buffered
        os._exit(0)
    except OSError as error:
        _fail(f"cannot write: {error}")
    except KeyboardInterrupt:
        _fail("interrupted; no result was written")


@contextmanager
def _no_interrupt_is_lost() -> Iterator[None]:
    """Interrupt again where Ctrl-C came in a callback of the garbage collector.

    Python ignores what is raised there, and JAX has such a callback.
    """
    before = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            Timer(0.01, _thread.interrupt_main).start()  # here it would be ignored again
        else:
            before(ignored)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _fail(message: str) -> None:
    err.print(f"aitimelines: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(2)
