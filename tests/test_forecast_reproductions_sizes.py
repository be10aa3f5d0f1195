"""Published numbers on sizes, training sets and the stock of text, computed again."""

import numpy as np
import pytest
from aitimelines.forecast import reproduce
from aitimelines.forecast.reproductions import sizes

EXACT = [
    "villalobos-2024-growth",
    "villalobos-2022-systems",
    "villalobos-2022-1952-2018-count",
    "villalobos-2022-1952-2018-slope",
    "villalobos-2022-2018-2022-count",
    "villalobos-2022-above-gap-r-squared",
    "villalobos-2022-below-gap-slope",
    "villalobos-2022-language-1950-2018",
    "villalobos-2022-vision-1950-2022",
    "villalobos-2024-stock-raw",
    "villalobos-2024-stock-effective",
    "villalobos-2024-run-out-overtrained",
]
INSIDE = [
    "villalobos-2022-1952-2018-doubling",
    "villalobos-2022-below-gap-doubling",
    "villalobos-2024-run-out",
]


@pytest.fixture(scope="module")
def table():  # noqa: ANN201
    return reproduce.reproduce(list(sizes.COMPUTED), posteriors=False).set_index("id")


def test_every_entry_has_its_function_and_every_function_its_entry() -> None:
    entries = {name for name in reproduce.published() if name in sizes.COMPUTED}
    assert entries == set(sizes.COMPUTED)


@pytest.mark.parametrize("name", EXACT)
def test_reproduced(table, name: str) -> None:
    assert table.loc[name, "verdict"] == "reproduced"


@pytest.mark.parametrize("name", INSIDE)
def test_inside_the_published_interval(table, name: str) -> None:
    assert table.loc[name, "verdict"] == "inside interval"


def test_what_differs_says_why(table) -> None:
    differs = table[table["verdict"] == "differs"]
    for name in differs.index:
        assert reproduce.published()[name].note or reproduce.published()[name].slip, name


def test_published_intervals_of_training_set_growth_and_stock(table) -> None:
    row = table.loc["villalobos-2024-growth"]
    assert (row["computed_low"], row["computed_high"]) == pytest.approx((0.27, 0.48), abs=0.005)
    for name in ("raw", "effective"):
        row = table.loc[f"villalobos-2024-stock-{name}"]
        assert row["computed_low"] == pytest.approx(row["published_low"], rel=0.03)
        assert row["computed_high"] == pytest.approx(row["published_high"], rel=0.03)


@pytest.mark.parametrize(("oom_per_year", "months"), [(0.9, 4.0), (0.1, 36.5), (0.5, 7.3)])
def test_slopes_and_doubling_times_of_the_paper_agree(oom_per_year: float, months: float) -> None:
    assert 365 / 30 * np.log10(2) / oom_per_year == pytest.approx(months, rel=0.1)


def test_the_paper_counts_one_system_twice() -> None:
    counts = [
        reproduce.published()[f"villalobos-2022-{name}-count"].published
        for name in ("1952-2018", "2018-2022", "above-gap", "below-gap", "systems")
        if f"villalobos-2022-{name}-count" in reproduce.published()
    ]
    before, since, above, below = counts
    assert above + below == since
    assert before + since == reproduce.published()["villalobos-2022-systems"].published + 1


def test_a_slope_that_may_be_zero_has_no_doubling_time_interval() -> None:
    found = sizes.COMPUTED["villalobos-2022-above-gap-doubling"]()
    assert np.isnan(found.low)
    assert "both signs" in found.note
