"""The published laws as written: complete, cited, consistent with one another."""

import math

import pytest
from aitimelines.forecast.laws import FORMS
from aitimelines.priors.published_laws import named_runs, published_laws

LAWS = published_laws()
KEYS = {"title", "source", "year", "kind", "read_from", "constants", "units"}


@pytest.mark.parametrize("law_id", LAWS)
def test_every_law_is_complete_and_cited(law_id: str) -> None:
    law = LAWS[law_id]
    assert set(law) >= KEYS
    assert set(law) <= KEYS | {"valid", "superseded_by", "notes"}
    assert law["kind"] in FORMS
    assert law["read_from"] in {"primary", "secondary", "derived"}
    assert 2020 <= law["year"] <= 2026
    assert str(law["year"]) in law_id
    assert law["read_from"] == "derived" or "arXiv" in law["source"]
    assert all(low < high for low, high in law.get("valid", {}).values())
    assert all(note.endswith(".") for note in law.get("notes", []))


@pytest.mark.parametrize("law_id", LAWS)
def test_superseding_ends_at_a_law_that_is_not_older(law_id: str) -> None:
    seen = [law_id]
    while (after := LAWS[seen[-1]].get("superseded_by")) is not None:
        assert after in LAWS
        assert after not in seen
        assert LAWS[after]["year"] >= LAWS[seen[-1]]["year"]
        seen.append(after)


def test_constants_are_finite_numbers() -> None:
    def numbers(table: dict[str, object]) -> list[float]:
        nested = [numbers(x) if isinstance(x, dict) else [x] for x in table.values()]
        return [x for each in nested for x in each]

    for law in LAWS.values():
        found = numbers(law["constants"])
        assert found
        assert all(isinstance(x, int | float) and math.isfinite(x) for x in found)


def test_rounded_and_unrounded_constants_are_the_same_law() -> None:
    # Hoffmann et al. 2022: 1.69, 406.4, 410.7, 0.34 and 0.28 (0.2849 would round to 0.28).
    rounded = LAWS["hoffmann-2022"]["constants"]
    tex = LAWS["hoffmann-2022-unrounded"]["constants"]
    assert math.exp(tex["log_irreducible_loss"]) == pytest.approx(rounded["irreducible_loss"], 3e-3)
    assert math.exp(tex["log_parameter_constant"]) == pytest.approx(406.4, rel=1e-4)
    assert math.exp(tex["log_data_constant"]) == pytest.approx(410.7, rel=1e-4)
    for name, digits in (("parameter_exponent", 2), ("data_exponent", 2)):
        assert round(tex[name], digits) == rounded[name]


def test_no_law_of_distillation_is_given() -> None:
    # Its constants could not be checked against the paper.
    assert not [law_id for law_id in LAWS if "busbridge" in law_id]


def test_what_is_returned_is_ones_own() -> None:
    published_laws()["hoffmann-2022"]["constants"]["irreducible_loss"] = 0
    assert published_laws()["hoffmann-2022"]["constants"]["irreducible_loss"] == 1.69


def test_named_runs_are_of_known_compute() -> None:
    # 3.14e23, 5.76e23 (as of Hoffmann et al. 2022) and 3.8e25 FLOP; attention is beyond 6 N D.
    flop = {name: 6 * run["parameters"] * run["tokens"] for name, run in named_runs().items()}
    assert flop["gpt-3"] == pytest.approx(3.14e23, rel=0.01)
    assert flop["chinchilla"] == pytest.approx(5.76e23, rel=0.03)
    assert flop["llama-3-405b"] == pytest.approx(3.8e25, rel=0.01)
    assert all("arXiv" in run["source"] for run in named_runs().values())
