"""Figure of hardware, money and capacity: a panel a study, rows and the best rival's trend.

Takes trees of `studies.fit_study` and returns a matplotlib `Figure`.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .history import capacity
from .plot_history import COLOURS, study_attributes
from .plot_page import GREY, INK, clean, draw_text, legend, page, powers_of_ten
from .studies import rivals_of

PANELS = {
    "hardware-flop-per-second": "Speed of GPUs, 32 bits",
    "hardware-formats": "Speed of ML chips, by format",
    "hardware-price-performance": "Speed per price",
    "hardware-energy-efficiency": "Work per energy, by format",
    "training-cost": "Cost of the largest runs",
    "company-compute-spend": "Companies' compute spending",
    "company-revenue": "Companies' revenue",
    "chip-stock": "AI chips sold",
    "clusters": "Speed of leading clusters",
    "cluster-power": "Power of leading clusters",
    "data-center-power": "Power of largest data centres",
    "data-center-chips": "Chips in largest data centres",
}
_COLUMNS = 3
_PLANNED = {"data-center-power": "power_mw", "data-center-chips": "h100_equivalents"}


def hardware_figure(fitted: Mapping[str, xr.DataTree]) -> Figure:
    """Draw the record and the trend of each study, with growth a year.

    fitted: trees of `studies.fit_study` by id, of any of `PANELS`
    Raises ``ValueError`` if there is none of these.
    """
    drawn = [name for name in PANELS if name in fitted]
    if not drawn:
        raise ValueError(f"fitted: got {sorted(fitted)}, expected some of {', '.join(PANELS)}")
    rows = -(-len(drawn) // _COLUMNS)
    attributes = _attributes([fitted[name] for name in drawn])
    figure, grid = page(
        attributes,
        _finding(fitted),
        "Growth a year: median and 90 %, now. Trend of the rival with most stacking weight",
        axes_inches=2.55 * rows - 0.8,
        label_inches=(0.45, 0.4),
        legend_rows=2,
        sides=(0.085, 0.985),
        nrows=rows,
        ncols=_COLUMNS,
        wspace=0.38,
        hspace=0.62,
    )
    for index, name in enumerate(drawn):
        _draw(figure.add_subplot(grid[index]), name, fitted[name])
    dot: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4}
    handles = {
        "rows, coloured by group (format, kind, company or maker)": Line2D(
            [], [], color=COLOURS[0], **dot
        ),
        "trend and 90 % band, of the first group or of the sum": Patch(color=INK, alpha=0.3),
        "plans of the source, not fitted": Line2D(
            [], [], color=GREY, markerfacecolor="none", **dot
        ),
    }
    legend(figure, attributes, handles)
    return figure


def _attributes(trees: list[xr.DataTree]) -> dict[str, str]:
    """Return what the page says of all studies together: the gate of the worst, all sources."""
    each = [study_attributes(tree) for tree in trees]
    worst = max(each, key=lambda a: ("PASS", "REVIEW", "FAIL").index(a["verdict"]))
    tables: dict[str, set[str]] = {}
    for tree in trees:
        for name, entry in json.loads(tree.attrs["data"]).items():
            tables.setdefault(entry["attribution"], set()).add(f"{name} {entry['vintage']}")
    owners = [f"{owner} ({', '.join(sorted(tables[owner]))})" for owner in sorted(tables)]
    count = f"{len(trees)} studies, {sum(int(tree.attrs['rows']) for tree in trees):,} rows"
    return {
        **worst,
        "title": f"Hardware, money and capacity ({count})",
        "made_from": f"aitimelines {version('aitimelines')}. Data: {'; '.join(owners)}",
    }


def _finding(fitted: Mapping[str, xr.DataTree]) -> str:
    """Return the headline: what clusters gain in a year, against what chips gain for a price."""
    if not {"clusters", "hardware-price-performance"} <= set(fitted):
        return "The record of hardware, money and capacity"
    gains = [
        np.median(_growth(fitted[name])) for name in ("clusters", "hardware-price-performance")
    ]
    return f"Clusters gain {gains[0]:.1f}x a year, a dollar's worth of chip only {gains[1]:.1f}x"


def _best(tree: xr.DataTree) -> str:
    weights = tree["comparison"]["stacking_weight"].to_numpy()
    return rivals_of(tree)[int(np.argmax(weights))]


def _growth(tree: xr.DataTree) -> np.ndarray:
    """Return draws of growth as a factor a year, of the total where a study has one."""
    quantities = tree[_best(tree)]["quantities"].to_dataset()
    names = ("total_last_year_growth_factor_per_year", "growth_factor_per_year")
    name = next(name for name in names if name in quantities)
    return quantities[name].to_numpy()


def _draw(axes: Axes, name: str, tree: xr.DataTree) -> None:
    fitted = tree[_best(tree)]
    rows, trend = fitted["observed_data"].to_dataset(), fitted["trend"].to_dataset()
    group = rows["group"].to_numpy().astype(int) if "group" in rows else np.zeros(rows.year.size)
    many = rows["year"].size > 200
    style: dict[str, Any] = {"linewidths": 0, "zorder": 2, "alpha": 0.25 if many else 0.7}
    colours = [COLOURS[int(each) % len(COLOURS)] for each in group]
    size = 4 if many else 14
    axes.scatter(rows["year"], rows[tree.attrs["observed"]], s=size, c=colours, **style)
    low, middle, high = (trend["log10_value"].sel(quantile=q) for q in (0.05, 0.5, 0.95))
    axes.fill_between(trend["trend_year"], low, high, color=INK, alpha=0.25, linewidth=0, zorder=3)
    axes.plot(trend["trend_year"], middle, color=INK, linewidth=1.4, zorder=4)
    if name in _PLANNED:
        plans = capacity.plans()
        plans = plans[plans[_PLANNED[name]] > 0]
        axes.scatter(
            plans["year"],
            np.log10(plans[_PLANNED[name]]),
            s=12,
            facecolors="none",
            edgecolors=GREY,
            linewidths=0.8,
        )
        axes.axvline(capacity.observed_until(), color=GREY, linewidth=0.8, linestyle=":")
    clean(axes)
    powers_of_ten(axes.yaxis)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.tick_params(labelsize=8)
    low, middle, high = np.quantile(_growth(tree), [0.05, 0.5, 0.95])
    axes.set_ylabel(str(tree.attrs["unit"]).removeprefix("log10 "), size=8, color=GREY)
    style = {"transform": axes.transAxes, "va": "bottom"}
    growth = f"{middle:.2f}x a year ({low:.2f} to {high:.2f})"
    draw_text(axes, 0, 1.15, PANELS[name], size=8.5, weight="bold", **style)
    draw_text(axes, 0, 1.02, growth, size=8, **style)
