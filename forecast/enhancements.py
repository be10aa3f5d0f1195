"""What post-training enhancements are worth together, and who can afford them.

Joint draws of the gains of the five classes of Davidson et al. (2023) from stated priors
(`priors/published_enhancements.toml`): log-normal, with one common factor, since all were measured
alike. Single gains being little known, every rule of combination is shown. Draws come from NumPy
with a seed; the arithmetic is that of `kernels.post_training`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd

from ..kernels import post_training
from ..priors.elicitation import Interval, location_scale
from ..priors.published_enhancements import enhancement_prior, published_enhancements

GROWTH_PER_YEAR = 4.7  # of the training compute of notable models since 2010 (Epoch AI 2025)
RULES = post_training.RULES


class Enhancements(NamedTuple):
    """Joint draws, (draw, class): gains [OOM], one-time cost [training cost], inference factor.

    exponent: (draw,), of the product in the rule "power"
    """

    classes: tuple[str, ...]
    gain_oom: np.ndarray
    one_time_share: np.ndarray
    inference_factor: np.ndarray
    exponent: np.ndarray


def draw_enhancements(draws: int = 10_000, *, seed: int = 0) -> Enhancements:
    """Return joint draws of the five classes; ``ValueError`` for fewer than one draw."""
    if draws < 1:
        raise ValueError(f"draws: got {draws}, expected at least 1")
    book = published_enhancements()
    classes, combination = book["classes"], book["combination"]
    rng = np.random.default_rng(seed)
    size = (draws, len(classes))
    common = np.sqrt(combination["correlation"]) * rng.standard_normal((draws, 1))
    own = np.sqrt(1 - combination["correlation"]) * rng.standard_normal(size)
    shares, factors = rng.standard_normal((2, *size))
    low, high = combination["exponent"]["uniform"]

    def of_all(field: str, standard: np.ndarray, otherwise: float) -> np.ndarray:
        columns = [
            _quantile(enhancement_prior(entry[field]), standard[:, number])
            if field in entry
            else np.full(draws, otherwise)
            for number, entry in enumerate(classes.values())
        ]
        return np.stack(columns, axis=1)

    return Enhancements(
        tuple(classes),
        np.log10(of_all("gain", common + own, 1.0)),
        of_all("one_time_share", shares, 0.0),
        of_all("inference_factor", factors, 1.0),
        rng.uniform(low, high, draws),
    )


def _quantile(prior: Interval, standard: np.ndarray) -> np.ndarray:
    """Return the values of a log-normal prior at standard normal numbers."""
    found = location_scale(*prior)
    if found.is_uniform or not found.is_log:
        raise ValueError(f"prior: got {prior.kind!r}, expected 'lognormal'")
    return np.asarray(np.exp(found.location + found.scale * standard))


def combined_gain_oom(drawn: Enhancements, rule: str, *, used: Sequence[str] = ()) -> np.ndarray:
    """Return the gain of some classes together, (draw,) [OOM]; used: default all of them.

    Raises ``ValueError`` for an unknown rule or class.
    """
    with jax.enable_x64(True):
        columns = drawn.gain_oom[:, _columns(drawn, used)]
        return np.asarray(post_training.combined_gain_oom(columns, rule, drawn.exponent))


def _columns(drawn: Enhancements, used: Sequence[str]) -> list[int]:
    for name in used:
        if name not in drawn.classes:
            raise ValueError(f"used: got {name!r}, expected some of {', '.join(drawn.classes)}")
    return [number for number, name in enumerate(drawn.classes) if not used or name in used]


def years_gained(gain_oom: np.ndarray, growth_per_year: float = GROWTH_PER_YEAR) -> np.ndarray:
    """Return by how many years a gain is ahead of the growth of compute [yr].

    Raises ``ValueError`` unless compute grows.
    """
    if not growth_per_year > 1:
        raise ValueError(f"growth_per_year: got {growth_per_year}, expected above 1")
    with jax.enable_x64(True):
        return np.asarray(post_training.years_gained(gain_oom, growth_per_year))


def one_time_share(drawn: Enhancements, used: Sequence[str] = ()) -> np.ndarray:
    """Return the one-time cost of some classes together, (draw,), as a part of training's."""
    return np.asarray(drawn.one_time_share[:, _columns(drawn, used)].sum(axis=1))


def inference_factor(drawn: Enhancements, used: Sequence[str] = ()) -> np.ndarray:
    """Return by what factor some classes together make inference dearer, (draw,)."""
    return np.asarray(drawn.inference_factor[:, _columns(drawn, used)].prod(axis=1))


def who_can_afford(
    drawn: Enhancements,
    budgets_usd: Sequence[float],
    *,
    log10_threshold_flop: float | np.ndarray,
    log10_flop_per_usd: float | np.ndarray,
    used: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the probability that an actor with a budget gets a capability, a row for each budget.

    The capability takes so much effective compute. An actor may train alone, or train and enhance
    (columns trains, trains_enhanced_max, _product, _power), or, where such a model of somebody else
    is at hand that falls short of it by no more than the gain, only enhance that one
    (enhances_max, ...): the one-time cost is all it takes. Columns are probabilities; threshold and
    price may be draws too, (draw,).
    Raises ``ValueError`` for a budget that is not positive.
    """
    budget = np.asarray(budgets_usd, dtype=float)
    if not np.all(budget > 0):
        raise ValueError(f"budgets_usd: got {list(budgets_usd)}, expected positive numbers")
    count = (len(drawn.exponent), 1)
    threshold = np.broadcast_to(np.reshape(log10_threshold_flop, (-1, 1)), count)
    price = np.broadcast_to(np.reshape(log10_flop_per_usd, (-1, 1)), count)
    share = one_time_share(drawn, used)[:, None]
    flop = np.log10(budget) + price
    found: dict[str, Any] = {"budget_usd": budget, "trains": np.mean(flop >= threshold, axis=0)}
    for rule in RULES:
        gain = combined_gain_oom(drawn, rule, used=used)[:, None]
        with jax.enable_x64(True):
            effective = np.asarray(post_training.effective_flop_log10(flop, gain, share))
        found[f"trains_enhanced_{rule}"] = np.mean(effective >= threshold, axis=0)
        # The other's model need only be worth the threshold less the gain.
        with np.errstate(divide="ignore"):
            cost = np.log10(share) + threshold - gain
        found[f"enhances_{rule}"] = np.mean(flop >= cost, axis=0)
    return pd.DataFrame(found)


def enhancement_table(drawn: Enhancements) -> pd.DataFrame:
    """Return gains, costs and years, a row for each class and each rule that combines all.

    Columns: gain_oom and years at 4.7 times a year (5, 50, 95 %), and the probabilities that the
    gain is over 5 and 20 and that the one-time cost is below 1 % of training.
    """
    rows = {name: (drawn.gain_oom[:, k], [name]) for k, name in enumerate(drawn.classes)}
    rows |= {f"all: {rule}": (combined_gain_oom(drawn, rule), []) for rule in RULES}
    return pd.DataFrame(
        {name: _summary(drawn, gain, used) for name, (gain, used) in rows.items()}
    ).T


def _summary(drawn: Enhancements, gain: np.ndarray, used: Sequence[str]) -> dict[str, float]:
    found: dict[str, Any] = {}
    for name, values in (("gain_oom", gain), ("years_gained", years_gained(gain))):
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        found |= {f"{name}_q05": low, f"{name}_q50": middle, f"{name}_q95": high}
    found["over_5"] = np.mean(gain > np.log10(5))
    found["over_20"] = np.mean(gain > np.log10(20))
    found["one_time_below_1_percent"] = np.mean(one_time_share(drawn, used) < 0.01)
    found["inference_factor_q50"] = np.median(inference_factor(drawn, used))
    return {name: float(value) for name, value in found.items()}
