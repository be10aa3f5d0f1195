"""Figure of the eras of training compute: systems, rival lines, and when they break.

Takes the tree of `studies.fit_study` for ``training-compute-eras`` or its version of 2026, and
returns a matplotlib `Figure`.
"""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .leave_one_out import leave_one_out
from .plot_history import COLOURS, study_attributes
from .plot_page import INK, clean, legend, page, powers_of_ten
from .studies import rivals_of

_TWO_LINES = "two-scales"
_POINTS: dict[str, Any] = {"s": 13, "color": INK, "alpha": 0.5, "linewidths": 0, "zorder": 3}
_LINES = {"frontier": (COLOURS[0], "-"), "1-breaks": (COLOURS[1], "--")}
# Quantity -> (rival, its label).
_DATES = {
    "frontier": ("change_point_1_year", "break, frontier"),
    "1-breaks": ("change_point_1_year", "break, line with a tail on both sides"),
    _TWO_LINES: ("large_scale_start_year", "second line begins"),
}


def three_eras(tree: xr.DataTree) -> Figure:
    """Draw systems by release with one-line rivals, and below them the dates of their breaks."""
    attributes = study_attributes(tree)
    figure, grid = page(
        attributes,
        finding(tree),
        "Above: medians and central 90 % of a frontier that systems lie below, and of a line amid "
        "them. Below: posterior of dates",
        axes_inches=5.4,
        label_inches=(0.1, 0.5),
        legend_rows=4,
        sides=(0.085, 0.97),
        nrows=2,
        ncols=1,
        height_ratios=(3, 1),
        hspace=0.08,
    )
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    handles = _draw_lines(upper, tree) | _draw_dates(lower, tree)
    upper.set_ylabel("Training compute [FLOP]", size=9.5)
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("Release")
    lower.set_ylabel("Probability\nper year", size=9.5)
    powers_of_ten(upper.yaxis)
    clean(upper, lower)
    figure.align_ylabels([upper, lower])
    legend(figure, attributes, handles)
    return figure


def finding(tree: xr.DataTree) -> str:
    """Return what the comparison says, in one line: when it breaks, whether there are two lines."""
    gain, error = second_line(tree)
    sure = "two lines fit better" if gain > 2 * error else "no sign of a second line"
    year = np.quantile(tree["frontier"]["quantities"]["change_point_1_year"], [0.05, 0.95])
    return f"Training compute speeds up between {year[0]:.0f} and {year[1]:.0f}; {sure}"


def second_line(tree: xr.DataTree) -> tuple[float, float]:
    """Return (gain in log score of the best rival with two lines over the best with one, s.e.).

    The scores are of leave-one-out; the error is that of the sum of differences over systems.
    """
    score = {n: float(tree["comparison"]["elpd_loo"].sel(rival=n)) for n in rivals_of(tree)}
    two = max((n for n in score if n.startswith(_TWO_LINES)), key=score.__getitem__)
    one = max((n for n in score if not n.startswith(_TWO_LINES)), key=score.__getitem__)
    each = pointwise(tree, two) - pointwise(tree, one)
    return float(each.sum()), float(np.sqrt(len(each)) * each.std(ddof=1))


def pointwise(tree: xr.DataTree, rival: str) -> np.ndarray:
    """Return the leave-one-out log score of each system, (system,)."""
    return np.asarray(leave_one_out(tree.children[rival]).elpd_i, dtype=float)


def _draw_lines(axes: Axes, tree: xr.DataTree) -> dict[str, Any]:
    rows = tree[rivals_of(tree)[0]]["observed_data"].to_dataset()
    year, value = rows["year"].to_numpy(), rows["log10_value"].to_numpy()
    handles: dict[str, Any] = {f"{len(year)} systems": axes.scatter(year, value, **_POINTS)}
    for name, (colour, dashes) in _LINES.items():
        trend = tree[name]["trend"].to_dataset()["log10_value"]
        at = trend["trend_year"].to_numpy()
        low, middle, high = (trend.sel(quantile=q).to_numpy() for q in (0.05, 0.5, 0.95))
        axes.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        (line,) = axes.plot(at, middle, color=colour, linestyle=dashes, linewidth=1.8)
        weight = float(tree["comparison"]["stacking_weight"].sel(rival=name))
        handles[f"{tree[name].attrs['claim']} (weight {weight:.2f})"] = line
    axes.set_ylim(value.min() - 1, value.max() + 1)
    return handles


def _draw_dates(axes: Axes, tree: xr.DataTree) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for number, (name, (quantity, label)) in enumerate(_DATES.items()):
        years = tree[name]["quantities"][quantity].to_numpy().ravel()
        edges = np.arange(np.floor(years.min()), np.ceil(years.max()) + 2) - 0.5
        colour = COLOURS[number]
        density, _ = np.histogram(years, edges, density=True)
        drawn = axes.stairs(
            density, edges, color=colour, linewidth=1.4, linestyle=("-", "--", ":")[number]
        )
        handles[label] = drawn
    axes.set_ylim(bottom=0)
    return handles
