"""Write docs/scaling_laws.md and its figures: what laws, fits and decisions come out as.

Run as ``python docs/scaling_laws.py``: two minutes, less once the fit is in the cache. The words
are in scaling_laws.template.md, the numbers are put in here; the figures are made by the commands
that the page names.
"""

import re
import shlex
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from aitimelines.forecast import cli, law_frames, laws, training_decisions
from aitimelines.forecast.cli_laws_decisions import BUDGETS, MEMORIES
from aitimelines.forecast.law_families import LOG_FLOP_PER_PETAFLOP_S_DAY
from aitimelines.forecast.law_fits import fit_runs, law_summary, read_runs
from aitimelines.forecast.transition import summary, transition

PAGE = Path(__file__).with_suffix(".md")
TEMPLATE = Path(__file__).with_suffix(".template.md")
TABLE = "chinchilla_losses"
BUDGET = 1e25
FIGURES = {
    "figure_fit": "laws fit chinchilla_losses --figure docs/images/law_fit.png",
    "figure_laws": "laws compare --flop 1e25 --figure docs/images/laws.png",
    "figure_overhead": "laws overhead --law hoffmann-2022-table-a3 --law besiroglu-2024 "
    "--posterior chinchilla_losses --figure docs/images/overtraining.png",
    "figure_envelope": "laws envelope --posterior chinchilla_losses "
    "--figure docs/images/envelope.png",
}


def markdown_table(header: list[str], rows: list[list[str]], words: int = 1) -> str:
    """Return a Markdown table; all columns but the first, of words, are right-aligned."""
    lines = [header, ["---"] * words + ["---:"] * (len(header) - words), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def short(value: float, digits: int = 2) -> str:
    """Return a number of so many digits, 1e25 and not 1e+25."""
    return re.sub(r"e\+0*", "e", f"{value:.{digits}g}")


def law_table() -> str:
    """Return every published law: its form, its range, its successor, its best run."""
    best = {row["law"]: row for row in laws.compare(BUDGET)}
    rows = []
    for law in map(laws.law, laws.law_ids()):
        run = best.get(law.id, {})
        of_tokens = run and law.units["data"].startswith("token")
        ratio = short(run["tokens_per_parameter"], 3) if of_tokens else ""
        most = law.valid.get("training_flop", law.valid.get("parameters", (0, np.inf)))[1]
        unit = "FLOP" if "training_flop" in law.valid else "parameters"
        reach = f"{short(most)} {unit}" if np.isfinite(most) else ""
        rows.append([f"`{law.id}`", law.title, law.superseded_by or "", reach, ratio])
    header = ["id", "law", "superseded by", "fitted up to", f"D / N at {short(BUDGET)} FLOP"]
    return markdown_table(header, rows, words=3)


def posterior_table(found: dict[str, Any]) -> str:
    """Return the constants of the fit beside the point fit and the published errors."""
    published = {"E": "1.8172 ± 0.0257", "A": "482 ± 125", "B": "2085 ± 1293"}
    published |= {"alpha": "0.3478 ± 0.0154", "beta": "0.3658 ± 0.0206", "a": "0.5126"}
    rows = []
    for name, words in published.items():
        mean, sd = (found["posterior"][name][key] for key in ("mean", "sd"))
        rows.append(
            [name, f"{mean:.4g} ± {float(f'{sd:.2g}'):g}", f"{found['point'][name]:.4g}", words]
        )
    return markdown_table(["", "posterior", "Huber fit, converged", "Besiroglu et al. 2024"], rows)


def overhead_table(draws: dict[str, np.ndarray]) -> str:
    """Return the overhead of smaller models [%] by law, and de Vries' numbers."""
    ratios, rows = [0.25, 0.3, 0.5, 0.75], []
    frame = training_decisions.overtraining_overhead(draws, parameters_ratio=ratios)
    for ratio, printed in zip(ratios, ("188 %", "about 100 %", "20 %", "2.8 %"), strict=True):
        cells = [f"{ratio:g}", printed]
        for law in ("hoffmann-2022-table-a3", "besiroglu-2024"):
            point = training_decisions.overtraining_overhead(law, parameters_ratio=ratio)
            cells.append(f"{100 * point['overhead'].item():.1f} %")
        of_ratio = frame.loc[frame["parameters_ratio"] == ratio, "overhead"]
        low, middle, high = (f"{100 * q:.1f}" for q in np.quantile(of_ratio, (0.05, 0.5, 0.95)))
        rows.append([*cells, f"{middle} ({low} to {high}) %"])
    header = ["k_N", "de Vries 2023", "its constants", "besiroglu-2024", "posterior"]
    return markdown_table(header, rows)


def transition_table() -> str:
    """Return where L(C) meets L(D(C)) by what Kaplan et al. print."""
    rows = [
        [row["reading"], *(short(row[key]) for key in ("petaflop_s_days", "parameters", "tokens"))]
        + [f"{row['loss_nats']:.2f}"]
        for row in summary(transition())["readings"]
    ]
    header = ["reading", "petaFLOP/s-days", "N", "D", "loss"]
    return markdown_table(header, [["printed", "1e4", "1e12", "1e12", "1.7"], *rows])


def allocation(law_id: str) -> str:
    """Return beta / (alpha + beta) of a law."""
    constants = laws.law(law_id).constants
    alpha, beta = constants["parameter_exponent"], constants["data_exponent"]
    return f"{beta / (alpha + beta):.3f}"


def values() -> dict[str, str]:
    """Return what the template leaves open."""
    fit, _ = fit_runs(read_runs(TABLE))
    found, draws = law_summary(fit), law_frames.draws_of(fit)
    kaplan = laws.law("kaplan-2020").constants
    per_day = np.exp(LOG_FLOP_PER_PETAFLOP_S_DAY)
    at = laws.optimum("hoffmann-2022", training_flop=5.76e23)
    exact = laws.optimum("hoffmann-2022-unrounded", training_flop=5.76e23)
    correlation = np.corrcoef(draws["log_parameter_constant"], draws["parameter_exponent"])[0, 1]
    served = training_decisions.inference_aware_optimum(draws, loss_nats=1.95, tokens_served=1e13)
    choice = training_decisions.envelope_choice(draws, training_flop=BUDGETS, gigabytes=MEMORIES)
    wins = choice["probability_overtrained_small_wins"] > 0.5
    fits = choice["dense_parameters_ratio"] > 1 - 1e-6
    low, middle, high = np.quantile(served["training_flop_ratio"], (0.05, 0.5, 0.95))
    return {
        "runs": str(found["n_rows"]),
        "law_table": law_table(),
        "posterior_table": posterior_table(found),
        "correlation": f"{correlation:.4f}",
        "overhead_table": overhead_table(draws),
        "transition_table": transition_table(),
        "cells": str(len(choice)),
        "dense_wins": str(wins.sum()),
        "overtrained_wins": str((wins & ~fits).sum()),
        "served": f"{middle:.2f} ({low:.2f} to {high:.2f})",
        "eq_6_7": short(2 * per_day / 6 / kaplan["parameters_by_flop"]["scale"]),
        "rounded": f"{at.tokens_per_parameter:.1f}",
        "unrounded": f"{exact.tokens_per_parameter:.1f}",
        "all_runs": allocation("besiroglu-2024-all-runs"),
        "bits_oom": f"{np.log10(1 / np.log(2)) / found['posterior']['gamma']['mean']:.2f}",
    } | {name: f"aitimelines {command}" for name, command in FIGURES.items()}


def main() -> None:
    """Write the figures and the page."""
    for command in FIGURES.values():
        with redirect_stdout(StringIO()):
            cli.main([*shlex.split(command), "--json"])
    text = TEMPLATE.read_text(encoding="utf-8").format(**values())
    temporary = PAGE.with_suffix(".md.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(PAGE)


if __name__ == "__main__":
    main()
