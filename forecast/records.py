"""The fitted records of a scenario: data, model, posterior, gate, cache."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import softmax

from . import checks
from .config import Scenario
from .datasets import decimal_year, load_frame, table_info
from .provenance import as_of_year, fit_key, fitted_records, tables_of
from .storage import cached_tree

Progress = Callable[[str, int, int], None]
TREND_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Record(NamedTuple):
    """What there is to fit: rows, and the functions of the record's history module."""

    name: str
    tables: tuple[str, ...]
    rows: pd.DataFrame
    section: Any
    as_of_year: float


def fit_records(
    scenario: Scenario, progress: Progress | None = None
) -> dict[str, tuple[xr.DataTree, bool]]:
    """Return the fit of each record that the scenario fits, and whether it came from the cache.

    Each is a tree with the groups posterior, prior, posterior_predictive, prior_predictive,
    log_likelihood, observed_data, sample_stats, forecast (the columns that the forecast takes),
    trend (quantiles over the years) and, for training compute, change_points.
    """
    report = progress or (lambda name, done, total: None)
    return {
        name: cached_tree(name, fit_key(scenario, name), partial(_fit, scenario, name, report))
        for name in fitted_records(scenario)
    }


def _frame(table: str) -> pd.DataFrame:
    """Return a table with a decimal year, without the rows that have no date."""
    info = table_info(table)
    frame = load_frame(table)
    name = "name" if "name" in frame else "model"
    year = decimal_year(frame[info.date_column].to_numpy())
    frame = frame.assign(year=year, name=frame[name].astype(str))
    return frame[frame["year"].notna()]


def read_record(scenario: Scenario, name: str) -> Record:
    """Return the rows of a record that the scenario fits, as known on its date."""
    from .history import algorithmic_progress, price_performance, spending, training_compute

    year = as_of_year(scenario)
    tables = tables_of(scenario, name)
    frames = [_frame(table) for table in tables]
    section = getattr(scenario, name)
    if name == "training_compute":
        rows = training_compute.observations(
            frames[0],
            as_of_year=year,
            since_year=section.since_year,
            reading=section.reading,
            top_n=section.top_n,
        )
    elif name == "spending":
        rows = spending.observations(frames[0], as_of_year=year, top_n=section.top_n)
    elif name == "price_performance":
        rows = price_performance.observations(*frames, as_of_year=year)
    else:
        rows = algorithmic_progress.observations(frames[0], as_of_year=year)
    return Record(name, tables, rows, section, year)


def _fit(scenario: Scenario, name: str, progress: Progress) -> xr.DataTree:
    record = read_record(scenario, name)
    if name == "algorithmic_progress":
        tree = _fit_algorithms(scenario, record, progress)
    else:
        choice = getattr(record.section, "change_points", 0)
        counts = (0, 1, 2, 3) if choice == "average" else (choice,)
        trees = _fit_trends(scenario, record, counts, progress)
        tree = trees[counts[0]] if len(trees) == 1 else _averaged(trees, scenario.seed)
    tree.attrs["data"] = json.dumps({t: _provenance(t) for t in record.tables})
    progress(name, 1, 1)
    return tree


def _part(progress: Progress, name: str, index: int, parts: int) -> Callable[[int, int], None]:
    """Return the progress of one of several fits of a record."""
    return lambda done, total: progress(name, index * total + done, parts * total)


def _provenance(table: str) -> dict[str, str]:
    info = table_info(table)
    return {
        "title": info.title,
        "vintage": info.vintage.isoformat(),
        "licence": info.licence,
        "attribution": info.attribution,
        "sha256": info.sha256,
    }


def _priors(section: Any) -> dict[str, Any]:
    priors = {field: getattr(section, field) for field in type(section).model_fields}
    return {
        field: prior.interval
        for field, prior in priors.items()
        if getattr(prior, "interval", None) is not None
    }


def _settings(scenario: Scenario) -> Any:
    from .inference import SamplerSettings

    return SamplerSettings(**scenario.inference.model_dump())


def _random_key(scenario: Scenario, *names: str) -> Any:
    """Return the random key of a named part: adding a part does not move the others."""
    import zlib

    import jax

    key = jax.random.key(scenario.seed)
    for name in names:
        key = jax.random.fold_in(key, zlib.crc32(name.encode()))
    return key


def _fit_trends(
    scenario: Scenario, record: Record, counts: tuple[int, ...], progress: Progress
) -> dict[int, xr.DataTree]:
    """Fit the trend model with each number of change points; return its labelled trees.

    All are one compiled program, in which unused change points lie beyond the record.
    """
    from . import inference
    from .history import trend

    year = record.rows["year"].to_numpy()
    group = record.rows.get("group", pd.Series(0, index=record.rows.index))
    below = getattr(record.section, "reading", "") == "latent-frontier"
    observed = {
        "year": year,
        "log10_value": record.rows["log10_value"].to_numpy(),
        "group": group.to_numpy(dtype=int),
        "priors": _priors(record.section),
        "change_points": trend.MAX_CHANGE_POINTS if any(counts) else 0,
        "residual": "latent_frontier" if below else "student_t",
    }
    nodes = {count: trend.padded_nodes(year, count) if any(counts) else None for count in counts}
    with jax.enable_x64(True):
        example = next(iter(nodes.values()))
        compiled = inference.compile_model(
            trend.model, observed, None if example is None else example[0]
        )
    return {
        count: _labelled_trend(
            record,
            inference.fit(
                trend.model,
                observed,
                key=_random_key(scenario, record.name, str(count)),
                nodes=nodes[count],
                settings=_settings(scenario),
                progress=_part(progress, record.name, i, len(counts)),
                compiled=compiled,
            ),
            count,
        )
        for i, count in enumerate(counts)
    }


def _labelled_trend(record: Record, result: Any, change_points: int) -> xr.DataTree:
    """Return a fit of the trend model, with its path over the years, as a labelled tree."""
    from .history import price_performance, training_compute, trend

    year = record.rows["year"].to_numpy()
    grid = np.append(np.arange(np.ceil(year.min()), record.as_of_year, 0.5), record.as_of_year)
    path = trend.log10_trend_at(result.draws, year, grid)
    if record.name == "price_performance":
        columns = price_performance.forecast_columns(
            result.draws, year, as_of_year=record.as_of_year
        )
    else:
        columns = training_compute.forecast_columns(
            result.draws,
            year,
            as_of_year=record.as_of_year,
            reading=getattr(record.section, "reading", "top-n"),
        )
        path = path + (columns["log10_level"] - path[..., -1])[..., None]
    used = {
        "segment_doubling_time_years": change_points + 1,
        "change_point_years": change_points,
    }
    kept = {
        name: value[..., : used[name]] if name in used else value
        for name, value in result.draws.items()
        if used.get(name) != 0
    }
    prior = {name: value for name, value in result.prior.items() if name not in used}
    return labelled(record, result._replace(draws=kept, prior=prior), columns, (grid, path))


def _fit_algorithms(scenario: Scenario, record: Record, progress: Progress) -> xr.DataTree:
    from . import inference
    from .history import algorithmic_progress

    rows = record.rows
    result = inference.fit(
        algorithmic_progress.model,
        {str(column): rows[column].to_numpy() for column in rows if column != "name"}
        | {"priors": _priors(record.section)},
        key=_random_key(scenario, record.name),
        settings=_settings(scenario),
        progress=_part(progress, record.name, 0, 1),
    )
    return labelled(record, result, algorithmic_progress.forecast_columns(result.draws), None)


def labelled(
    record: Record,
    result: Any,
    columns: dict[str, np.ndarray],
    path: tuple[np.ndarray, np.ndarray] | None,
) -> xr.DataTree:
    """Return a fit as a tree of named, dimensioned variables, verdict in the attributes."""
    rows = record.rows
    observed = "log_perplexity" if "log_perplexity" in rows else "log10_value"
    item = f"{record.name}_observation"
    coordinates = {item: rows["name"].astype(object).to_numpy()}

    def per_observation(values: np.ndarray) -> xr.Dataset:
        dims = ("chain", "draw", item)[-values.ndim :]
        return xr.Dataset({observed: (dims, values.astype(np.float32))}, coords=coordinates)

    numbers = [column for column in rows if column != "name"]
    tree = xr.DataTree.from_dict(
        {
            "posterior": _by_draw(result.draws),
            "prior": _by_draw(result.prior),
            "posterior_predictive": per_observation(result.predictive),
            "prior_predictive": per_observation(result.prior_predictive),
            "log_likelihood": per_observation(result.log_likelihood),
            "observed_data": xr.Dataset(
                {column: (item, rows[column].to_numpy()) for column in numbers}, coords=coordinates
            ),
            "sample_stats": _by_draw(result.statistics),
            "forecast": _by_draw(columns),
        }
    )
    if path is not None:
        quantiles = np.quantile(path[1], TREND_QUANTILES, axis=(0, 1))
        tree["trend"] = xr.DataTree(
            xr.Dataset(
                {"log10_value": (("quantile", "trend_year"), quantiles)},
                coords={"quantile": list(TREND_QUANTILES), "trend_year": path[0]},
            )
        )
    quantities = _quantities(tree, result, observed)
    verdict = checks.judge(quantities)
    tree.attrs = {
        "record": record.name,
        "sampler": result.sampler,
        "quantities": json.dumps(quantities),
        "verdict": verdict.verdict,
        "reasons": json.dumps(verdict.reasons),
    }
    return tree


_TEST_QUANTITIES: tuple[Callable[..., Any], ...] = (np.mean, np.std, np.max)


def _by_draw(values: dict[str, np.ndarray]) -> xr.Dataset:
    """Return variables with the dimensions chain, draw and, for vectors, an index of their own."""
    return xr.Dataset(
        {
            name: (("chain", "draw", *(f"{name}_index" for _ in range(v.ndim - 2))), v)
            for name, v in values.items()
        }
    )


def _quantities(tree: xr.DataTree, result: Any, observed: str) -> dict[str, float]:
    """Return what the gate judges."""
    import arviz_stats

    posterior = tree["posterior"].to_dataset()
    varying = posterior[[n for n, v in posterior.items() if float(v.std()) > 0]]
    r_hat = max(float(v.max()) for v in arviz_stats.rhat(varying).values())
    effective = min(float(v.min()) for v in arviz_stats.ess(varying).values())
    divergent = result.statistics.get("diverging")
    replicated, data = result.predictive, tree["observed_data"][observed].to_numpy()
    tails = [
        abs(float(np.mean(test(replicated, axis=-1) > test(data, axis=-1))) - 0.5)
        for test in _TEST_QUANTITIES
    ]
    return {
        "r_hat": r_hat,
        "missing_effective_draws": max(0.0, 1 - effective / 400),
        "pareto_k": result.pareto_k if result.sampler == "importance" else float("nan"),
        "divergent_part": float("nan") if divergent is None else float(np.mean(divergent)),
        "predictive_tail": max(tails),
    }


def _averaged(trees: dict[int, xr.DataTree], seed: int) -> xr.DataTree:
    """Return one fit averaged over the number of change points by pseudo-BMA weights of LOO.

    Stacking would give all weight to one of models that predict alike (Yao et al. 2018).
    """
    import arviz_stats

    loo = {str(count): arviz_stats.loo(tree) for count, tree in trees.items()}
    weights = softmax([float(entry.elpd) for entry in loo.values()])
    first = next(iter(trees.values()))
    chains, draws = first["forecast"]["doubling_time_years"].shape
    edges = np.rint(np.cumsum(weights) * draws).astype(int)
    model = np.searchsorted(edges, np.arange(draws), side="right")
    order = np.random.default_rng(seed).permutation(draws)

    def mixed(group: str) -> xr.Dataset:
        parts = [tree[group].to_dataset() for tree in trees.values()]
        shared = [
            str(name)
            for name, value in parts[0].items()
            if all(name in part and part[name].shape == value.shape for part in parts)
        ]
        pieces = [
            part[shared].isel(draw=np.flatnonzero(model == k)) for k, part in enumerate(parts)
        ]
        together = xr.concat(pieces, dim="draw").assign_coords(draw=np.arange(draws))
        return together.isel(draw=order).assign_coords(draw=np.arange(draws))

    tree = first.copy()
    for group in (
        "posterior",
        "posterior_predictive",
        "log_likelihood",
        "sample_stats",
        "forecast",
    ):
        tree[group] = xr.DataTree(mixed(group))
    count = np.broadcast_to(np.array(list(trees))[model][order], (chains, draws))
    tree["posterior"] = xr.DataTree(
        tree["posterior"].to_dataset().assign(number_of_change_points=(("chain", "draw"), count))
    )
    tree["trend"] = xr.DataTree(
        sum(w * t["trend"].to_dataset() for w, t in zip(weights, trees.values(), strict=True))
    )
    names = [str(c) for c in trees]
    tree["change_points"] = xr.DataTree(
        xr.Dataset(
            {
                "elpd_loo": ("model", [float(loo[n].elpd) for n in names]),
                "elpd_loo_se": ("model", [float(loo[n].se) for n in names]),
                "weight": ("model", weights),
            },
            coords={"model": list(trees)},
        )
    )
    judged = {f"{c} change points": _verdict_of(t) for c, t in trees.items()}
    relevant = {k: v for (k, v), w in zip(judged.items(), weights, strict=True) if w >= 0.05}
    verdict = checks.together(relevant)
    tree.attrs |= {"verdict": verdict.verdict, "reasons": json.dumps(verdict.reasons)}
    return tree


def _verdict_of(tree: xr.DataTree) -> checks.Verdict:
    return checks.Verdict(tree.attrs["verdict"], tuple(json.loads(tree.attrs["reasons"])))


def verdict_of_all(trees: dict[str, xr.DataTree]) -> checks.Verdict:
    """Return the verdict on all records together."""
    return checks.together({name: _verdict_of(tree) for name, tree in trees.items()})
