"""Eras of training compute: whether its trend breaks, or splits in two (Sevilla et al. 2022).

Rivals for log10 compute x of a system released at date t:

- ``0-breaks`` to ``3-breaks``: one line, Student-t residuals; the dates of the breaks are inferred.
- ``frontier``: one line with a break, which systems lie below: an exponential gap and normal noise.
- ``two-scales``: one line with a break; and from a date s on each system belongs with probability p
  to a second line, with a growth of its own, that lies above the first to the end of the record.
- ``two-scales-parallel``: the same, with one growth for both lines since s.
- ``two-scales-2015``: the same as ``two-scales`` with the dates of the paper, 2010 and September
  2015, which were chosen after seeing the data.

A second line above, a heavy tail on both sides and a tail below a frontier explain the same far
systems; leave-one-out scores say which predicts the others better.
"""

from math import inf

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array

from ...priors.elicitation import distribution
from .study import Draws, Rival, Study, dated, priors, trend_rival
from .trend import (
    MOST_DEGREES_OF_FREEDOM,
    BelowFrontier,
    Priors,
    anchor,
    change_point_nodes,
    log10_trend_at,
    piecewise_trend,
)

TABLE, TABLE_2026 = "three_eras_123", "notable_models"
SECTION, TITLE = "training-compute-eras", "Training compute by era"
PAPER_DATES = (2010.0, 2015.0 + 8 / 12)  # 1 January 2010, 1 September 2015
_MONTHS = 12.0
_BREAKS = np.arange(2000.0, 2016.0)
_FIRST_SPLIT = 2012.0
_FEWEST_YEARS = 4.0  # of the record, after the second line begins


class TwoScales(dist.Distribution):
    """A mixture of two Student-t of one width: regular systems, and a share of large ones.

    Where ``share`` is 0 the second part counts for nothing.
    """

    arg_constraints = {
        "df": dist.constraints.positive,
        "regular": dist.constraints.real,
        "large": dist.constraints.real,
        "scale": dist.constraints.positive,
        "share": dist.constraints.unit_interval,
    }
    support = dist.constraints.real

    def __init__(self, df: Array, regular: Array, large: Array, scale: Array, share: Array) -> None:
        self.df, self.scale, self.share = df, scale, share
        self.regular, self.large = regular, large
        shapes = map(jnp.shape, (df, regular, large, scale, share))
        super().__init__(batch_shape=jnp.broadcast_shapes(*shapes))

    def log_prob(self, value: Array) -> Array:
        """Return the log density."""
        regular = dist.StudentT(self.df, self.regular, self.scale).log_prob(value)
        large = dist.StudentT(self.df, self.large, self.scale).log_prob(value)
        some = self.share > 0  # log(0) has no derivative
        log_share = jnp.log(jnp.where(some, self.share, 0.5))
        both = jnp.logaddexp(jnp.log1p(-self.share) + regular, log_share + large)
        return jnp.where(some, both, regular)

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        df: np.ndarray,
        regular: np.ndarray,
        large: np.ndarray,
        scale: np.ndarray,
        share: np.ndarray,
    ) -> np.ndarray:
        """Return one value for each element of the parameters."""
        centre = np.where(rng.uniform(size=np.shape(regular)) < share, large, regular)
        return centre + scale * rng.standard_t(df)


def frontier_model(
    *, year: np.ndarray, log10_value: np.ndarray, priors: Priors, node: Array
) -> None:
    """NumPyro model of a frontier with one break, node: (its date,), and systems below it.

    Sites: as of `trend.model` with one group, latent frontier and one change point.
    """
    doubling = numpyro.sample(
        "segment_doubling_time_years",
        distribution(*priors["doubling_time_years"]).expand([2]).to_event(1),
    )
    level, noise, gap = (
        numpyro.sample(name, distribution(*priors[name]))
        for name in ("log10_level_at_anchor", "residual_scale_oom", "gap_oom")
    )
    numpyro.deterministic("change_point_years", node)
    centre = piecewise_trend(year, level, jnp.log10(2) / doubling, node, anchor(year))
    numpyro.sample("log10_value", BelowFrontier(centre, gap, noise), obs=log10_value)


def model(
    *,
    year: np.ndarray,
    log10_value: np.ndarray,
    priors: Priors,
    parallel: bool,
    node: Array | None = None,
) -> None:
    """NumPyro model of a line that splits in two.

    node: dates of its break and of the split, those of the paper if not given

    Sites: segment_doubling_time_years (2,), log10_level_at_anchor (of the first line), offset_oom
    (of the second line above the first when it begins), last_offset_oom (at the end of the record,
    unless parallel), large_share, residual_scale_oom, degrees_of_freedom; deterministic
    change_point_year and split_year, unless fixed.
    """

    def sample(name: str, prior: str | None = None, size: int = 0) -> Array:
        fn = distribution(*priors[prior or name])
        return numpyro.sample(name, fn.expand([size]).to_event(1) if size else fn)

    doubling = sample("segment_doubling_time_years", "doubling_time_years", 2)
    level, offset = sample("log10_level_at_anchor"), sample("offset_oom")
    last = offset if parallel else sample("last_offset_oom", "offset_oom")
    share, scale = sample("large_share"), sample("residual_scale_oom")
    freedom = jnp.minimum(sample("degrees_of_freedom"), MOST_DEGREES_OF_FREEDOM)
    dates = jnp.asarray(PAPER_DATES) if node is None else node
    if node is not None:
        numpyro.deterministic("change_point_year", node[0])
        numpyro.deterministic("split_year", node[1])
    regular = piecewise_trend(year, level, jnp.log10(2) / doubling, dates[:1], anchor(year))
    passed = (year - dates[1]) / (year.max() - dates[1])
    large = regular + offset + (last - offset) * passed
    present = jnp.where(year >= dates[1], share, 0.0)
    numpyro.sample(
        "log10_value", TwoScales(freedom, regular, large, scale, present), obs=log10_value
    )


def split_nodes(year: np.ndarray) -> np.ndarray:
    """Return pairs (date of the break, date of the split), (node, 2)."""
    splits = np.arange(_FIRST_SPLIT, year.max() - _FEWEST_YEARS, 0.5)
    return np.array([(a, b) for a in _BREAKS for b in splits if b > a + 1])


def _dates(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Return the dates of break and split, (chain, draw)."""
    if "split_year" in draws:
        return draws["change_point_year"], draws["split_year"]
    bend, split = (np.full(draws["offset_oom"].shape, date) for date in PAPER_DATES)
    return bend, split


def lines_at(draws: Draws, year: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first line and the second at dates ``at``, each (chain, draw, at).

    year: of the record; the second line is NaN before it begins.
    """
    bend, split = (date[..., None] for date in _dates(draws))
    growth = np.log10(2) / draws["segment_doubling_time_years"][..., None, :]
    start = anchor(year)
    bent = np.maximum(at - bend, 0) - np.maximum(start - bend, 0)
    regular = draws["log10_level_at_anchor"][..., None] + growth[..., 0] * (at - start)
    regular = regular + (growth[..., 1] - growth[..., 0]) * bent
    first = draws["offset_oom"][..., None]
    last = draws.get("last_offset_oom", draws["offset_oom"])[..., None]
    large = regular + first + (last - first) * (at - split) / (year.max() - split)
    return regular, np.where(at >= split, large, np.nan)


def two_scales_rival(
    claim: str, rows: pd.DataFrame, *, nodes: np.ndarray | None = None, parallel: bool = False
) -> Rival:
    """Return a line that splits in two, at one of the pairs of dates ``nodes``."""
    year = rows["year"].to_numpy()
    arguments = {
        "year": year,
        "log10_value": rows["log10_value"].to_numpy(),
        "priors": priors(SECTION),
        "parallel": parallel,
    }

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        bend, split = _dates(draws)
        doubling = draws["segment_doubling_time_years"]
        offset = draws["offset_oom"]
        last = draws.get("last_offset_oom", offset)
        growth = np.log10(2) / doubling[..., 1]
        return {
            "growth_oom_per_year": growth,
            "doubling_time_months_segment_1": doubling[..., 0] * _MONTHS,
            "doubling_time_months_segment_2": doubling[..., 1] * _MONTHS,
            "change_point_1_year": bend,
            "large_scale_start_year": split,
            "large_scale_share": draws["large_share"],
            "large_scale_offset_oom": offset,
            "large_scale_last_offset_oom": last,
            "large_scale_growth_oom_per_year": growth + (last - offset) / (year.max() - split),
        }

    def path(draws: Draws, at: np.ndarray) -> np.ndarray:
        return lines_at(draws, year, at)[0]

    return Rival(claim, model, arguments, quantities, nodes, path)


def frontier_rival(rows: pd.DataFrame) -> Rival:
    """Return a frontier with a break, and systems below it."""
    year = rows["year"].to_numpy()
    arguments = {
        "year": year,
        "log10_value": rows["log10_value"].to_numpy(),
        "priors": priors(SECTION),
    }

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        doubling = draws["segment_doubling_time_years"]
        return {
            "growth_oom_per_year": np.log10(2) / doubling[..., 1],
            "doubling_time_months_segment_1": doubling[..., 0] * _MONTHS,
            "doubling_time_months_segment_2": doubling[..., 1] * _MONTHS,
            "change_point_1_year": draws["change_point_years"][..., 0],
            "gap_oom": draws["gap_oom"],
        }

    def path(draws: Draws, at: np.ndarray) -> np.ndarray:
        level = draws["log10_level_at_anchor"][..., None]
        return log10_trend_at({**draws, "log10_level_at_anchor": level}, year, at)

    claim = "one line with a break, a frontier that systems lie below"
    nodes = change_point_nodes(year, 1)
    return Rival(claim, frontier_model, arguments, quantities, nodes, path)


def _rows(table: str, as_of_year: float) -> pd.DataFrame:
    rows = dated(table, as_of_year)
    rows = rows[rows["training_compute_flop"].notna() & rows["year"].notna()]
    rows = rows.assign(log10_value=np.log10(rows["training_compute_flop"].to_numpy(dtype=float)))
    return rows[["name", "year", "log10_value"]].reset_index(drop=True)


def _study(table: str, as_of_year: float, title: str) -> Study:
    rows = _rows(table, as_of_year)
    rivals = {
        f"{count}-breaks": trend_rival(
            f"one line with {count} {'break' if count == 1 else 'breaks'} and a heavy tail",
            rows,
            SECTION,
            change_points=count,
            unit="months",
        )
        for count in range(4)
    }
    rivals["frontier"] = frontier_rival(rows)
    nodes = split_nodes(rows["year"].to_numpy())
    rivals["two-scales"] = two_scales_rival(
        "one line with a break, and a second line of large systems above it", rows, nodes=nodes
    )
    rivals["two-scales-parallel"] = two_scales_rival(
        "the same, both lines with one growth", rows, nodes=nodes, parallel=True
    )
    rivals["two-scales-2015"] = two_scales_rival(
        "two lines with the dates of Sevilla et al. (2022)", rows
    )
    return Study(title, (table,), rows, "log10_value", "log10 FLOP", rivals)


def eras(*, as_of_year: float = inf) -> Study:
    """Return the training compute of the 123 systems of Sevilla et al. (2022)."""
    return _study(TABLE, as_of_year, "Training compute, the 123 systems of Sevilla et al. 2022")


def eras_2026(*, as_of_year: float = inf) -> Study:
    """Return the training compute of all notable models, newest vintage."""
    return _study(TABLE_2026, as_of_year, "Training compute, notable models of 1950 to 2026")
