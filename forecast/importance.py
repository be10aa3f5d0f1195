"""Importance sampling from a Laplace approximation, judged by the Pareto k of its weights.

The posterior is approximated by a mixture of Student-t distributions (Geweke 1989), one at the mode
of each node, adapted to the weighted moments of a few rounds of proposals; weights are exact and
Pareto-smoothed (Vehtari et al. 2024). Proposals are quasi-random.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import logsumexp

LogDensity = Callable[[np.ndarray, np.ndarray], np.ndarray]

ADAPTATIONS = 3
_DEGREES_OF_FREEDOM = 6.0
_WIDE_SHARE, _WIDE = 0.25, 2.5  # a defensive part of the proposals is wider (Hesterberg 1995)
_NEWTON_STEPS = 40


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


def sample(
    log_density: LogDensity,
    start: np.ndarray,
    nodes: np.ndarray,
    seeds: np.ndarray,
    *,
    draws: int,
    proposals: int,
    report: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], float]:
    """Return (unconstrained draws, node of each, statistics, Pareto k of all proposals).

    log_density: (unconstrained (point, parameter), node of each) -> (point,)
    start: (point, parameter), some prior draws; nodes: (node, ...)
    seeds: one for each adaptation, then one for each chain; report: called with chains done
    """
    from arviz_stats.base import array_stats

    proposal = _laplace(log_density, start, nodes)
    for seed in seeds[:ADAPTATIONS]:
        standard, _, _, log_weight = _propose(log_density, proposal, nodes, seed, proposals)
        proposal = _adapt(proposal, standard, log_weight)
    kept, chosen, efficiency, pareto_k, log_weights = [], [], [], [], []
    for chain, seed in enumerate(seeds[ADAPTATIONS:]):
        _, flat, node, log_weight = _propose(log_density, proposal, nodes, seed, proposals)
        smoothed, k = array_stats.psislw(-log_weight)
        weight = np.exp(smoothed - logsumexp(smoothed))
        # Systematic resampling: the least noise of its own.
        offset = (np.arange(draws) + 0.5) / draws
        row = np.searchsorted(np.cumsum(weight) / np.sum(weight), offset).clip(max=len(weight) - 1)
        row = np.random.default_rng(seed).permutation(row)
        kept.append(flat[row])
        chosen.append(node[row])
        efficiency.append(1 / np.sum(weight**2) / len(weight))
        pareto_k.append(float(k))
        log_weights.append(log_weight)
        report(chain + 1)
    statistics = {
        "pareto_k": np.repeat(np.array(pareto_k)[:, None], draws, axis=1),
        "importance_efficiency": np.repeat(np.array(efficiency)[:, None], draws, axis=1),
    }
    # One proposal for all chains, so one k; the largest of several noisy ones would be biased.
    _, overall = array_stats.psislw(-np.concatenate(log_weights))
    return np.concatenate(kept), np.concatenate(chosen), statistics, float(overall)


def _laplace(log_density: LogDensity, start: np.ndarray, nodes: np.ndarray) -> _Proposal:
    """Return a Laplace approximation at each node, from the best of some prior draws."""
    count, size = len(nodes), start.shape[1]
    tried = start[: max(16, 4096 // count)]
    scores = log_density(np.tile(tried, (count, 1)), np.repeat(nodes, len(tried), axis=0))
    best = np.argmax(scores.reshape(count, -1), axis=1)
    mode, value, hessian = _newton(log_density, tried[best], nodes)
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
    log_density: LogDensity, position: np.ndarray, nodes: np.ndarray, step: float = 1e-3
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
    values = log_density(points, np.repeat(nodes, len(moves), axis=0))
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
    log_density: LogDensity, position: np.ndarray, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (mode, log density, Hessian) of every node by damped Newton steps."""
    identity = np.eye(position.shape[1])
    damping = np.full(len(nodes), 1.0)
    active = np.arange(len(nodes))
    value, gradient, hessian = _derivatives(log_density, position, nodes)
    position = position.copy()
    for _ in range(_NEWTON_STEPS):
        scale, axes = np.linalg.eigh(-hessian[active])
        curvature = np.einsum("nij,nj,nkj->nik", axes, np.abs(scale) + 1e-6, axes)
        damped = curvature + damping[active, None, None] * identity
        trial = position[active] + np.linalg.solve(damped, gradient[active, :, None])[..., 0]
        new = _derivatives(log_density, trial, nodes[active])
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
    log_density: LogDensity, proposal: _Proposal, nodes: np.ndarray, seed: int, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (standardised, unconstrained, node, log weight) of quasi-random proposals."""
    size = proposal.centre.shape[1]
    u = stats.qmc.Sobol(size + 3, rng=np.random.default_rng(seed)).random(count)
    u = u.clip(1e-12, 1 - 1e-12)
    freedom = _DEGREES_OF_FREEDOM
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
    log_weight = np.maximum(log_density(flat, nodes[node]), -1e300) - log_proposal
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
