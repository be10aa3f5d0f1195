"""Fit a NumPyro model and judge the fit.

Two ways to the same posterior:

- ``importance`` (`importance.py`): Laplace approximation at the mode, corrected by importance
  sampling. Small models need a second, most of it compilation. A model may have ``nodes``,
  discrete alternatives (dates of change points) with equal prior weight: each gets a Laplace
  approximation of its own and the proposal is their mixture.
- ``nuts`` (`nuts.py`): NUTS with a dense mass matrix, nodes summed over. Used where the first
  fails its own check, and in the tests as its oracle.

A model is a NumPyro function of keyword arguments with one observed site, whose priors have
quantile functions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
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
Progress = Callable[[int, int], None]

SAMPLERS = ("auto", "importance", "nuts")
PARETO_K_LIMIT = 0.7
BATCH = 1024  # points in one call of the program


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How to sample.

    sampler: "auto" (importance, NUTS if its Pareto k is over 0.7), "importance" or "nuts"
    chains, draws: independent repetitions, and draws kept of each
    proposals: importance proposals per chain at most, a power of two
    warmup: NUTS only, iterations per chain
    """

    sampler: str = "auto"
    chains: int = 4
    draws: int = 1000
    proposals: int = 8192
    warmup: int = 1000


class Fit(NamedTuple):
    """Posterior draws with everything that is said about them.

    draws: name -> (chain, draw, ...), parameters and deterministic sites
    log_likelihood, predictive: (chain, draw, observation)
    statistics: name -> (chain, draw) sampler statistics
    prior, prior_predictive: the same from the prior, with one chain
    sampler, pareto_k: how it was sampled ("importance" has no divergences, "nuts" no Pareto k)
    predict: from a random generator, to other predictive draws
    """

    draws: dict[str, np.ndarray]
    log_likelihood: np.ndarray
    predictive: np.ndarray
    statistics: dict[str, np.ndarray]
    prior: dict[str, np.ndarray]
    prior_predictive: np.ndarray
    sampler: str
    pareto_k: float
    predict: Callable[[np.random.Generator], np.ndarray]


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


def fit(
    model: Model,
    data: Mapping[str, Any],
    *,
    seed: Sequence[int],
    nodes: np.ndarray | None = None,
    settings: SamplerSettings = SamplerSettings(),
    progress: Progress | None = None,
    compiled: Compiled | None = None,
    checkpoints: Path | None = None,
) -> Fit:
    """Return the posterior of ``model(**data)``.

    seed: whole numbers from 0 on; all of them together fix all random numbers
    nodes: (node, ...) or None; one is passed to the model as ``node=``, all are equally likely
        beforehand
    progress: called with (draws done, draws in all)
    compiled: of `compile_model` with the same model and data, to fit several sets of nodes
    checkpoints: folder in which NUTS keeps what it has done, so that a call that was interrupted
        goes on where it was; importance sampling needs none

    Raises ``ValueError`` if the sampler is unknown, or a prior has no quantile function.
    """
    if settings.sampler not in SAMPLERS:
        raise ValueError(
            f"sampler: got {settings.sampler!r}, expected 'auto', 'importance' or 'nuts'"
        )
    report = progress or (lambda done, total: None)
    total = settings.chains * settings.draws
    points = np.zeros((1, 1)) if nodes is None else np.asarray(nodes, dtype=float)
    if compiled is None:
        compiled = compile_model(model, data, None if nodes is None else points[0])
    streams = np.random.SeedSequence(list(seed)).spawn(3)
    rng = np.random.default_rng(streams[0])
    prior = _from_prior(compiled, points, settings.draws, rng)
    sampler, pareto_k = settings.sampler, np.nan
    if sampler != "nuts":
        flat, chosen, statistics, pareto_k = importance.sample(
            compiled.log_density,
            prior.flat,
            points,
            streams[1].generate_state(importance.ADAPTATIONS + settings.chains),
            draws=settings.draws,
            proposals=settings.proposals,
            report=lambda chains: report(chains * settings.draws, total),
        )
        fails = not pareto_k < PARETO_K_LIMIT
        sampler = "nuts" if sampler == "auto" and fails else "importance"
    if sampler == "nuts":
        number = int(streams[2].generate_state(1)[0])
        flat, statistics = _nuts(
            compiled, prior.flat, points, number, settings, report, checkpoints
        )
        chosen = _nodes_given(compiled.log_density, flat, points, rng)
    found = compiled.evaluate(flat, points[chosen], False)
    simulate = compiled.simulate
    by_chain = partial(_by_chain, settings=settings)

    def predict(rng: np.random.Generator) -> np.ndarray:
        return by_chain(simulate(rng, *found.observed))

    return Fit(
        draws={name: by_chain(value) for name, value in found.values.items()},
        log_likelihood=by_chain(found.log_likelihood),
        predictive=predict(rng),
        statistics=statistics,
        prior={name: value[None] for name, value in prior.values.items()},
        prior_predictive=simulate(rng, *prior.observed)[None],
        sampler=sampler,
        pareto_k=float(pareto_k),
        predict=predict,
    )


def _from_prior(
    compiled: Compiled, nodes: np.ndarray, draws: int, rng: np.random.Generator
) -> Evaluation:
    any_node = nodes[rng.integers(len(nodes), size=draws)]
    return compiled.evaluate(rng.standard_normal((draws, compiled.size)), any_node, True)


def _by_chain(values: np.ndarray, settings: SamplerSettings) -> np.ndarray:
    return values.reshape(settings.chains, settings.draws, *values.shape[1:])


def _nuts(
    compiled: Compiled,
    start: np.ndarray,
    nodes: np.ndarray,
    seed: int,
    settings: SamplerSettings,
    report: Progress,
    checkpoints: Path | None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return (unconstrained draws, statistics) of NUTS, each chain from a likely prior draw."""
    tried = start[: 16 * settings.chains]
    any_node = nodes[np.arange(len(tried)) % len(nodes)]
    score = compiled.log_density(tried, any_node).reshape(settings.chains, -1)
    best = np.argmax(score, axis=1) + score.shape[1] * np.arange(settings.chains)
    return nuts.sample(
        compiled.joint,
        tried[best],
        nodes,
        seed,
        draws=settings.draws,
        warmup=settings.warmup,
        report=report,
        folder=checkpoints,
    )


def _nodes_given(
    log_density: importance.LogDensity,
    flat: np.ndarray,
    nodes: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a node for each point, drawn from their probabilities given the point."""
    if len(nodes) == 1:
        return np.zeros(len(flat), dtype=int)
    score = np.stack([log_density(flat, np.tile(node, (len(flat), 1))) for node in nodes], axis=1)
    return np.argmax(score + rng.gumbel(size=score.shape), axis=1)


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
        log_joint, trace = joint_density(placed, (), arguments(node, given), {})
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
