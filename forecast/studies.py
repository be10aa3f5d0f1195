"""The historical record, study by study: rival models fitted, judged, compared.

A study is a function of `history`; this module fits its rivals and labels the result.
"""

import json
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.resources import files
from math import inf
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..priors.prior_sets import load_prior_set
from . import checks
from .averaging import verdict_of
from .datasets import table_info
from .history.study import Rival, Study
from .leave_one_out import leave_one_out
from .provenance import fit_code_key
from .records import Record, labelled, provenance_of
from .storage import cached_tree

Report = Callable[[str, int, int], None]

_FEWEST_ROWS = 5
# id -> "module of history:function", which takes ``as_of_year`` (later rows are left out)
STUDIES: dict[str, str] = {
    "training-compute-eras": "compute_eras:eras",
    "training-compute-eras-2026": "compute_eras:eras_2026",
    "training-compute-domains": "compute_domains:by_domain",
    "training-compute-frontier": "compute_disclosure:frontier",
    "training-compute-disclosure": "compute_disclosure:disclosure",
    "language-progress": "language_progress:progress",
    "vision-progress": "vision_progress:progress",
    "time-horizons": "time_horizons:time_horizons",
    "time-horizons-80": "time_horizons:time_horizons_80",
    "time-horizons-all-models": "time_horizons:all_models",
    "capabilities-index": "capabilities:frontier",
    "capabilities-index-compute": "capabilities:by_compute",
    "hardware-flop-per-second": "hardware:flop_per_second",
    "hardware-formats": "hardware:formats",
    "hardware-price-performance": "hardware:price_performance",
    "hardware-energy-efficiency": "hardware:energy_efficiency",
    "training-cost": "money:training_cost",
    "company-compute-spend": "money:company_compute_spend",
    "company-revenue": "money:company_revenue",
    "chip-stock": "capacity:chip_stock",
    "clusters": "capacity:clusters",
    "cluster-power": "capacity:cluster_power",
    "data-center-power": "capacity:data_center_power",
    "data-center-chips": "capacity:data_center_chips",
    "model-size-language": "model_size:language",
    "model-size-vision": "model_size:vision",
    "model-size-language-2022": "model_size:language_2022",
    "model-size-vision-2022": "model_size:vision_2022",
    "model-size-2022": "model_size:all_2022",
    "parameter-gap": "parameter_gap:notable",
    "parameter-gap-all": "parameter_gap:all_systems",
    "dataset-size": "training_data:all_sets",
    "dataset-size-largest": "training_data:largest",
    "joint-growth": "joint_growth:joint_growth",
}


def study_ids() -> list[str]:
    """Return the ids of all studies, in the order of the documentation."""
    return list(STUDIES)


def check_study(name: str) -> None:
    """Raise ``ValueError`` naming the nearest study if there is none of this name."""
    if name not in STUDIES:
        near = get_close_matches(str(name), list(STUDIES), n=1, cutoff=0.0)[0]
        raise ValueError(
            f"study: no study {name!r}; did you mean {near!r}? (see: aitimelines history list)"
        )


def study(name: str, *, as_of_year: float = inf) -> Study:
    """Return a study's rows and rival models.

    Raises ``ValueError`` if there is none of this name, or too little was known by that year.
    """
    check_study(name)
    module, function = STUDIES[name].split(":")
    make = getattr(import_module(f".history.{module}", __package__), function)
    try:
        found: Study = make(as_of_year=as_of_year)
        if len(found.rows) < _FEWEST_ROWS:
            raise ValueError(f"{len(found.rows)} rows, expected at least {_FEWEST_ROWS}")
    except (ValueError, IndexError, ZeroDivisionError) as error:
        if as_of_year == inf:
            raise
        raise ValueError(f"as_of: too little of {name} by {as_of_year:.2f} ({error})") from error
    return found


def fit_study(
    name: str,
    *,
    as_of_year: float = inf,
    rivals: tuple[str, ...] = (),
    seed: int = 0,
    sampler: str = "auto",
    report: Report | None = None,
) -> tuple[xr.DataTree, bool]:
    """Return the fit of a study, and whether it came from the cache.

    A tree with a child for each rival, in which are the groups of `records.labelled`, quantities
    (chain, draw) and, for records over time, trend (quantile, trend_year); and the group comparison
    (rival): expected log predictive density by leave-one-out, stacking weight.

    rivals: only these (default all); report: called with (what, done, total)
    Raises ``ValueError`` if there is no such study, rival or sampler.
    """
    found = study(name, as_of_year=as_of_year)
    unknown = set(rivals) - set(found.rivals)
    if unknown:
        known = ", ".join(found.rivals)
        raise ValueError(f"rival: got {sorted(unknown)[0]!r}, expected some of {known}")
    chosen = {key: rival for key, rival in found.rivals.items() if not rivals or key in rivals}
    key = {
        "study": name,
        "rivals": list(chosen),
        "as_of_year": str(as_of_year),
        "seed": seed,
        "sampler": sampler,
        "data": {table: table_info(table).sha256 for table in found.tables},
        "priors": load_prior_set("history"),
        **fit_code_key("studies.py", *_code()),
    }

    def make() -> xr.DataTree:
        return _fitted(found._replace(rivals=chosen), name, seed, sampler, report or _silent)

    return cached_tree(f"study-{name}", key, make)


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def _code() -> list[str]:
    """Return the modules whose code a study may depend on."""
    root = files(__package__)
    return [
        f"{folder}/{entry.name}"
        for folder in ("history", "../kernels")
        for entry in sorted(root.joinpath(folder).iterdir(), key=lambda item: item.name)
        if entry.name.endswith(".py")
    ]


def _fitted(found: Study, name: str, seed: int, sampler: str, report: Report) -> xr.DataTree:
    trees = {
        key: _fit_rival(found, rival, (seed, number), sampler, f"fit {name}: {key}", report)
        for number, (key, rival) in enumerate(found.rivals.items())
    }
    tree = xr.DataTree.from_dict({"comparison": _comparison(trees)})
    for key, fitted in trees.items():
        tree[key] = fitted
    judged = {key: verdict_of(fitted) for key, fitted in trees.items()}
    verdict = checks.together(judged)
    tree.attrs = {
        "study": name,
        "title": found.title,
        "observed": found.observed,
        "unit": found.unit,
        "rows": len(found.rows),
        "seed": seed,
        "verdict": verdict.verdict,
        "reasons": json.dumps(verdict.reasons),
        "data": json.dumps({table: provenance_of(table) for table in found.tables}),
    }
    return tree


def _fit_rival(
    found: Study, rival: Rival, seed: tuple[int, ...], sampler: str, what: str, report: Report
) -> xr.DataTree:
    from .inference import SamplerSettings, fit

    report(what, 0, 1)
    result = fit(
        rival.model,
        rival.arguments,
        seed=seed,
        nodes=rival.nodes,
        settings=SamplerSettings(sampler=sampler),
        progress=lambda done, total: report(what, done, total),
    )
    path = None
    if rival.path is not None:
        year = found.rows["year"].to_numpy()
        grid = np.append(np.arange(np.ceil(year.min()), year.max(), 0.5), year.max())
        path = (grid, rival.path(result.draws, grid))
    record = Record("study", found.tables, found.rows, None, inf)
    tree = labelled(record, result, rival.quantities(result.draws), path, found.observed)
    tree["quantities"] = xr.DataTree(tree["forecast"].to_dataset())
    del tree["forecast"]
    tree.attrs["claim"] = rival.claim
    return tree


def _comparison(trees: dict[str, xr.DataTree]) -> xr.Dataset:
    """Return how the rivals predict each row from the others (PSIS-LOO), and stacking weights."""
    import arviz_stats

    loo = {key: leave_one_out(tree) for key, tree in trees.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The inplace keyword", DeprecationWarning)  # in ArviZ
        one = next(iter(trees))
        compared = (
            arviz_stats.compare(loo).loc[list(trees)]
            if len(trees) > 1
            else pd.DataFrame({"elpd_diff": [0.0], "dse": [0.0], "weight": [1.0]}, index=[one])
        )
    columns = {
        "elpd_loo": [float(each.elpd) for each in loo.values()],
        "elpd_loo_se": [float(each.se) for each in loo.values()],
        "elpd_difference": compared["elpd_diff"].to_numpy(dtype=float),
        "elpd_difference_se": compared["dse"].to_numpy(dtype=float),
        "stacking_weight": compared["weight"].to_numpy(dtype=float),
        "largest_pareto_k_loo": [float(each.pareto_k.max()) for each in loo.values()],
    }
    return xr.Dataset(
        {name: ("rival", np.asarray(values)) for name, values in columns.items()},
        coords={"rival": np.array(list(trees), dtype=object)},
    )


def rivals_of(tree: xr.DataTree) -> list[str]:
    """Return the names of the rivals in a fitted study."""
    return [str(rival) for rival in tree["comparison"]["rival"].to_numpy()]


def best_rival(tree: xr.DataTree) -> str:
    """Return the rival that a fitted study gives most weight."""
    return rivals_of(tree)[int(tree["comparison"]["stacking_weight"].to_numpy().argmax())]


def study_summary(tree: xr.DataTree) -> dict[str, Any]:
    """Return a fitted study as plain values: quantities as (5 %, 50 %, 95 %), scores, verdicts."""
    comparison = tree["comparison"].to_dataset()
    summary: dict[str, Any] = {
        name: tree.attrs[name] for name in ("study", "title", "observed", "unit", "rows", "verdict")
    }
    summary["reasons"] = json.loads(tree.attrs["reasons"])
    summary["rivals"] = {
        key: {
            "claim": tree[key].attrs["claim"],
            "verdict": tree[key].attrs["verdict"],
            "sampler": tree[key].attrs["sampler"],
            **{n: float(v) for n, v in comparison.sel(rival=key).data_vars.items()},
            "quantities": {
                str(name): dict(zip(("q05", "q50", "q95"), _quantiles(value), strict=True))
                for name, value in tree[key]["quantities"].data_vars.items()
            },
        }
        for key in rivals_of(tree)
    }
    return summary


def _quantiles(value: xr.DataArray) -> list[float]:
    found = np.quantile(value.to_numpy().astype(float), [0.05, 0.5, 0.95])
    return [float(number) for number in found]
