"""Importance sampling from a Laplace approximation, judged by the Pareto k of its weights.

The posterior is approximated at the mode of each node (a discrete alternative). In coordinates
that the curvature there standardises, all nodes share one proposal: a mixture of Student-t
distributions (Geweke 1989), fitted to weighted proposals of earlier rounds, first by moments, then,
where the Pareto k is not low yet, with more components by importance-weighted EM (Hoogerheide,
Opschoor & van Dijk 2012). Weights are exact and Pareto-smoothed (Vehtari et al. 2024). Proposals
are quasi-random.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special, stats
from scipy.special import logsumexp

from .student_mixture import (
    DEGREES_OF_FREEDOM,
    Mixture,
    fitted,
    log_student,
    log_volume,
    single,
)

LogDensity = Callable[[np.ndarray, np.ndarray], np.ndarray]

_COMPONENTS = (1, 1, 3, 5, 8, 8)  # of the mixture after each round
_GOOD_PARETO_K = (0.4, 0.4, 0.4, 0.4, 0.5, 0.5)  # no more adaptation below this
ADAPTATIONS = len(_COMPONENTS)
_NEWTON_STEPS = 60
_MOST_DAMPING = 1e12  # curvature far from the mode may be as large
_GAIN = 1e-3  # of log density: the proposal need not sit right at the mode
_DISTANCES = np.array([1.0, 2.0, 4.0, 7.0])  # at which the density is compared with a normal one
_EXTENTS = (0.7, 6.0)
_BENDS = np.array([1.0, -1.0, 0.0, 1.7])  # powers that are tried
_NEGLIGIBLE = 12.0  # nodes whose log evidence is so much less need not be known well
_TURN = 0.5  # within this distance of the mode one side passes into the other
_DISTINCT = 4.0  # standard deviations, by the curvature of the likelier, between two modes
_SEARCHES = 8  # for modes, at most: they cost as much as the square of the parameters
_TRIALS = 1024  # points of a Newton step: with few nodes, several dampings are tried at once


class _Proposal(NamedTuple):
    """Modes, each with a place and a scale of its own, and in these terms one mixture for all.

    There is one for each node; if there is one node only, one for each mode that was found.

    node: (mode,), the place of each one's node; log_share: (mode,); centre: (mode, parameter);
    root: (mode, parameter, parameter), a Cholesky factor of the inverse negative Hessian; extent,
    bend: (mode, parameter, side), how far the density extends below and above the mode along each
    column of the root, and the power by which the later parameters respond there (1: linearly)
    """

    node: np.ndarray
    log_share: np.ndarray
    centre: np.ndarray
    root: np.ndarray
    extent: np.ndarray
    bend: np.ndarray
    mixture: Mixture


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
    proposals: at most so many a chain, a power of two
    """
    proposal, efficient = _adapted(log_density, start, nodes, seeds[:ADAPTATIONS], proposals)
    # About two effective proposals for each draw, or as many as there may be.
    wanted = 2 ** int(np.ceil(np.log2(2 * draws / efficient)))
    count = max(min(proposals, wanted), proposals // 8)
    kept, chosen, efficiency, pareto_k, log_weights = [], [], [], [], []
    for chain, seed in enumerate(seeds[ADAPTATIONS:]):
        _, flat, node, log_weight = _propose(log_density, proposal, nodes, seed, count)
        smoothed, k = _smoothed(log_weight)
        weight = np.exp(smoothed - logsumexp(smoothed))
        # Systematic resampling: the least noise of its own.
        offset = (np.arange(draws) + 0.5) / draws
        row = np.searchsorted(np.cumsum(weight) / np.sum(weight), offset).clip(max=len(weight) - 1)
        row = np.random.default_rng(seed).permutation(row)
        kept.append(flat[row])
        chosen.append(node[row])
        efficiency.append(1 / np.sum(weight**2) / len(weight))
        pareto_k.append(k)
        log_weights.append(log_weight)
        report(chain + 1)
    statistics = {
        "pareto_k": np.repeat(np.array(pareto_k)[:, None], draws, axis=1),
        "importance_efficiency": np.repeat(np.array(efficiency)[:, None], draws, axis=1),
    }
    # One proposal for all chains, so one k; the largest of several noisy ones would be biased.
    _, overall = _smoothed(np.concatenate(log_weights))
    return np.concatenate(kept), np.concatenate(chosen), statistics, overall


def _smoothed(log_weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Return (Pareto-smoothed log weights, Pareto k).

    Where a few weights are all there is, their tail has no fit: k is infinite, and they stay.
    """
    from arviz_stats.base import array_stats

    try:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            smoothed, k = array_stats.psislw(-log_weight)
    except ValueError:  # all of the tail is the same
        smoothed, k = np.full(1, np.nan), np.nan
    if np.isnan(k) or np.isnan(smoothed).any():
        return log_weight - logsumexp(log_weight), np.inf
    return smoothed, float(k)


def _adapted(
    log_density: LogDensity,
    start: np.ndarray,
    nodes: np.ndarray,
    seeds: np.ndarray,
    proposals: int,
) -> tuple[_Proposal, float]:
    """Return the Laplace approximation adapted until its Pareto k is low, or rounds are used up.

    With it, the effective part of its proposals (Kish), as the last round found it.
    """
    proposal = _laplace(log_density, start, nodes)
    rounds = zip(seeds, _COMPONENTS, _GOOD_PARETO_K, strict=True)
    for done, (seed, components, good) in enumerate(rounds):
        count = max(512, proposals // 4) if components == 1 else proposals << (start.shape[1] // 20)
        white, _, _, log_weight = _propose(log_density, proposal, nodes, seed, count)
        smoothed, k = _smoothed(log_weight)
        efficient = np.exp(2 * logsumexp(smoothed) - logsumexp(2 * smoothed)) / count
        if done and k < good:
            break
        proposal = proposal._replace(mixture=fitted(white, log_weight, components))
    return proposal, float(efficient)


def _laplace(log_density: LogDensity, start: np.ndarray, nodes: np.ndarray) -> _Proposal:
    """Return Laplace approximations: at each node, or at each mode if there is one node only.

    Several searches look for the mode of the likeliest node, from the best of parts of the prior
    draws; those at other nodes start from it, or from the best of some prior draws.
    """
    count, size = len(nodes), start.shape[1]
    tried = start[: max(16, 4096 // count)]
    scores = log_density(np.tile(tried, (count, 1)), np.repeat(nodes, len(tried), axis=0))
    scores = scores.reshape(count, -1)
    best = tried[np.argmax(scores, axis=1)]
    likeliest = np.argmax(scores.max(axis=1))
    tries = int(np.clip(_SEARCHES * 16**2 // size**2, 2, _SEARCHES))
    first = _best_of_parts(tried, scores[likeliest], tries)
    mode, value, hessian = _newton(log_density, first, nodes[[likeliest] * len(first)])
    if count > 1:
        shared = mode[np.argmax(value)]
        better = log_density(np.tile(shared, (count, 1)), nodes) > scores.max(axis=1)
        best = np.where(better[:, None], shared, best)
        mode, value, hessian = _newton(log_density, best, nodes)
    else:
        found = _distinct(mode, value, hessian)
        mode, value, hessian = mode[found], value[found], hessian[found]
    node = np.arange(count) if count > 1 else np.zeros(len(mode), dtype=int)
    scale, axes = np.linalg.eigh(-hessian)
    scale = np.maximum(scale, 1e-2)  # never wider than the priors of unit scale allow by far
    root = np.linalg.cholesky(np.einsum("nij,nj,nkj->nik", axes, 1 / scale, axes))
    evidence = value - 0.5 * np.log(scale).sum(axis=1)
    extent, bend = np.ones((2, len(mode), size, 2))
    matters = evidence > evidence.max() - _NEGLIGIBLE
    extent[matters], bend[matters] = _shape(
        log_density, mode[matters], value[matters], root[matters], nodes[node[matters]]
    )
    evidence += np.log(extent.mean(axis=2)).sum(axis=1)
    # Half of the evidence, half of its square root: nodes that Laplace underrates are still met.
    share = np.exp(evidence - logsumexp(evidence))
    tempered = np.exp(0.5 * evidence - logsumexp(0.5 * evidence))
    log_share = np.log(np.maximum(0.5 * share + 0.5 * tempered, 1e-300))
    return _Proposal(
        node, log_share, mode, root, extent, bend, single(np.zeros(size), np.eye(size))
    )


def modes(
    log_density: LogDensity, start: np.ndarray, tries: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """Return (modes (mode, parameter), log evidence of each by Laplace), the likeliest first.

    One search from the best of each of ``tries`` parts of ``start``, (point, parameter): what is
    not found may still be there.
    """
    none = np.zeros((len(start), 1))
    best = _best_of_parts(start, log_density(start, none), tries)
    position, value, hessian = _newton(log_density, best, none[: len(best)])
    found = _distinct(position, value, hessian)
    return position[found], _evidence(value, hessian)[found]


def _best_of_parts(start: np.ndarray, score: np.ndarray, parts: int) -> np.ndarray:
    """Return the point of the highest score in each of so many parts, (part, parameter)."""
    places = np.array_split(np.arange(len(start)), min(parts, len(start)))
    return start[[part[np.argmax(score[part])] for part in places]]


def _evidence(value: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Return the log evidence of modes by Laplace; minus infinity for what is no peak."""
    scale = np.linalg.eigvalsh(-hessian)
    peaked = scale[:, 0] > 0
    return np.where(peaked, value - 0.5 * np.log(np.abs(scale)).sum(axis=1), -np.inf)


def _distinct(position: np.ndarray, value: np.ndarray, hessian: np.ndarray) -> list[int]:
    """Return which of some ends of searches are modes apart, the likeliest first, at least one."""
    evidence = _evidence(value, hessian)
    found: list[int] = []
    for i in np.argsort(-evidence):
        away = position[found] - position[i]
        apart = -np.einsum("ni,nij,nj->n", away, hessian[found], away) > _DISTINCT**2
        if np.isfinite(evidence[i]) and apart.all():
            found.append(int(i))
    return found or [int(np.argmax(value))]


def _shape(
    log_density: LogDensity,
    mode: np.ndarray,
    value: np.ndarray,
    root: np.ndarray,
    nodes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return extent and bend of the density about each mode, each (node, parameter, side).

    The extent is the factor by which a normal distribution must be wider on that side to be nowhere
    lower at some distances (Geweke 1989, section 5), the bend the one of a few along which the
    density stays highest. A normal density has extent and bend 1.
    """
    count, size = mode.shape
    # (node, parameter moved, side, bend, distance)
    shape = (count, size, 2, len(_BENDS), len(_DISTANCES))
    away = np.zeros((*shape[1:], size))
    moved = np.arange(size)
    away[moved, ..., moved] = np.array([-1.0, 1.0])[:, None, None] * _DISTANCES
    bend = np.broadcast_to(_BENDS[:, None, None], away.shape)
    point = mode[:, None] + _bent(root[:, None], away.reshape(-1, size), bend.reshape(-1, size))
    number = point.shape[1]
    found = log_density(point.reshape(-1, size), np.repeat(nodes, number, axis=0)).reshape(shape)
    drop = np.maximum(value[:, None, None, None, None] - found, 1e-9)
    ratio = (_DISTANCES / np.sqrt(2 * drop)).clip(*_EXTENTS)
    best = np.argmax(ratio.sum(axis=-1), axis=-1)
    extent = np.take_along_axis(ratio.max(axis=-1), best[..., None], axis=-1)[..., 0]
    return extent, _BENDS[best]


def _bent(root: np.ndarray, away: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """Return where the standardised distances ``away`` lead from the mode, (..., parameter).

    Each parameter moves by its own distance and responds to those before it, which is linear near
    the mode and beyond it a power (Box & Cox 1964): the map keeps the determinant of the root.
    """
    size = np.abs(away)
    power = np.where(bend == 0, np.log1p(size), ((1 + size) ** bend - 1) / np.where(bend, bend, 1))
    response = np.copysign(power, away)
    diagonal = np.diagonal(root, axis1=-2, axis2=-1)
    return diagonal * (away - response) + np.einsum("...ij,...j->...i", root, response)


def _skewed(extent: np.ndarray, standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (coordinates stretched differently on either side of 0, smoothly; log Jacobian)."""
    below, above = np.moveaxis(extent, -1, 0)
    middle, half = (above + below) / 2, (above - below) / 2
    root = np.sqrt(_TURN**2 + standard**2)
    slope = middle + half * standard * (2 * _TURN**2 + standard**2) / root**3
    return standard * (middle + half * standard / root), np.log(slope).sum(axis=1)


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
    size = position.shape[1]
    damping = np.full(len(nodes), 1.0)
    active = np.arange(len(nodes))
    value, gradient, hessian = _derivatives(log_density, position, nodes)
    position = position.copy()
    for _ in range(_NEWTON_STEPS):
        # With few nodes left, several dampings cost no more than one.
        tries = int(np.clip(_TRIALS // (len(active) * (size**2 + size + 1)), 1, 5))
        ladder = damping[active, None] * 100.0 ** (np.arange(tries) - tries // 2)
        scale, axes = np.linalg.eigh(-hessian[active])
        uphill = np.einsum("nij,ni->nj", axes, gradient[active])
        step = uphill[:, None] / (np.abs(scale)[:, None] + 1e-6 + ladder[..., None])
        trial = position[active, None] + np.einsum("nij,ntj->nti", axes, step)
        new = _derivatives(log_density, trial.reshape(-1, size), nodes[np.repeat(active, tries)])
        gains = np.nan_to_num(new[0].reshape(-1, tries) - value[active, None], nan=-np.inf)
        best = np.argmax(gains, axis=1)
        gain = gains[np.arange(len(active)), best]
        better = gain > 0
        moved, taken = active[better], (np.arange(len(active)) * tries + best)[better]
        position[moved] = trial.reshape(-1, size)[taken]
        value[moved], gradient[moved], hessian[moved] = (part[taken] for part in new)
        used = ladder[np.arange(len(active)), best]
        damping[active] = np.where(better, used / 10, ladder.max(axis=1) * 10)
        active = active[np.where(better, gain > _GAIN, damping[active] < _MOST_DAMPING)]
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
    half = DEGREES_OF_FREEDOM / 2
    # From one coordinate: as a sum of exponentials, of several, it makes larger Pareto k.
    radius = np.sqrt(special.gammaincinv(half, u[:, size]) / half)  # chi over root of its freedom
    standard = special.ndtri(u[:, :size]) / radius[:, None]
    mixture = proposal.mixture
    component = _choose(mixture.log_share, u[:, size + 1])
    white = mixture.centre[component]
    for which, root in enumerate(mixture.root):
        white[component == which] += standard[component == which] @ root.T
    mode = _choose(proposal.log_share, u[:, -1])
    away, log_slope = _skewed(proposal.extent[mode], white)
    bend = np.where(away < 0, proposal.bend[mode, :, 0], proposal.bend[mode, :, 1])
    flat = proposal.centre[mode] + _bent(proposal.root[mode], away, bend)
    log_proposal = logsumexp(mixture.log_share + log_student(mixture, white), axis=1) - log_slope
    log_proposal += (proposal.log_share - log_volume(proposal.root))[mode]
    node = proposal.node[mode]
    log_target = log_density(flat, nodes[node]) + _log_own_part(proposal, mode, flat)
    return white, flat, node, np.maximum(log_target, -1e300) - log_proposal


def _log_own_part(proposal: _Proposal, mode: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """Return the log of the part of the density at each point that is its own mode's, (point,).

    The modes of one node share its density, each point by how near it is to them: any division
    leaves weights exact, if the parts sum to 1.
    """
    if len(proposal.node) == 1 or len(np.unique(proposal.node)) > 1:
        return np.zeros(len(flat))
    near = proposal.log_share + log_student(
        Mixture(proposal.log_share, proposal.centre, proposal.root), flat
    )
    return near[np.arange(len(flat)), mode] - logsumexp(near, axis=1)


def _choose(log_share: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return indices with the probabilities of ``log_share``, by inversion of ``u``."""
    total = np.cumsum(np.exp(log_share))
    return np.searchsorted(total / total[-1], u).clip(max=len(total) - 1)
