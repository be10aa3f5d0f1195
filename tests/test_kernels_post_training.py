"""Post-training enhancements: gains by closed form, flat baselines, combination, break-even."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels import post_training
from scipy import optimize


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def law(compute: float, scale: float, exponent: float, floor: float) -> float:
    return floor + scale * compute**-exponent


@pytest.mark.parametrize(("exponent", "floor"), [(0.05, 0.0), (0.154, 1.69), (0.3, 0.5)])
def test_the_gain_is_the_compute_that_does_as_much(exponent: float, floor: float) -> None:
    before = law(1e20, 400.0, exponent, floor)
    improvement = 0.2 * (before - floor)
    gain = post_training.compute_equivalent_gain(before, improvement, exponent, floor)
    found = optimize.brentq(
        lambda log: law(1e20 * np.exp(log), 400.0, exponent, floor) - (before - improvement), 0, 60
    )
    assert float(jnp.log(gain)) == pytest.approx(found, rel=1e-9)


def test_a_worse_result_is_a_gain_below_one() -> None:
    assert 0 < float(post_training.compute_equivalent_gain(3.0, -0.1, 0.05)) < 1
    assert float(post_training.compute_equivalent_gain(3.0, 0.0, 0.05)) == 1


def test_a_flat_baseline_has_no_gain_and_is_told() -> None:
    flat = post_training.compute_equivalent_gain(3.0, [0.1, 0.0, -0.1], 0.0)
    np.testing.assert_array_equal(flat, [np.inf, np.nan, np.nan])
    assert not post_training.gain_is_defined(flat).any()
    # Beyond what cannot be removed, or nothing left to remove.
    beyond = post_training.compute_equivalent_gain(3.0, [1.3, 1.31, 2.0], 0.1, 1.7)
    np.testing.assert_array_equal(beyond, [np.inf] * 3)
    senseless = post_training.compute_equivalent_gain([1.0, 3.0], 0.1, [0.1, -0.1], 1.0)
    assert np.isnan(senseless).all()


def test_no_gradient_is_lost_on_the_way() -> None:
    slope = jax.grad(lambda loss: post_training.compute_equivalent_gain(loss, 0.1, 0.1, 1.0))
    assert np.isfinite(slope(3.0))


def test_rules_of_combination() -> None:
    gains = jnp.log10(jnp.array([[2.0, 5.0, 10.0], [3.0, 3.0, 3.0]]))
    best = post_training.combined_gain_oom(gains, "max")
    product = post_training.combined_gain_oom(gains, "product")
    np.testing.assert_allclose(10**best, [10, 3])
    np.testing.assert_allclose(10**product, [100, 27])
    root = post_training.combined_gain_oom(gains, "power", jnp.array([0.5, 1 / 3]))
    np.testing.assert_allclose(10**root, [10, 3])
    with pytest.raises(ValueError, match="rule: got 'sum', expected one of max, product, power"):
        post_training.combined_gain_oom(gains, "sum")


def test_years_of_a_gain() -> None:
    # 5 and 20 times at 4.7 times a year.
    years = post_training.years_gained(np.log10([5.0, 20.0]), 4.7)
    np.testing.assert_allclose(years, [1.04, 1.94], atol=5e-3)


def test_the_one_time_cost_comes_out_of_the_budget() -> None:
    with_cost = post_training.effective_flop_log10(25.0, 1.0, 0.01)
    assert 10.0**with_cost * 1.01 == pytest.approx(1e26)
    assert float(post_training.effective_flop_log10(25.0, 0.0, 0.0)) == 25


def test_break_even_of_inference() -> None:
    gain, share, factor = 9.0, 0.01, 30.0
    most = float(post_training.inference_break_even(np.log10(gain), share, factor))
    enhanced = 1 + share + factor * most
    larger = gain + np.sqrt(gain) * most
    assert enhanced == pytest.approx(larger)
    cheap = post_training.inference_break_even(np.log10(gain), share, 2.0)
    assert np.isinf(cheap)
    assert float(post_training.inference_break_even(0.0, share, factor)) == 0
