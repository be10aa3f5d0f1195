"""Jones's law of Hex (2021, arXiv 2104.03113): as published, by least squares, as a posterior."""

from typing import Any

import numpy as np
import pandas as pd

from . import inference
from .datasets import load_frame
from .history import board_games, learning_curve

# Jones 2021: printed coefficients, and what the text says of take-off and of the range of Elo.
_PRINTED = (510.0, -430.0, -4400.0, -270.0, 570.0)
_QUOTED = {"perfect_play_ratio": 7.0, "takeoff_ratio": 4.0, "random_to_perfect_elo": 500.0}


def board_game_draws(*, seed: int = 0) -> dict[str, np.ndarray]:
    """Return posterior draws of the constants of Jones's law [Elo], each (draw,)."""
    frame = load_frame("board_games_elo")
    rows = board_games.observations(frame, step_oom=board_games.INDEPENDENT_OOM)
    data: dict[str, Any] = {str(name): rows[name].to_numpy() for name in rows}
    priors = learning_curve.default_priors()["board_games"]
    fit = inference.fit(board_games.model, data | {"priors": priors}, seed=(seed,))
    return {name: fit.draws[name].ravel() for name in board_games.CONSTANTS}


def board_game_law(*, seed: int = 0) -> pd.DataFrame:
    """Return Jones's law of Hex: as published, by least squares, and its posterior.

    Rows: the constants of the law [Elo], then what follows of them per board size: the factors of
    compute to perfect play and to take-off, and the Elo between random and perfect play. Columns:
    published (printed constants; what the text quotes), implied (by the printed constants),
    least_squares, mean, sd, q05, q95. Quoted and implied values of the last two do not agree.
    """
    draws = board_game_draws(seed=seed)
    printed = dict(zip(board_games.CONSTANTS, _PRINTED, strict=True))
    squares = board_games.least_squares(board_games.observations(load_frame("board_games_elo")))
    posterior = pd.DataFrame(draws | board_games.per_size(draws))
    return pd.DataFrame(
        {
            "published": printed | _QUOTED,
            "implied": printed | board_games.per_size(printed),
            "least_squares": squares | board_games.per_size(squares),
            "mean": posterior.mean(),
            "sd": posterior.std(),
            "q05": posterior.quantile(0.05),
            "q95": posterior.quantile(0.95),
        }
    ).loc[[*printed, *_QUOTED]]
