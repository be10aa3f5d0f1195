"""Published timelines: Cotra (2020) by our engine, Epoch's Direct Approach by a port."""

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from ..datasets import load_frame
from .computed import Computed
from .direct_approach import (
    AUGUST_2023,
    HEAD,
    YEARS,
    Assumptions,
    information_of_a_judge,
    timeline,
    year_of,
)

_MENDED = HEAD._replace(mended=True)


@cache
def _cotra() -> tuple[np.ndarray, np.ndarray, float]:
    """Return (years, probability of arrival by each, median year) of the scenario."""
    from ..engine import run

    found = run("cotra-2020")["timeline"].to_dataset()
    median = float(found["arrival_year_quantile"].sel(quantile=0.5))
    return found["year"].to_numpy(), found["arrival_cdf"].to_numpy(), median


def cotra(year: float) -> Computed:
    """Return the probability of transformative AI by a year."""
    years, probability, _ = _cotra()
    return Computed(float(np.interp(year, years, probability)))


def cotra_median() -> Computed:
    """Return the median year."""
    return Computed(_cotra()[2])


def direct_approach(year: int, given: Assumptions) -> Computed:
    """Return the probability of arrival by a year."""
    return Computed(float(timeline(given).probability[year - YEARS[0]]))


def _raw_median(given: Assumptions) -> float:
    return float(np.median(timeline(given).log10_raw_requirement))


def largest_run(before: str = "2025-03-01") -> Computed:
    """Return log10 FLOP of the largest training run released before a date, as known today."""
    frame = load_frame("notable_models")
    known = frame[(frame["date"] < before) & (frame["training_compute_flop"] > 0)]
    largest = known.sort_values("training_compute_flop").iloc[-1]
    found = float(np.log10(largest["training_compute_flop"]))
    note = f"Computed is {largest['name']}, graded {str(largest['confidence']).lower()}."
    return Computed(found, n=len(known), note=note)


COMPUTED: dict[str, Callable[[], Computed]] = {
    **{f"cotra-2020-p-{year}": partial(cotra, year) for year in (2030, 2036, 2040, 2050, 2100)},
    "cotra-2020-median": cotra_median,
    **{
        f"direct-approach-2023-p-{year}": partial(direct_approach, year, AUGUST_2023)
        for year in (2030, 2050, 2100)
    },
    "direct-approach-2023-first-decile": lambda: Computed(year_of(0.1, AUGUST_2023)),
    "direct-approach-2023-median": lambda: Computed(year_of(0.5, AUGUST_2023)),
    **{
        f"direct-approach-2024-p-{year}": partial(direct_approach, year, HEAD)
        for year in (2030, 2050, 2100)
    },
    "direct-approach-2024-median": lambda: Computed(year_of(0.5, HEAD)),
    **{
        f"direct-approach-mended-p-{year}": partial(direct_approach, year, _MENDED)
        for year in (2030, 2050, 2100)
    },
    "direct-approach-judge": lambda: Computed(information_of_a_judge()),
    "direct-approach-operator": lambda: Computed(_raw_median(_MENDED) - _raw_median(HEAD)),
    "direct-approach-requirement-median": lambda: Computed(_raw_median(_MENDED)),
    "direct-approach-requirement-deviation": lambda: Computed(
        float(timeline(_MENDED).log10_raw_requirement.std())
    ),
    "direct-approach-2024-physical-2025": lambda: Computed(
        float(timeline(HEAD).log10_physical_flop[2025 - YEARS[0]])
    ),
    **{
        f"{model}-largest-run-2025": largest_run
        for model in ("cotra-2020", "direct-approach", "full-takeoff-model", "wildeford-2025")
    },
}
