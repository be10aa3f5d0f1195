"""Q3.2 to Q3.4: a small model trained for long against a large one that is compressed."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import exp, log
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ...kernels.compression import quantisation_loss
from ...kernels.scaling_laws import (
    LOG_FLOP_PER_PARAMETER_TOKEN,
    Chinchilla,
    chinchilla_loss,
    chinchilla_optimum,
    chinchilla_reducible,
)
from ...kernels.solve import root
from ...priors.published_laws import named_runs
from .. import law_families, laws
from ..law_frames import training_law
from ..training_decisions import envelope_choice
from . import drawing, evidence
from .answer import (
    Answer,
    Computation,
    Quantity,
    by_cases,
    by_indecision,
    by_probability,
    of_draws,
    probability,
    probability_rule,
    short,
)

Draws = Mapping[str, np.ndarray]

_KUMAR = "Kumar et al. 2024, arXiv 2411.04330"
BITS = (8.0, 7.0, 6.0, 5.0, 4.0, 3.0)

# --- Q3.2 -----------------------------------------------------------------------------------------

# Training budget [FLOP] and parameters that the envelope holds at 16 bits.
ENVELOPES = ((1e22, 1e9), (1e23, 8e9), (1e24, 8e9), (1e25, 8e9), (1e24, 7e10), (1e24, 2e11))
_MAP_DRAWS = 200


def train_large_then_compress(constants: Draws) -> Answer:
    """Choose parameters, tokens and bits of weights within a training budget and a memory.

    The loss is Chinchilla's, over its posterior, plus what quantisation after training adds (Kumar
    et al. 2024). For each envelope the best run at 16 bits, overtrained where the memory is below
    that of the compute-optimal model, is held against the best at 8 to 3 bits. Not in the choice:
    sparsity, whose law was fitted to models of up to 8.5e7 weights, and distillation, whose
    constants could not be verified. Kumar et al. fitted up to 1.7e9 parameters: beyond, constants
    are extrapolated (Q3.4 asks how much that matters). Where the compute-optimal model fits at 16
    bits there is nothing to gain, and side B is that compression does not pay.
    """
    law = {name: constants[name] for name in Chinchilla._fields}
    budgets, sizes = (sorted({each[i] for each in ENVELOPES}) for i in (0, 1))
    found = _choice(law, budgets, sizes).groupby(["training_flop", "gigabytes"])
    frames = [found.get_group((flop, 2 * size / 1e9)) for flop, size in ENVELOPES]
    smaller = "the compressed model has the lower loss"
    gains = [frame["compression_gain_nats"].to_numpy() for frame in frames]
    cases, results = {}, []
    for (flop, size), frame, gain in zip(ENVELOPES, frames, gains, strict=True):
        where = f"{short(flop)} FLOP, {short(size)} parameters at 16 bits"
        cases[where] = by_probability(gain > 0, smaller)
        results += [
            of_draws(f"loss saved: {where}", gain, "nat/token"),
            of_draws(f"loss at 16 bits: {where}", frame["dense_loss_nats"], "nat/token"),
            of_draws(f"best loss at fewer bits: {where}", frame["loss_nats"], "nat/token"),
            of_draws(f"best bits: {where}", frame["bits"], "bit"),
            of_draws(f"size over compute-optimal: {where}", frame["dense_parameters_ratio"]),
        ]
    inputs = (
        *(Quantity(f"envelope {i}", 2 * n / 1e9, "GB") for i, (_, n) in enumerate(ENVELOPES, 1)),
        Quantity("cost of 4 bits at 1e9 parameters, 2e10 tokens", _delta(1e9, 2e10), "nat/token"),
    )
    rule = "in each envelope " + probability_rule(smaller)
    return Answer(inputs, tuple(results), rule, by_cases(cases), partial(_draw_map, law))


def _draw_map(law: Draws, axes: Axes) -> None:
    """Draw the best bits by budget and memory, and where the median draw changes sides."""
    few = {name: values[:_MAP_DRAWS] for name, values in law.items()}
    flop, gigabytes = np.geomspace(1e21, 1e26, 13), np.geomspace(0.5, 2000, 13)
    grid = envelope_choice(few, training_flop=flop, gigabytes=gigabytes, bits=BITS)
    wins = grid["probability_overtrained_small_wins"].to_numpy().reshape(13, 13)
    bits = np.where(wins > 0.5, 16.0, grid["bits"].to_numpy().reshape(13, 13))
    shown = axes.pcolormesh(flop, gigabytes, bits.T, cmap="viridis", vmin=3, vmax=16)
    axes.figure.colorbar(shown, ax=axes, label="Best bits of a weight")
    axes.set(xscale="log", yscale="log", xlabel="Training compute [FLOP]")
    axes.set_ylabel("Memory of the weights [GB]")


def _choice(
    law: Draws, flop: Sequence[float], sizes: Sequence[float], factor: ArrayLike = 1.0
) -> pd.DataFrame:
    """Return a row a draw of the best models within the memory of so many weights of 16 bits."""
    return envelope_choice(
        law,
        training_flop=flop,
        gigabytes=[2 * size / 1e9 for size in sizes],
        bits=BITS,
        quantisation_loss_factor=factor,
        summarise=False,
    )


def _delta(parameters: float, tokens: float, bits: float = 4.0) -> float:
    """Return what quantisation adds to the loss [nat/token]."""
    law = law_families.quantisation(laws.law("kumar-2024").constants)
    return float(quantisation_loss(law, log(parameters), log(tokens), bits))


# --- Q3.3 -----------------------------------------------------------------------------------------

TENTH, WON = 0.1, 0.08


def eight_per_cent(constants: Draws) -> Answer:
    """Compare Llama 3 8B with the compute-optimal model of its compute, quantised to 4 bits.

    Losses by the posterior of Chinchilla's law; the cost of 4 bits by Kumar et al. (2024). The 8 %
    can be of the whole loss or of its reducible part, the loss above E. Beside it: by which factor
    both N and D of Chinchilla (70e9, 1.4e12) must grow for 10 % less of either; infinite where the
    irreducible loss is above nine tenths of the loss.
    """
    law = training_law(constants)
    runs = {name: np.log([r["parameters"], r["tokens"]]) for name, r in named_runs().items()}
    small = runs["llama-3-8b"]
    flop = LOG_FLOP_PER_PARAMETER_TOKEN + small.sum()
    before = np.asarray(chinchilla_loss(law, *small))
    best = chinchilla_optimum(law, flop)
    rounding = law_families.quantisation(laws.law("kumar-2024").constants)
    added = np.asarray(quantisation_loss(rounding, best.log_parameters, best.log_tokens, 4.0))
    gap, reducible = before - np.asarray(best.loss), before - law.irreducible_loss
    net = gap - added
    whole, part = "8 % or more of the whole loss is won", "8 % or more of the reducible loss is won"
    cases = {
        "of the whole loss": by_probability(net / before >= WON, whole),
        "of the reducible loss": by_probability(net / reducible >= WON, part),
    }
    of_whole, of_part = (_log_growth(law, runs["chinchilla"], each) for each in (True, False))
    results = (
        of_draws("gap, part of the whole loss", gap / before, published=0.1, source="the claim"),
        of_draws("gap, part of the reducible loss", gap / reducible),
        of_draws("lost to 4 bits, part of the whole loss", added / np.asarray(best.loss)),
        of_draws("won, part of the whole loss", net / before, published=WON, source="the claim"),
        of_draws("won, part of the reducible loss", net / reducible),
        of_draws("N and D for 10 % of the whole loss", np.exp(of_whole), "factor"),
        of_draws("N and D for 10 % of the reducible loss", np.exp(of_part), "factor"),
        probability("P(10 % of the whole loss is out of reach)", np.isinf(of_whole)),
        *(
            Quantity(f"N and D for 10 % of the whole loss by {name}", growth, "factor")
            for name, growth in _growth_by_published(runs["chinchilla"])
        ),
        *(
            Quantity(f"lost to 4 bits by {name}", _lost(*run), "part of the loss")
            for name, run in runs.items()
        ),
    )
    inputs = (
        Quantity("parameters of Llama 3 8B", named_runs()["llama-3-8b"]["parameters"]),
        Quantity("tokens of Llama 3 8B", named_runs()["llama-3-8b"]["tokens"], "token"),
        Quantity("bits", 4.0, "bit", source=_KUMAR),
    )

    def draw(axes: Axes) -> None:
        drawing.density(axes, 100 * net / before, "of the whole loss")
        drawing.density(axes, 100 * net / reducible, "of the reducible loss", 2)
        drawing.mark(axes, 100 * WON, "the claim: 8 %")
        axes.set(xlabel="Won by a compute-optimal model of 4 bits [%]", ylabel="Density")

    rule = f"whole: {probability_rule(whole)}; reducible: {probability_rule(part)}"
    return Answer(inputs, results, rule, by_cases(cases), draw)


def _log_growth(law: Chinchilla, run: np.ndarray, whole: bool) -> np.ndarray:
    """Return ln k of k N and k D with 10 % less loss, (draw,); inf where none has."""
    return np.asarray(_grown(law, run, whole))


@partial(jax.jit, static_argnums=2)
def _grown(law: Chinchilla, run: Array, whole: bool) -> Array:
    reducible = sum(chinchilla_reducible(law, *run), jnp.zeros(()))
    lost = TENTH * (reducible + (law.irreducible_loss if whole else 0))
    wanted = jnp.atleast_1d(reducible - lost)

    def missing(log_k: Array) -> Array:
        return wanted - sum(chinchilla_reducible(law, *(log_k + x for x in run)), jnp.zeros(()))

    return root(missing, jnp.zeros_like(wanted), jnp.full_like(wanted, 100.0))


def _growth_by_published(run: np.ndarray) -> list[tuple[str, float]]:
    names = ("hoffmann-2022", "hoffmann-2022-unrounded", "hoffmann-2022-table-a3", "besiroglu-2024")
    published = {name: law_families.chinchilla(laws.law(name).constants) for name in names}
    return [
        (name, float(np.exp(_log_growth(law, run, True))[0])) for name, law in published.items()
    ]


def _lost(log_parameters: float, log_tokens: float) -> float:
    """Return the part of the loss, by Besiroglu et al. (2024), that 4 bits cost."""
    law = law_families.chinchilla(laws.law("besiroglu-2024").constants)
    plain = float(chinchilla_loss(law, log_parameters, log_tokens))
    return _delta(exp(log_parameters), exp(log_tokens)) / plain


# --- Q3.4 -----------------------------------------------------------------------------------------

_PARTS = (1 / 30, 1 / 10, 1 / 3, 0.8, 0.95, 1.5)
_DOUBT = 3.0  # factor either way, 90 %, of what quantisation costs beyond where it was measured
_FLOP = 1e24


def is_it_settled(constants: Draws) -> Answer:
    """Ask how sure the laws are that a small overtrained model is, or is not, the best to serve.

    As Q3.2 at 1e24 FLOP, in memories that hold a part of the compute-optimal model at 16 bits, but
    with doubt about the constants of quantisation too: its cost is multiplied by a log-normal
    factor of 1, 90 % within a factor of 3 either way (an assumption; Kumar et al. 2024 say that
    their constants are unlikely to be useful elsewhere, and give no errors). Unproven, side A, is
    a probability between 0.1 and 0.9 that the overtrained model wins.
    """
    law = {name: constants[name] for name in Chinchilla._fields}
    count = len(law["data_exponent"])
    scale = log(_DOUBT) / NormalDist().inv_cdf(0.95)
    chance = np.random.default_rng(34).permutation((np.arange(count) + 0.5) / count)
    factor = np.exp(scale * np.array([NormalDist().inv_cdf(each) for each in chance]))
    median = Chinchilla(*(np.median(values) for values in law.values()))
    size = float(np.exp(chinchilla_optimum(median, log(_FLOP)).log_parameters))
    frame = _choice(law, [_FLOP], [part * size for part in _PARTS], factor)
    parted = frame["compression_gain_nats"].to_numpy().reshape(len(_PARTS), count)
    gains = dict(zip(_PARTS, parted, strict=True))
    wins = "overtrained and small wins"
    cases = {
        f"memory of {part:.2g} of the compute-optimal model": by_indecision(gain <= 0, wins)
        for part, gain in gains.items()
    }
    results = tuple(
        quantity
        for part, gain in gains.items()
        for quantity in (
            probability(f"P({wins}), memory of {part:.2g}", gain <= 0),
            of_draws(f"loss saved by compressing, memory of {part:.2g}", gain, "nat/token"),
        )
    )
    inputs = (
        Quantity("training budget", _FLOP, "FLOP"),
        Quantity("compute-optimal parameters", size, "parameter"),
        of_draws("factor of the cost of quantisation", factor, "factor", source="assumption"),
    )

    def draw(axes: Axes) -> None:
        drawing.band(axes, list(gains), np.array([*gains.values()]), "loss saved by compressing")
        axes.axhline(0, color=drawing.GREY, linewidth=0.8)
        axes.set(xscale="log", xlabel="Memory / memory of the compute-optimal model at 16 bits")
        axes.set_ylabel("Loss saved [nat/token]")

    rule = f"in each memory side A if P({wins}) is between 0.1 and 0.9, else side B"
    return Answer(inputs, results, rule, by_cases(cases), draw)


COMPUTATIONS = {
    "Q3.2": Computation(train_large_then_compress, (evidence.chinchilla,)),
    "Q3.3": Computation(eight_per_cent, (evidence.chinchilla,)),
    "Q3.4": Computation(is_it_settled, (evidence.chinchilla,)),
}
