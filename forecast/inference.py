"""Fit a NumPyro model and judge the fit.

Two ways to the same posterior:

- ``importance`` (`importance.py`): Laplace approximation at the mode, corrected by importance
  sampling. Small models need a second, most of it compilation. A model may have ``nodes``,
  discrete alternatives (dates of change points) with equal prior weight: each gets a Laplace
  approximation of its own and the proposal is their mixture.
- ``nuts`` (`nuts.py`): NUTS with a dense mass matrix, nodes summed over. Used where the first
  fails its own check, and in the tests as its oracle.

A model is as `model_program` describes it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import importance, nuts
from .model_program import Compiled, Model, compile_model

Progress = Callable[[int, int], None]

SAMPLERS = ("auto", "importance", "nuts")
PARETO_K_LIMIT = 0.7


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
    points = np.zeros((1, 1)) if nodes is None else np.asarray(nodes, dtype=float)
    if compiled is None:
        compiled = compile_model(model, data, None if nodes is None else points[0])
    streams = np.random.SeedSequence(list(seed)).spawn(3)
    rng = np.random.default_rng(streams[0])
    any_node = points[rng.integers(len(points), size=settings.draws)]
    start = compiled.prior_points(rng.standard_normal((settings.draws, compiled.size)), any_node)
    sampled = _sampled(compiled, start, points, streams, rng, settings, progress, checkpoints)
    prior = compiled.evaluate(start, any_node)
    found = compiled.evaluate(sampled.flat, points[sampled.node])
    simulate = compiled.simulate
    by_chain = partial(_by_chain, settings=settings)

    def predict(rng: np.random.Generator) -> np.ndarray:
        return by_chain(simulate(rng, *found.observed))

    return Fit(
        draws={name: by_chain(value) for name, value in found.values.items()},
        log_likelihood=by_chain(found.log_likelihood),
        predictive=predict(rng),
        statistics=sampled.statistics,
        prior={name: value[None] for name, value in prior.values.items()},
        prior_predictive=simulate(rng, *prior.observed)[None],
        sampler=sampled.sampler,
        pareto_k=sampled.pareto_k,
        predict=predict,
    )


class _Sampled(NamedTuple):
    """Draws, (chain x draw, parameter), the place of each one's node, and as in `Fit`."""

    flat: np.ndarray
    node: np.ndarray
    statistics: dict[str, np.ndarray]
    sampler: str
    pareto_k: float


def _sampled(
    compiled: Compiled,
    start: np.ndarray,
    nodes: np.ndarray,
    streams: Sequence[np.random.SeedSequence],
    rng: np.random.Generator,
    settings: SamplerSettings,
    progress: Progress | None,
    checkpoints: Path | None,
) -> _Sampled:
    """Sample by importance unless the settings say NUTS; by NUTS also where "auto" sees it fail."""
    report = progress or (lambda done, total: None)
    pareto_k = np.nan
    if settings.sampler != "nuts":
        flat, node, statistics, pareto_k = importance.sample(
            compiled.log_density,
            start,
            nodes,
            streams[1].generate_state(importance.ADAPTATIONS + settings.chains),
            draws=settings.draws,
            proposals=settings.proposals,
            report=lambda chains: report(chains * settings.draws, settings.chains * settings.draws),
        )
        if settings.sampler == "importance" or pareto_k < PARETO_K_LIMIT:
            return _Sampled(flat, node, statistics, "importance", float(pareto_k))
    seed = int(streams[2].generate_state(1)[0])
    flat, statistics = _nuts(compiled, start, nodes, seed, settings, report, checkpoints)
    node = _nodes_given(compiled.log_density, flat, nodes, rng)
    return _Sampled(flat, node, statistics, "nuts", float(pareto_k))


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
