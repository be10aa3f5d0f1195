"""Curves of performance against compute: known values, limits, and where they flatten."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels import board_games
from aitimelines.kernels import learning_curves as curves
from scipy import optimize

LOG_10 = np.log(10)
CURVES = {
    "power": curves.Power(-300.0, 20.0),
    "power_floor": curves.PowerFloor(-0.5, 40.0, 0.15),
    "saturating": curves.Saturating(0.0, 900.0, 30.0, 0.4),
    "logistic": curves.Logistic(-1500.0, 1500.0, 33.0, 0.9),
    "broken": curves.Broken(-700.0, 200.0, 15.0, 33.0, 0.6),
    "changepoint": curves.Changepoint(-1500.0, 1500.0, 30.0, 6.0),
}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", CURVES)
def test_curves_are_what_they_say(name: str) -> None:
    x = np.linspace(25, 45, 201)
    c = CURVES[name]._asdict()
    with np.errstate(over="ignore"):
        expected = {
            "power": lambda level, slope: level + slope * x,
            "power_floor": lambda ceiling, middle, rate, nat: (
                -np.log(np.exp(-ceiling) + np.exp(-ceiling + rate * middle) * np.exp(x) ** -rate)
            ),
            "saturating": lambda ceiling, gap, middle, rate: (
                ceiling - gap * (np.exp(x) / np.exp(middle)) ** -rate
            ),
            "logistic": lambda floor, rise, middle, rate: (
                floor + rise / (1 + np.exp(-rate * (x - middle)))
            ),
            # Two lines and a smooth maximum of their difference.
            "broken": lambda level, slope, slope_after, bend, width: (
                level
                + slope * (x - bend)
                + (slope_after - slope) * width * np.log(1 + np.exp((x - bend) / width))
            ),
            "changepoint": lambda floor, rise, start, length, width: np.minimum(
                floor + rise, np.maximum(floor, floor + rise * (x - start) / length)
            ),
        }[name](**c)
    found = curves.performance(CURVES[name], x)
    assert curves.FAMILIES[type(CURVES[name])].__name__ == name
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-5)
    assert (np.diff(found) > -1e-9).all()


def test_the_changepoint_is_jones_law_at_one_board_size() -> None:
    # Jones 2021, as its code prints it: 510 log10 C - 430 b - 4400 and -270 b + 570.
    law = board_games.BoardGame(510 / LOG_10, -430.0, -4400.0, -270.0, 570.0)
    x = np.linspace(20, 45, 301)
    for size in (3, 6, 9):
        floor, start = -270.0 * size + 570, float(board_games.log_takeoff_flop(law, size))
        length = -floor / (510 / LOG_10)
        found = curves.changepoint(curves.Changepoint(floor, -floor, start, length), x)
        np.testing.assert_allclose(found, board_games.elo(law, x, size), atol=1e-5)


def test_rounded_corners_lie_between_the_lines() -> None:
    hard = CURVES["changepoint"]
    soft = hard._replace(width=0.3)
    # At a corner the rounding is slope x width x ln 2, up at take-off and down at the ceiling.
    moved = curves.changepoint(soft, np.array([30.0, 36.0])) - curves.changepoint(
        hard, np.array([30.0, 36.0])
    )
    np.testing.assert_allclose(moved, 250 * 0.3 * np.log(2) * np.array([1, -1]), rtol=1e-6)
    np.testing.assert_allclose(curves.changepoint(soft, 33.0), -750, rtol=1e-6)


def test_a_power_floor_is_a_power_law_far_below_and_its_floor_far_above() -> None:
    floor = curves.PowerFloor(-np.log(1.69), 45.0, 0.154)
    low, high = np.array([1.0, 3.0]), 400.0
    assert np.diff(curves.power_floor(floor, low))[0] / 2 == pytest.approx(0.154, rel=2e-3)
    assert np.exp(-curves.power_floor(floor, high)) == pytest.approx(1.69)


@pytest.mark.parametrize("name", CURVES)
def test_gains_are_differences_and_stop_at_the_limit(name: str) -> None:
    curve = CURVES[name]
    now, then = (float(curves.performance(curve, at)) for at in (34.0, 34.0 + LOG_10))
    assert float(curves.gain_left(curve, 34.0)) == pytest.approx(then - now)
    assert float(curves.gain_left(curve, 34.0, 2 * LOG_10)) >= then - now
    assert float(curves.gain_left(curve, 34.0, limit=now)) == 0
    middle = (now + then) / 2
    assert float(curves.gain_left(curve, 34.0, limit=middle)) == pytest.approx(middle - now)


@pytest.mark.parametrize("name", ["power_floor", "saturating", "logistic"])
def test_where_it_flattens_agrees_with_scipy(name: str) -> None:
    curve = CURVES[name]
    noise = float(curves.gain_left(curve, 34.0)) / 7

    def short_of_noise(x: float) -> float:
        return float(curves.gain_left(curve, x)) - noise

    expected = optimize.brentq(short_of_noise, 34.0, 90.0, xtol=1e-12)
    found = curves.log_flop_of_plateau(curve, 34.0, noise)
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_where_it_flattens_in_closed_form() -> None:
    # On an incline of 250 a unit of ln C to a ceiling at 36, ten times more gains 40 from
    # 36 - 40 / 250 on.
    incline = curves.log_flop_of_plateau(CURVES["changepoint"], 31.0, 40.0)
    assert float(incline) == pytest.approx(36 - 40 / 250)
    # A straight line never flattens, or is flat at once; so is one that stands at its limit.
    line = CURVES["power"]
    noise = jnp.array([0.9, 1.1]) * 20 * LOG_10
    np.testing.assert_array_equal(curves.log_flop_of_plateau(line, 34.0, noise), [np.inf, 34.0])
    assert float(curves.log_flop_of_plateau(line, 34.0, 1.0, 20 * 34.0 - 300)) == 34.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_million_draws_at_once(dtype: type) -> None:
    rng = np.random.default_rng(0)
    draws = 10**6 if dtype == np.float32 else 10**4
    curve = curves.Logistic(
        *(rng.normal(m, s, draws).astype(dtype) for m, s in ((0, 1), (9, 1), (33, 2), (1, 0.01)))
    )
    gain = jax.jit(curves.gain_left)(curve, dtype(33))
    assert gain.shape == (draws,)
    assert gain.dtype == dtype
    assert bool(jnp.isfinite(gain).all())
