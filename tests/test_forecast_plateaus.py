"""P(plateau) is right on runs of known truth; Jones's law comes out of the table."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from aitimelines.forecast import board_game_law, datasets, plateaus
from aitimelines.forecast.history import board_games, learning_curve
from aitimelines.forecast.plateaus import Plateau
from aitimelines.kernels import learning_curves as curves
from scipy import stats

LOG_10 = np.log(10)
RANGE_ELO, SPAN = 1000.0, 3 * LOG_10  # of simulated runs


# --- simulated runs: what is said of them must be true -------------------------------------------


class Simulated(NamedTuple):
    flop: np.ndarray
    performance: np.ndarray
    gain_10x: float
    noise: float
    found: Plateau


def truth(rng: np.random.Generator) -> curves.Curve:
    """Return a curve of any family; about half of them are flat at the end of the run."""
    bent = rng.uniform(0.2, 0.8)
    return [
        curves.Power(0.0, RANGE_ELO / SPAN),
        curves.Saturating(0.0, RANGE_ELO, 0.0, rng.uniform(0.6, 10) / SPAN),
        curves.Logistic(0.0, RANGE_ELO, rng.uniform(0.2, 1.1) * SPAN, rng.uniform(4, 16) / SPAN),
        curves.Changepoint(
            0.0, RANGE_ELO, rng.uniform(-0.3, 0.4) * SPAN, rng.uniform(0.4, 1.2) * SPAN
        ),
        curves.Broken(
            *(0.0, RANGE_ELO / SPAN * rng.uniform(0.5, 2)),
            *(RANGE_ELO / SPAN * rng.choice([0.02, 1.0]), bent * SPAN, rng.uniform(0.05, 0.3)),
        ),
    ][rng.integers(5)]


def simulated(seed: int) -> Simulated:
    rng = np.random.default_rng((4, seed))
    curve, x = truth(rng), np.linspace(0, SPAN, 20)
    exact = np.asarray(curves.performance(curve, x), dtype=float)
    noise, kept = rng.uniform(0.01, 0.05) * np.ptp(exact), rng.choice([0.0, 0.5])
    scatter = noise * rng.standard_normal(len(x))
    for i in range(1, len(x)):  # along the run, from independent to hanging together
        scatter[i] = kept * scatter[i - 1] + np.sqrt(1 - kept**2) * scatter[i]
    performance = exact + scatter
    gain = float(curves.gain_left(curve, SPAN))
    found = plateaus.plateau(np.exp(x + 25), performance, seed=seed)
    return Simulated(np.exp(x + 25), performance, gain, noise, found)


@cache
def simulations(count: int) -> list[Simulated]:
    return [simulated(seed) for seed in range(count)]


@pytest.mark.parametrize(
    ("count", "brier"), [(10, 0.2), pytest.param(60, 0.15, marks=pytest.mark.slow)]
)
def test_probabilities_of_a_plateau_are_honest(count: int, brier: float) -> None:
    runs = simulations(count)
    flat = np.array([run.gain_10x < run.noise for run in runs])
    said = np.array([run.found.p_plateau for run in runs])
    assert 0.2 < flat.mean() < 0.8
    # A coin has a Brier score of 0.25; a ceiling that comes just as a run ends, which nothing in
    # the run can tell, costs 1 of one run. Of ten runs called by over 0.9, one may be wrong.
    assert np.mean((said - flat) ** 2) < brier
    for called, true in ((said > plateaus.SURE, flat), (said < 1 - plateaus.SURE, ~flat)):
        assert stats.binom.cdf(true[called].sum(), called.sum(), plateaus.SURE) > 0.01
    # As many are flat as the probabilities say, to 3 standard errors of a fair forecast.
    spread = np.sqrt(np.sum(said * (1 - said)) + 0.25)
    assert abs(flat.sum() - said.sum()) < 3 * spread


def test_gains_lie_in_their_intervals() -> None:
    inside = []
    for run in simulations(10):
        low, _, high = run.found.quantiles("gain_10x")
        inside.append(low - run.noise < run.gain_10x < high + run.noise)
    # 90 % intervals, to the noise of the run: under 7 of 10 has a probability of 1 %.
    assert sum(inside) >= 7


def test_the_fits_that_count_pass_the_gate() -> None:
    verdicts = [run.found.verdict for run in simulations(10)]
    # Corners of a changepoint make densities that the fast sampler does not always cover.
    assert sum(verdict.verdict == "PASS" for verdict in verdicts) >= 8, verdicts


def test_weights_and_quantiles_of_the_stack() -> None:
    found = simulations(10)[0].found
    weights = [family.weight for family in found.families.values()]
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1)
    # Against draws of the mixture.
    rng = np.random.default_rng(0)
    families = list(found.families.values())
    chosen = rng.choice(len(families), 200_000, p=np.clip(weights, 0, 1) / np.sum(weights))
    gains = np.stack([rng.choice(f.gain_10x, 200_000) for f in families])
    mixed = gains[chosen, np.arange(200_000)]
    below = [np.mean(mixed <= q) for q in found.quantiles("gain_10x")]
    np.testing.assert_allclose(below, plateaus.QUANTILES, atol=0.01)


def test_a_loss_with_a_floor_and_one_without() -> None:
    flop = np.geomspace(1e18, 1e22, 20)
    scatter = np.exp(0.01 * np.random.default_rng(2).standard_normal(20))
    # Ten times more compute would gain 0.0035 nat of log loss, a third of the scatter.
    floor = plateaus.plateau(flop, (1.7 + 2 * (flop / 1e18) ** -0.6) * scatter, losses=True)
    straight = plateaus.plateau(flop, 3.5 * (flop / 1e18) ** -0.05 * scatter, losses=True)
    assert floor.p_plateau > 0.9
    assert floor.families["power_floor"].weight > 0.3
    low, _, high = np.quantile(
        np.exp(-floor.families["power_floor"].curve.ceiling), [0.01, 0.5, 0.99]
    )
    assert low < 1.7 < high
    assert straight.side == "improving"
    # ln 10 times the exponent.
    assert straight.quantiles("gain_10x")[1] == pytest.approx(0.05 * LOG_10, rel=0.1)


def test_noise_and_limit_of_ones_own() -> None:
    run = simulations(10)[0]
    assert plateaus.plateau(run.flop, run.performance, noise=1e6).p_plateau == pytest.approx(1)
    capped = plateaus.plateau(run.flop, run.performance, limit=run.performance.min() - 2000)
    assert capped.quantiles("gain_100x").tolist() == [0, 0, 0]


# --- runs ----------------------------------------------------------------------------------------


def test_runs_are_sorted_thinned_and_in_their_own_units() -> None:
    x = np.array([3.0, 0.0, 0.01, 0.5, 1.0, 1.04, 1.5, 2.0, 2.5, 2.75])
    run = learning_curve.observations(10 ** (20 + x), 7 + 2 * x)
    back = (run.middle[0] + run.half[0] * run.log_flop) / LOG_10 - 20
    np.testing.assert_allclose(back, [0, 0.5, 1, 1.5, 2, 2.5, 2.75, 3], atol=1e-12)
    np.testing.assert_allclose(run.performance, run.log_flop, atol=1e-12)
    assert run.log_flop[[0, -1]] == pytest.approx([-1, 1])
    np.testing.assert_allclose(run.step_oom[1:], np.diff(back), atol=1e-12)


@pytest.mark.parametrize("family", dict.fromkeys(learning_curve.SCORE_FAMILIES + ("power_floor",)))
def test_physical_curves_are_the_same_curves(family: str) -> None:
    rng = np.random.default_rng(5)
    run = learning_curve.observations(np.geomspace(1e20, 1e24, 12), rng.normal(1200, 80, 12))
    names = learning_curve.default_priors()[family]
    given = {name.removesuffix("_offset"): np.abs(rng.normal(1, 0.2, 5)) for name in names}
    own = learning_curve.curve(family, given, half_performance=run.half[1])
    theirs = learning_curve.physical(own, run)
    for u in (-1.0, 0.3, 2.0):
        x = run.middle[0] + u * run.half[0]
        expected = run.middle[1] + run.half[1] * np.asarray(curves.performance(own, u))
        np.testing.assert_allclose(curves.performance(theirs, x), expected, rtol=2e-4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"flop": np.r_[-1.0, np.geomspace(1, 10, 19)]},
            "^training_compute_flop: got -1, expected",
        ),
        ({"flop": np.r_[np.nan, np.geomspace(1, 10, 19)]}, "^training_compute_flop: got nan"),
        ({"performance": np.r_[np.inf, np.arange(19.0)]}, "^performance: got inf, expected finite"),
        ({"performance": np.ones(20)}, "^performance: got 1 throughout, expected it to vary"),
        ({"flop": np.full(20, 1e20)}, "^run: got 1 points .* expected at least 8"),
        ({"losses": True, "performance": np.arange(20.0)}, "^performance: got 0, expected losses"),
        ({"noise": 0.0}, "^noise: got 0.0, expected a positive number"),
    ],
)
def test_what_is_no_run_is_told(change: dict[str, object], told: str) -> None:
    given = {"flop": np.geomspace(1e18, 1e21, 20), "performance": np.arange(1.0, 21.0)}
    with pytest.raises(ValueError, match=told):
        plateaus.plateau(**(given | change))


# --- the board-game table ------------------------------------------------------------------------


@cache
def hex_table() -> pd.DataFrame:
    return datasets.load_frame("board_games_elo")


def test_runs_of_the_table() -> None:
    runs = hex_table().query("kind == 'run'")
    counts = runs.groupby("board_size")["curve_id"].nunique()
    assert counts.to_dict() == {3: 6, 4: 15, 5: 20, 6: 32, 7: 38, 8: 40, 9: 44}
    assert hex_table().query("kind == 'frontier'").groupby("board_size").size().eq(101).all()


@pytest.mark.parametrize("size", [3, 6, 9])
def test_the_envelope_of_the_runs_is_the_published_frontier(size: int) -> None:
    table = hex_table().query("board_size == @size")
    runs, frontier = (table[table["kind"] == kind] for kind in ("run", "frontier"))
    columns = ["training_compute_flop", "elo_vs_perfect_play", "curve_id"]
    flop, elo = plateaus.envelope(*(runs[name].to_numpy() for name in columns))
    np.testing.assert_allclose(flop, frontier["training_compute_flop"], rtol=1e-3)
    error = np.abs(elo - frontier["elo_vs_perfect_play"])
    # Read from a figure: most points agree to a hundredth of an Elo, the ends not all.
    assert np.median(error) < 1
    assert np.mean(error < 5) > 0.9


@cache
def asked(run: str | None = None, size: str | None = None, below_flop: float = np.inf) -> Plateau:
    where = {} if size is None else {"board_size": size}
    curve = plateaus.read_curve("board_games_elo", "elo_vs_perfect_play", run=run, where=where)
    known = curve.flop < below_flop
    return plateaus.plateau(curve.flop[known], curve.performance[known], limit=0.0)


def test_one_model_is_flat_where_classes_of_models_still_improve() -> None:
    # Run 16 on 5 x 5 is at rest 370 Elo from perfect play. The best of all sizes on 9 x 9 climb, at
    # 1e15 FLOP, by about the 510 Elo for ten times the compute of Jones's law.
    assert asked(run="16").side == "plateau"
    envelope = asked(size="9", below_flop=1e15)
    assert envelope.p_plateau < 0.5
    assert 100 < envelope.quantiles("gain_10x")[1] < 600


def test_little_is_left_to_a_class_at_perfect_play() -> None:
    found = asked(size="7")
    assert found.p_plateau > 0.5
    assert found.quantiles("gain_100x")[2] < 100  # of the 1000 Elo that improving classes gain


def test_jones_law_by_his_own_method_is_the_published_one() -> None:
    # Jones 2021, section 4 and the code behind it, rounded to ten Elo there.
    found = board_games.least_squares(board_games.observations(hex_table()))
    published = (510, -430, -4400, -270, 570)
    for name, value in zip(board_games.CONSTANTS, published, strict=True):
        assert found[name] == pytest.approx(value, rel=0.01)


def test_jones_law_as_a_posterior() -> None:
    law = board_game_law.board_game_law()
    constants = law.loc[list(board_games.CONSTANTS)]
    assert (np.abs(constants["mean"] - constants["published"]) < 2 * constants["sd"]).all()
    assert (constants["sd"] < 0.12 * constants["published"].abs()).all()
    # Seven times the compute for perfect play on one size more: here text and coefficients agree.
    ratio = law.loc["perfect_play_ratio"]
    assert ratio["implied"] == pytest.approx(6.97, rel=0.01)
    assert ratio["q05"] < 7 < ratio["q95"]


def test_what_jones_says_of_take_off_is_not_what_his_coefficients_say() -> None:
    # Quoted: take-off takes 4 times the compute, and perfect play is 500 Elo further from random
    # play, for each board size. Coefficients: 10^((430 - 270) / 510) and 270. The table: as they.
    law = board_game_law.board_game_law()
    assert law.loc["takeoff_ratio", "implied"] == pytest.approx(2.06, abs=0.01)
    assert law.loc["random_to_perfect_elo", "implied"] == 270
    for name in ("takeoff_ratio", "random_to_perfect_elo"):
        assert law.loc[name, "q05"] < law.loc[name, "implied"] < law.loc[name, "q95"]
        assert law.loc[name, "published"] > law.loc[name, "mean"] + 10 * law.loc[name, "sd"]
    first = hex_table().query("kind == 'frontier'").groupby("board_size").first()
    slope = np.polyfit(first.index, first["elo_vs_perfect_play"], 1)[0]
    assert slope == pytest.approx(-270, abs=30)  # where the curves begin, without any model


# --- the command ---------------------------------------------------------------------------------


def test_the_command_answers_for_a_file(tmp_path: Path) -> None:
    flop = np.geomspace(1e18, 1e22, 20)
    loss = 3.5 * (flop / 1e18) ** -0.05 * np.exp(0.002 * np.cos(np.arange(20) ** 2))
    frame = pd.DataFrame({"training_compute_flop": flop, "loss_nats": loss})
    frame.to_csv(tmp_path / "run.csv", index=False)
    command = ["laws", "plateau", "run.csv", "--lower-is-better", "--json", "--progress", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "aitimelines.forecast", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["side"] == "improving"
    assert found["gain_10x"]["q50"] == pytest.approx(0.05 * LOG_10, rel=0.1)
    assert found["points"] == 20


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"performance": "elo"}, "^elo: no such column, expected one of board_size"),
        ({"run": "999"}, "^run: got '999', but no row has this curve_id"),
        ({}, "^where: got several board sizes"),
    ],
)
def test_what_is_not_in_the_table_is_told(arguments: dict[str, str], told: str) -> None:
    given = {"performance": "elo_vs_perfect_play"} | arguments
    with pytest.raises(ValueError, match=told):
        plateaus.read_curve("board_games_elo", **given)
