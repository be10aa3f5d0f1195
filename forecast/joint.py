"""Four records of a scenario from one joint fit, so that a draw of them is one world.

The model (`history.joint_model`) is fitted with no and one change of the growth of spending,
and these are averaged as the trend of training compute is by itself. It is told as four records,
each with its rows and parameters; a draw has the same number in all. The frontier of spending is
that of compute over what a dollar buys.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import softmax

from .config import Scenario, TrainingCompute
from .history import joint_growth, training_compute
from .history.joint_model import CHIPS, COMPUTE, COST, LANGUAGE, LOG10_2, model
from .history.study import Draws, priors
from .history.trend import anchor
from .inference import Fit, fit
from .leave_one_out import leave_one_out
from .provenance import RECORDS
from .records import (
    Record,
    fitted_priors,
    labelled,
    part_seed,
    provenance_of,
    read_record,
    sampler_settings,
)

_BREAKS = (0, 1)  # two pass the gate, but are too ragged for leave-one-out
_KINDS = dict(zip(RECORDS, (COMPUTE, COST, CHIPS, LANGUAGE), strict=True))
_OBSERVED = {record: "log10_value" for record in RECORDS[:-1]} | {RECORDS[-1]: "log_perplexity"}
# Parameters of the model -> of the records that tell them
_OWN = {
    "training_compute": {
        "compute_degrees_of_freedom": "degrees_of_freedom",
        "scatter_growth_per_year": "scatter_growth_per_year",
    },
    "spending": {
        "spending_degrees_of_freedom": "degrees_of_freedom",
        "cost_response": "cost_response",
    },
    "price_performance": {"chips_degrees_of_freedom": "degrees_of_freedom"},
    "algorithmic_progress": {
        "algorithms_degrees_of_freedom": "degrees_of_freedom",
        **{
            name: name
            for name in (
                *("growth_correlation", "parameter_share", "parameter_elasticity"),
                *("data_elasticity", "log_reference_loss", "parameter_part_of_loss"),
                *("parameter_exponent", "data_exponent", "alpha_year", "beta_year"),
                "residual_scale_nat",
            )
        },
    },
}
Arrays = dict[str, np.ndarray]
Report = Callable[[str, int, int], None]


def fit_jointly(scenario: Scenario, report: Report, checkpoints: Path) -> xr.DataTree:
    """Return a tree with a child for each of `provenance.RECORDS`, as `records.labelled` has it."""
    records = {name: read_record(scenario, name) for name in RECORDS}
    section = scenario.training_compute
    assert section is not None
    rows = joint_rows(records)
    counts = _counts(section)
    fits = {}
    for place, count in enumerate(counts):

        def at(done: int, total: int, place: int = place) -> None:
            report("joint", place * total + done, len(counts) * total)

        fits[count] = _fit(scenario, rows, count, at, checkpoints / str(count))
    scores = _scores(fits, section)
    mix = _mixture(scores["weight"].to_numpy(), fits, scenario.seed)
    tree = xr.DataTree()
    for name, record in records.items():
        tree[name] = _told(name, record, rows, list(fits.values()), mix)
        tree[name].attrs["data"] = json.dumps({t: provenance_of(t) for t in record.tables})
    if section.change_points == "average":
        tree["training_compute/change_points"] = xr.DataTree(scores)
    return tree


def joint_rows(records: Mapping[str, Record]) -> joint_growth.Rows:
    """Return the rows of the joint model: of costs, those of runs that are in the record."""
    price = records["price_performance"].rows
    return joint_growth.observations(
        records["training_compute"].rows,
        records["spending"].rows,
        records["algorithmic_progress"].rows,
        price[price["group"] == 1][["name", "year", "log10_value"]],
    )


def joint_priors(scenario: Scenario) -> dict[str, Any]:
    """Return the priors of the joint model: the scenario's, and what only this model asks for.

    Compute has no prior of its growth here, which is that of spending and price-performance.
    """
    compute, usd, price, algorithms = (fitted_priors(getattr(scenario, name)) for name in RECORDS)
    extra = priors("joint-growth")
    scatter = {
        f"{kind}_{name}": section[name]
        for kind, section in (("compute", compute), ("spending", usd), ("chips", price))
        for name in ("residual_scale_oom", "degrees_of_freedom")
    }
    law = ("parameter_elasticity", "data_elasticity", "log_reference_loss", "residual_scale_nat")
    growing = {"scatter_growth_per_year"} & set(compute)
    return (
        {name: extra[name] for name in ("growth_correlation", "cost_response")}
        | scatter
        | {name: compute[name] for name in growing}
        | {name: algorithms[name] for name in law}
        | {
            "residual_scale_oom": compute["residual_scale_oom"],
            "degrees_of_freedom": algorithms["degrees_of_freedom"],
            "spending_doubling_time_years": usd["doubling_time_years"],
            "price_performance_doubling_time_years": price["doubling_time_years"],
            "algorithms_doubling_time_years": algorithms["doubling_time_years"],
            "log10_spending_at_anchor": usd["log10_level_at_anchor"],
            "log10_flop_per_usd_at_anchor": price["log10_level_at_anchor"],
            "log10_chips_at_anchor": price["log10_level_at_anchor"],
        }
    )


def _fit(
    scenario: Scenario,
    rows: joint_growth.Rows,
    breaks: int,
    progress: Callable[[int, int], None],
    checkpoints: Path,
) -> Fit:
    return fit(
        model,
        joint_growth.arguments(
            rows, joint_priors(scenario), breaks=breaks, identity=True, factor=True
        ),
        seed=part_seed(scenario, "joint", str(breaks)),
        nodes=joint_growth.break_nodes(_years(rows), breaks),
        settings=sampler_settings(scenario),
        progress=progress,
        checkpoints=checkpoints,
    )


def _years(rows: joint_growth.Rows) -> np.ndarray:
    return rows.frame["year"][rows.frame["kind"] == COMPUTE].to_numpy()


def _counts(section: TrainingCompute) -> tuple[int, ...]:
    """Return how many changes of growth are tried."""
    if section.change_points != "average":
        return (section.change_points,)
    given = _given(section)
    return tuple(count for count in _BREAKS if given is None or given[count] > 0)


def _given(section: TrainingCompute) -> tuple[float, ...] | None:
    """Return the weights of 0 and 1 change if the section gives any; its 2 and 3 count as 1."""
    weights = section.change_point_weights
    return weights and (weights[0], sum(weights[1:]))


def _scores(fits: Mapping[int, Fit], section: TrainingCompute) -> xr.Dataset:
    """Return the leave-one-out score and the weight of each number of changes of growth."""
    trees = (
        xr.DataTree.from_dict({"log_likelihood": _dataset(each), "posterior": _one(each)})
        for each in fits.values()
    )
    loo = [leave_one_out(tree) for tree in trees]
    given = _given(section)
    weights = softmax([np.nan_to_num(float(each.elpd), nan=-np.inf) for each in loo])
    if given is not None:
        weights = np.array([given[count] for count in fits])
    return xr.Dataset(
        {
            "elpd_loo": ("model", [float(each.elpd) for each in loo]),
            "elpd_loo_se": ("model", [float(each.se) for each in loo]),
            "largest_pareto_k_loo": ("model", [float(each.pareto_k.max()) for each in loo]),
            "weight": ("model", weights),
        },
        coords={"model": list(fits)},
    )


def _dataset(result: Fit) -> xr.Dataset:
    return xr.Dataset({"value": (("chain", "draw", "row"), result.log_likelihood)})


def _one(result: Fit) -> xr.Dataset:
    return xr.Dataset({"cost_response": (("chain", "draw"), result.draws["cost_response"])})


def _mixture(
    weights: np.ndarray, fits: Mapping[int, Fit], seed: int
) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """Return the function that takes each draw from one of several models, by their weights."""
    draws = next(iter(fits.values())).log_likelihood.shape[1]
    edges = np.rint(np.cumsum(weights) * draws).astype(int)
    chosen = np.searchsorted(edges, np.arange(draws), side="right")
    order = np.random.default_rng(seed).permutation(draws)

    def mix(parts: Sequence[np.ndarray]) -> np.ndarray:
        pieces = [part[:, chosen == k] for k, part in enumerate(parts)]
        return np.concatenate(pieces, axis=1)[:, order]

    return mix


def _told(
    name: str,
    record: Record,
    rows: joint_growth.Rows,
    fits: Sequence[Fit],
    mix: Callable[[Sequence[np.ndarray]], np.ndarray],
) -> xr.DataTree:
    """Return one record's part of the fits, averaged, as a labelled tree."""
    own, kind = rows.frame["kind"].to_numpy() == _KINDS[name], _KINDS[name]
    years, now = _years(rows), record.as_of_year
    observed = _OBSERVED[name]
    frame = rows.frame[own].rename(columns={"value": observed})[["name", "year", observed]]

    def mixed(parts: Sequence[Arrays]) -> Arrays:
        return {key: mix([part[key] for part in parts]) for key in parts[0]}

    def value(standard: np.ndarray) -> np.ndarray:
        found: np.ndarray = standard[..., own] * rows.spread[kind] + rows.location[kind]
        return found

    whole = Fit(
        draws=mixed([parameters(name, each.draws, years) for each in fits]),
        log_likelihood=mix([each.log_likelihood[..., own] for each in fits]),
        predictive=mix([value(each.predictive) for each in fits]),
        statistics={
            key: mix([each.statistics[key] for each in fits])
            for key in fits[0].statistics
            if all(key in each.statistics for each in fits)
        },
        prior=parameters(name, fits[0].prior, years),
        prior_predictive=value(fits[0].prior_predictive),
        sampler="nuts" if any(each.sampler == "nuts" for each in fits) else "importance",
        pareto_k=float(np.nanmax([0.0, *(each.pareto_k for each in fits)])),
        predict=lambda rng: mix([value(each.predict(rng)) for each in fits]),
    )
    columns = mixed([columns_of(name, each.draws, years, now) for each in fits])
    path = None
    if name != "algorithmic_progress":
        grid = np.append(np.arange(np.ceil(frame["year"].min()), now, 0.5), now)
        path = grid, mix([_path(name, each.draws, years, grid, now) for each in fits])
    return labelled(record._replace(rows=pd.DataFrame(frame)), whole, columns, path)


def parameters(name: str, draws: Draws, years: np.ndarray) -> Arrays:
    """Return the parameters of a record from the draws of the joint model.

    years: of the runs, (run,)
    """
    start = anchor(years)
    world = joint_growth.world(draws, start, start)
    growth, level = {
        "training_compute": (world.compute_growth, [world.compute]),
        "spending": (world.spending_growth, [world.spending]),
        "price_performance": (
            world.price_performance_growth,
            [world.price_performance, draws["log10_chips_at_anchor"]],
        ),
        "algorithmic_progress": (world.algorithms_growth, []),
    }[name]
    found = {own: draws[key] for key, own in _OWN[name].items() if key in draws}
    found["doubling_time_years"] = LOG10_2 / growth
    if level:
        kind = {"training_compute": "compute", "price_performance": "chips"}.get(name, name)
        found["log10_level_at_anchor"] = np.stack(level, axis=-1)
        found["residual_scale_oom"] = draws[f"{kind}_residual_scale_oom"][..., None]
    return found


def columns_of(name: str, draws: Draws, years: np.ndarray, now: float) -> Arrays:
    """Return what the forecast takes from each draw of a record: frontier now, doubling time."""
    found = {"doubling_time_years": parameters(name, draws, years)["doubling_time_years"]}
    if name == "algorithmic_progress":
        return found
    return found | {"log10_level": _path(name, draws, years, np.array([now]), now)[..., 0]}


def _path(name: str, draws: Draws, years: np.ndarray, grid: np.ndarray, now: float) -> np.ndarray:
    """Return a record's frontier at some dates, (chain, draw, date).

    As `training_compute.frontier_excess_oom` reads it: above the trend by what it is now.
    """
    start = anchor(years)
    at = [joint_growth.world(draws, start, float(date)) for date in grid]
    if name == "price_performance":
        return np.stack([world.price_performance for world in at], axis=-1)
    own = parameters("training_compute", draws, years)
    excess = training_compute.frontier_excess_oom(own, years, as_of_year=now, reading="top-n")
    trend = [world.spending if name == "spending" else world.compute for world in at]
    return np.stack(trend, axis=-1) + excess[..., None]
