"""The fitted records of a scenario: data, model, posterior, gate, cache."""

import json
import shutil
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from . import checks, provenance
from .averaging import averaged, verdict_of
from .config import Scenario
from .datasets import decimal_year, load_frame, table_info
from .files import cached_path
from .provenance import NOT_FITTED, as_of_date, as_of_year, fit_key, fitted_records, tables_of
from .storage import cached_tree

Progress = Callable[[str, int, int], None]
OBSERVED = ("log10_value", "log_perplexity", "log_loss")  # what a record is fitted to
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
    return {name: fit_record(scenario, name, progress) for name in fitted_records(scenario)}


def fit_record(
    scenario: Scenario, name: str, progress: Progress | None = None
) -> tuple[xr.DataTree, bool]:
    """Return the fit of one record, as `fit_records` does for all."""
    report = progress or (lambda name, done, total: None)
    key = fit_key(scenario, name)
    whole = "joint" if len(provenance.fitted_with(scenario, name)) > 1 else name
    checkpoints = cached_path("checkpoints", whole, key)
    tree, cached = cached_tree(whole, key, partial(_fit, scenario, whole, report, checkpoints))
    shutil.rmtree(checkpoints, ignore_errors=True)  # what they were for is in the cache now
    return (tree if whole == name else tree.children[name].copy(inherit=False)), cached


def _frame(table: str) -> pd.DataFrame:
    """Return a table with a decimal year, without the rows that have no date."""
    info = table_info(table)
    frame = load_frame(table)
    name = "name" if "name" in frame else "model"
    year = decimal_year(frame[info.date_column].to_numpy())
    frame = frame.assign(year=year, name=frame[name].astype(str))
    return frame[frame["year"].notna()]


def _known_runs(table: str, as_of: str) -> pd.DataFrame:
    """Return a table of training runs, which are undated; ``ValueError`` if it came later."""
    known = table_info(table).as_of.isoformat()
    if as_of < known:
        raise ValueError(
            f"scaling_law.table: got {table!r}, known since {known}, for a forecast as of {as_of}; "
            "expected runs known by then"
        )
    return load_frame(table)


def read_record(scenario: Scenario, name: str) -> Record:
    """Return the rows of a record that the scenario fits, as known on its date."""
    from .history import (
        algorithmic_progress,
        price_performance,
        scaling_law,
        spending,
        training_compute,
    )

    year = as_of_year(scenario)
    tables = tables_of(scenario, name)
    if name == "scaling_law":
        rows = scaling_law.observations(_known_runs(tables[0], as_of_date(scenario)))
        rows = rows.assign(name=[f"row {number}" for number in rows.index])
        return Record(name, tables, rows, getattr(scenario, name), year)
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


def _fit(scenario: Scenario, name: str, progress: Progress, checkpoints: Path) -> xr.DataTree:
    if name == "joint":
        from .joint import fit_jointly

        return fit_jointly(scenario, progress, checkpoints)
    record = read_record(scenario, name)
    if name in ("algorithmic_progress", "scaling_law"):
        tree = _fit_rows(scenario, record, progress, checkpoints)
    else:
        choice = getattr(record.section, "change_points", 0)
        given = getattr(record.section, "change_point_weights", None)
        given = given if choice == "average" else None
        counts = tuple(k for k in range(4) if given is None or given[k] > 0)
        counts = counts if choice == "average" else (choice,)
        trees = _fit_trends(scenario, record, counts, progress, checkpoints)
        weights = given and [given[count] for count in counts]
        alone = len(trees) == 1 and given is None
        tree = trees[counts[0]] if alone else averaged(trees, scenario.seed, weights)
    tree.attrs["data"] = json.dumps({t: provenance_of(t) for t in record.tables})
    progress(name, 1, 1)
    return tree


def _part(progress: Progress, name: str, index: int, parts: int) -> Callable[[int, int], None]:
    """Return the progress of one of several fits of a record."""
    return lambda done, total: progress(name, index * total + done, parts * total)


def provenance_of(table: str) -> dict[str, str]:
    """Return where a packaged table is from, as plain values."""
    info = table_info(table)
    return {
        "title": info.title,
        "vintage": info.vintage.isoformat(),
        "licence": info.licence,
        "attribution": info.attribution,
        "sha256": info.sha256,
    }


def fitted_priors(section: Any) -> dict[str, Any]:
    """Return the priors of a section that its model fits, name -> interval."""
    names = sorted(set(type(section).model_fields) - NOT_FITTED)
    found = {name: getattr(getattr(section, name), "interval", None) for name in names}
    return {name: interval for name, interval in found.items() if interval is not None}


def sampler_settings(scenario: Scenario) -> Any:
    """Return how a scenario's models are sampled, as `inference.SamplerSettings`."""
    from .inference import SamplerSettings

    return SamplerSettings(**scenario.inference.model_dump())


def part_seed(scenario: Scenario, *names: str) -> tuple[int, ...]:
    """Return the seed of a named part: adding a part does not move the others."""
    return scenario.seed, *(zlib.crc32(name.encode()) for name in names)


def _fit_trends(
    scenario: Scenario,
    record: Record,
    counts: tuple[int, ...],
    progress: Progress,
    checkpoints: Path,
) -> dict[int, xr.DataTree]:
    """Fit the trend model with each number of change points; return its labelled trees.

    All are one compiled program, in which unused change points lie beyond the record.
    """
    from . import inference
    from .history import trend
    from .model_program import compile_model

    year = record.rows["year"].to_numpy()
    group = record.rows.get("group", pd.Series(0, index=record.rows.index))
    below = getattr(record.section, "reading", "") == "latent-frontier"
    observed = {
        "year": year,
        "log10_value": record.rows["log10_value"].to_numpy(),
        "group": group.to_numpy(dtype=int),
        "priors": fitted_priors(record.section),
        "change_points": trend.MAX_CHANGE_POINTS if any(counts) else 0,
        "residual": "latent_frontier" if below else "student_t",
    }
    nodes = {count: trend.padded_nodes(year, count) if any(counts) else None for count in counts}
    example = next(iter(nodes.values()))
    compiled = compile_model(trend.model, observed, None if example is None else example[0])
    return {
        count: _labelled_trend(
            record,
            inference.fit(
                trend.model,
                observed,
                seed=part_seed(scenario, record.name, str(count)),
                nodes=nodes[count],
                settings=sampler_settings(scenario),
                progress=_part(progress, record.name, i, len(counts)),
                compiled=compiled,
                checkpoints=checkpoints / str(count),
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


def _fit_rows(
    scenario: Scenario, record: Record, progress: Progress, checkpoints: Path
) -> xr.DataTree:
    """Fit a model whose arguments are the columns of its rows, and its priors."""
    from . import inference
    from .history import algorithmic_progress, scaling_law

    by_law = record.name == "scaling_law"
    model = scaling_law.model if by_law else algorithmic_progress.model
    priors = scaling_law.default_priors() if by_law else fitted_priors(record.section)
    rows = record.rows
    result = inference.fit(
        model,
        {str(column): rows[column].to_numpy() for column in rows if column != "name"}
        | {"priors": priors},
        seed=part_seed(scenario, record.name),
        settings=sampler_settings(scenario),
        progress=_part(progress, record.name, 0, 1),
        checkpoints=checkpoints,
    )
    columns = (
        {name: result.draws[name] for name in scaling_law.CONSTANTS}
        if by_law
        else algorithmic_progress.forecast_columns(result.draws)
    )
    return labelled(record, result, columns, None)


def labelled(
    record: Record,
    result: Any,
    columns: dict[str, np.ndarray],
    path: tuple[np.ndarray, np.ndarray] | None,
    observed: str | None = None,
) -> xr.DataTree:
    """Return a fit as a tree of named, dimensioned variables, verdict in the attributes.

    observed: the column that was fitted, if none of `OBSERVED`
    """
    rows = record.rows
    observed = observed or next(name for name in OBSERVED if name in rows)
    item = f"{record.name}_observation"
    coordinates = {item: rows["name"].astype(object).to_numpy()}

    def per_observation(values: np.ndarray) -> xr.Dataset:
        dims = ("chain", "draw", item)[-values.ndim :]
        return xr.Dataset({observed: (dims, values.astype(np.float32))}, coords=coordinates)

    numbers = rows.select_dtypes("number")
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
    quantities = quantities_of(tree, result, observed)
    verdict = checks.judge(quantities)
    tree.attrs = {
        "record": record.name,
        "sampler": result.sampler,
        "quantities": json.dumps(quantities),
        "verdict": verdict.verdict,
        "reasons": json.dumps(verdict.reasons),
    }
    return tree


_NEAR_THE_GATE = 0.49
_TEST_QUANTITIES: tuple[Callable[..., Any], ...] = (np.nanmean, np.nanstd, np.nanmax)


def _by_draw(values: dict[str, np.ndarray]) -> xr.Dataset:
    """Return variables with the dimensions chain, draw and, for vectors, an index of their own."""
    return xr.Dataset(
        {
            name: (("chain", "draw", *(f"{name}_index" for _ in range(v.ndim - 2))), v)
            for name, v in values.items()
        }
    )


def quantities_of(tree: xr.DataTree, result: Any, observed: str) -> dict[str, float]:
    """Return what the gate judges."""
    import arviz_stats

    posterior = tree["posterior"].to_dataset()
    varying = posterior[[n for n, v in posterior.items() if float(v.std()) > 0]]
    r_hat = max(float(v.max()) for v in arviz_stats.rhat(varying).values())
    effective = min(float(v.min()) for v in arviz_stats.ess(varying).values())
    divergent = result.statistics.get("diverging")
    return {
        "r_hat": r_hat,
        "missing_effective_draws": max(0.0, 1 - effective / 400),
        "pareto_k": result.pareto_k if result.sampler == "importance" else float("nan"),
        "divergent_part": float("nan") if divergent is None else float(np.mean(divergent)),
        "predictive_tail": _predictive_tail(result, tree["observed_data"][observed].to_numpy()),
    }


def _predictive_tail(result: Any, data: np.ndarray) -> float:
    """Return how far from 1/2 the most extreme posterior predictive p-value is.

    One predictive draw of each posterior draw tells a p-value near the gate's to a third of it;
    where it is that small, ten of each are looked at.
    """
    observed = np.array([test(data) for test in _TEST_QUANTITIES])

    def exceeding(replicated: np.ndarray) -> np.ndarray:
        found = [test(replicated, axis=-1) for test in _TEST_QUANTITIES]
        return np.mean(np.array(found) > observed[:, None, None], axis=(1, 2))

    shares = [exceeding(result.predictive)]
    if np.abs(shares[0] - 0.5).max() > _NEAR_THE_GATE:
        rng = np.random.default_rng(0)
        shares += [exceeding(result.predict(rng)) for _ in range(9)]
    return float(np.abs(np.mean(shares, axis=0) - 0.5).max())


def verdict_of_all(trees: dict[str, xr.DataTree]) -> checks.Verdict:
    """Return the verdict on all records together."""
    return checks.together({name: verdict_of(tree) for name, tree in trees.items()})
