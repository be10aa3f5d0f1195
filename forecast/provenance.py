"""What a fit and a forecast depend on: dates, data, code, versions. Imports nothing heavy."""

import hashlib
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np

from ..priors.prior_sets import load_prior_set
from .config import Scenario
from .datasets import decimal_year, table_info

RECORDS = ("training_compute", "spending", "price_performance", "algorithmic_progress")
_FIT_PACKAGES = ("jax", "jaxlib", "numpyro", "numpy", "scipy", "arviz-stats")
_FORECAST_PACKAGES = ("aitimelines", *_FIT_PACKAGES, "xarray", "zarr", "matplotlib")
# Published constants and priors are TOML beside the code that reads them.
_CODE = (
    *("forecast", "forecast.history", "forecast.questions", "forecast.reproductions"),
    *("kernels", "priors", "priors.sets"),
)
_FIT_MODULES = (
    "inference.py",
    "model_program.py",
    "importance.py",
    "student_mixture.py",
    "nuts.py",
    "records.py",
    "averaging.py",
    "leave_one_out.py",
    "checks.py",
    "history/trend.py",
)
# Fields of a section that its fit does not read: they say how the record goes on.
NOT_FITTED = {
    *("long_run_doubling_time_years", "slowdown_half_life_years"),
    *("log10_ceiling", "ceiling_oom"),
}


def fitted_records(scenario: Scenario) -> list[str]:
    """Return the names of the records that the scenario fits."""
    sections = {name: getattr(scenario, name) for name in (*RECORDS, "scaling_law")}
    return [name for name, section in sections.items() if section is not None and section.fit]


def fitted_with(scenario: Scenario, name: str) -> tuple[str, ...]:
    """Return the records that are fitted by one model with a record: itself, or all of a world."""
    return RECORDS if scenario.history == "joint" and name in RECORDS else (name,)


def as_of_year(scenario: Scenario) -> float:
    """Return the forecast's now as decimal year; default: the date of the compute table."""
    return float(decimal_year(np.datetime64(as_of_date(scenario))))


def as_of_date(scenario: Scenario) -> str:
    """Return the forecast's now, ISO."""
    if scenario.as_of is not None:
        return scenario.as_of.isoformat()
    table = scenario.training_compute.table if scenario.training_compute else "notable_models"
    return table_info(table).vintage.isoformat()


def tables_of(scenario: Scenario, name: str) -> tuple[str, ...]:
    """Return the data tables that a record is read from."""
    if name == "training_compute":
        assert scenario.training_compute is not None
        table = scenario.training_compute.table
        if "training_compute_flop" not in [column.name for column in table_info(table).columns]:
            raise ValueError(f"training_compute.table: got {table!r}, expected a table of models")
        return (table,)
    if name == "scaling_law":
        assert scenario.scaling_law is not None
        return (scenario.scaling_law.table,)
    return {
        "spending": ("training_costs",),
        "price_performance": ("training_costs", "ml_hardware"),
        "algorithmic_progress": ("lm_algorithmic_progress",),
    }[name]


def fit_key(scenario: Scenario, name: str) -> dict[str, Any]:
    """Return everything that a fit depends on."""
    together = fitted_with(scenario, name)
    modules = [f"history/{record}.py" for record in (*together, "training_compute")]
    if len(together) > 1:
        modules += ["joint.py", "history/joint_growth.py", "history/joint_model.py"]
    return {
        "record": "joint" if len(together) > 1 else name,
        "section": fitted_section(scenario, name),
        "priors": _published_priors(name, together),
        "inference": scenario.inference.model_dump(mode="json"),
        "as_of": as_of_date(scenario),
        "seed": scenario.seed,
        "data": {
            table: table_info(table).sha256
            for record in together
            for table in tables_of(scenario, record)
        },
        **fit_code_key(*modules),
    }


def _published_priors(name: str, together: tuple[str, ...]) -> dict[str, Any]:
    """Return the priors that a fit takes from outside its scenario."""
    if len(together) > 1:
        return load_prior_set("history")["joint-growth"]
    return load_prior_set("scaling-law") if name == "scaling_law" else {}


def fit_code_key(*modules: str) -> dict[str, Any]:
    """Return the code that a fit depends on: packages, ours of any fit, and modules of its own.

    modules: paths below the package ``aitimelines.forecast``
    """
    source = hashlib.sha256()
    for module in (*_FIT_MODULES, *modules):
        source.update(files(__package__).joinpath(module).read_bytes())
    return {
        "versions": {package: version(package) for package in _FIT_PACKAGES},
        "source": source.hexdigest(),
    }


def fitted_section(scenario: Scenario, name: str) -> dict[str, Any]:
    """Return what a section, or all that are fitted with it, say that the fit depends on."""

    def plain(record: str) -> dict[str, Any]:
        section = getattr(scenario, record)
        kept = section.model_dump(mode="json", exclude_none=True, exclude=NOT_FITTED)
        return _without_sources(kept)

    together = fitted_with(scenario, name)
    return plain(name) if len(together) == 1 else {record: plain(record) for record in together}


def _without_sources(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_sources(v) for k, v in value.items() if k != "source"}
    return value


def forecast_key(scenario: Scenario) -> dict[str, Any]:
    """Return everything that a result depends on: its fits, the scenario, all code, versions."""
    return {
        "scenario": scenario.model_dump(mode="json"),
        "as_of": as_of_date(scenario),
        "fits": {name: fit_key(scenario, name) for name in fitted_records(scenario)},
        **code_key(),
    }


def code_key() -> dict[str, Any]:
    """Return what every result depends on: the versions of packages, and all our code."""
    source = hashlib.sha256()
    for package in _CODE:
        folder = files(f"aitimelines.{package}")
        for entry in sorted(folder.iterdir(), key=lambda item: item.name):
            if entry.name.endswith((".py", ".toml")):
                source.update(entry.read_bytes())
    return {
        "versions": {package: version(package) for package in _FORECAST_PACKAGES},
        "source": source.hexdigest(),
    }
