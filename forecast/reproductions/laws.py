"""Scaling laws: point fits of published objectives to the published runs, and what follows.

The fits are those of `law_points` and `history.board_games`: a Huber loss of log residuals from
many starts, isoFLOP minima by spline, least squares of Elo.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import numpy as np
import pandas as pd
from scipy import optimize

from ...kernels.compression import optimal_training_bits
from ...kernels.scaling_laws import Chinchilla
from ...priors.published_laws import published_laws
from .. import law_points
from ..datasets import load_frame
from ..history import board_games, scaling_law
from .computed import Computed

PETAFLOP_S_DAY = 8.64e19
_LAW = {"E": "irreducible", "A": "a", "alpha": "alpha", "B": "b", "beta": "beta"}
_BOOTSTRAPS = 200
_SEED, _KEPT = 0, 3  # of random starts of the law of sparse models
# The columns that tell the stages of Porian et al. apart, from Kaplan's method to a tuned one.
_STAGES = ("hyperparameters", "warmup", "learning_rate_decay", "parameter_counting", "loss_split")
PORIAN = {
    "kaplan": ("base", "long", "kaplan", "kaplan", "train"),
    "last-layer": ("base", "long", "kaplan", "standard", "val"),
    "warmup": ("base", "short", "kaplan", "standard", "val"),
    "decay": ("base", "short", "chinchilla", "standard", "val"),
    "tuned": ("tuned", "short", "const", "standard", "val"),
}


# --- Hoffmann et al. 2022, Besiroglu et al. 2024 -------------------------------------------------


@cache
def _chinchilla(all_runs: bool = False) -> tuple[pd.DataFrame, Any]:
    """Return (runs, law of least summed Huber loss)."""
    frame = load_frame("chinchilla_losses")
    if all_runs:
        frame = frame.drop(columns="excluded_besiroglu2024")
    rows = scaling_law.observations(frame)
    return rows, law_points.chinchilla_point(rows)[0]


def _by_symbol(law: Any) -> dict[str, np.ndarray]:
    e, log_a, alpha, log_b, beta = (np.asarray(value) for value in law)
    values = (e, np.exp(log_a), alpha, np.exp(log_b), beta)
    return dict(zip(_LAW, values, strict=True)) | {"a": beta / (alpha + beta)}


@cache
def _resampled() -> dict[str, np.ndarray]:
    rows, law = _chinchilla()
    laws = law_points.chinchilla_bootstrap(rows, law, replications=_BOOTSTRAPS, seed=0)
    return _by_symbol(laws)


def chinchilla_constant(symbol: str) -> Computed:
    """Return a constant of the law of the 240 runs, with a bootstrap interval of 95 %."""
    rows, law = _chinchilla()
    low, high = np.quantile(_resampled()[symbol], [0.025, 0.975])
    return Computed(float(_by_symbol(law)[symbol]), float(low), float(high), len(rows))


def exponent_of_all_runs() -> Computed:
    """Return the exponent of N in C of a fit to all 245 runs."""
    rows, law = _chinchilla(all_runs=True)
    return Computed(float(_by_symbol(law)["a"]), n=len(rows))


def exponent_width() -> Computed:
    """Return how wide the 10 to 90 % bootstrap interval of the exponent of N in C is."""
    low, high = np.quantile(_resampled()["a"], [0.1, 0.9])
    return Computed(float(high - low), n=len(_chinchilla()[0]))


def table_a3_flop(parameters: float) -> Computed:
    """Return the FLOP at which so many parameters are compute-optimal by the law of table A3."""
    law = published_laws()["hoffmann-2022-table-a3"]["constants"]
    a, alpha = law["parameter_constant"], law["parameter_exponent"]
    b, beta = law["data_constant"], law["data_exponent"]
    tokens = (beta * b * parameters**alpha / (alpha * a)) ** (1 / beta)
    return Computed(6 * parameters * tokens)


# --- Muennighoff et al. 2023 ---------------------------------------------------------------------

# The constants of C4 and of repetition as the authors' notebook prints them, and a search from
# round numbers near these.
_C4 = (0.6254804, 6.255414, 0.3526596, 7.3049974, 0.3526596)
_REPEATS = (15.387756, 5.309743)
_NEAR = (15.0, 5.0)


def _c4() -> Chinchilla:
    return Chinchilla(np.exp(_C4[0]), *_C4[1:])


@cache
def _repeated() -> tuple[pd.DataFrame, Callable[[Any], Any]]:
    """Return (runs, ln R_D* and ln R_N* -> objective), which is compiled."""
    rows = scaling_law.observations(load_frame("data_constrained_losses"))
    residual = law_points.repetition_residual(rows, _c4())
    return rows, jax.jit(lambda theta: law_points.huber(residual(theta)).sum())


def _objective(log_repeats: np.ndarray) -> float:
    with jax.enable_x64(True):
        return float(_repeated()[1](log_repeats))


def repetition_objective() -> Computed:
    """Return the summed Huber loss at the published constants."""
    return Computed(_objective(np.log(_REPEATS)), n=len(_repeated()[0]))


@cache
def _nearest_repeats() -> tuple[np.ndarray, np.ndarray]:
    """Return (R_D*, R_N*) of the minimum near the published one, and of the least of all."""
    near = optimize.minimize(_objective, np.log(_NEAR), method="Nelder-Mead").x
    law, _ = law_points.repetition_point(_repeated()[0], _c4())
    return np.exp(near), np.array([law.data_repeats, law.parameter_repeats])


def repeats(which: int) -> Computed:
    """Return R_D* or R_N* where the search from round numbers near the published ones ends."""
    near, least = _nearest_repeats()
    note = f"The least objective of all is at {least[which]:.3g}."
    return Computed(float(near[which]), n=len(_repeated()[0]), note=note)


# --- Porian et al. 2024 --------------------------------------------------------------------------


def isoflop_exponent(stage: str) -> Computed:
    """Return the exponent of N in C of one stage on RefinedWeb."""
    frame = load_frame("porian_isoflop")
    frame = frame[frame["training_dataset"] == "RefinedWeb"]
    for column, cell in zip(_STAGES, PORIAN[stage], strict=True):
        frame = frame[frame[column] == cell]
    return Computed(law_points.isoflop_exponent(frame), n=len(frame))


# --- Kaplan et al. 2020 --------------------------------------------------------------------------


def _kaplan() -> dict[str, Any]:
    found: dict[str, Any] = published_laws()["kaplan-2020"]["constants"]
    return found


def kaplan_token_prefactor() -> Computed:
    """Return D = 2 C_min / (6 N) at one petaFLOP/s-day, with N of table 6."""
    return Computed(2 * PETAFLOP_S_DAY / (6 * _kaplan()["parameters_by_flop"]["scale"]))


def kaplan_compute_exponent() -> Computed:
    """Return 1 / (1/aS + 1/aB + 1/aN) of the exponents of equations 1.1, 1.4 and 1.6."""
    law = _kaplan()
    exponents = (
        law["loss_by_parameters"]["exponent"],
        law["critical_batch"]["exponent"],
        law["loss_by_parameters_and_steps"]["step_exponent"],
    )
    return Computed(1 / sum(1 / each for each in exponents))


def kaplan_intersection(quantity: str) -> Computed:
    """Return the compute [petaFLOP/s-day] or tokens at which L(C_min) meets L(D), by table 6."""
    law = _kaplan()
    by_flop, by_tokens, tokens = (
        law[name] for name in ("loss_by_flop", "loss_by_tokens", "tokens_by_flop")
    )
    # (Cc / C)^aC = (Dc / (scale C^e))^aD
    level = by_tokens["exponent"] * np.log(by_tokens["scale"] / tokens["scale"])
    level -= by_flop["exponent"] * np.log(by_flop["scale"])
    slope = by_tokens["exponent"] * tokens["exponent"] - by_flop["exponent"]
    log_flop = level / slope
    found = {
        "compute": np.exp(log_flop),
        "tokens": tokens["scale"] * np.exp(tokens["exponent"] * log_flop),
    }
    return Computed(float(found[quantity]))


# --- compression ---------------------------------------------------------------------------------


def frantar_objective(family: str) -> Computed:
    """Return the least mean Huber loss of Frantar et al.'s law of sparse models [nat^2]."""
    law = published_laws()[f"frantar-2023-{family.lower()}"]["constants"]
    rows = load_frame("sparsity_losses").query(f"family == '{family}'")
    text = family == "T5"
    data = rows["training_tokens" if text else "training_images"].to_numpy(float)
    residual = law_points.sparsity_residual(
        rows["sparsity"].to_numpy(),
        np.log(rows["nonzero_parameters"].to_numpy(float) / law["parameter_unit"]),
        np.log(data / law["data_unit"]),
        rows["loss_nats"].to_numpy(),
        of_log=text,
    )
    rng = np.random.default_rng(_SEED)
    starts = np.log(rng.uniform(size=(200, 7)))
    starts[:, [1, 3, 5]] = rng.uniform(size=(200, 3))
    best = law_points.minimised(residual, starts, delta=1e-3 if text else 1e-2, kept=_KEPT)
    return Computed(best.objective / len(rows), n=len(rows))


def kumar_bits() -> Computed:
    """Return the compute-optimal bits of training by the constants of table 2."""
    law = published_laws()["kumar-2024"]["constants"]
    names = ("weight_bit_scale", "activation_bit_scale", "cache_bit_scale")
    with jax.enable_x64(True):
        return Computed(float(optimal_training_bits(tuple(law[name] for name in names))))


# --- Jones 2021 ----------------------------------------------------------------------------------


@cache
def _hex() -> tuple[dict[str, float], int]:
    rows = board_games.observations(load_frame("board_games_elo"))
    return board_games.least_squares(rows), len(rows)


def hex_constant(name: str) -> Computed:
    """Return a constant of Jones's law by least squares."""
    constants, n = _hex()
    return Computed(constants[name], n=n)


def hex_per_size(name: str) -> Computed:
    """Return what one more board size does, by the printed constants."""
    printed = published_laws()["jones-2021"]["constants"]
    law = {constant: printed[constant] for constant in board_games.CONSTANTS}
    return Computed(float(board_games.per_size(law)[name]))


COMPUTED: dict[str, Callable[[], Computed]] = {
    **{
        f"{paper}-{name}": partial(chinchilla_constant, symbol)
        for paper in ("besiroglu-2024", "hoffmann-2022")
        for symbol, name in _LAW.items()
    },
    "besiroglu-2024-exponent-all-runs": exponent_of_all_runs,
    "hoffmann-2022-exponent-width": exponent_width,
    "hoffmann-2022-table-a3": partial(table_a3_flop, 175e9),
    "muennighoff-2023-objective": repetition_objective,
    "muennighoff-2023-data-repeats": partial(repeats, 0),
    "muennighoff-2023-parameter-repeats": partial(repeats, 1),
    **{f"porian-2024-{stage}": partial(isoflop_exponent, stage) for stage in PORIAN},
    "kaplan-2020-eq-6-7": kaplan_token_prefactor,
    "kaplan-2020-compute-exponent": kaplan_compute_exponent,
    "kaplan-2020-intersection-compute": partial(kaplan_intersection, "compute"),
    "kaplan-2020-intersection-tokens": partial(kaplan_intersection, "tokens"),
    "frantar-2023-t5": partial(frantar_objective, "T5"),
    "frantar-2023-vit": partial(frantar_objective, "ViT"),
    "kumar-2024-bits": kumar_bits,
    **{
        f"jones-2021-{name.replace('_', '-')}": partial(hex_constant, name)
        for name in board_games.CONSTANTS
    },
    "jones-2021-takeoff": partial(hex_per_size, "takeoff_ratio"),
    "jones-2021-perfect-play": partial(hex_per_size, "perfect_play_ratio"),
    "jones-2021-elo-range": partial(hex_per_size, "random_to_perfect_elo"),
}
