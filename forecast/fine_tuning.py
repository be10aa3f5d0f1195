"""Fine-tuning against training from nothing: what pre-training is worth in data, and in compute.

By the law of effective data transferred (Hernandez et al. 2021), read where data are few: up to
about a tenth of what trains the model to convergence. Parameters without embeddings; data in
characters. Data frames with units in the names, a row for each combination of the arguments.
"""

import jax.numpy as jnp
import pandas as pd
from jax import Array
from numpy.typing import ArrayLike

from ..kernels import priced_data, transfer
from ..kernels.scaling_laws import log_training_flop
from . import law_families, laws
from .law_frames import law_frame, positive


def transfer_law(law_id: str) -> transfer.Transfer:
    """Return the constants of a published law of transfer; ``ValueError`` for any other law."""
    found = laws.law(law_id)
    if found.kind != "transfer":
        raise ValueError(f"law: {law_id!r} is of kind {found.kind!r}, expected 'transfer'")
    return law_families.transfer(found.constants)


def fine_tuning_map(
    law_id: str = "hernandez-2021-text", *, parameters: ArrayLike, characters: ArrayLike
) -> pd.DataFrame:
    """Return how many times the fine-tuning data would be needed without pre-training.

    ``data_multiplier`` is (D_F + D_T) / D_F: 1000 is "three orders of magnitude less data".
    """
    positive(parameters=parameters, characters=characters)

    def compute(law: transfer.Transfer, size: Array, data: Array) -> dict[str, Array]:
        log_size, log_data = jnp.log(size), jnp.log(data)
        return {
            "characters_transferred": jnp.exp(transfer.log_transferred(law, log_data, log_size)),
            "data_multiplier": jnp.exp(transfer.log_multiplier(law, log_data, log_size)),
        }

    arguments = {"parameters": parameters, "characters": characters}
    return law_frame(compute, transfer_law(law_id), arguments)


def fine_tuning_contours(
    law_id: str = "hernandez-2021-text",
    *,
    parameters: ArrayLike,
    data_multiplier: ArrayLike = (10, 100, 1000),
) -> pd.DataFrame:
    """Return up to how many characters pre-training multiplies the data at least so many times."""
    positive(parameters=parameters, data_multiplier=data_multiplier)

    def compute(law: transfer.Transfer, times: Array, size: Array) -> dict[str, Array]:
        most = transfer.log_data_at_multiplier(law, times, jnp.log(size))
        return {"characters_at_most": jnp.exp(most)}

    arguments = {"data_multiplier": data_multiplier, "parameters": parameters}
    return law_frame(compute, transfer_law(law_id), arguments)


def fine_tuning_cost(
    law_id: str = "hernandez-2021-text",
    *,
    parameters: ArrayLike,
    characters: ArrayLike,
    pretraining_tokens: ArrayLike,
    characters_per_token: float,
    tuned_fraction: ArrayLike = 1.0,
    tasks: ArrayLike = 1.0,
) -> pd.DataFrame:
    """Return the FLOP a task costs by fine-tuning with shared pre-training, and from nothing.

    From nothing, the same model is trained on the data that the fine-tuned one is worth, D_F + D_T;
    each datum is seen once. ``tasks_to_break_even``, K*: with more tasks than that fine-tuning is
    the cheaper way, pre-training included. Tuning a fraction q of the weights costs (4 + 2 q) N a
    token, so the fraction matters little.
    """
    positive(
        parameters=parameters,
        characters=characters,
        pretraining_tokens=pretraining_tokens,
        characters_per_token=characters_per_token,
        tuned_fraction=tuned_fraction,
        tasks=tasks,
    )

    def compute(
        law: transfer.Transfer, size: Array, data: Array, before: Array, part: Array, tasks: Array
    ) -> dict[str, Array]:
        log_size, log_data, each = jnp.log(size), jnp.log(data), jnp.log(characters_per_token)
        worth = transfer.log_effective_data(law, log_data, log_size)
        pretraining = log_training_flop(log_size, jnp.log(before))
        tuning = transfer.log_tuning_flop(log_size, log_data - each, part)
        scratch = log_training_flop(log_size, worth - each)
        needed = priced_data.log_tasks_to_break_even(pretraining, tuning, scratch)
        return {
            "data_multiplier": jnp.exp(worth - log_data),
            "tuning_flop": jnp.exp(tuning),
            "pretraining_flop": jnp.exp(pretraining),
            "flop_per_task": jnp.exp(priced_data.log_cost_a_task(pretraining, tuning, tasks)),
            "scratch_flop": jnp.exp(scratch),
            "tasks_to_break_even": jnp.exp(needed),
        }

    arguments = {
        "parameters": parameters,
        "characters": characters,
        "pretraining_tokens": pretraining_tokens,
        "tuned_fraction": tuned_fraction,
        "tasks": tasks,
    }
    return law_frame(compute, transfer_law(law_id), arguments)
