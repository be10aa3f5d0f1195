"""Elementary functions against NumPy's and SciPy's in double precision."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from aitimelines.kernels import elementary
from jax import Array
from scipy import special

SMALLEST, LARGEST = 2.0**-126, 2.0**127.49


def _off(function: Callable[[Array], Array], exact: np.ufunc, x: np.ndarray) -> np.ndarray:
    """Return the error of a function in float32, compiled, against ``exact`` in float64."""
    x = x.astype(np.float32)
    return np.asarray(jax.jit(function)(x), dtype=np.float64) - exact(x.astype(np.float64))


_TURNS = ((np.arange(-120, 120) + 0.5) * np.log(2)).astype(np.float32)


@pytest.mark.parametrize(
    "x",
    [
        np.linspace(np.log(SMALLEST) + 1e-5, np.log(LARGEST), 1_000_003),
        np.linspace(-1, 1, 1_000_003),
        np.concatenate([np.nextafter(_TURNS, np.float32(s)) for s in (-np.inf, np.inf)]),
    ],
    ids=["everywhere", "near 0", "between powers of two"],
)
def test_exp_is_off_by_roundings_of_its_argument(x: np.ndarray) -> None:
    exact = np.exp(x.astype(np.float32).astype(np.float64))
    off = np.abs(_off(elementary.exp, np.exp, x))
    assert (off <= 1e-7 * (2 + np.abs(x)) * exact).all()


@pytest.mark.parametrize(
    "x",
    [np.geomspace(SMALLEST, 3e38, 1_000_003), np.linspace(0.5, 2, 1_000_003)],
    ids=["everywhere", "near 1"],
)
def test_log_is_off_by_a_few_roundings_of_it(x: np.ndarray) -> None:
    exact = np.abs(np.log(x.astype(np.float32).astype(np.float64)))
    off = np.abs(_off(elementary.log, np.log, x))
    assert (off <= 2e-7 * exact).all()


def test_erf_is_off_by_a_few_roundings_of_1() -> None:
    off = _off(elementary.erf, special.erf, np.linspace(-8, 8, 1_000_003))
    assert np.abs(off).max() < 4e-7


def test_ends_and_what_is_no_number() -> None:
    given = jnp.array([-jnp.inf, -1e30, 1e30, jnp.inf, jnp.nan], jnp.float32)
    np.testing.assert_array_equal(elementary.exp(given), np.float32([0, 0, np.inf, np.inf, np.nan]))
    np.testing.assert_allclose(elementary.erf(given), [-1, -1, 1, 1, np.nan], rtol=4e-7)
    none = elementary.log(jnp.array([-1, 0, jnp.nan], jnp.float32))
    assert np.isnan(none).all()
    assert elementary.exp(jnp.float32(0)) == 1
    assert elementary.log(jnp.float32(1)) == 0
    assert elementary.erf(jnp.float32(0)) == 0


@pytest.mark.parametrize(
    ("function", "slope", "at"),
    [
        (elementary.exp, np.exp, (-3.0, 0.0, 2.0)),
        (elementary.log, np.reciprocal, (0.1, 1.0, 7.0)),
        (elementary.erf, lambda x: 2 / np.sqrt(np.pi) * np.exp(-x * x), (-1.0, 0.0, 2.5)),
    ],
)
def test_derivatives(
    function: Callable[[Array], Array],
    slope: Callable[[np.ndarray], np.ndarray],
    at: tuple[float, ...],
) -> None:
    found = jax.vmap(jax.grad(function))(jnp.asarray(at, jnp.float32))
    np.testing.assert_allclose(found, slope(np.asarray(at)), rtol=1e-6)


@pytest.mark.parametrize("function", [elementary.exp, elementary.log, elementary.erf])
def test_a_function_is_traced_once_for_all_its_calls(function: Callable[[Array], Array]) -> None:
    traced = jax.make_jaxpr(lambda x: function(function(x)))(jnp.float32(0.5))
    first, second = (each.params["jaxpr"] for each in traced.eqns)
    assert first is second


def test_other_precisions_are_those_of_jax() -> None:
    with jax.enable_x64(True):
        x = jnp.linspace(0.01, 5, 1001)
        np.testing.assert_allclose(elementary.exp(-x), np.exp(-x), rtol=1e-15)
        np.testing.assert_allclose(elementary.log(x), np.log(x), rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(elementary.erf(x), special.erf(x), rtol=1e-14)


@pytest.mark.parametrize("length", range(1, 10))
def test_a_polynomial_is_that_of_numpy(length: int) -> None:
    coefficients = np.random.default_rng(length).normal(size=length)
    x = np.linspace(-1, 1, 11)
    with jax.enable_x64(True):
        found = elementary.polynomial(tuple(coefficients), jnp.asarray(x))
    expected = np.polynomial.polynomial.polyval(x, coefficients)
    np.testing.assert_allclose(np.broadcast_to(found, x.shape), expected, rtol=1e-12, atol=1e-13)
