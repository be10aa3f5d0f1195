"""Mixtures of Student-t distributions, fitted to weighted draws.

Importance-weighted EM (Hoogerheide, Opschoor & van Dijk 2012, J. Econometrics 171, 101-120), with
the steps of Peel & McLachlan (2000, Statistics and Computing 10, 339-348).
"""

from typing import NamedTuple

import numpy as np
from scipy import special
from scipy.special import logsumexp

DEGREES_OF_FREEDOM = 6.0
_WIDE_SHARE, _WIDE = 0.2, 2.5  # a defensive part is wider (Hesterberg 1995)
_EM_STEPS = 15


class Mixture(NamedTuple):
    """A mixture of Student-t distributions.

    log_share: (component,); centre: (component, parameter); root: (component, parameter,
    parameter), Cholesky factors of the squared scale
    """

    log_share: np.ndarray
    centre: np.ndarray
    root: np.ndarray


def log_volume(root: np.ndarray) -> np.ndarray:
    """Return the log determinant of each of some Cholesky factors."""
    return np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)


def _squared_distance(mixture: Mixture, white: np.ndarray) -> np.ndarray:
    """Return the squared distance from each centre in units of its scale, (point, component)."""
    pairs = zip(mixture.centre, np.linalg.inv(mixture.root), strict=True)
    return np.stack([np.sum(((white - m) @ inverse.T) ** 2, axis=1) for m, inverse in pairs], 1)


def log_student(mixture: Mixture, white: np.ndarray) -> np.ndarray:
    """Return the log density of every component, (point, component)."""
    size, freedom = white.shape[1], DEGREES_OF_FREEDOM
    total = freedom + size
    constant = special.gammaln(total / 2) - special.gammaln(freedom / 2)
    constant -= size / 2 * np.log(freedom * np.pi)
    tail = total / 2 * np.log1p(_squared_distance(mixture, white) / freedom)
    return constant - log_volume(mixture.root) - tail


def single(mean: np.ndarray, root: np.ndarray) -> Mixture:
    """Return one Student-t distribution with a wide part."""
    return _with_a_wide_part(mean, root, Mixture(np.zeros(1), mean[None], root[None]))


def _with_a_wide_part(mean: np.ndarray, root: np.ndarray, mixture: Mixture) -> Mixture:
    """Return the mixture with a component more, wide about the mean."""
    return Mixture(
        np.append(mixture.log_share + np.log1p(-_WIDE_SHARE), np.log(_WIDE_SHARE)),
        np.concatenate([mixture.centre, mean[None]]),
        np.concatenate([mixture.root, _WIDE * root[None]]),
    )


def fitted(white: np.ndarray, log_weight: np.ndarray, components: int) -> Mixture:
    """Return the mixture fitted to weighted draws, with a wide part."""
    # No single draw may rule the moments.
    log_weight = np.minimum(log_weight, np.sort(log_weight)[-20])
    weight = np.exp(log_weight - logsumexp(log_weight))
    mean = weight @ white
    covariance = (white - mean).T @ (weight[:, None] * (white - mean))
    covariance += 1e-6 * np.eye(len(mean))
    root = np.linalg.cholesky(covariance)
    if components == 1:
        return single(mean, root)
    # Components start as slices along the direction in which the draws are most skewed.
    standard = np.linalg.solve(root, (white - mean).T).T
    along = standard @ ((weight * np.sum(standard**2, axis=1)) @ standard)
    order = np.argsort(along)
    slice_of = np.empty(len(white), dtype=int)
    slice_of[order] = (np.cumsum(weight[order]) * components).clip(max=components - 1e-9)
    part = weight[:, None] * (slice_of[:, None] == np.arange(components))
    reach = np.ones_like(part)
    for _ in range(_EM_STEPS):
        mixture = _maximised(white, part, reach, covariance)
        log_part = mixture.log_share + log_student(mixture, white)
        part = weight[:, None] * np.exp(log_part - logsumexp(log_part, axis=1, keepdims=True))
        freedom, distance = DEGREES_OF_FREEDOM, _squared_distance(mixture, white)
        reach = (freedom + len(mean)) / (freedom + distance)
    return _with_a_wide_part(mean, root, mixture)


def _maximised(
    white: np.ndarray, part: np.ndarray, reach: np.ndarray, covariance: np.ndarray
) -> Mixture:
    """Return the mixture that is likeliest given each draw's part in every component.

    part, reach: (draw, component); reach is the expected precision factor of a Student-t draw
    (Peel & McLachlan 2000). covariance: of all draws; a little of it keeps components from
    shrinking to nothing.
    """
    share = np.maximum(part.sum(axis=0), 1e-6)
    pull = part * reach
    centre = (pull.T @ white) / np.maximum(pull.sum(axis=0), 1e-6)[:, None]
    away = white - centre[:, None]  # (component, draw, parameter)
    scale = (away * pull.T[..., None]).swapaxes(1, 2) @ away / share[:, None, None]
    root = np.linalg.cholesky(scale + 0.01 * covariance)
    return Mixture(np.log(share / share.sum()), centre, root)
