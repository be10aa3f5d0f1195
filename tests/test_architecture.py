"""The package keeps its shape: who imports whom, what start-up loads, how long things are."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

# What each package may import besides the standard library and itself. `forecast` may import both
# others and every declared dependency.
ALLOWED = {"kernels": {"jax", "jaxtyping", "numpy"}, "priors": {"numpyro"}}
FOLDERS = ("forecast", *ALLOWED)
# Folders whose code may import `aitimelines.forecast`.
USERS_OF_FORECAST = {"forecast", "tests", "notebooks", "benchmarks", "docs"}
# Modules of `forecast`, lowest first; a module imports from its own layer and from those before.
LAYERS = (
    {"beliefs", "config", "datasets", "importing", "table_schema", "data", "scenarios"},
    {"files", "tables", "scenario_files", "provenance", "schema", "checks", "law_families", "laws"},
    {"law_frames", "training_decisions", "fine_tuning", "taxes", "enhancements"},
    {"progress"},
    {"preflight", "compiled", "sweep_file", "ledger", "cluster"},
    {"sweep_cases"},
    {"storage", "importance", "student_mixture", "nuts", "model_program", "leave_one_out"},
    {"history"},
    {"inference", "averaging", "scoring", "naive"},
    {"records", "joint", "law_points", "calibration"},
    {"studies", "backtest_fits"},
    {"backtest"},
    {"backtest_scores"},
    {"law_fits", "data_stock"},
    {"plateaus", "board_game_law", "transition"},
    {"world"},
    {"problem", "year_grid"},
    {"narrow"},
    {"timeline"},
    {"sensitivity", "variants", "arrivals"},
    {"engine"},
    {"reproductions"},
    {"reproduce"},
    {"plot_page"},
    {"plot_fits"},
    {"plot_history", "plot_backtest"},
    {"plot_hardware", "plot_capabilities", "plot_sizes", "plot_eras"},
    {"plots", "plot_laws", "questions"},
    {"summaries", "sweep_store"},
    {"sweep"},
    {
        "cli",
        "cli_ask",
        "cli_backtest",
        "cli_data",
        "cli_history",
        "cli_laws",
        "cli_laws_decisions",
        "cli_laws_fit",
        "cli_laws_plateau",
        "cli_laws_transition",
        "cli_reproduce",
        "cli_scenario",
        "cli_sweep",
        "__main__",
    },
)
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
# What `aitimelines --help` must not pay for.
HEAVY = {
    *("jax", "jaxlib", "numpyro", "xarray", "arviz_base", "arviz_stats", "arviz_plots"),
    *("pandas", "matplotlib", "pandera", "scipy"),
}
LONGEST_MODULE, LONGEST_BODY = 400, 60
# Written in pieces, so that this file does not hold what it forbids.
FORBIDDEN = {
    "a home folder": re.compile(r"(?<![\w.])/(?:home|Users|root)" + r"/\w"),
    "unpickling": re.compile(r"\bpickle" + r"\.load"),
    "YAML loading": re.compile(r"\byaml" + r"\.(?:\w+_)?load"),
}


def imported_names(path: Path, source: str) -> Iterator[str]:
    """Yield the absolute dotted name of everything a file imports, wherever in the file."""
    package = ".".join(("aitimelines", *path.parent.parts))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def module_name(path: Path) -> str:
    """Return the dotted name under which a file of the three packages is imported."""
    parts = path.with_suffix("").parts
    return ".".join(("aitimelines", *(part for part in parts if part != "__init__")))


def third_party(name: str) -> bool:
    return name.split(".")[0] not in {*sys.stdlib_module_names, "aitimelines"}


@pytest.fixture(scope="module")
def sources(root: Path, repository_files: list[Path]) -> dict[Path, str]:
    """Return the text of every Python file of the repository."""
    return {path: (root / path).read_text() for path in repository_files if path.suffix == ".py"}


@pytest.fixture(scope="module")
def imports(sources: dict[Path, str]) -> list[tuple[Path, str]]:
    """Return (file, imported name) for every import of the repository."""
    return [(path, name) for path, text in sources.items() for name in imported_names(path, text)]


@pytest.fixture(scope="module")
def modules(sources: dict[Path, str]) -> list[str]:
    """Return the names of the modules of the three packages, without those that run on import."""
    own = (path for path in sources if path.parts[0] in FOLDERS and path.stem != "__main__")
    return sorted(map(module_name, own))


def run_python(code: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_reader_sees_relative_and_lazy_imports() -> None:
    source = "from ..kernels import limits\ndef f():\n    import scipy.stats\n    from . import cli"
    names = set(imported_names(Path("forecast/engine.py"), source))
    assert names == {"aitimelines.kernels.limits", "scipy.stats", "aitimelines.forecast.cli"}


@pytest.mark.parametrize("folder", ALLOWED)
def test_kernels_and_priors_import_only_what_they_may(
    imports: list[tuple[Path, str]], folder: str
) -> None:
    own = f"aitimelines.{folder}."
    inside = [(path, name) for path, name in imports if path.parts[0] == folder]
    foreign = {(path, name) for path, name in inside if not f"{name}.".startswith(own)}
    allowed = ALLOWED[folder] | sys.stdlib_module_names
    assert not {(path, name) for path, name in foreign if name.split(".")[0] not in allowed}


def test_forecast_is_imported_only_by_its_users(imports: list[tuple[Path, str]]) -> None:
    users = {path.parts[0] for path, name in imports if name.startswith("aitimelines.forecast")}
    assert users <= USERS_OF_FORECAST


def test_no_import_of_a_folder_by_its_bare_name_and_none_of_pickle(
    imports: list[tuple[Path, str]],
) -> None:
    banned = {*FOLDERS, "pickle"}
    assert not {(path, name) for path, name in imports if name.split(".")[0] in banned}


def test_forecast_imports_go_down_the_layers(imports: list[tuple[Path, str]]) -> None:
    upward = set()
    for path, name in imports:
        if path.parts[0] == "forecast" and name.startswith("aitimelines.forecast"):
            user, used = Path(path.parts[1]).stem, f"{name}..".split(".")[2]
            # A name that is no module comes from `forecast/__init__.py`, which imports everything.
            if user in RANK and RANK[user] < RANK.get(used, len(LAYERS) - 1):
                upward.add((path, name))
    assert not upward


def test_every_module_of_forecast_has_a_layer(modules: list[str]) -> None:
    names = {name.split(".")[2] for name in modules if name.startswith("aitimelines.forecast.")}
    assert names <= RANK.keys(), "add the new module to LAYERS, where its imports allow"


def test_third_party_imports_are_declared_dependencies(
    root: Path, imports: list[tuple[Path, str]]
) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = {
        name: all_ for name, all_ in project["optional-dependencies"].items() if name != "dev"
    }
    requirements = [*project["dependencies"], *(r for extra in extras.values() for r in extra)]
    names = (re.split(r"[^\w.-]", requirement)[0] for requirement in requirements)
    declared = {name.lower().replace("-", "_") for name in names}
    ours = [(path, name) for path, name in imports if path.parts[0] in FOLDERS]
    used = {name.split(".")[0] for _, name in ours if third_party(name)}
    assert used <= declared


def test_start_up_loads_nothing_heavy(modules: list[str], tmp_path: Path) -> None:
    light = [name for name in modules if name.startswith("aitimelines.priors")]
    light += ["aitimelines.forecast", "aitimelines.forecast.config", "aitimelines.forecast.cli"]
    code = f"import sys, {', '.join(light)}\nloaded = {HEAVY} & set(sys.modules)"
    run_python(f"{code}\nassert not loaded, loaded", tmp_path)


def test_importing_every_module_creates_no_array(modules: list[str], tmp_path: Path) -> None:
    code = f"import {', '.join(modules)}, jax\nassert not jax.live_arrays(), jax.live_arrays()"
    run_python(code, tmp_path)


def test_packages_listed_are_the_folders_that_hold_files(
    root: Path, repository_files: list[Path]
) -> None:
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    holding = {path.parent for path in repository_files if path.parts[0] in FOLDERS}
    assert set(listed) == {".".join(("aitimelines", *path.parts)) for path in holding}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds_a_forbidden_text(
    root: Path, repository_files: list[Path], what: str
) -> None:
    texts = {path: (root / path).read_text(errors="replace") for path in repository_files}
    assert not [path for path, text in texts.items() if FORBIDDEN[what].search(text)]


def test_modules_and_functions_stay_short(sources: dict[Path, str]) -> None:
    long = set()
    for path, text in sources.items():
        if path.parts[0] == "tests":
            continue
        if text.count("\n") > LONGEST_MODULE:
            long.add((str(path), text.count("\n")))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[min(bool(ast.get_docstring(node)), len(node.body) - 1)]
                lines = (node.end_lineno or 0) - first.lineno + 1
                if lines > LONGEST_BODY:
                    long.add((f"{path}:{node.name}", lines))
    assert not long
