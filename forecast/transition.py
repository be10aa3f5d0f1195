"""When training becomes limited by data and no longer by compute, by Kaplan et al. (2020).

Their compute-optimal runs take so few tokens that beyond some budget C* the loss that compute
promises, L(C_min), lies below the loss that so many tokens allow, L(D(C_min)): from there on data
must grow faster, and by their laws data limit the loss (section 6.3). The crossing is a requirement
and the fitted frontier a path, so that the date is a first passage. Chinchilla's law has no such
point: its data always grow about as fast as its parameters.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import norm

from ..kernels.first_passage import first_passage_year
from ..kernels.kaplan import Intersection, intersection
from ..kernels.power_laws import Power
from . import laws
from .law_families import LOG_FLOP_PER_PETAFLOP_S_DAY

LAW = "kaplan-2020"
_LN_10 = np.log(10)
# Standard deviations of the exponents, half the span of what the paper prints for each: 0.050 to
# 0.054 of loss in compute, 0.095 to 0.103 of loss in tokens.
EXPONENT_OF_FLOP_SD, EXPONENT_OF_TOKENS_SD = 0.002, 0.004
# Amid the fitted runs, where the loss is known whatever the exponent: at one petaFLOP/s-day, and at
# the geometric mean of the smallest and largest data set.
_MIDDLE_LOG_FLOP, _MIDDLE_LOG_TOKENS = 0.0, np.log(2.2e7 * 2.3e10) / 2


class Transition(NamedTuple):
    """The distribution of the crossing.

    printed: a row for each reading of the paper: FLOP, parameters, tokens, loss [nat/token]
    log10_flop: (draw,), C* [log10 FLOP], over readings and exponents
    crossing_year: (draw,), decimal year in which the frontier reached it, inf if not by its end;
        None without a frontier
    """

    printed: pd.DataFrame
    log10_flop: np.ndarray
    crossing_year: np.ndarray | None


def transition(
    frontier: xr.Dataset | None = None, *, draws: int = 4096, seed: int = 0
) -> Transition:
    """Return where compute-limited turns into data-limited training, and when the frontier did.

    frontier: group ``trend`` of a fit of training compute: log10_value (quantile, trend_year)
    Raises ``ValueError`` for fewer than one draw.
    """
    if draws < 1:
        raise ValueError(f"draws: got {draws}, expected at least 1")
    rng = np.random.default_rng(seed)
    readings = _readings()
    moved = rng.standard_normal((2, draws)) * [[EXPONENT_OF_FLOP_SD], [EXPONENT_OF_TOKENS_SD]]
    with jax.enable_x64(True):
        printed = [_row(name, intersection(*powers)) for name, powers in readings.items()]
        found = np.stack(
            [
                np.asarray(intersection(*_with_exponents(powers, *moved)).log_flop)
                for powers in readings.values()
            ]
        )
    log_flop = found[rng.integers(len(found), size=draws), np.arange(draws)]
    level = (log_flop + LOG_FLOP_PER_PETAFLOP_S_DAY) / _LN_10
    year = None if frontier is None else _crossing_year(frontier, level, rng)
    return Transition(pd.DataFrame(printed), level, year)


def summary(found: Transition) -> dict[str, Any]:
    """Return quantiles of C* and of the date as plain values, and what the paper's readings say."""
    year = found.crossing_year
    dated: dict[str, Any] = {}
    if year is not None:
        dates = np.quantile(year, [0.05, 0.5, 0.95], method="higher")
        dated = {
            "crossing_year": [float(y) if np.isfinite(y) else None for y in dates],
            "probability_crossed": float(np.isfinite(year).mean()),
        }
    return {
        "law": LAW,
        "log10_flop": np.quantile(found.log10_flop, [0.05, 0.5, 0.95]).tolist(),
        **dated,
        "quantiles": [0.05, 0.5, 0.95],
        "readings": found.printed.to_dict("records"),
    }


def _readings() -> dict[str, tuple[Power, Power, Power, Power]]:
    """Return the powers of C_min [petaFLOP/s-day] by what the paper prints for D and L(D)."""
    given = laws.law(LAW).constants
    loss_by_flop, parameters = _falling(given["loss_by_flop"]), _power(given["parameters_by_flop"])
    joint = given["loss_by_parameters_and_tokens"]
    of_tokens = {
        "L(D)": _falling(given["loss_by_tokens"]),
        "L(N, D)": _falling({"scale": joint["token_scale"], "exponent": joint["token_exponent"]}),
    }
    by_flop = {
        "table 6": _power(given["tokens_by_flop"]),
        "eq. 6.7": _power(given["tokens_by_flop_eq_6_7"]),
    }
    return {
        f"D of {source}, {name}": (loss_by_flop, loss, parameters, tokens)
        for source, tokens in by_flop.items()
        for name, loss in of_tokens.items()
    }


def _power(constants: dict[str, float]) -> Power:
    return Power(np.log(constants["scale"]), constants["exponent"])


def _falling(constants: dict[str, float]) -> Power:
    """Return the power of loss = (X / x)^exponent."""
    exponent = constants["exponent"]
    return Power(exponent * np.log(constants["scale"]), -exponent)


def _with_exponents(
    powers: tuple[Power, Power, Power, Power], flop: np.ndarray, tokens: np.ndarray
) -> tuple[Power, Power, Power, Power]:
    """Return the powers with steeper losses that are the same amid the data they were fitted to."""
    by_flop, by_tokens, parameters, data = powers
    return (
        Power(by_flop.log_scale + flop * _MIDDLE_LOG_FLOP, by_flop.exponent - flop),
        Power(by_tokens.log_scale + tokens * _MIDDLE_LOG_TOKENS, by_tokens.exponent - tokens),
        parameters,
        data,
    )


def _row(name: str, where: Intersection) -> dict[str, Any]:
    return {
        "reading": name,
        "training_flop": float(jnp.exp(where.log_flop + LOG_FLOP_PER_PETAFLOP_S_DAY)),
        "petaflop_s_days": float(jnp.exp(where.log_flop)),
        "parameters": float(jnp.exp(where.log_parameters)),
        "tokens": float(jnp.exp(where.log_tokens)),
        "loss_nats": float(where.loss),
    }


def _crossing_year(frontier: xr.Dataset, level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the year in which a frontier of the fit first reaches each level.

    A frontier keeps its quantile over the years, at most the outermost that the fit keeps.
    """
    years = frontier["trend_year"].to_numpy()
    known = norm.ppf(frontier["quantile"].to_numpy())
    values = frontier["log10_value"].transpose("quantile", "trend_year").to_numpy()
    z = np.clip(rng.standard_normal(len(level)), known[0], known[-1])
    paths = np.stack([np.interp(z, known, at) for at in values.T], axis=1)
    passage = jax.vmap(first_passage_year, in_axes=(0, 0, None))
    with jax.enable_x64(True):
        return np.asarray(passage(jnp.asarray(paths), jnp.asarray(level), jnp.asarray(years)))
