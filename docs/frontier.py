"""Write docs/frontier.md: which reading of the compute frontier forecasts the largest run best.

Run as ``python docs/frontier.py``: about fifteen minutes, one once the fits are in the cache. The
words are in frontier.template.md, the numbers are put in here.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from frontier_backtest import (
    BACKTEST,
    HORIZONS_YEARS,
    METHODS,
    NAIVE,
    NOW,
    OF_2022,
    READINGS,
    TABLE,
    VINTAGE,
    Case,
    Scored,
    disclosed,
    fitted,
    of_method,
    record,
    scored,
    scores,
)

PAGE = Path(__file__).with_suffix(".md")
TEMPLATE = Path(__file__).with_suffix(".template.md")


# Posterior predictive checks


def _record_setters(values: np.ndarray) -> np.ndarray:
    before = np.maximum.accumulate(values, axis=-1)[..., :-1]
    return 1 + np.sum(values[..., 1:] > before, axis=-1)


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda values: values.mean(axis=-1),
    "sd": lambda values: values.std(axis=-1),
    "largest = final record": lambda values: values.max(axis=-1),
    "record-setting runs": _record_setters,
    "mean of the record curve": lambda v: np.maximum.accumulate(v, axis=-1).mean(axis=-1),
}


def predictive_rows(reading: str) -> list[list[str]]:
    """Return for each statistic: the data, the central 90 % of replications, the p-value."""
    tree = fitted(NOW, reading)
    data = tree["observed_data"]["log10_value"].to_numpy()
    dims = ("chain", "draw", "training_compute_observation")
    replicated = tree["posterior_predictive"]["log10_value"].transpose(*dims).to_numpy()
    rows = []
    for name, statistic in STATISTICS.items():
        actual, many = float(statistic(data)), statistic(replicated).ravel()
        low, high = np.quantile(many, [0.05, 0.95])
        p = np.mean(many > actual) + 0.5 * np.mean(many == actual)
        numbers = [f"{x:.0f}" if "setting" in name else f"{x:.2f}" for x in (actual, low, high)]
        rows.append([reading, str(len(data)), name, numbers[0], f"{numbers[1]} to {numbers[2]}"])
        rows[-1].append(f"{p:.3f}")
    return rows


def distance_from_record(reading: str) -> tuple[float, float]:
    """Return (mean, root mean square) of the reading's frontier minus the record since 2012 [OOM].

    The frontier is the posterior median of the fit to all data, twice a year.
    """
    trend = fitted(NOW, reading)["trend"].to_dataset().sel(quantile=0.5)
    year = trend["trend_year"].to_numpy()
    recent = year >= 2012
    gap = trend["log10_value"].to_numpy() - np.array([record(TABLE, y) for y in year])
    return float(gap[recent].mean()), float(np.sqrt(np.mean(gap[recent] ** 2)))


# The page


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def score_table(forecasts: list[Scored]) -> str:
    """Return the scores of all methods."""
    header = ["forecast", "CRPS", "log score", "inside 90 %", "mean error", "mean absolute error"]
    rows = []
    for method in METHODS:
        s = scores(of_method(forecasts, method))
        numbers = [f"{s['crps']:.2f}", f"{s['log_score']:.2f}", f"{100 * s['coverage']:.0f} %"]
        numbers += [f"{s['error']:+.2f}", f"{s['absolute_error']:.2f}"]
        rows.append([method, *numbers, f"{s['width']:.1f}"])
    return markdown_table([*header, "width of 90 %"], rows)


def horizon_table(forecasts: list[Scored]) -> str:
    """Return CRPS and coverage by years ahead."""
    header = ["forecast"] + [f"{h} yr ahead: CRPS, inside" for h in HORIZONS_YEARS]
    rows = []
    for method in METHODS:
        found = [scores(of_method(forecasts, method, years_ahead=h)) for h in HORIZONS_YEARS]
        rows.append([method] + [f"{s['crps']:.2f}, {100 * s['coverage']:.0f} %" for s in found])
    return markdown_table(header, rows)


def detail_table(forecasts: list[Scored], shown: tuple[str, ...]) -> str:
    """Return each forecast of some methods as median and central 90 %, beside what happened."""
    rows = []
    for f in of_method(forecasts, shown[0]):
        row = [f"{f.case.date} + {f.years_ahead} yr", f"{f.actual:.2f}"]
        for method in shown:
            (g,) = of_method(forecasts, method, case=f.case, years_ahead=f.years_ahead)
            low, middle, high = np.quantile(g.draws, [0.05, 0.5, 0.95])
            missed = "" if low <= f.actual <= high else ", missed"
            row.append(f"{middle:.2f} ({low:.2f} to {high:.2f}{missed})")
        rows.append(row)
    return markdown_table(["date", "record", *shown], rows)


def now_table() -> str:
    """Return where each reading puts the frontier on each date, against the record of then."""
    rows = []
    for case in (*BACKTEST, *OF_2022, NOW):
        row = [f"{case.date}, {case.table}", f"{record(case.table, case.year):.2f}"]
        for reading in READINGS:
            level = fitted(case, reading)["forecast"]["log10_level"].to_numpy()
            low, middle, high = np.quantile(level, [0.05, 0.5, 0.95])
            row.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        rows.append(row)
    return markdown_table(["as of, table", "record", *READINGS], rows)


def first_year(forecasts: list[Scored], method: str) -> str:
    """Return the CRPS one year ahead."""
    return f"{scores(of_method(forecasts, method, years_ahead=1))['crps']:.2f}"


def dates_won(forecasts: list[Scored], method: str, other: str) -> str:
    """Return at how many dates a method has the lower mean CRPS, "3 of 5"."""
    cases = sorted({f.case for f in forecasts})
    crps = [
        [scores(of_method(forecasts, m, case=case))["crps"] for m in (method, other)]
        for case in cases
    ]
    return f"{sum(a < b for a, b in crps)} of {len(cases)}"


def interval(case: Case, column: str, digits: int) -> str:
    """Return median and central 90 % of what the forecast takes from the top-n fit."""
    draws = fitted(case, "top-n")["forecast"][column].to_numpy()
    low, middle, high = (f"{q:.{digits}f}" for q in np.quantile(draws, [0.05, 0.5, 0.95]))
    return f"{middle} ({low} to {high})"


def late_systems() -> tuple[int, int]:
    """Return how many systems of the top-n fit date from 2025 on, and how many there are."""
    year = fitted(NOW, "top-n")["observed_data"]["year"].to_numpy()
    return int(np.sum(year >= 2025)), len(year)


def values() -> dict[str, str]:
    """Return what the template leaves open."""
    backtest, of_2022 = scored(BACKTEST), scored(OF_2022)
    vintage = [f for f in of_2022 if f.case.table == VINTAGE]
    chosen = "top-n, slowing"
    crps = {m: f"{scores(of_method(backtest, m))['crps']:.2f}" for m in METHODS}
    shares = [[str(y), str(all_), str(known)] for y, all_, known in disclosed()]
    distances = [[r, *(f"{x:+.2f}" for x in distance_from_record(r))] for r in READINGS]
    predictive = [row for reading in READINGS for row in predictive_rows(reading)]
    header = ["reading", "systems", "statistic", "data", "90 % of replications", "p"]
    return {
        "table_date": NOW.date,
        "doubling_2024": interval(BACKTEST[-1], "doubling_time_years", 2),
        "doubling_now": interval(NOW, "doubling_time_years", 2),
        "level_now": interval(NOW, "log10_level", 1),
        "late_systems": " of the ".join(map(str, late_systems())),
        "record": f"{record(TABLE, NOW.year):.2f}",
        "crps_top_n": crps[chosen],
        "crps_upper_quantile": crps["upper-quantile, slowing"],
        "crps_latent_frontier": crps["latent-frontier, slowing"],
        "crps_records": crps["top-n, records"],
        "crps_latent_records": crps["latent-frontier, records"],
        "crps_naive": crps[NAIVE],
        "won_upper_quantile": dates_won(backtest, chosen, "upper-quantile, slowing"),
        "won_latent_frontier": dates_won(backtest, chosen, "latent-frontier, slowing"),
        "won_naive": dates_won(backtest, chosen, NAIVE),
        "naive_first_year": first_year(backtest, NAIVE),
        "top_n_first_year": first_year(backtest, chosen),
        "records_first_year": first_year(backtest, "top-n, records"),
        "forecasts": str(len(of_method(backtest, chosen))),
        "predictive_table": markdown_table(header, predictive),
        "distance_table": markdown_table(["reading", "mean", "root mean square"], distances),
        "now_table": now_table(),
        "score_table": score_table(backtest),
        "horizon_table": horizon_table(backtest),
        "detail_table": detail_table(backtest, (chosen, "top-n, records", NAIVE)),
        "vintage_score_table": score_table(vintage),
        "vintage_table": detail_table(vintage, (chosen, "top-n, straight", "top-n, records")),
        "vintage_others_table": detail_table(
            vintage, ("upper-quantile, slowing", "latent-frontier, slowing")
        ),
        "disclosure_table": markdown_table(
            ["year", "notable models", "compute known", "share"],
            [[*row, f"{100 * int(row[2]) / int(row[1]):.0f} %"] for row in shares],
        ),
    }


def main() -> None:
    """Write the page."""
    text = TEMPLATE.read_text(encoding="utf-8").format(**values())
    temporary = PAGE.with_suffix(".md.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(PAGE)


if __name__ == "__main__":
    main()
