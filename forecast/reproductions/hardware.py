"""Hardware, money and capacity: published growth rates, computed as their authors did.

Hobbhahn & Besiroglu 2022, Cottier 2023, Cottier et al. 2024, Sevilla et al. 2024, Pilz et al. 2025,
and data insights of Epoch AI. All are least squares of log10 on time; intervals are bootstrapped
over rows, or of the regression where the paper has these.
"""

import re
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pandas as pd
from scipy import stats

from ...priors.prior_sets import load_prior_set
from ..datasets import decimal_year, load_frame
from ..history.hardware import gpus
from ..history.training_compute import top_n_at_release
from .computed import Computed, bootstrap_slopes, ols

LOG10_2 = float(np.log10(2))
_BOOTSTRAPS = 10_000
_COSTS_UNTIL = "2024-04"  # the rows of Cottier et al. 2024 end in March 2024
_PILZ_FROM, _PILZ_UNTIL, _FIVE_YEARS = 2019.0, 2025.25, 5.0
_MORE_EFFICIENT = 24.0  # 4 by chips, 2 by 8-bit formats, 3 by longer runs (Sevilla et al. 2024)


# --- least squares --------------------------------------------------------------------------------
def _slope(year: pd.Series, value: pd.Series, mass: float, seed: int = 0) -> np.ndarray:
    """Return growth (middle, low, high) [OOM/yr], interval by bootstrap over rows."""
    x, y = year.to_numpy(dtype=float), np.log10(value.to_numpy(dtype=float))
    slopes = bootstrap_slopes(x, y, samples=_BOOTSTRAPS, seed=seed)
    low, high = np.quantile(slopes, [(1 - mass) / 2, (1 + mass) / 2])
    return np.array([ols(x, y)[0], low, high])


def _regression(year: pd.Series, value: pd.Series, mass: float) -> np.ndarray:
    """Return growth (middle, low, high) [OOM/yr], interval of the regression itself."""
    x, y = year.to_numpy(dtype=float), np.log10(value.to_numpy(dtype=float))
    found = stats.linregress(x, y)
    half = float(stats.t.ppf((1 + mass) / 2, len(x) - 2) * found.stderr)
    return np.array([found.slope, found.slope - half, found.slope + half])


def _doubling(slope: np.ndarray, rows: int, factor: float = 1.0, note: str = "") -> Computed:
    """Return a doubling time; factor: units a year, or years a doubling is to be counted in."""
    middle, low, high = LOG10_2 / slope * factor
    return Computed(float(middle), float(high), float(low), rows, note)


def _growth(slope: np.ndarray, rows: int, note: str = "") -> Computed:
    middle, low, high = 10**slope
    return Computed(float(middle), float(low), float(high), rows, note)


# --- Hobbhahn & Besiroglu 2022 --------------------------------------------------------------------
def _same_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]|nvidia|geforce|tesla|quadro|amd|radeon", "", name.lower())


@cache
def _cards(which: str, per_price: bool) -> pd.DataFrame:
    """Return dated GPUs with year and value: "all", "ml", "top" or "fp16", by price or not."""
    cards = gpus()
    if which == "fp16":
        cards = cards[cards["fp16_flop_per_s"] >= cards["fp32_flop_per_s"]]
    if which == "ml":
        known = {_same_name(name) for name in load_frame("ml_hardware")["name"]}
        cards = cards[[_same_name(name) in known for name in cards["name"]]]
    speed = cards["fp16_flop_per_s" if which == "fp16" else "fp32_flop_per_s"]
    cards = cards.assign(value=speed / cards["price_usd2020"] if per_price else speed)
    cards = cards[cards["value"] > 0]
    if which == "top":
        quarter = cards["release_date"].dt.to_period("Q")
        cards = cards.loc[cards.groupby(quarter)["value"].idxmax()]
    return cards


def hobbhahn(which: str, per_price: bool, doublings: float = 1.0) -> Computed:
    """Return the time of a doubling, or of so many [yr], of GPUs' speed (by price)."""
    cards = _cards(which, per_price)
    return _doubling(_slope(cards["year"], cards["value"], 0.95), len(cards), doublings)


# --- Cottier 2023, Cottier et al. 2024 ------------------------------------------------------------
def cost_of_all_systems() -> Computed:
    """Return growth of the cost of training [OOM/yr]: that of compute less that of FLOP/s/USD."""
    systems = load_frame("notable_models_2022_07")
    systems = systems.assign(year=decimal_year(systems["date"].to_numpy()))
    systems = systems[(systems["training_compute_flop"] > 0) & (systems["year"] >= 2009)]
    return _less_price_performance(systems)


def cost_of_large_scale() -> Computed:
    """Return the same for the large-scale systems since September 2015."""
    systems = load_frame("three_eras_123")
    systems = systems.assign(year=decimal_year(systems["date"].to_numpy()))
    large = systems["group_z076_all123"] == "large_scale"
    return _less_price_performance(systems[large & (systems["date"] >= "2015-09-01")])


def _less_price_performance(systems: pd.DataFrame) -> Computed:
    compute = _slope(systems["year"], systems["training_compute_flop"], 0.9)
    cards = _cards("all", True)
    price = ols(cards["year"].to_numpy(), np.log10(cards["value"].to_numpy()))[0]
    middle, low, high = compute - price
    return Computed(float(middle), float(low), float(high), len(systems))


@cache
def _costly(tpu: bool = True) -> pd.DataFrame:
    """Return priced runs among the ten largest by compute at release, autumn 2015 to March 2024."""
    models = load_frame("notable_models_2024_07")
    models = models.assign(year=decimal_year(models["date"].to_numpy()))
    models = models[models["training_compute_flop"] > 0]
    models = models.sort_values(["year", "training_compute_flop", "name"])
    models = models[top_n_at_release(models["training_compute_flop"].to_numpy(), 10)]
    dated = (models["date"] >= "2015-09") & (models["date"] < _COSTS_UNTIL)
    if not tpu:
        dated &= ~models["training_hardware"].astype(str).str.contains("TPU")
    return models[dated]


def cottier(tpu: bool = True) -> tuple[np.ndarray, pd.DataFrame]:
    """Return growth of the amortised cost (middle, low, high) [OOM/yr], and the rows."""
    runs = _costly(tpu)
    runs = runs[runs["training_cost_usd2023"] > 0]
    return _regression(runs["year"], runs["training_cost_usd2023"], 0.9), runs


def cottier_growth(tpu: bool = True) -> Computed:
    """Return growth of the amortised cost [x/yr]."""
    slope, runs = cottier(tpu)
    return _growth(slope, len(runs))


def cottier_oom() -> Computed:
    """Return growth of the amortised cost [OOM/yr]."""
    slope, runs = cottier()
    middle, low, high = slope
    return Computed(float(middle), float(low), float(high), len(runs))


def cottier_doubling() -> Computed:
    """Return the doubling time of the amortised cost [month]."""
    slope, runs = cottier()
    return _doubling(slope, len(runs), 12)


def cottier_r_squared() -> Computed:
    """Return R squared of the amortised cost on time."""
    _, runs = cottier()
    cost = np.log10(runs["training_cost_usd2023"].to_numpy())
    return Computed(ols(runs["year"].to_numpy(), cost)[2], n=len(runs))


def cottier_other(column: str) -> Computed:
    """Return growth [x/yr] of another kind of cost, of the same runs as far as they have it."""
    costs = load_frame("training_costs")
    costs = costs.assign(year=decimal_year(costs["date"].to_numpy()))
    costs = costs[costs["name"].isin(_costly()["name"]) & (costs[column] > 0)]
    costs = costs[costs["date"] < _COSTS_UNTIL]
    return _growth(_regression(costs["year"], costs[column], 0.9), len(costs))


def cottier_billion() -> Computed:
    """Return the year of a run that costs 1e9 USD: the costliest one, at the trend's growth."""
    slope, runs = cottier()
    top = runs.iloc[int(runs["training_cost_usd2023"].to_numpy().argmax())]
    left = 9 - np.log10(top["training_cost_usd2023"])
    middle, early, late = (float(top["year"] + left / each) for each in slope[[0, 2, 1]])
    return Computed(middle, early, late, len(runs))


# --- Pilz et al. 2025 -----------------------------------------------------------------------------
@cache
def _leading_clusters(rank_all: bool) -> pd.DataFrame:
    """Return clusters among the ten fastest at their first day, 2019 to March 2025.

    rank_all: among all clusters of the table, or among those since 2019
    """
    known = load_frame("gpu_clusters")
    known = known.assign(year=decimal_year(known["first_operational_date"].to_numpy()))
    known = known[
        known["year"].notna()
        & (known["op16_per_s"] > 0)
        & (known["status"] != "Planned")
        & (known["certainty"] != "Unlikely")
        & (rank_all | (known["year"] >= _PILZ_FROM))
    ].sort_values(["year", "op16_per_s"], kind="stable")
    known = known[top_n_at_release(known["op16_per_s"].to_numpy(), 10)]
    return known[(known["year"] >= _PILZ_FROM) & (known["year"] < _PILZ_UNTIL)]


def pilz(column: str, rank_all: bool = True, per: str | None = None) -> tuple[np.ndarray, int]:
    """Return growth of leading clusters (middle, low, high) [OOM/yr], and the number of rows."""
    rows = _leading_clusters(rank_all)
    value = rows[column] / (rows[per] if per else 1.0)
    rows = rows.assign(value=value)[value > 0]
    return _slope(rows["year"], rows["value"], 0.9), len(rows)


def pilz_doubling(column: str, rank_all: bool = True) -> Computed:
    """Return a doubling time of the leading clusters [month]."""
    return _doubling(*pilz(column, rank_all), 12)


def pilz_growth(column: str, per: str | None = None) -> Computed:
    """Return growth of the leading clusters [x/yr]."""
    return _growth(*pilz(column, per=per))


def pilz_2030(column: str, unit: float) -> Computed:
    """Return what the fastest cluster of March 2025 is after five years of the trend [unit]."""
    slope, rows = pilz(column)
    clusters = _leading_clusters(True)
    fastest = clusters.iloc[int(clusters["op16_per_s"].to_numpy().argmax())]
    middle, low, high = float(fastest[column]) / unit * 10 ** (_FIVE_YEARS * slope)
    return Computed(float(middle), float(low), float(high), rows)


# --- Sevilla et al. 2024, Epoch AI ----------------------------------------------------------------
def limit_of_2030(name: str) -> Computed:
    """Return a limit as the baseline's priors have it [log10 FLOP]; "lowest" of the medians."""
    limits = load_prior_set("baseline")["limits"]["resources"]
    found = {entry["name"]: entry["log10_flop"]["normal"] for entry in limits}
    if name == "lowest":
        name = min(found, key=lambda key: sum(found[key]))
    low, high = found[name]
    return Computed((low + high) / 2, low, high)


def power_of_a_run() -> Computed:
    """Return the power of a run of 2e29 FLOP [GW], from that of Llama 3.1 405B."""
    models = load_frame("notable_models")
    llama = models[models["name"] == "Llama 3.1-405B"]
    flop, watt = (
        float(llama[column].to_numpy()[0])
        for column in ("training_compute_flop", "training_power_watt")
    )
    return Computed(watt * 2e29 / flop / _MORE_EFFICIENT / 1e9, n=1)


def chips_sold() -> Computed:
    """Return growth of the H100 equivalents sold in a quarter, all makers, 2022 to 2025 [x/yr]."""
    stock = load_frame("ai_chip_stock").pivot(
        index="end_date", columns="manufacturer", values="cumulative_h100_equivalents_p50"
    )
    total = stock.loc[:"2025"].fillna(0).sum(axis=1)
    sold = total.diff().fillna(total.iloc[0])
    year = pd.Series(decimal_year(sold.index.to_numpy()), index=sold.index)
    return _growth(_slope(year, sold, 0.9), len(sold))


def nvidia_stock() -> Computed:
    """Return Nvidia's chips at the end of 2024 [million H100 equivalents]."""
    stock = load_frame("ai_chip_stock")
    row = stock[(stock["manufacturer"] == "Nvidia") & (stock["end_date"] == "2024-12-31")].iloc[0]
    middle, low, high = (
        float(row[f"cumulative_h100_equivalents_{q}"]) / 1e6 for q in ("p50", "p5", "p95")
    )
    return Computed(middle, low, high, 1)


@cache
def _chips_of_2024() -> pd.DataFrame:
    chips = load_frame("ml_hardware")
    chips = chips.assign(year=decimal_year(chips["release_date"].to_numpy()))
    return chips[chips["year"] < 2025.05].sort_values("year", kind="stable")


def speed_16_bit() -> Computed:
    """Return the doubling time [yr] of 16-bit speed without tensor units, chips to January 2025."""
    chips = _chips_of_2024()
    chips = chips[chips["fp16_flop_per_s"] >= chips["fp32_flop_per_s"].fillna(0)]
    return _doubling(_slope(chips["year"], chips["fp16_flop_per_s"], 0.9), len(chips))


def leading_efficiency() -> Computed:
    """Return growth [x/yr] of 16-bit operations per joule of chips that set a record."""
    chips = _chips_of_2024()
    best = chips[["fp16_flop_per_s", "tensor_fp16_flop_per_s"]].max(axis=1)
    chips = chips.assign(value=best / chips["tdp_watt"])
    chips = chips[chips["value"] > 0]
    chips = chips[top_n_at_release(chips["value"].to_numpy(), 1)]
    return _growth(_slope(chips["year"], chips["value"], 0.9), len(chips))


COMPUTED: dict[str, Callable[[], Computed]] = {
    "hobbhahn-2022-price-performance": partial(hobbhahn, "all", True),
    "hobbhahn-2022-price-performance-tenfold": partial(hobbhahn, "all", True, 1 / LOG10_2),
    "hobbhahn-2022-price-performance-ml": partial(hobbhahn, "ml", True),
    "hobbhahn-2022-price-performance-top": partial(hobbhahn, "top", True),
    "hobbhahn-2022-price-performance-fp16": partial(hobbhahn, "fp16", True),
    "hobbhahn-2022-speed": partial(hobbhahn, "all", False),
    "hobbhahn-2022-speed-ml": partial(hobbhahn, "ml", False),
    "hobbhahn-2022-speed-top": partial(hobbhahn, "top", False),
    "hobbhahn-2022-speed-fp16": partial(hobbhahn, "fp16", False),
    "cottier-2023-all-systems": cost_of_all_systems,
    "cottier-2023-large-scale": cost_of_large_scale,
    "cottier-2024-growth": cottier_growth,
    "cottier-2024-growth-oom": cottier_oom,
    "cottier-2024-doubling": cottier_doubling,
    "cottier-2024-r-squared": cottier_r_squared,
    "cottier-2024-without-tpu": partial(cottier_growth, False),
    "cottier-2024-cloud": partial(cottier_other, "cloud_cost_usd"),
    "cottier-2024-acquisition": partial(cottier_other, "hardware_acquisition_cost_usd"),
    "cottier-2024-billion": cottier_billion,
    "pilz-2025-speed-doubling": partial(pilz_doubling, "op16_per_s"),
    "pilz-2025-speed-doubling-ranked-since-2019": partial(pilz_doubling, "op16_per_s", False),
    "pilz-2025-speed-growth": partial(pilz_growth, "op16_per_s"),
    "pilz-2025-power-doubling": partial(pilz_doubling, "power_mw"),
    "pilz-2025-cost-doubling": partial(pilz_doubling, "hardware_cost_usd"),
    "pilz-2025-chips-growth": partial(pilz_growth, "chip_quantity"),
    "pilz-2025-speed-per-chip-growth": partial(pilz_growth, "op16_per_s", "chip_quantity"),
    "pilz-2025-speed-of-2030": partial(pilz_2030, "op16_per_s", 1e22),
    "pilz-2025-power-of-2030": partial(pilz_2030, "power_mw", 1e3),
    "pilz-2025-cost-of-2030": partial(pilz_2030, "hardware_cost_usd", 1e9),
    "pilz-2025-chips-of-2030": partial(pilz_2030, "chip_quantity", 1e6),
    "sevilla-2024-lowest-limit": partial(limit_of_2030, "lowest"),
    "sevilla-2024-limit-power": partial(limit_of_2030, "power"),
    "sevilla-2024-limit-chips": partial(limit_of_2030, "chips"),
    "sevilla-2024-limit-data": partial(limit_of_2030, "data"),
    "sevilla-2024-limit-latency": partial(limit_of_2030, "latency"),
    "sevilla-2024-power-of-a-run": power_of_a_run,
    "epoch-2026-chips-growth": chips_sold,
    "epoch-2025-nvidia-stock": nvidia_stock,
    "epoch-2025-speed-16-bit": speed_16_bit,
    "epoch-2025-leading-efficiency": leading_efficiency,
}
