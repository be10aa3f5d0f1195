"""Q0.4, Q0.5 and Q0.7: what taxes on training, on use and on the ceiling cost a developer."""

from collections.abc import Mapping
from math import log

import numpy as np
from matplotlib.axes import Axes

from ...kernels.competitiveness import Performance, delay_years, is_one_dimension, log_flop_to_match
from ...kernels.scaling_laws import chinchilla_frontier
from .. import taxes
from ..law_frames import training_law
from . import drawing
from .answer import (
    SIDE_A,
    SIDE_B,
    Answer,
    Quantity,
    Verdict,
    by_cases,
    by_probability,
    by_threshold,
    of_draws,
    probability,
    probability_rule,
)

Draws = Mapping[str, np.ndarray]

_LN_10 = log(10)
_TAXES = (2.0, 10.0, 100.0)
_CEILING_NAT = 0.02  # as seeds differ (Kaplan et al. 2020)
_START = log(1e21)  # FLOP from which on a lower ceiling shows, amid the runs of the law


def effective_doubling_years(compute: Draws, progress: Draws) -> np.ndarray:
    """Return the doubling time of effective compute, physical and algorithmic [yr], (draw,)."""
    return 1 / (1 / compute["doubling_time_years"] + 1 / progress["doubling_time_years"])


# --- Q0.4 -----------------------------------------------------------------------------------------


def training_is_once() -> Answer:
    """Weigh a training tax against an inference tax by the tokens that are served.

    Cost of ownership tau 6 N D + iota 2 N D_inf: both taxes cost the same where (tau - 1) 6 N D =
    (iota - 1) 2 N D_inf, at D_inf / D = 3 (tau - 1) / (iota - 1). With more tokens served for each
    token of training the inference tax is the worse one, and the training tax matters less. Cases:
    taxes of the same size, and a tenfold training tax against 10 % more for each use, at demands
    from a tenth to a thousand tokens served for a token of training.
    """
    equal = {
        "taxes of the same size": _served_at_equal_taxes(2.0, 2.0),
        "training x 10, use x 1.1": _served_at_equal_taxes(10.0, 1.1),
    }
    demands = (0.1, 10.0, 1000.0)
    cases = {
        f"{name}, {demand:g} served a token": by_threshold(
            demand, served, "tokens served for a token of training"
        )
        for name, served in equal.items()
        for demand in demands
    }
    results = tuple(
        Quantity(f"taxes cost the same at, {name}", served, "token served / training token")
        for name, served in equal.items()
    )
    rule = "side A where more tokens are served than make both taxes cost the same, else side B"
    served = np.geomspace(0.01, 1e4, 60)

    def draw(axes: Axes) -> None:
        axes.plot(served, 1 + 0 * served, color=drawing.BLUE, label="training x 2")
        for tax, (colour, line) in zip((2.0, 1.1, 1.01), drawing.STYLES[1:], strict=False):
            label = f"use x {tax:g}"
            axes.plot(served, (tax - 1) * served / 3, linestyle=line, color=colour, label=label)
        axes.set(xscale="log", yscale="log", xlabel="Tokens served for a token of training")
        axes.set_ylabel("Cost of the tax / cost of training")

    inputs = tuple(Quantity(f"demand {i + 1}", d, "token / token") for i, d in enumerate(demands))
    return Answer(inputs, results, rule, by_cases(cases), draw)


def _served_at_equal_taxes(training_tax: float, inference_tax: float) -> float:
    found = taxes.taxes(
        training_tax=training_tax, inference_tax=inference_tax, doubling_time_years=1.0
    )
    return float(found["tokens_served_per_training_token"].iloc[0])


# --- Q0.5 -----------------------------------------------------------------------------------------


def one_dimension(constants: Draws, compute: Draws, progress: Draws) -> Answer:
    """Ask when competitiveness is one number, the delay that a training tax costs.

    A training tax tau delays by log2(tau) T, with T the doubling time of effective compute: the
    posteriors of training compute and of algorithmic progress together. Verdict: one dimension
    (side A) where there is neither a ceiling tax nor an inference tax, else two (side B). For a
    ceiling tax, an irreducible loss 0.02 nats higher, the compute is computed that reaches the loss
    of the untaxed run, by the compute-optimal frontier of Chinchilla's law from 1e21 FLOP on, where
    both are equal; it is infinite where the tax is more than is left to gain.
    """
    time = effective_doubling_years(compute, progress)
    now = np.asarray(compute["log10_level"]) * _LN_10
    law = training_law(constants)
    frontier = chinchilla_frontier(law)
    start = np.exp(frontier.log_constant - frontier.exponent * _START) + law.irreducible_loss
    curve = Performance(
        -np.asarray(law.irreducible_loss), -np.asarray(start), _START, frontier.exponent
    )
    halves = {tax: float(delay_years(log(tax), 0.5)) for tax in _TAXES}
    delays = {tax: np.asarray(delay_years(log(tax), time)) for tax in _TAXES}
    matched = log_flop_to_match(curve, now, 1.0, _CEILING_NAT)
    ceiling = np.asarray(delay_years(matched - now, time))
    later = log_flop_to_match(curve, now + 3 * _LN_10, 1.0, _CEILING_NAT)
    worlds = {
        "training x 10": (1.0, 0.0),
        "training x 10, use x 1.1": (1.1, 0.0),
        f"training x 10, ceiling {_CEILING_NAT:g} nats lower": (1.0, _CEILING_NAT),
    }
    results = (
        of_draws("doubling time of effective compute", time, "yr"),
        *(of_draws(f"delay by a training tax of {tax:g}", d, "yr") for tax, d in delays.items()),
        *(
            Quantity(f"the same at a doubling time of half a year, {tax:g}", halves[tax], "yr")
            for tax in _TAXES
        ),
        of_draws("delay by the ceiling tax, at the largest run now", ceiling, "yr"),
        probability("P(never matched), ceiling tax, at the largest run now", np.isinf(matched)),
        probability("P(never matched), ceiling tax, 1000 times more compute", np.isinf(later)),
    )
    cases = {name: _dimensions(*world) for name, world in worlds.items()}
    rule = "side A, one dimension, where ceiling tax = 0 and inference tax = 1; else side B"
    tax = np.geomspace(1, 1000, 40)

    def draw(axes: Axes) -> None:
        years = np.asarray(delay_years(np.log(tax)[:, None], time))
        drawing.band(axes, tax, years, "delay by a training tax alone")
        axes.set(xscale="log", xlabel="Training tax [times the compute]", ylabel="Delay [yr]")

    inputs = (
        of_draws("largest run now", compute["log10_level"], "log10 FLOP"),
        Quantity("ceiling tax", _CEILING_NAT, "nat/token"),
        Quantity("inference tax", 1.1, "factor"),
    )
    return Answer(inputs, results, rule, by_cases(cases), draw)


def _dimensions(inference_tax: float, ceiling_tax: float) -> Verdict:
    one = bool(is_one_dimension(inference_tax, ceiling_tax))
    because = f"inference tax {inference_tax:g}, ceiling tax {ceiling_tax:g}"
    return Verdict(SIDE_A if one else SIDE_B, because)


# --- Q0.7 -----------------------------------------------------------------------------------------


def alignment_tax(compute: Draws, progress: Draws) -> Answer:
    """Give the probability that a developer who pays a training tax is first, by its lead.

    Both developers' effective compute doubles in T, the taxed one's is divided by tau, and its lead
    is the time by which it is ahead: it is first where log2(tau) T is below the lead, and the lead
    affords at most tau = 2^(lead / T). T is from the posteriors of training compute and algorithmic
    progress. Nothing else is taxed: with an inference or ceiling tax a lead does not buy parity
    (Q0.5).
    """
    time = effective_doubling_years(compute, progress)
    leads = (0.5, 1.0, 2.0)
    found = taxes.taxes(training_tax=_TAXES, doubling_time_years=time, lead_years=leads)
    first = found.set_index(["training_tax", "lead_years"])["probability_first"]
    results = (
        of_draws("doubling time of effective compute", time, "yr"),
        *(
            of_draws(
                f"largest tax that a lead of {lead:g} yr affords", 2 ** (lead / time), "factor"
            )
            for lead in leads
        ),
    )
    what = "the taxed developer is first"
    cases = {
        f"tax {tax:g}, lead {lead:g} yr": by_probability(first[tax, lead], what)
        for tax in _TAXES
        for lead in leads
    }
    lead = np.linspace(0, 3, 61)

    def draw(axes: Axes) -> None:
        drawing.band(axes, lead, 2 ** (lead[:, None] / time), "largest affordable training tax")
        axes.set(yscale="log", xlabel="Lead [yr]", ylabel="Training tax [times the compute]")

    inputs = tuple(Quantity(f"training tax {i + 1}", tax, "factor") for i, tax in enumerate(_TAXES))
    return Answer(inputs, results, probability_rule(what), by_cases(cases), draw)
