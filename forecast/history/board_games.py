"""Playing strength of the best agents by compute and board size: Jones (2021, arXiv 2104.03113).

    Elo = min(0, max(incline, plateau)),  incline = s log10 C + r b + c,  plateau = p b + q

for boards of side b. Jones fits it by least squares to the best of all runs of each board size, at
101 computes a size. These are interpolated, and their residuals hang together (lag-1 correlation
0.98), so the posterior, with Student-t residuals, takes one in half an order of magnitude (0.16).
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from scipy import optimize

from ...kernels.board_games import BoardGame, elo
from ...kernels.learning_curves import LOG_10
from ...priors.elicitation import Interval, distribution
from .learning_curve import apart
from .trend import MOST_DEGREES_OF_FREEDOM

CONSTANTS = (
    *("incline_by_log10_flop", "incline_by_size", "incline_constant"),
    *("plateau_by_size", "plateau_constant"),
)
INDEPENDENT_OOM = 0.5
_SIZE, _LOG10_FLOP = 6.0, 13.0  # amid the record, where levels are best known
_NAT_ELO = 400 / LOG_10
# Where the search of Jones's code starts, in nats of odds.
_START = (2.0, -2.0, -16.0, -1.5, 3.0)


def observations(frame: pd.DataFrame, *, step_oom: float = 0.0) -> pd.DataFrame:
    """Return rows of the best agents: size, log10_flop, elo_observed, by size and compute.

    frame: the table ``board_games_elo``; step_oom: of points closer than so many orders of
    magnitude of compute the first stays (`INDEPENDENT_OOM` for the posterior)
    """
    rows = frame[frame["kind"] == "frontier"].sort_values(["board_size", "training_compute_flop"])
    found = pd.DataFrame(
        {
            "size": rows["board_size"].to_numpy(dtype=float),
            "log10_flop": np.log10(rows["training_compute_flop"].to_numpy(dtype=float)),
            "elo_observed": rows["elo_vs_perfect_play"].to_numpy(dtype=float),
        }
    )
    each = [
        part.iloc[apart(part["log10_flop"].to_numpy(), step_oom)]
        for _, part in found.groupby("size")
    ]
    return pd.concat(each, ignore_index=True)


def least_squares(rows: pd.DataFrame) -> dict[str, float]:
    """Return the constants of least squares from where Jones's own search starts.

    The sum of squares has kinks and more than one minimum close by.
    """
    size, log10_flop = rows["size"].to_numpy(), rows["log10_flop"].to_numpy()

    def residuals(constants: np.ndarray) -> np.ndarray:
        slope, by_size, constant, low_by_size, low = _NAT_ELO * constants
        incline = slope * log10_flop + by_size * size + constant
        return np.minimum(0, np.maximum(incline, low_by_size * size + low)) - rows["elo_observed"]

    found = optimize.least_squares(residuals, _START, x_scale=np.abs(_START))
    return dict(zip(CONSTANTS, map(float, _NAT_ELO * found.x), strict=True))


def model(
    *,
    size: np.ndarray,
    log10_flop: np.ndarray,
    elo_observed: np.ndarray,
    priors: Mapping[str, Interval],
) -> None:
    """NumPyro model of the best agents; arrays are (observation,).

    Sites: as in the section ``board_games`` of the prior set ``learning-curves``; deterministic
    incline_constant and plateau_constant, so that all of `CONSTANTS` are there.
    """
    given = {name: numpyro.sample(name, distribution(*p)) for name, p in priors.items()}
    by_flop, by_size = given["incline_by_log10_flop"], given["incline_by_size"]
    constant = numpyro.deterministic(
        "incline_constant", given["incline_level"] - by_flop * _LOG10_FLOP - by_size * _SIZE
    )
    low = numpyro.deterministic(
        "plateau_constant", given["plateau_level"] - given["plateau_by_size"] * _SIZE
    )
    law = BoardGame(by_flop / LOG_10, by_size, constant, given["plateau_by_size"], low)
    fitted = elo(law, log10_flop * LOG_10, size)
    freedom = jnp.minimum(given["degrees_of_freedom"], MOST_DEGREES_OF_FREEDOM)
    observed = dist.StudentT(freedom, fitted, given["residual_scale"])
    numpyro.sample("elo", observed, obs=elo_observed)


def per_size(law: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one more board size does, from `CONSTANTS`: numbers or (draw,).

    Factors of compute to perfect play and to take-off, and the Elo from random to perfect play.
    """
    slope, by_size, _, low_by_size, _ = (law[name] for name in CONSTANTS)
    return {
        "perfect_play_ratio": 10 ** (-by_size / slope),
        "takeoff_ratio": 10 ** ((low_by_size - by_size) / slope),
        "random_to_perfect_elo": -low_by_size,
    }
