"""Capacity: chips sold, clusters, data centres, their power, and the training runs they allow.

- chip stock: what each maker has sold since a date, in H100 equivalents, with standard errors from
  the 5 % and 95 % quantiles that the source states. Sums are linked in time (`pooled_trend`), and
  what their first quarters lack is part of the model.
- clusters: existing ones that were among the ten fastest of all at their first day (Pilz et al.
  2025), since 2019; no doubtful records, no marked duplicates.
- data centres: states of 18 sites up to the date of the table; later rows of it are plans and
  enter no fit (`plans`). Only states enter that put a site among the five largest of these. The
  sites were chosen because they are large now, so the early record is not one of leading sites.

`run_limits` turns the trends into the largest training run of a year, to be held against the limits
of the baseline's priors.
"""

from collections.abc import Mapping
from math import inf

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from ...priors.elicitation import location_scale
from ...priors.prior_sets import load_prior_set
from ..datasets import decimal_year, load_frame, table_info
from .pooled_trend import broken_rivals, pooled_rival
from .study import Rival, Study, dated, priors
from .training_compute import top_n_at_release

CHIPS, CLUSTERS, SITES = "ai_chip_stock", "gpu_clusters", "data_center_timelines"
MAKERS = ("Nvidia", "Google", "AMD", "Amazon")
CLUSTERS_SINCE, TOP_CLUSTERS, TOP_SITES = 2019.0, 10, 5
_STANDARD_ERRORS = 2 * stats.norm.ppf(0.95)  # between the 5 % and the 95 % quantile
SECONDS_A_DAY = 86400.0


def chip_rows(as_of_year: float = inf) -> pd.DataFrame:
    """Return a row for each maker and quarter, linked within makers; gap in years."""
    stock = dated(CHIPS, as_of_year)
    low, middle, high = (
        np.log10(stock[f"cumulative_h100_equivalents_{q}"]) for q in ("p5", "p50", "p95")
    )
    rows = pd.DataFrame(
        {
            "name": stock["manufacturer"].astype(str),
            "year": stock["year"],
            "log10_value": middle,
            "error_oom": (high - low) / _STANDARD_ERRORS,
            "since": decimal_year(stock["start_date"].to_numpy()),
        }
    )
    rows["group"] = rows["name"].map({maker: k for k, maker in enumerate(MAKERS)})
    return linked(rows.sort_values(["group", "year"], ignore_index=True))


def linked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with gap [yr] to the row before, infinite where the name changes."""
    names = rows["name"].to_numpy(dtype=object)
    gap = np.diff(rows["year"].to_numpy(), prepend=-inf)
    return rows.assign(gap=np.where(np.append(False, names[1:] == names[:-1]), gap, inf))


def chip_stock(*, as_of_year: float = inf) -> Study:
    """Return the AI chips sold by maker: sums of growing sales, or stocks that grow themselves."""
    rows = chip_rows(as_of_year)
    groups = tuple(maker.lower() for maker in MAKERS[: rows["group"].max() + 1])

    def rival(claim: str, used: pd.DataFrame, growth: str) -> Rival:
        return pooled_rival(
            claim,
            used,
            "chip-stock",
            groups,
            "h100_equivalents",
            growth=growth,
            unit="months",
            one_scale=True,
            total=True,
        )

    rivals = {
        "shared-growth": rival("sales of all makers grow alike", rows, "shared"),
        "own-growth": rival("sales of each maker grow at a rate of its own", rows, "own"),
        "stock-growth": rival(
            "the sums themselves grow exponentially, rows are independent",
            rows.drop(columns=["since", "gap"]),
            "shared",
        ),
    }
    title = "AI chips sold, in H100 equivalents"
    return Study(title, (CHIPS,), rows, "log10_value", "log10 H100 equivalents", rivals)


def cluster_rows(column: str, as_of_year: float = inf) -> pd.DataFrame:
    """Return the leading clusters since 2019 that state ``column``, with name, year, log10_value.

    Rank is by 16-bit speed, among all clusters up to the day, older ones included.
    """
    known = dated(CLUSTERS, as_of_year)
    known = known[
        (known["status"] != "Planned")
        & (known["certainty"] != "Unlikely")
        & ~known["possible_duplicate"]
        & known["op16_per_s"].notna()
    ].sort_values(["year", "op16_per_s"], kind="stable")
    leading = known[top_n_at_release(known["op16_per_s"].to_numpy(), TOP_CLUSTERS)]
    leading = leading[(leading["year"] >= CLUSTERS_SINCE) & (leading[column] > 0)]
    rows = leading[["name", "year"]].assign(log10_value=np.log10(leading[column]))
    return rows.reset_index(drop=True)


def clusters(*, as_of_year: float = inf) -> Study:
    """Return 16-bit speed of the leading clusters: one growth, or one that changed."""
    rows = cluster_rows("op16_per_s", as_of_year)
    rivals = broken_rivals("speed", rows, "clusters", "op_per_s", unit="months", frontier=True)
    title = "16-bit speed of leading clusters"
    return Study(title, (CLUSTERS,), rows, "log10_value", "log10 op/s", rivals)


def cluster_power(*, as_of_year: float = inf) -> Study:
    """Return the power of the leading clusters: one growth, or one that changed."""
    rows = cluster_rows("power_mw", as_of_year)
    rivals = broken_rivals("power", rows, "cluster-power", "mw", unit="months", frontier=True)
    title = "Power of leading clusters"
    return Study(title, (CLUSTERS,), rows, "log10_value", "log10 MW", rivals)


def site_states(as_of_year: float = inf) -> pd.DataFrame:
    """Return the states of data centres that were observed by a date, oldest first."""
    states = load_frame(SITES)
    states = states.assign(
        name=states["data_center"].astype(str),
        year=decimal_year(states["milestone_date"].to_numpy()),
    ).sort_values(["year", "name"], ignore_index=True)
    return states[states["year"] <= min(as_of_year, observed_until())]


def plans() -> pd.DataFrame:
    """Return the states of data centres that the source expects after its date."""
    states = load_frame(SITES)
    states = states.assign(year=decimal_year(states["milestone_date"].to_numpy()))
    return states[states["year"] > observed_until()].sort_values("year", ignore_index=True)


def observed_until() -> float:
    """Return the date up to which states of data centres are observed, not planned."""
    return float(decimal_year(np.datetime64(table_info(SITES).as_of)))


def site_rows(column: str, as_of_year: float = inf) -> pd.DataFrame:
    """Return new states of the largest sites, linked within sites; gap in years.

    column: "power_mw" or "h100_equivalents"; a state enters if it differs from the one before it
    and ranks among the five largest sites by power on its day.
    """
    current: dict[str, tuple[float, float]] = {}
    chosen = []
    for index, state in site_states(as_of_year).iterrows():
        here = (state["power_mw"], state[column])
        changed = here != current.get(state["name"])
        current[state["name"]] = here
        larger = sum(power > here[0] for power, _ in current.values())
        if changed and state[column] > 0 and larger < TOP_SITES:
            chosen.append(index)
    rows = site_states(as_of_year).loc[chosen, ["name", "year", column]]
    rows = rows.sort_values(["name", "year"], ignore_index=True)
    return linked(rows.assign(log10_value=np.log10(rows[column]))[["name", "year", "log10_value"]])


def _sites(title: str, column: str, section: str, unit: str, as_of_year: float) -> Study:
    rows = site_rows(column, as_of_year)
    level = unit.removeprefix("log10 ").lower().replace(" ", "_")
    rivals = {
        "linked": pooled_rival(
            "one growth; states of one site are linked",
            rows,
            section,
            ("sites",),
            level,
            unit="months",
        ),
        **broken_rivals(column, rows, section, level, unit="months", frontier=True),
    }
    return Study(title, (SITES,), rows, "log10_value", unit, rivals)


def data_center_power(*, as_of_year: float = inf) -> Study:
    """Return the power of the largest AI data centres, as far as observed."""
    title = "Power of the largest AI data centres"
    return _sites(title, "power_mw", "data-center-power", "log10 MW", as_of_year)


def data_center_chips(*, as_of_year: float = inf) -> Study:
    """Return the chips in the largest AI data centres, as far as observed."""
    title = "Chips in the largest AI data centres"
    unit = "log10 H100 equivalents"
    return _sites(title, "h100_equivalents", "data-center-chips", unit, as_of_year)


# --- what this allows -----------------------------------------------------------------------------
# study -> (its column of growth, the limit of the baseline that it bears on)
BEARING = {
    "clusters": ("growth_oom_per_year", "power"),
    "data-center-chips": ("growth_oom_per_year", "power"),
    "chip-stock": ("total_last_year_growth_oom_per_year", "chips"),
}
H100_OP_PER_S = 9.894e14  # 16 bits, dense


def run_limits(
    fitted: Mapping[str, xr.DataTree], *, year: float = 2030.0, seed: int = 0
) -> pd.DataFrame:
    """Return the largest training run of a year by each trend, beside the baseline's limits.

    fitted: of `studies.fit_study`, for each study of `BEARING`

    The largest cluster, the largest data centre, or the stock of chips today, times growth to
    ``year`` (rivals mixed by stacking weight), times utilisation and length of a run (priors of
    the section "training-run"; of the stock, also a share): log10 FLOP as 10 %, 50 %, 90 %. The
    limits are those of the baseline's priors, of 2030, as 10 %, 50 %, 90 %.
    chance_above_limit: that the trend allows more than the limit, both drawn independently.
    """
    rng = np.random.default_rng(seed)
    limits = {each["name"]: each for each in load_prior_set("baseline")["limits"]["resources"]}
    found = []
    for study, (column, name) in BEARING.items():
        base, base_year = _today(study)
        growth = _mixed(fitted[study], column, rng)
        run = base + growth * (year - base_year) + _run_of(len(growth), study == "chip-stock", rng)
        low, high = limits[name]["log10_flop"]["normal"]
        mass = limits[name]["log10_flop"].get("mass", 0.9)
        scale = (high - low) / 2 / stats.norm.ppf((1 + mass) / 2)
        limit = rng.normal((low + high) / 2, scale, len(run))
        found.append(
            {
                "study": study,
                "base_year": base_year,
                "log10_op_per_s_of_base_year": base,
                "growth_oom_per_year": float(np.median(growth)),
                **_quantiles("log10_flop", run),
                "limit": name,
                **_quantiles("limit_log10_flop", limit),
                "chance_above_limit": float(np.mean(run > limit)),
            }
        )
    return pd.DataFrame(found)


def _today(study: str) -> tuple[float, float]:
    """Return the largest 16-bit speed that is observed [log10 op/s], and its date."""
    if study == "clusters":
        rows = cluster_rows("op16_per_s")
    elif study == "data-center-chips":
        rows = site_rows("h100_equivalents")
    else:
        rows = chip_rows()
        all_known = float(rows.groupby("group")["year"].max().min())
        total = np.sum(10 ** rows["log10_value"][rows["year"] == all_known])
        return float(np.log10(total * H100_OP_PER_S)), all_known
    top = rows.iloc[int(rows["log10_value"].to_numpy().argmax())]
    unit = 0.0 if study == "clusters" else float(np.log10(H100_OP_PER_S))
    return float(top["log10_value"]) + unit, float(top["year"])


def _mixed(tree: xr.DataTree, column: str, rng: np.random.Generator) -> np.ndarray:
    """Return draws of a quantity from a study's rivals, as many of each as its stacking weight."""
    comparison = tree["comparison"].to_dataset()
    draws = [
        tree[str(rival)]["quantities"][column].to_numpy().ravel()
        for rival in comparison["rival"].to_numpy()
    ]
    weights = np.maximum(comparison["stacking_weight"].to_numpy(), 0)
    chosen = rng.choice(len(draws), size=draws[0].size, p=weights / weights.sum())
    return np.stack(draws)[chosen, rng.integers(draws[0].size, size=draws[0].size)]


def _run_of(size: int, of_stock: bool, rng: np.random.Generator) -> np.ndarray:
    """Return log10 FLOP of a run for each op/s, from priors of utilisation, length and share."""
    section = priors("training-run")
    if not of_stock:
        del section["share_of_chips"]
    total = np.full(size, np.log10(SECONDS_A_DAY))
    for interval in section.values():
        found = location_scale(*interval)
        total += (found.location + found.scale * rng.standard_normal(size)) / np.log(10)
    return total


def _quantiles(name: str, values: np.ndarray) -> dict[str, float]:
    found = np.quantile(values, [0.1, 0.5, 0.9])
    return {f"{name}_q{q}": float(v) for q, v in zip((10, 50, 90), found, strict=True)}


def planned_runs() -> pd.DataFrame:
    """Return the largest planned data centre of each year, and what a run there would be.

    Columns year, data_center, power_mw, h100_equivalents, log10_flop (at the medians of the priors
    of a run). Plans slip, and the 18 sites are not all there will be.
    """
    states = plans()
    states = states[states["h100_equivalents"] > 0]
    top = states.loc[states.groupby(np.floor(states["year"]))["h100_equivalents"].idxmax()]
    section = priors("training-run")
    medians = [location_scale(*section[name]).location for name in ("utilisation", "days")]
    run = np.log10(H100_OP_PER_S * SECONDS_A_DAY) + sum(medians) / np.log(10)
    columns = top[["year", "data_center", "power_mw", "h100_equivalents"]]
    return columns.assign(log10_flop=np.log10(top["h100_equivalents"]) + run).reset_index(drop=True)
