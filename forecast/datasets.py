"""The tables the models of history are fitted to: embedded ones, and later versions you import.

`load` gives an `xarray.Dataset` with units, `load_frame` a `pandas.DataFrame`; both check every
cell against `data/tables.toml`, where sources, vintages, licences and caveats stand too. A table
that `import_table` has put into the data folder takes the place of the embedded one of the same
id; `table_info` tells which one is read. The data folder is `$AITIMELINES_DATA`, or `data` in the
user's data folder of the system. To go back, remove `<id>.toml` from it, or point the variable at
an empty folder.

pandas, pandera and xarray are imported only when a table is read, so that ids, descriptions and
hashes are cheap.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .table_schema import Column, TableInfo, checked_frame, embedded, read_cells, tables

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

_DAY = np.timedelta64(1, "D")
_TENTH_OF_A_SECOND_DAYS = 1e-6


def table_ids() -> list[str]:
    """Return the ids of all tables."""
    return list(tables()["tables"])


def data_directory() -> Path:
    """Return the folder of imported tables: `$AITIMELINES_DATA`, or in the user's data folder."""
    chosen = os.environ.get("AITIMELINES_DATA")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("aitimelines")) / "data"


def table_info(table_id: str, *, directory: str | os.PathLike[str] | None = None) -> TableInfo:
    """Return where a table comes from, its terms, its columns, and the file that is read.

    Parameters
    ----------
    table_id
        One of `table_ids()`.
    directory
        Folder of imported tables, `data_directory()` if None.

    Raises
    ------
    ValueError
        If no table has this id; the message names the nearest one.
    """
    info = embedded(table_id)
    folder = data_directory() if directory is None else Path(directory).expanduser()
    record = folder / f"{table_id}.toml"
    return _imported(info, record) if record.is_file() else info


def _imported(info: TableInfo, record: Path) -> TableInfo:
    """Return the description of a table with what the record of its import says instead."""
    try:
        entry = tomllib.loads(record.read_text(encoding="utf-8"))
        warnings = (*tables()["tables"][info.id]["warnings"], *entry["warnings"])
        taken = ("vintage", "vintage_precision", "as_of", "licence", "attribution", "sha256")
        changed: dict[str, Any] = {name: entry[name] for name in taken}
    except (KeyError, ValueError) as error:
        message = f"got {error}, expected the record of an import; import the table again"
        raise ValueError(f"{info.id}: {record}: {message}") from error
    path = record.with_suffix(".csv")
    return replace(info, **changed, warnings=warnings, path=path, imported=True)


def sha256(table_id: str, *, directory: str | os.PathLike[str] | None = None) -> str:
    """Return the SHA-256 of the file of a table, as hexadecimal digits.

    It changes when another version is imported: a key for caches of what is fitted to the table.
    """
    info = table_info(table_id, directory=directory)
    return hashlib.sha256(info.path.read_bytes()).hexdigest()


def load_frame(table_id: str, *, directory: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Return a table, every cell checked.

    Parameters
    ----------
    table_id
        One of `table_ids()`.
    directory
        Folder of imported tables, `data_directory()` if None.

    Returns
    -------
    pandas.DataFrame
        One row for each row of the file in its order, columns as in `table_info(table_id).columns`
        with the units named there; missing is NaN, NaT or NA. Rows without a date are kept.

    Raises
    ------
    ValueError
        If no table has this id, the file is not the one recorded, or a cell breaks the description.
    """
    import pandas as pd

    info = table_info(table_id, directory=directory)
    try:
        found = sha256(table_id, directory=directory)
    except FileNotFoundError as error:
        raise ValueError(f"{table_id}: no file {info.path}; import the table again") from error
    if found != info.sha256:
        cure = "import the table again" if info.imported else "install the package again"
        message = f"got a file with SHA-256 {found}, expected {info.sha256}; {cure}"
        raise ValueError(f"{table_id}: {info.path}: {message}")
    cells = read_cells(info.path)
    return checked_frame(info, pd.DataFrame(cells.rows, columns=cells.header), cells.lines, {})


def load(table_id: str, *, directory: str | os.PathLike[str] | None = None) -> xr.Dataset:
    """Return a table with units, every cell checked.

    Parameters
    ----------
    table_id
        One of `table_ids()`.
    directory
        Folder of imported tables, `data_directory()` if None.

    Returns
    -------
    xarray.Dataset
        One variable for each column over one dimension (`system`, `hardware`, `run` or
        `measurement`), with `long_name` and, for numbers, `units`. Names, dates and the decimal
        `year` [year] are coordinates. Missing is NaN, NaT or the empty text; booleans with missing
        values are 1, 0 and NaN. Attributes: table_id, title, vintage, as_of, licence, attribution,
        citation, sha256, warnings.

    Raises
    ------
    ValueError
        As `load_frame`.
    """
    import xarray as xr

    info = table_info(table_id, directory=directory)
    frame = load_frame(table_id, directory=directory)
    dimension = info.row_dimension
    variables = {
        column.name: (dimension, _values(frame[column.name]), _attributes(column))
        for column in info.columns
    }
    dataset = xr.Dataset(variables, attrs=_provenance(info))
    labels = [name for name in ("name", "model", info.date_column) if name in variables]
    if info.date_column is not None:
        attributes = {"long_name": "Date as decimal year", "units": "year"}
        years = decimal_year(dataset[info.date_column].values)
        dataset = dataset.assign_coords(year=(dimension, years, attributes))
    return dataset.set_coords(labels)


def _values(column: pd.Series) -> NDArray[Any]:
    if column.dtype in ("string", "category"):
        return column.astype(object).where(column.notna(), "").to_numpy(dtype=object)
    if column.dtype == "boolean":
        return column.to_numpy(dtype=float if column.isna().any() else bool, na_value=np.nan)
    return column.to_numpy()


def _attributes(column: Column) -> dict[str, str]:
    units = {"units": column.unit} if column.unit else {}
    return {"long_name": column.description} | units


def _provenance(info: TableInfo) -> dict[str, str]:
    named = ("title", "vintage", "as_of", "licence", "attribution", "citation", "sha256")
    entries = {name: str(getattr(info, name)) for name in named}
    return {"table_id": info.id} | entries | {"warnings": "\n".join(info.warnings)}


def decimal_year(dates: ArrayLike) -> NDArray[np.float64]:
    """Return dates as decimal years.

    Year Y plus the days since 1 January of Y over the days of Y (365 or 366): 1 January 0:00 is Y.0
    exactly, and every day of a year is equally long.

    Parameters
    ----------
    dates
        `datetime64`, `datetime.date`, or ISO text, any shape; NaT allowed.

    Returns
    -------
    numpy.ndarray
        Calendar years [year], same shape, NaN for NaT.

    Raises
    ------
    ValueError
        If something is not a date.
    """
    given = np.asarray(dates)
    at = given if given.dtype.kind == "M" else given.astype("datetime64[us]")
    years = at.astype("datetime64[Y]")
    first = years.astype("datetime64[D]")
    days = ((years + 1).astype("datetime64[D]") - first) / _DAY
    number = np.where(np.isnat(at), np.nan, years.astype(np.int64) + 1970.0)
    return number + (at - first) / _DAY / days


def date_of(decimal_year: ArrayLike) -> NDArray[np.datetime64]:
    """Return the day that holds an instant given as decimal year; inverse of `decimal_year`.

    Parameters
    ----------
    decimal_year
        Calendar years [year], any shape, as `decimal_year` defines them.

    Returns
    -------
    numpy.ndarray
        Days as `datetime64[D]`, same shape; NaT where the year is not finite. An instant less than
        a tenth of a second before midnight counts as the next day, which absorbs rounding.
    """
    at = np.asarray(decimal_year, dtype=np.float64)
    finite = np.where(np.isfinite(at), at, 1970.0)
    whole = np.floor(finite)
    years = (whole - 1970).astype(np.int64).astype("datetime64[Y]")
    first = years.astype("datetime64[D]")
    days = ((years + 1).astype("datetime64[D]") - first) / _DAY
    elapsed = np.floor((finite - whole) * days + _TENTH_OF_A_SECOND_DAYS)
    return np.where(np.isfinite(at), first + elapsed.astype(np.int64) * _DAY, np.datetime64("NaT"))


def import_table(
    path: str | os.PathLike[str],
    table_id: str = "notable_models",
    *,
    directory: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    vintage: str | None = None,
) -> TableInfo:
    """Take in a CSV file as the table that `load` returns from now on.

    Accepts the files Epoch AI publishes of notable AI models (`notable_models`) and of machine-
    learning hardware (`ml_hardware`) under their published column names, old spellings too, and any
    table under our own column names. Other columns are ignored.

    Parameters
    ----------
    path
        The CSV file, UTF-8, at most 200 MB.
    table_id
        The table it replaces, one of `table_ids()`.
    directory
        Folder to write `<table_id>.csv` and `<table_id>.toml` to, `data_directory()` if None. Give
        the same folder to `load`, or set `AITIMELINES_DATA` to it.
    overwrite
        Replace an earlier import.
    vintage
        Day the file was published or downloaded, as YYYY-MM-DD; the newest date in it if None.

    Returns
    -------
    TableInfo
        The description of the imported table; `warnings` says which cells count as unknown.

    Raises
    ------
    ValueError
        If the file is not CSV, lacks a required column, or a cell, row or argument is wrong. Names
        line and column of the file, what is there and what should be.
    FileExistsError
        If there is an earlier import and `overwrite` is false.
    """
    from .importing import converted, write_import

    info = embedded(table_id)
    folder = data_directory() if directory is None else Path(directory).expanduser()
    if (folder / f"{table_id}.toml").exists() and not overwrite:
        message = "an import of this table exists; pass overwrite=True to replace it"
        raise FileExistsError(f"{table_id}: {folder}: {message}")
    write_import(folder, converted(info, Path(path).expanduser(), vintage))
    return table_info(table_id, directory=folder)
