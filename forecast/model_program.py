"""A NumPyro model as one program of flat unconstrained vectors, batched and compiled once.

A model is a NumPyro function of keyword arguments with one observed site, whose priors have
quantile functions.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax import Array
from jax.scipy.special import ndtr
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import log_density as joint_density

from . import importance, nuts
from .compiled import quickly

Model = Callable[..., None]

BATCH = 512  # points in one call of the program


class Evaluation(NamedTuple):
    """A model at many points.

    values: name -> (point, ...), of all sites; log_likelihood: (point, observation);
    observed: parameters of the observed distribution, each (point, observation)
    """

    values: dict[str, Any]
    log_likelihood: Any
    observed: tuple[Any, ...]


class Compiled(NamedTuple):
    """A model as programs of flat unconstrained vectors, in float64 and batched.

    Each is compiled when it is first called, and once.

    prior_points: (standard normal numbers, (point, parameter), node of each) -> unconstrained
        parameters of the prior draws that have their quantiles
    log_density: (points, node of each) -> log joint density, (point,)
    evaluate: (points, node of each) -> Evaluation, as NumPy arrays
    joint: the log joint density of one point, in JAX, to be differentiated
    bound: the same programs with other values of the ``varying`` data of `compile_model`
    size: how many unconstrained parameters there are
    simulate: (random generator, parameters of the observed distribution) -> observations
    """

    prior_points: Callable[[np.ndarray, np.ndarray], np.ndarray]
    log_density: importance.LogDensity
    evaluate: Callable[[np.ndarray, np.ndarray], Evaluation]
    joint: nuts.LogDensity
    bound: Callable[[Mapping[str, Any]], "Compiled"]
    size: int
    simulate: Callable[..., np.ndarray]


# Observed distributions, simulated by NumPy: compiling JAX's gamma sampler takes seconds. Those of
# our own have a static method ``simulate`` with the same arguments.
_SIMULATORS: dict[type, Callable[..., np.ndarray]] = {
    dist.StudentT: lambda rng, df, loc, scale: loc + scale * rng.standard_t(df),
    dist.Normal: lambda rng, loc, scale: rng.normal(loc, scale),
}


def compile_model(
    model: Model,
    data: Mapping[str, Any],
    example_node: np.ndarray | None = None,
    varying: Sequence[str] = (),
) -> Compiled:
    """Return the model as one program of flat unconstrained vectors; nothing is compiled yet.

    example_node: one of the nodes, if the model has any.
    varying: arrays among the data that the program takes as arguments, so that data sets of one
        shape share it (`Compiled.bound`); the model must not look at their values.
    """
    fixed = {name: value for name, value in data.items() if name not in varying}

    def arguments(node: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        return fixed | dict(given) | ({} if example_node is None else {"node": node})

    def prior_point(z: Array, node: Any, given: Mapping[str, Any]) -> Array:
        return _prior_point(model, arguments(node, given), z)

    def at(z: Array, node: Any, given: Mapping[str, Any]) -> tuple[Array, Evaluation]:
        return _at(model, arguments(node, given), z)

    size, simulate = _look(model, arguments(example_node, {name: data[name] for name in varying}))
    # The model is traced once for the two programs, and each computes only what it returns. The
    # density alone is called often enough for good machine code to be worth its compilation.
    traced = jax.jit(jax.vmap(at, in_axes=(0, 0, None)))
    programs = (
        jax.jit(jax.vmap(prior_point, in_axes=(0, 0, None)), compiler_options=quickly()),
        jax.jit(lambda *batch: traced(*batch)[0], compiler_options=quickly(level=None)),
        jax.jit(lambda *batch: traced(*batch)[1], compiler_options=quickly()),
    )

    def bound(given: Mapping[str, Any]) -> Compiled:
        arrays = {name: np.asarray(given[name]) for name in varying}

        def joint(z: Array, node: Any) -> Array:
            return at(z, node, arrays)[0]

        prior_points, log_density, evaluate = (
            partial(_batched, partial(_with, program, arrays)) for program in programs
        )
        return Compiled(
            prior_points,
            lambda z, node: _never_nan(log_density(z, node)),
            lambda z, node: _broadcast(evaluate(z, node)),
            joint,
            bound,
            size,
            simulate,
        )

    return bound(data)


def _at(model: Model, arguments: Mapping[str, Any], z: Array) -> tuple[Array, Evaluation]:
    """Return the log joint density at one unconstrained point, and what else there is to say."""
    part = _parts_of(z)
    log_jacobian = [jnp.zeros(())]

    def place(site: dict[str, Any]) -> Array | None:
        if not _is_latent(site):
            return None
        transform = biject_to(site["fn"].support)
        here = part(transform.inverse_shape(site["fn"].shape()))
        value = transform(here)
        log_jacobian.append(transform.log_abs_det_jacobian(here, value).sum())
        return value

    placed = handlers.substitute(model, substitute_fn=place)
    with _no_checks():
        log_joint, trace = joint_density(placed, (), dict(arguments), {})
        site = _observed(trace)
        log_likelihood = site["fn"].log_prob(site["value"])
    fn = _unmasked(site["fn"])
    ones = (1,) * jnp.ndim(site["value"])
    observed = (getattr(fn, name) for name in fn.arg_constraints)
    return log_joint + sum(log_jacobian), Evaluation(
        _values(trace),
        log_likelihood,
        tuple(jnp.reshape(p, ones[jnp.ndim(p) :] + jnp.shape(p)) for p in observed),
    )


def _prior_point(model: Model, arguments: Mapping[str, Any], z: Array) -> Array:
    """Return the unconstrained parameters whose prior quantiles are those of ``z``."""
    part = _parts_of(z)
    flat: list[Array] = []

    def place(site: dict[str, Any]) -> Array | None:
        if not _is_latent(site):
            return None
        transform = biject_to(site["fn"].support)
        here = part(transform.inverse_shape(site["fn"].shape()))
        value = _from_standard_normal(site["name"], site["fn"], here)
        flat.append(transform.inv(value).ravel())
        return value

    with _no_checks():
        handlers.trace(handlers.substitute(model, substitute_fn=place)).get_trace(**arguments)
    return jnp.concatenate(flat)


def _no_checks() -> AbstractContextManager[None]:
    """Let densities not check that values are in their support: bijections put them there.

    The checks would only make the programs longer. Arguments have been checked by `_look`.
    """
    return dist.distribution.validation_enabled(False)


def _parts_of(z: Array) -> Callable[[tuple[int, ...]], Array]:
    """Return a function that takes the next part of a vector, in a shape."""
    taken = [0]

    def part(shape: tuple[int, ...]) -> Array:
        first = taken[0]
        taken[0] += prod(shape)
        return z[first : taken[0]].reshape(shape)

    return part


def _is_latent(site: dict[str, Any]) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _observed(trace: dict[str, Any]) -> dict[str, Any]:
    (site,) = (s for s in trace.values() if s["type"] == "sample" and s["is_observed"])
    return site


def _values(trace: dict[str, Any]) -> dict[str, Array]:
    return {
        name: site["value"]
        for name, site in trace.items()
        if _is_latent(site) or site["type"] == "deterministic"
    }


def _from_standard_normal(name: str, fn: dist.Distribution, z: Array) -> Array:
    """Return the value whose quantiles are those of the standard normal numbers ``z``."""
    if isinstance(fn, dist.Independent | dist.ExpandedDistribution | dist.MaskedDistribution):
        return _from_standard_normal(name, fn.base_dist, z)
    if isinstance(fn, dist.Normal):
        return fn.loc + fn.scale * z
    if isinstance(fn, dist.TransformedDistribution):
        value = _from_standard_normal(name, fn.base_dist, z)
        for transform in fn.transforms:
            value = transform(value)
        return value
    try:
        return fn.icdf(ndtr(z))
    except (NotImplementedError, AttributeError, ImportError) as error:
        raise ValueError(
            f"{name}: got the prior {type(fn).__name__}, expected one with a quantile function"
        ) from error


def _unmasked(fn: dist.Distribution) -> dist.Distribution:
    return fn.base_dist if isinstance(fn, dist.MaskedDistribution) else fn


def _look(model: Model, arguments: Mapping[str, Any]) -> tuple[int, Callable[..., np.ndarray]]:
    """Return (how many unconstrained parameters, simulator of what is observed)."""
    found: list[Any] = []

    def look() -> None:
        sizes: list[int] = []

        def place(site: dict[str, Any]) -> Array | None:
            if not _is_latent(site):
                return None
            transform = biject_to(site["fn"].support)
            shape = transform.inverse_shape(site["fn"].shape())
            sizes.append(prod(shape))
            return transform(jnp.zeros(shape))

        placed = handlers.substitute(model, substitute_fn=place)
        observed = _unmasked(_observed(handlers.trace(placed).get_trace(**arguments))["fn"])
        kind = type(observed)
        found.extend([sum(sizes), _SIMULATORS.get(kind) or kind.simulate])

    with jax.enable_x64(True):
        jax.eval_shape(look)
    return found[0], found[1]


def _with(program: Callable[..., Any], arrays: Any, z: np.ndarray, node: np.ndarray) -> Any:
    return program(z, node, arrays)


def _batched(program: Callable[..., Any], z: np.ndarray, node: np.ndarray) -> Any:
    """Return the program's answers, NumPy arrays; batches of one size, so that one is compiled."""
    parts = []
    with jax.enable_x64(True):
        for start in range(0, len(z), BATCH):
            rows = np.arange(start, start + BATCH).clip(max=len(z) - 1)
            parts.append(program(z[rows], node[rows]))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(z)], *parts)


def _never_nan(log_density: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(log_density), -np.inf, log_density)


def _broadcast(found: Evaluation) -> Evaluation:
    shape = found.log_likelihood.shape
    return found._replace(observed=tuple(np.broadcast_to(p, shape) for p in found.observed))
