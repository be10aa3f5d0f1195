"""Questions Q0 and Q1: the numbers are right, and verdicts follow them."""

from collections.abc import Mapping
from math import log, log10

import numpy as np
import pytest
from aitimelines.forecast import questions
from aitimelines.forecast.fine_tuning import transfer_law
from aitimelines.forecast.questions import (
    Answer,
    drawing,
    hex_games,
    q0,
    q1,
    scenarios,
    taxed,
    transferred,
)
from aitimelines.forecast.questions.answer import DEPENDS, OPEN, SIDE_A, SIDE_B
from scipy import optimize

Values = Mapping[str, np.ndarray]
DRAWS = 50
E, A, ALPHA, B, BETA = 1.8172, 482.01, 0.3478, 2085.43, 0.3658  # Besiroglu et al. 2024


def same(**values: float) -> dict[str, np.ndarray]:
    return {name: np.full(DRAWS, value) for name, value in values.items()}


CHINCHILLA = same(
    irreducible_loss=E,
    log_parameter_constant=log(A),
    parameter_exponent=ALPHA,
    log_data_constant=log(B),
    data_exponent=BETA,
)
RUN = same(log10_level=27.0, doubling_time_years=0.5)
PROGRESS = same(doubling_time_years=1.0)
# Constants as Jones (2021) prints them.
JONES = same(
    incline_by_log10_flop=510.0,
    incline_by_size=-430.0,
    incline_constant=-4400.0,
    plateau_by_size=-270.0,
    plateau_constant=570.0,
)
HEX = JONES | same(
    network_gain_10x=5.0,
    network_noise=30.0,
    early_gain_10x=500.0,
    early_noise=30.0,
    best_gain_10x=5.0,
    best_noise=30.0,
)
GAINS = same(physical_compute=2.0, algorithms=1.0, post_training=1.0, log10_flop=27.0)
CROSSING = same(log10_flop=24.0, crossing_year=2021.0, as_of_year=2026.0)
EVIDENCE: dict[str, tuple[Values, ...]] = {
    "Q0.1": (HEX, CHINCHILLA, RUN),
    "Q0.2": (HEX,),
    "Q0.3": (CHINCHILLA, RUN),
    "Q0.4": (),
    "Q0.5": (CHINCHILLA, RUN, PROGRESS),
    "Q0.6": (GAINS, CHINCHILLA, RUN, PROGRESS),
    "Q0.7": (RUN, PROGRESS),
    "Q1.1": (),
    "Q1.2": (),
    "Q1.3": (),
    "Q1.4": (CHINCHILLA,),
    "Q1.5": (CROSSING, CHINCHILLA),
    "Q1.6": (CHINCHILLA,),
    "Q1.7": (),
    "Q1.8": (),
}


def answered(name: str, *changed: Values) -> Answer:
    """Return the answer from the evidence above, of which some is changed, by its place."""
    given = tuple(old | new for old, new in zip(EVIDENCE[name], changed, strict=False))
    given += EVIDENCE[name][len(given) :]
    found = questions.computation(name)
    assert found is not None
    return found.answer(*given)


def number(answer: Answer, name: str) -> float:
    return next(q.value for q in answer.results if q.name == name)


def sides(answer: Answer) -> list[str]:
    return [case.side for case in answer.verdict.cases.values()]


def least_loss(log10_flop: float) -> float:
    """Return the least loss of a budget, by search over N."""

    def loss(log_n: float) -> float:
        log_d = log10_flop * log(10) - log(6) - log_n
        return E + A * np.exp(-ALPHA * log_n) + B * np.exp(-BETA * log_d)

    return float(optimize.minimize_scalar(loss, bounds=(10, 50), method="bounded").fun)


# --- all of them ---------------------------------------------------------------------------------


def test_every_question_has_a_claim_and_a_computation() -> None:
    asked = [name for name in questions.question_ids() if name[:2] in ("Q0", "Q1")]
    assert asked == sorted(EVIDENCE) == sorted(q0.COMPUTATIONS | q1.COMPUTATIONS)


@pytest.mark.parametrize("name", EVIDENCE)
def test_an_answer_says_how_and_has_numbers_and_a_figure(name: str) -> None:
    found = questions.computation(name)
    assert found is not None
    assert len(found.method) > 100
    assert len(found.needs) == len(EVIDENCE[name])
    answer = answered(name)
    assert answer.inputs
    assert answer.results
    assert answer.rule.startswith(("side A", "one network", "P(")) or "side A" in answer.rule
    assert answer.verdict.because
    figure = drawing.page("claim", ["verdict"], answer.draw)
    assert figure.axes[0].get_xlabel()
    figure.canvas.draw()


# --- Q0 ------------------------------------------------------------------------------------------


def test_more_training_helps_until_it_does_not() -> None:
    answer = answered("Q0.1")
    gained = least_loss(27) - least_loss(28)
    assert number(answer, "fall of loss by ten times the compute") == pytest.approx(gained, 1e-5)
    assert sides(answer) == [SIDE_B, SIDE_A, SIDE_B, SIDE_B]
    better = answered("Q0.1", same(network_gain_10x=50.0), {}, same(log10_level=22.0))
    assert sides(better) == [SIDE_A, SIDE_A, SIDE_B, SIDE_A]


def test_single_networks_flatten_and_the_best_of_all_do_not() -> None:
    answer = answered("Q0.2")
    # Where the printed incline meets 0 and the printed plateau on a board of side 9.
    ends, starts = (4400 + 430 * 9) / 510, (570 - 270 * 9 + 4400 + 430 * 9) / 510
    assert number(answer, "the best flatten, at perfect play") == pytest.approx(ends)
    assert number(answer, "the best leave random play at") == pytest.approx(starts)
    ratio = number(answer, "compute of perfect play by a size more")
    assert ratio == pytest.approx(7, rel=0.01)  # published
    assert sides(answer) == [SIDE_A, SIDE_B]
    assert sides(answered("Q0.2", same(network_gain_10x=40.0))) == [SIDE_B, SIDE_B]
    assert sides(answered("Q0.2", same(early_noise=600.0))) == [SIDE_A, SIDE_A]


def test_a_model_flattens_before_its_class() -> None:
    answer = answered("Q0.3")
    floor = E + A * 7e9**-ALPHA
    assert number(answer, "floor of the model") == pytest.approx(floor)
    crossover = number(answer, "crossover")
    assert least_loss(crossover) == pytest.approx(floor, abs=1e-6)
    tokens = 10 ** number(answer, "the model has flattened from") / 6 / 7e9
    assert B * (tokens**-BETA - (10 * tokens) ** -BETA) == pytest.approx(0.02)
    late = 10 ** (crossover + 2)
    fixed = floor + B * (late / 6 / 7e9) ** -BETA
    optimal = optimize.minimize_scalar(
        lambda log_n: A * np.exp(-ALPHA * log_n) + B * (late / 6) ** -BETA * np.exp(BETA * log_n),
        bounds=(10, 50),
        method="bounded",
    )
    part = A * (7e9**-ALPHA - np.exp(-ALPHA * optimal.x))
    part /= fixed - least_loss(crossover + 2)
    assert number(answer, "part of the gap that is parameters") == pytest.approx(part, rel=0.01)
    assert sides(answer) == [SIDE_A, SIDE_B]
    assert sides(answered("Q0.3", {}, same(log10_level=23.0))) == [SIDE_A, SIDE_A]


def test_taxes_are_equal_where_they_cost_the_same() -> None:
    answer = answered("Q0.4")
    # (tau - 1) 6 N D = (iota - 1) 2 N D_inf.
    assert [q.value for q in answer.results] == pytest.approx([3.0, 3 * 9 / 0.1])
    assert sides(answer) == [SIDE_B, SIDE_A, SIDE_A, SIDE_B, SIDE_B, SIDE_A]


def test_one_dimension_only_without_other_taxes() -> None:
    answer = answered("Q0.5")
    halves = [q.value for q in answer.results if "half a year" in q.name]
    assert halves == pytest.approx([0.50, 1.66, 3.32], abs=0.005)
    assert sides(answer) == [SIDE_A, SIDE_B, SIDE_B]
    # Both taxes of time act on the doubling time of effective compute, 1 / (1 / 0.5 + 1 / 1).
    assert number(answer, "delay by a training tax of 2") == pytest.approx(1 / 3)
    # With a ceiling 0.02 nats lower and the same loss at 1e21, the rest falls by the same power.
    power = ALPHA * BETA / (ALPHA + BETA)
    above = least_loss(21) - E

    def taxed_loss(log10_flop: float) -> float:
        return E + 0.02 + (above - 0.02) * 10 ** (-power * (log10_flop - 21))

    matched = optimize.brentq(lambda x: taxed_loss(x) - least_loss(27), 27, 60)
    found = number(answer, "delay by the ceiling tax, at the largest run now")
    assert found == pytest.approx((matched - 27) / log10(2) / 3, rel=1e-4)
    assert number(answer, "P(never matched), ceiling tax, 1000 times more compute") == 1


def test_shapley_values_of_known_games() -> None:
    def gloves(joined: frozenset[str]) -> np.ndarray:  # one left glove, two right ones
        return np.asarray(float("left" in joined and len(joined) > 1))

    found = q0.shapley(gloves, ("left", "right", "other"))
    assert [float(v) for v in found.values()] == pytest.approx([4 / 6, 1 / 6, 1 / 6])


def test_parts_of_a_forecast_are_those_of_its_growth() -> None:
    answer = answered("Q0.6")
    parts = ("physical_compute", "algorithms", "post_training")
    of_compute = [number(answer, f"part of effective compute, {name}") for name in parts]
    assert of_compute == pytest.approx([0.5, 0.25, 0.25])
    of_loss = [number(answer, f"part of the fall of the loss, {name}") for name in parts]
    assert sum(of_loss) == pytest.approx(1)
    assert of_loss[1] == pytest.approx(of_loss[2])
    # Returns diminish, so that the largest player's part shrinks.
    assert 0.4 < of_loss[0] < 0.5
    assert number(answer, "part of physical compute in the record") == pytest.approx(2 / 3)
    assert number(answer, "P(within Ho et al.'s 60 to 95 %), record") == 1
    assert sides(answer) == [SIDE_B, SIDE_B]
    slow = answered("Q0.6", same(physical_compute=1.0), {}, {}, same(doubling_time_years=0.3))
    assert sides(slow) == [SIDE_A, SIDE_A]


def test_a_lead_affords_a_tax() -> None:
    time = taxed.effective_doubling_years(RUN, PROGRESS)
    assert time == pytest.approx(1 / 3)
    answer = answered("Q0.7", same(doubling_time_years=1.0))  # 0.5 yr with algorithms
    affordable = "largest tax that a lead of {} yr affords"
    assert number(answer, affordable.format(1)) == pytest.approx(4)
    assert number(answer, affordable.format(2)) == pytest.approx(16)
    verdicts = {name: case.side for name, case in answer.verdict.cases.items()}
    assert verdicts["tax 10, lead 1 yr"] == SIDE_B  # it costs 1.66 yr
    assert verdicts["tax 10, lead 2 yr"] == SIDE_A
    spread = {"doubling_time_years": np.linspace(0.1, 2, DRAWS)}
    mixed = answered("Q0.7", spread).verdict.cases["tax 10, lead 1 yr"]
    assert mixed.side == OPEN


# --- Q1 ------------------------------------------------------------------------------------------


def test_contours_of_the_data_multiplier() -> None:
    answer = answered("Q1.1")
    rows = {
        ("text", 1000): (5.4e5, 1.6e6, 4.6e6, 1.3e7),
        ("mixed", 1000): (2.3e6, 5.9e6, 1.6e7, 4.1e7),
        ("text", 10): (1.7e8, 4.9e8, 1.4e9, 4.1e9),
    }
    for (law, times), expected in rows.items():
        name = f"data up to which x{times} at {{:.0e}}, hernandez-2021-{law}"
        found = [number(answer, name.format(size)) for size in (1e9, 1e10, 1e11, 1e12)]
        np.testing.assert_allclose(found, expected, rtol=0.03)  # two digits
    d_t = 2.1e5 * 3e5**0.096 * 4e7**0.38
    assert number(answer, "multiplier at 4e7 parameters, 3e5 characters, mixed") == pytest.approx(
        1 + d_t / 3e5
    )
    # At 1e11 parameters the contours of 1000 are at 4.6e6 and 1.6e7 characters.
    assert sides(answer) == [SIDE_A, SIDE_A, SIDE_B, SIDE_B, SIDE_B]
    assert answer.verdict.side == DEPENDS


def test_pre_training_is_paid_by_many_tasks() -> None:
    answer = answered("Q1.2")
    size, data = 1e9, 3e5
    tokens = ((BETA * B) / (ALPHA * A) * size**ALPHA) ** (1 / BETA)
    worth = data + 1.9e4 * data**0.18 * size**0.38
    tune, scratch = 6 * size * data / 4, 6 * size * worth / 4
    tasks = 6 * size * tokens / (scratch - tune)
    assert number(answer, "tasks to break even, K*") == pytest.approx(tasks, rel=1e-6)
    assert number(answer, "tuning / training from nothing, marginal") == pytest.approx(data / worth)
    assert sides(answer) == [SIDE_A, SIDE_B, SIDE_A]


def test_tuning_a_part_saves_a_third_at_most() -> None:
    answer = answered("Q1.3")
    assert number(answer, "most that can be saved") == pytest.approx(1 / 3)
    assert number(answer, "compute of tuning 0.1 of the weights") == pytest.approx(4.2 / 6)
    assert answer.verdict.side == SIDE_A


def test_tokens_grow_with_parameters() -> None:
    answer = answered("Q1.4")
    name = "tokens for 1000 times the parameters, {}"
    found = number(answer, name.format("Kaplan et al., compute-efficient"))
    assert found == pytest.approx(12.9, abs=0.05)
    assert number(answer, name.format("Kaplan et al., no overfitting")) == pytest.approx(166, 0.01)
    ratio = number(answer, name.format("Chinchilla's law, posterior"))
    assert ratio == pytest.approx(1000 ** (ALPHA / BETA))
    assert answer.verdict.side == SIDE_B
    # As Kaplan's: tokens as the power 0.3 of parameters.
    weak = answered("Q1.4", same(parameter_exponent=0.3 * BETA))
    assert weak.verdict.cases["Chinchilla's law, posterior"].side == SIDE_A


def test_the_transition_is_past_by_one_law_and_absent_from_the_other() -> None:
    answer = answered("Q1.5")
    # Published readings: 1.12e4 and 1.06e5 petaFLOP/s-days.
    for reading, days in (("table 6", 1.12e4), ("eq. 6.7", 1.06e5)):
        found = number(answer, f"C* with D of {reading}")
        assert 10**found == pytest.approx(days * 8.64e19, rel=0.01)
    assert sides(answer) == [SIDE_A, SIDE_B]
    future = answered("Q1.5", same(crossing_year=np.inf), same(parameter_exponent=0.2))
    assert sides(future) == [SIDE_B, SIDE_A]
    unsure = {"crossing_year": np.where(np.arange(DRAWS) % 2, 2021.0, np.inf)}
    assert sides(answered("Q1.5", unsure))[0] == OPEN


def test_tokens_that_reach_a_loss() -> None:
    answer = answered("Q1.6")
    name = "tokens for a loss of {:g} with {:.0e} parameters"
    # L(N, S) of Kaplan et al. 2020, table 3, at the critical batch.
    left = 3.0 - (6.5e13 / 1e10) ** 0.077
    tokens = 2.1e3 * left ** (-1 / 0.76) * 2e8 * 3.0 ** (-1 / 0.21)
    assert number(answer, name.format(3, 1e10)) == pytest.approx(tokens, rel=1e-6)
    found = [number(answer, name.format(3, size)) for size in (1e8, 1e9, 1e10, 1e12)]
    np.testing.assert_allclose(found, [1.9e10, 3.94e9, 2.15e9, 1.19e9], rtol=0.01)
    assert number(answer, name.format(2.6, 1e8)) == np.inf
    saved = number(answer, "saved by infinitely many times the optimal size")
    assert saved == pytest.approx((1 + BETA / ALPHA) ** (1 / BETA))
    part = BETA / (ALPHA + BETA)  # of what is reducible, that of parameters
    ten = ((1 - part * 10**-ALPHA) / (1 - part)) ** (1 / BETA)
    assert number(answer, "saved by 10 times the optimal size") == pytest.approx(ten)
    assert sides(answer) == [SIDE_A, SIDE_A, SIDE_B]
    # With a smaller exponent of data, more parameters are worth more.
    assert sides(answered("Q1.6", same(data_exponent=0.15)))[2] == SIDE_A


def test_the_median_is_that_of_the_mixture() -> None:
    year = np.linspace(2020, 2100, 81)
    cdf = {"fails": (year - 2020) / 80, "survives": np.minimum(1, (year - 2020) / 20)}
    answer = transferred._of_survival(0.5, year, cdf)
    assert answer.verdict.side == OPEN
    assert number(answer, "median year at p = 0") == pytest.approx(2060)
    assert number(answer, "median year at p = 1") == pytest.approx(2030)
    # (t / 20 + t / 80) / 2 = 1 / 2.
    assert number(answer, "median year at p = 0.5") == pytest.approx(2036)
    assert transferred._of_survival(0.05, year, cdf).verdict.side == SIDE_A
    assert transferred._of_survival(0.95, year, cdf).verdict.side == SIDE_B


def test_the_data_factor_solves_its_equation() -> None:
    law = transfer_law("hernandez-2021-text")
    for log10_data, log10_size in ((14.5, 14.3), (8.0, 12.0)):
        factor = transferred.data_factor(law, log10_data, log10_size)
        tuned = 10**log10_data / factor
        worth = tuned + 1.9e4 * tuned**0.18 * 10 ** (0.38 * log10_size)
        assert log10(worth) == pytest.approx(log10_data, abs=1e-4)
    assert factor > 1000  # few data, large model


def test_fine_tuned_anchors_cost_pre_training_and_the_rest() -> None:
    shifts = transferred.anchor_shifts(1000.0)
    # Published medians: 1e37 becomes 1e32 + 1e34.
    assert shifts["long-horizon"] == pytest.approx(log10(1e32 + 1e34) - 37)
    assert transferred.anchor_shifts(1e12)["long-horizon"] == pytest.approx(-5)


def test_the_date_of_cotra_moves_only_with_a_large_factor() -> None:
    answer = answered("Q1.8")
    assert sides(answer) == [SIDE_B, SIDE_B, SIDE_A]
    # Published: about 2050, 2052 by another summary.
    assert 2050 <= number(answer, "median year, from nothing") <= 2053
    assert number(answer, "data saved, by the law, text") < 1.1
    flipped = transferred._of_factors({"by the law": 1000.0}, 14.5, 14.3)
    assert flipped.verdict.side == SIDE_A


def test_moved_anchors_are_the_scenario_in_other_numbers() -> None:
    year, cdf = scenarios.cotra_arrival(
        {"none": {}, "all": dict.fromkeys(scenarios.cotra_anchors(), 100.0)}
    )
    assert cdf["all"][-1] < 1e-6
    assert scenarios.year_at(year, cdf["all"]) == np.inf
    # Published: 8 %, 47 % and 78 %.
    found = np.interp([2030, 2050, 2100], year, cdf["none"])
    np.testing.assert_allclose(found, [0.08, 0.47, 0.78], atol=0.04)


# --- evidence of their own ------------------------------------------------------------------------


def test_curves_of_the_best_dominate_the_networks() -> None:
    frame = hex_games.networks()
    assert frame["board_size"].unique() == hex_games.BOARD_SIZE
    flop, elo = hex_games.best(frame)
    for _, run in frame.groupby("curve_id"):
        at, found = run["training_compute_flop"], run["elo_vs_perfect_play"]
        inside = (flop >= at.min()) & (flop <= at.max())
        assert (elo[inside] >= np.interp(np.log(flop[inside]), np.log(at), found) - 1e-9).all()


@pytest.mark.slow
def test_evidence_from_fits() -> None:
    def silent(what: str, done: int, total: int) -> None: ...

    found = hex_games.board_game_curves(silent)
    assert found.verdict != "FAIL"
    flat = {
        name: np.mean(found.values[f"{name}_gain_10x"] < found.values[f"{name}_noise"])
        for name in ("network", "early", "best")
    }
    assert flat["network"] > 0.5
    assert flat["early"] < 0.1
    assert flat["best"] > 0.9
    gains = scenarios.baseline_gains(silent).values
    assert min(values.min() for values in gains.values()) >= 0
    crossing = scenarios.kaplan_transition(silent).values
    past = crossing["crossing_year"] <= crossing["as_of_year"]
    # The fitted frontier is at some 1e27 FLOP, C* of the printed readings below 3e25.
    assert past.mean() > 0.5
    assert not past[crossing["log10_flop"] > 29].any()
