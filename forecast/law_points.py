"""Point fits of scaling laws, as published: a Huber loss of log residuals, by L-BFGS, many starts.

Hoffmann et al. (2022, arXiv 2203.15556, appendix D.2) and all who repeat them minimise

    sum over runs of Huber(log predicted loss - log loss),  quadratic within 1e-3, then linear.

Besiroglu et al. (2024, arXiv 2404.10102) traced Hoffmann et al.'s poor fit to a mean in place of
the sum: gradients 240 times smaller end L-BFGS before it has moved. A point says nothing about how
well the runs know it: see `law_fits` for the posterior.
"""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike

from ..kernels.compression import Sparsity, sparse_chinchilla
from ..kernels.data_constrained import DataConstrained, constrained_loss
from ..kernels.scaling_laws import Chinchilla, chinchilla_loss

Residual = Callable[[Array], Array]

HUBER_DELTA = 1e-3
_STEPS = 200
_PRECISE = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000, "maxfun": 2000}
_REPEATS = tuple(product((3.0, 15.0, 100.0), (1.0, 5.0, 30.0)))  # starts of R_D*, R_N*
# Hoffmann et al., appendix D.2: ln A, ln B, ln E, alpha, beta.
_GRID = (
    *(np.arange(0.0, 26, 5), np.arange(0.0, 26, 5), np.arange(-1.0, 1.1, 0.5)),
    *(np.arange(0.0, 2.1, 0.5), np.arange(0.0, 2.1, 0.5)),
)


class Point(NamedTuple):
    """The constants of least objective; objective: the sum of Huber losses there."""

    constants: np.ndarray
    objective: float


def huber(residual: ArrayLike, delta: float = HUBER_DELTA) -> Array:
    """Return the Huber loss: quadratic within ``delta``, linear beyond, elementwise."""
    clipped = jnp.clip(jnp.asarray(residual), -delta, delta)
    return clipped * (residual - clipped / 2)


def minimised(
    residual: Residual,
    starts: np.ndarray,
    *,
    delta: float = HUBER_DELTA,
    average: bool = False,
    kept: int = 6,
    options: Mapping[str, Any] = _PRECISE,
) -> Point:
    """Return where the Huber loss of residuals is least, by L-BFGS from the ``kept`` best starts.

    residual: from constants, (constant,), to (run,); starts: (start, constant)
    average: minimise the mean of the losses instead of their sum, as Hoffmann et al. did; with the
        ``options`` of L-BFGS left at SciPy's, the search then ends where it began
    """
    from scipy import optimize

    def total(constants: Array) -> Array:
        return huber(residual(constants), delta).sum()

    with jax.enable_x64(True):
        runs = jax.eval_shape(residual, jnp.asarray(starts[0])).shape[0]
        # In units of delta^2 the sum is of order one a run, as tolerances of L-BFGS take it to be.
        unit = runs if average else delta**2
        values = np.nan_to_num(jax.jit(jax.vmap(total))(jnp.asarray(starts)), nan=np.inf)
        slope = jax.jit(jax.value_and_grad(lambda constants: total(constants) / unit))

        def scaled(constants: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = slope(constants)
            return float(value), np.asarray(gradient)

        chosen = starts[np.argsort(values, kind="stable")[:kept]]
        searches = (
            optimize.minimize(scaled, start, jac=True, method="L-BFGS-B", options=dict(options))
            for start in chosen
        )
        best = min(searches, key=lambda found: np.nan_to_num(found.fun, nan=np.inf))
    return Point(best.x, float(best.fun) * unit)


def bootstrapped(
    residual: Residual,
    point: np.ndarray,
    *,
    replications: int,
    seed: int,
    delta: float = HUBER_DELTA,
) -> np.ndarray:
    """Return the constants refitted to runs drawn with replacement, (replication, constant).

    All at once, from the point of all runs, by damped Gauss-Newton steps of reweighted squares.
    """
    with jax.enable_x64(True):
        runs = jax.eval_shape(residual, jnp.asarray(point)).shape[0]
        drawn = np.random.default_rng(seed).integers(runs, size=(replications, runs))
        counts = np.stack([np.bincount(row, minlength=runs) for row in drawn]).astype(float)
        refit = jax.jit(
            jax.vmap(lambda count: _refitted(residual, jnp.asarray(point), count, delta))
        )
        return np.asarray(refit(counts))


def _refitted(residual: Residual, start: Array, count: Array, delta: float) -> Array:
    jacobian = jax.jacfwd(residual)

    def value(constants: Array) -> Array:
        return jnp.sum(count * huber(residual(constants), delta))

    def step(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        constants, damping, here = state
        error, slope = residual(constants), jacobian(constants)
        weight = count * delta / jnp.maximum(jnp.abs(error), delta)
        curvature = slope.T @ (weight[:, None] * slope)
        damped = curvature + damping * jnp.diag(jnp.diag(curvature))
        trial = constants - jnp.linalg.solve(damped, slope.T @ (weight * error))
        there = value(trial)
        better = there < here
        return (
            jnp.where(better, trial, constants),
            jnp.where(better, damping / 3, damping * 4),
            jnp.where(better, there, here),
        )

    first = (start, jnp.asarray(1e-3), value(start))
    return jax.lax.fori_loop(0, _STEPS, step, first)[0]


# --- the laws -------------------------------------------------------------------------------------


class Centred(NamedTuple):
    """Chinchilla's law with terms valued amid the runs: ln A / N^alpha and ln B / D^beta there.

    The same law and minimum, but ln A and alpha correlate by 0.999 and these do not.
    """

    residual: Residual
    log_parameters: float
    log_tokens: float

    def law(self, theta: np.ndarray) -> Chinchilla:
        """Return the law of constants (..., constant)."""
        a, b, log_e, alpha, beta = np.moveaxis(np.asarray(theta), -1, 0)
        log_a, log_b = a + alpha * self.log_parameters, b + beta * self.log_tokens
        return Chinchilla(np.exp(log_e), log_a, alpha, log_b, beta)

    def theta(self, law: Chinchilla) -> np.ndarray:
        """Return the constants of a law, (..., constant)."""
        e, log_a, alpha, log_b, beta = map(np.asarray, law)
        a, b = log_a - alpha * self.log_parameters, log_b - beta * self.log_tokens
        return np.stack([a, b, np.log(e), alpha, beta], axis=-1)


def centred(rows: pd.DataFrame, *, amid: bool = True) -> Centred:
    """Return the residuals of log loss under Chinchilla's law.

    rows: log_parameters, log_tokens, log_loss; amid: false for the published parametrisation
    """
    log_n, log_d, log_loss = (rows[name].to_numpy() for name in _COLUMNS)
    middle = (log_n.mean(), log_d.mean()) if amid else (0.0, 0.0)
    x, y = log_n - middle[0], log_d - middle[1]

    def residual(theta: Array) -> Array:
        a, b, log_e, alpha, beta = theta
        parts = [a - alpha * x, b - beta * y, jnp.full(len(x), log_e)]
        return logsumexp(jnp.stack(parts), axis=0) - log_loss

    return Centred(residual, *middle)


_COLUMNS = ("log_parameters", "log_tokens", "log_loss")


def published_starts() -> Chinchilla:
    """Return the 4500 starts of Hoffmann et al. (2022, appendix D.2), constants of (start,)."""
    log_a, log_b, log_e, alpha, beta = np.array(list(product(*_GRID))).T
    return Chinchilla(np.exp(log_e), log_a, alpha, log_b, beta)


def chinchilla_point(rows: pd.DataFrame) -> tuple[Chinchilla, float]:
    """Return the law of least summed Huber loss, from the published starts, and its objective."""
    problem = centred(rows)
    found = minimised(problem.residual, problem.theta(published_starts()))
    return problem.law(found.constants), found.objective


def chinchilla_bootstrap(
    rows: pd.DataFrame, law: Chinchilla, *, replications: int = 200, seed: int = 0
) -> Chinchilla:
    """Return the laws fitted to runs drawn with replacement, constants of (replication,)."""
    problem = centred(rows)
    found = bootstrapped(problem.residual, problem.theta(law), replications=replications, seed=seed)
    return problem.law(found)


def repetition_residual(rows: pd.DataFrame, fresh: Chinchilla) -> Residual:
    """Return the residuals of log loss by ln R_D*, ln R_N*, the other constants given.

    As Muennighoff et al. (2023, arXiv 2305.16264) fit them. rows: log_unique_tokens too.
    """
    log_n, log_d, log_loss, log_unique = (
        rows[name].to_numpy() for name in (*_COLUMNS, "log_unique_tokens")
    )

    def residual(theta: Array) -> Array:
        law = DataConstrained(fresh, jnp.exp(theta[1]), jnp.exp(theta[0]))
        return jnp.log(constrained_loss(law, log_n, log_d, log_unique)) - log_loss

    return residual


def repetition_point(
    rows: pd.DataFrame, fresh: Chinchilla | None = None
) -> tuple[DataConstrained, float]:
    """Return the data-constrained law of least summed Huber loss, and its objective.

    fresh: the constants of the law without repetition, kept as they are; fitted too if None
    """
    starts = np.log(_REPEATS)
    if fresh is not None:
        found = minimised(repetition_residual(rows, fresh), starts, kept=len(starts))
        data, parameters = np.exp(found.constants)
        return DataConstrained(fresh, parameters, data), found.objective
    problem = centred(rows)
    laws = problem.theta(published_starts())

    def residual(theta: Array) -> Array:
        a, b, log_e, alpha, beta = theta[:5]
        log_a, log_b = a + alpha * problem.log_parameters, b + beta * problem.log_tokens
        law = Chinchilla(jnp.exp(log_e), log_a, alpha, log_b, beta)
        return repetition_residual(rows, law)(theta[5:])

    pairs = [np.hstack([laws, np.tile(start, (len(laws), 1))]) for start in starts[::4]]
    found = minimised(residual, np.concatenate(pairs), kept=20)
    data, parameters = np.exp(found.constants[5:])
    return DataConstrained(problem.law(found.constants[:5]), parameters, data), found.objective


def sparsity_residual(
    sparsity: np.ndarray,
    log_parameters: np.ndarray,
    log_data: np.ndarray,
    loss: np.ndarray,
    *,
    of_log: bool,
) -> Residual:
    """Return the residuals of Frantar et al.'s law of sparse models (2023, arXiv 2309.08520).

    Of constants in the order of `Sparsity`, c as ln c. log_parameters: of weights that are not
    zero, in any unit, as data. of_log: of log loss (T5) or of loss (vision transformers)
    """

    def residual(theta: Array) -> Array:
        a_s, b_s, c_s, b_n, b, b_d, c = theta
        law = sparse_chinchilla(Sparsity(a_s, b_s, c_s, b_n, b, b_d, jnp.exp(c)), sparsity)
        predicted = chinchilla_loss(law, log_parameters, log_data)
        return jnp.log(predicted) - jnp.log(loss) if of_log else predicted - loss

    return residual


# --- approach 2 -----------------------------------------------------------------------------------


def isoflop_optima(frame: pd.DataFrame, budget: str = "training_compute_flop") -> pd.DataFrame:
    """Return the best size of each budget: flop, parameters, loss.

    As Porian et al. (2024, arXiv 2406.19146): an Akima spline of log loss in log parameters, and
    only budgets whose best run is neither the smallest nor the largest.
    """
    from scipy import interpolate

    found = []
    for flop, runs in frame.sort_values("parameters").groupby(budget):
        runs = runs.loc[runs.groupby("parameters")["loss_nats"].idxmin()]
        log_n, log_loss = np.log(runs[["parameters", "loss_nats"]].to_numpy(dtype=float)).T
        if 0 < np.argmin(log_loss) < len(log_n) - 1:
            fine = np.linspace(log_n[0], log_n[-1], 4001)
            curve = interpolate.Akima1DInterpolator(log_n, log_loss)(fine)
            best = np.argmin(curve)
            found.append((flop, np.exp(fine[best]), np.exp(curve[best])))
    return pd.DataFrame(found, columns=["flop", "parameters", "loss"])


def isoflop_exponent(frame: pd.DataFrame, budget: str = "training_compute_flop") -> float:
    """Return a of N ~ C^a through the best size of each budget (approach 2 of Hoffmann et al.).

    Raises ``ValueError`` if fewer than three budgets have a best size within their range.
    """
    optima = isoflop_optima(frame, budget)
    if len(optima) < 3:
        raise ValueError(
            f"{budget}: {len(optima)} budgets with a best size within their range, expected 3"
        )
    return float(np.polyfit(np.log(optima["flop"]), np.log(optima["parameters"]), 1)[0])
