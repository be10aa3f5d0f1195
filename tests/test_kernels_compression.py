"""Precision and sparsity: published numbers, optima against SciPy, and what may never happen."""

from collections.abc import Iterator
from functools import cache
from math import exp, inf, log

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.forecast import law_families, laws
from aitimelines.kernels import compression, scaling_laws
from aitimelines.kernels.compression import Quantisation, Sparsity
from aitimelines.kernels.scaling_laws import Chinchilla
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@cache
def kumar() -> tuple[Chinchilla, Quantisation]:
    constants = laws.law("kumar-2024").constants
    return law_families.chinchilla(constants), law_families.quantisation(constants)


@cache
def sparsity(kind: str) -> Sparsity:
    return law_families.sparsity(laws.law(f"frantar-2023-{kind}").constants)


def added(parameters: float, tokens: float, bits: float) -> float:
    return float(compression.quantisation_loss(kumar()[1], log(parameters), log(tokens), bits))


def critical_tokens(parameters: float) -> float:
    return exp(compression.log_critical_tokens(*kumar(), log(parameters), 4.0))


def dense_equivalent(kind: str, share: float) -> float:
    return exp(compression.log_dense_equivalent(sparsity(kind), share))


def sparse_t5() -> float:
    law = compression.sparse_chinchilla(sparsity("t5"), 0.75)
    return float(scaling_laws.chinchilla_loss(law, log(604e6), log(5e5 * 65_536)))


@pytest.mark.parametrize(
    ("row", "found", "expected", "tolerance"),
    [
        ("7.1 8e9", lambda: added(8e9, 15e12, 4), 0.1282, 0.01),
        ("7.1 70e9", lambda: added(70e9, 1.4e12, 4), 0.01827, 0.01),
        ("7.1 405e9", lambda: added(405e9, 15.6e12, 4), 0.03391, 0.01),
        ("7.2 1e9", lambda: critical_tokens(1e9), 2.95e11, 0.01),
        ("7.2 1e10", lambda: critical_tokens(1e10), 6.49e11, 0.01),
        ("7.6", sparse_t5, 1.4683, 1e-3),
        # Measured: the law is 1.0 % too low, seven times beyond its largest model.
        ("7.6 measured", sparse_t5, 1.4828, 0.011),
        ("7.7 t5 1/2", lambda: dense_equivalent("t5", 0.5), 1.586, 2e-3),
        ("7.7 t5 3/4", lambda: dense_equivalent("t5", 0.75), 2.157, 2e-3),
        ("7.7 t5 7/8", lambda: dense_equivalent("t5", 0.875), 2.630, 2e-3),
        ("7.7 vit 1/2", lambda: dense_equivalent("vit", 0.5), 1.596, 2e-3),
        ("7.7 vit 3/4", lambda: dense_equivalent("vit", 0.75), 2.172, 2e-3),
        ("7.7 vit 7/8", lambda: dense_equivalent("vit", 0.875), 2.634, 2e-3),
        # Of the authors' notebook, in millions of weights and 1e5 steps, to those of the paper.
        ("7.8 aS", lambda: exp(sparsity("t5").log_sparse_scale), 16.79, 2e-3),
        ("7.8 cS", lambda: exp(sparsity("t5").log_dense_scale), 45.02, 2e-3),
        (
            "7.8 aD",
            lambda: exp(sparsity("t5").log_data_constant / sparsity("t5").data_exponent),
            6.90e8,
            2e-3,
        ),
    ],
)
def test_compression_gives_its_numbers(row: str, found, expected: float, tolerance: float) -> None:
    assert found() == pytest.approx(expected, rel=tolerance), row


@given(st.floats(18, 28), st.floats(20, 32), st.floats(2, 12))
def test_7_11_what_quantisation_adds(log_n: float, log_d: float, bits: float) -> None:
    with jax.enable_x64(True):
        law = kumar()[1]
        here = float(compression.quantisation_loss(law, log_n, log_d, bits))
        assert float(compression.quantisation_loss(law, log_n, log_d + 0.1, bits)) > here
        assert float(compression.quantisation_loss(law, log_n, log_d, bits + 0.1)) < here
        assert float(compression.quantisation_loss(law, log_n + 0.1, log_d, bits)) < here


def test_more_tokens_hurt_beyond_the_critical_number() -> None:
    log_n = log(1e9)
    critical = compression.log_critical_tokens(*kumar(), log_n, 4.0)
    losses = compression.quantised_loss(*kumar(), log_n, critical + np.array([-0.1, 0, 0.1]), 4.0)
    assert losses[1] < min(losses[0], losses[2])
    _, by_data = compression.quantised_elasticities(
        *kumar(), log_n, critical + np.array([-0.1, 0, 0.1]), 4.0
    )
    assert by_data[0] > 0 > by_data[2]
    assert float(by_data[1]) == pytest.approx(0, abs=1e-12)
    # The fewest tokens are before it, and a loss below the least is never reached.
    wanted = np.array([losses[0], losses[1] - 1e-6])
    tokens = compression.quantised_log_tokens(*kumar(), wanted, log_n, 4.0)
    np.testing.assert_allclose(tokens, [critical - 0.1, inf])


@pytest.mark.parametrize(("flop", "bits"), [(1e22, 4.0), (1e24, 3.0), (1e24, inf)])
def test_the_optimum_of_quantised_models(flop: float, bits: float) -> None:
    best = compression.quantised_optimum(*kumar(), log(flop), bits)

    def loss(log_n: float) -> float:
        n, d = np.exp(log_n), flop / 6 / np.exp(log_n)
        delta = 0.0598 * d**0.5068 / n**0.3439 * np.exp(-bits / 0.5907)
        return 2.7648 + 4299 / n**0.4965 + 18060 / d**0.4965 + delta

    found = optimize.minimize_scalar(loss, bounds=(10, 40), options={"xatol": 1e-9})
    assert float(best.log_parameters) == pytest.approx(found.x, abs=1e-6)
    assert float(best.loss) == pytest.approx(found.fun, rel=1e-12)
    log_flop = compression.quantised_log_flop(*kumar(), best.loss, bits)
    assert float(log_flop) == pytest.approx(log(flop))


def test_few_bits_call_for_larger_models_on_fewer_tokens() -> None:
    best = compression.quantised_optimum(*kumar(), log(1e24), np.array([3.0, 4.0, 8.0]))
    assert (np.diff(best.log_parameters) < 0).all()
    assert (np.diff(best.loss) < 0).all()


def test_share_of_parameters_in_training() -> None:
    # N_eff / N with weights of 3, 4, 6, 8 and 16 bits: 1 - exp(-bits / 2.6745).
    bits = np.array([3, 4, 6, 8, 16])
    share = np.exp(compression.log_effective_share(bits, 2.6745))
    np.testing.assert_allclose(share, [0.674, 0.776, 0.894, 0.950, 0.998], atol=6e-4)
    law = compression.with_parameter_share(kumar()[0], np.log(share))
    found = scaling_laws.chinchilla_loss(law, log(1e9), log(1e10))
    expected = scaling_laws.chinchilla_loss(kumar()[0], np.log(1e9 * share), log(1e10))
    np.testing.assert_allclose(found, expected)


def test_optimal_training_bits_are_half_of_the_printed_ones() -> None:
    # Printed: 7 to 8 bits. Table 2 without its bias terms, bits alike for weights, activations and
    # cache: 3.47. So the printed number does not follow from the printed constants.
    scales = (2.6745, 2.2102, 0.9578)

    def cost(bits: float) -> float:
        return np.log(bits) - sum(np.log(1 - np.exp(-bits / s)) for s in scales)

    expected = optimize.minimize_scalar(cost, bounds=(0.5, 20), options={"xatol": 1e-9}).x
    assert float(compression.optimal_training_bits(scales)) == pytest.approx(expected, abs=1e-5)
    assert expected == pytest.approx(3.45, rel=0.01)
    assert exp(compression.log_training_flop_at_bits(log(1e9), log(1e10), 4.0)) == pytest.approx(
        1.5e19
    )


@given(st.floats(0, 0.95), st.floats(12, 22), st.floats(18, 28))
def test_sparse_models_of_equal_weights_do_better(share: float, log_n: float, log_d: float) -> None:
    with jax.enable_x64(True):
        law = sparsity("t5")
        dense = compression.sparse_chinchilla(law, 0.0)
        sparse = compression.sparse_chinchilla(law, share)
        loss = scaling_laws.chinchilla_loss(sparse, log_n, log_d)
        larger = log_n + compression.log_dense_equivalent(law, share)
        equal = scaling_laws.chinchilla_loss(dense, larger, log_d)
        assert float(loss) == pytest.approx(float(equal), rel=1e-10)
        assert float(loss) <= float(scaling_laws.chinchilla_loss(dense, log_n, log_d)) + 1e-12
        back = scaling_laws.chinchilla_log_parameters(sparse, loss, log_d)
        assert float(back) == pytest.approx(log_n, rel=1e-6)


def test_sparse_law_against_its_equation() -> None:
    n, d, share = 3e7, 2e10, 0.6
    printed = (
        (0.56779 * (1 - share) ** 0.72161 + 1.52265) / (n / 1e6) ** 0.24513
        + (0.63362 / (d / 6.5536e9) ** 0.20271)
        + 0.65074
    )
    law = compression.sparse_chinchilla(sparsity("t5"), share)
    assert float(scaling_laws.chinchilla_loss(law, log(n), log(d))) == pytest.approx(printed)


def test_a_million_draws_in_one_call_in_single_precision() -> None:
    bits = np.linspace(2, 16, 1_000_000)
    expected = compression.quantised_optimum(*kumar(), log(1e24), bits[::100_000])
    with jax.enable_x64(False):
        found = compression.quantised_optimum(*kumar(), log(1e24), jnp.asarray(bits, jnp.float32))
        assert found.loss.dtype == jnp.float32
        for single, exact in zip(found, expected, strict=True):
            np.testing.assert_allclose(single[::100_000], exact, rtol=3e-6)
