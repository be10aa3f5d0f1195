"""What the fitted loss of language models says of single gains: shares of progress, transformer.

The loss that algorithms, parameters and data act on is, up to a factor and a floor that cancel,

    q exp(-a_year Y) N^-a + (1 - q) exp(-b_year Y) D^-b,

all amid the record, on WikiText-103. Shares of a fall of it are exact Shapley values (Ho et al.
2024, section 3.2), one set for each posterior draw. The transformer's compute-equivalent gain is
the factor of compute without it at which the loss is that with it (section 3.3).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ...kernels.shapley import shapley_shares
from ...kernels.solve import root

# Parameters, tokens and year of published models, as Ho et al. compare them.
RUNS = {
    "RNN (2012)": (6.0e6, 9.29e5, 2012.917),
    "LSTM (2016)": (1.1e7, 1.03e8, 2016.950),
    "Transformer (2018)": (2.47e8, 1.03e8, 2018.740),
    "GPT-2": (1.5e9, 4.0e9, 2019.121),
    "Megatron-LM": (8.3e9, 4.64e10, 2019.709),
    "GPT-3": (1.75e11, 4.99e11, 2020.403),
    "Gopher": (2.8e11, 3.0e11, 2021.935),
    "Chinchilla": (7.0e10, 1.4e12, 2022.240),
}
_CEG_YEAR = 2023.0  # in which Ho et al. value the transformer
_FARTHEST = 40.0  # nat of compute


class Terms(NamedTuple):
    """The two terms, from draws of any shape; middle: ln N, ln D and year amid the record."""

    part: np.ndarray
    alpha: np.ndarray
    alpha_year: np.ndarray
    beta: np.ndarray
    beta_year: np.ndarray
    middle: tuple[float, float, float]


def terms(draws: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> Terms:
    """Return the terms of draws of `language_progress.model` or of model 7; data: its arguments."""
    middle = (data["log_parameters"], data["log_tokens"], data["year"])
    return Terms(
        draws["parameter_part_of_loss"][..., 0],
        draws["parameter_exponent"],
        draws["alpha_year"],
        draws["data_exponent"],
        draws["beta_year"],
        (float(middle[0].mean()), float(middle[1].mean()), float(middle[2].mean())),
    )


def two_terms(law: Terms, log_parameters: Any, log_tokens: Any, year: Any) -> Array:
    """Return the sum of the two terms, 1 amid the record."""
    log_n, log_d = log_parameters - law.middle[0], log_tokens - law.middle[1]
    elapsed = year - law.middle[2]
    by_parameters = jnp.exp(-law.alpha_year * elapsed - law.alpha * log_n)
    by_data = jnp.exp(-law.beta_year * elapsed - law.beta * log_d)
    return law.part * by_parameters + (1 - law.part) * by_data


def shares(law: Terms, start: str, end: str) -> dict[str, np.ndarray]:
    """Return the parts of the fall of loss between two of `RUNS`: parameters, data, algorithms."""
    before, after = RUNS[start], RUNS[end]

    def loss(acted: frozenset[int]) -> Array:
        at = [after[k] if k in acted else before[k] for k in range(3)]
        return two_terms(law, np.log(at[0]), np.log(at[1]), at[2])

    with jax.enable_x64(True):
        found = np.asarray(shapley_shares(loss, 3))
    return dict(zip(("parameters", "data", "algorithms"), found, strict=True))


def transformer_gain(law: Terms, log_gain: np.ndarray, training_flop: float) -> np.ndarray:
    """Return the compute-equivalent gain of the transformer [factor], inf where none is enough.

    As Ho et al. define it: N = D = sqrt(C / 6), scaled alike. log_gain: the fall of ln loss
    """
    side = np.log(training_flop / 6) / 2

    def excess(log_factor: Array) -> Array:
        scaled = side + log_factor / 2
        without = jnp.log(two_terms(law, scaled, scaled, _CEG_YEAR))
        return jnp.log(two_terms(law, side, side, _CEG_YEAR)) - log_gain - without

    with jax.enable_x64(True):
        low = jnp.full(np.shape(log_gain), -_FARTHEST)
        return np.asarray(jnp.exp(root(excess, low, -low)))
