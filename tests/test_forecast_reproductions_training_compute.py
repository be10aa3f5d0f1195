"""Published numbers on training compute, computed again; counts of systems as published."""

import numpy as np
import pytest
from aitimelines.forecast import reproduce
from aitimelines.forecast.reproductions import training_compute

# id -> systems that the paper or its notebook counts
COUNTS = {
    "sevilla-2022-pre-2010": 19,
    "sevilla-2022-regular": 72,
    "sevilla-2022-large-scale": 16,
    "sevilla-2022-notebook-large-scale": 19,
    "sevilla-2022-notebook-regular": 60,
}
REPRODUCED = (
    *("sevilla-2022-pre-2010", "sevilla-2022-notebook-large-scale"),
    *("sevilla-2022-notebook-regular", "sevilla-roldan-2024-notable"),
    *("sevilla-roldan-2024-frontier", "sevilla-roldan-2024-frontier-since-2018"),
)


@pytest.mark.parametrize("name", COUNTS)
def test_systems_are_as_many_as_published(name: str) -> None:
    assert training_compute.COMPUTED[name]().n == COUNTS[name]


@pytest.mark.parametrize("name", REPRODUCED)
def test_published_growth_is_reproduced(name: str) -> None:
    found = training_compute.COMPUTED[name]()
    assert reproduce.verdict(reproduce.published()[name], found) == "reproduced"


def test_doubling_times_against_lines_fitted_by_hand() -> None:
    frame = training_compute._of_paper()
    early = frame[frame["date"] < "2010"]
    days = (early["date"] - early["date"].iloc[0]).dt.total_seconds() / 86400
    slope = np.polyfit(days, np.log2(early["training_compute_flop"]), 1)[0]
    found = training_compute.COMPUTED["sevilla-2022-pre-2010"]()
    assert found.value == pytest.approx(1 / slope / 30)


def test_growth_that_may_be_none_has_no_longest_doubling_time() -> None:
    found = training_compute.COMPUTED["sevilla-2022-alexnet-to-alphazero-large-scale"]()
    assert found.n == 5
    assert found.low < found.value < found.high == np.inf


def test_projection_reverts_to_the_earlier_trend() -> None:
    years, quantiles = training_compute._projected()
    early = np.log10(2) / training_compute.COMPUTED["sevilla-2022-pre-2010"]().value / 30 * 365
    late = quantiles[1][years > 2070]
    # By then reversion, 8 to 18 years, is done: growth is that of before 2010.
    assert np.diff(late).mean() * 10 == pytest.approx(early, rel=0.08)
    assert (np.diff(quantiles, axis=1) > 0).all()


def test_the_weight_at_reversion_is_not_a_half() -> None:
    assert training_compute.COMPUTED["besiroglu-2022-weight"]().value == pytest.approx(
        0.6065, abs=1e-4
    )
    assert reproduce.published()["besiroglu-2022-weight"].slip
