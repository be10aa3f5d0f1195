"""AI-timelines forecasts: ``import aitimelines.forecast as fc; tree = fc.run("baseline")``.

Everything is imported when first used, since JAX, NumPyro and xarray take seconds.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

_PLACES = {
    "run": "engine",
    "fit": "engine",
    "simulate": "engine",
    "arrival_counts": "arrivals",
    "gradient": "sensitivity",
    "requirement_variants": "variants",
    "ask": "questions",
    "load_scenario": "scenario_files",
    "scenario_from_dict": "scenario_files",
    "scenario_ids": "scenario_files",
    "Scenario": "config",
    "summary": "summaries",
    "validate": "schema",
    "read": "storage",
    "write": "storage",
    "export": "storage",
    "run_sweep": "sweep",
    "read_sweep": "sweep_store",
}
_MODULES = {"plot": "plots", "data": "datasets"}
__all__ = ["__version__", *_PLACES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("aitimelines")
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
