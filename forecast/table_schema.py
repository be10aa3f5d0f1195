"""What a table may hold: its description in `data/tables.toml`, and the check of a file against it.

A file that breaks its description is refused with the line, the column, what is there and what
should be. pandas and pandera load only when a table is checked.
"""

from __future__ import annotations

import csv
import difflib
import io
import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent / "data"
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
DATE = r"(?:1[7-9]|2[01])\d{2}-\d{2}-\d{2}"
LARGEST_WHOLE = 2**53


@dataclass(frozen=True)
class Column:
    """One column of a table: what its cells are and may be."""

    name: str
    dtype: str
    description: str
    required: bool
    unit: str | None = None
    minimum: float | date | None = None
    exclusive_minimum: float | None = None
    maximum: float | date | None = None
    values: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What a cell should be, in words."""
        what = {
            "string": "a text",
            "category": "one of " + ", ".join(self.values),
            "boolean": "true or false",
            "date": "a date as YYYY-MM-DD",
            "integer": "a whole number",
            "float": "a finite number",
        }[self.dtype]
        limits = {">": self.exclusive_minimum, ">=": self.minimum, "<=": self.maximum}
        bounds = " and ".join(f"{sign} {at}" for sign, at in limits.items() if at is not None)
        unit = f"[{self.unit}]" if self.unit else ""
        return " ".join(filter(None, (what, bounds, unit)))


@dataclass(frozen=True)
class TableInfo:
    """Where a table comes from, under which terms, and what its columns are.

    Fields are as in `data/tables.toml`; `path` is the file that is read.
    """

    id: str
    title: str
    description: str
    vintage: date
    vintage_precision: str
    as_of: date
    licence: str
    attribution: str
    citation: str
    warnings: tuple[str, ...]
    sha256: str
    row_dimension: str
    date_column: str | None
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    path: Path
    imported: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns without empty cells."""
        return tuple(column.name for column in self.columns if column.required)


@dataclass(frozen=True)
class Cells:
    """The text of a file: its header, its rows, and the line on which each row starts."""

    file: str
    header: list[str]
    rows: list[list[str]]
    lines: list[int]


@cache
def tables() -> dict[str, Any]:
    """Return `data/tables.toml`."""
    return tomllib.loads((FOLDER / "tables.toml").read_text(encoding="utf-8"))


@cache
def embedded(table_id: str) -> TableInfo:
    """Return the description of an embedded table.

    Raises
    ------
    ValueError
        If no table has this id; the message names the nearest one.
    """
    known = tables()["tables"]
    if table_id not in known:
        (nearest,) = difflib.get_close_matches(str(table_id), known, n=1, cutoff=0.0)
        raise ValueError(f"table: got {table_id!r}, expected an id such as {nearest!r}")
    entry: dict[str, Any] = {"vintage_precision": "day", "date_column": None} | known[table_id]
    required = entry.pop("required")
    entry["columns"] = tuple(_column(name, name in required) for name in entry["columns"])
    entry["warnings"] = (*entry["warnings"], *entry.pop("vintage_warnings", ()))
    entry["key"] = tuple(entry["key"])
    return TableInfo(id=table_id, path=FOLDER / f"{table_id}.csv", **entry)


def _column(name: str, required: bool) -> Column:
    entry = dict(tables()["columns"][name])
    values = tuple(entry.pop("values", ()))
    return Column(name=name, required=required, values=values, **entry)


def read_cells(path: Path) -> Cells:
    """Return the cells of a CSV file in UTF-8, with or without a byte order mark.

    Rows without any text are left out.

    Raises
    ------
    ValueError
        If the file is empty, in another encoding, or not CSV with equally many cells in each row.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"{path.name}: line {line}: got bytes that are not UTF-8, expected CSV in UTF-8"
        raise ValueError(message) from error
    if not text.strip():
        raise ValueError(f"{path.name}: got an empty file, expected a header and rows of CSV")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines, start = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path.name}: line {start}: not CSV ({error})") from error
    header = [cell.strip() for cell in rows[0]]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            message = f"got {len(row)} cells, expected {len(header)} as in the header"
            raise ValueError(f"{path.name}: line {line}: {message}")
    if len(rows) == 1:
        raise ValueError(f"{path.name}: got a header alone, expected rows below it")
    return Cells(path.name, header, rows[1:], lines[1:])


def checked_frame(
    info: TableInfo, text: pd.DataFrame, lines: list[int], labels: dict[str, str]
) -> pd.DataFrame:
    """Return the table with types, checked against its description.

    Parameters
    ----------
    info
        Description of the table.
    text
        Cells as text, shape (rows, columns), columns by our names; empty text is missing. Columns
        that are not required may be absent.
    lines, labels
        Line of each row in the file, and names of columns that differ there, for messages.

    Returns
    -------
    pandas.DataFrame
        All columns of the description in its order; missing is NaN, NaT or NA. Dtypes: `string`,
        `category`, `datetime64[ns]`, float64 (int64 if whole and required), `boolean` (bool if
        required).

    Raises
    ------
    ValueError
        If a cell is not what its column expects or a row repeats another in the key. Names the
        table, the line, the column, what is there and what should be.
    """
    import pandas as pd

    text = text.reindex(columns=[column.name for column in info.columns], fill_value="")

    def refuse(row: int, column: Column) -> ValueError:
        label = labels.get(column.name, column.name)
        got = f"got {text[column.name].iloc[row]!r}, expected {column.expected}"
        return ValueError(f"{info.id}: line {lines[row]}, column {label!r}: {got}")

    typed = {}
    for column in info.columns:
        cells = text[column.name]
        values, fits = _typed(column, cells)
        wrong = ~fits if column.required else ~fits & (cells != "")
        if wrong.any():
            raise refuse(int(wrong.argmax()), column)
        typed[column.name] = values
    frame = pd.DataFrame(typed)
    for failure in _failures(info, frame):
        raise refuse(*failure)
    _refuse_repeats(info, frame, text, lines)
    return frame


def _typed(column: Column, text: pd.Series[str]) -> tuple[pd.Series[Any], pd.Series[bool]]:
    """Return the values of a column and whether each cell is of its type."""
    import numpy as np
    import pandas as pd

    if column.dtype == "string":
        return text.astype("string").mask(text == ""), text != ""
    if column.dtype == "category":
        kind = pd.CategoricalDtype(list(column.values))
        known = text.isin(column.values)
        return text.where(known, None).astype(kind), known
    if column.dtype == "boolean":
        values = text.map({"true": True, "false": False}).astype("boolean")
        known = values.notna()
        return (values.astype(bool) if column.required and known.all() else values), known
    if column.dtype == "date":
        fits = text.str.fullmatch(DATE)
        dates = pd.to_datetime(text.where(fits, None), format="%Y-%m-%d", errors="coerce")
        return dates.astype("datetime64[ns]"), dates.notna()
    fits = text.str.fullmatch(NUMBER)
    numbers = text.where(fits, "nan").astype("float64")
    fits &= np.isfinite(numbers)
    if column.dtype == "integer":
        fits &= (np.trunc(numbers) == numbers) & (numbers.abs() <= LARGEST_WHOLE)
        if column.required and fits.all():
            return numbers.astype("int64"), fits
    return numbers, fits


def _failures(info: TableInfo, frame: pd.DataFrame) -> list[tuple[int, Column]]:
    """Return (row, column) of the cells out of range, by row."""
    import pandera.pandas as pa

    schema = pa.DataFrameSchema({column.name: _rule(column) for column in info.columns})
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.sort_values("index")
        columns = {column.name: column for column in info.columns}
        failed = zip(cases["index"], cases["column"], strict=True)
        return [(int(row), columns[name]) for row, name in failed]
    return []


def _rule(column: Column) -> Any:
    """Return the pandera column: type, limits, and whether values may be missing."""
    import pandas as pd
    import pandera.pandas as pa

    def limit(at: Any) -> Any:
        return pd.Timestamp(at) if isinstance(at, date) else at

    number = "int64" if column.dtype == "integer" and column.required else "float64"
    dtype = {
        "string": pd.StringDtype(),
        "category": pd.CategoricalDtype(list(column.values)),
        "boolean": bool if column.required else pd.BooleanDtype(),
        "date": "datetime64[ns]",
    }.get(column.dtype, number)
    limits = {"ge": column.minimum, "gt": column.exclusive_minimum, "le": column.maximum}
    rules = [getattr(pa.Check, name)(limit(at)) for name, at in limits.items() if at is not None]
    return pa.Column(dtype, checks=rules, nullable=not column.required)


def _refuse_repeats(
    info: TableInfo, frame: pd.DataFrame, text: pd.DataFrame, lines: list[int]
) -> None:
    """Raise if two rows agree in all columns of the key; two missing cells agree."""
    key = list(info.key)
    repeats = frame.duplicated(key)
    if not repeats.any():
        return
    row = int(repeats.argmax())
    group = frame.groupby(key, dropna=False, observed=True, sort=False).ngroup()
    first = int((group == group.iloc[row]).argmax())
    got = ", ".join(f"{name} {text[name].iloc[row]!r}" for name in key)
    where = f"{info.id}: line {lines[row]} repeats line {lines[first]}"
    raise ValueError(f"{where}: got {got} again, expected one row for each {' and '.join(key)}")
