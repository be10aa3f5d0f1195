"""Questions with computed answers: their numbers, their rules, and what flips a verdict."""

import json
from collections.abc import Mapping
from math import exp, inf, log
from pathlib import Path

import aitimelines.forecast as fc
import numpy as np
import pytest
from aitimelines.forecast import cli, law_families, laws
from aitimelines.forecast.questions import (
    answer,
    ask,
    computation,
    drawing,
    evidence,
    question,
    question_ids,
)
from aitimelines.forecast.questions.answer import (
    DEPENDS,
    OPEN,
    SIDE_A,
    SIDE_B,
    Answer,
    Evidence,
    Quantity,
    Verdict,
)
from scipy import optimize

Draws = dict[str, np.ndarray]
NAMES = (
    "irreducible_loss",
    "log_parameter_constant",
    "parameter_exponent",
    "log_data_constant",
    "data_exponent",
)
IDS = {
    *(f"Q0.{i}" for i in range(1, 8)),
    *(f"Q1.{i}" for i in range(1, 9)),
    *(f"Q2.{i}" for i in range(1, 6)),
    *(f"Q3.{i}" for i in range(1, 9)),
}
NOT_COMPUTED = {"Q2.3", "Q2.4", "Q3.8"}
OWN = sorted(each for each in IDS - NOT_COMPUTED if each[1] in "23")
TIME_AT_4_7 = log(2) / log(4.7)  # doubling time [yr] of growth by 4.7 times a year


def certain(law_id: str, count: int = 8, **changes: float) -> Draws:
    """Return draws that are all the published law, with some constants changed."""
    law = law_families.chinchilla(laws.law(law_id).constants)._asdict() | changes
    return {name: np.full(count, float(law[name])) for name in NAMES}


def half_and_half(first: Draws, second: Draws) -> Draws:
    return {name: np.concatenate([first[name], second[name]]) for name in NAMES}


def growth(doubling_time_years: float = TIME_AT_4_7, count: int = 8) -> Draws:
    return {"doubling_time_years": np.full(count, doubling_time_years)}


def arrival(years_per_oom: float) -> Draws:
    shift = np.linspace(-2, 3, 21)
    median = 2037 + years_per_oom * shift
    return {
        "shift_oom": shift,
        "year_q25": median - 7,
        "year_q50": median,
        "year_q75": median + 20,
    }


def numbers(given: Answer) -> dict[str, Quantity]:
    return {each.name: each for each in given.results}


def value(given: Answer, name: str) -> float:
    return numbers(given)[name].value


def reducible(law: Mapping[str, np.ndarray], n: float, d: float) -> tuple[float, float]:
    """Return A / N^alpha and B / D^beta of the first draw, in plain floats."""
    e, ln_a, alpha, ln_b, beta = (float(law[name][0]) for name in NAMES)
    return exp(ln_a - alpha * log(n)), exp(ln_b - beta * log(d))


def loss_of(law: Mapping[str, np.ndarray], n: float, d: float) -> float:
    return float(law["irreducible_loss"][0]) + sum(reducible(law, n, d))


def least_loss(law: Mapping[str, np.ndarray], flop: float) -> tuple[float, float]:
    """Return (N, loss) of the best run of C = 6 N D, by a search."""
    found = optimize.minimize_scalar(
        lambda ln_n: loss_of(law, exp(ln_n), flop / 6 / exp(ln_n)),
        bounds=(log(1e5), log(1e15)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return exp(found.x), float(found.fun)


def least_flop(law: Mapping[str, np.ndarray], loss: float) -> float:
    return exp(
        optimize.brentq(lambda ln_c: least_loss(law, exp(ln_c))[1] - loss, log(1e15), log(1e32))
    )


@pytest.fixture(scope="module")
def posterior() -> Evidence:
    return evidence.chinchilla(lambda what, done, total: None)


@pytest.fixture(scope="module")
def answers(posterior: Evidence) -> dict[str, Answer]:
    """Return every answer of Q2 and Q3, by the posterior of the law and made-up growth."""
    few = {name: values[:500] for name, values in posterior.values.items()}
    made_up = {
        evidence.chinchilla: few,
        evidence.training_compute: growth(count=500),
        evidence.arrival_years: arrival(2.7),
    }
    found = {}
    for each in OWN:
        how = computation(each)
        assert how is not None
        found[each] = how.answer(*(made_up[need] for need in how.needs))
    return found


def answered(question_id: str, *values: Draws) -> Answer:
    how = computation(question_id)
    assert how is not None
    return how.answer(*values)


# --- rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "side"), [(1.0, SIDE_A), (0.9, SIDE_A), (0.89, OPEN), (0.11, OPEN), (0.1, SIDE_B)]
)
def test_a_side_is_taken_when_it_is_sure(p: float, side: str) -> None:
    assert answer.by_probability(p).side == side
    assert answer.by_indecision(p, "it").side == (SIDE_A if side == OPEN else SIDE_B)


def test_a_probability_is_the_share_of_draws() -> None:
    happens = np.arange(10) < 9
    assert answer.by_probability(happens, "x").because == "P(x) = 0.9"
    with pytest.raises(ValueError, match="probability"):
        answer.by_probability(1.2)


def test_thresholds() -> None:
    assert answer.by_threshold(1.0, 1.0, "x").side == SIDE_A
    assert answer.by_threshold(0.999, 1.0, "x").side == SIDE_B
    assert answer.by_threshold(float("nan"), 1.0, "x").side == OPEN


def test_cases_agree_or_it_depends() -> None:
    a, b = Verdict(SIDE_A), Verdict(SIDE_B)
    assert answer.by_cases({"x": a, "y": a}).side == SIDE_A
    both = answer.by_cases({"x": a, "y": b})
    assert (both.side, both.because) == (DEPENDS, "x: side A; y: side B")
    with pytest.raises(ValueError, match="cases"):
        answer.by_cases({})


def test_quantiles_of_draws_that_may_be_infinite() -> None:
    found = answer.of_draws("x", [1, 2, 3, inf, inf], "yr")
    assert (found.value, found.q95) == (3, inf)
    assert answer.plain_quantity(found)["q95"] is None
    with pytest.raises(ValueError, match="x: got no draws"):
        answer.of_draws("x", [1, float("nan")])


# --- the list -------------------------------------------------------------------------------------


def test_the_list_is_complete() -> None:
    groups = {each[:2] for each in question_ids()}
    assert {"Q2", "Q3"} <= groups
    assert set(question_ids()) == {each for each in IDS if each[:2] in groups}
    assert {each for each in OWN if question(each).why_not} == set()
    assert all(question(each).why_not for each in NOT_COMPUTED)


def test_every_question_has_a_computation_or_says_why_not() -> None:
    for each in question_ids():
        how = computation(each)
        assert (how is None) == bool(question(each).why_not)
        assert how is None or len(how.method) > 100


def test_a_wrong_id_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'Q3.1'"):
        ask("q3.1")


# --- Q2 -------------------------------------------------------------------------------------------


def test_every_answer_has_numbers_a_rule_a_verdict_and_a_figure(
    answers: dict[str, Answer],
) -> None:
    for each, given in answers.items():
        names = [quantity.name for quantity in given.results]
        assert len(names) == len(set(names)) >= 3, each
        assert given.inputs
        assert given.rule
        assert given.verdict.side in (SIDE_A, SIDE_B, OPEN, DEPENDS)
        figure = drawing.page(question(each).claim, [given.verdict.side], given.draw)
        assert figure.axes[0].has_data(), each
        assert figure.axes[0].get_xlabel(), each


def test_kaplans_allocation_wastes_what_was_computed_elsewhere(answers: dict[str, Answer]) -> None:
    given = answers["Q2.1"]
    names = {"hoffmann-2022": 11.2, "hoffmann-2022-unrounded": 8.4, "besiroglu-2024": 5.5}
    for name, factor in names.items():
        assert value(given, f"waste at 3.14e23 FLOP by {name}") == pytest.approx(factor, rel=0.01)
    law = certain("besiroglu-2024")
    petaflop_days = 3.14e23 / 8.64e19
    size = 1.3e9 * petaflop_days**0.73
    cheapest = least_flop(law, loss_of(law, size, 3.14e23 / 6 / size))
    ours = value(given, "waste at 3.14e23 FLOP by besiroglu-2024")
    assert ours == pytest.approx(3.14e23 / cheapest, rel=1e-3)
    assert {case.side for case in given.verdict.cases.values()} == {SIDE_A, SIDE_B}


def test_converging_costs_what_a_search_finds() -> None:
    law = certain("besiroglu-2024")
    _, loss = least_loss(law, 5.76e23)
    part = loss / 1.02 - law["irreducible_loss"][0]
    n = exp((law["log_parameter_constant"][0] - log(part)) / law["parameter_exponent"][0])
    d = optimize.brentq(lambda ln_d: loss_of(law, n, exp(ln_d)) - loss, 10, 50)
    found = value(answered("Q2.1", law), "compute of converging / least")
    assert found == pytest.approx(6 * n * exp(d) / 5.76e23, rel=1e-4)


def test_a_law_under_which_kaplan_was_right_about_magnitude() -> None:
    # The waste of his allocation is small where parameters matter much and data little.
    kaplan_like = certain("besiroglu-2024", data_exponent=0.9, log_data_constant=18.0)
    sides = {k: v.side for k, v in answered("Q2.1", kaplan_like).verdict.cases.items()}
    before = answered("Q2.1", certain("besiroglu-2024")).verdict.cases
    assert before["magnitude"].side == SIDE_B
    assert sides["magnitude"] == SIDE_A


def test_the_exponent_of_tokens(answers: dict[str, Answer]) -> None:
    given = answers["Q2.2"]
    # NUTS of another program: the 80 % interval of b = 1 - a is [.476, .503].
    assert value(given, "b, 10 % quantile") == pytest.approx(0.476, abs=0.005)
    assert value(given, "b, 90 % quantile") == pytest.approx(0.503, abs=0.005)
    assert value(given, "P(b <= 0.27)") == 0
    assert value(given, "b of Porian et al., refinedweb, tuned") == pytest.approx(0.503)
    assert given.verdict.side == SIDE_B


def test_the_exponent_of_tokens_flips() -> None:
    alpha, beta = 0.135, 0.365  # b = .27
    other = certain("besiroglu-2024", parameter_exponent=alpha, data_exponent=beta)
    given = answered("Q2.2", other)
    assert value(given, "b") == pytest.approx(0.27)
    assert given.verdict.side == SIDE_A
    mixed = half_and_half(other, certain("besiroglu-2024"))
    assert answered("Q2.2", mixed).verdict.side == OPEN


def test_the_exponent_in_kaplans_range(answers: dict[str, Answer]) -> None:
    given = answers["Q2.5"]
    assert value(given, "the same by besiroglu-2024") == pytest.approx(0.78, abs=0.006)
    assert value(given, "the same by hoffmann-2022") == pytest.approx(0.74, abs=0.006)
    law = certain("besiroglu-2024")

    def best(flop: float) -> float:
        def loss(ln_n: float) -> float:
            n = exp(ln_n)
            return loss_of(law, n + 47491 * n ** (1 / 3), flop / 6 / n)

        bounds, tight = (log(100), log(1e10)), {"xatol": 1e-10}
        return float(
            optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options=tight).x
        )

    low, high = (
        optimize.brentq(lambda ln_c, n=n: best(exp(ln_c)) - log(n), 25, 50) for n in (768, 1.5e9)
    )
    ln_c = np.linspace(low, high, 40)
    slope = np.polyfit(ln_c, [best(exp(each)) for each in ln_c], 1)[0]
    assert value(given, "the same by besiroglu-2024") == pytest.approx(slope, abs=1e-4)


def test_superseded_at_the_frontier_only(answers: dict[str, Answer]) -> None:
    sides = [case.side for case in answers["Q2.5"].verdict.cases.values()]
    assert sides == [SIDE_A, SIDE_B]
    # If data hardly mattered, Gopher would be the better model.
    no_data = certain("besiroglu-2024", log_data_constant=-9.0)
    given = answered("Q2.5", no_data, growth())
    assert value(given, "loss of Gopher - loss of Chinchilla") < 0
    assert next(iter(given.verdict.cases.values())).side == SIDE_B


def test_years_lost_are_doublings_of_the_waste() -> None:
    given = answered("Q2.5", certain("besiroglu-2024"), growth(2.0))
    waste = 2 ** (value(given, "years lost by besiroglu-2024") / 2.0)
    size = 1.3e9 * (1e26 / 8.64e19) ** 0.73
    law = certain("besiroglu-2024")
    cheapest = least_flop(law, loss_of(law, size, 1e26 / 6 / size))
    assert waste == pytest.approx(1e26 / cheapest, rel=1e-3)


# --- Q3 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law_id", "lifetime", "training"),
    [
        # Of hoffmann-2022-table-a3 N* / N and D* / D are .293 and 7.30 at 1e13: a product of 2.14.
        ("hoffmann-2022-table-a3", (0.992, 0.819, 0.434, 0.241), 0.293 * 7.30),
        ("besiroglu-2024", (0.978, 0.729, 0.396), 0.294 * 9.35),
    ],
)
def test_training_for_inference(law_id: str, lifetime: tuple[float, ...], training: float) -> None:
    given = answered("Q3.1", certain(law_id), growth())
    for served, factor in zip(("1e11", "1e12", "1e13", "1e14"), lifetime, strict=False):
        found = value(given, f"lifetime factor, {served} tokens served")
        assert found == pytest.approx(factor, abs=0.0015)
    found = value(given, "training factor, 1e13 tokens served")
    assert found == pytest.approx(training, rel=0.006)
    delay = value(given, "delay, 1e13 tokens served")
    assert delay == pytest.approx(log(training) / log(4.7), abs=0.005)


def test_sardanas_example_is_met(answers: dict[str, Answer]) -> None:
    for name in ("parameters", "training tokens", "lifetime FLOP"):
        found = numbers(answers["Q3.1"])[f"{name}, example of Sardana et al."]
        assert found.value == pytest.approx(found.published, rel=0.0015)


def test_a_year_of_delay_is_where_a_search_finds_it() -> None:
    law = certain("besiroglu-2024")
    given = answered("Q3.1", law, growth())
    size, loss = least_loss(law, 1e23)
    tokens = 1e23 / 6 / size
    served = value(given, "1 yr of delay from") * tokens

    def needed(n: float) -> float:
        by_parameters = reducible(law, n, 1.0)[0]
        left = loss - law["irreducible_loss"][0] - by_parameters
        return exp((law["log_data_constant"][0] - log(left)) / law["data_exponent"][0])

    smallest = size * 0.2
    while loss - law["irreducible_loss"][0] <= reducible(law, smallest, 1.0)[0]:
        smallest *= 1.02
    best = optimize.minimize_scalar(
        lambda n: (6 * n * needed(n) + 2 * n * served) / 1e23,
        bounds=(smallest, size),
        method="bounded",
        options={"xatol": 1.0},
    ).x
    assert 6 * best * needed(best) / 1e23 == pytest.approx(4.7, rel=2e-3)


def test_the_side_of_inference_follows_the_pace_of_compute() -> None:
    law = certain("besiroglu-2024")
    assert answered("Q3.1", law, growth(0.05)).verdict.side == SIDE_B
    slow = answered("Q3.1", law, growth(20.0)).verdict.cases
    assert slow["D_inf / D = 10"].side == SIDE_A
    assert answered("Q3.1", law, growth()).verdict.cases["D_inf / D = 10"].side == SIDE_B


# C, parameters at 16 bits, loss at 16 bits, best loss, its bits; by Besiroglu's constants.
COMPRESSED = [
    ("1e22", "1e9", 2.2447, 2.1692, 5),
    ("1e23", "8e9", 2.0554, 2.0340, 6),
    ("1e24", "8e9", 2.0184, 1.9826, 6),
    ("1e25", "8e9", 2.0025, 1.9648, 6),
]


@pytest.fixture(scope="module")
def compressed() -> Answer:
    return answered("Q3.2", certain("besiroglu-2024"))


@pytest.mark.parametrize(("flop", "size", "dense", "best", "bits"), COMPRESSED)
def test_large_then_compressed(
    compressed: Answer, flop: str, size: str, dense: float, best: float, bits: int
) -> None:
    where = f"{flop} FLOP, {size} parameters at 16 bits"
    assert value(compressed, f"loss at 16 bits: {where}") == pytest.approx(dense, abs=2e-4)
    assert value(compressed, f"best loss at fewer bits: {where}") == pytest.approx(best, abs=2e-4)
    assert value(compressed, f"best bits: {where}") == bits
    assert compressed.verdict.cases[where].side == SIDE_A


def test_compression_does_not_pay_where_the_best_model_fits(compressed: Answer) -> None:
    assert compressed.verdict.cases["1e24 FLOP, 2e11 parameters at 16 bits"].side == SIDE_B
    assert compressed.verdict.side == DEPENDS
    # With parameters worth little the compute-optimal model is small and fits everywhere.
    small = certain("besiroglu-2024", log_parameter_constant=0.0)
    assert answered("Q3.2", small).verdict.side == SIDE_B


def test_eight_per_cent_of_which_loss(answers: dict[str, Answer]) -> None:
    given = answers["Q3.3"]
    assert {k: v.side for k, v in given.verdict.cases.items()} == {
        "of the whole loss": SIDE_B,
        "of the reducible loss": SIDE_A,
    }
    growth_by = "N and D for 10 % of the whole loss by"
    assert value(given, f"{growth_by} hoffmann-2022-unrounded") == pytest.approx(463, abs=1)
    assert value(given, f"{growth_by} besiroglu-2024") == inf
    # By Besiroglu's constants, .93 % for Chinchilla and 6.3 % for 8e9 parameters on 1.5e13 tokens.
    assert value(given, "lost to 4 bits by chinchilla") == pytest.approx(0.0093, abs=1e-4)
    assert value(given, "lost to 4 bits by llama-3-8b") == pytest.approx(0.063, abs=1e-3)
    both = value(given, "N and D for 10 % of the reducible loss")
    assert both == pytest.approx(1.34, abs=0.02)


def test_without_a_floor_eight_per_cent_is_won() -> None:
    given = answered("Q3.3", certain("besiroglu-2024", irreducible_loss=1e-9))
    assert given.verdict.cases["of the whole loss"].side == SIDE_A
    floor = answered("Q3.3", certain("besiroglu-2024", irreducible_loss=50.0))
    assert floor.verdict.cases["of the reducible loss"].side == SIDE_A
    small_gap = certain("besiroglu-2024", parameter_exponent=0.01, log_parameter_constant=-3.0)
    assert answered("Q3.3", small_gap).verdict.cases["of the reducible loss"].side == SIDE_B


def test_what_is_unproven(answers: dict[str, Answer]) -> None:
    given = answers["Q3.4"]
    factor = {q.name: q for q in given.inputs}["factor of the cost of quantisation"]
    assert (factor.q05, factor.q95) == (pytest.approx(1 / 3, rel=0.1), pytest.approx(3, rel=0.1))
    third = "memory of 0.33 of the compute-optimal model"
    assert given.verdict.cases[third].side == SIDE_B
    assert value(given, "P(overtrained and small wins), memory of 0.033") == 0
    assert value(given, "P(overtrained and small wins), memory of 1.5") == 1
    # Two laws that disagree: by one the compute-optimal model is far smaller, and fits.
    small = certain("besiroglu-2024", 200, log_parameter_constant=0.0)
    mixed = half_and_half(certain("besiroglu-2024", 200), small)
    assert SIDE_A in {case.side for case in answered("Q3.4", mixed).verdict.cases.values()}


def test_the_price_of_learning() -> None:
    law = certain("besiroglu-2024")
    given = answered("Q3.5", law)
    size, loss = least_loss(law, 1e24)
    _, new_loss = least_loss(law, 1e21)
    price = value(given, "price threshold")

    def tokens(n: float, wanted: float) -> float:
        left = wanted - law["irreducible_loss"][0] - reducible(law, n, 1.0)[0]
        return exp((law["log_data_constant"][0] - log(left)) / law["data_exponent"][0])

    def cost(n: float) -> float:
        return 6 * n * tokens(n, loss) + 2 * n * 1e13 + price * tokens(n, new_loss)

    best = optimize.minimize_scalar(
        lambda ln_n: cost(exp(ln_n)) / 1e24,
        bounds=(log(size / 2), log(size * 4)),
        method="bounded",
        options={"xatol": 1e-9},
    ).x
    assert exp(best) == pytest.approx(size, rel=2e-3)
    saved = tokens(size, new_loss) / tokens(1e30, new_loss)
    assert value(given, "tokens saved at most") == pytest.approx(saved, rel=1e-4)
    ratios = [value(given, f"N / compute-optimal N at ${d} a token") for d in ("0", "0.01", "1")]
    assert ratios[0] < 1 < ratios[1] < ratios[2]
    assert given.verdict.cases["$0 a token"].side == SIDE_B
    assert given.verdict.cases["$1 a token"].side == SIDE_A


def test_gpt_4(answers: dict[str, Answer]) -> None:
    law = certain("besiroglu-2024")
    given = answered("Q3.6", law)
    size, _ = least_loss(law, 2.1e25)
    assert value(given, "parameters, compute-optimal") == pytest.approx(size, rel=1e-3)
    assert given.verdict.cases["compute-optimal"].side == SIDE_B  # by the posterior it is open
    assert answers["Q3.6"].verdict.cases["compute-optimal"].side == OPEN
    more_data = answered("Q3.6", certain("hoffmann-2022"))
    assert more_data.verdict.cases["trained to be served"].side == SIDE_A
    assert more_data.verdict.cases["compute-optimal"].side == SIDE_A


def test_the_median_is_revised_by_the_overhead() -> None:
    law = certain("hoffmann-2022-table-a3")
    given = answered("Q3.7", law, arrival(2.7))
    base = answered("Q3.1", law, growth(log(2)))  # a delay of ln(training factor)
    ratio = 1e13 / 2.764e11  # of the compute-optimal run with 7e9 parameters
    factor = value(base, "training factor, 1e13 tokens served")
    at = [value(given, f"revision by the posterior at D_inf / D = {r}") for r in (10, 100)]
    between = np.interp(log(ratio), [log(10), log(100)], at)
    assert between == pytest.approx(2.7 * log(factor, 10), rel=0.15)  # a line between two points
    assert given.verdict.cases["D_inf / D = 1"].side == SIDE_B
    assert given.verdict.cases["D_inf / D = 1000"].side == SIDE_A
    assert answered("Q3.7", law, arrival(0.1)).verdict.side == SIDE_B


# --- evidence and the command ---------------------------------------------------------------------


def test_evidence_is_the_posterior(posterior: Evidence) -> None:
    assert posterior.verdict == "PASS"
    alpha, beta = (posterior.values[name] for name in ("parameter_exponent", "data_exponent"))
    assert alpha.shape == (evidence.DRAWS,)
    assert (alpha.mean(), beta.mean()) == (
        pytest.approx(0.3457, abs=0.004),
        pytest.approx(0.3606, abs=0.004),
    )
    # Joint draws: ln A goes with alpha.
    correlation = np.corrcoef(alpha, posterior.values["log_parameter_constant"])[0, 1]
    assert correlation > 0.99


@pytest.mark.slow
def test_evidence_of_the_forecast() -> None:
    def silent(what: str, done: int, total: int) -> None:
        return None

    doubling = evidence.training_compute(silent).values["doubling_time_years"]
    assert 2 ** (1 / np.median(doubling)) == pytest.approx(4.7, abs=0.6)
    years = evidence.arrival_years(silent).values
    assert (np.diff(years["year_q50"]) > 0).all()
    tree = fc.run("baseline")
    median = float(tree["timeline"]["arrival_year_quantile"].sel(quantile=0.5))
    assert np.interp(0, years["shift_oom"], years["year_q50"]) == pytest.approx(median, abs=0.2)


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    cli.main(["ask", *arguments])
    return capsys.readouterr().out


def test_the_list_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run_command(capsys).splitlines()
    assert [line.split()[0] for line in lines] == question_ids()
    listed = json.loads(run_command(capsys, "--json"))
    assert {each["id"] for each in listed if not each["computed"]} >= NOT_COMPUTED


def test_an_answer_by_command(
    posterior: Evidence, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "b.png"
    found = json.loads(run_command(capsys, "Q2.2", "--json", "--figure", str(figure)))
    assert list(found) == [
        *("id", "claim", "side_a", "side_b", "why_not", "method"),
        *("evidence", "inputs", "results", "rule", "verdict"),
    ]
    quantity = {"name", "value", "unit", "q05", "q95", "published", "source"}
    assert all(set(each) == quantity for each in found["inputs"] + found["results"])
    assert set(found["verdict"]) == {"side", "because", "cases"}
    assert found["verdict"]["side"] == SIDE_B
    assert found["evidence"][0]["fit"] == "PASS"
    assert figure.read_bytes().startswith(b"\x89PNG")
    text = run_command(capsys, "Q2.2")
    assert "rule: side A if P(b is nearer to 0.27" in text
    assert "verdict: side B" in text
    assert "b: 0.48" in text
    assert "[published 0.27, Kaplan et al. 2020, table 6]" in text
    assert fc.ask("Q2.2").plain() == found


def test_what_is_not_computed_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not computed: It takes downstream scores" in run_command(capsys, "Q2.3")
    found = ask("Q2.3")
    assert (found.answer, found.plain()["verdict"]) == (None, None)
    with pytest.raises(ValueError, match="figure"):
        found.figure()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("Q9.9",), "no question 'Q9.9'"),
        (("Q2.2", "--figure", "b.txt"), "expected a name that ends in"),
        (("all", "--figure", "b.png"), "expected one question"),
    ],
)
def test_a_wrong_question_is_refused(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["ask", *arguments])
    assert told in capsys.readouterr().err
