"""Q3: training that is amortised over inference, and forecasts that leave it out."""

from collections.abc import Mapping
from math import inf, log

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ...kernels import competitiveness, priced_data
from ...kernels import training_economics as economics
from ...kernels.scaling_laws import (
    LOG_FLOP_PER_PARAMETER_TOKEN,
    Chinchilla,
    Optimum,
    chinchilla_frontier,
    chinchilla_log_tokens,
    chinchilla_loss,
    chinchilla_optimum,
    log_training_flop,
)
from ...priors.published_exchange import published_exchange
from .. import law_families, laws
from ..datasets import load_frame
from ..law_frames import training_law
from . import compressing, drawing, evidence
from .answer import (
    Answer,
    Computation,
    Quantity,
    by_cases,
    by_probability,
    by_threshold,
    of_draws,
    probability_rule,
    short,
)

Draws = Mapping[str, np.ndarray]

SIZE = 7e9  # parameters of the compute-optimal model whose loss is asked for
SERVED_PER_TRAINED = (1.0, 10.0, 100.0, 1000.0)  # D_inf / D of the compute-optimal run
YEAR = 1.0  # a delay that matters, as both sides of Q3.1 put it
_SARDANA = "Sardana et al. 2023, arXiv 2401.00448"


def _published(law_id: str) -> Chinchilla:
    return law_families.chinchilla(laws.law(law_id).constants)


def _optimum_of_size(law: Chinchilla, parameters: float) -> Optimum:
    """Return the compute-optimal run with so many parameters."""
    frontier = chinchilla_frontier(law)
    scaled = (log(parameters) - frontier.log_parameter_scale) / frontier.parameter_share_exponent
    return chinchilla_optimum(law, LOG_FLOP_PER_PARAMETER_TOKEN + scaled)


def _log_training_factors(law: Chinchilla, served_per_trained: ArrayLike) -> np.ndarray:
    """Return ln of the training compute over compute-optimal, at equal loss, (ratio, draw).

    The same at every loss: it depends on the law and on D_inf / D alone.
    """
    tokens = _optimum_of_size(law, SIZE).log_tokens
    return np.asarray(_served(law, tokens + np.log(served_per_trained)[:, None])[0])


@jax.jit
def _served(law: Chinchilla, log_served: Array) -> tuple[Array, Array]:
    """Return ln of training and of lifetime compute over those of the compute-optimal model."""
    plain = _optimum_of_size(law, SIZE)
    run = economics.serving_optimum_at_loss(law, plain.loss, log_served)
    before, after = (log_training_flop(r.log_parameters, r.log_tokens) for r in (plain, run))
    lifetime = economics.log_lifetime_flop(run, log_served)
    return after - before, lifetime - economics.log_lifetime_flop(plain, log_served)


# --- Q3.1 -----------------------------------------------------------------------------------------


def training_for_inference(constants: Draws, compute: Draws) -> Answer:
    """Find the run of least 6 N D + 2 N D_inf at the loss of a compute-optimal 7e9-parameter model.

    Sardana et al. (2023, eq. 2), over the posterior of Chinchilla's law. The dearer training costs
    time: log2(training compute / compute-optimal) doubling times of training compute, from the
    posterior of its record. Per token of compute-optimal training, D_inf / D, the factors are the
    same at every size. The side depends on D_inf / D; ``1 yr of delay from`` gives the ratio at
    which the delay is a year. Sardana et al.'s own example (loss of 70e9 parameters on 1e12 tokens,
    2e12 tokens served) is computed with their constants.
    """
    law, doubling = training_law(constants), compute["doubling_time_years"]
    grid = np.geomspace(0.1, 1e4, 41)  # which holds the ratios
    curve = _log_training_factors(law, grid)
    published = _log_training_factors(_published(_A3), grid)
    years = np.asarray(competitiveness.delay_years(curve, doubling))
    delays = years[np.searchsorted(np.log(grid), np.log(SERVED_PER_TRAINED) - 1e-9)]
    later = "a delay of a year or more"
    cases = {
        f"D_inf / D = {ratio:g}": by_probability(delay >= YEAR, later)
        for ratio, delay in zip(SERVED_PER_TRAINED, delays, strict=True)
    }
    results = [
        *_of_seven_billion(law, doubling),
        of_draws("1 yr of delay from", _served_for_delay(law, doubling), "served / trained token"),
        *_sardanas_example(),
    ]

    def draw(axes: Axes) -> None:
        drawing.band(axes, grid, np.exp(curve), "training compute / compute-optimal")
        drawing.band(axes, grid, np.exp(published), "by the constants of Sardana et al.", 1)
        drawing.band(axes, grid, years, "delay [yr]", 2)
        axes.axhline(YEAR, color=drawing.GREY, linewidth=0.8)
        axes.set(xscale="log", yscale="log", ylim=(1e-3, 1e2))
        axes.set(xlabel="Tokens served per token of compute-optimal training", ylabel="Factor, yr")

    inputs = (
        of_draws("doubling time of training compute", doubling, "yr"),
        Quantity("size of the compute-optimal model", SIZE, "parameter"),
    )
    rule = "in each case " + probability_rule(later)
    return Answer(inputs, tuple(results), rule, by_cases(cases), draw)


_A3 = "hoffmann-2022-table-a3"


def _of_seven_billion(law: Chinchilla, doubling: np.ndarray) -> list[Quantity]:
    """Return what serving some numbers of tokens changes."""
    tokens = (1e11, 1e12, 1e13, 1e14)
    training, lifetime = _served(law, jnp.log(jnp.asarray(tokens))[:, None])
    found = {
        ("training factor", "factor"): np.exp(training),
        ("lifetime factor", "factor"): np.exp(lifetime),
        ("delay", "yr"): np.asarray(competitiveness.delay_years(training, doubling)),
    }
    return [
        of_draws(f"{what}, {short(each)} tokens served", values[i], unit)
        for i, each in enumerate(tokens)
        for (what, unit), values in found.items()
    ]


@jax.jit
def _served_for_delay(law: Chinchilla, doubling: ArrayLike) -> Array:
    """Return D_inf / D at which the training factor costs a year.

    The wedge w of that factor has k_D^beta = 1 + w beta / (alpha + beta), and w k_D = D_inf / 3 D.
    """
    alpha, beta = jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)
    factor = YEAR * log(2) / jnp.asarray(doubling)
    longer = factor - economics.log_size_factor_at_training_factor(law, factor)
    wedge = jnp.expm1(beta * longer) * (alpha + beta) / beta
    return 3 * wedge * jnp.exp(longer)


def _sardanas_example() -> list[Quantity]:
    """Return parameters, tokens and FLOP over Chinchilla's, beside those that they print."""
    law, served = _published(_A3), log(2e12)
    loss = chinchilla_loss(law, log(70e9), log(1e12))
    run = economics.serving_optimum_at_loss(law, loss, served)
    plain = economics.serving_optimum_at_loss(law, loss, -inf)
    found = (
        ("parameters", run.log_parameters - plain.log_parameters, 0.7096),
        ("training tokens", run.log_tokens - plain.log_tokens, 1.4677),
        (
            "lifetime FLOP",
            economics.log_lifetime_flop(run, served) - economics.log_lifetime_flop(plain, served),
            0.9522,
        ),
    )
    return [
        Quantity(
            f"{name}, example of Sardana et al.",
            float(jnp.exp(ratio)),
            "factor",
            published=value,
            source=_SARDANA,
        )
        for name, ratio, value in found
    ]


# --- Q3.5 -----------------------------------------------------------------------------------------

FAR = 2.0  # times the compute-optimal parameters
_DOLLARS_PER_TOKEN = (0.0, 1e-4, 1e-2, 1.0)
_TRAINING_FLOP, _NEW_FLOP, _SERVED = 1e24, 1e21, 1e13


def learning_on_the_job(constants: Draws) -> Answer:
    """Price the new data that a deployed model needs, and find the N of least total cost.

    Minimises 6 N D + 2 N D_inf + price x D_new at the loss of a compute-optimal run of 1e24 FLOP,
    with 1e13 tokens served; D_new is what N parameters need to reach, on new data and by the same
    law, the loss of a compute-optimal run of 1e21 FLOP. Over the posterior of Chinchilla's law.
    Prices in dollars become FLOP of training at the H100 price and utilisation of Sardana et al.
    (2023). The side depends on the price: above ``price threshold`` the best N exceeds the
    compute-optimal one. ``tokens saved at most`` is D_new of the compute-optimal model over that
    of an infinite one: the benefit is bounded, the budget for training is not looked at.
    """
    law = training_law(constants)
    plain = chinchilla_optimum(law, log(_TRAINING_FLOP))
    new_loss = chinchilla_optimum(law, log(_NEW_FLOP)).loss
    needed = chinchilla_log_tokens(law, new_loss, plain.log_parameters)
    fewest = chinchilla_log_tokens(law, new_loss, jnp.inf)
    flop_per_dollar = _flop_per_dollar()

    prices = np.array([*_DOLLARS_PER_TOKEN, *np.geomspace(1e-6, 1, 25)])
    with np.errstate(divide="ignore"):  # a price of nothing
        log_price = np.log(prices * flop_per_dollar)[:, None]
    learning = priced_data.Learning(law, new_loss, log_price)
    best_size = jax.jit(priced_data.log_parameters_of_learner)
    size = best_size(law, plain.loss, log(_SERVED), learning)
    curve = np.exp(size - plain.log_parameters)
    threshold = jax.jit(priced_data.log_price_threshold)(
        law, plain.loss, log(_SERVED), law, new_loss
    )
    ratios = dict(zip(_DOLLARS_PER_TOKEN, curve[: len(_DOLLARS_PER_TOKEN)], strict=True))
    far = f"the best N is at least {FAR:g} times compute-optimal"
    cases = {f"${d:g} a token": by_probability(r >= FAR, far) for d, r in ratios.items()}
    results = (
        of_draws("price threshold", np.exp(threshold), "FLOP/token"),
        of_draws("price threshold in dollars", np.exp(threshold) / flop_per_dollar, "$/token"),
        *(of_draws(f"N / compute-optimal N at ${d:g} a token", r) for d, r in ratios.items()),
        of_draws("tokens saved at most", np.exp(needed - fewest), "factor"),
    )
    inputs = (
        Quantity("training budget that sets the loss", _TRAINING_FLOP, "FLOP"),
        Quantity("budget that sets the loss on new data", _NEW_FLOP, "FLOP"),
        Quantity("tokens served", _SERVED, "token"),
        Quantity("FLOP per dollar", flop_per_dollar, "FLOP/$", source=_SARDANA),
    )
    drawn = slice(len(_DOLLARS_PER_TOKEN), None)

    def draw(axes: Axes) -> None:
        drawing.band(axes, prices[drawn], curve[drawn], "best N / compute-optimal N")
        axes.axhline(1, color=drawing.GREY, linewidth=0.8)
        middle = float(np.median(np.exp(threshold))) / flop_per_dollar
        drawing.mark(axes, middle, f"threshold: ${middle:.2g} a token")
        axes.set(xscale="log", yscale="log", xlabel="Price of a token of new data [$]")
        axes.set_ylabel("Parameters / compute-optimal parameters")

    return Answer(inputs, results, "in each case " + probability_rule(far), by_cases(cases), draw)


def _flop_per_dollar() -> float:
    hardware = published_exchange()["hardware"]
    card = hardware["cards"]["h100"]
    return card["bf16"] * hardware["utilisation"]["training"] * 3600 / card["dollars_per_hour"]


# --- Q3.6 -----------------------------------------------------------------------------------------

RATIO = 20.0  # tokens per parameter of Chinchilla
_LEAST_SERVED, _MOST_SERVED = 1e12, 1e14


def size_of_gpt_4(constants: Draws) -> Answer:
    """Find parameters and tokens of a run of GPT-4's compute, with and without serving.

    Training compute, parameters (of all experts) and tokens are those of the table
    notable_models, as reported and not confirmed. A dense run of that compute has N and D of the
    posterior of Chinchilla's law, either compute-optimal or of least lifetime cost for its own
    loss, with the tokens served log-uniform between 1e12 and 1e14 (an assumption). As reported,
    tokens per parameter are more than 20 by the parameters that are active for a token, C / 6 D,
    and fewer by all of them.
    """
    law = training_law(constants)
    models = load_frame("notable_models")
    columns = ["training_compute_flop", "parameters", "training_datapoints", "epochs"]
    row = models.loc[models["name"] == "GPT-4 (Mar 2023)", columns].to_numpy(float)[0]
    flop, parameters, tokens = (float(each) for each in (row[0], row[1], row[2] * row[3]))
    active = flop / 6 / tokens
    count = np.size(law.data_exponent)
    chance = np.random.default_rng(36).permutation((np.arange(count) + 0.5) / count)
    served = log(_LEAST_SERVED) + chance * log(_MOST_SERVED / _LEAST_SERVED)
    runs = {
        "compute-optimal": chinchilla_optimum(law, log(flop)),
        "trained to be served": economics.serving_optimum_at_training_flop(law, log(flop), served),
    }
    ratios = {name: np.exp(run.log_tokens - run.log_parameters) for name, run in runs.items()}
    more = f"D / N > {RATIO:g}"
    cases = {name: by_probability(ratio > RATIO, more) for name, ratio in ratios.items()} | {
        "as reported, active parameters": by_threshold(tokens / active, RATIO, "D / N"),
        "as reported, all parameters": by_threshold(tokens / parameters, RATIO, "D / N"),
    }
    results = [
        quantity
        for name, run in runs.items()
        for quantity in (
            of_draws(f"parameters, {name}", np.exp(run.log_parameters), "parameter"),
            of_draws(f"tokens, {name}", np.exp(run.log_tokens), "token"),
            of_draws(f"tokens per parameter, {name}", ratios[name], "token/parameter"),
        )
    ]
    results.append(Quantity("active parameters as reported, C / 6 D", active, "parameter"))

    def draw(axes: Axes) -> None:
        bins = np.geomspace(5, 500, 80)
        for i, (name, ratio) in enumerate(ratios.items()):
            drawing.density(axes, np.log10(ratio), name, 2 * i, np.log10(bins))
        drawing.mark(axes, log(RATIO, 10), f"{RATIO:g} tokens per parameter")
        axes.set(xlabel="log10 of tokens per parameter", ylabel="Density")

    inputs = (
        Quantity("training compute", flop, "FLOP", source="table notable_models"),
        Quantity("parameters as reported", parameters, "parameter", source="table notable_models"),
        Quantity("tokens as reported", tokens, "token", source="table notable_models"),
        Quantity("tokens served, least", _LEAST_SERVED, "token", source="assumption"),
        Quantity("tokens served, most", _MOST_SERVED, "token", source="assumption"),
    )
    rule = f"{probability_rule(more)}; as reported, side A if {more}"
    return Answer(inputs, tuple(results), rule, by_cases(cases), draw)


# --- Q3.7 -----------------------------------------------------------------------------------------

_REVISED_BY = ("hoffmann-2022", "hoffmann-2022-unrounded", "besiroglu-2024", "sardana-2023-all")


def revised_median(constants: Draws, arrival: Draws) -> Answer:
    """Shift the requirement of the forecast `baseline` by what training for inference costs.

    The same loss takes more training compute (Q3.1), under each of some laws by
    log10(training factor) OOM at a ratio of tokens served to compute-optimal training tokens; the
    median arrival year is read off the forecast with the requirement shifted by as much. The
    posterior of Chinchilla's law gives the shift by its median. Upper bounds: recent runs, which
    the trend of compute is fitted to, are trained for inference already. The side depends on the
    ratio: side A where a law moves the median by a year or more.
    """
    found = {"the posterior": training_law(constants)} | {n: _published(n) for n in _REVISED_BY}
    base = float(np.interp(0, arrival["shift_oom"], arrival["year_q50"]))
    shifts = {
        (name, ratio): float(np.median(factor)) / log(10)
        for name, law in found.items()
        for ratio, factor in zip(
            SERVED_PER_TRAINED, _log_training_factors(law, SERVED_PER_TRAINED), strict=True
        )
    }
    revised = {
        key: float(np.interp(shift, arrival["shift_oom"], arrival["year_q50"])) - base
        for key, shift in shifts.items()
    }
    largest = {
        ratio: max(abs(revised[name, ratio]) for name in found) for ratio in SERVED_PER_TRAINED
    }
    cases = {
        f"D_inf / D = {ratio:g}": by_threshold(years, YEAR, "largest revision [yr]")
        for ratio, years in largest.items()
    }
    spread = np.interp(0, arrival["shift_oom"], arrival["year_q75"] - arrival["year_q25"])
    results = (
        *(
            Quantity(f"revision by {name} at D_inf / D = {ratio:g}", years, "yr")
            for (name, ratio), years in revised.items()
        ),
        Quantity("median year without inference", base, "year"),
        Quantity("width of the central half of the forecast", float(spread), "yr"),
    )

    def draw(axes: Axes) -> None:
        for i, name in enumerate(found):
            colour, line = drawing.STYLES[i]
            years = [revised[name, ratio] for ratio in SERVED_PER_TRAINED]
            axes.plot(
                SERVED_PER_TRAINED, years, linestyle=line, color=colour, marker="o", label=name
            )
        axes.axhline(YEAR, color=drawing.GREY, linewidth=0.8)
        axes.set(xscale="log", xlabel="Tokens served per token of compute-optimal training")
        axes.set_ylabel("Revision of the median year [yr]")

    inputs = (Quantity("a revision that matters", YEAR, "yr"),)
    rule = "in each case side A if a law moves the median by a year or more, else side B"
    return Answer(inputs, results, rule, by_cases(cases), draw)


COMPUTATIONS = {
    "Q3.1": Computation(training_for_inference, (evidence.chinchilla, evidence.training_compute)),
    **compressing.COMPUTATIONS,
    "Q3.5": Computation(learning_on_the_job, (evidence.chinchilla,)),
    "Q3.6": Computation(size_of_gpt_4, (evidence.chinchilla,)),
    "Q3.7": Computation(revised_median, (evidence.chinchilla, evidence.arrival_years)),
}
