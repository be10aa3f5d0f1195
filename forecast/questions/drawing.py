"""What figures of answers are made of, and the figure of a question.

Colours and text as on the page of a forecast; what differs in colour also differs in line.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ..plot_page import BLUE, GREY, WIDTH_INCHES, clean, draw_text

VERMILION, GREEN, AMBER, PURPLE = "#D55E00", "#00805F", "#E69F00", "#8E4585"
STYLES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (AMBER, ":"), (PURPLE, (0, (5, 1, 1, 1))))
__all__ = ["BLUE", "GREEN", "GREY", "STYLES", "VERMILION", "band", "density", "mark", "page"]


def band(axes: Axes, x: ArrayLike, draws: np.ndarray, label: str, style: int = 0) -> None:
    """Draw the median of draws, (point, draw), and their 5 to 95 % quantiles."""
    colour, line = STYLES[style % len(STYLES)]
    low, middle, high = np.quantile(draws, (0.05, 0.5, 0.95), axis=1, method="inverted_cdf")
    axes.plot(x, middle, color=colour, linestyle=line, linewidth=2, label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def density(axes: Axes, draws: ArrayLike, label: str, style: int = 0, bins: Any = 60) -> None:
    """Draw the density of draws as steps."""
    colour, line = STYLES[style % len(STYLES)]
    height, edges = np.histogram(np.ravel(np.asarray(draws, float)), bins, density=True)
    axes.stairs(height, edges, fill=True, color=colour, alpha=0.3)
    axes.stairs(height, edges, color=colour, linestyle=line, linewidth=1.2, label=label)


def mark(axes: Axes, x: float, label: str, style: int = 1) -> None:
    """Draw a published value as a vertical line with its name at the top."""
    colour, line = STYLES[style % len(STYLES)]
    axes.axvline(x, color=colour, linestyle=line, linewidth=1.2, label=label)


def page(claim: str, lines: Sequence[str], draw: Any) -> Figure:
    """Return the figure of an answer: its claim, its verdict in words, and what it draws."""
    heading = textwrap.wrap(claim, 85)
    wrapped = [part for line in lines for part in textwrap.wrap(line, 130)]
    height = 4.6 + 0.22 * len(heading) + 0.16 * len(wrapped)
    figure = Figure(figsize=(WIDTH_INCHES, height))
    inches = 0.12
    for line in heading:
        draw_text(figure, 0.03, 1 - inches / height, line, va="top", size=12, weight="bold")
        inches += 0.22
    for line in wrapped:
        draw_text(figure, 0.03, 1 - inches / height, line, va="top", size=9, color=GREY)
        inches += 0.16
    axes = figure.add_axes((0.1, 0.55 / height, 0.86, 1 - (inches + 0.75) / height))
    draw(axes)
    clean(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    return figure
