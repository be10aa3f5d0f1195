"""Hardware: speed, speed for its price, and work for its energy.

Graphics processors of 2005 to 2021 (Hobbhahn & Besiroglu 2022) are one trend, with or without a
change of growth. Machine-learning chips are compared within a number format, each format with a
level and scatter of its own (`pooled_trend`): growth that mixes formats counts the step to a
smaller format as progress of the chip. The formats of one chip share much of what makes it fast, so
its rows are linked. Prices of machine-learning chips are nominal, those of the graphics processors
in 2020 dollars; at some 2 % inflation the former lose 0.01 OOM a year against the latter.
"""

from math import inf

import numpy as np
import pandas as pd

from .pooled_trend import broken_rivals, levelled, pooled_rival
from .study import Study, dated, trend_rival

GPUS, CHIPS = "gpus_2005_2021", "ml_hardware"
# group 0 is what frontier models are trained with
FORMATS = {
    "tensor_fp16": "tensor_fp16_flop_per_s",
    "fp32": "fp32_flop_per_s",
    "fp16": "fp16_flop_per_s",
    "int8": "int8_op_per_s",
}


def gpus(as_of_year: float = inf) -> pd.DataFrame:
    """Return the dated graphics processors up to a date, without exact repeats."""
    rows = dated(GPUS, as_of_year)
    columns = [column for column in rows if column not in ("row", "source")]
    return rows.drop_duplicates(columns, ignore_index=True)


def by_format(as_of_year: float, per: str | None = None) -> pd.DataFrame:
    """Return a row for each chip and number format, with name, year, log10_value, group, gap.

    per: column by which performance is divided. 16-bit performance below that in 32 bits is left
    out: such chips only emulate it. gap is 1 between two formats of one chip, else infinite.
    """
    chips = dated(CHIPS, as_of_year)
    parts = []
    for number, column in enumerate(FORMATS.values()):
        value = chips[column] / (chips[per] if per else 1.0)
        part = pd.DataFrame(
            {"name": chips["name"], "year": chips["year"], "value": value, "group": number}
        )
        if column == "fp16_flop_per_s":
            part = part[chips[column] >= chips["fp32_flop_per_s"].fillna(0)]
        parts.append(part[part["value"] > 0])
    rows = pd.concat(parts).sort_values(["year", "name", "group"], ignore_index=True)
    names = rows["name"].to_numpy(dtype=object)
    linked = np.append(False, names[1:] == names[:-1])
    return rows.assign(log10_value=np.log10(rows["value"]), gap=np.where(linked, 1.0, inf))


def flop_per_second(*, as_of_year: float = inf) -> Study:
    """Return 32-bit FLOP/s of graphics processors: one growth, or one that changed."""
    rows = gpus(as_of_year)
    rows = rows.assign(log10_value=np.log10(rows["fp32_flop_per_s"]))
    rows = rows[["name", "year", "log10_value"]]
    rivals = broken_rivals("speed", rows, "hardware-flop-per-second", "fp32_flop_per_s")
    return Study(
        "32-bit speed of graphics processors", (GPUS,), rows, "log10_value", "log10 FLOP/s", rivals
    )


def _formats(title: str, as_of_year: float, section: str, per: str | None, unit: str) -> Study:
    rows = by_format(as_of_year, per)
    level = "tensor_fp16_" + unit.removeprefix("log10 ").replace("/", "_per_").lower()
    claims = {"shared": "all number formats grow alike", "own": "each format has its growth"}
    rivals = {
        f"{growth}-growth": pooled_rival(claim, rows, section, tuple(FORMATS), level, growth=growth)
        for growth, claim in claims.items()
    }
    return Study(title, (CHIPS,), rows, "log10_value", unit, rivals)


def formats(*, as_of_year: float = inf) -> Study:
    """Return the speed of machine-learning chips by number format."""
    title = "Speed of machine-learning chips by number format"
    return _formats(title, as_of_year, "hardware-formats", None, "log10 op/s")


def energy_efficiency(*, as_of_year: float = inf) -> Study:
    """Return operations per second and watt of machine-learning chips by number format."""
    title = "Energy efficiency of machine-learning chips by number format"
    return _formats(title, as_of_year, "hardware-energy-efficiency", "tdp_watt", "log10 op/s/W")


def price_rows(as_of_year: float) -> pd.DataFrame:
    """Return speed per price with name, year, log10_value, group: 0 GPUs, 1 ML chips."""
    cards = gpus(as_of_year)
    cards = cards.assign(value=cards["fp32_flop_per_s"] / cards["price_usd2020"], group=0)
    chips = dated(CHIPS, as_of_year)
    chips = chips.assign(value=chips["price_performance_op_per_s_per_usd"], group=1)
    rows = pd.concat([part[["name", "year", "value", "group"]] for part in (cards, chips)])
    rows = rows[rows["value"] > 0].reset_index(drop=True)
    return rows.assign(log10_value=np.log10(rows["value"]))


def price_performance(*, as_of_year: float = inf) -> Study:
    """Return FLOP/s per dollar: growth shared with ML chips, of its own, or changed once.

    Graphics processors count at 32 bits and 2020 prices; machine-learning chips in the fastest
    format up to 8 bits that is used for training, and nominal prices.
    """
    rows = price_rows(as_of_year)
    section, groups = "hardware-price-performance", ("gpus", "ml_chips")
    level = "flop_per_s_per_usd"
    rivals = {
        f"{growth}-growth": pooled_rival(claim, rows, section, groups, level, growth=growth)
        for growth, claim in {
            "shared": "graphics processors and ML chips improve alike",
            "own": "ML chips improve at a rate of their own",
        }.items()
    }
    broken = trend_rival("both change their growth together", rows, section, change_points=1)
    rivals["1-breaks"] = levelled(broken, rows["year"].to_numpy(), level)
    return Study(
        "Speed per price of graphics processors and machine-learning chips",
        (GPUS, CHIPS),
        rows,
        "log10_value",
        "log10 FLOP/s/USD",
        rivals,
    )
