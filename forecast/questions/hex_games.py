"""Hex (Jones 2021): how one network and the best of all improve, as evidence for Q0.1 and Q0.2."""

import json
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from .. import checks
from ..board_game_law import board_game_draws
from ..datasets import load_frame, table_info
from ..plateaus import Plateau, envelope, plateau
from ..provenance import fit_code_key
from ..storage import cached_tree
from .answer import Evidence, Report
from .evidence import DRAWS

BOARD_SIZE = 9  # the largest
EARLY_FLOP = 1e15  # up to here the best are far from perfect play
POINTS = 12  # of a curve; every curve has as many, so that one program fits them all
_EVERY = 3  # every third network, by size
_MODULES = (
    *("plateaus.py", "board_game_law.py", "history/learning_curve.py", "history/board_games.py"),
    "questions/hex_games.py",
)
Curve = tuple[str, np.ndarray, np.ndarray]


def networks() -> pd.DataFrame:
    """Return the training runs of the largest board: curve_id, training_compute_flop, Elo."""
    frame = load_frame("board_games_elo")
    return frame[(frame["kind"] == "run") & (frame["board_size"] == BOARD_SIZE)]


def best(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return (FLOP, Elo) of the best network at each compute."""
    columns = ("training_compute_flop", "elo_vs_perfect_play", "curve_id")
    return envelope(*(frame[name].to_numpy() for name in columns))


def board_game_curves(report: Report) -> Evidence:
    """Return gains from ten times more compute, noise [Elo], and Jones's law; each (draw,).

    ``network_*``: over networks, each with the same weight; ``early_*``, ``best_*``: of the best
    of all networks up to `EARLY_FLOP` and up to the end; then the constants of the law.
    """
    key = {
        "table": table_info("board_games_elo").sha256,
        "code": fit_code_key(*_MODULES),
    }
    tree, _ = cached_tree("hex", key, partial(_fit, report))
    values = {str(name): value.to_numpy() for name, value in tree["draws"].to_dataset().items()}
    source = f"learning curves fitted to board_games_elo, boards of size {BOARD_SIZE}"
    reasons = tuple(json.loads(tree.attrs["reasons"]))
    return Evidence(values, source, tree.attrs["verdict"], reasons)


def _curves() -> Iterator[Curve]:
    frame = networks()
    runs = [(str(name), run) for name, run in frame.groupby("curve_id") if len(run) >= POINTS]
    for name, run in runs[::_EVERY]:
        flop, elo = (run[c].to_numpy() for c in ("training_compute_flop", "elo_vs_perfect_play"))
        yield f"network {name}", flop, elo
    flop, elo = best(frame)
    yield "best", flop, elo
    yield "early", flop[flop <= EARLY_FLOP], elo[flop <= EARLY_FLOP]


def _fit(report: Report) -> xr.DataTree:
    curves, found = list(_curves()), {}
    for index, (name, flop, elo) in enumerate(curves):
        report("fit learning curves", index, len(curves))
        kept = np.linspace(0, len(flop) - 1, POINTS).round().astype(int)
        found[name] = plateau(flop[kept], elo[kept], limit=0)
    report("fit learning curves", len(curves), len(curves))
    passed = {n: p for n, p in found.items() if p.verdict.verdict != "FAIL"}
    verdict = checks.together({n: p.verdict for n, p in passed.items()})
    left_out = [f"{n}: left out, its fit fails the gate" for n in found if n not in passed]
    rng = np.random.default_rng(0)
    single = [_draws(p, rng) for n, p in passed.items() if n.startswith("network")]
    gains = {"network": rng.choice(np.concatenate(single, axis=1), DRAWS, axis=1)}
    gains |= {name: _draws(passed[name], rng) for name in ("early", "best")}
    law = pd.DataFrame(board_game_draws()).sample(DRAWS, replace=True, random_state=0)
    values = {str(name): law[name].to_numpy() for name in law}
    for name, (gain, noise) in gains.items():
        values |= {f"{name}_gain_10x": gain, f"{name}_noise": noise}
    data = xr.Dataset({name: ("draw", value) for name, value in values.items()})
    reasons = [*verdict.reasons, *left_out]
    tree = xr.DataTree.from_dict({"draws": data})
    tree.attrs = {"verdict": verdict.verdict, "reasons": json.dumps(reasons)}
    return tree


def _draws(found: Plateau, rng: np.random.Generator) -> np.ndarray:
    """Return draws of the stack of curves: gain from ten times the compute, noise; (2, draw)."""
    families = list(found.families.values())
    weight = np.clip([f.weight for f in families], 0, None)
    chosen = rng.choice(len(families), DRAWS, p=weight / weight.sum())
    pairs = np.stack([np.stack([f.gain_10x, f.noise]) for f in families])
    return pairs[chosen, :, rng.integers(pairs.shape[2], size=DRAWS)].T
