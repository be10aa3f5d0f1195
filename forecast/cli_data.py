"""``aitimelines data``: list, describe and refresh the data tables."""

from pathlib import Path
from typing import Any

from cyclopts import App, Parameter
from rich.console import Console

EXAMPLES = """Examples:

    aitimelines data list
    aitimelines data show notable_models
    aitimelines data import notable_ai_models.csv    # of Epoch AI
"""
app = App(
    name="data",
    help="The data tables that the record is fitted to.",
    help_epilogue=EXAMPLES,
    default_parameter=Parameter(negative=()),
)
out = Console()


@app.command(name="list")
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


@app.command(name="show")
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


@app.command(name="import")
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
