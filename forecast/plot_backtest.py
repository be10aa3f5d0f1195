"""Figures of a backtest: fans over later truth, calibration, scores by years ahead."""

import json
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .backtest import NAIVE, STACKED
from .backtest_fits import TITLES
from .backtest_scores import forecasts_of, scores
from .plot_page import BLUE, GREY, INK, clean, legend, page, powers_of_ten

COLOURS = {STACKED: BLUE, **dict(zip(NAIVE, ("#D55E00", "#7A5C00"), strict=True))}
_NAMES = {
    "training_compute": "training compute",
    "model_size": "model size",
    "price_performance": "FLOP per dollar",
}


def fan_figure(tree: xr.DataTree, quantity: str = "training_compute") -> Figure:
    """Draw what was forecast of single runs from each date, over the runs that came.

    Raises ``ValueError`` if there is no such quantity.
    """
    if quantity not in TITLES:
        raise ValueError(f"quantity: got {quantity!r}, expected one of {', '.join(TITLES)}")
    fans = tree["fan"].to_dataset()[quantity].dropna("as_of", how="all")
    dates = [str(date) for date in fans["as_of"].to_numpy()]
    columns = min(4, len(dates))
    rows = -(-len(dates) // columns)
    frame = forecasts_of(tree)
    ours = frame[
        (frame["quantity"] == quantity) & (frame["target"] == "run") & (frame["method"] == STACKED)
    ]
    inside = np.mean((ours["actual"] >= ours["q05"]) & (ours["actual"] <= ours["q95"]))
    figure, grid = page(
        _attributes(tree),
        f"Backtest of {_NAMES[quantity]}: {inside:.0%} of later runs fell inside the 90 % band",
        "Forecast of single runs from what was known on each date (bands hold 50 % and 90 %)",
        axes_inches=2.5 * rows,
        label_inches=(0.35, 0.3),
        legend_rows=1,
        sides=(0.07, 0.98),
        nrows=rows,
        ncols=columns,
        hspace=0.4,
        wspace=0.12,
    )
    record = tree["record"].to_dataset().to_dataframe()
    record = record[record["quantity"] == quantity]
    first: Axes | None = None
    for number, date in enumerate(dates):
        axes = figure.add_subplot(grid[number], sharex=first, sharey=first)
        first = first or axes
        _draw_fan(axes, date, fans.sel(as_of=date), record["year"], record["log10_value"])
        if number % columns:
            axes.tick_params(labelleft=False)
    assert first is not None
    powers_of_ten(first.yaxis)
    legend(
        figure,
        _attributes(tree),
        {
            "known then": Line2D([], [], marker="o", color=GREY, linestyle="", markersize=3),
            "came later": Line2D([], [], marker="o", color=INK, linestyle="", markersize=4),
        },
    )
    return figure


def _draw_fan(axes: Axes, date: str, fan: xr.DataArray, year: Any, value: Any) -> None:
    start = float(date[:4]) + (float(date[5:7]) - 1) / 12 + (float(date[8:10]) - 1) / 365
    at = start + fan["fan_years_ahead"].to_numpy()
    for low, high, strength in ((0.05, 0.95, 0.2), (0.25, 0.75, 0.4)):
        below, above = (fan.sel(quantile=q).to_numpy() for q in (low, high))
        axes.fill_between(at, below, above, color=BLUE, alpha=strength, linewidth=0)
    axes.plot(at, fan.sel(quantile=0.5), color=BLUE, linewidth=1.2)
    then = np.asarray(year) <= start
    for chosen, colour, size in ((then, GREY, 5), (~then, INK, 9)):
        style: dict[str, Any] = {"s": size, "color": colour, "linewidths": 0, "zorder": 3}
        axes.scatter(np.asarray(year)[chosen], np.asarray(value)[chosen], **style)
    axes.set_title(f"as of {date}", size=9, color=INK, loc="left", parse_math=False)
    clean(axes)


def calibration_figure(tree: xr.DataTree) -> Figure:
    """Draw, for each quantity, how often outcomes fell below their forecast quantiles.

    The probability integral transforms of calibrated forecasts lie on the diagonal.
    """
    frame = forecasts_of(tree)
    runs = frame[frame["target"] == "run"]
    names = list(runs["quantity"].unique())
    figure, grid = page(
        _attributes(tree),
        "Calibration: share of later runs below each forecast quantile",
        "On the diagonal: calibrated; below it: too low, above: too high; S-shaped: too wide",
        axes_inches=2.9,
        label_inches=(0.35, 0.5),
        legend_rows=2,
        sides=(0.07, 0.98),
        nrows=1,
        ncols=len(names),
        wspace=0.12,
    )
    for number, name in enumerate(names):
        axes = figure.add_subplot(grid[number])
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        for method, colour in COLOURS.items():
            part = runs[(runs["quantity"] == name) & (runs["method"] == method)]
            pit = np.sort(part["pit"].to_numpy())
            axes.step(pit, np.arange(1, len(pit) + 1) / len(pit), color=colour, linewidth=1.4)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="forecast probability")
        axes.set_title(_NAMES[name], size=10, loc="left", color=INK)
        if number:
            axes.tick_params(labelleft=False)
        clean(axes)
    legend(figure, _attributes(tree), _handles())
    return figure


def horizon_figure(tree: xr.DataTree) -> Figure:
    """Draw the mean CRPS by years ahead of this forecast and of the naive ones."""
    frame = scores(forecasts_of(tree), ("quantity", "target", "method", "years_ahead"))
    panels = list(frame[["quantity", "target"]].drop_duplicates().itertuples(index=False))
    figure, grid = page(
        _attributes(tree),
        "Error of the forecasts by years ahead",
        "Mean continuous ranked probability score in orders of magnitude; lower is better",
        axes_inches=2.6,
        label_inches=(0.35, 0.5),
        legend_rows=2,
        sides=(0.06, 0.98),
        nrows=1,
        ncols=len(panels),
        wspace=0.25,
    )
    for number, (quantity, target) in enumerate(panels):
        axes = figure.add_subplot(grid[number])
        part = frame[(frame["quantity"] == quantity) & (frame["target"] == target)]
        for method, colour in COLOURS.items():
            line = part[part["method"] == method].sort_values("years_ahead")
            axes.plot(line["years_ahead"], line["crps"], color=colour, marker="o", markersize=3)
        axes.set(ylim=(0, None), xlabel="years ahead")
        axes.set_title(f"{_NAMES[quantity]}: {target}s", size=9, loc="left", color=INK)
        clean(axes)
    legend(figure, _attributes(tree), _handles())
    return figure


def _handles() -> dict[str, Any]:
    names = {STACKED: "this forecast"}
    return {names.get(method, method): Patch(color=colour) for method, colour in COLOURS.items()}


def _attributes(tree: xr.DataTree) -> dict[str, str]:
    owners = {entry["attribution"] for entry in json.loads(tree.attrs["data"]).values()}
    made = f"aitimelines {version('aitimelines')}, backtest of {tree.attrs['scenario_id']}"
    known = f"outcomes known on {tree.attrs['record_known']}"
    return {
        "title": f"Scenario {tree.attrs['scenario_id']}, {known}",
        "verdict": "PASS",
        "verdict_reasons": "[]",
        "made_from": f"{made}; data: {'; '.join(sorted(owners))}",
    }
