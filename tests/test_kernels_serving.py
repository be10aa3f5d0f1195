"""Small and long-trained against large and compressed: a known table, scipy, and invariants."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels import serving
from aitimelines.kernels.compression import Quantisation, Sparsity, log_dense_equivalent
from aitimelines.kernels.scaling_laws import Chinchilla, chinchilla_optimum
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

HOFFMANN = Chinchilla(np.exp(0.5267228), 6.0073404, 0.33917084, 6.0179186, 0.2849083)
BESIROGLU = Chinchilla(np.exp(0.59711196), 6.17795598, 0.3478, 7.64273236, 0.3658)
KUMAR = Quantisation(np.log(0.0598), 0.5068, 0.3439, 0.5907)
FRANTAR_T5 = Sparsity(
    np.log(16.787), 0.72161, np.log(45.018), 0.24513, 0.20271 * np.log(6.9e8), 0.20271, 0.65074
)
LAWS = {
    name: serving.Laws(law, KUMAR, FRANTAR_T5)
    for name, law in (("hoffmann", HOFFMANN), ("besiroglu", BESIROGLU))
}
best_recipe = jax.jit(serving.best_recipe)
compression_gain = jax.jit(serving.compression_gain)
recipe_of = jax.jit(serving.recipe)
BITS = jnp.array([16.0, 8, 6, 5, 4, 3])
DENSE = jnp.zeros(6)


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def limits(log_bytes: jax.Array, bits: jax.Array, sparsities: jax.Array) -> jax.Array:
    return jax.vmap(lambda b, s: serving.log_parameters_in_memory(log_bytes, b, s))(
        bits, sparsities
    )


def loss_by_hand(
    laws: serving.Laws, flop: float, dense: float, bits: float, sparsity: float
) -> float:
    """The loss of a recipe in plain numbers, from the papers' formulae."""
    law, ptq, frantar = laws
    left = dense * (1 - sparsity)
    a_s, c_s = np.exp(frantar.log_sparse_scale), np.exp(frantar.log_dense_scale)
    share = (a_s + c_s) / (a_s * (1 - sparsity) ** frantar.sparsity_exponent + c_s)
    worth = left * share ** (1 / frantar.parameter_exponent)
    by_size = np.exp(law.log_parameter_constant) / worth**law.parameter_exponent
    rounding = np.exp(ptq.log_scale - bits / ptq.bit_scale) / left**ptq.parameter_exponent

    def loss(tokens: float) -> float:
        by_data = np.exp(law.log_data_constant) / tokens**law.data_exponent
        by_both = by_size + by_data + rounding * tokens**ptq.data_exponent
        return float(law.irreducible_loss + by_both)

    shares = np.geomspace(1e-3, 1, 2001)  # of the budget, which need not all be spent
    return min(loss(share * flop / (6 * dense)) for share in shares)


# FLOP, parameters that fit in 16 bits: loss at 16 bits, at the best of 16, 8, 6, 5, 4 and 3, the
# best bits. Computed apart from this code for models that fill the memory. For the last row under
# Besiroglu the table has 16 bits and 1.9605, because it fills the memory at 8 bits too; a model of
# 8 bits that does not is better by 0.0009, since compute-optimal is 9.6e10 parameters.
TABLE = {
    "hoffmann": [
        (1e22, 1e9, 2.1888, 2.1305, 5),
        (1e23, 8e9, 1.9983, 1.9888, 8),
        (1e24, 8e9, 1.9372, 1.9103, 6),
        (1e25, 8e9, 1.9054, 1.8733, 6),
        (1e24, 7e10, 1.9009, 1.9009, 16),
    ],
    "besiroglu": [
        (1e22, 1e9, 2.2447, 2.1692, 5),
        (1e23, 8e9, 2.0554, 2.0340, 6),
        (1e24, 8e9, 2.0184, 1.9826, 6),
        (1e25, 8e9, 2.0025, 1.9648, 6),
        (1e24, 7e10, 1.9605, 1.9594, 8),
    ],
}


@pytest.mark.parametrize("name", TABLE)
def test_best_bits_at_a_budget_and_memory(name: str) -> None:
    flop, size, plain_loss, best_loss, best_bits = np.transpose(TABLE[name])
    at = limits(jnp.log(2 * size), BITS, DENSE)
    plain = recipe_of(LAWS[name], np.log(flop), at[0], 16.0, 0.0)
    best = best_recipe(LAWS[name], np.log(flop), at, BITS, DENSE)
    np.testing.assert_allclose(plain.loss, plain_loss, atol=1e-3)
    np.testing.assert_allclose(best.loss, best_loss, atol=1e-3)
    np.testing.assert_array_equal(best.bits, best_bits)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("sparsity", [0.0, 0.75])
@pytest.mark.parametrize("bits", [3.0, 5.0, 16.0])
@pytest.mark.parametrize("gigabytes", [0.5, 16.0, 4000.0])
def test_recipe_against_a_minimiser(
    name: str, sparsity: float, bits: float, gigabytes: float
) -> None:
    flop, each = 1e24, (1 - sparsity) * bits + (sparsity > 0)
    limit = np.log(8e9 * gigabytes / each)
    laws = LAWS[name]
    found = optimize.minimize_scalar(
        lambda size: loss_by_hand(laws, flop, np.exp(size), bits, sparsity),
        bounds=(limit - 12, limit),
        method="bounded",
        options={"xatol": 1e-10},
    )
    admitted = serving.log_parameters_in_memory(np.log(1e9 * gigabytes), bits, sparsity)
    recipe = recipe_of(laws, np.log(flop), admitted, bits, sparsity)
    assert admitted == pytest.approx(limit, rel=1e-12)
    # The minimiser stays a hair off its bounds.
    assert recipe.log_parameters == pytest.approx(found.x, abs=1e-5)
    assert recipe.loss <= found.fun + 1e-9
    by_hand = loss_by_hand(laws, flop, np.exp(recipe.log_parameters), bits, sparsity)
    assert recipe.loss == pytest.approx(by_hand, rel=1e-7)


def test_a_loose_envelope_gives_the_compute_optimal_run() -> None:
    recipe = recipe_of(LAWS["hoffmann"], np.log(1e24), 60.0, 32.0, 0.0)
    plain = chinchilla_optimum(HOFFMANN, np.log(1e24))
    np.testing.assert_allclose(np.asarray(recipe[:3]), np.asarray(plain), rtol=1e-9)


def test_flop_of_a_token_admit_more_weights_where_some_are_zero() -> None:
    admitted = serving.log_parameters_in_flop(np.log(2e10), jnp.array([0.0, 0.5, 0.75]))
    np.testing.assert_allclose(np.exp(admitted), [1e10, 2e10, 4e10], rtol=1e-12)


def test_pruning_that_saves_serving_only_pays_below_compute_optimal() -> None:
    """At 75 % sparsity 2.157 weights for one (Frantar et al.), four times the training."""
    assert np.exp(log_dense_equivalent(FRANTAR_T5, 0.75)) == pytest.approx(2.157, rel=2e-3)
    flop_a_token = 2 * np.array([1e9, 8e9, 4e11])
    sparsities, bits = jnp.array([0.0, 0.5, 0.75, 0.875]), jnp.full(4, 16.0)
    at = jax.vmap(lambda s: serving.log_parameters_in_flop(jnp.log(flop_a_token), s))(sparsities)
    gain = compression_gain(LAWS["hoffmann"], np.log(1e24), at, bits, sparsities)
    assert (gain[:2] > 0).all()
    assert gain[2] < 0


@given(st.floats(45.0, 65.0), st.floats(19.0, 29.0), st.floats(0.1, 3.0))
def test_more_memory_or_more_training_never_hurts(
    log_flop: float, log_bytes: float, step: float
) -> None:
    with jax.enable_x64(True):
        budgets = jnp.array([log_flop, log_flop, log_flop + step])
        sizes = jnp.array([log_bytes, log_bytes + step, log_bytes])
        best = best_recipe(LAWS["besiroglu"], budgets, limits(sizes, BITS, DENSE), BITS, DENSE)
    assert best.loss[1] <= best.loss[0] + 1e-12
    assert best.loss[2] <= best.loss[0] + 1e-12


def test_compression_wins_exactly_where_the_envelope_is_tight() -> None:
    """Q: is an overtrained small model best? Only where compute-optimal fits at 16 bits."""
    parameters = np.exp(chinchilla_optimum(HOFFMANN, np.log(1e24)).log_parameters)
    sizes = parameters * np.array([0.01, 0.1, 0.5, 0.9, 1.1, 3.0])
    at = limits(jnp.log(2 * sizes), BITS, DENSE)
    gain = compression_gain(LAWS["hoffmann"], np.log(1e24), at, BITS, DENSE)
    assert (np.asarray(gain > 0) == (sizes < parameters)).all()


def test_probability_over_draws_budgets_and_envelopes() -> None:
    rng = np.random.default_rng(0)
    alpha = 0.3478 + 0.0154 * rng.standard_normal(500)
    law = BESIROGLU._replace(
        parameter_exponent=alpha, log_parameter_constant=6.178 + 20.4 * (alpha - 0.3478)
    )
    laws = serving.Laws(law, KUMAR, FRANTAR_T5)
    log_flop = jnp.log(jnp.array([1e22, 1e24]))[:, None, None]
    log_bytes = jnp.log(2 * jnp.array([1e9, 5e10, 9e10, 1e12]))[:, None]
    at = limits(log_bytes, BITS, DENSE)
    wins = compression_gain(laws, log_flop, at, BITS, DENSE) <= 0
    assert wins.shape == (2, 4, 500)
    probability = wins.mean(-1)
    assert (np.diff(probability, axis=1) >= 0).all()  # the looser the envelope
    assert probability[:, -1].tolist() == [1.0, 1.0]
    assert probability[1, 0] == 0.0


def test_a_million_draws_in_float32() -> None:
    rng = np.random.default_rng(0)
    alpha = (0.3478 + 0.0154 * rng.standard_normal(10**6)).astype(np.float32)
    constants = (np.float32(x) for x in BESIROGLU)
    law = Chinchilla(*constants)._replace(parameter_exponent=alpha)
    flop, bytes_ = np.float32(np.log(1e24)), np.float32(np.log(1.6e10))
    with jax.enable_x64(False):
        at = serving.log_parameters_in_memory(bytes_, np.float32(5), np.float32(0))
        laws = serving.Laws(law, KUMAR, FRANTAR_T5)
        found = recipe_of(laws, flop, at, 5.0, 0.0)
        assert found.loss.dtype == np.float32
        assert np.isfinite(found.loss).all()
    some = slice(0, None, 10_000)
    law64 = law._replace(parameter_exponent=np.float64(alpha[some]))
    exact = recipe_of(serving.Laws(law64, KUMAR, FRANTAR_T5), np.log(1e24), at, 5.0, 0.0)
    np.testing.assert_allclose(found.loss[some], exact.loss, rtol=1e-5)
