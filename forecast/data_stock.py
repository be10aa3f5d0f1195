"""The stock of public text, and when the largest training set meets it (Villalobos et al. 2024).

arXiv 2211.04325v2, in the terms of the code of the paper:

    raw stock = pages x bytes per page / bytes per token              [tokens on 1 January 2024]
    effective stock = raw stock x usable share x repetition factor
    stock(t) = stock x (page count factor x page size factor)^(t - 2024)
    use(t) = largest set x 10^(growth (t - date))
    run-out: use(t) = stock(t), linear in t on the log scale

A Monte Carlo of independent inputs, not a fit: the priors are the section ``data-stock`` of the set
``history``. Use is either theirs or the posterior of a study of training sets. Overtraining by a
factor puts so much more data into the same compute.

Their bytes per token, 6 less a log-normal number, are negative in one draw of a thousand; these
draws are left out here. Their date of 2028 mixes this run-out in equal parts with one from
projected training compute, whose table is not public.
"""

from math import inf
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special
from scipy.stats import qmc

from ..priors.elicitation import Interval, location_scale
from ..priors.prior_sets import load_prior_set

STOCK_YEAR = 2024.0
SAMPLES = 2**14
_QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)


class Stock(NamedTuple):
    """Draws of the stock of text on 1 January 2024 [tokens], and of its growth [OOM/yr].

    raw: indexed web; usable: what cleaning leaves; effective: with what repetition is worth
    """

    raw: np.ndarray
    usable: np.ndarray
    effective: np.ndarray
    growth_oom_per_year: np.ndarray


class Use(NamedTuple):
    """Draws of the largest training set at a date: log10 tokens, and growth [OOM/yr]."""

    log10_tokens: np.ndarray
    growth_oom_per_year: np.ndarray
    year: float


def inputs(samples: int = SAMPLES, seed: int = 0) -> dict[str, np.ndarray]:
    """Return quasi-random draws of the inputs, name -> (draw,); fewer than ``samples`` by 0.1 %.

    samples: a power of two
    """
    section = load_prior_set("history")["data-stock"]
    uniform = qmc.Sobol(len(section), rng=np.random.default_rng(seed)).random(samples)
    drawn = {
        name: _quantile(uniform[:, k], **entry) for k, (name, entry) in enumerate(section.items())
    }
    possible = drawn["six_less_bytes_per_token"] < 6
    return {name: value[possible] for name, value in drawn.items()}


def _quantile(
    share: np.ndarray, source: str, mass: float = 0.9, **pair: tuple[float, float]
) -> np.ndarray:
    ((kind, (low, high)),) = pair.items()
    location, scale, is_uniform, is_log = location_scale(*Interval(kind, low, high, mass))
    value = location + scale * (share if is_uniform else special.ndtri(share))
    return np.exp(value) if is_log else value


def stock(drawn: dict[str, np.ndarray]) -> Stock:
    """Return the stock from draws of the `inputs`."""
    tokens_per_page = drawn["bytes_per_page"] / (6 - drawn["six_less_bytes_per_token"])
    raw = drawn["pages"] * tokens_per_page
    usable = raw * drawn["usable_share"]
    growth = drawn["page_count_factor_per_year"] * drawn["page_size_factor_per_year"]
    return Stock(raw, usable, usable * drawn["repetition_factor"], np.log10(growth))


def published_use(drawn: dict[str, np.ndarray]) -> Use:
    """Return use as Villalobos et al. (2024) project it from the growth of training sets."""
    largest = np.log10(drawn["largest_set_2024_tokens"])
    return Use(largest, drawn["use_growth_oom_per_year"], STOCK_YEAR)


def fitted_use(
    tree: xr.DataTree, samples: int, *, log10_tokens: np.ndarray | None = None, seed: int = 0
) -> Use:
    """Return use as a fitted study of training sets has it.

    tree: of `studies.fit_study`; its rivals count by their stacking weights. samples: draws
    log10_tokens: draws of the largest set on 1 January 2024; default the trend of the study at the
        end of its record, which suits a record of the largest sets
    """
    comparison = tree["comparison"].to_dataset()
    weight = comparison["stacking_weight"].to_numpy()
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(weight), size=samples, p=weight / weight.sum())
    level, growth, last = np.empty(samples), np.empty(samples), -inf
    for number, name in enumerate(comparison["rival"].to_numpy()):
        node = tree[str(name)]
        found = node["quantities"].to_dataset()
        here = np.flatnonzero(chosen == number)
        row = rng.integers(found["growth_oom_per_year"].size, size=len(here))
        level[here] = found["log10_tokens_at_end"].to_numpy().ravel()[row]
        growth[here] = found["growth_oom_per_year"].to_numpy().ravel()[row]
        last = max(last, float(node["observed_data"]["year"].max()))
    if log10_tokens is not None:
        return Use(log10_tokens, growth, STOCK_YEAR)
    return Use(level, growth, last)


def run_out_year(found: Stock, use: Use, *, overtraining: float = 1.0) -> np.ndarray:
    """Return the date on which use meets the effective stock, (draw,) [yr].

    Infinite where use does not grow faster; before ``use.year`` where it was met already.
    overtraining: factor on use. Raises ``ValueError`` if it is not positive.
    """
    if not overtraining > 0:
        raise ValueError(f"overtraining: got {overtraining}, expected a positive factor")
    then = np.log10(found.effective) + found.growth_oom_per_year * (use.year - STOCK_YEAR)
    distance = then - use.log10_tokens - np.log10(overtraining)
    gain = use.growth_oom_per_year - found.growth_oom_per_year
    with np.errstate(divide="ignore", invalid="ignore"):
        years = np.where(gain > 0, distance / gain, np.where(distance > 0, inf, -inf))
    return use.year + years


def run_out_table(
    uses: dict[str, Use], found: Stock, overtraining: tuple[float, ...] = (1.0, 5.0)
) -> pd.DataFrame:
    """Return quantiles of the date of run-out, one row for each use and factor of overtraining.

    Columns: use, overtraining, growth_oom_per_year and tokens_then (medians), q2.5 to q97.5 [yr],
    by_2030 (probability).
    """
    rows = []
    for name, use in uses.items():
        for factor in overtraining:
            year = run_out_year(found, use, overtraining=factor)
            quantiles = np.quantile(year, _QUANTILES, method="inverted_cdf")
            rows.append(
                {
                    "use": name,
                    "overtraining": factor,
                    "growth_oom_per_year": float(np.median(use.growth_oom_per_year)),
                    "tokens_then": float(10 ** np.median(use.log10_tokens)),
                    **{
                        f"q{100 * q:g}": float(at)
                        for q, at in zip(_QUANTILES, quantiles, strict=True)
                    },
                    "by_2030": float(np.mean(year < 2030)),
                }
            )
    return pd.DataFrame(rows)
