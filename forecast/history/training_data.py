"""Training-set size of language models over time (Villalobos et al. 2024, arXiv 2211.04325).

    log10 D = level + piecewise linear trend of the date + residual                  (`trend.model`)

D: tokens of the training set, each counted once. Two records: the 80 sets of Villalobos et al.,
2010 to 2023, of all sizes; and the largest, sets that were among the five largest of notable
language models at release, which are what meets the stock of text. Of the first, most lie well
below the largest of their time: the rivals are Student-t residuals about a trend, and exponential
gaps below a frontier (`trend.BelowFrontier`).

Assumed: one trend for all. The tables count words or sentences for tokens of some systems, within a
factor of 30 that enters the residual. Laboratories that lead have ceased to publish the size of
their sets, so that since 2023 the largest known sets are a lower bound of the largest.
"""

from math import inf

import numpy as np
import pandas as pd

from .model_size import rows_of
from .study import Draws, Rival, Study, trend_rival
from .training_compute import top_n_at_release

TABLE, NOTABLE = "dataset_sizes", "notable_models"
SINCE_YEAR, LARGEST = 2010.0, 5
_SECTION = "dataset-size"
_CLAIMS = ("one trend", "a trend that breaks once", "a trend that breaks twice")


def _with_level(rival: Rival, rows: pd.DataFrame) -> Rival:
    """Return a rival that also tells the level of its trend at the end of the record."""
    last = float(rows["year"].max())

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        assert rival.path is not None
        level = rival.path(draws, np.array([last]))[..., 0]
        return rival.quantities(draws) | {"log10_tokens_at_end": level}

    return rival._replace(quantities=quantities)


def _trends(rows: pd.DataFrame, most_breaks: int) -> dict[str, Rival]:
    return {
        f"{count}-breaks": trend_rival(
            f"{_CLAIMS[count]}, heavy tail", rows, _SECTION, change_points=count, unit="months"
        )
        for count in range(most_breaks + 1)
    }


def _study(title: str, table: str, rows: pd.DataFrame, rivals: dict[str, Rival]) -> Study:
    told = {name: _with_level(rival, rows) for name, rival in rivals.items()}
    return Study(title, (table,), rows, "log10_value", "log10 tokens", told)


def all_sets(*, as_of_year: float = inf) -> Study:
    """Return the training sets of Villalobos et al. (2024): 0 or 1 break, or below a frontier."""
    rows = rows_of(TABLE, None, as_of_year, "training_datapoints")
    rivals = _trends(rows, 1)
    straight = rivals["0-breaks"]
    rivals["frontier"] = straight._replace(
        claim="a frontier with one trend, most sets well below it",
        arguments={**straight.arguments, "residual": "latent_frontier"},
    )
    return _study("Training sets of language models, 2010 to 2023", TABLE, rows, rivals)


def largest(*, as_of_year: float = inf) -> Study:
    """Return training sets among the five largest at release, since 2010, with 0 to 2 breaks."""
    rows = rows_of(NOTABLE, "Language", as_of_year, "training_datapoints")
    rows = rows[top_n_at_release(rows["log10_value"].to_numpy(), LARGEST)]
    rows = rows[rows["year"] >= SINCE_YEAR].reset_index(drop=True)
    title = "Training sets of language models among the five largest at release"
    return _study(title, NOTABLE, rows, _trends(rows, 2))
