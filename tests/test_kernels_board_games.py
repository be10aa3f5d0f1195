"""Elo by training compute: the printed law of Jones 2021, its inverses and its envelope."""

from collections.abc import Iterator
from functools import cache
from math import exp, inf, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.forecast import law_families, laws
from aitimelines.kernels import board_games
from aitimelines.kernels.board_games import BoardGame
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@cache
def law() -> BoardGame:
    return law_families.board_game(laws.law("jones-2021").constants)


def exchange() -> board_games.Exchange:
    return law_families.training_test_exchange(laws.law("jones-2021").constants)


def of_twice_the_compute() -> float:
    """Return the Elo gained where ten times the compute give the 500 Elo of the paper's text."""
    steep = law()._replace(incline_by_log_flop=500 / log(10))
    low, high = (board_games.elo(steep, 12 * log(10) + x, 5) for x in (0, log(2)))
    return float(high - low)


@pytest.mark.parametrize(
    ("row", "found", "expected", "tolerance"),
    [
        ("5.1", lambda: exp(board_games.log_flop_ratio_of_sizes(law())), 6.97, 0.01),
        ("5.1 printed", lambda: exp(board_games.log_flop_ratio_of_sizes(law())), 7, 0.01),
        ("5.3 Elo", of_twice_the_compute, 150.5, 5e-3),
        ("5.3 win", lambda: float(board_games.win_probability(150.5)), 0.704, 5e-3),
    ],
)
def test_board_games_give_their_numbers(row: str, found, expected: float, tolerance: float) -> None:
    assert found() == pytest.approx(expected, rel=tolerance), row


def test_elo_against_the_printed_equation() -> None:
    log10_flop, size = np.meshgrid(np.linspace(8, 18, 41), np.arange(3, 10))
    incline = 510 * log10_flop - 430 * size - 4400
    expected = np.minimum(0, np.maximum(incline, -270 * size + 570))
    found = board_games.elo(law(), log10_flop * log(10), size)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_take_off_is_not_as_the_text_says() -> None:
    # Text: four times the compute and 500 Elo more of range a board size; coefficients: 2.06, 270.
    sizes = np.arange(3, 10)
    ratio = np.exp(np.diff(board_games.log_takeoff_flop(law(), sizes)))
    np.testing.assert_allclose(ratio, 10 ** (160 / 510))
    assert ratio[0] == pytest.approx(2.06, rel=1e-3)
    np.testing.assert_allclose(np.diff(board_games.plateau(law(), sizes)), -270)


@given(st.floats(-1500, 0), st.integers(7, 9))
def test_elo_inverts(elo: float, size: int) -> None:
    with jax.enable_x64(True):
        log_flop = board_games.log_flop_at_elo(law(), elo, size)
        if elo > -270 * size + 570:
            assert float(board_games.elo(law(), log_flop, size)) == pytest.approx(elo, abs=1e-8)
        else:
            assert float(log_flop) == -inf


def test_nothing_beats_perfect_play() -> None:
    assert float(board_games.log_flop_at_elo(law(), 1.0, 5)) == inf
    perfect = board_games.log_flop_at_elo(law(), 0.0, 5)
    assert float(board_games.elo(law(), perfect + 10, 5)) == 0
    log_flop = perfect + np.array([-20, -0.1, 0.1])
    slope = board_games.elo_elasticity(law(), log_flop, 5)
    np.testing.assert_allclose(slope, [0, 510 / log(10), 0])
    step = 1e-4
    change = board_games.elo(law(), log_flop + step, 5) - board_games.elo(law(), log_flop, 5)
    np.testing.assert_allclose(change / step, slope, rtol=1e-6)


def test_training_is_exchanged_for_search() -> None:
    # Ten times the training for 15 times less search ("about 15"): 10^1.2 = 15.85.
    log_train = 14 * log(10)
    test = board_games.log_test_flop(exchange(), log_train, -200.0)
    assert float(test) / log(10) == pytest.approx(-1.2 * 14 + 0.004 * -200 + 29)
    less = board_games.log_test_flop(exchange(), log_train + log(10), -200.0)
    assert exp(test - less) == pytest.approx(15.85, rel=1e-3)
    back = board_games.log_training_flop_for(exchange(), test, -200.0)
    assert float(back) == pytest.approx(log_train)


def test_envelope_is_the_best_so_far() -> None:
    rng = np.random.default_rng(0)
    log_flop, elo = rng.uniform(20, 40, 200), rng.normal(-500, 200, 200)
    at = np.linspace(18, 42, 50)
    expected = [elo[log_flop <= x].max(initial=-inf) for x in at]
    found = board_games.envelope(jnp.asarray(log_flop), jnp.asarray(elo), at)
    np.testing.assert_allclose(found, expected)


def test_the_envelope_of_flattening_curves_is_the_law() -> None:
    # A network of each size follows the law to a ceiling of its own; the best of all do not stop.
    ceilings = np.linspace(-1200, 0, 241)
    log_flop = np.linspace(25, 42, 400)
    curves = np.minimum(np.asarray(board_games.elo(law(), log_flop, 9)), ceilings[:, None])
    points = np.broadcast_to(log_flop, curves.shape).ravel()
    found = board_games.envelope(jnp.asarray(points), jnp.asarray(curves.ravel()), log_flop)
    np.testing.assert_allclose(found, board_games.elo(law(), log_flop, 9).clip(-1860))


def test_a_million_draws_in_one_call_in_single_precision() -> None:
    slopes = np.random.default_rng(0).normal(510, 5, 1_000_000)
    with jax.enable_x64(False):
        many = law()._replace(incline_by_log_flop=jnp.asarray(slopes / log(10), jnp.float32))
        found = board_games.elo(many, 14 * log(10), 7)
    expected = np.minimum(0, np.maximum(slopes * 14 - 430 * 7 - 4400, -270 * 7 + 570))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)
