"""NUTS (Hoffman & Gelman 2014) with a dense mass matrix, nodes marginalised, and checkpoints.

Iterations run in blocks. Where a folder is given, every block is written there with the state of
the chains after it, whole or not at all, and a later call goes on behind the last good block: the
draws are bit for bit those of a run that was never interrupted. A block counts only if it carries
the digest of this very posterior, its data, settings and library versions; anything else in the
folder, damaged files too, is sampled again.
"""

import hashlib
import io
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import logsumexp
from numpyro.infer import NUTS

from .compiled import quickly

BLOCK = 100  # iterations between checkpoints
_STATISTICS = ("diverging", "energy", "num_steps", "accept_prob")
LogDensity = Callable[[Any, Any], Array]


class _Block(NamedTuple):
    """Some iterations of all chains, and the state after them.

    flat: (chain, iteration, parameter); statistics: name -> (chain, iteration); state: its leaves
    """

    flat: np.ndarray
    statistics: dict[str, np.ndarray]
    state: list[np.ndarray]


def sample(
    log_density: LogDensity,
    start: np.ndarray,
    nodes: np.ndarray,
    seed: int,
    *,
    draws: int,
    warmup: int,
    report: Callable[[int, int], None],
    folder: Path | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return (unconstrained draws, (chain x draw, parameter); statistics, each (chain, draw)).

    log_density: of one point and one node, in JAX; nodes: (node, ...), equally likely beforehand,
    over which the density is summed
    start: (chain, parameter); report: called with (iterations done, iterations in all) after each
    block is written; folder: of the checkpoints
    """
    with jax.enable_x64(True):
        advance, state = _start(log_density, start, nodes, seed, warmup)
        digest = b"" if folder is None else _digest(log_density, start, nodes, seed, warmup)
        blocks: list[_Block] = []
        iterations, resumed = warmup + draws, folder is not None
        while len(blocks) * BLOCK < iterations:
            path = Path(folder or "") / f"block-{len(blocks):06d}.npz"
            block = _read(path, digest, state) if resumed else None
            if block is None:
                resumed, block = False, advance(state)
                if folder is not None:
                    _write(path, digest, block)
            state = block.state
            blocks.append(block)
            done = min(len(blocks) * BLOCK, iterations)
            report(done * len(start), iterations * len(start))
    kept = slice(warmup, iterations)
    flat = np.concatenate([block.flat for block in blocks], axis=1)[:, kept]
    return flat.reshape(-1, start.shape[1]), {
        name: np.concatenate([block.statistics[name] for block in blocks], axis=1)[:, kept]
        for name in _STATISTICS
    }


def _potential(log_density: LogDensity, nodes: np.ndarray) -> Callable[[Array], Array]:
    """Return minus the log density summed over nodes."""

    def potential(flat: Array) -> Array:
        return -logsumexp(jax.vmap(log_density, in_axes=(None, 0))(flat, jnp.asarray(nodes)))

    return potential


def _start(
    log_density: LogDensity, start: np.ndarray, nodes: np.ndarray, seed: int, warmup: int
) -> tuple[Callable[[list[np.ndarray]], _Block], list[np.ndarray]]:
    """Return (the function from the leaves of a state to the next block, those of the first)."""
    kernel = NUTS(
        potential_fn=_potential(log_density, nodes), dense_mass=True, target_accept_prob=0.9
    )
    keys = jax.random.split(jax.random.PRNGKey(seed), len(start))
    # As one program: step by step, each of its hundreds of operations would be compiled.
    begin = jax.jit(
        lambda start: kernel.init(keys, warmup, start, (), {}), compiler_options=quickly()
    )
    first, structure = jax.tree.flatten(begin(jnp.asarray(start)))

    def step(state: Any, _: None) -> tuple[Any, Any]:
        state = kernel.sample(state, (), {})
        return state, (state.z, {name: getattr(state, name) for name in _STATISTICS})

    scan = jax.jit(
        lambda state: jax.lax.scan(step, state, None, length=BLOCK),
        compiler_options=quickly(level=1),
    )

    def advance(leaves: list[np.ndarray]) -> _Block:
        state, out = scan(jax.tree.unflatten(structure, leaves))
        flat, statistics = jax.tree.map(lambda leaf: np.asarray(leaf).swapaxes(0, 1), out)
        return _Block(flat, statistics, list(map(np.asarray, jax.tree.leaves(state))))

    return advance, list(map(np.asarray, first))


def _digest(
    log_density: LogDensity, start: np.ndarray, nodes: np.ndarray, seed: int, warmup: int
) -> bytes:
    """Return a hash of all that the draws depend on, except how many there are.

    The posterior enters as the program that computes it, constants (the data) included.
    """
    program = jax.jit(_potential(log_density, nodes)).trace(jnp.asarray(start[0]))
    found = hashlib.sha256(program.lower().as_text().encode())
    for array in (start, nodes, *map(np.asarray, program.jaxpr.consts)):
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    versions = [version(package) for package in ("jax", "jaxlib", "numpyro", "numpy")]
    settings = seed, warmup, BLOCK, versions, jax.default_backend(), quickly(level=1)
    found.update(repr(settings).encode())
    return found.digest()


def _write(path: Path, digest: bytes, block: _Block) -> None:
    """Write a block whole or not at all."""
    arrays = {f"state_{k}": leaf for k, leaf in enumerate(block.state)}
    arrays |= {"flat": block.flat, "digest": np.frombuffer(digest, np.uint8), **block.statistics}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.getvalue())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _read(path: Path, digest: bytes, like: list[np.ndarray]) -> _Block | None:
    """Return a block that belongs to this run, else None."""
    try:
        content = io.BytesIO(path.read_bytes())
        with np.load(content, allow_pickle=False) as stored:
            if stored["digest"].tobytes() != digest:
                return None
            state = [stored[f"state_{k}"] for k in range(len(like))]
            if [(leaf.shape, leaf.dtype) for leaf in state] != [(x.shape, x.dtype) for x in like]:
                return None
            return _Block(stored["flat"], {name: stored[name] for name in _STATISTICS}, state)
    except Exception:  # missing or damaged, however: sampled again
        return None
