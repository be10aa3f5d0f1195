"""Fit a NumPyro model and judge the fit.

Two ways to the same posterior:

- ``importance``: Laplace approximation at the mode, corrected by quasi-random importance sampling
  with Student-t proposals (Geweke 1989) and judged by the Pareto k of its weights (Vehtari et al.
  2024). Small models need seconds, most of them compilation. A model may have ``nodes``, discrete
  alternatives (dates of change points) with equal prior weight: each gets a Laplace approximation
  of its own and the proposal is their mixture.
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
from scipy import stats
from scipy.special import logsumexp

Model = Callable[..., None]
Progress = Callable[[int, int], None]

PARETO_K_LIMIT = 0.7
_PROPOSAL_DEGREES_OF_FREEDOM = 6.0
_WIDE_SHARE, _WIDE = 0.25, 2.5  # a defensive part of the proposals is wider (Hesterberg 1995)
_NEWTON_STEPS = 40
_ADAPTATIONS = 3


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
            flat, chosen, statistics, pareto_k = _importance(
                compiled, start, points, importance_key, settings, report
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
    report(total, total)
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


class _Proposal(NamedTuple):
    """A mixture of Student-t, one a node.

    log_share: (node,); centre: (node, parameter); root: (node, parameter, parameter), a Cholesky
    factor of the inverse negative Hessian; shift, stretch: of all nodes' standardised coordinates
    """

    log_share: np.ndarray
    centre: np.ndarray
    root: np.ndarray
    shift: np.ndarray
    stretch: np.ndarray


def _importance(
    compiled: Compiled,
    start: np.ndarray,
    nodes: np.ndarray,
    key: Array,
    settings: SamplerSettings,
    report: Progress,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], float]:
    """Return (unconstrained draws, node of each, statistics, Pareto k of all proposals)."""
    from arviz_stats.base import array_stats

    proposal = _laplace(compiled, start, nodes)
    seeds = np.asarray(jax.random.bits(key, (_ADAPTATIONS + settings.chains,), jnp.uint32))
    for seed in seeds[:_ADAPTATIONS]:
        standard, _, _, log_weight = _propose(compiled, proposal, nodes, seed, settings.proposals)
        proposal = _adapt(proposal, standard, log_weight)
    draws, chosen, efficiency, pareto_k, log_weights = [], [], [], [], []
    for chain, seed in enumerate(seeds[_ADAPTATIONS:]):
        _, flat, node, log_weight = _propose(compiled, proposal, nodes, seed, settings.proposals)
        smoothed, k = array_stats.psislw(-log_weight)
        weight = np.exp(smoothed - logsumexp(smoothed))
        # Systematic resampling: the least noise of its own.
        offset = (np.arange(settings.draws) + 0.5) / settings.draws
        row = np.searchsorted(np.cumsum(weight) / np.sum(weight), offset).clip(max=len(weight) - 1)
        row = np.random.default_rng(seed).permutation(row)
        draws.append(flat[row])
        chosen.append(node[row])
        efficiency.append(1 / np.sum(weight**2) / len(weight))
        pareto_k.append(float(k))
        log_weights.append(log_weight)
        report((chain + 1) * settings.draws, (settings.chains + 1) * settings.draws)
    statistics = {
        "pareto_k": np.repeat(np.array(pareto_k)[:, None], settings.draws, axis=1),
        "importance_efficiency": np.repeat(np.array(efficiency)[:, None], settings.draws, axis=1),
    }
    # One proposal for all chains, so one k; the largest of several noisy ones would be biased.
    _, overall = array_stats.psislw(-np.concatenate(log_weights))
    return np.concatenate(draws), np.concatenate(chosen), statistics, float(overall)


def _laplace(compiled: Compiled, start: np.ndarray, nodes: np.ndarray) -> _Proposal:
    """Return a Laplace approximation at each node, from the best of some prior draws."""
    count, size = len(nodes), start.shape[1]
    tried = start[: max(16, 4096 // count)]
    scores = compiled.log_density(np.tile(tried, (count, 1)), np.repeat(nodes, len(tried), axis=0))
    best = np.argmax(scores.reshape(count, -1), axis=1)
    mode, value, hessian = _newton(compiled, tried[best], nodes)
    scale, axes = np.linalg.eigh(-hessian)
    scale = np.maximum(scale, 1e-2)  # never wider than the priors of unit scale allow by far
    root = np.linalg.cholesky(np.einsum("nij,nj,nkj->nik", axes, 1 / scale, axes))
    evidence = value - 0.5 * np.log(scale).sum(axis=1)
    # Half of the evidence, half of its square root: nodes that Laplace underrates are still met.
    share = np.exp(evidence - logsumexp(evidence))
    tempered = np.exp(0.5 * evidence - logsumexp(0.5 * evidence))
    log_share = np.log(0.5 * share + 0.5 * tempered)
    return _Proposal(log_share, mode, root, np.zeros(size), np.eye(size))


def _derivatives(
    compiled: Compiled, position: np.ndarray, nodes: np.ndarray, step: float = 1e-3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (log density, gradient, Hessian) at each node by central differences.

    They shape a proposal whose weights are exact, so that differences will do and spare the
    compilation of second derivatives.
    """
    size = position.shape[1]
    unit = step * np.eye(size)
    row, column = np.triu_indices(size, 1)
    moves = np.concatenate(
        [np.zeros((1, size)), unit, -unit, unit[row] + unit[column], -unit[row] - unit[column]]
    )
    points = (position[:, None] + moves).reshape(-1, size)
    values = compiled.log_density(points, np.repeat(nodes, len(moves), axis=0))
    here, up, down, both_up, both_down = np.split(
        values.reshape(len(position), -1), np.cumsum([1, size, size, len(row)]), axis=1
    )
    # A step too far has density 0, or overflows, and is not taken.
    with np.errstate(invalid="ignore", over="ignore"):
        diagonal = up + down - 2 * here
        mixed = (both_up + both_down - 2 * here - diagonal[:, row] - diagonal[:, column]) / 2
        gradient = (up - down) / (2 * step)
    hessian = np.zeros((len(position), size, size))
    hessian[:, np.arange(size), np.arange(size)] = diagonal
    hessian[:, row, column] = hessian[:, column, row] = mixed
    return here[:, 0], gradient, hessian / step**2


def _newton(
    compiled: Compiled, position: np.ndarray, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (mode, log density, Hessian) of every node by damped Newton steps."""
    identity = np.eye(position.shape[1])
    damping = np.full(len(nodes), 1.0)
    active = np.arange(len(nodes))
    value, gradient, hessian = _derivatives(compiled, position, nodes)
    position = position.copy()
    for _ in range(_NEWTON_STEPS):
        scale, axes = np.linalg.eigh(-hessian[active])
        curvature = np.einsum("nij,nj,nkj->nik", axes, np.abs(scale) + 1e-6, axes)
        damped = curvature + damping[active, None, None] * identity
        trial = position[active] + np.linalg.solve(damped, gradient[active, :, None])[..., 0]
        new = _derivatives(compiled, trial, nodes[active])
        gain = np.nan_to_num(new[0] - value[active], nan=-np.inf)
        better = gain > 0
        moved = active[better]
        position[moved] = trial[better]
        value[moved], gradient[moved], hessian[moved] = (part[better] for part in new)
        damping[active] = np.where(better, damping[active] / 10, damping[active] * 10)
        active = active[np.where(better, gain > 1e-5, damping[active] < 1e6)]
        if active.size == 0:
            break
    return position, value, hessian


def _propose(
    compiled: Compiled, proposal: _Proposal, nodes: np.ndarray, seed: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (standardised, unconstrained, node, log weight) of quasi-random proposals."""
    size = proposal.centre.shape[1]
    u = stats.qmc.Sobol(size + 3, rng=np.random.default_rng(seed)).random(count)
    u = u.clip(1e-12, 1 - 1e-12)
    freedom = _PROPOSAL_DEGREES_OF_FREEDOM
    radius = np.sqrt(stats.chi2.ppf(u[:, size], freedom) / freedom)
    width = np.where(u[:, size + 1] < _WIDE_SHARE, _WIDE, 1.0)
    standard = stats.norm.ppf(u[:, :size]) * (width / radius)[:, None]
    share = np.exp(proposal.log_share)
    node = np.searchsorted(np.cumsum(share) / share.sum(), u[:, -1]).clip(max=len(nodes) - 1)
    white = proposal.shift + standard @ proposal.stretch.T
    flat = proposal.centre[node] + np.einsum("nij,nj->ni", proposal.root[node], white)
    log_volume = np.log(np.abs(np.linalg.det(proposal.stretch))) + np.log(
        np.diagonal(proposal.root, axis1=1, axis2=2)
    ).sum(axis=1)
    student = stats.multivariate_t(shape=np.eye(size), df=freedom)
    log_proposal = np.logaddexp(
        np.log1p(-_WIDE_SHARE) + student.logpdf(standard),
        np.log(_WIDE_SHARE) + student.logpdf(standard / _WIDE) - size * np.log(_WIDE),
    )
    log_proposal += proposal.log_share[node] - log_volume[node]
    log_weight = np.maximum(compiled.log_density(flat, nodes[node]), -1e300) - log_proposal
    return white, flat, node, log_weight


def _adapt(proposal: _Proposal, white: np.ndarray, log_weight: np.ndarray) -> _Proposal:
    """Return the proposal moved to the weighted mean and covariance of the standardised draws."""
    # No single draw may rule the moments.
    log_weight = np.minimum(log_weight, np.sort(log_weight)[-20])
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    shift = weight @ white
    centred = white - shift
    covariance = centred.T @ (weight[:, None] * centred)
    return proposal._replace(
        shift=shift, stretch=np.linalg.cholesky(covariance + 1e-6 * np.eye(len(shift)))
    )


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
