"""Scores of probabilistic forecasts, and weights by them.

CRPS and log score (minus the log density, so that smaller is better for both) are proper scoring
rules (Gneiting & Raftery 2007, JASA 102, 359-378).
"""

from typing import NamedTuple

import numpy as np
import scoringrules
from scipy import stats
from scipy.special import logsumexp

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_DRAWS = 2000  # of a CRPS: its Monte Carlo error is then about a hundredth of the spread
_EM_STEPS = 2000


class Mixture(NamedTuple):
    """Predictive distributions of several outcomes, each a mixture of Student-t distributions.

    centre: (component, outcome); scale, freedom: (component, outcome or 1); weight: (component,),
    sums to 1
    """

    centre: np.ndarray
    scale: np.ndarray
    freedom: np.ndarray
    weight: np.ndarray

    def log_density(self, actual: np.ndarray) -> np.ndarray:
        """Return the log density at each outcome, (outcome,)."""
        standard = (actual - self.centre) / self.scale
        log_t = stats.t.logpdf(standard, self.freedom) - np.log(self.scale)
        with np.errstate(divide="ignore"):  # a model without weight
            return np.asarray(logsumexp(log_t + np.log(self.weight)[:, None], axis=0))

    def cumulative(self, actual: np.ndarray) -> np.ndarray:
        """Return the probability of no more than each outcome, (outcome,)."""
        standard = (actual - self.centre) / self.scale
        return np.asarray(self.weight @ stats.t.cdf(standard, self.freedom))

    def draws(self, rng: np.random.Generator, count: int = _MOST_DRAWS) -> np.ndarray:
        """Return draws, (draw, outcome); outcomes of one draw share their component."""
        place = (np.arange(count) + rng.random()) / count
        row = np.searchsorted(np.cumsum(self.weight), place).clip(max=len(self.weight) - 1)
        noise = rng.standard_t(self.freedom[row], (count, self.centre.shape[1]))
        return self.centre[row] + self.scale[row] * noise


def mixed(parts: list[Mixture], weights: np.ndarray) -> Mixture:
    """Return the mixture of several predictive distributions of the same outcomes."""
    return Mixture(
        np.concatenate([part.centre for part in parts]),
        np.concatenate([part.scale for part in parts]),
        np.concatenate([part.freedom for part in parts]),
        np.concatenate([w * part.weight for part, w in zip(parts, weights, strict=True)]),
    )


def scored_mixture(
    mixture: Mixture, actual: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return log_score, pit, crps and quantiles of each outcome, (outcome,); densities exact."""
    found = scored_draws(mixture.draws(rng), actual)
    return found | {
        "log_score": -mixture.log_density(actual),
        "pit": mixture.cumulative(actual),
    }


def scored_draws(draws: np.ndarray, actual: np.ndarray) -> dict[str, np.ndarray]:
    """Return the same from draws, (draw, outcome), or from one draw: a forecast without spread.

    The log score is that of the normal distribution with the median and 90 % interval of the draws;
    without spread there is none, and the CRPS is the absolute error.
    """
    quantiles = np.quantile(draws, QUANTILES, axis=0)
    found = {f"q{100 * q:02.0f}": value for q, value in zip(QUANTILES, quantiles, strict=True)}
    if len(draws) == 1:
        nothing = np.full(len(actual), np.nan)
        return found | {"crps": np.abs(actual - draws[0]), "log_score": nothing, "pit": nothing}
    deviation = (quantiles[-1] - quantiles[0]) / (2 * stats.norm.ppf(0.95))
    below = np.mean(draws < actual, axis=0) + np.mean(draws == actual, axis=0) / 2
    return found | {
        "crps": np.asarray(scoringrules.crps_ensemble(actual, draws.T)),
        "log_score": np.asarray(scoringrules.logs_normal(actual, quantiles[2], deviation)),
        "pit": below,
    }


def skill(
    score: np.ndarray, reference: np.ndarray, cluster: np.ndarray, *, seed: int = 0
) -> tuple[float, float, float]:
    """Return (skill, low, high): 1 - mean score / mean reference, and its central 90 %.

    score, reference: (outcome,), of the same outcomes; cluster: (outcome,), outcomes that stand or
    fall together (those forecast on one date): clusters are resampled, not outcomes. Few clusters
    make the interval too narrow rather than too wide.
    """
    names, member = np.unique(cluster, return_inverse=True)
    sums = np.array([np.bincount(member, values) for values in (score, reference)])
    rows = np.random.default_rng(seed).integers(len(names), size=(4000, len(names)))
    again = sums[:, rows].sum(axis=-1)
    low, high = np.quantile(1 - again[0] / again[1], [0.05, 0.95])
    return float(1 - score.sum() / reference.sum()), float(low), float(high)


def stacking_weights(log_density: np.ndarray) -> np.ndarray:
    """Return the weights of models whose mixture has the best mean log score, (model,).

    log_density: (outcome, model), at outcomes that the models have not seen (Yao et al. 2018,
    Bayesian Analysis 13, 917-1007). The problem is convex; solved by EM for mixture proportions.
    """
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    weights = np.full(density.shape[1], 1 / density.shape[1])
    for _ in range(_EM_STEPS):
        weights = weights * np.mean(density / (density @ weights)[:, None], axis=0)
    return weights / weights.sum()
