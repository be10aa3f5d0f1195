"""The years at which a forecast is computed, and those in between.

The distribution of the arrival year is smooth on the logarithm of the time from now, so it is
computed every year at first and ever more rarely later, and interpolated by a quintic spline. The
spline checks itself: where it needs more nodes than it has, more years are computed.
"""

import numpy as np
from scipy.interpolate import make_interp_spline

_EVERY_YEAR_UNTIL = 7
_SPACING = 0.25  # of the years from now, later on
_SHORT = 20  # years of which all are computed: too few to check a spline
# Largest difference at the other nodes of the spline through every second one, these or those. That
# through all nodes is closer, some forty times on the baseline; what passes of mixtures of two
# normal distributions, narrow ones among them, is within 1.5e-4.
_TOLERANCE = 1e-4


def computed_years(count: int) -> np.ndarray:
    """Return which of ``count`` consecutive years are computed, ascending, first and last among.

    The last but one, too: what rises only at the end has no other witness.
    """
    if count <= _SHORT:
        return np.arange(count)
    chosen = list(range(_EVERY_YEAR_UNTIL + 1))
    while chosen[-1] < count - 1:
        step = max(1, round(_SPACING * chosen[-1]))
        chosen.append(min(count - 1, chosen[-1] + step))
    return np.union1d(chosen, [count - 2])


def further_years(count: int, known: np.ndarray, at_most: int) -> np.ndarray:
    """Return some of ``count`` consecutive years that are not known yet: midway, widest gap first.

    known: ascending, first and last among
    """
    years = known
    for _ in range(min(at_most, count - len(known))):
        width = np.where(np.diff(years) > 1, np.diff(np.log1p(years)), 0)
        gap = int(width.argmax())
        before, after = years[gap], years[gap + 1]
        middle = round(np.sqrt((1 + before) * (1 + after)) - 1)
        years = np.insert(years, gap + 1, min(max(middle, before + 1), after - 1))
    return np.setdiff1d(years, known)


def interpolated(years_from_now: np.ndarray, chosen: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (..., year) from the values at the chosen years (..., chosen)."""
    if len(chosen) == len(years_from_now):
        return values
    time = np.log1p(years_from_now)
    return np.asarray(make_interp_spline(time[chosen], values, k=5, axis=-1)(time))


def is_smooth(years_from_now: np.ndarray, chosen: np.ndarray, values: np.ndarray) -> bool:
    """Return whether the chosen years are enough to interpolate (chosen,) values.

    Years beside which there is nothing to interpolate are no test of it.
    """
    place = np.arange(len(chosen))
    gap = np.diff(chosen, prepend=chosen[0] - 1, append=chosen[-1] + 1) > 1
    always = ~(gap[:-1] | gap[1:]) | (place >= len(chosen) - 2)
    for half in (place % 2 == 0, place % 2 == 1):
        (some,) = np.nonzero(always | half)
        spline = interpolated(years_from_now[chosen], some, values[some])
        if np.abs(spline - values).max() >= _TOLERANCE:
            return False
    return True
