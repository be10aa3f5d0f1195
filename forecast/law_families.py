"""What each kind of published law computes: constants as printed -> the functions of `kernels`.

Natural logarithms, as in the kernels. A law may take one setting: the unique tokens of repeated
data, the bits of quantised weights, or a sparsity.
"""

from collections.abc import Callable, Mapping
from math import exp, log, nan
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..kernels import compression, data_constrained, kaplan, power_laws, scaling_laws
from ..kernels.board_games import BoardGame, Exchange
from ..kernels.power_laws import Power
from ..kernels.scaling_laws import LOG_FLOP_PER_PARAMETER_TOKEN, Chinchilla, Optimum
from ..kernels.transfer import Transfer

LOG_FLOP_PER_PETAFLOP_S_DAY = log(8.64e19)
# A run at its critical batch takes twice the least compute (Kaplan et al. 2020, section 5.1).
_LOG_AT_CRITICAL_BATCH = log(2)

Constants = Mapping[str, Any]


class Family(NamedTuple):
    """Functions of one kind of law; each takes the printed constants first, the setting last.

    loss: (constants, ln N, ln D, setting); optimum: (constants, ln C, setting)
    log_flop: (constants, loss, setting) -> ln C of the cheapest run that reaches a loss
    """

    loss: Callable[[Constants, float, float, float], Array] | None
    optimum: Callable[[Constants, float, float], Optimum] | None
    log_flop: Callable[[Constants, float, float], Array] | None


# --- constants as printed -> constants of the kernels ---------------------------------------------


def _log(constants: Constants, name: str) -> float:
    """Return the natural log of a constant that is printed as it is, or as its log."""
    return constants[f"log_{name}"] if f"log_{name}" in constants else log(constants[name])


def chinchilla(constants: Constants) -> Chinchilla:
    """Return E, ln A, alpha, ln B, beta."""
    return Chinchilla(
        exp(_log(constants, "irreducible_loss")),
        _log(constants, "parameter_constant"),
        constants["parameter_exponent"],
        _log(constants, "data_constant"),
        constants["data_exponent"],
    )


def constrained(constants: Constants) -> data_constrained.DataConstrained:
    """Return the law of fresh data, and what repeats of parameters and of data are worth."""
    repeats = constants["parameter_repeats"], constants["data_repeats"]
    return data_constrained.DataConstrained(chinchilla(constants), *repeats)


def kaplan_data(constants: Constants) -> kaplan.KaplanData:
    """Return the constants of L(N, D)."""
    return kaplan.KaplanData(
        log(constants["parameter_scale"]),
        constants["parameter_exponent"],
        log(constants["token_scale"]),
        constants["token_exponent"],
    )


def kaplan_steps(constants: Constants) -> Chinchilla:
    """Return the constants of L(N, S)."""
    return kaplan.steps_law(
        log(constants["parameter_scale"]),
        constants["parameter_exponent"],
        log(constants["step_scale"]),
        constants["step_exponent"],
    )


def kaplan_critical_batch(constants: Constants) -> Power:
    """Return the critical batch [token] as a power of loss."""
    return kaplan.critical_batch(log(constants["scale"]), constants["exponent"])


def kaplan_bottleneck(constants: Constants) -> Power:
    """Return loss as a power of the one thing that limits it, in its printed unit."""
    return power_laws.bottleneck(log(constants["scale"]), constants["exponent"])


def power_of_flop(constants: Constants) -> Power:
    """Return a power of FLOP that is printed for petaFLOP/s-days."""
    printed = Power(log(constants["scale"]), constants["exponent"])
    return power_laws.rescaled(printed, LOG_FLOP_PER_PETAFLOP_S_DAY)


def kaplan_intersection(
    constants: Constants, *, tokens: str = "tokens_by_flop"
) -> kaplan.Intersection:
    """Return where L(C_min) meets L(D(C_min)), in FLOP; tokens: which printed D(C_min) is used."""
    return kaplan.intersection(
        power_laws.rescaled(
            kaplan_bottleneck(constants["loss_by_flop"]), LOG_FLOP_PER_PETAFLOP_S_DAY
        ),
        kaplan_bottleneck(constants["loss_by_tokens"]),
        power_of_flop(constants["parameters_by_flop"]),
        power_of_flop(constants[tokens]),
    )


def _power(constants: Constants) -> Power:
    """Return a power that is printed by its scale, or by a point that it passes through."""
    exponent = constants["exponent"]
    if "scale" in constants:
        return Power(log(constants["scale"]), exponent)
    return Power(log(constants["value"]) - exponent * log(constants["at_flop"]), exponent)


def parameters_by_flop(constants: Constants) -> Power:
    """Return compute-optimal N as a power of C = 6 N D, from whichever quantity is printed."""
    if "parameters_by_flop" in constants:
        return _power(constants["parameters_by_flop"])
    if "tokens_by_flop" in constants:
        log_scale, exponent = _power(constants["tokens_by_flop"])
        return Power(-LOG_FLOP_PER_PARAMETER_TOKEN - log_scale, 1 - exponent)
    if "flop_per_token_by_flop" in constants:
        log_scale, exponent = _power(constants["flop_per_token_by_flop"])
        return Power(log_scale - LOG_FLOP_PER_PARAMETER_TOKEN, exponent)
    each = log(constants["tokens_per_parameter"]) + LOG_FLOP_PER_PARAMETER_TOKEN
    return Power(-0.5 * each, 0.5)


def transfer(constants: Constants) -> Transfer:
    """Return the constants of the effective data transferred."""
    exponents = constants["data_exponent"], constants["parameter_exponent"]
    return Transfer(log(constants["scale"]), *exponents)


def quantisation(constants: Constants) -> compression.Quantisation:
    """Return the constants of the loss that quantisation after training adds."""
    return compression.Quantisation(
        log(constants["quantisation_scale"]),
        constants["quantisation_data_exponent"],
        constants["quantisation_parameter_exponent"],
        constants["quantisation_bit_scale"],
    )


def sparsity(constants: Constants) -> compression.Sparsity:
    """Return the constants for weights and units of data counted one by one."""
    by_parameters = constants["parameter_exponent"] * log(constants["parameter_unit"])
    by_data = constants["data_exponent"] * log(constants["data_unit"])
    return compression.Sparsity(
        log(constants["sparse_scale"]) + by_parameters,
        constants["sparsity_exponent"],
        log(constants["dense_scale"]) + by_parameters,
        constants["parameter_exponent"],
        log(constants["data_constant"]) + by_data,
        constants["data_exponent"],
        constants["irreducible_loss"],
    )


def board_game(constants: Constants) -> BoardGame:
    """Return the constants of the law of Elo, for natural logarithms of FLOP."""
    return BoardGame(
        constants["incline_by_log10_flop"] / log(10),
        constants["incline_by_size"],
        constants["incline_constant"],
        constants["plateau_by_size"],
        constants["plateau_constant"],
    )


def training_test_exchange(constants: Constants) -> Exchange:
    """Return the exchange of training compute for search, for natural logarithms of FLOP."""
    return Exchange(
        constants["log10_test_by_log10_training_flop"],
        constants["log10_test_by_elo"] * log(10),
        constants["log10_test_constant"] * log(10),
    )


# --- what laws compute ----------------------------------------------------------------------------


def _kaplan_frontier(constants: Constants) -> tuple[Power, Power]:
    """Return N and loss as powers of the FLOP of a run at its critical batch."""
    least = LOG_FLOP_PER_PETAFLOP_S_DAY + _LOG_AT_CRITICAL_BATCH
    parameters = Power(
        log(constants["parameters_by_flop"]["scale"]), constants["parameters_by_flop"]["exponent"]
    )
    loss = kaplan_bottleneck(constants["loss_by_flop"])
    return power_laws.rescaled(parameters, least), power_laws.rescaled(loss, least)


def _kaplan_loss(constants: Constants, log_n: float, log_d: float, _: float) -> Array:
    law = kaplan_data(constants["loss_by_parameters_and_tokens"])
    return kaplan.kaplan_loss(law, log_n, log_d)


def _kaplan_log_flop(constants: Constants, loss: float, _: float) -> Array:
    return power_laws.log_argument(_kaplan_frontier(constants)[1], jnp.log(loss))


def _constrained_log_flop(constants: Constants, loss: float, log_unique: Array) -> Array:
    best = data_constrained.constrained_cheapest(constrained(constants), loss, log_unique)
    return scaling_laws.log_training_flop(best.log_parameters, best.log_tokens)


def _sparse(constants: Constants, share: float) -> Chinchilla:
    return compression.sparse_chinchilla(sparsity(constants), share)


FAMILIES = {
    "chinchilla": Family(
        lambda c, n, d, _: scaling_laws.chinchilla_loss(chinchilla(c), n, d),
        lambda c, flop, _: scaling_laws.chinchilla_optimum(chinchilla(c), flop),
        lambda c, loss, _: scaling_laws.chinchilla_log_flop(chinchilla(c), loss),
    ),
    "kaplan": Family(
        _kaplan_loss,
        lambda c, flop, _: power_laws.optimum_of_powers(*_kaplan_frontier(c), flop),
        _kaplan_log_flop,
    ),
    "kaplan_data": Family(
        lambda c, n, d, _: kaplan.kaplan_loss(kaplan_data(c), n, d),
        lambda c, flop, _: kaplan.kaplan_optimum(kaplan_data(c), flop),
        lambda c, loss, _: kaplan.kaplan_log_flop(kaplan_data(c), loss),
    ),
    "data_constrained": Family(
        lambda c, n, d, unique: data_constrained.constrained_loss(
            constrained(c), n, d, jnp.log(unique)
        ),
        lambda c, flop, unique: data_constrained.constrained_optimum(
            constrained(c), flop, jnp.log(unique)
        ),
        lambda c, loss, unique: _constrained_log_flop(c, loss, jnp.log(unique)),
    ),
    "power_optimum": Family(
        None,
        lambda c, flop, _: power_laws.optimum_of_powers(
            parameters_by_flop(c), Power(nan, nan), flop
        ),
        None,
    ),
    "precision": Family(
        lambda c, n, d, bits: compression.quantised_loss(
            chinchilla(c), quantisation(c), n, d, bits
        ),
        lambda c, flop, bits: compression.quantised_optimum(
            chinchilla(c), quantisation(c), flop, bits
        ),
        lambda c, loss, bits: compression.quantised_log_flop(
            chinchilla(c), quantisation(c), loss, bits
        ),
    ),
    "sparsity": Family(
        lambda c, n, d, share: scaling_laws.chinchilla_loss(_sparse(c, share), n, d),
        lambda c, flop, share: scaling_laws.chinchilla_optimum(_sparse(c, share), flop),
        lambda c, loss, share: scaling_laws.chinchilla_log_flop(_sparse(c, share), loss),
    ),
}
