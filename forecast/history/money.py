"""Money: what training runs cost, what companies spend on compute, and what they earn.

Costs are amortised hardware and energy of the runs that were among the ten largest by compute at
their release, since 2016 (Cottier et al. 2024; `spending`). Companies are groups of `pooled_trend`.
Spending is of whole years, research and inference together, dated to the middle of the year, and
has five rows: its growth is read off two companies and says little. Revenues are annualised figures
of the press, of different kinds (a year's sum, a month times twelve, a part of a company); a heavy
tail stands for that. Of a company's figures the later ones are not independent of the earlier, so
that intervals are somewhat too narrow.
"""

from math import inf

import numpy as np
import pandas as pd

from . import spending
from .pooled_trend import broken_rivals, pooled_rival
from .study import Rival, Study, dated

COSTS, SPEND, REVENUE = "training_costs", "company_compute_spend", "company_revenue"
SINCE_YEAR, TOP_N = 2016.0, 10
_RESEARCH, _INFERENCE = "R&D cloud compute", "Inference cloud compute"


def training_cost(*, as_of_year: float = inf) -> Study:
    """Return the cost of the largest training runs: one growth, or one that changed."""
    rows = spending.observations(dated(COSTS, as_of_year), as_of_year=as_of_year, top_n=TOP_N)
    rows = rows[rows["year"] >= SINCE_YEAR].reset_index(drop=True)
    rivals = broken_rivals("cost", rows, "training-cost", "usd", unit="months", frontier=True)
    return Study(
        "Cost of the largest training runs", (COSTS,), rows, "log10_value", "log10 USD", rivals
    )


def spend_rows(as_of_year: float = inf) -> pd.DataFrame:
    """Return a row for each company and year with all compute known, in `training_cost`'s columns.

    A figure for both purposes counts as it is, else the sum of the two; years at half-way.
    """
    figures = dated(SPEND, as_of_year)
    figures = figures[figures["period"] == "Year"]
    totals = []
    for (company, _), part in figures.groupby(["company", "year"]):
        amount = part.set_index("spend_category")["amount_usd"]
        both = [name for name in amount.index if _RESEARCH in name and _INFERENCE in name]
        if both:
            total = amount[both[0]]
        elif {_RESEARCH, _INFERENCE} <= set(amount.index):
            total = amount[_RESEARCH] + amount[_INFERENCE]
        else:
            continue
        totals.append((str(company), np.ceil(part["year"].iloc[0]) - 0.5, np.log10(total)))
    rows = pd.DataFrame(totals, columns=["name", "year", "log10_value"])
    return rows.assign(group=pd.Categorical(rows["name"]).codes.astype(int))


def _by_company(rows: pd.DataFrame, section: str, one_scale: bool) -> dict[str, Rival]:
    companies = tuple(name.lower() for name in sorted(rows["name"].unique()))
    claims = {"shared": "all companies grow alike", "own": "each company has its growth"}
    return {
        f"{growth}-growth": pooled_rival(
            claim,
            rows,
            section,
            companies,
            "usd_per_year_of_all",
            growth=growth,
            unit="months",
            one_scale=one_scale,
            total=True,
        )
        for growth, claim in claims.items()
    }


def company_compute_spend(*, as_of_year: float = inf) -> Study:
    """Return what Anthropic and OpenAI spend on compute in a year."""
    rows = spend_rows(as_of_year)
    rivals = _by_company(rows, "company-compute-spend", one_scale=True)
    title = "Compute spending of AI companies"
    return Study(title, (SPEND,), rows, "log10_value", "log10 USD/year", rivals)


def company_revenue(*, as_of_year: float = inf) -> Study:
    """Return annualised revenues of Anthropic, OpenAI and xAI."""
    figures = dated(REVENUE, as_of_year)
    rows = pd.DataFrame(
        {
            "name": figures["company"].astype(str),
            "year": figures["year"],
            "log10_value": np.log10(figures["annualized_revenue_usd"]),
            "group": pd.Categorical(figures["company"].astype(str)).codes.astype(int),
        }
    )
    rivals = _by_company(rows, "company-revenue", one_scale=False)
    title = "Revenue of AI companies"
    return Study(title, (REVENUE,), rows, "log10_value", "log10 USD/year", rivals)
