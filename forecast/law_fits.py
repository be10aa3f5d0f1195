"""Fit a law of training loss to any table of runs: posterior, published point, what follows.

The law is Chinchilla's, or with a column ``unique_tokens`` that of repeated data. The result is a
tree as of the other records, with groups of its own: ``derived`` (the compute-optimal run of some
budgets, by draw) and attributes that `law_summary` turns into plain values.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from . import checks
from .averaging import verdict_of
from .datasets import load_frame, table_ids, table_info
from .leave_one_out import leave_one_out
from .provenance import fit_code_key
from .records import Record, labelled, provenance_of
from .storage import cached_tree
from .table_schema import read_cells

Report = Callable[[str, int, int], None]

SYMBOLS = {
    "irreducible_loss": "E",
    "log_parameter_constant": "ln_A",
    "parameter_exponent": "alpha",
    "log_data_constant": "ln_B",
    "data_exponent": "beta",
    "data_repeats": "R_D",
    "parameter_repeats": "R_N",
    "residual_scale_nat": "sigma",
    "degrees_of_freedom": "nu",
    "allocation_exponent": "a",
    "frontier_exponent": "gamma",
}
DEFAULT_FLOP = (1e21, 1e22, 1e23, 1e24, 1e25, 1e26)
# A constant whose posterior is more than so much as wide as its prior is not known from the runs.
WIDEST_PART_OF_PRIOR = 0.5
_PROPOSALS = 2**15  # more than elsewhere: few runs leave a posterior of odd shape
_MODE_STARTS = 1024
_NEGLIGIBLE = 7.0  # of log evidence: a mode of less than a thousandth is not told
_MODULES = (
    *("law_fits.py", "law_points.py", "history/scaling_law.py"),
    *("../kernels/scaling_laws.py", "../kernels/data_constrained.py"),
)


def _logit(part: np.ndarray) -> np.ndarray:
    return np.log(part / (1 - part))


# What the model samples -> what it decides, and the scale on which its prior is normal.
_KNOWN_BY: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "parameter_exponent": ("alpha", np.log),
    "data_exponent": ("beta", np.log),
    "reducible_part": ("E", _logit),
    "parameter_part": ("A and B", _logit),
    "data_repeats": ("R_D", np.log),
    "parameter_repeats": ("R_N", np.log),
}


class Runs(NamedTuple):
    """A table of training runs: name, cells, where it is from (plain values)."""

    name: str
    frame: pd.DataFrame
    provenance: dict[str, Any]


def read_runs(table: str | Path, where: Mapping[str, str] | None = None) -> Runs:
    """Return a packaged table, or a CSV file, of runs, only rows with the given cells.

    table: an id of `datasets.table_ids`, or the path of a CSV file whose columns `observations` of
        `history.scaling_law` describes; where: column -> text of the cell
    Raises ``ValueError`` if there is no such table, column or row, or the file is not CSV.
    """
    path = Path(table).expanduser()
    if str(table) in table_ids():
        frame, origin = load_frame(str(table)), provenance_of(str(table))
    elif path.is_file():
        cells = read_cells(path)
        lines = pd.Index(cells.lines, name="line")
        frame = pd.DataFrame(cells.rows, columns=cells.header, index=lines)
        origin = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    elif path.suffix:
        raise ValueError(f"table: got {str(table)!r}, expected the path of a CSV file")
    else:
        table_info(str(table))  # raises, naming the nearest table
    for column, cell in (where or {}).items():
        frame = _rows_with(frame, column, cell)
    return Runs(path.stem, frame, origin | {"where": dict(where or {})})


def _rows_with(frame: pd.DataFrame, column: str, cell: str) -> pd.DataFrame:
    if column not in frame:
        raise ValueError(
            f"where: no column {column!r}, expected one of {', '.join(map(str, frame))}"
        )
    text = frame[column].astype(str)
    rows = frame[text == cell]
    if rows.empty:
        there = ", ".join(sorted(text.unique())[:12])
        raise ValueError(f"where: no row has {column} {cell!r}, expected one of {there}")
    return rows


def fit_runs(
    runs: Runs,
    *,
    flop: Sequence[float] = DEFAULT_FLOP,
    seed: int = 0,
    sampler: str = "auto",
    report: Report | None = None,
) -> tuple[xr.DataTree, bool]:
    """Return the fit of a law to runs, and whether it came from the cache.

    flop: budgets at which the compute-optimal run is derived [FLOP]; seed: same seed, same numbers
    Raises ``ValueError`` as `observations` of `history.scaling_law` does, or for a budget that is
    no positive number.
    """
    from .history import scaling_law

    if not flop or not all(np.isfinite(c) and c > 0 for c in flop):
        raise ValueError(f"flop: got {list(flop)}, expected positive numbers")
    if not runs.frame.index.is_unique:
        runs = runs._replace(frame=runs.frame.reset_index(drop=True))
    rows = scaling_law.observations(runs.frame)
    rows = rows.assign(name=_names(runs.frame.loc[rows.index]))
    key = {
        "runs": hashlib.sha256(rows.to_csv().encode()).hexdigest(),
        "series": _series(runs.frame.loc[rows.index]),
        "table": [runs.name, len(runs.frame), runs.provenance],
        "fit": [seed, sampler, list(flop)],
        "priors": {name: list(prior) for name, prior in scaling_law.default_priors().items()},
        "code": fit_code_key(*_MODULES),
    }
    tell = report or (lambda what, done, total: None)
    return cached_tree("law", key, partial(_fit, runs, rows, tuple(flop), seed, sampler, tell))


def _names(frame: pd.DataFrame) -> list[str]:
    label = frame.index.name or "row"
    return [f"{label} {number}" for number in frame.index]


def _series(frame: pd.DataFrame) -> dict[str, int]:
    """Return the columns of text that tell several series of runs apart, and how many."""
    found = {}
    for column in frame:
        cells = frame[column].astype("string").dropna()
        if column != "source" and pd.to_numeric(cells, errors="coerce").isna().any():
            if 1 < cells.nunique() <= len(frame) / 4:
                found[str(column)] = int(cells.nunique())
    return found


def _fit(
    runs: Runs, rows: pd.DataFrame, flop: tuple[float, ...], seed: int, sampler: str, report: Report
) -> xr.DataTree:
    from . import inference
    from .history import scaling_law
    from .model_program import compile_model

    columns = [str(column) for column in rows if column != "name"]
    data: dict[str, Any] = {column: rows[column].to_numpy() for column in columns}
    data["priors"] = scaling_law.default_priors()
    compiled = compile_model(scaling_law.model, data)
    result = inference.fit(
        scaling_law.model,
        data,
        seed=(seed,),
        settings=inference.SamplerSettings(sampler=sampler, proposals=_PROPOSALS),
        progress=partial(report, "fit the law"),
        compiled=compiled,
    )
    exponents, derived = _derived(result.draws, flop)
    record = Record("law", (runs.name,), rows, None, float("nan"))
    constants = {name: result.draws[name] for name in SYMBOLS if name in result.draws}
    tree = labelled(record, result, constants | exponents, None)
    tree["derived"] = xr.DataTree(derived)
    report("fit the published way", 0, 1)
    point = _point(rows)
    report("fit the published way", 1, 1)
    reasons = [
        *_unidentified(result),
        *_other_modes(compiled, seed),
        *_pooled(_series(runs.frame.loc[rows.index])),
    ]
    parts = {"fit": verdict_of(tree)}
    if reasons:
        parts["runs"] = checks.Verdict("REVIEW", tuple(reasons))
    verdict = checks.together(parts)
    tree.attrs |= {
        "verdict": verdict.verdict,
        "reasons": json.dumps(verdict.reasons),
        "point": json.dumps(point),
        "loo": json.dumps(_loo(tree)),
        "left_out": len(runs.frame) - len(rows),
        "data": json.dumps({runs.name: runs.provenance}),
    }
    return tree


def _unidentified(result: Any) -> list[str]:
    """Return for each constant that the runs leave as it was before them, why that is so."""
    found = []
    for name, (symbol, scale) in _KNOWN_BY.items():
        if name in result.draws:
            after, before = (np.std(scale(part[name])) for part in (result.draws, result.prior))
            if after > WIDEST_PART_OF_PRIOR * before:
                found.append(
                    f"{symbol} is not known from these runs: the posterior of {name} is "
                    f"{after / before:.0%} as wide as the prior"
                )
    return found


def _other_modes(compiled: Any, seed: int) -> list[str]:
    """Return for each mode that the draws leave out where it is and how much it might hold."""
    from .importance import modes

    standard = np.random.default_rng(seed).standard_normal((_MODE_STARTS, compiled.size))
    start = compiled.prior_points(standard, np.zeros((_MODE_STARTS, 1)))
    mode, evidence = modes(compiled.log_density, start)
    values = compiled.evaluate(mode, np.zeros((len(mode), 1))).values
    found = []
    for i in np.flatnonzero(evidence > evidence[:1] - _NEGLIGIBLE)[1:]:
        part = float(np.exp(evidence[i] - np.logaddexp.reduce(evidence)))
        place = ", ".join(f"{s} {values[n][i]:.3g}" for n, s in SYMBOLS.items() if n in values)
        found.append(f"another mode, of about {part:.1%}, which draws may leave out, is at {place}")
    return found


def _pooled(series: Mapping[str, int]) -> list[str]:
    if not series:
        return []
    several = ", ".join(f"{count} of {column}" for column, count in series.items())
    return [f"one law for runs of several series ({several}); choose one of them (where)"]


def _derived(
    draws: Mapping[str, np.ndarray], flop: Sequence[float]
) -> tuple[dict[str, np.ndarray], xr.Dataset]:
    """Return (exponents of the frontier, (chain, draw); the compute-optimal runs of budgets)."""
    import jax

    from ..kernels.scaling_laws import Chinchilla, chinchilla_frontier, chinchilla_optimum

    constants = Chinchilla(**{name: draws[name] for name in Chinchilla._fields})
    with jax.enable_x64(True):
        frontier = chinchilla_frontier(constants)
        by_budget = Chinchilla(*(np.asarray(value)[..., None] for value in constants))
        best = chinchilla_optimum(by_budget, np.log(flop))
    log_n, log_d, loss = map(np.asarray, best)
    dims = ("chain", "draw", "training_flop")
    values = {
        "optimal_parameters": (np.exp(log_n), "parameter"),
        "optimal_tokens": (np.exp(log_d), "token"),
        "tokens_per_parameter": (np.exp(log_d - log_n), "token/parameter"),
        "optimal_loss": (loss, "nat/token"),
    }
    dataset = xr.Dataset(
        {name: (dims, value, {"units": unit}) for name, (value, unit) in values.items()},
        coords={"training_flop": list(flop)},
    )
    exponents = {
        "allocation_exponent": np.asarray(frontier.parameter_share_exponent),
        "frontier_exponent": np.asarray(frontier.exponent),
    }
    return exponents, dataset


def _point(rows: pd.DataFrame) -> dict[str, float]:
    """Return the constants of least summed Huber loss, by symbol, and the objective."""
    from . import law_points

    if "log_unique_tokens" in rows:
        repeating, objective = law_points.repetition_point(rows)
        law = repeating.chinchilla
        more = {"R_D": repeating.data_repeats, "R_N": repeating.parameter_repeats}
    else:
        law, objective = law_points.chinchilla_point(rows)
        more = {}
    found = {SYMBOLS[name]: value for name, value in law._asdict().items()} | more
    found |= {"A": np.exp(found["ln_A"]), "B": np.exp(found["ln_B"])}
    found["a"] = found["beta"] / (found["alpha"] + found["beta"])
    return {name: float(value) for name, value in found.items()} | {"objective": objective}


def _loo(tree: xr.DataTree) -> dict[str, float]:
    loo = leave_one_out(tree)
    names: dict[str, Any] = {
        "elpd": loo.elpd,
        "se": loo.se,
        "p": loo.p,
        "largest_pareto_k": loo.pareto_k.max(),
    }
    return {name: float(value) for name, value in names.items()}


# --- as plain values ------------------------------------------------------------------------------


def law_summary(tree: xr.DataTree) -> dict[str, Any]:
    """Return what a fit says as plain values: posterior, point, verdict, derived and more.

    Each quantity is {mean, sd, q05, q50, q95}; symbols are those of the papers, of which `SYMBOLS`
    gives the names. Of quantities that range over magnitudes look at the quantiles.
    """
    forecast = tree["forecast"].to_dataset()
    draws = {SYMBOLS[str(name)]: value.to_numpy() for name, value in forecast.items()}
    draws |= {"A": np.exp(draws["ln_A"]), "B": np.exp(draws["ln_B"])}
    rows = tree["observed_data"].to_dataset()
    verdict = verdict_of(tree)
    derived = tree["derived"].to_dataset()
    ((table, origin),) = json.loads(tree.attrs["data"]).items()
    return {
        "table": table,
        "law": "data-constrained" if "R_D" in draws else "chinchilla",
        "n_rows": int(rows["log_loss"].size),
        "n_left_out": int(tree.attrs["left_out"]),
        "posterior": {name: _five(value) for name, value in draws.items()},
        "point": json.loads(tree.attrs["point"]),
        "derived": [
            {"flop": float(c)}
            | {str(n): _five(v.sel(training_flop=c).to_numpy()) for n, v in derived.items()}
            for c in derived["training_flop"].to_numpy()
        ],
        "largest_run_flop": float(6 * np.exp((rows["log_parameters"] + rows["log_tokens"]).max())),
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "quantities": _finite(json.loads(tree.attrs["quantities"])),
        "loo": json.loads(tree.attrs["loo"]),
        "predictive_coverage_90": _coverage(tree),
        "sampler": tree.attrs["sampler"],
        "provenance": origin,
    }


def _five(values: np.ndarray) -> dict[str, float]:
    low, middle, high = (float(q) for q in np.quantile(values, (0.05, 0.5, 0.95)))
    found = {"mean": float(values.mean()), "sd": float(values.std())}
    return found | {"q05": low, "q50": middle, "q95": high}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return values with None for those that do not apply, which JSON has no number for."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _coverage(tree: xr.DataTree) -> float:
    """Return the part of the runs within the central 90 % of their posterior predictive."""
    predicted = tree["posterior_predictive"]["log_loss"].to_numpy()
    low, high = np.quantile(predicted, (0.05, 0.95), axis=(0, 1))
    observed = tree["observed_data"]["log_loss"].to_numpy()
    return float(np.mean((low <= observed) & (observed <= high)))
