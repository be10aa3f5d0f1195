"""Simulation-based calibration: whether a posterior is as wide as it says.

Truths are drawn from the prior and data from them; over many of these, the rank of the truth among
the posterior draws is uniform (Talts et al. 2018, arXiv 1804.06788). The data sets are passed to
the model as nodes, so that all replications share one compilation.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from . import importance
from .inference import PARETO_K_LIMIT
from .model_program import compile_model


def ranks(
    model: Callable[..., None],
    arguments: Mapping[str, Any],
    observed: str,
    *,
    replications: int,
    seed: int,
    nodes: np.ndarray | None = None,
    truth: Mapping[str, Any] | None = None,
    draws: int = 99,
    proposals: int = 1024,
) -> dict[str, np.ndarray]:
    """Return for each scalar of the model the share of posterior draws below the truth.

    model, arguments, observed: NumPyro function, its keyword arguments, which of them is data,
        (observation,); only the shape of that one matters
    nodes: (node, number), as of `inference.fit`, or None
    truth: arguments that differ where truths and data come from, to see that ranks then are not
        uniform (other priors, for example)

    Of each site's elements, ``name`` or ``name[k]`` -> (replication,). Those on which importance
    sampling fails its own check, where a fit takes NUTS, are left out: given any data at all the
    truth's rank is uniform, so that leaving out some data sets does not make the others less so.
    Raises ``ValueError`` if that is more than half of them.
    """
    rng = np.random.default_rng(seed)
    alternatives = np.zeros((1, 0)) if nodes is None else np.asarray(nodes, dtype=float)
    size = np.size(arguments[observed])
    example = np.append(alternatives[0], np.zeros(size))
    compiled, source = (
        compile_model(_with_data_as_node(model, given, observed, nodes), {}, example)
        for given in (arguments, {**arguments, **(truth or {})})
    )
    standard = rng.standard_normal((2, replications, compiled.size))
    at = alternatives[rng.integers(len(alternatives), size=replications)]
    no_data = np.concatenate([at, np.zeros((replications, size))], axis=1)
    true = source.evaluate(source.prior_points(standard[0], no_data), no_data)
    data = source.simulate(rng, *true.observed).reshape(replications, size)
    start = compiled.prior_points(standard[1], no_data)
    found: dict[str, list[float]] = {}
    for number in range(replications):
        here = np.concatenate([alternatives, np.tile(data[number], (len(alternatives), 1))], axis=1)
        flat, chosen, _, pareto_k = importance.sample(
            compiled.log_density,
            start,
            here,
            rng.integers(2**32, size=importance.ADAPTATIONS + 1, dtype=np.uint32),
            draws=draws,
            proposals=proposals,
            report=lambda chains: None,
        )
        if not pareto_k < PARETO_K_LIMIT:
            continue
        drawn = compiled.evaluate(flat, here[chosen]).values
        for name, share in _below(drawn, true.values, number, rng).items():
            found.setdefault(name, []).append(share)
    kept = len(next(iter(found.values()), []))
    if kept < replications / 2:
        raise ValueError(
            f"proposals: {kept} of {replications} data sets were sampled with {proposals}, "
            f"expected at least half; use more"
        )
    return {name: np.array(shares) for name, shares in found.items()}


def _with_data_as_node(
    model: Callable[..., None],
    arguments: Mapping[str, Any],
    observed: str,
    nodes: np.ndarray | None,
) -> Callable[..., None]:
    own = 0 if nodes is None else np.shape(nodes)[1]
    shape = np.shape(arguments[observed])

    def with_data(*, node: Any) -> None:
        more = {} if nodes is None else {"node": node[:own]}
        model(**{**arguments, observed: node[own:].reshape(shape), **more})

    return with_data


def _below(
    drawn: Mapping[str, np.ndarray],
    true: Mapping[str, np.ndarray],
    number: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the share of draws below the truth of each element, a random part of ties counted."""
    found: dict[str, float] = {}
    for name, values in drawn.items():
        columns = values.reshape(len(values), -1)
        truth = np.reshape(true[name][number], -1)
        tied = np.mean(columns == truth, axis=0)
        shares = np.mean(columns < truth, axis=0) + rng.random(len(truth)) * tied
        labels = [name] if len(truth) == 1 else [f"{name}[{k}]" for k in range(len(truth))]
        found |= dict(zip(labels, map(float, shares), strict=True))
    return found


def uniformity(shares: np.ndarray, bins: int) -> float:
    """Return the p-value of the chi-squared test that shares are uniform on 0 to 1."""
    counts, _ = np.histogram(shares, bins=bins, range=(0, 1))
    return float(stats.chisquare(counts).pvalue)
