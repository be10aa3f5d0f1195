"""Figures of any fitted study: record and rivals, prior and posterior, predictive checks.

Each takes the tree of `studies.fit_study` and returns a matplotlib `Figure`.
"""

import json
from functools import lru_cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from .leave_one_out import ties_broken
from .plot_fits import Panel, prior_posterior_page
from .plot_page import BLUE, GREY, INK, clean, legend, page, plain, powers_of_ten
from .tables import quantity_words

COLOURS = (BLUE, "#D55E00", "#00805F", "#E69F00", "#8E4585", "#56B4E9", "#7A5C00")
DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
MOST_PANELS = 16
_STEPS, _REPLICATIONS = 200, 200
_ENVELOPE = 0.95


def study_figure(tree: xr.DataTree) -> Figure:
    """Draw the rows of a study over time, and each rival's trend with its 90 % band.

    A study that is not over time is drawn by `predictive_figure`.
    """
    weights = _weights(tree)
    first = tree[next(iter(weights))]
    if "year" not in first["observed_data"] or not any("trend" in tree[r] for r in weights):
        return predictive_figure(tree)
    drawn = [rival for rival in weights if "trend" in tree[rival]]
    best = max(weights, key=lambda rival: weights[rival])
    claim = str(tree[best].attrs["claim"])
    figure, grid = page(
        study_attributes(tree),
        f"{claim[:1].upper()}{claim[1:]}" + (f": weight {weights[best]:.2f}" * (len(weights) > 1)),
        "Lines and bands: median and 90 % of each trend; weights by stacking (leave-one-out)",
        axes_inches=4.2,
        label_inches=(0.1, 0.3),
        legend_rows=-(-(len(drawn) + 1) // 2),
        sides=(0.085, 0.97),
        nrows=1,
        ncols=1,
    )
    axes = figure.add_subplot(grid[0])
    rows = first["observed_data"].to_dataset()
    style: dict[str, Any] = {"s": 13, "color": INK, "alpha": 0.5, "linewidths": 0, "zorder": 2}
    points = axes.scatter(rows["year"], rows[tree.attrs["observed"]], **style)
    handles: dict[str, Any] = {f"{rows['year'].size} rows": points}
    for number, rival in enumerate(drawn):
        label = f"{rival}, weight {weights[rival]:.2f}"
        handles[label] = _draw_trend(axes, tree[rival]["trend"].to_dataset(), number)
    _label_observed(axes, str(tree.attrs["unit"]), "y")
    clean(axes)
    legend(figure, study_attributes(tree), handles)
    return figure


def prior_posterior_figure(tree: xr.DataTree, rival: str) -> Figure:
    """Draw prior and posterior of every fitted quantity of a rival, at most 16 of them.

    Raises ``ValueError`` if the study has no such rival.
    """
    weights = _weights(tree)
    if rival not in weights:
        raise ValueError(f"rival: got {rival!r}, expected one of {', '.join(weights)}")
    panels = _panels(tree.children[rival])
    left_out = f"; {len(panels) - MOST_PANELS} more not shown" if len(panels) > MOST_PANELS else ""
    panels = panels[:MOST_PANELS]
    return prior_posterior_page(
        study_attributes(tree, rival),
        f"What {tree.attrs['rows']} rows teach: prior and posterior",
        f"{rival}: {tree[rival].attrs['claim']}{left_out}",
        panels,
    )


def predictive_figure(tree: xr.DataTree) -> Figure:
    """Draw posterior predictive checks of every rival.

    Left: the cumulative distribution of the rows, and of replications (90 % of them). Right: that
    of the leave-one-out probability integral transforms less that of the uniform distribution, with
    the envelope that holds 95 % of curves if the model is true (Säilynoja et al. 2022).
    """
    weights = _weights(tree)
    curves = {
        rival: _pit_curve(loo_pit(tree.children[rival], tree.attrs["observed"]))
        for rival in weights
    }
    outside = [rival for rival, curve in curves.items() if curve.leaves]
    figure, grid = page(
        study_attributes(tree),
        f"Rows are not as {' and '.join(outside)} would have them"
        if outside
        else "The rows are as the rivals would have them",
        "Left: distribution of rows and replications. Right: leave-one-out PIT, less uniform",
        axes_inches=2.3 * len(weights) - 0.7,
        label_inches=(0.3, 0.5),
        legend_rows=1,
        sides=(0.085, 0.97),
        nrows=len(weights),
        ncols=2,
        hspace=0.5,
        wspace=0.2,
    )
    for index, rival in enumerate(weights):
        left, right = (figure.add_subplot(grid[index, column]) for column in (0, 1))
        _draw_replications(left, tree.children[rival], tree.attrs["observed"])
        _draw_pit(right, curves[rival])
        _label_observed(left, str(tree.attrs["unit"]), "x" if index == len(weights) - 1 else "")
        left.set_ylabel("Share of rows below", size=9)
        told = f"{rival}: weight {weights[rival]:.2f}, fit {tree[rival].attrs['verdict']}"
        left.set_title(plain(told, 60), size=9, loc="left", color=INK, parse_math=False)
        note = "leaves the envelope" if rival in outside else "within the envelope"
        right.set_title(f"LOO-PIT {note}", size=9, loc="left", color=INK)
        if index == len(weights) - 1:
            right.set_xlabel("PIT", size=9)
        clean(left, right)
    handles = {
        "rows": Line2D([], [], color=INK, linewidth=1.5),
        "replications, 90 %; envelope, 95 %": Patch(color=BLUE, alpha=0.3),
    }
    legend(figure, study_attributes(tree), handles)
    return figure


def study_attributes(tree: xr.DataTree, rival: str | None = None) -> dict[str, str]:
    """Return what a page says of a fitted study, or of one of its rivals: title, gate, sources."""
    judged = tree.attrs if rival is None else tree[rival].attrs
    tables: dict[str, list[str]] = {}
    for name, entry in json.loads(tree.attrs["data"]).items():
        tables.setdefault(entry["attribution"], []).append(f"{name} {entry['vintage']}")
    owners = "; ".join(f"{owner} ({', '.join(names)})" for owner, names in tables.items())
    made = f"Study {tree.attrs['study']}, seed {tree.attrs['seed']}"
    return {
        "title": f"{tree.attrs['title']} ({tree.attrs['rows']} rows)",
        "verdict": judged["verdict"],
        "verdict_reasons": judged["reasons"],
        "made_from": f"{made}, aitimelines {version('aitimelines')}. Data: {owners}",
    }


def tables_of(tree: xr.DataTree) -> list[str]:
    """Return the ids of the tables that a study is fitted to."""
    return list(json.loads(tree.attrs["data"]))


# --- parts ----------------------------------------------------------------------------------------


def _weights(tree: xr.DataTree) -> dict[str, float]:
    """Return the stacking weight of each rival."""
    comparison = tree["comparison"].to_dataset()
    names = [str(name) for name in comparison["rival"].to_numpy()]
    return dict(zip(names, comparison["stacking_weight"].to_numpy().tolist(), strict=True))


def _draw_trend(axes: Axes, trend: xr.Dataset, number: int) -> Line2D:
    """Draw the median and the 90 % band of a trend."""
    colour = COLOURS[number % len(COLOURS)]
    path, year = trend["log10_value"], trend["trend_year"]
    low, middle, high = (path.sel(quantile=q) for q in (0.05, 0.5, 0.95))
    axes.fill_between(year, low, high, color=colour, alpha=0.2, linewidth=0, zorder=1)
    dash = DASHES[number % len(DASHES)]
    (line,) = axes.plot(year, middle, color=colour, linestyle=dash, linewidth=1.9, zorder=3)
    return line


def _label_observed(axes: Axes, unit: str, which: str) -> None:
    """Label the axis of the observed values: powers of ten if they are logarithms."""
    logarithm = unit.startswith("log10 ")
    if which:
        axes.set(**{f"{which}label": unit.removeprefix("log10 ")})
    if logarithm:
        powers_of_ten(axes.yaxis if which == "y" else axes.xaxis)


def _panels(fitted: xr.DataTree) -> list[Panel]:
    """Return what varies both beforehand and afterwards, a panel each; scalars first."""
    prior, posterior = fitted["prior"].to_dataset(), fitted["posterior"].to_dataset()
    shared = [str(name) for name in posterior if name in prior]
    found = []
    for name in sorted(shared, key=lambda name: posterior[name].ndim):
        before, after = prior[name].to_numpy(), posterior[name].to_numpy()
        if before.shape[2:] != after.shape[2:]:
            continue
        what, unit = quantity_words(name)
        if unit == "years" and np.median(after) > 1000:
            unit = "year"
        for place in np.ndindex(after.shape[2:]):
            pair = before[(..., *place)].ravel(), after[(..., *place)].ravel()
            index = ", ".join(str(i + 1) for i in place)
            if all(np.ptp(values) > 0 for values in pair):
                found.append(Panel(plain(f"{what} {index}", 34), unit, *pair))
    return found


def _draw_replications(axes: Axes, fitted: xr.DataTree, observed: str) -> None:
    """Draw the empirical distribution of the rows over that of replications."""
    rows = np.sort(fitted["observed_data"][observed].to_numpy())
    drawn = fitted["posterior_predictive"][observed].to_numpy()
    drawn = drawn.reshape(-1, drawn.shape[-1])
    chosen = drawn[np.linspace(0, len(drawn) - 1, _REPLICATIONS).astype(int)]
    margin = 0.15 * np.ptp(rows)
    at = np.linspace(rows[0] - margin, rows[-1] + margin, _STEPS)
    below = np.mean(chosen[:, :, None] <= at, axis=1)
    low, high = np.quantile(below, (0.05, 0.95), axis=0)
    axes.fill_between(at, low, high, color=BLUE, alpha=0.3, linewidth=0)
    axes.step(rows, np.arange(1, len(rows) + 1) / len(rows), where="post", color=INK, lw=1.5)
    axes.set(xlim=(at[0], at[-1]), ylim=(0, 1))


class _PitCurve(NamedTuple):
    """Distribution of PIT values less the uniform one, and its envelope."""

    at: np.ndarray
    departure: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def leaves(self) -> bool:
        """Whether the envelope is left anywhere."""
        return bool(np.any((self.departure < self.low) | (self.departure > self.high)))


def _pit_curve(pit: np.ndarray) -> _PitCurve:
    """Return the curve of PIT values, and its envelope."""
    at = np.linspace(0, 1, _STEPS)[1:-1]
    return _PitCurve(at, np.mean(pit[:, None] <= at, axis=0) - at, *_envelope(len(pit)))


@lru_cache
def _envelope(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the envelope of curves of n independent uniform numbers.

    It is as improbable everywhere; how improbable is found by simulation, so that it holds 95 % of
    whole curves (Säilynoja et al. 2022, algorithm 1).
    """
    at = np.linspace(0, 1, _STEPS)[1:-1]
    uniform = np.sort(np.random.default_rng(0).random((1000, n)), axis=1)
    counts = np.array([np.searchsorted(row, at, side="right") for row in uniform])
    tails = np.minimum(stats.binom.cdf(counts, n, at), stats.binom.sf(counts - 1, n, at))
    level = np.quantile(tails.min(axis=1), 1 - _ENVELOPE)
    return stats.binom.ppf(level, n, at) / n - at, stats.binom.ppf(1 - level, n, at) / n - at


def _draw_pit(axes: Axes, curve: _PitCurve) -> None:
    """Draw the curve of PIT values over its envelope."""
    axes.fill_between(curve.at, curve.low, curve.high, color=BLUE, alpha=0.3, linewidth=0)
    axes.step(curve.at, curve.departure, where="post", color=INK, linewidth=1.5)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.set_xlim(0, 1)


def loo_pit(fitted: xr.DataTree, observed: str) -> np.ndarray:
    """Return the probability integral transform of each row under the fit to all others, (row,)."""
    import warnings

    import arviz_stats

    with warnings.catch_warnings():  # of a Pareto k over 0.7, which the comparison keeps
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto", UserWarning)
        found = arviz_stats.loo_pit(ties_broken(fitted), var_names=observed)
    return np.asarray(found[observed] if isinstance(found, xr.Dataset) else found).ravel()
