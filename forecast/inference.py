"""Fit a NumPyro model and judge the fit.

Two ways to the same posterior:

- ``importance`` (`importance.py`): Laplace approximation at the mode, corrected by importance
  sampling. Small models need seconds, most of them compilation. A model may have ``nodes``,
  discrete alternatives (dates of change points) with equal prior weight: each gets a Laplace
  approximation of its own and the proposal is their mixture.
- ``nuts``: NumPyro's NUTS with a dense mass matrix. Used where the first fails its own check, and
  in the tests as its oracle.

A model is a NumPyro function of keyword arguments with one observed site.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer import NUTS
from numpyro.infer.util import potential_energy

from . import importance

Model = Callable[..., None]
Progress = Callable[[int, int], None]

PARETO_K_LIMIT = 0.7


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """How to sample.

    sampler: "auto" (importance, NUTS if its Pareto k is over 0.7), "importance" or "nuts"
    chains, draws: independent repetitions, and draws kept of each
    proposals: importance proposals per chain, a power of two
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
    """

    draws: dict[str, np.ndarray]
    log_likelihood: np.ndarray
    predictive: np.ndarray
    statistics: dict[str, np.ndarray]
    prior: dict[str, np.ndarray]
    prior_predictive: np.ndarray
    sampler: str
    pareto_k: float


class Compiled(NamedTuple):
    """The few functions of a model that are compiled, all in float64 and batched.

    prior: (keys, node) -> unconstrained draws, values of all sites, parameters of the observed
        distribution
    log_density: (unconstrained, node) -> log joint density
    outputs: (unconstrained, node) -> values of all sites, log likelihood, parameters as above
    observed: name of the observed distribution
    """

    prior: Callable[[Array, np.ndarray], tuple[Array, dict[str, Array], tuple[Array, ...]]]
    log_density: Callable[[np.ndarray, np.ndarray], np.ndarray]
    outputs: Callable[[np.ndarray, np.ndarray], tuple[dict[str, Array], Array, tuple[Array, ...]]]
    observed: str


# Observed distributions, simulated by NumPy: compiling JAX's gamma sampler takes seconds.
_SIMULATORS: dict[str, Callable[..., np.ndarray]] = {
    "StudentT": lambda rng, df, loc, scale: loc + scale * rng.standard_t(df),
    "BelowFrontier": lambda rng, frontier, gap, noise: (
        frontier - rng.exponential(gap) + rng.normal(0, noise)
    ),
}


def fit(
    model: Model,
    data: Mapping[str, Any],
    *,
    key: Array,
    nodes: np.ndarray | None = None,
    settings: SamplerSettings = SamplerSettings(),
    progress: Progress | None = None,
    compiled: "Compiled | None" = None,
) -> Fit:
    """Return the posterior of ``model(**data)``.

    nodes: (node, ...) or None; one is passed to the model as ``node=``, all are equally likely
        beforehand. A model with nodes has no NUTS fall-back.
    progress: called with (draws done, draws in all)
    compiled: of `compile_model` with the same model and data, to fit several sets of nodes

    Raises ``ValueError`` if the sampler is unknown or does not fit the model.
    """
    if settings.sampler not in ("auto", "importance", "nuts"):
        raise ValueError(
            f"sampler: got {settings.sampler!r}, expected 'auto', 'importance' or 'nuts'"
        )
    if settings.sampler == "nuts" and nodes is not None:
        raise ValueError("sampler: got 'nuts', but a model with nodes has no NUTS")
    report = progress or (lambda done, total: None)
    total = settings.chains * settings.draws
    with jax.enable_x64(True):
        arguments = dict(data)
        points = np.zeros((1, 1)) if nodes is None else np.asarray(nodes, dtype=float)
        if compiled is None:
            compiled = compile_model(model, arguments, None if nodes is None else points[0])
        prior_key, importance_key, nuts_key, output_key = jax.random.split(key, 4)
        rng = np.random.default_rng(np.asarray(jax.random.bits(output_key, (4,), jnp.uint32)))
        any_node = points[rng.integers(len(points), size=settings.draws)]
        start, prior, prior_observed = jax.tree.map(
            np.asarray, compiled.prior(_cheap_keys(prior_key, settings.draws), any_node)
        )
        sampler, pareto_k = settings.sampler, np.nan
        if sampler != "nuts":
            number = (importance.ADAPTATIONS + settings.chains,)
            flat, chosen, statistics, pareto_k = importance.sample(
                compiled.log_density,
                start,
                points,
                np.asarray(jax.random.bits(importance_key, number, jnp.uint32)),
                draws=settings.draws,
                proposals=settings.proposals,
                report=lambda chains: report(chains * settings.draws, total),
            )
            fails = not pareto_k < PARETO_K_LIMIT
            sampler = "nuts" if sampler == "auto" and fails and nodes is None else "importance"
        if sampler == "nuts":
            flat, statistics = _nuts(model, arguments, nuts_key, settings, report)
            chosen = np.zeros(total, dtype=int)
        outputs = compiled.outputs(flat, points[chosen])
    draws, log_likelihood, observed = jax.tree.map(
        lambda leaf: np.asarray(leaf).reshape(settings.chains, settings.draws, *leaf.shape[1:]),
        outputs,
    )
    simulate = _SIMULATORS[compiled.observed]
    return Fit(
        draws=draws,
        log_likelihood=log_likelihood,
        predictive=simulate(rng, *observed),
        statistics=statistics,
        prior={name: value[None] for name, value in prior.items()},
        prior_predictive=simulate(rng, *prior_observed)[None],
        sampler=sampler,
        pareto_k=float(pareto_k),
    )


def _cheap_keys(key: Array, count: int) -> Array:
    """Return keys of a generator that compiles far faster than threefry."""
    seeds = jax.random.bits(key, (count,), jnp.uint32)
    return jax.vmap(lambda seed: jax.random.key(seed, impl="unsafe_rbg"))(seeds)


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


def compile_model(
    model: Model, data: Mapping[str, Any], example_node: np.ndarray | None = None
) -> Compiled:
    """Return the model's compiled functions of flat unconstrained vectors.

    example_node: one of the nodes, if the model has any. Nothing is run or compiled yet.
    """

    def arguments(node: Array | np.ndarray | None) -> dict[str, Any]:
        return dict(data) if example_node is None else {**data, "node": node}

    def trace_of(
        key: Array, values: Mapping[str, Array], node: Array | np.ndarray | None
    ) -> dict[str, Any]:
        seeded = handlers.seed(handlers.substitute(model, dict(values)), key)
        return handlers.trace(seeded).get_trace(**arguments(node))

    transforms: dict[str, Any] = {}

    def unconstrained(trace: dict[str, Any]) -> dict[str, Array]:
        for name, site in trace.items():
            if _is_latent(site):
                transforms[name] = biject_to(site["fn"].support)
        return {name: transform.inv(trace[name]["value"]) for name, transform in transforms.items()}

    def parameters(site: dict[str, Any]) -> tuple[Array, ...]:
        shape = jnp.shape(site["value"])
        names = list(site["fn"].arg_constraints)
        return tuple(jnp.broadcast_to(getattr(site["fn"], name), shape) for name in names)

    def from_prior(key: Array, node: Array) -> tuple[Array, dict[str, Array], tuple[Array, ...]]:
        trace = trace_of(key, {}, node)
        flat, _ = ravel_pytree(unconstrained(trace))
        return flat, _values(trace), parameters(_observed(trace))

    # Shapes and supports are found without running anything.
    kinds: list[str] = []

    def look(key: Array) -> dict[str, Array]:
        trace = trace_of(key, {}, None if example_node is None else jnp.asarray(example_node))
        kinds.append(type(_observed(trace)["fn"]).__name__)
        return unconstrained(trace)

    template = jax.eval_shape(look, jax.random.key(0))
    unravel = ravel_pytree(jax.tree.map(lambda leaf: np.zeros(leaf.shape), template))[1]

    def log_density(flat: Array, node: Array) -> Array:
        return -potential_energy(model, (), arguments(node), unravel(flat))

    def outputs(flat: Array, node: Array) -> tuple[dict[str, Array], Array, tuple[Array, ...]]:
        constrained = {name: transforms[name](z) for name, z in unravel(flat).items()}
        trace = trace_of(jax.random.key(0), constrained, node)
        site = _observed(trace)
        return _values(trace), site["fn"].log_prob(site["value"]), parameters(site)

    return Compiled(
        jax.jit(jax.vmap(from_prior)),
        _in_batches(jax.jit(jax.vmap(log_density))),
        jax.jit(jax.vmap(outputs)),
        kinds[0],
    )


def _in_batches(
    log_density: Callable[[np.ndarray, np.ndarray], Array], size: int = 1024
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the function evaluated in batches of one size, so that it is compiled once."""

    def evaluate(flat: np.ndarray, node: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(flat), size):
            rows = np.arange(start, start + size).clip(max=len(flat) - 1)
            parts.append(np.asarray(log_density(flat[rows], node[rows])))
        return np.nan_to_num(np.concatenate(parts)[: len(flat)], nan=-np.inf)

    return evaluate


def _nuts(
    model: Model,
    data: dict[str, Any],
    key: Array,
    settings: SamplerSettings,
    report: Progress,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return (unconstrained draws, statistics) of NUTS, sampled in blocks to show progress."""
    kernel = NUTS(model, dense_mass=True, target_accept_prob=0.9)
    state = kernel.init(jax.random.split(key, settings.chains), settings.warmup, None, (), data)
    fields = ("diverging", "energy", "num_steps", "accept_prob")
    block = 100

    def step(state: Any, _: None) -> tuple[Any, Any]:
        state = kernel.sample(state, (), data)
        flat = jax.vmap(lambda z: ravel_pytree(z)[0])(state.z)
        return state, (flat, {field: getattr(state, field) for field in fields})

    advance = jax.jit(lambda state: jax.lax.scan(step, state, None, length=block))
    collected = []
    iterations = settings.warmup + settings.draws
    for done in range(0, iterations, block):
        state, out = advance(state)
        collected.append(jax.tree.map(lambda leaf: np.asarray(leaf).swapaxes(0, 1), out))
        report(min(done + block, iterations) * settings.chains, iterations * settings.chains)
    flat, statistics = jax.tree.map(
        lambda *parts: np.concatenate(parts, axis=1)[:, settings.warmup : iterations], *collected
    )
    return flat.reshape(settings.chains * settings.draws, -1), statistics
