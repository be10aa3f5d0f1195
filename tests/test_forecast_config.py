"""Scenario files: every bad input is refused in one sentence, and what is good survives a trip."""

import copy
import datetime
import json
import math
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aitimelines.forecast.config import (
    MAX_SAMPLES,
    Prior,
    Requirement,
    RequirementComponent,
    Scenario,
    check_horizon,
)
from aitimelines.forecast.scenario_files import (
    MAX_FILE_BYTES,
    json_schema,
    load_scenario,
    scenario_from_dict,
    scenario_ids,
    scenario_template,
    scenario_text,
    to_toml,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

INF, NAN = math.inf, math.nan
DOUBLING = "training_compute.doubling_time_years"
COMPONENT = "requirement.components.0"
RESOURCE = {"name": "a", "year": 2030, "log10_flop": 30.0, "doubling_time_years": 2.0}


def changed(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Return a shipped scenario as plain values, with values at dotted places replaced."""
    values = tomllib.loads(scenario_text(name))
    for place, value in changes.items():
        *parents, last = place.split(".")
        table: Any = values
        for part in parents:
            table = table[int(part)] if isinstance(table, list) else table.setdefault(part, {})
        table[int(last) if isinstance(table, list) else last] = copy.deepcopy(value)
    return values


def refusal(changes: dict[str, Any]) -> str:
    """Return the message with which a changed baseline is refused."""
    with pytest.raises(ValueError, match="expected|did you mean|missing|needs") as caught:
        scenario_from_dict(changed("baseline", changes))
    message = str(caught.value)
    assert "\n" not in message
    assert "pydantic" not in message
    return message


UNKNOWN_KEYS = [
    ("samplez", 5, "unknown key samplez", "'samples'"),
    ("spendig", {}, "unknown key spendig", "'spending'"),
    ("training_compute.topn", 5, "unknown key training_compute.topn", "'top_n'"),
    (f"{DOUBLING}.lognorml", [0.3, 0.8], f"unknown key {DOUBLING}.lognorml", "'lognormal'"),
    (f"{COMPONENT}.wieght", 0.2, f"unknown key {COMPONENT}.wieght", "'weight'"),
    ("limits.resources", [RESOURCE | {"yaer": 1}], "unknown key limits.resources.0.yaer", "'year'"),
    (
        "limits.resources",
        [RESOURCE, RESOURCE | {"name": "b", "log10_flop": {"fixed": 3, "maas": 0.5}}],
        "unknown key limits.resources.1.log10_flop.maas",
        "'mass'",
    ),
    ("qqq", 1, "unknown key qqq, expected one of id, title", "requirement"),
]


@pytest.mark.parametrize(("place", "value", "named", "nearest"), UNKNOWN_KEYS)
def test_an_unknown_key_is_refused_with_the_nearest_name(place, value, named, nearest):
    message = refusal({place: value})
    assert named in message
    assert nearest in message


BAD_VALUES = [
    # place, value, what the message must say: field, got, expected
    ("requirement.none_weight", 0.2, "requirement: none_weight", "1.1", "expected 1"),
    (f"{COMPONENT}.weight", -0.2, f"{COMPONENT}.weight: got -0.2", "greater than or equal to 0"),
    (f"{COMPONENT}.weight", NAN, f"{COMPONENT}.weight: got nan", "finite number"),
    (DOUBLING, {"lognormal": [0.8, 0.3]}, DOUBLING, "got [0.8, 0.3]", "lower end first"),
    (DOUBLING, {"lognormal": [0.3, 0.3]}, DOUBLING, "got [0.3, 0.3]", "lower end first"),
    (f"{COMPONENT}.normal", [41.0, 21.0], COMPONENT, "normal: got [41.0, 21.0]", "increasing"),
    (
        "requirement.components.1.two_piece_normal",
        [31.0, 38.0, 34.0],
        "requirement.components.1",
        "two_piece_normal: got [31.0, 38.0, 34.0]",
        "increasing",
    ),
    (DOUBLING, -0.5, "doubling_time_years", "reaches -0.5", "expected positive"),
    (DOUBLING, 0, "doubling_time_years", "reaches 0", "expected positive"),
    (DOUBLING, {"normal": [0.3, 0.8]}, "doubling_time_years", "reaches -inf", "expected positive"),
    (DOUBLING, {"uniform": [-1.0, 2.0]}, "doubling_time_years", "reaches -1", "expected positive"),
    (DOUBLING, {"lognormal": [-0.3, 0.8]}, DOUBLING, "got [-0.3, 0.8]", "positive"),
    (DOUBLING, {"loguniform": [0.0, 0.8]}, DOUBLING, "got [0.0, 0.8]", "positive"),
    (DOUBLING, NAN, DOUBLING, "got nan", "finite number"),
    (DOUBLING, INF, DOUBLING, "got inf", "finite number"),
    (DOUBLING, {"lognormal": [0.3, INF]}, f"{DOUBLING}.lognormal.1", "got inf", "finite number"),
    (DOUBLING, {"normal": [-INF, 1.0]}, f"{DOUBLING}.normal.0", "got -inf", "finite number"),
    (DOUBLING, 1e200, DOUBLING, "got 1e+200", "less than or equal to 1000000000000"),
    (DOUBLING, {"lognormal": [1, 2, 3]}, f"{DOUBLING}.lognormal: got [1, 2, 3]", "at most 2"),
    (DOUBLING, {"lognormal": [0.3, 0.8], "mass": 0}, f"{DOUBLING}.mass: got 0", "greater than 0"),
    (DOUBLING, {"lognormal": [0.3, 0.8], "mass": 1}, f"{DOUBLING}.mass: got 1", "less than 1"),
    (DOUBLING, {"lognormal": [0.3, 0.8], "mass": 90}, f"{DOUBLING}.mass: got 90", "less than 1"),
    (DOUBLING, {"lognormal": [0.3, 0.8], "mass": NAN}, f"{DOUBLING}.mass: got nan", "finite"),
    (DOUBLING, {"lognormal": [0.3, 0.8], "mass": 1e-300}, DOUBLING, "got 1e-300", "between 0 and"),
    (
        DOUBLING,
        {"lognormal": [0.3, 0.8], "fixed": 0.5},
        DOUBLING,
        "got lognormal and fixed",
        "exactly one of normal, lognormal, uniform, loguniform, fixed",
    ),
    (DOUBLING, {"mass": 0.5}, DOUBLING, "got no distribution", "exactly one of"),
    (f"{COMPONENT}.uniform", [20.0, 30.0], COMPONENT, "got normal and uniform", "exactly one of"),
    (DOUBLING, True, f"{DOUBLING}: got True", "expected"),
    (DOUBLING, {"fixed": True}, f"{DOUBLING}.fixed: got True", "valid number"),
    (DOUBLING, {"lognormal": [0.3, True]}, f"{DOUBLING}.lognormal.1: got True", "valid number"),
    (DOUBLING, "0.5", f"{DOUBLING}: got '0.5'", "expected"),
    ("requirement.none_weight", False, "none_weight: got False", "valid number"),
    ("samples", True, "samples: got True", "valid integer"),
    ("samples", "4096", "samples: got '4096'", "valid integer"),
    ("samples", 0, "samples: got 0", "greater than or equal to 1"),
    ("samples", 10**15, "samples: got 1000000000000000", f"equal to {MAX_SAMPLES}"),
    ("seed", -1, "seed: got -1", "greater than or equal to 0"),
    ("horizon_year", 2100.0, "horizon_year: got 2100.0", "valid integer"),
    ("training_compute.change_points", True, "change_points: got True", "expected a number"),
    ("training_compute.change_points", 4, "change_points: got 4", "'average', 0, 1, 2 or 3"),
    ("training_compute.fit", 1, "training_compute.fit: got 1", "valid boolean"),
    ("training_compute.top_n", 0, "training_compute.top_n: got 0", "greater than or equal to 1"),
    ("training_compute.reading", "top", "reading: got 'top'", "'top-n', 'upper-quantile' or"),
    ("compute", "money", "compute: got 'money'", "'trend' or 'spending-times-price-performance'"),
    ("training_compute", 3, "training_compute: got 3", "expected"),
    ("requirement.components", [], "requirement.components: got []", "at least 1 item"),
    ("requirement.components.1.name", "direct-approach", "components", "'direct-approach' twice"),
    ("limits.resources", [RESOURCE, RESOURCE], "limits: resources", "'a' twice", "each once"),
    ("limits.resources", [RESOURCE | {"name": ""}], "limits.resources.0.name: got ''", "at least"),
    ("limits.sharpness", 0, "sharpness", "reaches 0", "expected positive"),
    (
        f"{COMPONENT}.algorithmic_ceiling_oom",
        {"normal": [1.0, 2.0]},
        "algorithmic_ceiling_oom",
        "reaches -inf",
        "expected positive",
    ),
    ("price_performance.fit", False, "price_performance", "needs log10_level and level_year"),
    ("id", "../escape", "id: got '../escape'", "expected"),
    ("prior_set", "baselin", "prior_set", "'baselin'", "did you mean 'baseline'?"),
    ("prior_set", 3, "prior_set: got 3", "valid string"),
    ("as_of", datetime.date(2150, 1, 1), "horizon_year: got 2100", "after as_of (2150-01-01)"),
    ("as_of", "2150-01-01", "horizon_year: got 2100", "after as_of (2150-01-01)"),
    ("as_of", "1022-01-01", "horizon_year: got 2100", "at most 1000 years ahead"),
    ("as_of", "2022-02-30", "as_of: got '2022-02-30'", "YYYY-MM-DD"),
    ("as_of", 2022, "as_of: got '2022'", "YYYY-MM-DD"),
    ("as_of", datetime.datetime(2022, 1, 1), "as_of: got '2022-01-01 00:00:00'", "YYYY-MM-DD"),
]


@pytest.mark.parametrize(("place", "value", "said"), [(p, v, said) for p, v, *said in BAD_VALUES])
def test_a_bad_value_is_refused_naming_field_and_value(place, value, said):
    message = refusal({place: value})
    for part in said:
        assert part in message


def test_a_long_value_is_cut_short_in_the_message():
    assert len(refusal({"requirement": ["x" * 10_000]})) < 250


def test_toml_infinity_and_nan_are_refused(tmp_path: Path):
    for literal in ("inf", "-inf", "nan"):
        path = tmp_path / "case.toml"
        path.write_text(scenario_text("cotra-2020") + f"\n[spending]\nlog10_level = {literal}\n")
        with pytest.raises(ValueError, match=r"spending\.log10_level\.fixed: got .* finite number"):
            load_scenario(path)


def test_a_missing_field_that_no_prior_set_supplies_is_named():
    values = changed("baseline", {})
    del values["requirement"]["milestone"]
    with pytest.raises(ValueError, match=r"^scenario: requirement\.milestone is missing"):
        scenario_from_dict(values)
    del values["prior_set"]
    with pytest.raises(ValueError, match=r"^scenario: prior_set is missing"):
        scenario_from_dict(values)


def test_a_route_needs_its_section():
    values = changed("cotra-2020", {"compute": "trend"})
    with pytest.raises(ValueError, match=r"compute = 'trend' needs a section \[training_compute\]"):
        scenario_from_dict(values)


def test_the_latent_frontier_needs_its_gap():
    resolved = tomllib.loads(to_toml(load_scenario("baseline")))
    resolved["training_compute"] |= {"reading": "latent-frontier"}
    assert scenario_from_dict(resolved).training_compute.reading == "latent-frontier"
    resolved["prior_set"] = "cotra-2020"  # which has no training_compute
    del resolved["training_compute"]["gap_oom"]
    with pytest.raises(ValueError, match="reading = 'latent-frontier' needs gap_oom"):
        scenario_from_dict(resolved)


# Files


def test_an_unknown_scenario_is_refused_with_the_nearest_id():
    with pytest.raises(ValueError, match=r"no scenario 'baselin', .* did you mean 'baseline'\?$"):
        load_scenario("baselin")
    with pytest.raises(ValueError, match=r"expected one of baseline, cotra-2020 or the path"):
        load_scenario("zzz")


def test_files_that_are_no_scenario_are_refused(tmp_path: Path):
    binary, oversize = tmp_path / "binary.toml", tmp_path / "oversize.toml"
    broken, directory = tmp_path / "broken.toml", tmp_path / "directory.toml"
    binary.write_bytes(b"\x93NUMPY\x01\x00\xff\xfe")
    oversize.write_text("# " + "x" * MAX_FILE_BYTES)
    broken.write_text('id = "a"\ntitle = \n')
    directory.mkdir()
    expected = {
        binary: "is not text, expected TOML",
        oversize: f"larger than {MAX_FILE_BYTES} bytes",
        broken: r"is not TOML: .*line 2",
        directory: "cannot read",
        tmp_path: "cannot read",
        tmp_path / "absent.toml": "cannot read",
    }
    for path, message in expected.items():
        with pytest.raises(ValueError, match=message) as caught:
            load_scenario(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_without_end_is_not_read_for_ever():
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero")
    with pytest.raises(ValueError, match="larger than"):
        load_scenario("/dev/zero")


# Overrides and prior sets


def test_a_section_override_merges_with_the_prior_set():
    plain = load_scenario("baseline")
    own = {"lognormal": [0.3, 0.8], "mass": 0.9}
    merged = scenario_from_dict(changed("baseline", {DOUBLING: own}))
    section = merged.training_compute
    assert section.doubling_time_years.interval == ("lognormal", 0.3, 0.8, 0.9)
    assert section.doubling_time_years != plain.training_compute.doubling_time_years
    expected = plain.training_compute.model_copy(
        update={"doubling_time_years": Prior.model_validate(own)}
    )
    assert section == expected
    assert merged.model_copy(update={"training_compute": plain.training_compute}) == plain


def test_an_override_replaces_a_whole_list():
    values = changed("baseline", {"limits.resources": [RESOURCE]})
    assert [r.name for r in scenario_from_dict(values).limits.resources] == ["a"]


def test_keywords_override_top_level_fields_and_none_leaves_them():
    scenario = load_scenario(
        "cotra-2020", samples=5, seed=None, horizon_year=2090, as_of="2019-07-01"
    )
    assert (scenario.samples, scenario.seed, scenario.horizon_year) == (5, 2020, 2090)
    assert scenario.as_of == datetime.date(2019, 7, 1)


def test_an_empty_prior_set_override_is_not_needed_for_a_resolved_scenario():
    for name in scenario_ids():
        resolved = tomllib.loads(to_toml(load_scenario(name)))
        assert Scenario.model_validate(resolved) == load_scenario(name)


def test_scenarios_are_frozen():
    scenario = load_scenario("cotra-2020")
    for model, field, value in (
        (scenario, "samples", 3),
        (scenario.spending, "fit", True),
        (scenario.spending.doubling_time_years, "fixed", 1.0),
        (scenario.requirement.components[0], "weight", 0.5),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model, field, value)
    assert isinstance(scenario.requirement.components, tuple)
    assert hash(scenario) == hash(load_scenario("cotra-2020"))


def test_the_horizon_must_lie_after_now_within_a_millennium():
    now = datetime.date(2026, 7, 23)
    check_horizon(now, 2027)
    check_horizon(now, 3026)
    for year in (2026, 1950, 3027, 10**30):
        with pytest.raises(ValueError, match=f"horizon_year: got {year}, expected a year after"):
            check_horizon(now, year)


# The requirement's distributions, against SciPy


@pytest.mark.parametrize("mass", [0.5, 0.9, 0.99])
def test_requirement_intervals_hold_their_mass(mass):
    def component(**kind: Any) -> tuple[float, float, float]:
        return RequirementComponent(name="x", weight=1.0, mass=mass, **kind).parameters

    tails = (0.5 - mass / 2, 0.5 + mass / 2)
    mean, sd, _ = component(normal=(30.0, 36.0))
    assert stats.norm(mean, sd).ppf(tails) == pytest.approx([30, 36])
    median, scale, _ = component(logistic=(30.0, 36.0))
    assert stats.logistic(median, scale).ppf(tails) == pytest.approx([30, 36])
    median, below, above = component(two_piece_normal=(30.0, 31.0, 36.0))
    assert stats.norm(median, below).ppf(tails[0]) == pytest.approx(30)
    assert stats.norm(median, above).ppf(tails[1]) == pytest.approx(36)
    assert median == 31.0
    assert component(uniform=(30.0, 36.0)) == (30.0, 36.0, 0.0)


def test_weights_may_miss_one_by_rounding_only():
    def requirement(weight: float) -> Requirement:
        return Requirement.model_validate(
            {
                "milestone": "m",
                "algorithms_year": 2022,
                "components": [{"name": "a", "weight": weight, "uniform": [1, 2]}],
            }
        )

    assert requirement(1 - 1e-9).none_weight == 0
    with pytest.raises(ValidationError, match=r"got a sum of 0\.999, expected 1"):
        requirement(0.999)


# Round trip

numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-3, 1e6)
masses = st.floats(0.01, 0.999)


@st.composite
def pairs(draw: st.DrawFn, values: st.SearchStrategy[float]) -> list[float]:
    low, high = sorted((draw(values), draw(values)))
    assume(low < high)
    return [low, high]


def priors(values: st.SearchStrategy[float], *kinds: str) -> st.SearchStrategy[Any]:
    """Return priors as a file may write them: a number, or one kind of interval."""
    source = st.fixed_dictionaries({}, optional={"source": st.text(max_size=20), "mass": masses})
    intervals = [
        st.tuples(pairs(values), source).map(lambda both, kind=kind: {kind: both[0], **both[1]})
        for kind in kinds
    ]
    fixed = st.tuples(values, source).map(lambda both: {"fixed": both[0], **both[1]})
    return st.one_of(values, fixed, *intervals)


positive_priors = priors(positive, "lognormal", "loguniform", "uniform")
any_priors = priors(numbers, "normal", "uniform")


@given(
    name=st.sampled_from(["baseline", "cotra-2020"]),
    changes=st.fixed_dictionaries(
        {},
        optional={
            "title": st.text(),
            "description": st.text(),
            "as_of": st.dates(datetime.date(1990, 1, 1), datetime.date(2099, 12, 31)),
            "samples": st.integers(1, MAX_SAMPLES),
            "seed": st.integers(0, 2**32 - 1),
            "spending.doubling_time_years": positive_priors,
            "gross_product.log10_level": any_priors,
            "price_performance.log10_ceiling": any_priors,
            "limits.resources": st.lists(
                st.fixed_dictionaries(
                    {
                        "name": st.text(min_size=1, max_size=5),
                        "year": numbers,
                        "log10_flop": any_priors,
                        "doubling_time_years": positive_priors,
                    },
                    optional={"source": st.text()},
                ),
                unique_by=lambda resource: resource["name"],
                max_size=3,
            ),
            "requirement.milestone": st.text(),
            "requirement.components.0.algorithmic_ceiling_oom": positive_priors,
        },
    ),
)
@settings(max_examples=60)
def test_what_is_written_is_read_back_equal(name, changes):
    scenario = scenario_from_dict(changed(name, changes))
    text = to_toml(scenario)
    again = scenario_from_dict(tomllib.loads(text))
    assert again == scenario
    assert to_toml(again) == text


@pytest.mark.parametrize("name", ["baseline", "cotra-2020"])
def test_shipped_scenarios_survive_a_trip_through_a_file(tmp_path: Path, name):
    scenario = load_scenario(name)
    path = tmp_path / "folder with spaces" / f"{name}.toml"
    path.parent.mkdir()
    path.write_text(to_toml(scenario), encoding="utf-8")
    assert load_scenario(path) == scenario
    assert scenario.id == name


# For editors


def test_the_json_schema_accepts_every_shipped_scenario():
    schema = json.loads(json.dumps(json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for name in scenario_ids():
        values = tomllib.loads(scenario_text(name))
        plain = json.loads(json.dumps(values, default=str))
        assert list(validator.iter_errors(plain)) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [("samplez", 1), (f"{DOUBLING}.lognorml", [1, 2]), ("samples", 0), ("spending.fit", 1)],
)
def test_the_json_schema_refuses_what_the_loader_refuses(place, value):
    plain = json.loads(json.dumps(changed("baseline", {place: value}), default=str))
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(plain)


def test_the_json_schema_accepts_a_bare_number_for_a_prior():
    # A prior set and the shipped scenarios write fixed numbers bare.
    plain = json.loads(json.dumps(changed("baseline", {DOUBLING: 0.5}), default=str))
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(plain)


@pytest.mark.parametrize("based_on", ["baseline", "cotra-2020"])
def test_a_template_is_the_same_scenario_under_its_own_id(tmp_path: Path, based_on):
    text = scenario_template("my-own", based_on=based_on)
    assert text.startswith("#:schema ./scenario.schema.json\n")
    path = tmp_path / "my-own.toml"
    path.write_text(text, encoding="utf-8")
    expected = load_scenario(based_on).model_copy(update={"id": "my-own"})
    assert load_scenario(path) == expected
    assert "# Weights are our judgement" in text or based_on != "baseline"
    again = scenario_template("other", based_on=str(path))
    assert again.count("#:schema") == 1


def test_shipped_scenarios_are_the_files_of_the_folder():
    folder = files("aitimelines.forecast").joinpath("scenarios")
    assert {f"{name}.toml" for name in scenario_ids()} == {
        f.name for f in folder.iterdir() if f.name.endswith(".toml")
    }
    assert {"baseline", "cotra-2020"} <= set(scenario_ids())
