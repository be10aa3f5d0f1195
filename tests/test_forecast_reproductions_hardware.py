"""Published numbers on hardware, money and capacity, computed again."""

import numpy as np
import pytest
from aitimelines.forecast.history.hardware import gpus
from aitimelines.forecast.reproduce import published, verdict
from aitimelines.forecast.reproductions import hardware
from scipy import stats

REPRODUCED = {
    *("cottier-2023-all-systems", "cottier-2023-large-scale", "cottier-2024-growth"),
    *("cottier-2024-doubling", "cottier-2024-without-tpu", "cottier-2024-billion"),
    *("pilz-2025-speed-doubling", "pilz-2025-speed-growth", "pilz-2025-power-doubling"),
    *("pilz-2025-chips-growth", "pilz-2025-speed-per-chip-growth", "pilz-2025-speed-of-2030"),
    *("pilz-2025-cost-of-2030", "pilz-2025-chips-of-2030"),
    *("sevilla-2024-lowest-limit", "sevilla-2024-limit-power", "epoch-2025-leading-efficiency"),
}
DIFFERS = {
    *("hobbhahn-2022-speed-ml", "cottier-2024-r-squared", "pilz-2025-cost-doubling"),
    *("pilz-2025-speed-doubling-ranked-since-2019", "pilz-2025-power-of-2030"),
    *("sevilla-2024-power-of-a-run", "epoch-2025-nvidia-stock", "epoch-2025-speed-16-bit"),
}


@pytest.mark.parametrize("name", sorted(hardware.COMPUTED))
def test_verdicts(name: str) -> None:
    entry, computed = published()[name], hardware.COMPUTED[name]()
    expected = (
        "reproduced" if name in REPRODUCED else "differs" if name in DIFFERS else "inside interval"
    )
    assert verdict(entry, computed) == expected
    assert expected == "reproduced" or entry.note
    if np.isfinite(computed.low):
        assert computed.low <= computed.value <= computed.high


def test_every_entry_is_computed() -> None:
    assert REPRODUCED | DIFFERS <= set(hardware.COMPUTED) <= set(published())


def test_rows_are_as_many_as_the_papers_have_or_nearly() -> None:
    assert hardware.hobbhahn("top", True).n == 57
    assert hardware.hobbhahn("all", True).n == 413
    assert hardware.cottier_growth().n == 40
    assert hardware.cottier_growth(False).n == 21


def test_a_doubling_time_is_that_of_an_independent_regression() -> None:
    cards = gpus()
    cards = cards[cards["price_usd2020"] > 0]
    value = np.log2(cards["fp32_flop_per_s"] / cards["price_usd2020"])
    slope = stats.linregress(cards["year"], value).slope
    assert hardware.hobbhahn("all", True).value == pytest.approx(1 / slope)


def test_growth_in_its_three_units_is_one_growth() -> None:
    growth, oom, months = (
        hardware.COMPUTED[f"cottier-2024-{name}"]().value
        for name in ("growth", "growth-oom", "doubling")
    )
    assert np.log10(growth) == pytest.approx(oom)
    assert 12 * np.log10(2) / oom == pytest.approx(months)


def test_the_ranking_decides_the_growth_of_clusters() -> None:
    all_ranked = hardware.pilz_doubling("op16_per_s", True)
    recent = hardware.pilz_doubling("op16_per_s", False)
    assert recent.high < all_ranked.low
