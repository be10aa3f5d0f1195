"""Figures of a forecast: arrival, compute against requirement, prior against posterior.

Each function takes a result tree and returns a matplotlib `Figure`; `save` writes PNG and SVG.
Every figure says whether the fit passed its gate, what it was made from and whose data it rests
on. Colours are those of Okabe and Ito; what differs in colour also differs in line or hatching.
"""

import tomllib
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from ..kernels.scaling_laws import Chinchilla, chinchilla_frontier
from .config import RequirementComponent, Scenario
from .law_frames import training_law
from .plot_fits import prior_posterior
from .plot_page import BLUE, GREY, INK, clean, draw_text, legend, page, plain, powers_of_ten, save
from .scenario_files import scenario_from_dict

__all__ = ["compute", "prior_posterior", "requirement_density", "save", "timeline"]

VERMILION, GREEN, AMBER = "#D55E00", "#00805F", "#E69F00"
LABELLED_RUNS = 5
DRAWS_OF_LAW = 256
LAST_YEAR_OF_COMPUTE = 2050
VISIBLE_ERROR = 0.004  # of probability; a narrower band hides behind the line
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_RECORD = "training_compute_log10_value"
_ROUTES = {
    "trend": ("largest run, by its own trend", BLUE),
    "spending-times-price-performance": ("largest run, by spending × FLOP per dollar", VERMILION),
}


def timeline(tree: xr.DataTree) -> Figure:
    """Draw the probability of arrival by year, and below it the probability per year.

    The curve is not conditional on arrival: it ends at 1 - P(not by the horizon).
    """
    figure, grid = page(
        tree.attrs,
        *_header(tree, "probability of arrival"),
        axes_inches=3.8,
        sides=(0.1, 0.84),
        nrows=2,
        ncols=2,
        height_ratios=(3.2, 1),
        width_ratios=(1, 0.035),
        wspace=0.02,
        hspace=0.12,
    )
    curve, bar = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    density = figure.add_subplot(grid[1, 0], sharex=curve)
    data = tree["timeline"].to_dataset()
    year, cdf = data["year"].to_numpy(), data["arrival_cdf"].to_numpy()
    horizon = int(tree.attrs["horizon_year"])
    curve.plot(year, cdf, color=BLUE, linewidth=2, gid="arrival-cdf")
    error = 2 * data["arrival_cdf_mcse"].to_numpy()
    if error.max() > VISIBLE_ERROR:
        curve.fill_between(year, cdf - error, cdf + error, color=BLUE, alpha=0.3, linewidth=0)
    _draw_quantiles(curve, data, horizon)
    _draw_never(bar, float(data["p_never_by_horizon"]), horizon)
    curve.set(xlim=(year[0], year[-1]), ylim=(0, 1))
    curve.set_ylabel("Probability of arrival\nbefore 1 January of the year", size=9.5)
    curve.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    rate = 100 * np.diff(cdf) / np.diff(year)
    density.stairs(rate, year, fill=True, color=BLUE, alpha=0.35)
    density.stairs(rate, year, color=BLUE, linewidth=0.9)
    density.set(ylim=(0, 1.1 * max(float(rate.max()), 0.1)), xlabel="Year")
    density.set_ylabel("% per year", size=9.5)
    density.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    density.yaxis.set_major_locator(MaxNLocator(3))
    clean(curve, density)
    curve.tick_params(labelbottom=False)
    figure.align_ylabels([curve, density])
    points = f"at most {100 * error.max():.1g}" if error.max() >= 1e-4 else "below 0.01"
    note = f"Monte Carlo error (2 s.e.): {points} percentage points"
    corner: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    density.annotate(note, (1.05, 0), (0, -29), size=8, color=GREY, ha="right", **corner)
    return figure


def compute(tree: xr.DataTree) -> Figure:
    """Draw the record of training compute, the forecast, and the requirement beside them.

    Bands hold 50 % and 90 %; draws are weighted by the probability that it has not arrived by now.
    """
    scenario = scenario_from_dict(tomllib.loads(tree.attrs["scenario_toml"]))
    paths = tree["trajectories"].to_dataset()
    figure, grid = page(
        tree.attrs,
        *_header(tree, "compute and what it takes"),
        axes_inches=4.5,
        label_inches=(0.25, 0.55),
        legend_rows=4 if _has_record(tree) else 2,
        sides=(0.085, 0.925),
        nrows=1,
        ncols=2,
        width_ratios=(1, 0.19),
        wspace=0.06,
    )
    axes = figure.add_subplot(grid[0, 0])
    strip = figure.add_subplot(grid[0, 1], sharey=axes)
    now = float(paths["year"][0])
    last = min(scenario.horizon_year, max(LAST_YEAR_OF_COMPUTE, int(now) + 20))
    paths = paths.sel(year=paths["year"] <= last)
    other = next(route for route in _ROUTES if route != scenario.compute)
    handles = _draw_history(axes, tree) if _has_record(tree) else {}
    handles |= _draw_fan(axes, paths, "log10_physical_compute", *_ROUTES[scenario.compute], "-")
    highest = axes.dataLim.y1 + 12  # a path that rises further would squeeze the record
    handles |= _draw_fan(axes, paths, "log10_physical_compute_alternative", *_ROUTES[other], "--")
    label = f"effective compute, in algorithms of {scenario.requirement.algorithms_year:.0f}"
    handles |= _draw_fan(axes, paths, "log10_effective_compute", label, GREEN, "-.")
    limits = axes.dataLim.frozen()
    top = max(limits.y1, _draw_requirement(strip, tree, scenario, _gain_oom_per_year(paths)))
    axes.set(xlim=(limits.x0 - 0.5, last), ylim=(limits.y0 - 1, min(top + 1, highest)))
    if _has_record(tree):
        _label_largest(axes, tree)
    axes.axvline(now, color=GREY, linewidth=0.9, linestyle=":")
    date, top_edge = f"as of {tree.attrs['as_of']}", axes.get_xaxis_transform()
    draw_text(axes, now + 0.2, 1, date, size=8.5, color=GREY, transform=top_edge, va="top")
    axes.set(ylabel="Compute of the largest training run [FLOP]", xlabel="Year")
    powers_of_ten(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True, steps=[1, 2, 5, 10]))
    clean(axes)
    legend(figure, tree.attrs, handles, "Median with bands of 50 % and 90 %; thin lines: 90 %")
    return figure


def requirement_density(
    scenario: Scenario, gain_oom_per_year: float, law: Chinchilla | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (log10 FLOP, density) of the requirement in algorithms of the scenario's year.

    Integrates to 1 - none_weight. A component in the algorithms of another year is moved by the
    gain between the two years, at ``gain_oom_per_year`` [OOM/year]; one in terms of loss is the
    mean over the draws of a scaling law, constants of (draw,).
    """
    requirement = scenario.requirement
    level = np.linspace(0, 80, 8001)
    density = np.zeros_like(level)
    for component in requirement.components:
        own_year = component.algorithms_year or requirement.algorithms_year
        shift = gain_oom_per_year * (own_year - requirement.algorithms_year)
        density += component.weight * _component_density(component, level - shift, law)
    return level, density


def _scaling_law(tree: xr.DataTree, scenario: Scenario) -> Chinchilla | None:
    """Return the law of some draws of the scenario, (draw,); None if it has none."""
    if scenario.scaling_law is None:
        return None
    if scenario.scaling_law.law is not None:
        return training_law(scenario.scaling_law.law)
    inputs = tree["trajectories"].to_dataset()["input_value"][:DRAWS_OF_LAW]
    names = (f"scaling_law.{name}" for name in Chinchilla._fields)
    return Chinchilla(*(inputs.sel(input=name).to_numpy() for name in names))


def _component_density(
    component: RequirementComponent, level: np.ndarray, law: Chinchilla | None
) -> np.ndarray:
    """Return the density whose integral is `kernels.requirement.cumulative`."""
    first, second, third = component.parameters
    if component.kind == "reducible_loss":
        assert law is not None  # a scenario with such a component has one
        frontier = chinchilla_frontier(law)
        slope = 1 / np.atleast_1d(frontier.exponent)[:, None]
        middle = (np.atleast_1d(frontier.log_constant)[:, None] / np.log(10) - first) * slope
        z = (level - middle) / (second * slope)
        return (np.exp(-0.5 * z**2) / (second * slope * np.sqrt(2 * np.pi))).mean(axis=0)
    if component.kind == "uniform":
        return np.where((level >= first) & (level <= second), 1 / (second - first), 0.0)
    distance = level - first
    if component.kind == "logistic":
        return 0.25 / second / np.cosh(np.clip(distance / second / 2, -300, 300)) ** 2
    scale = np.where(distance < 0, second, second if component.kind == "normal" else third)
    return np.exp(-0.5 * (distance / scale) ** 2) / (scale * np.sqrt(2 * np.pi))


def _gain_oom_per_year(paths: xr.Dataset) -> float:
    """Return by how much algorithms multiply compute in the first year, median [OOM]."""
    year = paths["year"].to_numpy()
    gain = (paths["algorithmic_progress"] + paths["post_training_gains"]).median("sample")
    return float(np.interp(year[0] + 1, year, gain) - gain[0])


def _header(tree: xr.DataTree, what: str) -> tuple[str, str]:
    milestone = plain(str(tree.attrs["milestone"]).split(":")[0], 44)
    given = f"As of {tree.attrs['as_of']}, given that it has not arrived by then"
    return f"{milestone}: {what}", given


def _has_record(tree: xr.DataTree) -> bool:
    return "history" in tree.children and _RECORD in tree["history"]


def _draw_quantiles(axes: Axes, data: xr.Dataset, horizon: int) -> None:
    """Mark the quantiles on the curve; those beyond the horizon stand at its edge."""
    last = float(data["year"][-1])
    for quantile in data["arrival_year_quantile"]:
        level, year = float(quantile["quantile"]), float(quantile)
        name = "median" if level == 0.5 else f"{100 * level:.0f} %"
        style: dict[str, Any] = {"weight": "bold" if level == 0.5 else "normal", "size": 9}
        style |= {"textcoords": "offset points", "color": INK}
        if np.isfinite(year):
            axes.plot(year, level, "o", color=BLUE, zorder=3)
            shift = (7, -3) if level > 0.1 else (8, 1)  # below 10 % there is little room
            axes.annotate(f"{name}: {int(year)}", (year, level), shift, va="top", **style)
        else:
            axes.plot(last, level, ">", color=GREY, clip_on=False, zorder=3)
            axes.annotate(f"{name}: not by {horizon}", (last, level), (-7, -2), ha="right", **style)


def _draw_never(axes: Axes, never: float, horizon: int) -> None:
    """Draw what arrives by the horizon and what does not as one bar of height 1."""
    arrives = 1 - never
    axes.bar(0, arrives, 1, color=BLUE, alpha=0.35)
    axes.bar(0, never, 1, arrives, color="white", edgecolor=GREY, hatch="////", linewidth=0.8)
    axes.set(xlim=(-0.5, 0.5), ylim=(0, 1))
    axes.set_axis_off()
    middle = min(max(1 - never / 2, 0.04), 0.97)
    place: dict[str, Any] = {"va": "center", "size": 9.5}
    draw_text(axes, 0.8, middle, f"{_percent(never)} not by {horizon}", weight="bold", **place)
    if middle > 0.15:
        lower = min(arrives / 2, middle - 0.1)
        draw_text(axes, 0.8, lower, f"{_percent(arrives)} by {horizon}", **place)


def _percent(probability: float) -> str:
    if 0 < probability < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 < probability < 1 else f"{100 * probability:.0f} %"


def _draw_bands(axes: Axes, year: Any, quantiles: np.ndarray, colour: str, style: str) -> Any:
    """Draw a median and its bands, or two thin lines at 90 % if dashed; return the handle."""
    (line,) = axes.plot(year, quantiles[2], style, color=colour, linewidth=2)
    if style != "-":
        for edge in (quantiles[0], quantiles[4]):
            axes.plot(year, edge, style, color=colour, linewidth=0.8)
        return line
    for low, high, alpha in ((0, 4, 0.18), (1, 3, 0.3)):
        lower, upper = quantiles[low], quantiles[high]
        axes.fill_between(year, lower, upper, color=colour, alpha=alpha, linewidth=0)
    return (Patch(facecolor=colour, alpha=0.35), line)


def _draw_fan(
    axes: Axes, paths: xr.Dataset, name: str, label: str, colour: str, style: str
) -> dict[str, Any]:
    """Draw the weighted quantiles of a path; return its legend entry, none if it is missing."""
    if name not in paths:
        return {}
    method: dict[str, Any] = {"method": "inverted_cdf", "weights": paths["weight"].to_numpy()}
    quantiles = np.quantile(paths[name].to_numpy(), _QUANTILES, axis=0, **method)
    return {label: _draw_bands(axes, paths["year"].to_numpy(), quantiles, colour, style)}


def _draw_history(axes: Axes, tree: xr.DataTree) -> dict[str, Any]:
    """Draw the systems that the frontier was fitted to, and the frontier; return legend entries."""
    data, trend = tree["observed_data"].to_dataset(), tree["history"][_RECORD]
    style: dict[str, Any] = {"s": 13, "color": INK, "alpha": 0.55, "linewidths": 0}
    points = axes.scatter(data["training_compute_year"], data[_RECORD], **style)
    quantiles = trend.sel(quantile=list(_QUANTILES)).to_numpy()
    handle = _draw_bands(axes, trend["training_compute_trend_year"], quantiles, INK, "-")
    return {"systems in the fit": points, "frontier fitted to them": handle}


def _label_largest(axes: Axes, tree: xr.DataTree) -> None:
    """Name the largest systems, in a column above and left of them."""
    value = tree["observed_data"][_RECORD]
    year = tree["observed_data"]["training_compute_year"].to_numpy()
    names = value[str(value.dims[0])].to_numpy()
    points = np.column_stack([year, value.to_numpy()])
    largest = np.argsort(-points[:, 1], kind="stable")[:LABELLED_RUNS]
    x, y = (axes.transData - axes.transAxes).transform(points[largest]).T
    column, top = max(0.28, x.min() - 0.08), min(0.97, y.max() + 0.04 * (1 + len(largest)))
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "relpos": (1, 0.5)}
    leader |= {"patchA": None, "shrinkA": 3, "shrinkB": 2}
    for rank, index in enumerate(largest):
        axes.annotate(
            plain(names[index], 32),
            points[index],
            (column, top - 0.04 * rank),
            textcoords="axes fraction",
            parse_math=False,
            size=8.5,
            color=INK,
            ha="right",
            va="center",
            arrowprops=leader,
        )


def _draw_requirement(
    axes: Axes, tree: xr.DataTree, scenario: Scenario, gain_oom_per_year: float
) -> float:
    """Draw the density of the requirement sideways with its quartiles; return the highest."""
    law = _scaling_law(tree, scenario)
    level, density = requirement_density(scenario, gain_oom_per_year, law)
    cumulative = np.cumsum(density) * (level[1] - level[0])
    axes.fill_betweenx(level, density, color=AMBER, alpha=0.5, linewidth=0)
    right = 1.05 * float(density.max())
    axes.set_xlim(0, right)
    quartiles = [part for part in (0.25, 0.5, 0.75) if part < cumulative[-1]]
    at = level[np.searchsorted(cumulative, quartiles)]
    place: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": True}
    for part, height in zip(quartiles, at, strict=True):
        axes.axhline(height, color=INK, linewidth=1, linestyle="-" if part == 0.5 else ":")
        label = "median" if part == 0.5 else f"{100 * part:.0f} %"
        axes.annotate(label, (right, height), (4, 0), size=8.5, color=INK, va="center", **place)
    year, none = scenario.requirement.algorithms_year, scenario.requirement.none_weight
    axes.set_title(f"Requirement, unconditioned,\nin algorithms of {year:.0f}", size=9)
    label = f"and {_percent(none)}: no\namount of compute" if none else ""
    axes.set_xlabel(label, size=8.5, labelpad=14)
    axes.xaxis.set_major_locator(NullLocator())
    axes.tick_params(left=False, labelleft=False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return float(max(at, default=level[0]))
