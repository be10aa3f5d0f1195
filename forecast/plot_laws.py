"""Figures of scaling laws: loss over N and D, isoFLOP slices, best N, overtraining, compression.

Each function takes a fit of `law_fits`, or a frame of `law_frames` or `training_decisions`, and
returns a matplotlib `Figure`. Bands hold 90 % of a posterior. N: parameters, D: training tokens,
C = 6 N D [FLOP].
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..kernels.scaling_laws import Chinchilla, chinchilla_loss, chinchilla_optimum
from ..priors.published_laws import named_runs
from .law_frames import draws_of
from .plot_page import BLUE, GREY, INK, clean, draw_text, legend, page, powers_of_ten

COLOURS = (BLUE, "#D55E00", "#00805F", "#E69F00", "#8E4585", "#56B4E9", "#7A5C00")
DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = "os^Dv*"
AMBER = COLOURS[3]
MOST_DRAWS = 1000
LN_10, LOG10_6 = np.log(10), np.log10(6)
SAME_BUDGET_OOM = 0.1  # width of a slice
MOST_OVERHEAD = 3.0
_QUANTILES = (0.05, 0.5, 0.95)
_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}


# --- of a fit -------------------------------------------------------------------------------------


def loss_contours(fit: xr.DataTree) -> Figure:
    """Draw lines of equal loss over N and D (posterior median), and the compute-optimal runs."""
    attributes = _of_fit(fit)
    law, (log_n, log_d, _) = _law(fit), _runs(fit)
    handles: dict[str, Any] = {}
    figure, axes = _one_axes(
        attributes,
        "Loss over parameters and tokens",
        "Lines of equal loss [nat/token, or the unit of the table], posterior median; "
        "dotted: equal training compute",
        legend_rows=2,
        axes_inches=4.9,
    )
    x, y = (np.linspace(v.min() - 0.4, v.max() + 1.4, 60) for v in (log_n, log_d))
    median = np.median(_loss(law, *np.meshgrid(x, y)), axis=-1)
    lines = axes.contour(x, y, median, _levels(median), colors=BLUE, linewidths=1.1)
    for text in axes.clabel(lines, fmt="%.2f", fontsize=8, inline=False, zorder=4):
        text.set_bbox(_WHITE)
    _draw_isoflops(axes, x, y)
    (handles["compute-optimal runs, median"],) = _draw_frontier(axes, law, x, y)
    handles["90 % of the posterior"] = Patch(facecolor=AMBER, alpha=0.5)
    style: dict[str, Any] = {"s": 12, "color": INK, "alpha": 0.55, "linewidths": 0, "zorder": 3}
    handles["runs in the fit"] = axes.scatter(log_n, log_d, **style)
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    axes.set(xlabel="Parameters N", ylabel="Training tokens D")
    powers_of_ten(axes.xaxis, axes.yaxis)
    clean(axes)
    axes.grid(visible=False)
    legend(figure, attributes, handles)
    return figure


def isoflop_slices(fit: xr.DataTree) -> Figure:
    """Draw loss against N at the budgets of the runs, at most six, over the runs themselves."""
    attributes, law = _of_fit(fit), _law(fit)
    log_n, log_d, loss = _runs(fit)
    slices = _slices(log_n + log_d + LOG10_6)
    figure, axes = _one_axes(
        attributes,
        "Loss at equal training compute",
        "Band: the law, not the scatter of runs; bar: the best N of the budget; both 90 %",
        legend_rows=-(-len(slices) // 2) + 1,
        axes_inches=4.3,
    )
    handles: dict[str, Any] = {}
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(slices)))
    for colour, marker, rows in zip(colours, MARKERS, slices, strict=False):
        budget = float(np.median(log_n[rows] + log_d[rows]) + LOG10_6)
        x = np.linspace(log_n[rows].min() - 0.15, log_n[rows].max() + 0.15, 80)
        low, middle, high = _band(_loss(law, x, budget - LOG10_6 - x))
        axes.fill_between(x, low, high, color=colour, alpha=0.3, linewidth=0)
        (line,) = axes.plot(x, middle, color=colour, linewidth=1.5)
        points = axes.scatter(log_n[rows], loss[rows], s=22, color=colour, marker=marker, zorder=3)
        best = chinchilla_optimum(law, budget * LN_10)
        size = _band(np.asarray(best.log_parameters)[None] / LN_10).ravel()
        bottom = [float(np.median(np.asarray(best.loss)))] * 2
        axes.plot(size[[0, 2]], bottom, color=INK, linewidth=3, zorder=4, solid_capstyle="butt")
        handles[f"{10**budget:.2g} FLOP, {len(rows)} runs"] = (line, points)
    axes.set(xlabel="Parameters N", ylabel="Training loss [nat/token, or the unit of the table]")
    powers_of_ten(axes.xaxis)
    clean(axes)
    legend(figure, attributes, handles)
    return figure


# --- of frames ------------------------------------------------------------------------------------


def optimal_parameters(optima: pd.DataFrame, fit: xr.DataTree | None = None) -> Figure:
    """Draw compute-optimal N against C, and D / N, for every law, and well-known runs.

    optima: as of `law_frames.optima`; fit: a posterior, drawn as a band
    """
    attributes = _of_fit(fit) if fit is not None else _attributes("Published laws")
    names = list(dict.fromkeys(optima["law"]))
    figure, grid = page(
        attributes,
        "Compute-optimal parameters by every law",
        "Thin: superseded by a later law. Points: runs as they were trained",
        axes_inches=7.2,
        label_inches=(0.1, 0.5),
        legend_rows=-(-(len(names) + 1) // 2),
        sides=(0.085, 0.97),
        nrows=2,
        ncols=1,
        hspace=0.08,
        height_ratios=(1.1, 1),
    )
    upper = figure.add_subplot(grid[0])
    lower = figure.add_subplot(grid[1], sharex=upper)
    handles = _draw_laws(upper, lower, optima)
    log_flop = np.log10(np.unique(optima["training_flop"]))
    if fit is not None:
        best = chinchilla_optimum(_law(fit), LN_10 * log_flop[:, None])
        log_n, log_d = (np.asarray(v) / LN_10 for v in best[:2])
        for axes, values in ((upper, log_n), (lower, log_d - log_n)):
            low, _, high = _band(values)
            axes.fill_between(log_flop, low, high, color=INK, alpha=0.25, linewidth=0, zorder=3)
        handles["posterior of the fit, 90 %"] = Patch(facecolor=INK, alpha=0.25)
    runs = {run["title"]: (run["parameters"], run["tokens"]) for run in named_runs().values()}
    flop = {name: np.log10(6 * n * d) for name, (n, d) in runs.items()}
    _draw_named_runs(upper, {k: (flop[k], np.log10(n)) for k, (n, _) in runs.items()}, 0.97)
    _draw_named_runs(lower, {k: (flop[k], np.log10(d / n)) for k, (n, d) in runs.items()}, 0.28)
    upper.set(xlim=(log_flop[0], log_flop[-1]), ylabel="Parameters N")
    lower.set(ylabel="Tokens per parameter D / N", xlabel="Training compute C [FLOP]")
    powers_of_ten(upper.xaxis, upper.yaxis, lower.yaxis)
    clean(upper, lower)
    upper.tick_params(labelbottom=False)
    figure.align_ylabels([upper, lower])
    legend(figure, attributes, handles)
    return figure


def overtraining(frames: Mapping[str, pd.DataFrame], fit: xr.DataTree | None = None) -> Figure:
    """Draw what training a model smaller (or larger) than the best one costs, for each law.

    frames: label -> as of `training_decisions.overtraining_overhead`; fit: whose draws are in one
    """
    attributes = _of_fit(fit) if fit is not None else _attributes("Published laws")
    figure, axes = _one_axes(
        attributes,
        "What overtraining costs",
        "Training compute to the same loss, over that of the compute-optimal model; "
        "dotted: no smaller model reaches it",
        legend_rows=-(-len(frames) // 2),
        axes_inches=4.2,
    )
    handles: dict[str, Any] = {}
    for index, (label, frame) in enumerate(frames.items()):
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
        groups = frame.groupby("parameters_ratio")["overhead"]
        ratio = np.array(list(groups.groups), float)
        low, middle, high = _band(np.array([np.asarray(v) for _, v in groups])) * 100
        off = 100 * MOST_OVERHEAD * 10
        (line,) = axes.plot(ratio, np.minimum(middle, off), linestyle=dash, color=colour, lw=2)
        handles[label] = line
        if "draw" in frame:
            style: dict[str, Any] = {"color": colour, "alpha": 0.25, "linewidth": 0}
            axes.fill_between(ratio, np.minimum(low, off), np.minimum(high, off), **style)
        critical = float(frame["critical_parameters_ratio"].median())
        axes.axvline(critical, color=colour, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set(xlim=(float(ratio.min()), float(ratio.max())), ylim=(0, 100 * MOST_OVERHEAD))
    axes.set_xlabel("Parameters over compute-optimal ones, k_N")
    axes.set_ylabel("Additional training compute [%]")
    ticks = [t for t in (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5) if t >= ratio.min()]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    clean(axes)
    legend(figure, attributes, handles)
    return figure


def envelope_map(choice: pd.DataFrame, label: str, fit: xr.DataTree | None = None) -> Figure:
    """Draw what compression gains by training budget and serving envelope, and the best recipe.

    choice: as of `training_decisions.envelope_choice`, summarised; label: of its law; fit: whose
        draws it is of
    """
    attributes = _of_fit(fit) if fit is not None else _attributes(label)
    name = "gigabytes" if "gigabytes" in choice else "flop_per_token"
    budgets, envelopes = (np.unique(choice[column]) for column in ("training_flop", name))
    figure, axes = _one_axes(
        attributes,
        "Train large and compress, or train small for long",
        "Cells: bits of a weight (share of zeros) of the best model, P(16 bits win); fits: the "
        "compute-optimal model of 16 bits",
        right=0.88,
        legend_rows=1,
        axes_inches=0.42 * len(envelopes) + 0.4,
    )
    gain = choice.pivot(index=name, columns="training_flop", values="compression_gain_nats")
    most = max(float(gain.to_numpy().max()), 1e-6)
    style: dict[str, Any] = {"cmap": "Purples", "vmin": 0, "vmax": most, "edgecolors": "white"}
    mesh = axes.pcolormesh(gain.to_numpy(), linewidth=1, **style)
    for row in choice.to_dict("records"):
        i, j = np.searchsorted(envelopes, row[name]), np.searchsorted(budgets, row["training_flop"])
        _draw_cell(axes, float(j), float(i), row, dark=row["compression_gain_nats"] > most / 2)
    units = {"gigabytes": "Memory of the weights [GB]", "flop_per_token": "FLOP of a token served"}
    axes.set(xlabel="Training compute [FLOP]", ylabel=units[name])
    axes.set_xticks(np.arange(len(budgets)) + 0.5, [f"{value:.3g}" for value in budgets])
    axes.set_yticks(np.arange(len(envelopes)) + 0.5, [f"{value:.3g}" for value in envelopes])
    axes.tick_params(length=0, labelsize=9, color=GREY)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(mesh, cax=axes.inset_axes((1.02, 0, 0.02, 1)))
    bar.ax.tick_params(labelsize=8)
    bar.set_label("Loss that compression saves [nat/token]", size=9)
    bar.outline.set_visible(False)  # type: ignore[operator]
    wins = Patch(facecolor="white", edgecolor=INK, hatch="////", linewidth=0.6)
    legend(
        figure,
        attributes,
        {"16 bits more likely win; overtrained small where it does not fit": wins},
    )
    return figure


# --- parts ----------------------------------------------------------------------------------------


def _attributes(title: str, made_from: str = "", **more: str) -> dict[str, str]:
    made = f"{made_from or 'Constants as published'}; aitimelines {version('aitimelines')}"
    return {"title": title, "verdict": "PASS", "verdict_reasons": "[]", "made_from": made} | more


def _of_fit(fit: xr.DataTree) -> dict[str, str]:
    """Return what a page says of a fit."""
    ((table, origin),) = json.loads(fit.attrs["data"]).items()
    count = fit["observed_data"]["log_loss"].size
    chosen = ", ".join(f"{column} {cell}" for column, cell in origin["where"].items())
    owner = origin.get("attribution", origin.get("file", table))
    repeats = "; shown without repeats of data" if "data_repeats" in fit["forecast"] else ""
    return _attributes(
        f"Posterior of a law fitted to {count} runs of {table}{chosen and f' ({chosen})'}{repeats}",
        f"Data: {owner}",
        verdict=fit.attrs["verdict"],
        verdict_reasons=fit.attrs["reasons"],
    )


def _one_axes(
    attributes: Mapping[Any, Any], heading: str, subtitle: str, right: float = 0.97, **sizes: Any
) -> tuple[Figure, Axes]:
    figure, grid = page(
        attributes,
        heading,
        subtitle,
        label_inches=(0.1, 0.5),
        sides=(0.085, right),
        nrows=1,
        ncols=1,
        **sizes,
    )
    return figure, figure.add_subplot(grid[0])


def _law(fit: xr.DataTree) -> Chinchilla:
    """Return the constants of at most so many draws, evenly taken."""
    draws = draws_of(fit)
    count = len(draws["irreducible_loss"])
    chosen = np.linspace(0, count - 1, min(count, MOST_DRAWS)).astype(int)
    return Chinchilla(**{name: value[chosen] for name, value in draws.items()})


def _runs(fit: xr.DataTree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log10 N, log10 D and loss of the runs; of those without repeats where there are."""
    rows = fit["observed_data"].to_dataset()
    if "log_unique_tokens" in rows:
        fresh = (rows["log_unique_tokens"] > rows["log_tokens"] - 1e-6).to_numpy()
        rows = rows.isel(law_observation=fresh if fresh.any() else slice(None))
    log_n, log_d = (rows[n].to_numpy() / LN_10 for n in ("log_parameters", "log_tokens"))
    return log_n, log_d, np.exp(rows["log_loss"].to_numpy())


def _loss(law: Chinchilla, log10_n: np.ndarray, log10_d: np.ndarray) -> np.ndarray:
    """Return loss, (..., draw)."""
    at = (LN_10 * log10_n[..., None], LN_10 * log10_d[..., None])
    return np.asarray(chinchilla_loss(law, *at))


def _band(values: np.ndarray) -> np.ndarray:
    """Return the 5, 50 and 95 % quantiles over the last axis, which may be infinite."""
    return np.quantile(values, _QUANTILES, axis=-1, method="closest_observation")


def _levels(loss: np.ndarray) -> np.ndarray:
    """Return losses at which lines lie about evenly."""
    return np.unique(np.round(np.quantile(loss, np.linspace(0.04, 0.97, 11)), 2))


def _draw_isoflops(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw a dotted line for every second power of ten of FLOP, with its name at its upper end."""
    low, high = x[0] + y[0] + LOG10_6, x[-1] + y[-1] + LOG10_6
    for power in range(int(low) + 1, int(high) + 1, 2):
        total = power - LOG10_6
        axes.plot(x, total - x, ":", color=GREY, linewidth=0.9, zorder=1)
        at = max(x[0] + 0.06, total - y[-1] + 0.12)
        if at < x[-1] - 0.12 * np.ptp(x):  # else there is no room
            place: dict[str, Any] = {"size": 7.5, "color": GREY, "bbox": _WHITE, "va": "top"}
            draw_text(axes, at, total - at - 0.05, f"1e{power} FLOP", **place)


def _draw_frontier(axes: Axes, law: Chinchilla, x: np.ndarray, y: np.ndarray) -> list[Line2D]:
    """Draw the best (N, D) of every budget; its band runs along lines of equal compute."""
    total = np.linspace(x[0] + y[0], x[-1] + y[-1], 80)
    best = chinchilla_optimum(law, LN_10 * (total + LOG10_6)[:, None])
    low, middle, high = _band(np.asarray(best.log_parameters) / LN_10)
    edge = np.concatenate([low, high[::-1]])
    around = np.concatenate([total, total[::-1]])
    axes.fill(edge, around - edge, color=AMBER, alpha=0.5, linewidth=0)
    return axes.plot(middle, total - middle, color=INK, linewidth=2)


def _slices(log10_flop: np.ndarray) -> list[np.ndarray]:
    """Return the rows of the runs at the most common budgets, from small to large, at most six.

    Of three runs at least, where there are such budgets.
    """
    near = np.abs(log10_flop[:, None] - log10_flop) < SAME_BUDGET_OOM / 2
    count = near.sum(axis=1)
    apart = count >= min(3, count.max())
    chosen: list[int] = []
    while apart.any() and len(chosen) < len(MARKERS):
        best = int(np.argmax(np.where(apart, count, 0)))
        chosen.append(best)
        apart &= np.abs(log10_flop - log10_flop[best]) > 2 * SAME_BUDGET_OOM
    return [np.flatnonzero(near[i]) for i in sorted(chosen, key=lambda i: log10_flop[i])]


def _draw_laws(upper: Axes, lower: Axes, optima: pd.DataFrame) -> dict[str, Any]:
    """Draw N and D / N by law; return the legend entries."""
    handles: dict[str, Any] = {}
    for index, (name, rows) in enumerate(optima.groupby("law", sort=False)):
        current = bool(rows["superseded_by"].isna().all())
        style: dict[str, Any] = {
            "color": COLOURS[index % len(COLOURS)],
            "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
            "linewidth": 1.9 if current else 0.9,
        }
        flop = np.log10(rows["training_flop"])
        (handles[str(name)],) = upper.plot(flop, np.log10(rows["parameters"]), **style)
        lower.plot(flop, np.log10(rows["tokens"] / rows["parameters"]), **style)
    return handles


def _draw_named_runs(axes: Axes, values: Mapping[str, tuple[float, float]], x: float) -> None:
    """Draw points, name -> (log10 C, log10 value), their names in a column at the bottom."""
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    leader["relpos"] = (float(x < 0.5), 0.5)
    for rank, name in enumerate(sorted(values, key=lambda name: values[name][1])):
        axes.plot(*values[name], "o", color=INK, markersize=5, zorder=5)
        axes.annotate(
            name,
            values[name],
            (x, 0.06 + 0.055 * rank),
            textcoords="axes fraction",
            size=8.5,
            color=INK,
            ha="right",
            va="center",
            arrowprops=leader,
        )


def _draw_cell(axes: Axes, x: float, y: float, row: Mapping[Any, Any], *, dark: bool) -> None:
    """Write the best recipe into a cell, and hatch it where the overtrained model wins."""
    wins = row["probability_overtrained_small_wins"]
    if wins > 0.5:
        cell: dict[str, Any] = {"facecolor": "none", "edgecolor": INK, "hatch": "////"}
        axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], linewidth=0, **cell)
    zeros = f", {row['sparsity']:.0%}" if row["sparsity"] > 0 else ""
    best = "16 bit" if wins > 0.5 else f"{row['bits']:.3g} bit{zeros}"
    if row["dense_parameters_ratio"] > 1 - 1e-6:
        best = f"fits, {best}"
    place: dict[str, Any] = {"ha": "center", "va": "center", "size": 8}
    place |= {"color": "white" if dark else INK, "bbox": _WHITE if wins > 0.5 else None}
    axes.text(x + 0.5, y + 0.5, f"{best}\nP {wins:.2f}", parse_math=False, **place)
