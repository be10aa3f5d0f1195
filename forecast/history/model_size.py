"""Model size over time: parameters of language and of vision systems (Villalobos et al. 2022).

    log10 N = level + piecewise linear trend of the date + Student-t residual        (`trend.model`)

Villalobos et al. (arXiv 2207.02852) split the record at 2018, by eye: language models grew by seven
orders of magnitude from 1950 to 2018 and by five more from 2018 to 2022, vision models steadily by
seven from 1950 to 2022. Here the number of breaks is what the rivals differ in, and their dates are
inferred. A rival with nearly normal residuals says what the heavy tail is worth: n-gram tables of
2007 with 3e11 parameters stand beside neural models of 1e7.

Every system counts once: as language if that is among its domains, else as vision if that is.
The record of language models ends with 2022: from GPT-4 on, laboratories that lead have ceased to
publish sizes, and what is left is no sample about the same trend (the posterior predictive check of
the record to 2026 fails). Assumed: what is known before is one.
"""

from math import inf

import numpy as np
import pandas as pd

from .study import Draws, Rival, Study, dated, trend_rival

TABLE, TABLE_2022 = "notable_models", "notable_models_2022_06"
_SECTION = "model-size"
_BREAK_OF_2018, _END_OF_2021, _FIRST = 2018.0, 2022.0, 1950.0
SIZES_PUBLISHED_UNTIL_YEAR = 2023.0


def domain_of(domain: pd.Series) -> pd.Series:
    """Return "Language", "Vision" or "" for the domains of systems, which may be several."""
    text = domain.astype(object).where(domain.notna(), "").astype(str)
    vision = text.str.contains("Vision").map({True: "Vision", False: ""})
    return vision.mask(text.str.contains("Language"), "Language")


def rows_of(table: str, domain: str | None, as_of_year: float, column: str) -> pd.DataFrame:
    """Return the systems of a domain (all if None) with a positive number in a column.

    Columns name, year, log10_value (of ``column``); oldest first.
    """
    found = dated(table, as_of_year)
    found = found[found[column].notna() & (found[column] > 0)]
    if domain is not None:
        found = found[domain_of(found["domain"]) == domain]
    found = found.assign(
        name=found["name"].astype(str), log10_value=np.log10(found[column].astype(float))
    )
    return found[["name", "year", "log10_value"]].reset_index(drop=True)


def with_growth(rival: Rival, spans: dict[str, tuple[float, float]]) -> Rival:
    """Return a rival whose quantities have the growth of its trend over spans of years.

    spans: name of the quantity -> (from, to) [yr]
    """

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        at = np.array(list(spans.values()))
        assert rival.path is not None
        levels = rival.path(draws, at.ravel()).reshape(*_shape(draws), *at.shape)
        growth = levels[..., 1] - levels[..., 0]
        return rival.quantities(draws) | {name: growth[..., k] for k, name in enumerate(spans)}

    return rival._replace(quantities=quantities)


def _shape(draws: Draws) -> tuple[int, ...]:
    return draws["doubling_time_years"].shape


def _rivals(rows: pd.DataFrame, most_breaks: int) -> dict[str, Rival]:
    claims = ("one trend", "a trend that breaks once", "a trend that breaks twice")
    made = {
        f"{count}-breaks": trend_rival(
            f"{claims[count]}, heavy tail", rows, _SECTION, change_points=count, unit="months"
        )
        for count in range(most_breaks + 1)
    }
    made["1-breaks-normal"] = trend_rival(
        f"{claims[1]}, nearly normal residuals",
        rows,
        f"{_SECTION}-normal-tail",
        change_points=1,
        unit="months",
    )
    first = float(rows["year"].min())
    spans = {
        "growth_oom_first_to_2018": (first, _BREAK_OF_2018),
        "growth_oom_1950_to_2018": (_FIRST, _BREAK_OF_2018),
        "growth_oom_2018_to_2022": (_BREAK_OF_2018, _END_OF_2021),
        "growth_oom_1950_to_2022": (_FIRST, _END_OF_2021),
    }
    return {name: with_growth(rival, spans) for name, rival in made.items()}


def _study(title: str, table: str, rows: pd.DataFrame, most_breaks: int) -> Study:
    rivals = _rivals(rows, most_breaks)
    return Study(title, (table,), rows, "log10_value", "log10 parameters", rivals)


def language(*, as_of_year: float = inf) -> Study:
    """Return the size of notable language models to 2022, with 0 to 2 breaks of the trend.

    The record begins in 1993: growth from 1950 extrapolates the first segment.
    """
    until = min(as_of_year, SIZES_PUBLISHED_UNTIL_YEAR)
    rows = rows_of(TABLE, "Language", until, "parameters")
    return _study("Size of notable language models", TABLE, rows, 2)


def vision(*, as_of_year: float = inf) -> Study:
    """Return the size of notable vision models, with 0 or 1 break; the record begins in 1959."""
    rows = rows_of(TABLE, "Vision", as_of_year, "parameters")
    return _study("Size of notable vision models", TABLE, rows, 1)


def language_2022(*, as_of_year: float = inf) -> Study:
    """Return the size of language models as the table of Villalobos et al. had it in June 2022."""
    rows = rows_of(TABLE_2022, "Language", as_of_year, "parameters")
    return _study("Size of language models, table of June 2022", TABLE_2022, rows, 1)


def vision_2022(*, as_of_year: float = inf) -> Study:
    """Return the size of vision models as the table of Villalobos et al. had it in June 2022."""
    rows = rows_of(TABLE_2022, "Vision", as_of_year, "parameters")
    return _study("Size of vision models, table of June 2022", TABLE_2022, rows, 1)


def all_2022(*, as_of_year: float = inf) -> Study:
    """Return the size of systems of all domains, table of June 2022, to the end of January 2022.

    The 237 systems of Villalobos et al. (2022).
    """
    rows = rows_of(TABLE_2022, None, min(as_of_year, 2022 + 30.5 / 365), "parameters")
    return _study("Size of all systems, table of June 2022", TABLE_2022, rows, 1)
