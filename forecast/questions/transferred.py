"""Q1.7 and Q1.8: what fine-tuning in place of training from nothing does to a date of arrival."""

from collections.abc import Mapping
from math import log, log10

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from ...kernels.solve import root
from ...kernels.transfer import Transfer, log_multiplier
from ..fine_tuning import transfer_law
from . import drawing, scenarios
from .answer import (
    Answer,
    Quantity,
    Verdict,
    by_cases,
    by_probability,
    by_threshold,
    probability_rule,
)

_LN_10 = log(10)
_PORTS = "public re-implementations of Cotra (2020)"
# Of the short-horizon anchor: FLOP/s of the model, and its effective horizon [s]; tokens of a
# reference model, from which they grow as N^0.8.
MODEL_FLOP_PER_SECOND, SHORT_HORIZON_SECONDS = 1e16, 10**1.5
REFERENCE_LOG10_PARAMETERS, REFERENCE_LOG10_SAMPLES, DATA_EXPONENT = 11.2, 12.0, 0.8
EFFECT_OOM = 3.0
PRIOR_OF_SURVIVAL = 0.5
A_YEAR = 1.0


# --- Q1.7 -----------------------------------------------------------------------------------------


def surviving_claim() -> Answer:
    """Give what the date of arrival owes to the probability p that a finding survives.

    The finding, that a frozen pre-trained model does as well as one trained in full (Lu et al.
    2021, by its abstracts), is kept as an effect and a probability. Effect: the medium- and
    long-horizon anchors of the scenario `cotra-2020` take 3 OOM less if it survives. The forecast
    is the mixture of both worlds, so that p is free to choose: a uniform prior, whose mean of 1/2
    is all that the rule sees, since no experiment here bears on it.
    """
    shifts = {"fails": {}, "survives": dict.fromkeys(scenarios.HORIZON_ANCHORS, -EFFECT_OOM)}
    year, cdf = scenarios.cotra_arrival(shifts)
    return _of_survival(PRIOR_OF_SURVIVAL, year, cdf)


def _of_survival(p: float, year: np.ndarray, cdf: Mapping[str, np.ndarray]) -> Answer:
    medians = {q: _median(q, year, cdf) for q in (0.0, 0.25, 0.5, 0.75, 1.0)}
    results = (
        *(Quantity(f"median year at p = {q:g}", m, "year") for q, m in medians.items()),
        Quantity("the median is later without it by", medians[0.0] - medians[1.0], "yr"),
        Quantity(
            "and moves, for 0.1 of p, by",
            (_median(0.6, year, cdf) - _median(0.4, year, cdf)) / 2,
            "yr",
        ),
    )
    what = "the finding fails"
    grid = np.linspace(0, 1, 41)

    def draw(axes: Axes) -> None:
        curve = [_median(q, year, cdf) for q in grid]
        axes.plot(grid, curve, color=drawing.BLUE, linewidth=2, label="median of cotra-2020")
        axes.set(xlabel="Probability that the finding survives", ylabel="Median year of arrival")

    inputs = (
        Quantity("effect on horizon anchors", EFFECT_OOM, "OOM", source="the claim of Q1.1"),
        Quantity("p", p, "probability", source="uniform prior"),
    )
    rule = probability_rule(what)
    return Answer(inputs, results, rule, by_probability(1 - p, what), draw)


def _median(p: float, year: np.ndarray, cdf: Mapping[str, np.ndarray]) -> float:
    return scenarios.year_at(year, p * cdf["survives"] + (1 - p) * cdf["fails"])


# --- Q1.8 -----------------------------------------------------------------------------------------


def fine_tuned_anchors() -> Answer:
    """Replace long training by one pre-training and fine-tuning, and give the shift of the median.

    Scenario `cotra-2020`. An anchor of long horizon costs N x horizon x samples; its samples D
    become D_F, with D_F + D_T = D by the law of Hernandez et al. (2021; samples read as its
    characters), on top of pre-training with a short horizon: F' = F_short + F D_F / D, medians of
    anchors, spreads unchanged. N and D follow from the short-horizon anchor, 1e32 FLOP at 1e16
    FLOP/s and a horizon of 10^1.5 s, and D = 1e12 (N / 10^11.2)^0.8. Beside the law, the constant
    factor of 1000 that Q1.1 is about. Side A where the median comes forward by a year or more.
    """
    log10_samples = scenarios.cotra_anchors()[scenarios.PRETRAINING_ANCHOR] - log10(
        MODEL_FLOP_PER_SECOND * SHORT_HORIZON_SECONDS
    )
    grown = (log10_samples - REFERENCE_LOG10_SAMPLES) / DATA_EXPONENT
    log10_parameters = REFERENCE_LOG10_PARAMETERS + grown
    factors = {
        name: data_factor(transfer_law(f"hernandez-2021-{name}"), log10_samples, log10_parameters)
        for name in ("text", "mixed")
    }
    factors = {f"by the law, {name}": found for name, found in factors.items()}
    factors["by a constant factor"] = 1000.0
    return _of_factors(factors, log10_samples, log10_parameters)


def _of_factors(
    factors: Mapping[str, float], log10_samples: float, log10_parameters: float
) -> Answer:
    shifts = {name: anchor_shifts(factor) for name, factor in factors.items()}
    year, cdf = scenarios.cotra_arrival({"from nothing": {}, **shifts})
    medians = {name: scenarios.year_at(year, each) for name, each in cdf.items()}
    earlier = {name: medians["from nothing"] - medians[name] for name in factors}
    results = (
        *(Quantity(f"data saved, {name}", value, "factor") for name, value in factors.items()),
        *(
            Quantity(f"shift of {anchor}, {name}", by, "OOM")
            for name, shift in shifts.items()
            for anchor, by in shift.items()
        ),
        *(Quantity(f"median year, {name}", value, "year") for name, value in medians.items()),
        *(
            Quantity(f"median comes forward, {name}", value, "yr")
            for name, value in earlier.items()
        ),
    )
    cases = {name: _forward(value) for name, value in earlier.items()}

    def draw(axes: Axes) -> None:
        for (name, each), (colour, line) in zip(cdf.items(), drawing.STYLES, strict=False):
            axes.plot(year, each, color=colour, linestyle=line, label=name)
        axes.set(xlabel="Year", ylabel="Probability of arrival", ylim=(0, 1))

    inputs = (
        Quantity("samples of a horizon anchor", log10_samples, "log10 sample", source=_PORTS),
        Quantity("parameters", log10_parameters, "log10 parameter", source=_PORTS),
    )
    rule = "side A where the median comes forward by a year or more, else side B"
    return Answer(inputs, results, rule, by_cases(cases), draw)


def _forward(years: float) -> Verdict:
    return by_threshold(years, A_YEAR, "years by which the median comes forward")


def data_factor(law: Transfer, log10_samples: float, log10_parameters: float) -> float:
    """Return D / D_F where D_F + D_T = D, the data that training from nothing takes."""
    wanted, size = log10_samples * _LN_10, log10_parameters * _LN_10

    def surplus(log_data: jnp.ndarray) -> jnp.ndarray:
        return log_data + log_multiplier(law, log_data, size) - wanted

    found = root(surplus, jnp.asarray(-wanted), jnp.asarray(wanted))
    return float(jnp.exp(wanted - found))


def anchor_shifts(factor: float) -> dict[str, float]:
    """Return by how much each horizon anchor moves [OOM] if its data fall by a factor.

    To pre-training, which costs the short-horizon anchor, and tuning, which costs F / factor.
    """
    anchors = scenarios.cotra_anchors()
    once = anchors[scenarios.PRETRAINING_ANCHOR]
    return {
        name: log10(10 ** (once - anchors[name]) + 1 / factor) for name in scenarios.HORIZON_ANCHORS
    }
