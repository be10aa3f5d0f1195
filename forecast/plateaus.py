"""Does more training still help? Curves fitted to one run, or to the best of many, and stacked.

Each family of curves is fitted to the run (`history/learning_curve.py`) and weighted by stacking of
leave-one-out predictive densities (Yao et al. 2018, arXiv 1704.02030). A run is on a plateau if the
next tenfold compute gains less than its noise, the scatter of performance about the curve.
Leave-one-out judges the curves inside the run; beyond it they are extrapolations, and growth that
resumes later is not among them.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from jax import Array

from ..kernels import learning_curves as curves
from . import checks, inference
from .history import learning_curve
from .history.learning_curve import LOSS_FAMILIES, SCORE_FAMILIES, Run
from .law_fits import read_runs
from .leave_one_out import leave_one_out
from .model_program import Compiled, compile_model
from .records import quantities_of

Report = Callable[[str, int, int], None]
QUANTILES = (0.05, 0.5, 0.95)
RUN_COLUMNS = ("run", "run_id", "curve_id")
RELEVANT_WEIGHT = 0.05
SURE = 0.9  # of a plateau, or of none
_TIE_NAT = 1e-5
_QUICK = inference.SamplerSettings(sampler="importance", draws=500, proposals=2**12)
_THOROUGH = inference.SamplerSettings(sampler="importance", draws=500, proposals=2**14)


@dataclass(frozen=True, kw_only=True)
class Family:
    """What one family says: each array (draw,).

    weight: in the stack; elpd_loo, elpd_loo_se: [nat]; curve: in ln FLOP and units of performance;
    noise, gain_10x, gain_100x: units of performance; plateau_log10_flop: log10 of the compute from
    which on ten times more gains less than the noise, inf if never
    """

    weight: float
    elpd_loo: float
    elpd_loo_se: float
    sampler: str
    pareto_k: float
    verdict: checks.Verdict
    curve: curves.Curve
    noise: np.ndarray
    gain_10x: np.ndarray
    gain_100x: np.ndarray
    plateau_log10_flop: np.ndarray

    @property
    def p_plateau(self) -> float:
        """Probability that ten times more compute gains less than the noise."""
        return float(np.mean(self.gain_10x < self.noise))


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """The stacked answer about one run.

    points: of the run, after thinning; last_flop: of its last point
    """

    points: int
    last_flop: float
    families: dict[str, Family]

    @property
    def p_plateau(self) -> float:
        """Stacked probability that ten times more compute gains less than the noise."""
        return sum(f.weight * f.p_plateau for f in self.families.values())

    @property
    def side(self) -> str:
        """Return "plateau" or "improving" where the probability is over 0.9, else "open"."""
        sides = {"plateau": self.p_plateau, "improving": 1 - self.p_plateau}
        return next((side for side, p in sides.items() if p > SURE), "open")

    @property
    def verdict(self) -> checks.Verdict:
        """Return the gate's verdict on the families that count (weight of 5 % at least)."""
        return checks.together(
            {n: f.verdict for n, f in self.families.items() if f.weight >= RELEVANT_WEIGHT}
        )

    def quantiles(self, name: str) -> np.ndarray:
        """Return the 5, 50 and 95 % quantiles of a field of `Family` over the stack."""
        values = np.concatenate([getattr(f, name) for f in self.families.values()])
        weight = np.concatenate(
            [np.full(len(f.noise), f.weight / len(f.noise)) for f in self.families.values()]
        )
        order = np.argsort(values)
        below = np.cumsum(weight[order])
        return values[order][np.searchsorted(below / below[-1], QUANTILES)]


class Curve(NamedTuple):
    """What is asked about: of one run, or the envelope over runs; flop, performance: (point,)."""

    what: str
    flop: np.ndarray
    performance: np.ndarray


def read_curve(
    table: str | Path,
    performance: str,
    *,
    run: str | None = None,
    where: Mapping[str, str] | None = None,
    losses: bool = False,
) -> Curve:
    """Return one run of a table, or the best of all its runs at each compute.

    table: id of a packaged table or path of a CSV file, with a column training_compute_flop and, if
        it holds several runs, one of run, run_id or curve_id; performance: its column
    run: cell of the run's column, None for the best of all; where: column -> cell of rows to keep
    losses: performance is a loss, the best is the lowest
    Raises ``ValueError`` for what is not there, for cells that are not numbers, or where board
    sizes would be mixed.
    """
    frame = read_runs(table, where).frame
    name = next((c for c in RUN_COLUMNS if c in frame), None)
    if run is not None:
        if name is None:
            raise ValueError(f"run: got {run!r}, but no column {' or '.join(RUN_COLUMNS)}")
        frame = frame[frame[name].astype(str) == run]
        if frame.empty:
            raise ValueError(f"run: got {run!r}, but no row has this {name}")
    flop, found = (_numbers(frame, column) for column in ("training_compute_flop", performance))
    if "board_size" in frame and frame["board_size"].nunique() > 1:
        raise ValueError("where: got several board sizes, expected one, as where board_size=9")
    if name is None or frame[name].nunique() == 1:
        return Curve("run" if name is None else f"run {frame[name].iloc[0]}", flop, found)
    learning_curve.check(flop, found)
    sign = -1 if losses else 1
    at, best = envelope(flop, sign * found, frame[name].to_numpy())
    return Curve(f"best of {frame[name].nunique()} runs", at, sign * best)


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    if column not in frame:
        raise ValueError(f"{column}: no such column, expected one of {', '.join(map(str, frame))}")
    found = pd.to_numeric(frame[column], errors="coerce")
    if found.isna().any():
        cell = frame[column][found.isna()].iloc[0]
        raise ValueError(f"{column}: got {cell!r}, expected a number")
    return found.to_numpy(dtype=float)


def envelope(
    flop: np.ndarray, performance: np.ndarray, run: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (compute, performance) of the best of all runs, 101 points even in log compute.

    flop, performance, run: (point,). Each run is interpolated in log compute between its points,
    as in Jones (2021, arXiv 2104.03113). Where no run has a point, there is none.
    """
    log10_flop = np.log10(np.asarray(flop, dtype=float))
    at = np.linspace(log10_flop.min(), log10_flop.max(), 101)
    performance, run = np.asarray(performance, dtype=float), np.asarray(run)
    best = np.full(len(at), -np.inf)
    for one in pd.unique(run):
        x, y = log10_flop[run == one], performance[run == one]
        order = np.argsort(x)
        best = np.fmax(best, np.interp(at, x[order], y[order], left=-np.inf, right=-np.inf))
    known = np.isfinite(best)
    return 10 ** at[known], best[known]


def plateau(
    flop: np.ndarray,
    performance: np.ndarray,
    *,
    losses: bool = False,
    noise: float | None = None,
    limit: float = np.inf,
    seed: int = 0,
    report: Report | None = None,
) -> Plateau:
    """Return whether a run has flattened, and what more compute would gain.

    flop, performance: (point,), in any order, of one run (or of `envelope`)
    losses: performance is a loss, which falls; gains are then falls of the log loss [nat]
    noise: gains below it count as none, in units of performance (of log loss); None for the scatter
        about the curve, a draw at a time
    limit: the best score there can be, 0 for Elo relative to perfect play
    report: called with (what, done, total)
    Raises ``ValueError`` for values that are not finite, or not positive where they must be, and
    for fewer than 8 points that are 0.05 orders of magnitude of compute apart.
    """
    if noise is not None and not noise > 0:
        raise ValueError(f"noise: got {noise}, expected a positive number")
    performance = np.asarray(performance, dtype=float)
    if losses:
        if not (performance > 0).all():
            wrong = performance[~(performance > 0)][0]
            raise ValueError(f"performance: got {wrong:g}, expected losses above 0")
        performance = -np.log(performance)
    run = learning_curve.observations(flop, performance)
    families = LOSS_FAMILIES if losses else SCORE_FAMILIES
    fits, scores = _stacked(run, families, seed, report or (lambda what, done, total: None))
    return Plateau(
        points=len(run.log_flop),
        last_flop=float(np.exp(run.middle[0] + run.half[0])),
        families={
            name: _family(run, name, fit, scores.loc[name].to_dict(), noise, limit)
            for name, fit in fits.items()
        },
    )


def _stacked(
    run: Run, families: tuple[str, ...], seed: int, report: Report
) -> tuple[dict[str, inference.Fit], pd.DataFrame]:
    """Return the fit of each family, and the table of their scores and weights."""
    fits = {}
    for index, name in enumerate(families):
        report("fit curves", index, len(families))
        fits[name] = _fit(run, name, (seed, index), _QUICK)
    report("fit curves", len(families), len(families))
    scores = _scores(run, fits)
    # Where the quick way fails for a family that counts, it gets more proposals.
    unsure = [
        (index, name)
        for index, name in enumerate(families)
        if scores["weight"][name] >= RELEVANT_WEIGHT
        and not fits[name].pareto_k < inference.PARETO_K_LIMIT
    ]
    for index, name in unsure:
        fits[name] = _fit(run, name, (seed, index), _THOROUGH)
    return fits, _scores(run, fits) if unsure else scores


@cache
def _compiled(family: str, points: int) -> Compiled:
    """Return the program that fits a family to any run of so many points."""
    example = np.linspace(-1, 1, 2 + 3 * points)
    return compile_model(learning_curve.model, _data(family), example)


def _data(family: str) -> dict[str, Any]:
    return {"family": family, "priors": learning_curve.default_priors()}


def _fit(
    run: Run, family: str, seed: tuple[int, ...], settings: inference.SamplerSettings
) -> inference.Fit:
    return inference.fit(
        learning_curve.model,
        _data(family),
        nodes=learning_curve.nodes(run, family),
        compiled=_compiled(family, len(run.log_flop)),
        seed=seed,
        settings=settings,
    )


def _tree(run: Run, fit: inference.Fit) -> xr.DataTree:
    """Return what LOO and the gate look at."""

    def per(values: np.ndarray) -> xr.Dataset:
        return xr.Dataset({"performance": (("chain", "draw", "point")[-values.ndim :], values)})

    posterior = {name: (("chain", "draw"), value) for name, value in fit.draws.items()}
    # Draws of importance sampling repeat; ties leave the Pareto fit of LOO without an answer.
    untied = _TIE_NAT * np.random.default_rng(0).standard_normal(fit.log_likelihood.shape)
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(posterior),
            "log_likelihood": per(fit.log_likelihood + untied),
            "observed_data": per(run.performance),
        }
    )


def _scores(run: Run, fits: Mapping[str, inference.Fit]) -> pd.DataFrame:
    """Return the table of families: elpd, se and weight of each in the stack."""
    import arviz_stats

    loo = {name: leave_one_out(_tree(run, fit)) for name, fit in fits.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # of pandas, inside arviz
        return arviz_stats.compare(loo, method="stacking")


@jax.jit
def _left(
    found: curves.Curve, log_flop: Array, noise: Array, limit: Array
) -> tuple[Array, Array, Array]:
    """Return the gains of 10 and 100 times the compute, and ln C from which on it is flat."""
    gains = [curves.gain_left(found, log_flop, n * curves.LOG_10, limit) for n in (1, 2)]
    return gains[0], gains[1], curves.log_flop_of_plateau(found, log_flop, noise, limit)


def _family(
    run: Run,
    name: str,
    fit: inference.Fit,
    score: dict[Any, Any],
    noise: float | None,
    limit: float,
) -> Family:
    draws = {key: value.reshape(-1) for key, value in fit.draws.items()}
    scatter = draws["residual_scale"] * run.half[1]
    scatter = scatter if noise is None else np.full_like(scatter, noise)
    with jax.enable_x64(True):
        found = learning_curve.curve(name, draws, half_performance=run.half[1])
        found = learning_curve.physical(found, run)
        gains = _left(found, run.middle[0] + run.half[0], scatter, limit)
    gain_10x, gain_100x, flat = map(np.asarray, gains)
    return Family(
        weight=float(score["weight"]),
        elpd_loo=float(score["elpd"]),
        elpd_loo_se=float(score["se"]),
        sampler=fit.sampler,
        pareto_k=fit.pareto_k,
        verdict=checks.judge(quantities_of(_tree(run, fit), fit, "performance")),
        curve=found,
        noise=scatter,
        gain_10x=gain_10x,
        gain_100x=gain_100x,
        plateau_log10_flop=flat / curves.LOG_10,
    )


def plateau_summary(found: Plateau) -> dict[str, Any]:
    """Return the answer as plain numbers; what is never reached is None."""

    def spread(values: np.ndarray) -> dict[str, float | None]:
        names = ("q05", "q50", "q95")
        return {n: float(v) if np.isfinite(v) else None for n, v in zip(names, values, strict=True)}

    fields = ("gain_10x", "gain_100x", "noise", "plateau_log10_flop")
    return {
        "points": found.points,
        "last_flop": found.last_flop,
        "p_plateau": found.p_plateau,
        "side": found.side,
        **{name: spread(found.quantiles(name)) for name in fields},
        "verdict": found.verdict.verdict,
        "reasons": list(found.verdict.reasons),
        "families": {
            name: {
                "weight": each.weight,
                "elpd_loo": each.elpd_loo,
                "elpd_loo_se": each.elpd_loo_se,
                "p_plateau": each.p_plateau,
                "verdict": each.verdict.verdict,
                **{f: spread(np.quantile(getattr(each, f), QUANTILES)) for f in fields[:2]},
            }
            for name, each in found.families.items()
        },
    }
