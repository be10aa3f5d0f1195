"""A NumPyro model as one program of flat unconstrained vectors, batched and compiled once.

A model is a NumPyro function of keyword arguments with one observed site, whose priors have
quantile functions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

Model = Callable[..., None]

BATCH = 1024  # points in one call of the program


class Evaluation(NamedTuple):
    """A model at many points.

    flat: (point, parameter), unconstrained; log_density: (point,); values: name -> (point, ...),
    of all sites; log_likelihood: (point, observation); observed: parameters of the observed
    distribution, each (point, observation)
    """

    flat: Any
    log_density: Any
    values: dict[str, Any]
    log_likelihood: Any
    observed: tuple[Any, ...]


class Compiled(NamedTuple):
    """A model as one program, compiled once, in float64 and batched.

    evaluate: (points, node of each, whether the points are standard normal numbers to be turned
        into prior draws, else unconstrained parameters) -> Evaluation, as NumPy arrays
    log_density: (points, node of each) -> log joint density, (point,)
    joint: the same for one point, in JAX, to be differentiated
    bound: the same program with other values of the ``varying`` data of `compile_model`
    size: how many unconstrained parameters there are
    simulate: (random generator, parameters of the observed distribution) -> observations
    """

    evaluate: Callable[[np.ndarray, np.ndarray, bool], Evaluation]
    log_density: importance.LogDensity
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

    def at(z: Array, node: Any, from_prior: Any, given: Mapping[str, Any]) -> Evaluation:
        return _at(model, arguments(node, given), z, from_prior)

    size, simulate = _look(model, arguments(example_node, {name: data[name] for name in varying}))
    program = jax.jit(jax.vmap(at, in_axes=(0, 0, None, None)))

    def bound(given: Mapping[str, Any]) -> Compiled:
        arrays = {name: np.asarray(given[name]) for name in varying}

        def run(z: np.ndarray, node: np.ndarray, prior: bool) -> Evaluation:
            found: Evaluation = program(z, node, prior, arrays)
            return found

        def joint(z: Array, node: Any) -> Array:
            return at(z, node, False, arrays).log_density

        return Compiled(
            partial(_evaluate, run), partial(_log_density, run), joint, bound, size, simulate
        )

    return bound(data)


def _at(model: Model, arguments: Mapping[str, Any], z: Array, from_prior: Any) -> Evaluation:
    """Return the model at one point: see `Compiled.evaluate`."""
    flat: list[Array] = []
    log_jacobian = [jnp.zeros(())]

    def place(site: dict[str, Any]) -> Array | None:
        if not _is_latent(site):
            return None
        transform = biject_to(site["fn"].support)
        shape = transform.inverse_shape(site["fn"].shape())
        first = sum(part.size for part in flat)
        here = z[first : first + prod(shape)].reshape(shape)
        value = transform(here)
        log_jacobian.append(transform.log_abs_det_jacobian(here, value).sum())
        if from_prior is not False:
            drawn = _from_standard_normal(site["name"], site["fn"], here)
            value = jnp.where(from_prior, drawn, value)
            here = transform.inv(value)
        flat.append(here.ravel())
        return value

    placed = handlers.substitute(model, substitute_fn=place)
    log_joint, trace = joint_density(placed, (), dict(arguments), {})
    site = _observed(trace)
    fn = _unmasked(site["fn"])
    ones = (1,) * jnp.ndim(site["value"])
    observed = (getattr(fn, name) for name in fn.arg_constraints)
    return Evaluation(
        jnp.concatenate(flat),
        log_joint + sum(log_jacobian),
        _values(trace),
        site["fn"].log_prob(site["value"]),
        tuple(jnp.reshape(p, ones[jnp.ndim(p) :] + jnp.shape(p)) for p in observed),
    )


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

    def look(key: Array) -> None:
        trace = handlers.trace(handlers.seed(model, key)).get_trace(**arguments)
        latent = [site["fn"] for site in trace.values() if _is_latent(site)]
        shapes = [biject_to(fn.support).inverse_shape(fn.shape()) for fn in latent]
        kind = type(_unmasked(_observed(trace)["fn"]))
        found.extend([sum(map(prod, shapes)), _SIMULATORS.get(kind) or kind.simulate])

    with jax.enable_x64(True):
        jax.eval_shape(look, jax.random.key(0))
    return found[0], found[1]


def _batches(
    program: Callable[..., Evaluation], z: np.ndarray, node: np.ndarray, prior: bool
) -> Iterator[Evaluation]:
    """Yield the program's answers to batches of one size, so that it is compiled once."""
    with jax.enable_x64(True):
        for start in range(0, len(z), BATCH):
            rows = np.arange(start, start + BATCH).clip(max=len(z) - 1)
            yield program(z[rows], node[rows], prior)


def _evaluate(
    program: Callable[..., Evaluation], z: np.ndarray, node: np.ndarray, prior: bool
) -> Evaluation:
    parts = list(_batches(program, z, node, prior))
    found = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(z)], *parts)
    shape = found.log_likelihood.shape
    return found._replace(observed=tuple(np.broadcast_to(p, shape) for p in found.observed))


def _log_density(program: Callable[..., Evaluation], z: np.ndarray, node: np.ndarray) -> np.ndarray:
    parts = [np.asarray(part.log_density) for part in _batches(program, z, node, False)]
    value = np.concatenate(parts)[: len(z)]
    return np.where(np.isnan(value), -np.inf, value)
