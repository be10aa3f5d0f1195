"""Write docs/history.md and its figures: every study of the record, its rivals, what they say.

Run as ``python docs/history.py``: minutes the first time, since all rivals are fitted; less once
the fits are in the cache. The words are in history.template.md, the numbers are put in here.
"""

from itertools import product
from pathlib import Path
from typing import Any

import xarray as xr
from aitimelines.forecast import (
    plot_capabilities,
    plot_eras,
    plot_hardware,
    plot_history,
    plot_sizes,
)
from aitimelines.forecast.cli_history import lacking
from aitimelines.forecast.compiled import keep_compiled_programs
from aitimelines.forecast.history.parameter_gap import ENDS, NULLS, gap_tests
from aitimelines.forecast.plot_page import save_as
from aitimelines.forecast.progress import shown
from aitimelines.forecast.studies import best_rival, fit_study, study_ids, study_summary
from aitimelines.forecast.tables import number_text, quantiles_text, quantity_words
from matplotlib.figure import Figure

PAGE = Path(__file__).with_suffix(".md")
TEMPLATE = Path(__file__).with_suffix(".template.md")
IMAGES = PAGE.parent / "images"
EXAMPLE = "training-compute-eras"


def in_cell(text: str) -> str:
    """Return text that does not end a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: list[str], rows: list[list[str]], words: int) -> str:
    """Return a Markdown table; all columns but the first, of words, are right-aligned."""
    rule = ["---"] * words + ["---:"] * (len(header) - words)
    return "\n".join("| " + " | ".join(map(in_cell, line)) + " |" for line in (header, rule, *rows))


def rivals_table(found: dict[str, Any]) -> str:
    """Return what the rivals of a study say, how they were judged, how they compare."""
    rows = [
        [f"`{name}`", rival["claim"], rival["verdict"], lacking(rival)]
        + [f"{rival['stacking_weight']:.2f}"]
        for name, rival in found["rivals"].items()
    ]
    return table(["rival", "what it says", "fit", "elpd - best", "weight"], rows, words=3)


def quantities_table(found: dict[str, Any]) -> str:
    """Return the quantities of a study, a column for each rival that has any."""
    names = [name for name, rival in found["rivals"].items() if rival["quantities"]]
    # Sorted, because a tree that was stored comes back with its variables in another order.
    quantities = sorted({q for name in names for q in found["rivals"][name]["quantities"]})
    rows = []
    for quantity in quantities:
        what, unit = quantity_words(quantity)
        cells = []
        for name in names:
            values = found["rivals"][name]["quantities"].get(quantity)
            cells.append("" if values is None else quantiles_text(values, unit))
        rows.append([what, unit, *cells])
    return table(["median (90 %)", "unit", *(f"`{name}`" for name in names)], rows, words=2)


def section(name: str, tree: xr.DataTree, drawn: dict[str, str]) -> str:
    """Return the section of a study, with its figures."""
    found = study_summary(tree)
    tables = ", ".join(f"`{table}`" for table in plot_history.tables_of(tree))
    gate = found["verdict"] + "".join(f"; {reason}" for reason in found["reasons"])
    head = f"{found['rows']} rows of {tables}; {found['unit']}. Fit: {gate}."
    parts = (rivals_table(found), quantities_table(found), drawn.get(name, ""))
    body = "\n\n".join(filter(None, (head, *parts)))
    return f"### {found['title']}\n\n`aitimelines history fit {name}`: {body}"


def figures_of(trees: dict[str, xr.DataTree]) -> dict[str, dict[str, Figure]]:
    """Return the figures of the page: study under which they stand -> file name -> figure."""
    example = trees[EXAMPLE]
    priors = plot_history.prior_posterior_figure(example, best_rival(example))
    return {
        "": {
            "history_priors": priors,
            "history_checks": plot_history.predictive_figure(example),
        },
        EXAMPLE: {"history_eras": plot_eras.three_eras(example)},
        "model-size-language": {
            "history_sizes": plot_sizes.break_figure(trees["model-size-language"])
        },
        "parameter-gap": {"history_gap": plot_sizes.gap_figure(trees["parameter-gap"])},
        "dataset-size-largest": {
            "history_stock": plot_sizes.stock_figure(trees["dataset-size-largest"])
        },
        "time-horizons": {
            "history_horizons": plot_capabilities.horizon_figure(trees["time-horizons"])
        },
        "capabilities-index-compute": {
            "history_index": plot_capabilities.index_figure(
                trees["capabilities-index"], trees["capabilities-index-compute"]
            )
        },
        "data-center-chips": {"history_hardware": plot_hardware.hardware_figure(trees)},
    }


def draw(trees: dict[str, xr.DataTree]) -> dict[str, str]:
    """Write the figures; return the Markdown that shows them, by study."""
    shown_by = {}
    for study, figures in figures_of(trees).items():
        lines = []
        for name, figure in figures.items():
            save_as(figure, IMAGES / f"{name}.png")
            lines.append(f"![{figure.texts[0].get_text()}](images/{name}.png)")
        shown_by[study] = "\n\n".join(lines)
    return shown_by


def gap_table() -> str:
    """Return the probability of so few models in the gap by table, rule of inclusion and null."""
    found = gap_tests()
    columns = list(product(ENDS, NULLS))
    rows = []
    for (name, multimodal), part in found.groupby(["table", "multimodal"], sort=False):
        tests = part.set_index(["ends", "null"]).to_dict("index")
        cells = [
            f"{number_text(tests[c]['probability'])} ({tests[c]['in_band']} of {tests[c]['n']})"
            for c in columns
        ]
        rows.append([f"`{name}`", "with" if multimodal else "without", *cells])
    header = ["table", "multimodal", *(f"{null}, {ends}" for ends, null in columns)]
    return table(header, rows, words=2)


def main() -> None:
    """Fit all studies, and write the figures and the page."""
    keep_compiled_programs()
    trees = {}
    with shown() as report:
        for number, name in enumerate(study_ids()):
            report("studies", number, len(study_ids()))
            trees[name], _ = fit_study(name, report=report)
        report("studies", len(trees), len(trees))
    drawn = draw(trees)
    rivals = sum(len(study_summary(tree)["rivals"]) for tree in trees.values())
    passed = sum(tree.attrs["verdict"] == "PASS" for tree in trees.values())
    text = TEMPLATE.read_text(encoding="utf-8").format(
        studies=len(trees),
        rivals=rivals,
        passed="All pass" if passed == len(trees) else f"{passed} of {len(trees)} pass",
        figures=drawn[""],
        sections="\n\n".join(section(name, tree, drawn) for name, tree in trees.items()),
        gap_table=gap_table(),
    )
    temporary = PAGE.with_suffix(".md.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(PAGE)


if __name__ == "__main__":
    main()
