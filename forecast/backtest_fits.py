"""What was known on a past date, and the trend model fitted to just that, for a backtest.

All dates share one compiled program: their rows are filled up to one length and passed to it.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtri, softmax

from ..priors.elicitation import Interval, location_scale
from .config import Scenario
from .datasets import decimal_year, table_ids, table_info
from .history import price_performance, training_compute, trend
from .history.study import dated
from .inference import Fit, SamplerSettings, fit
from .leave_one_out import leave_one_out
from .model_program import Compiled, compile_model
from .records import fitted_priors
from .scoring import Mixture

QUANTITIES = ("training_compute", "model_size", "price_performance")
TITLES = {
    "training_compute": "training compute of frontier runs [log10 FLOP]",
    "model_size": "parameters of the largest models [log10]",
    "price_performance": "FLOP per dollar of training runs [log10]",
}
CHANGE_POINTS = (0, 1, 2, 3)
_FEWEST_SCORED = 5  # rows after a date


class Case(NamedTuple):
    """A date to forecast from, and the table of models that is read as of it.

    vintage: whether that table was published by then; else it is today's, cut at the date
    """

    as_of: str
    table: str
    vintage: bool

    @property
    def year(self) -> float:
        """The date as decimal year."""
        return float(decimal_year(np.datetime64(self.as_of)))


class Candidate(NamedTuple):
    """One fitted model on one date, as draws: level then, doubling time, scatter; all (draw,).

    elpd: expected log predictive density of its own rows by leave-one-out
    """

    log10_level: np.ndarray
    doubling_time_years: np.ndarray
    scale: np.ndarray
    freedom: np.ndarray
    elpd: float
    pareto_k: float


def cases(table: str, dates: Sequence[str], *, vintages: bool) -> list[Case]:
    """Return the dates to forecast from, oldest first.

    dates: years ("2016", its first day) or days; vintages: also the days on which versions of the
        table were published that come with the package, the last of each year, each read as it was
    Raises ``ValueError`` for a date that is none, or is not in the past of the table.
    """
    newest = table_info(table).as_of.isoformat()
    found = []
    for text in dates:
        try:
            day = date.fromisoformat(f"{text}-01-01" if len(text) == 4 else text)
        except ValueError:
            raise ValueError(
                f"as_of: got {text!r}, expected a year or a date as YYYY-MM-DD"
            ) from None
        if not "1950" < day.isoformat() < newest:
            raise ValueError(f"as_of: got {text!r}, expected a date before {newest}")
        found.append(Case(day.isoformat(), table, False))
    older = [name for name in table_ids() if name.startswith(f"{table}_2")] if vintages else []
    of_year = {table_info(name).vintage.year: name for name in sorted(older)}
    found += [Case(table_info(n).vintage.isoformat(), n, True) for n in of_year.values()]
    return sorted(found)


def rows_known(scenario: Scenario, quantity: str, table: str, as_of_year: float) -> pd.DataFrame:
    """Return the rows of a quantity dated by then: name, year, log10_value, group; oldest first.

    training_compute and model_size: systems among the largest at release, as the scenario reads
    the frontier; price_performance: as the scenario fits it, group 0 is what is forecast.
    Raises ``ValueError`` if they are too few to fit.
    """
    if quantity == "price_performance":
        costs, hardware = (dated(name, as_of_year) for name in ("training_costs", "ml_hardware"))
        rows = price_performance.observations(
            _named(costs), _named(hardware), as_of_year=as_of_year
        )
        return rows.sort_values(["group", "year"], ignore_index=True)
    section = scenario.training_compute
    assert section is not None
    frame = _named(dated(table, as_of_year))
    if quantity == "model_size":
        frame = frame.assign(training_compute_flop=frame["parameters"])
    rows = training_compute.observations(
        frame,
        as_of_year=as_of_year,
        since_year=section.since_year,
        reading="top-n",
        top_n=section.top_n,
    )
    return rows.assign(group=0)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(name=frame["name"].astype(str))


def fits(
    scenario: Scenario,
    quantity: str,
    chosen: Sequence[Case],
    report: Callable[[str, int, int], None],
) -> Iterator[tuple[Case, pd.DataFrame, list[Candidate]]]:
    """Yield for each date what was known and the fitted models: 0 to 3 changes of growth.

    Price-performance has one, without change. Dates on which too little was known are left out.
    """
    known = dict(_known(scenario, quantity, chosen))
    length = max(map(len, known.values()), default=0)
    counts = (0,) if quantity == "price_performance" else CHANGE_POINTS
    program: Compiled | None = None
    # NUTS would take minutes where importance sampling fails; its Pareto k is told instead.
    settings = SamplerSettings(
        **scenario.inference.model_dump(exclude={"sampler"}), sampler="importance"
    )
    for number, (case, rows) in enumerate(known.items()):
        report(f"backtest {quantity}", number, len(known))
        data = _padded(scenario, quantity, rows, length)
        nodes = [trend.padded_nodes(rows["year"].to_numpy(), count) for count in counts]
        if program is None:
            varying = ("year", "log10_value", "group", "known", "anchor_year")
            program = compile_model(trend.model, data, nodes[0][0], varying)
        bound = program.bound(data)
        candidates = [
            _candidate(
                fit(
                    trend.model,
                    data,
                    seed=(scenario.seed, QUANTITIES.index(quantity), int(1000 * case.year), count),
                    nodes=each,
                    settings=settings,
                    compiled=bound,
                ),
                rows,
                case.year,
            )
            for count, each in zip(counts, nodes, strict=True)
        ]
        yield case, rows, candidates
    report(f"backtest {quantity}", len(known), len(known))


def _known(
    scenario: Scenario, quantity: str, chosen: Sequence[Case]
) -> Iterator[tuple[Case, pd.DataFrame]]:
    for case in chosen:
        if quantity == "price_performance" and case.vintage:
            continue  # its tables come in one vintage
        try:
            yield case, rows_known(scenario, quantity, case.table, case.year)
        except ValueError:  # too few rows
            continue


def _padded(scenario: Scenario, quantity: str, rows: pd.DataFrame, length: int) -> dict[str, Any]:
    """Return the arguments of the trend model, rows filled up with copies of the last."""
    place = np.arange(length).clip(max=len(rows) - 1)
    section = (
        scenario.price_performance if quantity == "price_performance" else scenario.training_compute
    )
    columns = {name: rows[name].to_numpy()[place] for name in ("year", "log10_value", "group")}
    return columns | {
        "known": np.arange(length) < len(rows),
        "anchor_year": trend.anchor(rows["year"].to_numpy()),
        "groups": 2 if quantity == "price_performance" else 1,
        "priors": fitted_priors(section),
        "change_points": trend.MAX_CHANGE_POINTS,
        "residual": "student_t",
    }


def _candidate(found: Fit, rows: pd.DataFrame, at: float) -> Candidate:
    values = found.log_likelihood[..., : len(rows)]
    likelihood = xr.Dataset({"log10_value": (("chain", "draw", "row"), values)})
    tree = xr.DataTree.from_dict({"log_likelihood": likelihood})
    loo = leave_one_out(tree, reff=1.0)  # importance sampling: no autocorrelation
    level = trend.log10_trend_at(found.draws, rows["year"].to_numpy(), np.array([at]))
    freedom = np.minimum(found.draws["degrees_of_freedom"], trend.MOST_DEGREES_OF_FREEDOM)
    return Candidate(
        level[..., 0].ravel(),
        found.draws["doubling_time_years"].ravel(),
        trend.scale_at(found.draws, rows["year"].to_numpy(), at).ravel(),
        freedom.ravel(),
        float(loo.elpd),
        found.pareto_k,
    )


def loo_weights(candidates: Sequence[Candidate]) -> np.ndarray:
    """Return the pseudo-BMA weights of the fitted models, (candidate,)."""
    return np.asarray(softmax([each.elpd for each in candidates]))


def predicted(
    candidate: Candidate,
    growth: tuple[Interval, Interval] | None,
    years_ahead: np.ndarray,
    rng: np.random.Generator,
) -> Mixture:
    """Return the predictive distribution of single rows so many years ahead.

    growth: priors of the long-run doubling time and of the slowdown's half-life [yr]; None: growth
        goes on as it is
    """
    import jax
    import jax.numpy as jnp

    from ..kernels.compute_growth import Trend, log10_trend

    doubling = candidate.doubling_time_years
    slowing = [_drawn(interval, len(doubling), rng) for interval in growth or ()]
    columns = (candidate.log10_level, doubling, *(slowing or (doubling, np.ones_like(doubling))))
    with jax.enable_x64(True):
        growing = Trend(*(jnp.asarray(column)[:, None] for column in columns))
        centre = np.asarray(log10_trend(growing, jnp.asarray(years_ahead)))
    count = len(doubling)
    return Mixture(
        centre,
        candidate.scale[:, None],
        candidate.freedom[:, None],
        np.full(count, 1 / count),
    )


def _drawn(interval: Interval, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return stratified draws of a prior, in random order."""
    place = location_scale(*interval)
    u = (np.arange(count) + 0.5) / count
    values = place.location + place.scale * (u if place.is_uniform else ndtri(u))
    return rng.permutation(np.exp(values) if place.is_log else values)
