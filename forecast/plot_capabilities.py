"""Figures of capability trends: time horizons to a work month and beyond, the capabilities index.

Each takes trees of `studies.fit_study` and returns a matplotlib `Figure`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .history import capabilities, time_horizons
from .plot_history import COLOURS, DASHES, study_attributes
from .plot_page import GREY, INK, clean, draw_text, legend, page
from .studies import rivals_of

_LAST_YEAR = 2031.0
_STEP_YEARS = 0.05
# Minutes, as people say them; a day has 8 hours of work, a month 167, a year 2000.
_SPANS = {
    1 / 60: "1 second",
    0.25: "15 seconds",
    1: "1 minute",
    10: "10 minutes",
    60: "1 hour",
    480: "1 work day",
    2400: "1 work week",
    time_horizons.WORK_MONTH_MINUTES: "1 work month",
    time_horizons.WORK_YEAR_MINUTES: "1 work year",
}
_IF = {
    "exponential": "growth stays exponential",
    "broken": "the pace since its break holds",
    "superexponential": "doublings keep shortening",
    "accelerating": "the pace keeps rising",
}


def horizon_figure(tree: xr.DataTree) -> Figure:
    """Draw time horizons of the best models and where each rival takes them, to 2031.

    tree: the fit of ``time-horizons`` or ``time-horizons-80``.
    """
    attributes = study_attributes(tree)
    drawn = rivals_of(tree)
    best = _heaviest(tree)
    low, middle, high = _quantity(tree, best, "year_of_one_work_month")
    figure, grid = page(
        attributes,
        f"A work month by {middle:.1f} ({low:.1f} to {high:.1f}) if {_IF[best]}",
        "Lines and bands: median and 90 % of each curve on suite 1.1; bars: METR's 95 % intervals",
        axes_inches=4.6,
        label_inches=(0.1, 0.3),
        legend_rows=-(-(len(drawn) + 2) // 2),
        sides=(0.13, 0.97),
        nrows=1,
        ncols=1,
    )
    axes = figure.add_subplot(grid[0])
    handles = _draw_horizons(axes, tree[drawn[0]]["observed_data"].to_dataset())
    weights = tree["comparison"]["stacking_weight"]
    for number, rival in enumerate(drawn):
        label = f"{rival}, weight {float(weights.sel(rival=rival)):.2f}"
        handles[label] = _draw_curve(axes, tree.children[rival], rival, number)
    ticks = np.log2(list(_SPANS))
    axes.set_yticks(ticks, list(_SPANS.values()))
    lowest = float(tree[best]["observed_data"].to_dataset()["log2_minutes"].min())
    axes.set_ylim(min(ticks[0], lowest) - 1, ticks[-1] + 1)
    axes.set_xlim(2018.8, _LAST_YEAR)
    clean(axes)
    legend(figure, attributes, handles)
    return figure


def _heaviest(tree: xr.DataTree) -> str:
    comparison = tree["comparison"].to_dataset()
    return str(comparison["rival"].to_numpy()[np.argmax(comparison["stacking_weight"].to_numpy())])


def _quantity(tree: xr.DataTree, rival: str, name: str) -> tuple[float, float, float]:
    """Return (5 %, median, 95 %) of a quantity of a rival."""
    draws = tree[rival]["quantities"].to_dataset()[name].to_numpy()
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)


def _posterior(fitted: xr.DataTree) -> dict[str, np.ndarray]:
    return {str(k): v.to_numpy() for k, v in fitted["posterior"].to_dataset().items()}


def _draw_horizons(axes: Axes, rows: xr.Dataset) -> dict[str, Any]:
    """Draw measurements with their intervals, filled for suite 1.1."""
    handles: dict[str, Any] = {}
    older = rows["older_suite"].to_numpy().astype(bool)
    for label, which, face in (("suite 1.1", ~older, INK), ("suite 1.0", older, "white")):
        sides = np.stack([rows["below"].to_numpy()[which], rows["above"].to_numpy()[which]])
        handles[f"best models at their release, {label}"] = axes.errorbar(
            rows["year"].to_numpy()[which],
            rows["log2_minutes"].to_numpy()[which],
            yerr=1.96 * sides,
            fmt="o",
            markersize=4,
            color=INK,
            markerfacecolor=face,
            ecolor=GREY,
            elinewidth=0.7,
            zorder=4,
        )
    return handles


def _draw_curve(axes: Axes, fitted: xr.DataTree, rival: str, number: int) -> Line2D:
    """Draw the median and 90 % of a rival's curve; where it is infinite, it leaves the axes."""
    year = fitted["observed_data"]["year"].to_numpy()
    at = np.arange(year.min(), _LAST_YEAR, _STEP_YEARS)
    path = time_horizons.log2_minutes_at(rival, _posterior(fitted), year, at)
    top = 2 * np.log2(time_horizons.WORK_YEAR_MINUTES)
    return _draw_band(axes, at, np.minimum(path, top), number)


def _draw_band(axes: Axes, at: np.ndarray, path: np.ndarray, number: int) -> Line2D:
    low, middle, high = np.quantile(path, [0.05, 0.5, 0.95], axis=(0, 1))
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)
    (line,) = axes.plot(at, middle, color=colour, linestyle=dash, linewidth=1.9, zorder=3)
    return line


def index_figure(frontier: xr.DataTree, by_compute: xr.DataTree) -> Figure:
    """Draw the capabilities index: its frontier over time, and all models over compute.

    frontier, by_compute: fits of ``capabilities-index`` and ``capabilities-index-compute``.
    """
    attributes = study_attributes(frontier)
    both = "compute-and-date"
    low, middle, high = _quantity(by_compute, both, "algorithmic_progress_oom_per_year")
    figure, grid = page(
        attributes,
        f"A year is worth {middle:.1f} OOM of training compute ({low:.1f} to {high:.1f})",
        "Left: frontier and its trends, median and 90 %. Right: all models with known compute",
        axes_inches=3.6,
        label_inches=(0.25, 0.5),
        legend_rows=2,
        sides=(0.085, 0.97),
        nrows=1,
        ncols=2,
        wspace=0.2,
    )
    left, right = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    handles = _draw_frontier(left, frontier)
    _draw_by_compute(right, by_compute.children[both])
    left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    left.set_ylabel("Epoch Capabilities Index", size=9)
    right.set_xlabel("Training compute, log10 FLOP", size=9)
    clean(left, right)
    legend(figure, attributes, handles)
    return figure


def _draw_frontier(axes: Axes, tree: xr.DataTree) -> Mapping[str, Any]:
    handles: dict[str, Any] = {}
    weights = tree["comparison"]["stacking_weight"]
    for number, rival in enumerate(rivals_of(tree)):
        rows = tree[rival]["observed_data"].to_dataset()
        year = rows["year"].to_numpy()
        at = np.arange(year.min(), year.max() + 1.0, _STEP_YEARS)
        path = capabilities.frontier_at(_posterior(tree.children[rival]), year, at)
        label = f"{rival}, weight {float(weights.sel(rival=rival)):.2f}"
        handles[label] = _draw_band(axes, at, path, number)
    handles["frontier at release"] = axes.scatter(year, rows["eci"], s=16, color=INK, zorder=4)
    return handles


def _draw_by_compute(axes: Axes, fitted: xr.DataTree) -> None:
    """Draw the models of each calendar year in a colour, with the fit at its middle."""
    rows, draws = fitted["observed_data"].to_dataset(), _posterior(fitted)
    year, flop = rows["year"].to_numpy(), rows["log10_flop"].to_numpy()
    ends = np.array([flop.min(), flop.max()])
    for number, start in enumerate(np.unique(np.floor(year))):
        here = np.floor(year) == start
        colour = COLOURS[number % len(COLOURS)]
        axes.scatter(flop[here], rows["eci"].to_numpy()[here], s=12, color=colour, alpha=0.8)
        centre = np.median(draws["level_at_centre"])
        centre = centre + np.median(draws["points_per_year"]) * (start + 0.5 - np.median(year))
        line = centre + np.median(draws["points_per_oom"]) * (ends - np.median(flop))
        axes.plot(ends, line, color=colour, linewidth=1.2)
        draw_text(axes, ends[1], line[1], f"{start:.0f}", size=8, color=colour, va="bottom")
