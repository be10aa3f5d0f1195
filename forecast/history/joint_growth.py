"""Compute, spending, price-performance and algorithms: their rows, and rival models of them.

The model is in `joint_model`. Rivals differ in how often spending changes its growth, whether
growth rates share a factor beforehand, and whether compute is spending times price-performance.
"""

from math import inf
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..datasets import decimal_year, load_frame, table_info
from . import algorithmic_progress, price_performance, training_compute
from .joint_model import COMPUTE, LOG10_2, model
from .study import Draws, Rival, Study, priors
from .trend import Priors, anchor

TABLES = ("notable_models", "training_costs", "ml_hardware", "lm_algorithmic_progress")
# The table of costs calls them otherwise.
_NAMES_OF_COSTS = {"GPT-4 (Mar 2023)": "GPT-4", "Grok 3": "Grok-3"}
_BREAK_STEP_YEARS = {1: 1.0, 2: 2.0}


class Rows(NamedTuple):
    """The four records as one column.

    frame: name, year, kind (index of `KINDS`), value (log10, language: nat), standard_value (in
        standard deviations of its kind), partner (row of the run's compute, or -1)
    language: log_parameters, log_tokens, benchmark of the rows of that kind
    location, spread: (kind,), standard_value = (value - location) / spread
    """

    frame: pd.DataFrame
    language: pd.DataFrame
    location: np.ndarray
    spread: np.ndarray


def observations(
    runs: pd.DataFrame,
    costs: pd.DataFrame,
    language: pd.DataFrame,
    chips: pd.DataFrame,
) -> Rows:
    """Return all rows together.

    runs: frontier runs with name, year, log10_value [FLOP]; costs: name, log10_value [USD];
    language: as `algorithmic_progress.observations`; chips: name, year, log10_value
    """
    known_as = runs["name"].replace(_NAMES_OF_COSTS)
    usd = known_as.map(costs.drop_duplicates("name").set_index("name")["log10_value"])
    place = np.flatnonzero(usd.notna())
    paid = runs.iloc[place].assign(log10_value=usd.iloc[place], partner=place)
    compared = language.assign(log10_value=language["log_perplexity"])
    parts = [part.assign(kind=kind) for kind, part in enumerate((runs, paid, chips, compared))]
    frame = pd.concat(parts, ignore_index=True).rename(columns={"log10_value": "value"})
    frame = frame.assign(partner=frame["partner"].fillna(-1).astype(int))
    by_kind = frame.groupby("kind")["value"]
    location, spread = by_kind.mean().to_numpy(), by_kind.std().to_numpy()
    kind = frame["kind"].to_numpy()
    frame["standard_value"] = (frame["value"] - location[kind]) / spread[kind]
    columns = ["name", "year", "kind", "value", "standard_value", "partner"]
    covariates = language[["log_parameters", "log_tokens", "benchmark"]]
    return Rows(frame[columns], covariates, location, spread)


def _table(name: str) -> pd.DataFrame:
    frame = load_frame(name)
    names = frame["name" if "name" in frame else "model"].astype(str)
    year = decimal_year(frame[table_info(name).date_column].to_numpy())
    return frame.assign(name=names, year=year)[~np.isnan(year)]


def frontier(as_of_year: float = inf) -> Rows:
    """Return the rows up to a date: runs among the ten largest at release, since 2010."""
    models, costs, hardware, language = (_table(name) for name in TABLES)
    runs = training_compute.observations(
        models, as_of_year=as_of_year, since_year=2010.0, reading="top-n", top_n=10
    )
    column = "amortized_hardware_energy_cost_usd"
    paid = costs[costs[column] > 0]
    paid = paid.assign(log10_value=np.log10(paid[column]))
    chips = price_performance.observations(costs, hardware, as_of_year=as_of_year)
    return observations(
        runs,
        paid[["name", "log10_value"]],
        algorithmic_progress.observations(language, as_of_year=as_of_year),
        chips[chips["group"] == 1][["name", "year", "log10_value"]],
    )


def break_nodes(years: np.ndarray, breaks: int) -> np.ndarray | None:
    """Return dates of ``breaks`` bends of spending, (node, break) [yr]; None for no bend.

    Every year for one, every other year for two; at least a year from the ends of the record.
    """
    if breaks == 0:
        return None
    last, step = years.max() - 1, _BREAK_STEP_YEARS[breaks]
    grid = np.arange(last, years.min() + 1, -step)[::-1]
    if breaks == 1:
        return grid[:, None]
    first, second = np.triu_indices(len(grid), k=1)
    return np.stack([grid[first], grid[second]], axis=1)


def arguments(
    rows: Rows, given: Priors, *, breaks: int, identity: bool, factor: bool
) -> dict[str, Any]:
    """Return the keyword arguments of `model`; they stay arrays of NumPy."""
    columns = ("year", "kind", "standard_value", "partner")
    return {
        **{name: rows.frame[name].to_numpy() for name in columns},
        **{str(name): rows.language[name].to_numpy() for name in rows.language},
        **{"location": rows.location, "spread": rows.spread, "priors": given},
        **{"breaks": breaks, "identity": identity, "factor": factor},
    }


class World(NamedTuple):
    """Growth [OOM/yr] of the last segment and levels at a date, by draw (chain, draw).

    spending [log10 USD], price_performance [log10 FLOP/USD] and compute [log10 FLOP] are trends of
    frontier runs, not the largest; compute is the sum of the others only with the identity.
    """

    spending_growth: np.ndarray
    price_performance_growth: np.ndarray
    compute_growth: np.ndarray
    algorithms_growth: np.ndarray
    spending: np.ndarray
    price_performance: np.ndarray
    compute: np.ndarray


def world(draws: Draws, start: float, at: float) -> World:
    """Return what the draws of `model` say at a date; start: the date of its levels [yr]."""
    spending = _growth_by_segment(draws, "spending")
    price = _growth_by_segment(draws, "price_performance")[..., 0]
    usd, flop_per_usd = draws["log10_spending_at_anchor"], draws["log10_flop_per_usd_at_anchor"]
    bends = draws.get("change_point_years", np.zeros((*usd.shape, 0)))
    now_per_usd = flop_per_usd + price * (at - start)
    if "compute_doubling_time_years" in draws:
        own = _growth_by_segment(draws, "compute")
        now_usd = usd + spending[..., 0] * (at - start)
        compute, compute_growth = usd + flop_per_usd + _rise(own, bends, start, at), own[..., -1]
    else:
        now_usd = usd + _rise(spending, bends, start, at)
        compute, compute_growth = now_usd + now_per_usd, spending[..., -1] + price
    return World(
        spending[..., -1],
        price,
        compute_growth,
        _growth_by_segment(draws, "algorithms")[..., 0],
        now_usd,
        now_per_usd,
        compute,
    )


def _growth_by_segment(draws: Draws, name: str) -> np.ndarray:
    """Return growth, (chain, draw, segment) [OOM/yr]."""
    site = f"{name}_doubling_time_years"
    several = sorted(key for key in draws if key.startswith(f"{site}_segment"))
    return np.stack([LOG10_2 / draws[key] for key in several or [site]], axis=-1)


def _rise(growth: np.ndarray, bends: np.ndarray, start: float, at: float) -> np.ndarray:
    """Return the rise of a piecewise linear trend between two dates [OOM]."""
    past = np.maximum(at - bends, 0) - np.maximum(start - bends, 0)
    return growth[..., 0] * (at - start) + np.sum(np.diff(growth, axis=-1) * past, axis=-1)


def quantities(draws: Draws, start: float, at: float) -> dict[str, np.ndarray]:
    """Return what readers want, (chain, draw); ``latest`` is the date ``at``.

    Correlations are between draws of a chain, so that their spread is the Monte Carlo error.
    """
    found = world(draws, start, at)
    growth = {
        "spending": found.spending_growth,
        "price_performance": found.price_performance_growth,
        "compute": found.compute_growth,
        "algorithms": found.algorithms_growth,
        "effective_compute": found.compute_growth + found.algorithms_growth,
    }
    unexplained = found.compute_growth - found.spending_growth - found.price_performance_growth
    pairs = [("spending", "price_performance"), ("spending", "algorithms")]
    pairs += [("price_performance", "algorithms"), ("compute", "algorithms")]
    own = {"growth_correlation": "prior_correlation_of_growth", "cost_response": "cost_response"}
    bends = draws.get("change_point_years", np.zeros((*found.compute.shape, 0)))
    return (
        {f"{name}_growth_oom_per_year": value for name, value in growth.items()}
        | {f"{name}_doubling_time_years": LOG10_2 / value for name, value in growth.items()}
        | {"spending_share_of_compute_growth": found.spending_growth / found.compute_growth}
        | {"compute_growth_not_bought_oom_per_year": unexplained}
        | {
            "spending_latest_log10_usd": found.spending,
            "price_performance_latest_log10_flop_per_usd": found.price_performance,
            "compute_latest_log10_flop": found.compute,
        }
        | {f"change_point_{k + 1}_year": bends[..., k] for k in range(bends.shape[-1])}
        | {f"correlation_{a}_and_{b}": _correlation(growth[a], growth[b]) for a, b in pairs}
        | {name: draws[site] for site, name in own.items() if site in draws}
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation over the draws of each chain, repeated for each draw."""
    by_chain = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    return np.repeat(np.array(by_chain)[:, None], a.shape[1], axis=1)


def joint_growth(*, as_of_year: float = inf) -> Study:
    """Return the four records with the joint model and its rivals."""
    rows = frontier(as_of_year)
    year = rows.frame["year"][rows.frame["kind"] == COMPUTE].to_numpy()

    def rival(claim: str, breaks: int, *, identity: bool = True, factor: bool = True) -> Rival:
        own = arguments(
            rows, priors("joint-growth"), breaks=breaks, identity=identity, factor=factor
        )
        start, latest = anchor(year), float(year.max())
        nodes = break_nodes(year, breaks)
        return Rival(claim, model, own, lambda draws: quantities(draws, start, latest), nodes)

    return Study(
        "Compute, spending, price-performance and algorithms together",
        TABLES,
        rows.frame,
        "standard_value",
        "standard deviations of each kind",
        {
            "joint": rival("compute is spending times price-performance; growth is shared", 0),
            "joint-1-break": rival("the same, spending changes its growth once", 1),
            "unrelated-growth": rival(
                "compute is the product, growth rates are unrelated", 0, factor=False
            ),
            "separate": rival(
                "each record has a trend of its own", 0, identity=False, factor=False
            ),
        },
    )
