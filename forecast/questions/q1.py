"""Q1: what pre-training saves in data and compute, and when data become what limits training."""

from collections.abc import Callable, Mapping
from math import log

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from ...kernels.kaplan import log_minimum_tokens
from ...kernels.scaling_laws import (
    Chinchilla,
    chinchilla_log_tokens,
    chinchilla_optimum,
)
from ...kernels.transfer import log_tuning_flop
from .. import fine_tuning, law_families, laws
from ..law_frames import training_law
from . import drawing, evidence, scenarios, transferred
from .answer import (
    SURE,
    Answer,
    Computation,
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
Draw = Callable[[Axes], None]

_LN_10 = log(10)
THOUSAND = 1000.0
TRANSFER_LAWS = ("hernandez-2021-text", "hernandez-2021-mixed")
SIZES = (1e9, 1e10, 1e11, 1e12)
CHARACTERS_PER_TOKEN = 4.0


# --- Q1.1 -----------------------------------------------------------------------------------------


def a_thousandth_of_the_data() -> Answer:
    """Map the data multiplier of pre-training over model size and data of the task.

    (D_F + D_T) / D_F with D_T = k D_F^alpha N^beta (Hernandez et al. 2021, characters), by the
    constants for pre-training on text and on text and code, which were published without errors.
    A case holds the multiplier of both laws against 1000, at the size of 1e11 parameters; the
    contours give the data up to which the multiplier is at least 10, 100 and 1000.
    """
    data = (3e5, 3e6, 3e7, 3e8, 3e9)
    maps = {
        name: fine_tuning.fine_tuning_map(name, parameters=1e11, characters=data)
        for name in TRANSFER_LAWS
    }
    contours = {
        name: fine_tuning.fine_tuning_contours(name, parameters=SIZES) for name in TRANSFER_LAWS
    }
    columns = ["data_multiplier", "parameters", "characters_at_most"]
    figure = fine_tuning.fine_tuning_map(TRANSFER_LAWS[1], parameters=4e7, characters=3e5)
    results = (
        *(
            Quantity(f"data up to which x{times:g} at {size:.0e}, {name}", float(most), "character")
            for name, contour in contours.items()
            for times, size, most in contour[columns].to_numpy()
        ),
        Quantity(
            "multiplier at 4e7 parameters, 3e5 characters, mixed",
            float(figure["data_multiplier"].iloc[0]),
            "factor",
            published=1000.0,
            source="Hernandez et al. 2021, read off a figure: about 1000",
        ),
    )
    cases = {
        f"{characters:.0e} characters": _agreed(
            [float(each["data_multiplier"].iloc[i]) for each in maps.values()], THOUSAND
        )
        for i, characters in enumerate(data)
    }
    rule = "side A where the multiplier is at least 1000 by both laws, side B where by neither"
    inputs = (Quantity("parameters", 1e11), *(Quantity(f"D_F {i}", d) for i, d in enumerate(data)))
    return Answer(inputs, results, rule, by_cases(cases), _drawn_multiplier())


def _agreed(multipliers: list[float], threshold: float) -> Verdict:
    """Return the side of both numbers; that it depends, if they differ."""
    named = zip(("text", "mixed"), multipliers, strict=True)
    return by_cases({n: by_threshold(m, threshold, "data multiplier") for n, m in named})


def _drawn_multiplier() -> Draw:
    data = np.geomspace(1e4, 1e11, 60)
    frame = fine_tuning.fine_tuning_map(TRANSFER_LAWS[0], parameters=SIZES, characters=data)

    def draw(axes: Axes) -> None:
        styles = zip(frame.groupby("parameters"), drawing.STYLES, strict=False)
        for (size, part), (colour, line) in styles:
            columns = part["characters"], part["data_multiplier"]
            axes.plot(*columns, color=colour, linestyle=line, label=f"{size:.0e} parameters")
        axes.axhline(THOUSAND, color=drawing.GREY, linewidth=0.8)
        axes.set(xscale="log", yscale="log", xlabel="Data of the task [character]")
        axes.set_ylabel("Data multiplier, pre-training on text")

    return draw


# --- Q1.2 and Q1.3 --------------------------------------------------------------------------------


def a_thousandth_of_the_compute() -> Answer:
    """Charge a task with its share of pre-training, by the number of tasks.

    1e9 parameters tuned in full on 3e5 characters, which are worth over 1000 times as many by the
    law of Hernandez et al. (2021) from text; a token is 4 characters. Marginal: FLOP of tuning over
    those of training from nothing on the data that it is worth. With pre-training (compute-optimal
    by besiroglu-2024: D for that N) the cost of a task is C_pre / K + C_tune; K* tasks make it as
    dear as training each from nothing.
    """
    size, characters = 1e9, 3e5
    law = law_families.chinchilla(laws.law("besiroglu-2024").constants)
    tokens = _optimal_tokens(law, size)
    tasks = np.geomspace(1, 1e6, 25)
    found = fine_tuning.fine_tuning_cost(
        parameters=size,
        characters=characters,
        pretraining_tokens=tokens,
        characters_per_token=CHARACTERS_PER_TOKEN,
        tasks=tasks,
    )
    first = found.iloc[0]
    marginal = first["tuning_flop"] / first["scratch_flop"]
    ratio = found["scratch_flop"].to_numpy() / found["flop_per_task"].to_numpy()
    results = (
        Quantity("tuning / training from nothing, marginal", marginal, "part"),
        Quantity("pre-training", first["pretraining_flop"], "FLOP"),
        Quantity("training from nothing, a task", first["scratch_flop"], "FLOP"),
        Quantity("training / (tuning + pre-training), one task", ratio[0], "factor"),
        Quantity("tasks to break even, K*", first["tasks_to_break_even"], "task"),
    )
    saved = "training from nothing / what a task costs"
    cases = {
        "marginal": by_threshold(1 / marginal, THOUSAND / 2, saved),
        "one task, pre-training charged": by_threshold(float(ratio[0]), 1.0, saved),
        "1e6 tasks, pre-training charged": by_threshold(float(ratio[-1]), 1.0, saved),
    }
    rule = (
        "side A marginally if tuning costs about a thousandth (below two), and with pre-training "
        "if a task costs less than from nothing; else side B"
    )

    def draw(axes: Axes) -> None:
        cost = found["flop_per_task"], found["scratch_flop"], found["tuning_flop"]
        labels = "tuning and its share of pre-training", "from nothing", "tuning alone"
        for each, label, (colour, line) in zip(cost, labels, drawing.STYLES, strict=False):
            axes.plot(tasks, each, color=colour, linestyle=line, label=label)
        axes.set(xscale="log", yscale="log", xlabel="Tasks that share the pre-training")
        axes.set_ylabel("FLOP for a task")

    inputs = (
        Quantity("parameters", size),
        Quantity("data of the task", characters, "character"),
        Quantity("tokens of pre-training", tokens, "token"),
        Quantity("characters a token", CHARACTERS_PER_TOKEN),
    )
    return Answer(inputs, results, rule, by_cases(cases), draw)


def _optimal_tokens(law: Chinchilla, size: float) -> float:
    """Return D for which N is compute-optimal: alpha A / N^alpha = beta B / D^beta."""
    alpha, beta = law.parameter_exponent, law.data_exponent
    by_size = jnp.log(alpha / beta) + law.log_parameter_constant - alpha * log(size)
    return float(jnp.exp((law.log_data_constant - by_size) / beta))


def tuning_a_part() -> Answer:
    """Compare the compute of tuning a part q of the weights with a part q of the compute.

    (4 + 2 q) N FLOP a token: forward pass and gradients of activations are 4 N whatever is tuned,
    only gradients of weights are saved. In proportion would be 6 q N.
    """
    shares = (0.5, 0.1, 0.01, 0.001)
    cost = {q: float(jnp.exp(log_tuning_flop(0.0, 0.0, q))) / 6 for q in (*shares, 0.0)}
    results = (
        *(Quantity(f"compute of tuning {q:g} of the weights", cost[q], "part") for q in shares),
        Quantity("most that can be saved", 1 - cost[0.0], "part"),
    )
    cases = {
        f"{q:g} of the weights": by_threshold(cost[q] / q, 1.1, "compute / in proportion")
        for q in shares
    }
    rule = "side A where compute is over 1.1 times a part q of it, else side B"
    part = np.geomspace(1e-4, 1, 50)

    def draw(axes: Axes) -> None:
        axes.plot(part, (4 + 2 * part) / 6, color=drawing.BLUE, label="(4 + 2 q) N a token")
        colour, line = drawing.STYLES[1]
        axes.plot(part, part, color=colour, linestyle=line, label="in proportion")
        axes.set(xscale="log", yscale="log", xlabel="Part of the weights that is tuned, q")
        axes.set_ylabel("Compute / that of tuning all")

    inputs = tuple(Quantity(f"q {i + 1}", q, "part") for i, q in enumerate(shares))
    return Answer(inputs, results, rule, by_cases(cases), draw)


# --- Q1.4 -----------------------------------------------------------------------------------------

COTRA_EXPONENT = (0.8, 0.2)  # mean, standard deviation; re-implementations of Cotra (2020)


def steps_of_smaller_models(constants: Draws) -> Answer:
    """Read off each law how training tokens go with parameters: D as a power of N.

    Kaplan et al. (2020): 0.27 / 0.73 along compute-efficient training, 0.74 to avoid overfitting;
    Cotra (2020): 0.8 +- 0.2; Chinchilla's law: alpha / beta along its optimum, from the posterior.
    The ratio is how many times fewer tokens a model with a thousandth of the parameters needs; with
    Kaplan's steps, the power 0.03 of compute. The rule asks whether the exponent is below 1/2, for
    the laws that no other supersedes.
    """
    law = training_law(constants)
    kaplan = laws.law("kaplan-2020")
    names = ("tokens_by_flop", "parameters_by_flop", "steps_by_flop", "tokens_without_overfitting")
    powers = {name: kaplan.constants[name]["exponent"] for name in names}
    normal = np.random.default_rng(0).normal(*COTRA_EXPONENT, np.size(law.data_exponent))
    exponents = {
        "Kaplan et al., compute-efficient": powers["tokens_by_flop"] / powers["parameters_by_flop"],
        "Kaplan et al., no overfitting": powers["tokens_without_overfitting"],
        "Cotra": normal,
        "Chinchilla's law, posterior": law.parameter_exponent / law.data_exponent,
    }
    steps = THOUSAND ** (powers["steps_by_flop"] / powers["parameters_by_flop"])
    results = (
        *(of_draws(f"exponent, {name}", value) for name, value in exponents.items()),
        *(
            of_draws(f"tokens for 1000 times the parameters, {name}", THOUSAND**value, "factor")
            for name, value in exponents.items()
        ),
        Quantity("steps for 1000 times the parameters, Kaplan et al.", steps, "factor"),
    )
    what = "tokens go as a power below 1/2 of parameters"
    judged = {name: by_probability(np.asarray(e) < 0.5, what) for name, e in exponents.items()}
    gone = {name for name in judged if name.startswith("Kaplan") and kaplan.superseded_by}
    cases = {name: verdict for name, verdict in judged.items() if name not in gone}
    rule = f"{probability_rule(what)}; laws that another supersedes have no vote"

    def draw(axes: Axes) -> None:
        drawing.density(axes, exponents["Chinchilla's law, posterior"], "Chinchilla's law")
        drawing.density(axes, normal, "Cotra", 2)
        for i, name in enumerate(sorted(judged)[2:]):
            drawing.mark(axes, float(np.mean(exponents[name])), name, 1 + 2 * i)
        axes.set(xlabel="Exponent of tokens in parameters", ylabel="Density")

    inputs = (
        Quantity("Cotra's exponent, mean", COTRA_EXPONENT[0], source="re-implementations"),
        Quantity("Cotra's exponent, standard deviation", COTRA_EXPONENT[1]),
    )
    return Answer(inputs, results, rule, by_cases(cases), draw)


# --- Q1.5 -----------------------------------------------------------------------------------------


def transition_to_data(crossing: Draws, constants: Draws) -> Answer:
    """Compute where Kaplan's laws contradict each other, C*, and when the frontier passed it.

    L(C_min) meets L(D(C_min)) at C*, over the readings of the paper and the spread of its exponents
    (see `transition`); the fitted frontier of training compute then gives the date. Whether there
    is a transition is asked of Chinchilla's law: at its optimum tokens grow as the power
    alpha / beta of parameters from the start. After Kaplan's C*, "almost as fast as parameters" is
    at least the power 0.74 by their own rule against overfitting.
    """
    law = training_law(constants)
    passed = crossing["crossing_year"] <= crossing["as_of_year"]
    growth = law.parameter_exponent / law.data_exponent
    least = laws.law("kaplan-2020").constants["tokens_without_overfitting"]["exponent"]
    printed = "Kaplan et al. 2020, section 6.3: 1e4 petaFLOP/s-days, to an order of magnitude"
    constants_of = laws.law("kaplan-2020").constants
    readings = {
        reading: float(law_families.kaplan_intersection(constants_of, tokens=name).log_flop)
        for reading, name in (("table 6", "tokens_by_flop"), ("eq. 6.7", "tokens_by_flop_eq_6_7"))
    }
    results = (
        *(Quantity(f"C* with D of {r}", x / _LN_10, "log10 FLOP") for r, x in readings.items()),
        of_draws(
            "C*", crossing["log10_flop"], "log10 FLOP", published=np.log10(8.64e23), source=printed
        ),
        of_draws("the frontier reaches C* in", crossing["crossing_year"], "year"),
        probability("P(the frontier is past C*)", passed),
        of_draws("exponent of tokens in parameters, Chinchilla's law", growth),
    )
    event, artefact = "the frontier is past C*", "tokens grow more slowly than N^0.74 by the law"
    cases = {
        "by Kaplan's laws, the frontier is past C*": by_probability(passed, event),
        "by Chinchilla's law, data were once slower": by_probability(growth < least, artefact),
    }
    rule = f"{probability_rule(event)}; for Chinchilla's law, {probability_rule(artefact)}"

    def draw(axes: Axes) -> None:
        last = float(crossing["as_of_year"][0])
        bins = np.arange(np.floor(crossing["crossing_year"].min()), last + 0.25, 0.25)
        drawing.density(axes, crossing["crossing_year"][passed], "crossing", 0, bins)
        label = f"not by {last:.1f}: {np.mean(~passed):.0%}"
        drawing.mark(axes, last, label, 1)
        axes.set(xlabel="Year in which the frontier reaches C*", ylabel="Density")

    inputs = (Quantity("power of N without overfitting", least, source="Kaplan et al. 2020"),)
    return Answer(inputs, results, rule, by_cases(cases), draw)


# --- Q1.6 -----------------------------------------------------------------------------------------


def bigger_learn_from_less(constants: Draws) -> Answer:
    """Compute the tokens that reach a loss, by the number of parameters.

    Kaplan et al. (2020): E_min = S_min B_crit of L(N, S) for losses of 3.0 and 2.6. Chinchilla's
    law: D = (B / (L - E - A / N^alpha))^(1 / beta) at the loss of a compute-optimal run, where
    infinitely many parameters save the factor (1 + beta / alpha)^(1 / beta) and no more. Side A
    asks for a factor of 2 by ten times the parameters, then for 10 by any number of them.
    """
    tables = {loss: _kaplan_tokens(loss) for loss in (3.0, 2.6)}
    law = training_law(constants)
    best = chinchilla_optimum(law, 26 * _LN_10)
    saved = {
        times: np.exp(best.log_tokens - chinchilla_log_tokens(law, best.loss, larger))
        for times, larger in (("10", best.log_parameters + _LN_10), ("infinitely many", jnp.inf))
    }
    to_date = tables[3.0][1e8] / tables[3.0][1e12]
    results = (
        *(
            Quantity(f"tokens for a loss of {loss:g} with {size:.0e} parameters", tokens, "token")
            for loss, table in tables.items()
            for size, tokens in table.items()
        ),
        Quantity("saved from 1e8 to 1e12 parameters, loss 3", to_date, "factor"),
        *(of_draws(f"saved by {t} times the optimal size", s, "factor") for t, s in saved.items()),
    )
    what = "the factor is at least {}"
    cases = {
        "so far, Kaplan et al.": by_threshold(to_date, 2.0, "factor of 1e4 times the parameters"),
        "10 times the optimal size": by_probability(saved["10"] >= 2, what.format(2)),
        "any size": by_probability(saved["infinitely many"] >= 10, what.format(10)),
    }
    rule = f"side A if the saving is a factor of 2 (10 for any size) with P of at least {SURE:g}"
    times = np.geomspace(1, 1e4, 40)
    size = np.log(times)[:, None] + np.asarray(best.log_parameters)
    curve = np.asarray(jnp.exp(best.log_tokens - chinchilla_log_tokens(law, best.loss, size)))

    def draw(axes: Axes) -> None:
        drawing.band(axes, times, curve, "Chinchilla's law, loss of the optimal run")
        bound = float(np.median(saved["infinitely many"]))
        axes.axhline(bound, color=drawing.GREY, linewidth=0.8, label="infinitely many")
        axes.set(xscale="log", xlabel="Parameters / compute-optimal ones")
        axes.set_ylabel("Tokens saved, factor")

    inputs = (Quantity("budget of the optimal run", 1e26, "FLOP"),)
    return Answer(inputs, results, rule, by_cases(cases), draw)


def _kaplan_tokens(loss: float) -> dict[float, float]:
    constants = laws.law("kaplan-2020").constants
    steps = law_families.kaplan_steps(constants["loss_by_parameters_and_steps"])
    batch = law_families.kaplan_critical_batch(constants["critical_batch"])
    sizes = (1e8, 1e9, 1e10, 1e11, 1e12)
    return {n: float(jnp.exp(log_minimum_tokens(steps, batch, loss, log(n)))) for n in sizes}


COMPUTATIONS = {
    "Q1.1": Computation(a_thousandth_of_the_data),
    "Q1.2": Computation(a_thousandth_of_the_compute),
    "Q1.3": Computation(tuning_a_part),
    "Q1.4": Computation(steps_of_smaller_models, (evidence.chinchilla,)),
    "Q1.5": Computation(transition_to_data, (scenarios.kaplan_transition, evidence.chinchilla)),
    "Q1.6": Computation(bigger_learn_from_less, (evidence.chinchilla,)),
    "Q1.7": Computation(transferred.surviving_claim),
    "Q1.8": Computation(transferred.fine_tuned_anchors),
}
