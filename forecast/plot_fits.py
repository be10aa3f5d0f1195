"""What the record taught: prior and posterior of the quantities that are fitted to it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .plot_page import BLUE, INK, clean, draw_text, legend, page
from .tables import span_text

# The records, and the parts that have a level of their own: (name, unit).
_LEVELS = {
    "training_compute": (("", "log10 FLOP"),),
    "spending": (("", "log10 USD"),),
    "price_performance": ((" (runs)", "log10 FLOP/USD"), (" (chips)", "log10 FLOP/s/USD")),
    "algorithmic_progress": (),
}


class Panel(NamedTuple):
    """A fitted quantity: its title, its unit ("year": of the calendar), and its draws."""

    title: str
    unit: str
    prior: np.ndarray
    posterior: np.ndarray


def prior_posterior(tree: xr.DataTree) -> Figure:
    """Draw prior and posterior of the doubling time and the level of every fitted record."""
    return prior_posterior_page(
        tree.attrs,
        "What the record says: prior and posterior",
        f"Record as known on {tree.attrs['as_of']}, before conditioning on no arrival",
        _fitted_quantities(tree),
    )


def prior_posterior_page(
    attributes: Mapping[Any, Any], heading: str, subtitle: str, panels: Sequence[Panel]
) -> Figure:
    """Draw prior and posterior of some quantities; attributes are those of `plot_page.page`."""
    columns = min(4, max(1, len(panels)))
    rows = max(1, -(-len(panels) // columns))
    figure, grid = page(
        attributes,
        heading,
        subtitle,
        axes_inches=2.1 * rows - 1.05,
        label_inches=(0.25, 0.85),
        legend_rows=1,
        sides=(0.04, 0.97),
        nrows=rows,
        ncols=columns,
        wspace=0.15,
        hspace=1.0,
    )
    for index, panel in enumerate(panels):
        _draw_densities(figure.add_subplot(grid[index]), panel)
    if panels:
        prior = Line2D([], [], color=INK, linestyle="--")
        posterior = Patch(facecolor=BLUE, edgecolor=BLUE, alpha=0.5)
        handles = {"prior": prior, "posterior (both drawn to the same height)": posterior}
        legend(figure, attributes, handles)
    else:
        note = "Nothing was fitted: the scenario rests on its priors alone."
        draw_text(figure, 0.5, 0.5, note, ha="center")
    return figure


def _fitted_quantities(tree: xr.DataTree) -> list[Panel]:
    """Return doubling times, then levels, of the records that were fitted."""
    if "posterior" not in tree.children or "prior" not in tree.children:
        return []
    prior, posterior = tree["prior"].to_dataset(), tree["posterior"].to_dataset()
    times, levels = [], []
    for record, parts in _LEVELS.items():
        title = record.replace("_", " ").capitalize()
        name = f"{record}_doubling_time_years"
        if name in prior and name in posterior:
            values = prior[name].to_numpy(), posterior[name].to_numpy()
            times.append(Panel(f"{title}:\ndoubling time", "years", *values))
        name = f"{record}_log10_level_at_anchor"
        for index, (part, unit) in enumerate(parts):
            if name in prior and name in posterior and index < posterior[name].shape[-1]:
                values = prior[name].to_numpy()[..., index], posterior[name].to_numpy()[..., index]
                levels.append(Panel(f"{title}:\nlevel amid the record{part}", unit, *values))
    return times + levels


def _draw_densities(axes: Axes, panel: Panel) -> None:
    """Draw two histograms, each to its own height, and write medians with 90 % ranges.

    What is positive and spans more than a factor of ten is drawn on a log axis.
    """
    title, unit, prior, posterior = panel
    ends = np.quantile(np.concatenate([prior.ravel(), posterior.ravel()]), (0.001, 0.999))
    logarithmic = ends[0] > 0 and ends[1] > 10 * ends[0]
    ranges = []
    for name, values, bins in (("prior", prior, 24), ("posterior", posterior, 40)):
        low, high = np.quantile(values, (0.002, 0.998))
        edges = (np.geomspace if logarithmic else np.linspace)(low, high, bins)
        height, _ = np.histogram(values, edges)
        height = height / height.max()
        if name == "prior":
            axes.stairs(height, edges, color=INK, linestyle="--", linewidth=1.2)
        else:
            axes.stairs(height, edges, color=BLUE, alpha=0.5, fill=True)
        low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
        ranges.append(f"{name} {span_text(low, middle, high, unit)}")
    clean(axes)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(NullLocator())
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if ends[1] < 1e3 * ends[0] else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(labelsize=8)
    axes.set_title(title, size=9, loc="left", color=INK, parse_math=False)
    told = f"{unit}; median (90 %):" if unit else "median (90 %):"
    axes.set_xlabel("\n".join([told, *ranges]), size=7.5, color=INK)
