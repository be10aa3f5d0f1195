"""``aitimelines scenario``: list, show, start and describe scenario files."""

import json
import sys
import tomllib
from pathlib import Path

from cyclopts import App, Parameter
from rich.console import Console

EXAMPLES = """Examples:

    aitimelines scenario list
    aitimelines scenario new mine.toml    # a commented copy, to edit
    aitimelines run mine.toml
"""
app = App(
    name="scenario",
    help="Scenario files: what is forecast, and from which beliefs.",
    help_epilogue=EXAMPLES,
    default_parameter=Parameter(negative=()),
)
out = Console()


@app.command(name="list")
def scenario_list() -> None:
    """List the scenarios that ship with the package."""
    from .scenario_files import load_scenario, scenario_ids

    for name in scenario_ids():
        out.print(f"{name}  {load_scenario(name).title}", markup=False, soft_wrap=True)


@app.command(name="show")
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


@app.command(name="new")
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


@app.command(name="schema")
def scenario_schema() -> None:
    """Print the JSON Schema of scenario files, for completion in editors."""
    from .scenario_files import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
