"""How the results of a sweep are laid out: one row a scenario, over calendar years."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .checks import VERDICTS
from .scenario_files import to_toml
from .sweep_cases import Case, Cases
from .sweep_file import Sweep

STORE = "sweep.zarr"
NO_FORECAST = "NONE"  # the verdict on a scenario that cannot be forecast
_BY_YEAR = ("arrival_cdf", "arrival_cdf_mcse")
_BY_QUANTILE = ("arrival_year_quantile", "arrival_year_quantile_mcse")
_SINGLE = ("p_never_by_horizon", "p_never_by_horizon_mcse")
_VERDICTS = (*VERDICTS, NO_FORECAST)


def store_of(folder: Path | str) -> Path:
    """Return the store in the folder of a sweep, or the store itself.

    Raises ``ValueError`` if there is none.
    """
    inner = Path(folder) / STORE
    store = inner if inner.is_dir() else Path(folder)
    if not store.with_suffix(".ledger").is_dir():
        raise ValueError(f"{str(folder)!r} is not a sweep, expected a folder that holds {STORE}")
    return store


def read_sweep(folder: Path | str, *, allow_partial: bool = False) -> Any:
    """Return the results of a sweep as an xarray Dataset, every byte checked.

    allow_partial: return the scenarios that have landed of a sweep that is not complete.
    Raises ``ValueError`` if it is not complete, or names what is damaged.
    """
    from . import ledger

    dataset = ledger.read(store_of(folder), allow_partial=allow_partial)
    names = np.array(_VERDICTS, dtype=object)[dataset["verdict"].to_numpy()]
    kept = {key: dataset["verdict"].attrs[key] for key in ("units", "long_name")}
    return dataset.assign(verdict=("scenario", names, kept))


def template(sweep: Sweep, found: Cases, made_with: Mapping[str, Any]) -> Any:
    """Return the results as they will be, without values and without taking room for them."""
    import xarray as xr

    from . import schema
    from .timeline import QUANTILES

    count, years = len(found.cases), found.years
    texts = np.array([case.id for case in found.cases], dtype=object)
    names = np.array([case.scenario_id for case in found.cases], dtype=object)
    coordinates: dict[str, Any] = {
        "scenario": ("scenario", texts, _words("1", "hash of the scenario as resolved")),
        "year": ("year", list(years), _words("year", "probabilities are by 1 January of it")),
        "quantile": ("quantile", list(QUANTILES), _words("1", "probability level")),
        "scenario_id": ("scenario", names, _words("1", "scenario that is varied")),
    }
    own = {*_BY_YEAR, *_BY_QUANTILE, *_SINGLE, "verdict"}
    varied = []
    for i, place in enumerate(found.places):
        name = re.sub(r"[^\w.-]", "_", place)
        while name in coordinates.keys() | own:
            name += "_"
        varied.append(name)
        values = _column([case.values[i] for case in found.cases])
        coordinates[name] = ("scenario", values, _words("1", f"scenario field {place}"))
    known = {v.name: v for v in schema.CONTRACT if v.group == "timeline"}
    empty = {
        **{name: np.broadcast_to(np.nan, (count, len(years))) for name in _BY_YEAR},
        **{name: np.broadcast_to(np.nan, (count, len(QUANTILES))) for name in _BY_QUANTILE},
        **{name: np.broadcast_to(np.nan, (count,)) for name in _SINGLE},
    }
    variables: dict[str, Any] = {
        name: (
            ("scenario", *known[name].dims),
            values,
            _words(known[name].units, known[name].long_name),
        )
        for name, values in empty.items()
    }
    meaning = {
        "flag_values": list(range(len(_VERDICTS))),
        "flag_meanings": " ".join(_VERDICTS),
        **_words("1", "verdict on the fits; NONE where there is no forecast"),
    }
    variables["verdict"] = ("scenario", np.broadcast_to(np.int8(-1), (count,)), meaning)
    attributes = {
        "title": "Sweep of " + ", ".join(dict.fromkeys(names)),
        "varied": varied,
        "sweep_toml": sweep.text,
        "scenarios_toml": json.dumps([to_toml(base) for base in found.bases.values()]),
        **{key: json.dumps(value) for key, value in made_with.items()},
        "schema_version": schema.VERSION,
    }
    return xr.Dataset(variables, coordinates, attributes)


def _words(units: str, long_name: str) -> dict[str, str]:
    return {"units": units, "long_name": long_name}


def _column(values: list[Any]) -> np.ndarray:
    """Return values as numbers if all are, else as texts."""
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return np.array(values, dtype=np.int64)
    if kinds <= {int, float, type(None)}:
        return np.array(values, dtype=float)
    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def row_of(case: Case, fits: dict[str, Any], forecast: Any, years: np.ndarray) -> dict[str, Any]:
    """Return the values of one scenario in every variable of the store.

    Before its now nothing has arrived, since the forecast is conditioned on that; beyond its
    horizon nothing is known.
    """
    from .records import verdict_of_all
    from .timeline import QUANTILES

    failed = isinstance(forecast, ValueError)
    verdict = NO_FORECAST if failed else verdict_of_all(fits).verdict
    row: dict[str, Any] = {"verdict": np.int8(_VERDICTS.index(verdict))}
    for name in _BY_YEAR:
        row[name] = np.where(years <= case.now, 0.0, np.nan)
        if not failed:
            row[name][(years > case.now) & (years <= case.horizon_year)] = forecast[name][1:]
    for name in _BY_QUANTILE:
        row[name] = np.full(len(QUANTILES), np.nan) if failed else forecast[name].to_numpy()
    for name in _SINGLE:
        row[name] = np.float64("nan" if failed else forecast[name])
    return row
