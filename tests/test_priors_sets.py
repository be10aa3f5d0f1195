"""The shipped prior sets: every uncertain number says where it comes from."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from aitimelines.forecast.config import Prior
from aitimelines.forecast.scenario_files import load_scenario, scenario_ids, scenario_text
from aitimelines.priors.elicitation import KINDS
from aitimelines.priors.prior_sets import load_prior_set, prior_set_names

REQUIREMENT_KINDS = {"normal", "two_piece_normal", "uniform", "logistic"}
# Ajeya Cotra (2020), as summarised: median log10 FLOP of each anchor in 2020 algorithms, weight.
COTRA = {
    "lifetime": (28.0, 0.05),
    "short-horizon": (32.0, 0.15),
    "genome": (33.0, 0.10),
    "medium-horizon": (34.477, 0.30),  # 3e34
    "long-horizon": (37.0, 0.20),
    "evolution": (41.0, 0.10),
}


def uncertain_entries(value: Any, place: str = "", source: str = "") -> Iterator[tuple[str, str]]:
    """Yield (place, source) of every interval; the source of a table holds for what is in it."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from uncertain_entries(item, f"{place}.{index}", source)
    if isinstance(value, dict):
        own = value.get("source", source)
        kinds = REQUIREMENT_KINDS.union(KINDS)
        if any(key in kinds and isinstance(item, list) for key, item in value.items()):
            yield place, own
        for key, item in value.items():
            yield from uncertain_entries(item, f"{place}.{key}", own)


def test_the_names_are_the_files_of_the_folder():
    found = {f.name for f in files("aitimelines.priors").joinpath("sets").iterdir()}
    assert {f"{name}.toml" for name in prior_set_names()} <= found
    assert {"baseline", "cotra-2020"} <= set(prior_set_names())


@pytest.mark.parametrize("name", prior_set_names())
def test_every_uncertain_prior_has_a_source(name):
    entries = dict(uncertain_entries(load_prior_set(name)))
    assert [place for place, source in entries.items() if not source.strip()] == []
    assert len(entries) > 20 or name != "baseline"


@pytest.mark.parametrize("name", scenario_ids())
def test_every_uncertain_entry_of_a_scenario_has_a_source(name):
    entries = dict(uncertain_entries(tomllib.loads(scenario_text(name))))
    assert [place for place, source in entries.items() if not source.strip()] == []
    assert len(entries) >= len(load_scenario(name).requirement.components)


def test_a_missing_source_would_be_found():
    bare = {"a": {"doubling_time_years": {"lognormal": [0.3, 0.8]}}}
    assert list(uncertain_entries(bare)) == [(".a.doubling_time_years", "")]


@pytest.mark.parametrize("name", scenario_ids())
def test_what_a_scenario_leaves_out_comes_from_its_set(name):
    own = tomllib.loads(scenario_text(name))
    scenario = load_scenario(name)
    for section, fields in load_prior_set(scenario.prior_set).items():
        for field, value in fields.items():
            given = getattr(getattr(scenario, section), field)
            if isinstance(given, Prior) and field not in own.get(section, {}):
                assert given == Prior.model_validate(value)


def test_an_unknown_set_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"prior_set: .*'cotra-2021'.* did you mean 'cotra-2020'"):
        load_prior_set("cotra-2021")
    for hostile in ("../sets/baseline", "/etc/passwd", "", "baseline.toml"):
        with pytest.raises(ValueError, match="prior_set: no set named"):
            load_prior_set(hostile)


def test_a_set_may_be_changed_by_the_caller_without_harm():
    load_prior_set("baseline")["training_compute"]["fit"] = "changed"
    assert load_prior_set("baseline")["training_compute"]["fit"] is True


def test_reading_a_set_imports_no_heavy_library():
    code = (
        "import sys; from aitimelines.priors.prior_sets import load_prior_set;"
        "load_prior_set('baseline');"
        "print(sorted({'jax', 'numpyro', 'numpy', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Cotra (2020)


def test_the_anchors_have_the_published_weights():
    requirement = load_scenario("cotra-2020").requirement
    weights = {c.name: c.weight for c in requirement.components}
    assert weights == {name: weight for name, (_, weight) in COTRA.items()}
    assert sum(weights.values()) == pytest.approx(0.90, abs=1e-12)
    assert requirement.none_weight == pytest.approx(0.10, abs=1e-12)


@pytest.mark.parametrize("name", ["cotra-2020", "baseline"])
def test_the_anchors_have_the_published_medians(name):
    components = {
        c.name.removeprefix("anchor-"): c for c in load_scenario(name).requirement.components
    }
    for anchor, (median, _) in COTRA.items():
        assert components[anchor].kind == "normal"
        assert components[anchor].parameters[0] == pytest.approx(median, abs=1e-3)


def test_the_anchors_have_the_spreads_that_the_scenario_states():
    spreads = {c.name: c.parameters[1] for c in load_scenario("cotra-2020").requirement.components}
    stated = dict.fromkeys(COTRA, 3.0) | {"lifetime": 2.0, "short-horizon": 2.5}
    assert spreads == pytest.approx(stated, abs=1e-3)


def test_the_anchors_have_the_algorithmic_progress_that_the_scenario_states():
    for component in load_scenario("cotra-2020").requirement.components:
        median = COTRA[component.name][0]
        halving = min(max(3.5 - (median - 29) / 4, 2.0), 3.5)
        ceiling = min(max(2 + (median - 32) / 4, 2.0), 5.0)
        assert component.algorithmic_doubling_time_years.fixed == pytest.approx(halving, abs=1e-3)
        assert component.algorithmic_ceiling_oom.fixed == pytest.approx(ceiling, abs=1e-3)


def test_the_baseline_gives_the_anchors_a_quarter_in_the_published_proportions():
    components = load_scenario("baseline").requirement.components
    anchors = {
        c.name.removeprefix("anchor-"): c.weight for c in components if c.name.startswith("anchor-")
    }
    assert sum(anchors.values()) == pytest.approx(0.25, abs=1e-9)
    expected = {name: 0.25 * weight / 0.90 for name, (_, weight) in COTRA.items()}
    assert anchors == pytest.approx(expected, abs=6e-4)  # rounded to three decimals


def test_affordability_is_cotras():
    scenario = load_scenario("cotra-2020")
    assert all(
        section.doubling_time_years == section.long_run_doubling_time_years
        or section.long_run_doubling_time_years.fixed == section.doubling_time_years.fixed
        for section in (scenario.spending, scenario.price_performance, scenario.gross_product)
    )
    assert 10**scenario.price_performance.log10_level.fixed == pytest.approx(4e17, rel=2e-3)
    assert 10**scenario.gross_product.log10_level.fixed == pytest.approx(2.13e13, rel=2e-3)
    # 3 % a year
    assert 2 ** (1 / scenario.gross_product.doubling_time_years.fixed) == pytest.approx(
        1.03, abs=1e-4
    )


def test_no_set_names_scenarios_that_are_missing():
    assert {load_scenario(name).prior_set for name in scenario_ids()} <= set(prior_set_names())
