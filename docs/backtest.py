"""Write docs/backtest.md and its figures: forecasts from past dates, scored on what came.

Run as ``python docs/backtest.py``: two minutes, seconds once the backtest is in the cache. The
words are in backtest.template.md, the numbers are put in here.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from aitimelines.forecast import backtest, backtest_fits, plot_backtest
from aitimelines.forecast.backtest_scores import forecasts_of, scores, skills
from aitimelines.forecast.compiled import keep_compiled_programs
from aitimelines.forecast.plot_page import save_as
from aitimelines.forecast.progress import shown
from aitimelines.forecast.scenario_files import load_scenario

PAGE = Path(__file__).with_suffix(".md")
TEMPLATE = Path(__file__).with_suffix(".template.md")
IMAGES = PAGE.parent / "images"
COMMAND = "aitimelines backtest baseline"


def markdown_table(header: list[str], rows: list[list[str]], words: int = 1) -> str:
    """Return a Markdown table; all columns but the first, of words, are right-aligned."""
    lines = [header, ["---"] * words + ["---:"] * (len(header) - words), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def score_tables(frame: pd.DataFrame) -> str:
    """Return the scores of all methods, a table for each quantity."""
    header = ["outcome", "forecast", "CRPS", "log score", "in 90 %", "in 50 %", "error", "outcomes"]
    parts = []
    table = scores(frame)
    for quantity, title in backtest_fits.TITLES.items():
        rows = [
            [
                row["target"],
                row["method"],
                f"{row['crps']:.2f}",
                "" if np.isnan(row["log_score"]) else f"{row['log_score']:.2f}",
                f"{row['inside_90']:.0%}",
                f"{row['inside_50']:.0%}",
                f"{row['error']:+.2f}",
                str(row["outcomes"]),
            ]
            for _, row in table[table["quantity"] == quantity].iterrows()
        ]
        title = title[0].upper() + title[1:]
        parts.append(f"## {title}\n\n{markdown_table(header, rows, words=2)}")
    return "\n\n".join(parts)


def skill_table(frame: pd.DataFrame) -> str:
    """Return the skill over each naive forecast."""
    rows = [
        [
            row["quantity"].replace("_", " "),
            row["target"],
            row["baseline"],
            f"{row['skill']:.2f} ({row['skill_low']:.2f} to {row['skill_high']:.2f})",
        ]
        for _, row in skills(frame).iterrows()
    ]
    return markdown_table(["quantity", "outcome", "over", "skill (90 %)"], rows, words=3)


def horizon_table(frame: pd.DataFrame) -> tuple[str, list[str]]:
    """Return (scores by years ahead, where a naive forecast did better)."""
    table = scores(frame, ("quantity", "target", "years_ahead", "method"))
    methods = (backtest.STACKED, *backtest.NAIVE)
    rows, worse = [], []
    for (quantity, target), part in table.groupby(["quantity", "target"], sort=False):
        row = [f"{quantity.replace('_', ' ')}, {target}s"]
        for ahead, each in part.groupby("years_ahead"):
            of = each.set_index("method")
            crps = [of.loc[method, "crps"] for method in methods]
            inside = of.loc[backtest.STACKED, "inside_90"]
            row.append(" / ".join(f"{x:.2f}" for x in crps) + f", {inside:.0%}")
            if min(crps[1:]) < crps[0]:
                count = of.loc[backtest.STACKED, "outcomes"]
                worse.append(f"{row[0]}, {ahead} years ahead ({count:.0f} outcomes)")
        rows.append(row)
    header = ["", *(f"{h} yr" for h in range(1, backtest.MOST_YEARS_AHEAD + 1))]
    return markdown_table(header, rows), worse


def coverage(frame: pd.DataFrame) -> str:
    """Return in words how many outcomes fell inside."""
    table = scores(frame).set_index(["quantity", "target", "method"])
    lines = []
    for quantity in backtest_fits.QUANTITIES:
        runs = table.loc[(quantity, "run", backtest.STACKED)]
        lines.append(
            f"- {quantity.replace('_', ' ')}: of {runs['outcomes']:.0f} later runs "
            f"{runs['inside_90']:.0%} inside 90 %, {runs['inside_50']:.0%} inside 50 %."
        )
    return "\n".join(lines)


def weight_table(weights: xr.Dataset, dimension: str) -> str:
    """Return weights of 0 to 3 changes of growth, a row for each quantity or date."""
    by_date = dimension == "as_of"
    shown_rows = (
        [(str(d), weights["training_compute"].sel(as_of=d)) for d in weights["as_of"].to_numpy()]
        if by_date
        else [(str(name).replace("_", " "), value) for name, value in weights.items()]
    )
    rows = [[name, *(f"{float(w):.2f}" for w in value)] for name, value in shown_rows]
    return markdown_table(["as of" if by_date else "", *"0123"], rows)


def dates_in_words(tree: xr.DataTree) -> str:
    """Return which dates there are, and which of them read a table of their day."""
    frame = forecasts_of(tree)
    of_day = sorted(frame[frame["vintage"]]["as_of"].unique())
    cut = sorted(frame[~frame["vintage"]]["as_of"].unique())
    return (
        f"Dates: {', '.join(cut)}, from today's table cut at the date, and as vintages "
        f"{', '.join(of_day)}, from the table as it was published on that day."
    )


def dates_won(frame: pd.DataFrame) -> tuple[int, int]:
    """Return (dates on which no change of growth had the best log score, all dates)."""
    runs = frame[(frame["quantity"] == "training_compute") & (frame["target"] == "run")]
    by_date = runs.pivot_table(index="as_of", columns="method", values="log_score")
    alone = by_date[[f"{k} changes" for k in backtest_fits.CHANGE_POINTS]]
    return int((alone.idxmin(axis=1) == "0 changes").sum()), len(alone)


def loo_share() -> str:
    """Return the weight that leave-one-out gives to models with changes today."""
    scenario = load_scenario("baseline")
    table = scenario.training_compute.table
    newest = backtest_fits.Case(str(backtest_fits.table_info(table).vintage), table, True)
    ((_, _, candidates),) = backtest_fits.fits(
        scenario, "training_compute", [newest], lambda what, done, total: None
    )
    return f"{1 - backtest_fits.loo_weights(candidates)[0]:.0%}"


def main() -> None:
    """Write the page."""
    keep_compiled_programs()
    with shown("auto") as report:
        tree, _ = backtest.backtest(load_scenario("baseline"), report=report)
    frame = forecasts_of(tree)
    save_as(plot_backtest.fan_figure(tree), IMAGES / "backtest_fan.png")
    save_as(plot_backtest.calibration_figure(tree), IMAGES / "backtest_calibration.png")
    save_as(plot_backtest.horizon_figure(tree), IMAGES / "backtest_years_ahead.png")
    horizons, worse = horizon_table(frame)
    won, dates = dates_won(frame)
    text = TEMPLATE.read_text(encoding="utf-8").format(
        command=COMMAND,
        known=tree.attrs["record_known"],
        dates=dates_in_words(tree),
        tables=score_tables(frame),
        skill=skill_table(frame),
        horizons=horizons,
        worse=": " + "; ".join(worse) if worse else "; nowhere so far",
        coverage=coverage(frame),
        weights=weight_table(tree["final_weights"].to_dataset(), ""),
        weights_then=weight_table(tree["weights"].to_dataset(), "as_of"),
        dates_won=won,
        dates_all=dates,
        loo_share=loo_share(),
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
