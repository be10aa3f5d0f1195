"""The registry of laws and its command: names, numbers, warnings, errors."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from aitimelines.forecast import laws
from aitimelines.forecast.cli import main
from aitimelines.forecast.law_families import FAMILIES
from aitimelines.priors.published_laws import named_runs

WITH_OPTIMUM = [each for each in laws.law_ids() if laws.law(each).kind in laws.COMPUTED]
WITH_INVERSE = [each for each in WITH_OPTIMUM if laws.law(each).kind != "power_optimum"]
ONE_EQUATION = [each for each in WITH_INVERSE if laws.law(each).kind != "kaplan"]

Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command and gives what it prints."""

    def run(*arguments: str) -> str:
        main(["laws", *arguments])
        return capsys.readouterr().out

    return run


@pytest.fixture
def failed(capsys: pytest.CaptureFixture[str]) -> Said:
    """Return a function that runs a command that fails and gives its one line of error."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit, match="2"):
            main(["laws", *arguments])
        return capsys.readouterr().err.strip()

    return run


# --- the registry --------------------------------------------------------------------------------


def test_every_computed_kind_has_functions() -> None:
    assert set(FAMILIES) == set(laws.COMPUTED)
    assert set(laws.SETTINGS) <= set(laws.COMPUTED) <= set(laws.FORMS)


@pytest.mark.parametrize("law_id", WITH_OPTIMUM)
def test_an_optimum_spends_its_budget(law_id: str) -> None:
    run = laws.optimum(law_id, training_flop=1e22)
    assert run.training_flop == 1e22
    assert 6 * run.parameters * run.tokens == pytest.approx(1e22, rel=1e-9)
    assert run.tokens_per_parameter == pytest.approx(run.tokens / run.parameters)


@pytest.mark.parametrize("law_id", WITH_INVERSE)
def test_the_cheapest_run_of_a_loss_is_the_optimum(law_id: str) -> None:
    best = laws.optimum(law_id, training_flop=1e22)
    again = laws.optimum(law_id, loss=best.loss)
    assert again.training_flop == pytest.approx(1e22, rel=1e-6)
    assert again.parameters == pytest.approx(best.parameters, rel=1e-4)


@pytest.mark.parametrize("law_id", ONE_EQUATION)
def test_no_run_of_equal_compute_does_better(law_id: str) -> None:
    best = laws.optimum(law_id, training_flop=1e22)
    for factor in (0.1, 0.9, 1.0, 1.1, 10):
        run = laws.loss(law_id, parameters=best.parameters * factor, tokens=best.tokens / factor)
        assert run.loss >= best.loss * (1 - 1e-12)
    assert run.training_flop == pytest.approx(1e22)


@pytest.mark.parametrize(
    ("law_id", "gpt_3", "gopher", "llama"),
    [
        ("hoffmann-2022", 2.98, 3.93, 1.99),
        ("hoffmann-2022-unrounded", 2.41, 3.11, 2.48),
        ("besiroglu-2024", 1.64, 2.01, 5.52),
    ],
)
def test_waste_of_well_known_runs(law_id: str, gpt_3: float, gopher: float, llama: float) -> None:
    runs = named_runs()
    expected = {"gpt-3": gpt_3, "gopher": gopher, "llama-3-8b": llama}
    for name, factor in expected.items():
        run = runs[name]
        found = laws.waste(law_id, parameters=run["parameters"], tokens=run["tokens"])
        assert found == pytest.approx(factor, abs=0.01)


@pytest.mark.parametrize(
    ("law_id", "factor"),
    [("hoffmann-2022", 11.2), ("hoffmann-2022-unrounded", 8.4), ("besiroglu-2024", 5.5)],
)
def test_kaplans_sizes_waste_most_of_the_compute_of_gpt_3(law_id: str, factor: float) -> None:
    # N of table 6 at C_min = C (here: at half of twice the budget), D = C / (6 N).
    parameters = laws.optimum("kaplan-2020", training_flop=2 * 3.14e23).parameters
    tokens = 3.14e23 / 6 / parameters
    found = laws.waste(law_id, parameters=parameters, tokens=tokens)
    assert found == pytest.approx(factor, rel=0.01)


def test_settings_reach_the_law() -> None:
    few = laws.optimum("muennighoff-2023", training_flop=1e25, setting=1e11)
    many = laws.optimum("muennighoff-2023", training_flop=1e25)
    assert few.loss > many.loss
    assert few.setting == {"unique_tokens": 1e11}
    assert many.setting == {"unique_tokens": None}
    coarse = laws.loss("kumar-2024", parameters=8e9, tokens=15e12, setting=4)
    exact = laws.loss("kumar-2024", parameters=8e9, tokens=15e12)
    assert coarse.loss - exact.loss == pytest.approx(0.1282, rel=0.01)
    sparse = laws.loss("frantar-2023-t5", parameters=604e6, tokens=5e5 * 65_536, setting=0.75)
    assert sparse.loss == pytest.approx(1.4683, rel=1e-3)


def test_other_constants_in_a_published_form() -> None:
    law = laws.law("hoffmann-2022")
    mine = replace(law, id="mine", constants=law.constants | {"irreducible_loss": 1.0})
    gap = [laws.optimum(each, training_flop=1e23).loss for each in (law, mine)]
    assert gap[0] - gap[1] == pytest.approx(0.69)


def test_what_is_outside_the_range_says_so() -> None:
    inside = laws.loss("hoffmann-2022", parameters=1e9, tokens=2e10)
    assert inside.warnings == ()
    assert inside.superseded_by == "besiroglu-2024"
    outside = laws.optimum("hoffmann-2022", training_flop=5.76e23)
    assert [warning.split()[0] for warning in outside.warnings] == [
        "parameters",
        "tokens",
        "training_flop",
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: laws.law("besiroglu2024"), "^law: no law 'besiroglu2024'; did you mean 'besir"),
        (lambda: laws.law("chinchila"), "did you mean '"),
        (
            lambda: laws.optimum("besiroglu-2024"),
            "^training_flop, loss: expected one of the two$",
        ),
        (
            lambda: laws.optimum("besiroglu-2024", training_flop=1e22, loss=2.0),
            "^training_flop, loss: expected one of the two$",
        ),
        (
            lambda: laws.optimum("besiroglu-2024", training_flop=-1.0),
            "^training_flop: got -1.0, expected a positive number$",
        ),
        (
            lambda: laws.optimum("besiroglu-2024", training_flop=1.0),
            "^training_flop: got 1.0, expected at least 6",
        ),
        (
            lambda: laws.optimum("kaplan-2020", loss=1e-30),
            "^loss: got 1e-30, expected one that a run reaches",
        ),
        (
            lambda: laws.optimum("muennighoff-2023", loss=2.0, setting=1e10),
            "^loss: got 2.0, expected one that a run reaches",
        ),
        (
            lambda: laws.optimum("besiroglu-2024", loss=1.8),
            "^loss: got 1.8, expected one that a run reaches under 'besiroglu-2024'$",
        ),
        (
            lambda: laws.loss("hoffmann-2022", parameters=float("nan"), tokens=1e9),
            "^parameters: got nan, expected a positive number$",
        ),
        (lambda: laws.loss("llama-3-2024", parameters=1e9, tokens=1e9), "^law: .* has no loss$"),
        (lambda: laws.optimum("llama-3-2024", loss=2.0), "has no loss, to find an optimum by$"),
        (lambda: laws.optimum("jones-2021", training_flop=1e22), "^law: .* has no optimum$"),
        (
            lambda: laws.optimum("hoffmann-2022", training_flop=1e22, setting=4.0),
            "^setting: got 4.0, but 'hoffmann-2022' has none$",
        ),
        (
            lambda: laws.optimum("frantar-2023-t5", training_flop=1e20, setting=1.0),
            "^sparsity: got 1.0, expected at least 0 and below 1$",
        ),
        (
            lambda: laws.waste("kaplan-2020", parameters=1e9, tokens=1e9),
            "^law: 'kaplan-2020' has no one equation of both loss and optimum$",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# --- the command ---------------------------------------------------------------------------------


def test_optimum_as_json(said: Said) -> None:
    text = said("optimum", "--law", "besiroglu-2024", "--flop", "5.76e23", "--json")
    found = json.loads(text)
    assert found["parameters"] == pytest.approx(7.225e10, rel=2e-3)
    assert found["tokens"] == pytest.approx(1.329e12, rel=2e-3)
    assert found["loss"] == pytest.approx(1.9744, abs=1e-4)
    assert found["law"] == "besiroglu-2024"
    assert found["training_flop"] == 5.76e23
    assert found["tokens_per_parameter"] == pytest.approx(18.4, rel=2e-3)
    assert found["units"]["loss"] == "nat/token"
    assert len(found["warnings"]) == 3


def test_optimum_of_a_loss_and_in_words(said: Said) -> None:
    text = said("optimum", "--law", "hoffmann-2022", "--loss", "1.9307")
    assert "training compute: 5.7" in text
    assert "superseded by: besiroglu-2024" in text
    text = said("optimum", "--law", "muennighoff-2023", "--flop", "1e24", "--unique-tokens", "1e11")
    assert "unique_tokens: 1e+11" in text


def test_list_and_show(said: Said) -> None:
    listed = [each["id"] for each in json.loads(said("list", "--json"))]
    assert listed == laws.law_ids()
    lines = said("list").splitlines()
    assert [line.split()[0] for line in lines] == listed
    shown = json.loads(said("show", "kaplan-2020", "--json"))
    assert shown["constants"]["critical_batch"] == {"scale": 2e8, "exponent": 0.21}
    text = said("show", "kaplan-2020")
    assert "superseded by: hoffmann-2022" in text
    assert "note: Eq. 6.7 prints" in text


def test_loss(said: Said) -> None:
    arguments = ("--law", "kumar-2024", "--parameters", "8e9", "--tokens", "15e12", "--bits", "4")
    found = json.loads(said("loss", *arguments, "--json"))
    n, d = 8e9, 15e12
    expected = 2.7648 + 4299 / n**0.4965 + 18060 / d**0.4965 + 0.1282
    assert found["loss"] == pytest.approx(expected, abs=1e-3)
    assert found["setting"] == {"bits": 4}


def test_compare(said: Said) -> None:
    found = json.loads(said("compare", "--flop", "1e25", "--json"))
    assert [row["law"] for row in found["laws"]] == WITH_OPTIMUM
    by_law = {row["law"]: row for row in found["laws"]}
    assert by_law["besiroglu-2024"]["waste"]["gpt-3"] == pytest.approx(1.64, abs=0.01)
    assert by_law["kaplan-2020"]["waste"]["gpt-3"] is None
    assert by_law["llama-3-2024"]["loss"] is None
    factors = [x for row in found["laws"] for x in row["waste"].values() if x is not None]
    assert np.min(factors) >= 1 - 1e-9
    text = said("compare", "--flop", "1e25")
    assert all(law_id in text for law_id in WITH_OPTIMUM)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "hofmann-2022"), "did you mean 'hoffmann-2022'"),
        (("optimum", "--law", "besiroglu-2024"), "expected one of the two"),
        (
            ("optimum", "--law", "hoffmann-2022", "--flop", "1e22", "--bits", "4"),
            "bits: got 4.0, but 'hoffmann-2022' does not use it",
        ),
    ],
)
def test_errors_are_one_line(failed: Said, arguments: tuple[str, ...], message: str) -> None:
    line = failed(*arguments)
    assert message in line
    assert "\n" not in line


def test_list_and_show_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom aitimelines.forecast.cli import main\n"
        "main(['laws', 'list']); main(['laws', 'show', 'jones-2021'])\n"
        "assert not {'jax', 'numpy', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
