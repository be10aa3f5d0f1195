"""Gradients of a forecast, and forecasts of narrow requirements."""

from typing import Any

import jax
import numpy as np
import pytest
from aitimelines.forecast import sensitivity
from aitimelines.forecast.arrivals import arrival_counts
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.narrow import smoothed
from aitimelines.forecast.problem import Problem, prepare
from aitimelines.forecast.scenario_files import scenario_from_dict
from aitimelines.forecast.timeline import timelines
from aitimelines.forecast.variants import requirement_variants
from aitimelines.forecast.world import _part_above_zero
from aitimelines.kernels import ensemble
from scipy import stats

SAMPLES = 2**14


def growth(doubling: list[float], long_run: list[float]) -> dict[str, Any]:
    return {
        "doubling_time_years": {"lognormal": doubling},
        "long_run_doubling_time_years": {"lognormal": long_run},
        "slowdown_half_life_years": {"lognormal": [2.0, 12.0]},
    }


def scenario(components: list[dict[str, Any]], **level: Any) -> Scenario:
    """Return a scenario without fits."""
    compute = {"log10_level": {"normal": [26.0, 27.0]}, "level_year": 2026.0} | level
    return scenario_from_dict(
        {
            "id": "small",
            "title": "Priors alone",
            "prior_set": "baseline",
            "compute": "trend",
            "as_of": "2026-01-01",
            "horizon_year": 2070,
            "samples": SAMPLES,
            "seed": 3,
            "training_compute": {"fit": False} | compute | growth([0.35, 0.8], [1.2, 6.0]),
            "spending": {"fit": False, "log10_level": 8.8, "level_year": 2025.0}
            | growth([0.5, 1.2], [4.0, 30.0]),
            "price_performance": {
                "fit": False,
                "log10_level": {"uniform": [17.4, 18.0]},
                "level_year": 2024.0,
            }
            | growth([1.5, 3.0], [2.5, 15.0]),
            "algorithmic_progress": {"fit": False} | growth([0.4, 1.6], [1.0, 12.0]),
            "requirement": {
                "milestone": "m",
                "algorithms_year": 2022.0,
                "none_weight": 0.1,
                "components": components,
            },
        }
    )


WIDE = [
    {"name": "a", "weight": 0.5, "normal": [29.0, 37.0]},
    {"name": "b", "weight": 0.4, "two_piece_normal": [29.0, 32.0, 37.0]},
]


def test_gradients_are_those_of_finite_differences() -> None:
    found = sensitivity.gradient(scenario(WIDE), {}, by_year=2040)
    slopes = found["probability_gradient"].to_pandas()
    step = 0.02

    def p(**level: Any) -> float:
        (tree,) = timelines([prepare(scenario(WIDE, **level), {}, dtype=np.float32)], SAMPLES)
        return float(tree["arrival_cdf"].sel(year=2040))

    sd = 0.5 / 1.6448536
    up, down = ([26 + move, 27 + move] for move in (step * sd, -step * sd))
    difference = p(log10_level={"normal": up}) - p(log10_level={"normal": down})
    # The distribution is a multiple of 2^-20 divided by what is left now.
    expected = difference / (2 * step)
    assert slopes["training_compute.log10_level"] == pytest.approx(expected, abs=3e-5)
    assert float(found["probability"]) == pytest.approx(p(), abs=1e-4)


def test_gradients_have_the_sign_of_their_input() -> None:
    found = sensitivity.gradient(scenario(WIDE), {}, by_year=2040)
    slopes = found["probability_gradient"].to_pandas()
    assert (np.diff(slopes.abs()) <= 0).all()
    assert slopes["algorithmic_progress.doubling_time_years"] < 0
    assert slopes["post_training.ceiling_oom"] > 0
    assert slopes["price_performance.log10_level"] > 0
    assert slopes["spending.doubling_time_years"] == 0  # compute follows its trend
    assert float(found["probability_gradient_mcse"].max()) < 2e-3


@pytest.mark.parametrize("year", [2026.0, 2071.0, float("nan")])
def test_a_year_that_is_not_ahead_is_refused(year: float) -> None:
    with pytest.raises(
        ValueError, match=r"^by_year: got .*, expected after 2026.00 and up to 2070"
    ):
        sensitivity.gradient(scenario(WIDE), {}, by_year=year)


# Many requirements for the same worlds


def test_variants_are_the_forecasts_of_their_requirements() -> None:
    base = scenario(WIDE)
    table = base.requirement.model_dump()
    other = [
        {"name": "a", "weight": 0.2, "logistic": [28.0, 38.0]},
        {"name": "b", "weight": 0.3, "uniform": [28.0, 39.0]},
        {"name": "c", "weight": 0.4, "normal": [33.0, 34.645]},  # half an OOM
    ]
    asked = [
        table,
        {**table, "components": other},
        {
            **table,
            "none_weight": 0.6,
            "components": [{"name": "only", "weight": 0.4, "normal": [29.0, 37.0]}],
        },
    ]
    found = requirement_variants(base, {}, asked)
    for i, requirement in enumerate(asked):
        ours = found.isel(requirement=i)
        alone = scenario_from_dict(base.model_dump() | {"requirement": requirement})
        (expected,) = timelines([prepare(alone, {}, dtype=np.float32)], SAMPLES)
        assert abs(ours["arrival_year_quantile"][1] - expected["arrival_year_quantile"][1]) < 0.01
        for name in ("arrival_cdf", "arrival_cdf_mcse"):
            # Rounding to cells: 1/64 x density / sqrt(12 x draws), at most 1e-5 here, thrice.
            np.testing.assert_allclose(ours[name], expected[name], rtol=0, atol=3e-5, err_msg=name)


def test_a_variant_with_other_algorithms_is_refused() -> None:
    base = scenario(WIDE)
    table = base.requirement.model_dump()
    with pytest.raises(
        ValueError, match="^requirement 1: got the component 'a' that counts on other"
    ):
        requirement_variants(base, {}, [table, {**table, "algorithms_year": 2020.0}])


def test_a_variant_that_is_not_valid_is_refused() -> None:
    base = scenario(WIDE)
    with pytest.raises(ValueError, match="^requirement 0: .*weight.*1.7"):
        requirement_variants(base, {}, [base.requirement.model_dump() | {"none_weight": 0.8}])


# Arrivals drawn one by one


def test_counted_arrivals_agree_with_the_forecast() -> None:
    mixed = [
        *WIDE[:1],
        {"name": "c", "weight": 0.4, "uniform": [28, 39], "algorithms_year": 2019.0},
    ]
    given = scenario(mixed)
    counted = arrival_counts(given, {})
    (expected,) = timelines([prepare(given, {}, dtype=np.float32)], SAMPLES)
    arrivals, never = counted["arrivals"].to_numpy(), counted["never"].to_numpy()
    np.testing.assert_array_equal(arrivals.sum(axis=1) + never, SAMPLES // 16)
    waiting = arrivals[:, 1:].sum(axis=1) + never
    cdf = np.cumsum(arrivals[:, 1:], axis=1) / waiting[:, None]
    difference = cdf.mean(axis=0) - expected["arrival_cdf"].to_numpy()[1:]
    error = cdf.std(axis=0, ddof=1) / 4
    # One count in a replicate of 1024 draws, over 16 replicates: years with few or no arrivals.
    assert (np.abs(difference) < 4.5 * error + 1 / SAMPLES).all()


def test_too_many_samples_to_count_are_refused() -> None:
    with pytest.raises(ValueError, match="^samples: got 4294967296, expected at most"):
        arrival_counts(scenario(WIDE), {}, samples=2**32)


# Narrow requirements

NARROW = [
    {"name": "a", "weight": 0.5, "normal": [31.7, 32.3]},
    {"name": "b", "weight": 0.4, "two_piece_normal": [32.8, 33.2, 33.6], "algorithms_year": 2020.0},
]


def problem(components: list[dict[str, Any]]) -> Problem:
    return prepare(scenario(components), {}, dtype=np.float32)


def test_a_wide_requirement_is_integrated_out() -> None:
    given = problem(WIDE)
    assert smoothed(given) is given


def test_a_direction_is_integrated_out_where_the_requirement_is_narrow() -> None:
    direction = smoothed(problem(NARROW))
    assert {"algorithmic_progress.doubling_time_years", "training_compute.log10_level"} <= set(
        direction.structure.direction
    )
    lines = direction.ensemble.shared.direction
    assert len(lines.along) == len(lines.years_from_now) == len(direction.years)
    tenth = dict(zip(direction.structure.direction, lines.along[10, 1:], strict=True))
    assert (
        tenth["algorithmic_progress.doubling_time_years"]
        < 0
        < tenth["training_compute.log10_level"]
    )
    np.testing.assert_allclose(np.linalg.norm(lines.along, axis=1), 1, atol=1e-6)


def test_a_narrow_requirement_has_the_same_forecast_with_less_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = problem(NARROW)
    (by_direction,) = timelines([given], SAMPLES)
    monkeypatch.setattr("aitimelines.forecast.timeline.smoothed", lambda problem: problem)
    (by_requirement,) = timelines([given], 2 * SAMPLES, mesh=ensemble.device_mesh(2))
    difference = by_direction["arrival_cdf"] - by_requirement["arrival_cdf"]
    error = np.hypot(by_direction["arrival_cdf_mcse"], by_requirement["arrival_cdf_mcse"])
    # 45 years that move together, and bisection to 13 / 2^10 of a standard deviation.
    assert (abs(difference) <= 4.5 * error + 5e-5).all()
    worst, theirs = (float(t["arrival_cdf_mcse"].max()) for t in (by_direction, by_requirement))
    assert worst < 0.5 * theirs


@pytest.mark.parametrize("shift", [-20.0, -1.0, 0.0, 0.7, 20.0])
def test_the_part_of_a_line_above_zero(shift: float) -> None:
    part = jax.jit(lambda up: _part_above_zero(lambda z: 2 * z + up, np.float32))
    # Off by at most half of the last interval times the density.
    assert float(part(np.float32(shift))) == pytest.approx(stats.norm.cdf(shift / 2), abs=5.1e-3)
