"""Figures of model size, the gap in it, and training sets against the stock of text.

Each takes the tree of `studies.fit_study` and returns a matplotlib `Figure`.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import data_stock
from .history import parameter_gap
from .plot_history import COLOURS, DASHES, study_attributes
from .plot_page import GREY, INK, clean, legend, page, powers_of_ten
from .studies import rivals_of

_BIN_OOM = 0.25
_LOG_LOW, _LOG_HIGH = np.log10([parameter_gap.LOW, parameter_gap.HIGH])
_FIRST_YEAR, _LAST_YEAR = 2018.0, 2034.0
_POINTS: dict[str, Any] = {"s": 13, "color": INK, "alpha": 0.55, "linewidths": 0, "zorder": 3}


def gap_figure(tree: xr.DataTree) -> Figure:
    """Draw sizes over time with the gap, beside their histogram and what each rival predicts.

    tree: the fit of ``parameter-gap`` or ``parameter-gap-all``.
    """
    names = rivals_of(tree)
    rows = tree[names[0]]["observed_data"].to_dataset()
    size = rows["log10_parameters"].to_numpy()
    count = int(np.sum((size > _LOG_LOW) & (size < _LOG_HIGH)))
    expected = float(np.median(tree["smooth"]["quantities"]["expected_systems_in_band"]))
    figure, grid = page(
        study_attributes(tree),
        f"Between 20 and 70 billion parameters: {count} models, {expected:.0f} if sizes are smooth",
        "Left: models by release. Right: how many by size, and posterior predictive means; "
        "weights by stacking (leave-one-out)",
        axes_inches=4.2,
        label_inches=(0.1, 0.5),
        legend_rows=3,
        sides=(0.085, 0.97),
        nrows=1,
        ncols=2,
        width_ratios=(3, 2),
        wspace=0.06,
    )
    left = figure.add_subplot(grid[0])
    right = figure.add_subplot(grid[1], sharey=left)
    handles: dict[str, Any] = {f"{len(size)} models": left.scatter(rows["year"], size, **_POINTS)}
    band = left.axhspan(_LOG_LOW, _LOG_HIGH, color=COLOURS[3], alpha=0.25, linewidth=0, zorder=0)
    right.axhspan(_LOG_LOW, _LOG_HIGH, color=COLOURS[3], alpha=0.25, linewidth=0, zorder=0)
    handles["20 to 70 billion parameters"] = band
    handles |= _draw_histograms(right, tree, size)
    left.set(xlabel="Release", ylabel="Parameters", ylim=(size.min() - 0.5, size.max() + 0.5))
    right.set_xlabel(f"Models in {_BIN_OOM:g} orders of magnitude", size=9)
    right.tick_params(labelleft=False)
    powers_of_ten(left.yaxis)
    clean(left, right)
    legend(figure, study_attributes(tree), handles)
    return figure


def _draw_histograms(axes: Axes, tree: xr.DataTree, size: np.ndarray) -> dict[str, Any]:
    """Draw the histogram of sizes, and each rival's predictive mean; return labels and lines."""
    # One bin ends just above the lower end of the band, so that models of just 20e9 are below it.
    first = _LOG_LOW + 1e-6 - _BIN_OOM * np.ceil((_LOG_LOW - size.min() + 0.5) / _BIN_OOM)
    edges = np.arange(first, size.max() + 0.75, _BIN_OOM)
    axes.hist(size, edges.tolist(), orientation="horizontal", color=GREY, alpha=0.35, zorder=1)
    weights = tree["comparison"]["stacking_weight"]
    handles = {}
    for number, name in enumerate(rivals_of(tree)):
        drawn = tree[name]["posterior_predictive"]["log10_parameters"].to_numpy()
        fine = np.arange(edges[0], edges[-1], 0.02)
        height, _ = np.histogram(drawn, fine)
        height = height * (_BIN_OOM / 0.02) / (drawn.size / len(size))
        smooth = np.convolve(height, np.ones(3) / 3, mode="same")
        style = {"color": COLOURS[number], "linestyle": DASHES[number], "linewidth": 1.6}
        (line,) = axes.plot(smooth, (fine[1:] + fine[:-1]) / 2, zorder=3, **style)
        handles[f"{name}, weight {float(weights.sel(rival=name)):.2f}"] = line
    return handles


def break_figure(tree: xr.DataTree) -> Figure:
    """Draw sizes over time, each rival's trend, and below them when the trend breaks.

    tree: the fit of one of the studies ``model-size-...``.
    """
    names, weights = rivals_of(tree), tree["comparison"]["stacking_weight"]
    broken = tree["1-breaks"]["quantities"].to_dataset()
    low, middle, high = np.quantile(broken["change_point_1_year"], (0.05, 0.5, 0.95))
    elpd = tree["comparison"]["elpd_loo"]
    gain = float(elpd.sel(rival="1-breaks") - elpd.sel(rival="0-breaks"))
    figure, grid = page(
        study_attributes(tree),
        f"One break, in {middle:.0f} ({low:.0f} to {high:.0f}), predicts "
        + (f"better by {gain:.0f} nats" if gain > 0 else f"no better ({gain:.0f} nats)"),
        "Lines and bands: median and 90 % of each trend. Below: posterior of the date of the break",
        axes_inches=5.0,
        label_inches=(0.1, 0.4),
        legend_rows=-(-(len(names) + 1) // 2),
        sides=(0.085, 0.97),
        nrows=2,
        ncols=1,
        height_ratios=(5, 1),
        hspace=0.12,
    )
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    rows = tree[names[0]]["observed_data"].to_dataset()
    points = upper.scatter(rows["year"], rows["log10_value"], **_POINTS)
    handles: dict[str, Any] = {f"{rows['year'].size} systems": points}
    for number, name in enumerate(names):
        style = {"color": COLOURS[number], "linestyle": DASHES[number]}
        trend = tree[name]["trend"].to_dataset()
        bottom, centre, top = (trend["log10_value"].sel(quantile=q) for q in (0.05, 0.5, 0.95))
        at = trend["trend_year"]
        upper.fill_between(at, bottom, top, color=COLOURS[number], alpha=0.15, linewidth=0)
        (line,) = upper.plot(at, centre, linewidth=1.8, **style)
        handles[f"{name}, weight {float(weights.sel(rival=name)):.2f}"] = line
        if name.startswith("1-"):
            date = tree[name]["quantities"]["change_point_1_year"].to_numpy()
            share, edges = np.histogram(date, np.arange(date.min() - 0.5, date.max() + 1.5))
            lower.stairs(share / share.max(), edges, linewidth=1.8, **style)
    upper.set_ylabel("Parameters")
    upper.tick_params(labelbottom=False)
    lower.set(xlabel="Date", yticks=[], ylim=(0, 1.1))
    powers_of_ten(upper.yaxis)
    clean(upper, lower)
    legend(figure, study_attributes(tree), handles)
    return figure


def stock_figure(tree: xr.DataTree) -> Figure:
    """Draw the stock of text and its use, and when they meet.

    tree: the fit of ``dataset-size-largest``. Use is also drawn as published (Villalobos et al.
    2024); bands hold 80 %, bars 80 % of the date on which use meets the stock.
    """
    drawn = data_stock.inputs()
    found = data_stock.stock(drawn)
    uses = {
        "use by the largest sets known": data_stock.fitted_use(tree, len(found.raw)),
        "use as published": data_stock.published_use(drawn),
    }
    dates = {name: data_stock.run_out_year(found, use) for name, use in uses.items()}
    low, middle, high = np.quantile(next(iter(dates.values())), (0.1, 0.5, 0.9))
    figure, grid = page(
        study_attributes(tree),
        f"Training sets on their trend meet the stock of text in {middle:.0f} "
        f"({low:.0f} to {high:.0f})",
        "Bands: 80 %; bars: 80 % and median of the date on which the largest set is all there is",
        axes_inches=4.4,
        label_inches=(0.1, 0.3),
        legend_rows=3,
        sides=(0.085, 0.97),
        nrows=1,
        ncols=1,
    )
    axes = figure.add_subplot(grid[0])
    rows = tree[rivals_of(tree)[0]]["observed_data"].to_dataset()
    shown = rows["year"].to_numpy() >= _FIRST_YEAR
    year, size = rows["year"].to_numpy()[shown], rows["log10_value"].to_numpy()[shown]
    handles: dict[str, Any] = {
        "training sets, among the five largest at release": axes.scatter(year, size, **_POINTS)
    }
    at = np.linspace(data_stock.STOCK_YEAR, _LAST_YEAR, 60)
    level = np.log10(found.effective), found.growth_oom_per_year, data_stock.STOCK_YEAR
    handles["stock of text, with what repetition is worth"] = _draw_line(axes, *level, at, 0, GREY)
    for number, (name, use) in enumerate(uses.items()):
        colour = COLOURS[number]
        since = np.linspace(use.year, _LAST_YEAR, 60)
        handles[name] = _draw_line(axes, *use, since, number + 1, colour)
        early, median, late = np.quantile(dates[name], (0.1, 0.5, 0.9))
        height = 11.0 + 0.25 * number
        axes.plot([early, late], [height] * 2, color=colour, linewidth=3, solid_capstyle="butt")
        axes.plot([median], [height], "o", color=colour, markersize=6)
    axes.set(xlabel="Date", ylabel="Tokens", xlim=(_FIRST_YEAR, _LAST_YEAR), ylim=(10.5, 17.5))
    powers_of_ten(axes.yaxis)
    clean(axes)
    legend(figure, study_attributes(tree), handles)
    return figure


def _draw_line(
    axes: Axes,
    level: np.ndarray,
    growth: np.ndarray,
    start: float,
    at: np.ndarray,
    number: int,
    colour: str,
) -> Any:
    """Draw the median and 80 % of a quantity that grows from a date on."""
    path = level[:, None] + growth[:, None] * (at - start)
    low, middle, high = np.quantile(path, (0.1, 0.5, 0.9), axis=0)
    axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0, zorder=1)
    (line,) = axes.plot(at, middle, color=colour, linestyle=DASHES[number], linewidth=1.9, zorder=2)
    return line
