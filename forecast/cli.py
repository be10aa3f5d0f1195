"""The command ``aitimelines``. Heavy libraries are imported by the commands that need them."""

import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

app = App(
    name="aitimelines",
    help="AI timelines: fit the record, forecast effective compute, find when it arrives.",
    help_epilogue="Start with: aitimelines run baseline",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
scenarios = App(name="scenario", help="Scenario files: what is forecast, and from which beliefs.")
data = App(name="data", help="The data tables that the record is fitted to.")
app.command(scenarios)
app.command(data)

out = Console()
err = Console(stderr=True)


@app.command
def run(
    scenario: str = "baseline",
    /,
    *,
    output: Path | None = None,
    samples: int | None = None,
    seed: int | None = None,
    as_of: str | None = None,
    horizon_year: int | None = None,
    json_: Annotated[bool, Parameter(name="--json")] = False,
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
        At least so many draws (rounded up; the number used is in the result).
    seed
        Same seed, same numbers.
    as_of
        The forecast's now, YYYY-MM-DD; default the scenario's, or the date of the data.
    horizon_year
        Last year of the forecast.
    json_
        Print summary.json instead of tables.
    overwrite
        Replace an existing result folder.
    """
    from .files import cached_path, copy_folder, refuse_existing
    from .provenance import forecast_key
    from .scenario_files import load_scenario

    chosen = load_scenario(
        scenario, samples=samples, seed=seed, as_of=as_of, horizon_year=horizon_year
    )
    folder = output if output is not None else _free_folder(Path("runs"), chosen.id)
    refuse_existing(folder, overwrite=overwrite)
    kept = cached_path("results", chosen.id, forecast_key(chosen))
    if kept.exists():
        copy_folder(kept, folder, overwrite=overwrite)
        err.print("the same forecast was made before: its result is copied", markup=False)
    else:
        _forecast(chosen, folder, overwrite)
        copy_folder(folder, kept, overwrite=True)
    _print_summary(folder, json_)
    if not json_:
        out.print(f"Written to {folder}", markup=False, soft_wrap=True)


@app.command
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
    from .tables import text_table

    path = folder / "summary.json"
    if not path.is_file():
        raise ValueError(f"result: no summary.json in {str(folder)!r}, expected a result folder")
    text = path.read_text(encoding="utf-8")
    if as_json:
        sys.stdout.write(text)
    else:
        out.print(text_table(json.loads(text)))


def _forecast(scenario: Any, folder: Path, overwrite: bool) -> None:
    """Fit, simulate and write the result folder, with progress."""
    with _progress() as report:
        report("load libraries", 0, 1)
        from .engine import fit, simulate
        from .summaries import write_result

        _keep_compiled_programs()
        report("load libraries", 1, 1)
        tree = simulate(scenario, fit(scenario, progress=report), progress=report)
        report("write", 0, 1)
        write_result(tree, folder, overwrite=overwrite)
        report("write", 1, 1)


@app.command
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


@scenarios.command(name="list")
def scenario_list() -> None:
    """List the scenarios that ship with the package."""
    from .scenario_files import load_scenario, scenario_ids

    for name in scenario_ids():
        out.print(f"{name}  {load_scenario(name).title}", markup=False, soft_wrap=True)


@scenarios.command(name="show")
def scenario_show(scenario: str, /, *, resolved: bool = False) -> None:
    """Print a scenario file.

    Parameters
    ----------
    scenario
        Id or path.
    resolved
        Print it with everything that its prior set supplies.
    """
    from .scenario_files import load_scenario, scenario_text, to_toml

    checked = load_scenario(scenario)
    sys.stdout.write(to_toml(checked) if resolved else scenario_text(scenario))


@scenarios.command(name="new")
def scenario_new(path: Path, /, *, based_on: str = "baseline", overwrite: bool = False) -> None:
    """Write a scenario file to start from, with the JSON Schema for editors beside it.

    Parameters
    ----------
    path
        File to write, NAME.toml; NAME becomes the id.
    based_on
        Id or path of the scenario to copy.
    overwrite
        Replace an existing file.
    """
    from .files import refuse_existing, write_text
    from .scenario_files import json_schema, scenario_from_dict, scenario_template

    if path.suffix != ".toml":
        raise ValueError(f"path: got {str(path)!r}, expected a name that ends in .toml")
    refuse_existing(path, overwrite=overwrite)
    text = scenario_template(path.stem, based_on=based_on)
    scenario_from_dict(tomllib.loads(text), name=str(path))
    write_text(path, text)
    write_text(path.parent / "scenario.schema.json", json.dumps(json_schema(), indent=2) + "\n")
    message = f"Written to {path}; run it with: aitimelines run {path}"
    out.print(message, markup=False, soft_wrap=True)


@scenarios.command(name="schema")
def scenario_schema() -> None:
    """Print the JSON Schema of scenario files, for completion in editors."""
    from .scenario_files import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@data.command(name="list")
def data_list() -> None:
    """List the data tables with their dates and licences."""
    from rich.table import Table

    from .datasets import table_ids, table_info

    table = Table("id", "title", "vintage", "licence")
    table.columns[0].no_wrap = True
    for name in table_ids():
        info = table_info(name)
        vintage = f"{info.vintage.isoformat()}{' (imported)' if info.imported else ''}"
        table.add_row(name, info.title, vintage, info.licence)
    out.print(table)


@data.command(name="show")
def data_show(table: str, /) -> None:
    """Describe a data table: source, licence, caveats, columns with units.

    Parameters
    ----------
    table
        Id of the table (see: aitimelines data list).
    """
    from rich.table import Table

    from .datasets import load, table_info

    info, dataset = table_info(table), load(table)
    head = {
        "title": info.title,
        "rows": dataset.sizes[info.row_dimension],
        "vintage": info.vintage.isoformat(),
        "licence": info.licence,
        "attribution": info.attribution,
        "citation": info.citation,
        "sha256": info.sha256,
    }
    for key, value in head.items():
        out.print(f"{key}: {value}", markup=False, soft_wrap=True)
    for warning in info.warnings:
        out.print(f"note: {warning}", markup=False, soft_wrap=True)
    columns = Table("column", "unit", "known", "meaning")
    for name, variable in dataset.variables.items():
        known = int(variable.to_numpy().size - _missing(variable))
        units, meaning = (str(variable.attrs.get(k, "")) for k in ("units", "long_name"))
        columns.add_row(str(name), units, str(known), meaning)
    out.print(columns)


def _missing(variable: Any) -> int:
    values = variable.to_numpy()
    return int((values == "").sum() if values.dtype == object else (values != values).sum())


@data.command(name="import")
def data_import(
    file: Path,
    /,
    *,
    table: str = "notable_models",
    vintage: str | None = None,
    overwrite: bool = False,
) -> None:
    """Take a CSV as Epoch AI publishes it (its column names) in place of a packaged table.

    Parameters
    ----------
    file
        The CSV file.
    table
        Which table it is: notable_models or ml_hardware, or any table in our own column names.
    vintage
        Date of the download, YYYY-MM-DD; default the newest date in the file.
    overwrite
        Replace a table that was imported before.
    """
    from .datasets import import_table

    info = import_table(file, table_id=table, vintage=vintage, overwrite=overwrite)
    message = f"{table} imported to {info.path}; fits use it from now on"
    out.print(message, markup=False, soft_wrap=True)


def _free_folder(parent: Path, name: str) -> Path:
    candidates = (parent / (name if i == 1 else f"{name}-{i}") for i in range(1, 10_000))
    return next(folder for folder in candidates if not folder.exists())


def _keep_compiled_programs() -> None:
    """Let JAX keep compiled programs in the cache folder, for the next run."""
    import jax

    from .files import cache_directory

    folder = cache_directory() / "compiled"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that shows progress with time left: bars for people, lines for logs."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if not err.is_terminal:
        yield _progress_lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bars:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield advance


def _progress_lines() -> Callable[[str, int, int], None]:
    """Return a function that says at the start, half-way and at the end how far things are."""
    began: dict[str, float] = {}
    said: set[tuple[str, int]] = set()

    def say(what: str, done: int, total: int) -> None:
        start = began.setdefault(what, monotonic())
        half = 2 * done // max(total, 1)
        if (what, half) in said:
            return
        said.add((what, half))
        left = (monotonic() - start) * (total - done) / done if done else 0.0
        note = f", about {left:.0f} s left" if 0 < done < total else ""
        err.print(f"{what} {done}/{total}{note}", markup=False, soft_wrap=True)

    return say


def main(arguments: list[str] | None = None) -> None:
    """Run the command; bad input is one sentence on standard error and exit code 2."""
    try:
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


def _fail(message: str) -> None:
    err.print(f"aitimelines: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(2)
