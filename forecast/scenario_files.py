"""Scenario files: find, read, override, write."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ..priors.prior_sets import load_prior_set
from .config import Prior, Scenario

MAX_FILE_BYTES = 1_000_000


def scenario_ids() -> list[str]:
    """Return the ids of the scenarios that ship with the package."""
    folder = files(__package__).joinpath("scenarios")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def scenario_text(name: str | Path) -> str:
    """Return the text of a scenario file: an id that ships with the package, or a path.

    Raises ``ValueError`` naming the nearest id, or saying why the file cannot be read.
    """
    if str(name) in scenario_ids():
        return files(__package__).joinpath("scenarios", f"{name}.toml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix != ".toml" and not path.exists():
        near = get_close_matches(str(name), scenario_ids(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"scenario: no scenario {str(name)!r}, expected one of {', '.join(scenario_ids())} "
            f"or the path of a .toml file{hint}"
        )
    return read_text(path, "scenario")


def read_text(path: Path, what: str) -> str:
    """Return the text of a TOML file; ``ValueError`` saying of ``what`` why it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes, expected a {what} file")
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{what}: {str(path)!r} is not text, expected TOML") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{what}: cannot read {str(path)!r}: {error}") from None


def load_scenario(name: str | Path, **overrides: Any) -> Scenario:
    """Return a checked scenario from an id or a path, with top-level fields overridden.

    Sections and fields that the file leaves out come from its prior set.
    Raises ``ValueError``, one sentence that names the field, what it got and what was expected.
    """
    try:
        values = tomllib.loads(scenario_text(name))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"scenario {str(name)!r} is not TOML: {error}") from None
    given = {key: value for key, value in overrides.items() if value is not None}
    return scenario_from_dict({**values, **given}, name=str(name))


def scenario_from_dict(values: Mapping[str, Any], *, name: str = "scenario") -> Scenario:
    """Return a checked scenario from plain values, completed by its prior set."""
    merged = dict(values)
    if isinstance(merged.get("prior_set"), str):
        for section, fields in load_prior_set(merged["prior_set"]).items():
            own = merged.get(section, {})
            merged[section] = {**fields, **own} if isinstance(own, dict) else own
    try:
        return Scenario.model_validate(merged)
    except ValidationError as error:
        raise ValueError(f"{name}: {sentence(error)}") from None


def to_toml(scenario: Scenario) -> str:
    """Return the scenario as resolved: every value spelled out."""
    import tomlkit

    plain = scenario.model_dump(mode="python", exclude_none=True)
    return tomlkit.dumps(_plain(plain))


def scenario_template(name: str, *, based_on: str = "baseline") -> str:
    """Return the text of a new scenario file, a commented copy of another with an id of its own."""
    lines = scenario_text(based_on).splitlines()
    kept = [f'id = "{name}"' if line.startswith("id = ") else line for line in lines]
    return (
        "#:schema ./scenario.schema.json\n"
        + "\n".join(line for line in kept if not line.startswith("#:schema"))
        + "\n"
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario file, for editors.

    Sections may be left out or given in part, since the prior set completes them.
    """
    schema = Scenario.model_json_schema()
    completed = set(_section_models())
    schema["required"] = [key for key in schema["required"] if key not in completed]
    for model in _section_models().values():
        schema["$defs"][model.__name__].pop("required", None)
    schema["$defs"]["Prior"] = {"anyOf": [{"type": "number"}, schema["$defs"]["Prior"]]}
    return schema


def _section_models() -> dict[str, type[BaseModel]]:
    """Return the sections that a prior set may complete."""
    found = {}
    for key, field in Scenario.model_fields.items():
        for candidate in (field.annotation, *get_args(field.annotation)):
            is_model = isinstance(candidate, type) and issubclass(candidate, BaseModel)
            if is_model and key != "requirement":
                found[key] = candidate
    return found


def _plain(value: Any) -> Any:
    """Return TOML values; a prior that is a fixed number becomes that number."""
    if isinstance(value, dict):
        if value == {"fixed": value.get("fixed"), "mass": Prior.model_fields["mass"].default}:
            return value["fixed"]
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def sentence(error: ValidationError, model: type[BaseModel] = Scenario) -> str:
    """Return the first problem in one sentence, with the nearest name for an unknown key."""
    problems = error.errors(include_url=False)
    unknown = [p for p in problems if p["type"] == "extra_forbidden"]
    problem = (unknown or problems)[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        names = _field_names(problem["loc"][:-1], model)
        near = get_close_matches(str(problem["loc"][-1]), names, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else f", expected one of {', '.join(names)}"
        return f"unknown key {place}{hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{place}: {message}".removeprefix(": ")
    if problem["type"] == "missing":
        return f"{place} is missing, and the prior set does not supply it"
    got = repr(problem["input"])
    got = got if len(got) <= 80 else f"{got[:77]}..."
    return f"{place}: got {got}, expected: {message[0].lower()}{message[1:]}"


def _field_names(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the valid keys of the table at ``location``."""
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        candidates = [annotation, *get_args(annotation)]
        candidates += [inner for c in candidates for inner in get_args(c)]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
