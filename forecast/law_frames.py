"""Kernels of scaling laws over grids of arguments and draws of constants, as data frames."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from jax import Array
from numpy.typing import ArrayLike

from ..kernels.scaling_laws import Chinchilla
from . import law_families, laws

TrainingLaw = str | Mapping[str, ArrayLike]


def training_law(law: TrainingLaw) -> Chinchilla:
    """Return the constants of a law, each (draw,) or a number.

    Raises ``ValueError`` if a published law is of another form, or if draws lack a constant.
    """
    if isinstance(law, str):
        found = laws.law(law)
        if found.kind != "chinchilla":
            raise ValueError(f"law: {law!r} is of kind {found.kind!r}, expected 'chinchilla'")
        return law_families.chinchilla(found.constants)
    missing = [name for name in Chinchilla._fields if name not in law]
    if missing:
        raise ValueError(f"law: draws without {missing}, expected {list(Chinchilla._fields)}")
    return Chinchilla(*(np.ravel(np.asarray(law[name], float)) for name in Chinchilla._fields))


def draws_of(fit: xr.DataTree) -> dict[str, np.ndarray]:
    """Return the constants of a fit (`law_fits.fit_runs`), each (draw,), for `training_law`."""
    forecast = fit["forecast"].to_dataset()
    return {name: forecast[name].to_numpy().ravel() for name in Chinchilla._fields}


def optima(training_flop: ArrayLike) -> pd.DataFrame:
    """Return the compute-optimal runs of budgets under every published law of tokens that has any.

    Columns: law, superseded_by, training_flop [FLOP], parameters, tokens
    """
    positive(training_flop=training_flop)
    flop = np.ravel(np.asarray(training_flop, float))
    frames = []
    for law in map(laws.law, laws.law_ids()):
        if law.kind not in laws.COMPUTED or not law.units["data"].startswith("token"):
            continue
        setting = laws.SETTINGS.get(law.kind, ("", np.nan))[1]
        optimum = law_families.FAMILIES[law.kind].optimum
        assert optimum is not None  # of the kinds that are computed
        with jax.enable_x64(True):
            best = optimum(law.constants, np.log(flop), setting)
        columns = {
            "law": law.id,
            "superseded_by": law.superseded_by,
            "training_flop": flop,
            "parameters": np.exp(np.asarray(best.log_parameters)),
            "tokens": np.exp(np.asarray(best.log_tokens)),
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def positive(**values: ArrayLike | None) -> None:
    """Raise ``ValueError`` naming an argument that is not of positive numbers; None passes."""
    for name, value in values.items():
        given = np.asarray(1.0 if value is None else value, float)
        if not (np.isfinite(given) & (given > 0)).all():
            raise ValueError(f"{name}: got {value!r}, expected positive numbers")


def at_least(least: float, **values: ArrayLike) -> None:
    """Raise ``ValueError`` naming an argument that is not of finite numbers from ``least``."""
    for name, value in values.items():
        given = np.asarray(value, float)
        if not (np.isfinite(given) & (given >= least)).all():
            raise ValueError(f"{name}: got {value!r}, expected finite numbers, at least {least:g}")


def law_frame(
    compute: Callable[..., Mapping[str, Array]],
    law: Any,
    arguments: Mapping[str, ArrayLike],
    *,
    summarised: bool = False,
) -> pd.DataFrame:
    """Return a row for each combination of arguments, and each draw where there are draws.

    compute: (law, then of each argument an array of (point, 1)) -> name -> what broadcasts to
        (point, draw); to (point, 1) with ``summarised``
    law: constants, numbers or (draw,)
    """
    axes = [np.atleast_1d(np.asarray(value, float)) for value in arguments.values()]
    points = np.array(list(product(*axes))).reshape(-1, len(axes))
    draws = 1 if summarised else max(np.size(leaf) for leaf in jax.tree.leaves(law))
    names: list[str] = []

    def values(law: Any, columns: list[Array]) -> list[Array]:
        computed = compute(law, *columns)
        names.extend(computed)  # in their order, which a compiled dictionary would lose
        return list(computed.values())

    with jax.enable_x64(True):
        found = jax.jit(values)(law, [jnp.asarray(points[:, [i]]) for i in range(len(axes))])
    shape = (len(points), draws)
    columns: dict[str, Any] = dict(zip(arguments, np.repeat(points, draws, axis=0).T, strict=True))
    if draws > 1:
        columns["draw"] = np.tile(np.arange(draws), len(points))
    for name, value in zip(names, found, strict=True):
        columns[name] = np.broadcast_to(np.asarray(value), shape).ravel()
    return pd.DataFrame(columns)
