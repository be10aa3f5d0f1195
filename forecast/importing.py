"""Take in tables that others publish: find our columns in theirs, check, write ours and a record.

Names of columns in published files stand in `data/tables.toml` under `published`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .table_schema import Cells, Column, TableInfo, checked_frame, read_cells, tables

if TYPE_CHECKING:
    import pandas as pd

LARGEST_FILE_BYTES = 200 * 2**20
_YES = {"true", "yes", "1", "1.0", "checked"}
_NO = {"", "false", "no", "0", "0.0"}


@dataclass(frozen=True)
class Import:
    """What an import writes: a table as CSV in our schema, and the record of where it is from."""

    table_id: str
    csv: bytes
    record: dict[str, Any]


def converted(info: TableInfo, path: Path, vintage: str | None) -> Import:
    """Return a published file in our schema, checked; see `datasets.import_table`."""
    published_on = _day("vintage", vintage) if vintage is not None else None
    _check_size(path)
    cells = read_cells(path)
    names = tables()["published"].get(info.id, {})
    positions = _positions(info, cells, names)
    text, notes = _text(info, cells, positions, names)
    labels = {name: cells.header[at] for name, at in positions.items()}
    frame = checked_frame(info, text, cells.lines, labels)
    table = _csv(info, frame)
    newest = _newest(info, frame)
    if published_on is None and newest is None:
        raise ValueError(f"{info.id}: {path.name}: got no date in the file, expected a vintage")
    if published_on and newest and published_on < newest:
        expected = f"expected a day not before {newest}, the newest date in {path.name}"
        raise ValueError(f"vintage: got {published_on}, {expected}")
    record = {
        "table": info.id,
        "source_file": path.name,
        "vintage": published_on or newest,
        "vintage_precision": "day",
        "as_of": newest or published_on,
        "licence": info.licence,
        "attribution": info.attribution,
        "sha256": hashlib.sha256(table).hexdigest(),
        "warnings": notes,
    }
    return Import(info.id, table, record)


def write_import(folder: Path, imported: Import) -> None:
    """Write `<id>.csv` and `<id>.toml`, each whole or not at all, the record last.

    Without its record a table is not read, and with the record of another file it is refused.
    """
    import tomlkit

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        f"{imported.table_id}.csv": imported.csv,
        f"{imported.table_id}.toml": tomlkit.dumps(imported.record).encode(),
    }
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".import-"))
    try:
        for name, content in files.items():
            (staging / name).write_bytes(content)
        for name in files:
            (staging / name).replace(folder / name)
    finally:
        shutil.rmtree(staging)


def _check_size(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"path: got {str(path)!r}, expected a CSV file")
    size = path.stat().st_size
    if size > LARGEST_FILE_BYTES:
        limit = f"expected at most {LARGEST_FILE_BYTES} bytes"
        raise ValueError(f"{path.name}: got a file of {size} bytes, {limit}")


def _day(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: got {text!r}, expected a date as YYYY-MM-DD") from error


def _positions(info: TableInfo, cells: Cells, names: dict[str, Any]) -> dict[str, int]:
    """Return where our columns are in the header: by our name, else by a published one."""
    header = [_folded(name) for name in cells.header]
    spellings = {
        column.name: (column.name, *names.get("names", {}).get(column.name, ()))
        for column in info.columns
    }
    positions = {}
    for name, known in spellings.items():
        places = [at for spelling in known for at in _places(header, _folded(spelling))]
        if places:
            positions[name] = places[0]
        if places and header.count(header[places[0]]) > 1:
            message = f"got column {cells.header[places[0]]!r} more than once, expected it once"
            raise ValueError(f"{info.id}: {cells.file}: {message}")
    required = names.get("required", [name for name in info.required if name != "source"])
    missing = [
        " or ".join(map(repr, spellings[name])) for name in required if name not in positions
    ]
    if missing:
        found = ", ".join(map(repr, cells.header[:6]))
        message = f"missing column {'; and column '.join(missing)}; got {found}, ..."
        raise ValueError(f"{info.id}: {cells.file}: {message}")
    return positions


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _places(header: list[str], spelling: str) -> list[int]:
    return [at for at, name in enumerate(header) if name == spelling]


def _text(
    info: TableInfo, cells: Cells, positions: dict[str, int], names: dict[str, Any]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the cells under our names, and what was taken as unknown."""
    import pandas as pd

    text: dict[str, list[str]] = {}
    notes = []
    for column in info.columns:
        if column.name not in positions:
            continue
        at = positions[column.name]
        given = [" ".join(row[at].split()) for row in cells.rows]
        taken = [_cell(column, cell, names) for cell in given]
        pairs = zip(given, taken, cells.lines, strict=True)
        dropped = [line for before, after, line in pairs if before and not after]
        if dropped:
            listed = ", ".join(map(str, dropped[:20])) + (", ..." if len(dropped) > 20 else "")
            what = f"{len(dropped)} cells of {cells.header[at]!r} count as unknown"
            notes.append(
                f"{what}: zero, infinite or several numbers (lines {listed} of the source)."
            )
        text[column.name] = taken
    if "source" not in text:
        text["source"] = [f"{cells.file}|{info.licence}"] * len(cells.rows)
    return pd.DataFrame(text, dtype=object), notes


def _cell(column: Column, cell: str, names: dict[str, Any]) -> str:
    """Return a cell as our tables write it, empty if the source means that it is unknown."""
    if column.name in names.get("one_number", ()) and "," in cell:
        return ""
    if column.name in names.get("unknown", {}) and _number(cell) in names["unknown"][column.name]:
        return ""
    if column.dtype == "boolean":
        flag = column.name in names.get("flags", ())
        return "true" if cell.casefold() in _YES else "false" if _is_no(cell, flag) else cell
    return cell


def _is_no(cell: str, empty_is_no: bool) -> bool:
    return cell.casefold() in _NO and (empty_is_no or cell != "")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _newest(info: TableInfo, frame: pd.DataFrame) -> date | None:
    newest = frame[info.date_column].max() if info.date_column else None
    return newest.date() if newest is not None and newest == newest else None


def _csv(info: TableInfo, frame: pd.DataFrame) -> bytes:
    """Return the table as CSV: LF line ends, shortest numbers, no column that is all empty."""
    kept = [column for column in info.columns if frame[column.name].notna().any()]
    columns = [[_written(column, value) for value in frame[column.name]] for column in kept]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in kept])
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue().encode()


def _written(column: Column, value: Any) -> str:
    """Return a value as text: whole numbers below 1e15 without exponent, others shortest."""
    import pandas as pd

    if pd.isna(value):
        return ""
    if column.dtype == "date":
        return f"{value:%Y-%m-%d}"
    if column.dtype == "boolean":
        return "true" if value else "false"
    if column.dtype in ("string", "category"):
        return str(value)
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
