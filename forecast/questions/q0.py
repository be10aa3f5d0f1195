"""Q0: does training stop to pay, and what do taxes on training and on use cost a developer."""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from math import log

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from ...kernels.board_games import elo, log_flop_at_elo, log_takeoff_flop
from ...kernels.scaling_laws import (
    LOG_FLOP_PER_PARAMETER_TOKEN,
    Chinchilla,
    chinchilla_frontier,
    chinchilla_log_flop,
    chinchilla_loss,
    chinchilla_optimum,
)
from .. import law_families
from ..history.board_games import CONSTANTS
from ..law_frames import training_law
from . import drawing, evidence, hex_games, scenarios, taxed
from .answer import (
    Answer,
    Computation,
    Quantity,
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
SEED_NOISE_NAT = 0.02  # Kaplan et al. (2020): spread of the loss between random seeds
_SEEDS = "Kaplan et al. 2020: loss between random seeds"
MODEL_PARAMETERS = 7e9
_JONES = "Jones 2021, arXiv 2104.03113"
_CURVES = {
    "one network": "network",
    "the best of all, far from perfect play": "early",
    "the best of all, near perfect play": "best",
}


def _largest_run(compute: Draws) -> np.ndarray:
    """Return ln of the training compute of the largest run now, (draw,)."""
    return np.asarray(compute["log10_level"]) * _LN_10


def _loss_gained(law: Chinchilla, log_flop: np.ndarray) -> np.ndarray:
    """Return what ten times the compute takes off the compute-optimal loss [nat/token]."""
    before, after = (chinchilla_optimum(law, log_flop + more).loss for more in (0, _LN_10))
    return np.asarray(before - after)


# --- Q0.1 -----------------------------------------------------------------------------------------


def more_training_helps(hex_: Draws, constants: Draws, compute: Draws) -> Answer:
    """Ask of several curves whether ten times more compute still gains more than noise.

    Hex on boards of side 9 (Jones 2021): pure power, saturating, logistic, broken and change-point
    curves are fitted to a run and stacked by leave-one-out, for nine networks between small and
    large, and for the best of all networks, up to 1e15 FLOP and up to the end, with perfect play as
    the limit; noise is the scatter about the curve. Language: the fall of the compute-optimal loss
    beyond the largest run now, by the posteriors of Chinchilla's law and of training compute,
    against the spread between random seeds that Kaplan et al. (2020) give.
    """
    gained = _loss_gained(training_law(constants), _largest_run(compute))
    helps = {name: hex_[f"{c}_gain_10x"] >= hex_[f"{c}_noise"] for name, c in _CURVES.items()}
    helps = {f"Hex, {name}": found for name, found in helps.items()}
    helps["loss of the largest run now"] = gained >= SEED_NOISE_NAT
    what = "ten times the compute gains more than noise"
    results = (
        *(
            of_draws(f"gain of ten times the compute, {name}", hex_[f"{c}_gain_10x"], "Elo")
            for name, c in _CURVES.items()
        ),
        of_draws("fall of loss by ten times the compute", gained, "nat/token"),
        *(probability(f"P(plateau), {name}", ~found) for name, found in helps.items()),
    )
    cases = {name: by_probability(found, what) for name, found in helps.items()}
    inputs = (
        Quantity("noise of the loss", SEED_NOISE_NAT, "nat/token", source=_SEEDS),
        of_draws("largest run now", compute["log10_level"], "log10 FLOP"),
        *(
            of_draws(f"noise of Hex, {name}", hex_[f"{c}_noise"], "Elo")
            for name, c in _CURVES.items()
        ),
    )

    def draw(axes: Axes) -> None:
        for i, (name, c) in enumerate(_CURVES.items()):
            ratio = hex_[f"{c}_gain_10x"] / hex_[f"{c}_noise"]
            drawing.density(axes, np.clip(ratio, 0, 30), f"Hex, {name}", i, np.linspace(0, 30, 61))
        loss = gained / SEED_NOISE_NAT
        drawing.density(axes, loss, "loss of the largest run now", 3, np.linspace(0, 30, 61))
        drawing.mark(axes, 1, "as much as noise")
        axes.set(xlabel="Gain of ten times the compute / noise", ylabel="Density", yscale="log")

    return Answer(inputs, results, probability_rule(what), by_cases(cases), draw)


# --- Q0.2 -----------------------------------------------------------------------------------------


def flatlines(hex_: Draws) -> Answer:
    """Compare single networks with the best of all by Jones's law of Hex (2021), boards of side 9.

    A network has flattened if ten times more compute gains less than noise, by curves stacked as in
    Q0.1; "most" is more than half of the networks. The best of all networks at each compute follow
    Elo = min(0, max(incline, plateau)), fitted with Student-t residuals: its slope, where it leaves
    random play and where it reaches perfect play and flattens for good.
    """
    law = _board_game(hex_)
    starts, ends = (
        np.asarray(at) / _LN_10
        for at in (
            log_takeoff_flop(law, hex_games.BOARD_SIZE),
            log_flop_at_elo(law, 0.0, hex_games.BOARD_SIZE),
        )
    )
    slope = np.asarray(hex_["incline_by_log10_flop"])
    flat = hex_["network_gain_10x"] < hex_["network_noise"]
    steep = slope > hex_["early_noise"]
    share = float(np.mean(flat))
    results = (
        Quantity("share of networks that have flattened", share, "part"),
        of_draws("gain of a network from ten times", hex_["network_gain_10x"], "Elo"),
        of_draws("gain of the best from ten times", slope, "Elo", published=510.0, source=_JONES),
        of_draws("the best leave random play at", starts, "log10 FLOP"),
        of_draws("the best flatten, at perfect play", ends, "log10 FLOP"),
        of_draws(
            "compute of perfect play by a size more",
            10 ** (-hex_["incline_by_size"] / slope),
            "factor",
            published=7.0,
            source=_JONES,
        ),
    )
    what = "the best of all networks gain less than noise on the incline"
    cases = {
        "one network": by_threshold(share, 0.5, "share of networks that have flattened"),
        "the best of all networks": by_probability(~steep, what),
    }
    rule = f"one network: side A if most have flattened; the best: {probability_rule(what)}"
    inputs = (
        Quantity("side of the board", hex_games.BOARD_SIZE),
        of_draws("noise of a network", hex_["network_noise"], "Elo"),
    )
    return Answer(inputs, results, rule, by_cases(cases), _drawn_games(hex_))


def _board_game(hex_: Draws) -> law_families.BoardGame:
    return law_families.board_game({name: np.asarray(hex_[name]) for name in CONSTANTS})


def _drawn_games(hex_: Draws) -> Draw:
    flop = np.geomspace(1e12, 1e18, 121)
    law = elo(_board_game(hex_), jnp.log(flop)[:, None], hex_games.BOARD_SIZE)

    def draw(axes: Axes) -> None:
        label: str | None = "single networks"
        for _, run in hex_games.networks().groupby("curve_id"):
            columns = run["training_compute_flop"], run["elo_vs_perfect_play"]
            axes.plot(*columns, color=drawing.GREY, alpha=0.5, linewidth=0.8, label=label)
            label = None
        drawing.band(axes, flop, np.asarray(law), "law of the best of all")
        axes.set(xscale="log", xlabel="Training compute [FLOP]", ylabel="Elo against perfect play")

    return draw


# --- Q0.3 -----------------------------------------------------------------------------------------


def classes_do_not_flatten(constants: Draws, compute: Draws) -> Answer:
    """Compare a model of fixed size with the compute-optimal ones, by Chinchilla's law.

    With 7e9 parameters the loss falls to E + A / N^alpha and no further; the compute-optimal loss
    falls as a power of C, to E. The model has flattened where ten times more tokens gain less than
    the spread between seeds (0.02 nats, Kaplan et al. 2020): B / D^beta (1 - 10^-beta) = 0.02. The
    rule asks whether the class still gains more there; and whether it does at the largest run now.
    Crossover: the compute at which an optimal run beats any training of the fixed model. What the
    fixed size costs at 100 times that compute is split into the loss of parameters, which is more
    than all of it, and that of tokens, of which the fixed model has too many.
    """
    law, size = training_law(constants), log(MODEL_PARAMETERS)
    by_size = np.exp(law.log_parameter_constant - law.parameter_exponent * size)
    floor = law.irreducible_loss + by_size
    crossover = np.asarray(chinchilla_log_flop(law, floor))
    left = law.log_data_constant + np.log(-np.expm1(-np.asarray(law.data_exponent) * _LN_10))
    flat_tokens = (left - log(SEED_NOISE_NAT)) / law.data_exponent
    flat = np.asarray(LOG_FLOP_PER_PARAMETER_TOKEN + size + flat_tokens)
    late = crossover + 2 * _LN_10
    best = chinchilla_optimum(law, late)
    fixed = chinchilla_loss(law, size, late - LOG_FLOP_PER_PARAMETER_TOKEN - size)
    best_by_size = jnp.exp(law.log_parameter_constant - law.parameter_exponent * best[0])
    of_size = np.asarray((by_size - best_by_size) / (fixed - best.loss))
    now = _largest_run(compute)
    places = {"where the model has flattened": flat, "at the largest run now": now}
    gains = {name: _loss_gained(law, at) for name, at in places.items()}
    what = "ten times the compute gains the class more than seeds differ"
    results = (
        of_draws("floor of the model", floor, "nat/token"),
        of_draws("the model has flattened from", flat / _LN_10, "log10 FLOP"),
        of_draws("crossover", crossover / _LN_10, "log10 FLOP"),
        of_draws("part of the gap that is parameters", of_size, "part"),
        *(of_draws(f"gain of the class, {name}", g, "nat/token") for name, g in gains.items()),
    )
    cases = {name: by_probability(g >= SEED_NOISE_NAT, what) for name, g in gains.items()}
    inputs = (
        Quantity("parameters of the model", MODEL_PARAMETERS),
        Quantity("noise of the loss", SEED_NOISE_NAT, "nat/token", source=_SEEDS),
        of_draws("largest run now", compute["log10_level"], "log10 FLOP"),
    )
    rule = probability_rule(what)
    return Answer(inputs, results, rule, by_cases(cases), _drawn_classes(law))


def _drawn_classes(law: Chinchilla) -> Draw:
    flop, size = np.geomspace(1e19, 1e28, 60), log(MODEL_PARAMETERS)
    log_flop = np.log(flop)[:, None]
    tokens = log_flop - LOG_FLOP_PER_PARAMETER_TOKEN - size
    fixed = np.asarray(chinchilla_loss(law, size, tokens))
    best = np.asarray(chinchilla_optimum(law, log_flop).loss)

    def draw(axes: Axes) -> None:
        drawing.band(axes, flop, fixed, f"{MODEL_PARAMETERS:.0e} parameters")
        drawing.band(axes, flop, best, "compute-optimal", 1)
        axes.set(xscale="log", xlabel="Training compute [FLOP]", ylabel="Loss [nat/token]")

    return draw


# --- Q0.6 -----------------------------------------------------------------------------------------

HO_COMPUTE = (0.60, 0.95)  # Ho et al. (2024), Shapley values of performance gains: from compute
_HO = "Ho et al. 2024, arXiv 2403.05812: compute 60 to 95 %, algorithms 5 to 40 %"


def shapley(value: Callable[[frozenset[str]], np.ndarray], players: Sequence[str]) -> Draws:
    """Return the Shapley value of each player: its mean contribution over all orders of joining."""
    orders = list(permutations(players))
    shares = {name: np.zeros(()) for name in players}
    for order in orders:
        for i, name in enumerate(order):
            before, after = frozenset(order[:i]), frozenset(order[: i + 1])
            shares[name] = shares[name] + (value(after) - value(before)) / len(orders)
    return shares


def algorithms_or_compute(
    gains: Draws, constants: Draws, compute: Draws, progress: Draws
) -> Answer:
    """Split what a forecast gains into physical compute, algorithms and post-training.

    Ahead: ten years of the scenario `baseline`. Its effective compute is a product, so the Shapley
    values of its logarithm are the three gains in OOM. Those of the fall of the loss, along the
    compute-optimal frontier of Chinchilla's law from the largest run now, are means over the orders
    in which the three join. Behind: growth of training compute and of algorithmic progress at their
    fitted doubling times, as in the record that Ho et al. (2024) decompose. The rule asks whether
    physical compute is most of it.
    """
    names = ("physical_compute", "algorithms", "post_training")
    total = sum(gains[name] for name in names)
    of_compute = {name: gains[name] / total for name in names}
    frontier = chinchilla_frontier(training_law(constants))

    def fall(joined: frozenset[str]) -> np.ndarray:
        more = sum((gains[name] for name in joined), np.zeros(())) * _LN_10
        now = frontier.log_constant - frontier.exponent * gains["log10_flop"] * _LN_10
        return np.asarray(jnp.exp(now) - jnp.exp(now - frontier.exponent * more))

    of_loss = {name: v / fall(frozenset(names)) for name, v in shapley(fall, names).items()}
    rates = (1 / compute["doubling_time_years"], 1 / progress["doubling_time_years"])
    behind = rates[0] / (rates[0] + rates[1])
    within = (behind >= HO_COMPUTE[0]) & (behind <= HO_COMPUTE[1])
    results = (
        *(of_draws(f"{n} in ten years", gains[n], "OOM") for n in names),
        *(of_draws(f"part of effective compute, {n}", v) for n, v in of_compute.items()),
        *(of_draws(f"part of the fall of the loss, {n}", v) for n, v in of_loss.items()),
        of_draws("part of physical compute in the record", behind, source=_HO),
        probability("P(within Ho et al.'s 60 to 95 %), record", within),
    )
    what = "physical compute is less than half of the gain"
    parts = {"record": behind, "next ten years": of_compute["physical_compute"]}
    cases = {name: by_probability(part < 0.5, what) for name, part in parts.items()}

    def draw(axes: Axes) -> None:
        for i, (name, part) in enumerate(parts.items()):
            drawing.density(axes, part, f"physical compute, {name}", i, np.linspace(0, 1, 61))
        label = "Ho et al. 2024: 60 to 95 %"
        axes.axvspan(*HO_COMPUTE, color=drawing.GREY, alpha=0.15, label=label)
        axes.set(xlabel="Part of the growth of effective compute", ylabel="Density", xlim=(0, 1))

    inputs = (
        Quantity("years ahead", scenarios.YEARS_AHEAD, "yr"),
        of_draws("doubling time of training compute", compute["doubling_time_years"], "yr"),
        of_draws("doubling time of algorithms", progress["doubling_time_years"], "yr"),
    )
    return Answer(inputs, results, probability_rule(what), by_cases(cases), draw)


_GROWTH = (evidence.training_compute, evidence.algorithmic_progress)
_LAW_AND_RUN = (evidence.chinchilla, evidence.training_compute)
COMPUTATIONS = {
    "Q0.1": Computation(more_training_helps, (hex_games.board_game_curves, *_LAW_AND_RUN)),
    "Q0.2": Computation(flatlines, (hex_games.board_game_curves,)),
    "Q0.3": Computation(classes_do_not_flatten, _LAW_AND_RUN),
    "Q0.4": Computation(taxed.training_is_once),
    "Q0.5": Computation(taxed.one_dimension, (evidence.chinchilla, *_GROWTH)),
    "Q0.6": Computation(
        algorithms_or_compute, (scenarios.baseline_gains, evidence.chinchilla, *_GROWTH)
    ),
    "Q0.7": Computation(taxed.alignment_tax, _GROWTH),
}
