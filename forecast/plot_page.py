"""The page that every figure stands on: header, verdict, footer, legend; and how it is saved.

Text from a scenario or a table is drawn as it is written, never read as markup. No pyplot, so no
global state.
"""

import json
import tempfile
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .files import check_figure

BLUE, INK, GREY, PALE = "#0072B2", "#1A1A1A", "#595959", "#E3E3E3"
VERDICT_COLOURS = {"REVIEW": "#A34700", "FAIL": "#B00020"}
WIDTH_INCHES = 9.0
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARGIN, _LINE_INCHES, _ROW_INCHES = 0.03, 0.15, 0.19


def page(
    attributes: Mapping[Any, Any],
    heading: str,
    subtitle: str,
    *,
    axes_inches: float,
    label_inches: tuple[float, float] = (0.0, 0.5),
    legend_rows: int = 0,
    sides: tuple[float, float],
    **grid: Any,
) -> tuple[Figure, GridSpec]:
    """Return a figure with header and footer, and the grid for its axes.

    attributes: of a result tree; or title, verdict, verdict_reasons (JSON) and ``made_from``, the
        text of the footer. axes_inches: height of all axes; label_inches: what their titles
    take above and their labels below. sides: left and right edge of the axes, as parts of the
    width. grid: further arguments of `GridSpec`.
    """
    gate, foot = _gate_lines(attributes), _footer_lines(attributes)
    above = 1.0 + _LINE_INCHES * len(gate) + label_inches[0]
    below = _foot_inches(attributes) + _ROW_INCHES * legend_rows + label_inches[1]
    height = above + axes_inches + below
    figure = Figure(figsize=(WIDTH_INCHES, height))

    def header(inches: float, text: str, limit: int, **style: Any) -> None:
        draw_text(figure, _MARGIN, 1 - inches / height, text, limit, va="top", **style)

    header(0.12, heading, 80, size=14, weight="bold")
    header(0.43, attributes["title"], 105)
    header(0.65, subtitle, 120, size=9, color=GREY)
    for i, line in enumerate(gate):
        colour = VERDICT_COLOURS.get(attributes["verdict"], INK)
        header(0.86 + _LINE_INCHES * i, line, 200, size=8, color=colour)
    for i, line in enumerate(reversed(foot)):
        y = (0.1 + _LINE_INCHES * i) / height
        draw_text(figure, _MARGIN, y, line, size=7.5, color=GREY)
    edges: dict[str, Any] = {"left": sides[0], "right": sides[1], "bottom": below / height}
    return figure, GridSpec(figure=figure, top=1 - above / height, **edges, **grid)


def _foot_inches(attributes: Mapping[Any, Any]) -> float:
    return 0.15 + _LINE_INCHES * len(_footer_lines(attributes))


def legend(
    figure: Figure, attributes: Mapping[Any, Any], handles: Mapping[Any, Any], title: str = ""
) -> None:
    """Put a legend of (label -> handle), in two columns, above the footer."""
    place = (_MARGIN, _foot_inches(attributes) / figure.get_figheight())
    figure.legend(
        list(handles.values()),
        list(handles),
        title=title or None,
        title_fontsize=8.5,
        fontsize=9,
        ncols=2,
        loc="lower left",
        bbox_to_anchor=place,
        alignment="left",
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=2.6,
    )


def clean(*all_axes: Axes) -> None:
    """Take away what is not needed, and put a light grid behind."""
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=PALE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9, color=GREY)


def powers_of_ten(*all_axis: Axis) -> None:
    """Label an axis of log10 values by powers of ten, without mathtext, which is slow."""
    for axis in all_axis:
        axis.set_major_locator(MaxNLocator(9, integer=True, steps=[1, 2, 5, 10]))
        power = FuncFormatter(lambda value, _: "10" + f"{value:.0f}".translate(_RAISED))
        axis.set_major_formatter(power)


def plain(text: Any, limit: int = 200) -> str:
    """Return text on one line, without control characters, no longer than ``limit`` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def draw_text(
    owner: Axes | Figure, x: float, y: float, text: Any, limit: int = 200, **style: Any
) -> None:
    """Draw text as it is written, dollar signs included."""
    owner.text(x, y, plain(text, limit), parse_math=False, **{"size": 10, "color": INK, **style})


def save_as(figure: Figure, path: str | Path) -> Path:
    """Write a figure as one file, .png, .svg or .pdf, that replaces what is there.

    Raises ``ValueError`` for another ending.
    """
    check_figure(path)
    return save(figure, Path(path).with_suffix(""), (Path(path).suffix[1:],))[0]


def save(
    figure: Figure, path_without_suffix: str | Path, kinds: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """Write a figure as .png (150 dpi) and .svg (text as text), and return the two paths.

    A file appears whole or not at all; equal figures give equal bytes.
    """
    target = Path(path_without_suffix)
    target.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, dict[str, Any]] = {
        "png": {"dpi": 150, "pil_kwargs": {"compress_level": 3}},  # no larger than 6, and faster
        "svg": {"metadata": {"Date": None, "Title": figure.texts[0].get_text()}},
        "pdf": {"metadata": {"CreationDate": None, "Title": figure.texts[0].get_text()}},
    }
    with (
        tempfile.TemporaryDirectory(prefix=".plot.", dir=target.parent) as folder,
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "aitimelines"}),
        warnings.catch_warnings(),
    ):
        # A script that the font lacks is boxes in the PNG but right in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        made = {kind: Path(folder) / f"figure.{kind}" for kind in kinds}
        for kind, path in made.items():
            figure.savefig(path, format=kind, **options[kind])
        return [p.replace(target.with_name(f"{target.name}.{s}")) for s, p in made.items()]


def _gate_lines(attributes: Mapping[Any, Any]) -> list[str]:
    """Return what to say about a fit that did not pass its gate, nothing if it passed."""
    if attributes["verdict"] == "PASS":
        return []
    reasons = "; ".join(json.loads(attributes["verdict_reasons"]))
    return textwrap.wrap(plain(f"fit: {attributes['verdict']} - {reasons}", 260), 145)


def _footer_lines(attributes: Mapping[Any, Any]) -> list[str]:
    """Return what the figure was made from, and whose data it rests on."""
    if "made_from" in attributes:
        return textwrap.wrap(plain(attributes["made_from"], 600), 150)
    version = json.loads(attributes["versions"])["aitimelines"]
    made = (
        f"Scenario {attributes['scenario_id']}, seed {attributes['seed']}, "
        f"{attributes['samples']:,} samples, aitimelines {version}"
    )
    tables: dict[str, list[str]] = {}
    for name, entry in json.loads(attributes["data"]).items():
        tables.setdefault(entry["attribution"], []).append(f"{name} {entry['vintage']}")
    owners = "; ".join(f"{owner} ({', '.join(names)})" for owner, names in tables.items())
    data = f"Data: {owners}" if owners else "Data: none; nothing was fitted"
    return [plain(made, 150), *textwrap.wrap(plain(data, 600), 150)]
