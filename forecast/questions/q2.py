"""Q2: what of Kaplan et al. (2020) holds after Hoffmann et al. (2022)."""

from collections.abc import Callable, Mapping
from math import log
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from ...kernels import competitiveness, kaplan
from ...kernels.power_laws import log_value
from ...kernels.scaling_laws import (
    LOG_FLOP_PER_PARAMETER_TOKEN,
    Chinchilla,
    chinchilla_frontier,
    chinchilla_log_flop,
    chinchilla_loss,
    chinchilla_optimum,
    chinchilla_reducible,
)
from ...kernels.solve import root
from ...priors.published_laws import named_runs
from .. import law_families, laws
from ..law_frames import training_law
from . import drawing, evidence
from .answer import (
    Answer,
    Computation,
    Quantity,
    by_cases,
    by_probability,
    of_draws,
    probability,
    probability_rule,
    short,
)

Draws = Mapping[str, np.ndarray]
Draw = Callable[[Axes], None]

GPT_3_FLOP, GOPHER_FLOP, FRONTIER_FLOP = 3.14e23, 5.76e23, 1e26
NEAR_OPTIMAL = 1.2  # times the least compute, which Kaplan et al. (appendix B.4) call close
CONVERGED = 0.02  # above the loss of unlimited training (Kaplan et al., appendix B.5)
_LAWS = ("hoffmann-2022", "hoffmann-2022-unrounded", "besiroglu-2024")
_KAPLAN_RANGE = (768.0, 1.5e9)  # parameters without embeddings


def _kaplan_run(flop: float) -> tuple[float, float]:
    """Return ln N of Kaplan et al.'s table 6 at C_min = C, and ln D = ln C / 6N."""
    table = laws.law("kaplan-2020").constants["parameters_by_flop"]
    size = float(log_value(law_families.power_of_flop(table), log(flop)))
    return size, log(flop) - LOG_FLOP_PER_PARAMETER_TOKEN - size


def _log_waste(law: Chinchilla, flop: float) -> np.ndarray:
    """Return ln of Kaplan's compute over the least that reaches the same loss."""
    loss = chinchilla_loss(law, *_kaplan_run(flop))
    return np.atleast_1d(log(flop) - np.asarray(chinchilla_log_flop(law, loss)))


def _published(law_id: str) -> Chinchilla:
    return law_families.chinchilla(laws.law(law_id).constants)


# --- Q2.1 -----------------------------------------------------------------------------------------


def stopping_early(constants: Draws) -> Answer:
    """Compare the run that Kaplan et al. (2020) recommend with the cheapest of equal loss.

    By the posterior of Chinchilla's law. Direction: what it costs to reach the compute-optimal
    loss of Gopher's budget with a smaller model trained until it is 2 % above its converged loss,
    the practice that Kaplan et al. (appendix B.5) argue against. Magnitude: compute of the
    allocation of their table 6 (N = 1.3e9 C^0.73 at C_min = C in PF-days, D = C / 6N) over the
    least that reaches its loss. Both are held against the 20 % that they call close to optimal
    (appendix B.4). Read at C_min = C / 2, as of a run at its critical batch, the waste is about
    half. Ho et al. (2024) get factors of 1.75 to 4 by minimising Kaplan's own L(N, D) instead.
    """
    law = training_law(constants)
    converging = _log_cost_of_converging(law, GOPHER_FLOP)
    waste = {flop: _log_waste(law, flop) for flop in (GPT_3_FLOP, GOPHER_FLOP)}
    best = chinchilla_optimum(law, log(GOPHER_FLOP))
    by_parameters, by_data = chinchilla_reducible(law, best.log_parameters, best.log_tokens)
    above = np.asarray(by_data / (by_parameters + law.irreducible_loss))
    larger = _kaplan_run(GOPHER_FLOP)[0] - np.asarray(best.log_parameters)
    source = "Kaplan et al. 2020, appendix B"
    results = (
        of_draws("optimum above its converged loss", above, "part", published=0.1, source=source),
        of_draws(
            "compute of converging / least", np.exp(converging), published=2.79, source=source
        ),
        of_draws("Kaplan's parameters / optimal ones", np.exp(larger), "factor"),
        *(
            of_draws(f"waste at {short(flop)} FLOP", np.exp(w), "factor")
            for flop, w in waste.items()
        ),
        *(_waste_by(name) for name in _LAWS),
    )
    costs, near = "converging costs over 20 % more", "Kaplan's allocation wastes below 20 %"
    cases = {
        "direction": by_probability(converging > log(NEAR_OPTIMAL), costs),
        "magnitude": by_probability(waste[GOPHER_FLOP] < log(NEAR_OPTIMAL), near),
    }
    inputs = (
        Quantity("budget of GPT-3", GPT_3_FLOP, "FLOP"),
        Quantity("budget of Gopher", GOPHER_FLOP, "FLOP"),
        Quantity("converged within", CONVERGED, "part of loss", source=source),
        Quantity("near optimal up to", NEAR_OPTIMAL, "factor", source=source),
    )
    rule = f"direction: {probability_rule(costs)}; magnitude: {probability_rule(near)}"
    return Answer(inputs, results, rule, by_cases(cases), _drawn_waste(law))


def _waste_by(name: str) -> Quantity:
    waste = float(np.exp(_log_waste(_published(name), GPT_3_FLOP))[0])
    return Quantity(f"waste at {short(GPT_3_FLOP)} FLOP by {name}", waste, "factor")


def _log_cost_of_converging(law: Chinchilla, flop: float) -> np.ndarray:
    """Return ln of compute over the least for its loss, of a run near its converged loss."""
    loss = chinchilla_optimum(law, log(flop)).loss
    converged = loss / (1 + CONVERGED)
    left = converged - law.irreducible_loss
    log_n = (law.log_parameter_constant - jnp.log(jnp.maximum(left, 0))) / law.parameter_exponent
    log_d = (law.log_data_constant - jnp.log(loss - converged)) / law.data_exponent
    return np.asarray(LOG_FLOP_PER_PARAMETER_TOKEN + log_n + log_d - log(flop))


def _drawn_waste(law: Chinchilla) -> Draw:
    flop = np.geomspace(1e19, 1e27, 60)
    curves = {"posterior": np.exp([_log_waste(law, each) for each in flop])}
    for name in _LAWS:
        curves[name] = np.exp([_log_waste(_published(name), each) for each in flop])

    def draw(axes: Axes) -> None:
        for i, (name, factors) in enumerate(curves.items()):
            drawing.band(axes, flop, factors, name, i)
        axes.axhline(NEAR_OPTIMAL, color=drawing.GREY, linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel="Training compute [FLOP]")
        axes.set_ylabel("Compute of Kaplan's allocation / least for its loss")

    return draw


# --- Q2.2 -----------------------------------------------------------------------------------------


def tokens_by_compute(constants: Draws) -> Answer:
    """Read the exponent b of compute-optimal tokens in compute off the posterior.

    b = alpha / (alpha + beta) under C = 6 N D (Hoffmann et al. 2022, eq. 4), from the joint
    posterior of Chinchilla's law. The rule asks whether b is nearer to Kaplan et al.'s 0.27 or to
    1/2. Beside it: 1 - the exponent of parameters in other works; those of Porian et al. (2024)
    begin at Kaplan's method and end at tuned training.
    """
    law = training_law(constants)
    b = 1 - np.asarray(chinchilla_frontier(law).parameter_share_exponent)
    porian = laws.law("porian-2024")
    others = {
        f"b of Porian et al., {corpus}, {stage}": 1 - stages[stage]
        for corpus, stages in porian.constants.items()
        for stage in ("kaplan", "tuned")
    } | {
        f"b of {name}": 1 - float(_exponent_of_parameters(name))
        for name in ("hoffmann-2022-approach-1", "hoffmann-2022-approach-2", "llama-3-2024")
    }
    kaplan_s = laws.law("kaplan-2020").constants["tokens_by_flop"]["exponent"]
    results = (
        of_draws("b", b, published=kaplan_s, source="Kaplan et al. 2020, table 6"),
        Quantity("b, 10 % quantile", float(np.quantile(b, 0.1))),
        Quantity("b, 90 % quantile", float(np.quantile(b, 0.9))),
        probability(f"P(b <= {kaplan_s:g})", b <= kaplan_s),
        of_draws("tokens for 10 times the compute", 10**b, "factor", published=10**kaplan_s),
        *(Quantity(name, value) for name, value in others.items()),
    )
    what = f"b is nearer to {kaplan_s:g} than to 0.5"
    verdict = by_probability(np.abs(b - kaplan_s) < np.abs(b - 0.5), what)

    def draw(axes: Axes) -> None:
        drawing.density(axes, b, "posterior of b")
        drawing.mark(axes, kaplan_s, f"Kaplan et al.: {kaplan_s:g}")
        drawing.mark(axes, 0.5, "tokens as parameters: 0.5", 2)
        axes.set(xlabel="b: tokens as the power b of compute", ylabel="Density", xlim=(0.2, 0.6))

    inputs = (Quantity("Kaplan's exponent of tokens", kaplan_s, source="table 6"),)
    return Answer(inputs, results, probability_rule(what), verdict, draw)


def _exponent_of_parameters(name: str) -> Any:
    return law_families.parameters_by_flop(laws.law(name).constants).exponent


# --- Q2.5 -----------------------------------------------------------------------------------------


def superseded(constants: Draws, compute: Draws) -> Answer:
    """Hold Kaplan's laws against Chinchilla's at the frontier and in the range of their runs.

    At the frontier: the loss of Chinchilla (70e9 parameters, 1.4e12 tokens) against Gopher (280e9,
    3e11) by the posterior of Chinchilla's law, and the compute that the allocation of Kaplan's
    table 6 wastes at 1e26 FLOP, under several laws and in years of the fitted doubling time of
    training compute. In Kaplan's range: compute-optimal parameters without embeddings, N, at
    constant C = 6 N D, of the same posterior, with N + 47491 N^(1/3) parameters in all (Pearce and
    Song 2024), and the exponent of N in C between 768 and 1.5e9, which they give as 0.74
    (Hoffmann's constants) to 0.78 (Besiroglu's), and Kaplan et al. as 0.73.
    """
    law, doubling = training_law(constants), compute["doubling_time_years"]
    runs = {name: np.log([run["parameters"], run["tokens"]]) for name, run in named_runs().items()}
    gained = np.asarray(
        chinchilla_loss(law, *runs["gopher"]) - chinchilla_loss(law, *runs["chinchilla"])
    )
    wastes = {"the posterior": _log_waste(law, FRONTIER_FLOP)}
    wastes |= {name: _log_waste(_published(name), FRONTIER_FLOP) for name in _LAWS}
    delays = {
        name: np.asarray(competitiveness.delay_years(waste, doubling))
        for name, waste in wastes.items()
    }
    medians = [float(np.median(delay)) for delay in delays.values()]
    every = np.asarray(_local_exponent(_stacked(law, "besiroglu-2024", "hoffmann-2022")))
    local, (by_besiroglu, by_hoffmann) = every[:-2], map(float, every[-2:])
    large = np.asarray(chinchilla_frontier(law).parameter_share_exponent)
    kaplan_s = laws.law("kaplan-2020").constants["parameters_by_flop"]["exponent"]
    results = (
        of_draws("loss of Gopher - loss of Chinchilla", gained, "nat/token"),
        *(of_draws(f"years lost by {name}", delay, "yr") for name, delay in delays.items()),
        of_draws("years lost, laws mixed equally", np.stack([*delays.values()]), "yr"),
        Quantity("spread of medians between laws", max(medians) - min(medians), "yr"),
        of_draws("exponent of N in C, large scale", large),
        of_draws("exponent of N in C, Kaplan's range", local, published=0.78, source=_PEARCE),
        Quantity("the same by besiroglu-2024", by_besiroglu, published=0.78),
        Quantity("the same by hoffmann-2022", by_hoffmann, published=0.74),
    )
    better = "Chinchilla is better than Gopher and Kaplan's allocation wastes over 20 %"
    artefact = f"the exponent in Kaplan's range is nearer to that of large scale than {kaplan_s:g}"
    cases = {
        f"at {short(FRONTIER_FLOP)} FLOP": by_probability(
            (gained > 0) & (wastes["the posterior"] > log(NEAR_OPTIMAL)), better
        ),
        "in Kaplan's range": by_probability(
            np.abs(local - large) < np.abs(local - kaplan_s), artefact
        ),
    }
    rule = f"at the frontier: {probability_rule(better)}; below: {probability_rule(artefact)}"
    inputs = (
        Quantity("frontier", FRONTIER_FLOP, "FLOP"),
        of_draws("doubling time of training compute", doubling, "yr"),
        Quantity("Kaplan's exponent of parameters", kaplan_s, source="table 6"),
    )

    def draw(axes: Axes) -> None:
        drawing.density(axes, local, "in Kaplan's range, without embeddings")
        drawing.density(axes, large, "at large scale", 2)
        drawing.mark(axes, kaplan_s, f"Kaplan et al.: {kaplan_s:g}")
        axes.set(xlabel="Exponent of compute-optimal parameters in compute", ylabel="Density")

    return Answer(inputs, results, rule, by_cases(cases), draw)


_PEARCE = "Pearce and Song 2024, arXiv 2406.12907"


def _stacked(law: Chinchilla, *names: str) -> Chinchilla:
    """Return the draws of a law with published laws after them."""
    others = [_published(name) for name in names]
    return Chinchilla(*(np.append(draws, each) for draws, *each in zip(law, *others, strict=True)))


@jax.jit
def _local_exponent(law: Chinchilla) -> Array:
    """Return the slope of ln N on ln C over Kaplan's range, as they count both, (draw,).

    Best N at constant C: alpha A / T^alpha x (d ln T / d ln N) = beta B / D^beta, with T all
    parameters; the slope is that of least squares, points evenly spaced in ln C.
    """
    constants = laws.law("pearce-song-2024").constants
    log_w, power = log(constants["embedding_constant"]), constants["embedding_exponent"]

    def log_flop(log_n: Array) -> Array:
        log_all = kaplan.log_parameters_with_embeddings(log_n, log_w, power)
        embedded = power * jnp.exp(log_w + power * log_n - log_all)
        share = jnp.log(jnp.exp(log_n - log_all) + embedded)
        log_ratio = jnp.log(jnp.asarray(law.parameter_exponent) / law.data_exponent)
        by_data = log_ratio + law.log_parameter_constant - law.parameter_exponent * log_all + share
        log_d = (law.log_data_constant - by_data) / law.data_exponent
        return LOG_FLOP_PER_PARAMETER_TOKEN + log_n + log_d

    low, high = (jnp.full(np.size(law.data_exponent), log(edge)) for edge in _KAPLAN_RANGE)
    points = jnp.linspace(log_flop(low), log_flop(high), 40)
    wide = (jnp.broadcast_to(edge, points.shape) for edge in (low - 1, high + 1))
    found = root(lambda log_n: log_flop(log_n) - points, *wide)
    centred = points - points.mean(axis=0)
    return jnp.sum(centred * found, axis=0) / jnp.sum(centred**2, axis=0)


COMPUTATIONS = {
    "Q2.1": Computation(stopping_early, (evidence.chinchilla,)),
    "Q2.2": Computation(tokens_by_compute, (evidence.chinchilla,)),
    "Q2.5": Computation(superseded, (evidence.chinchilla, evidence.training_compute)),
}
