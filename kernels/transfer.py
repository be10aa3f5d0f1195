"""Transfer from pre-training to a task with little data: Hernandez et al. (2021, arXiv 2102.01293).

Fine-tuning on D_F characters of the task does as well as training from nothing on D_F + D_T, with
the effective data transferred D_T = k D_F^alpha N^beta. Elementwise, natural logarithms; the law
holds where data are few, up to about a tenth of what would train the model to convergence.
"""

from math import log
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from .kaplan import KaplanData, kaplan_loss


class Transfer(NamedTuple):
    """log_scale: ln k [character]; data_exponent, parameter_exponent: alpha, beta."""

    log_scale: ArrayLike
    data_exponent: ArrayLike
    parameter_exponent: ArrayLike


def log_transferred(law: Transfer, log_data: ArrayLike, log_parameters: ArrayLike) -> Array:
    """Return ln D_T, the characters that pre-training is worth."""
    by_data = jnp.asarray(log_data) * law.data_exponent
    return by_data + jnp.asarray(log_parameters) * law.parameter_exponent + law.log_scale


def log_effective_data(law: Transfer, log_data: ArrayLike, log_parameters: ArrayLike) -> Array:
    """Return ln(D_F + D_T), the data from nothing that fine-tuning is worth."""
    return jnp.logaddexp(log_data, log_transferred(law, log_data, log_parameters))


def log_multiplier(law: Transfer, log_data: ArrayLike, log_parameters: ArrayLike) -> Array:
    """Return ln of the data multiplier (D_F + D_T) / D_F."""
    return jnp.logaddexp(0.0, log_transferred(law, log_data, log_parameters) - log_data)


def log_data_at_multiplier(
    law: Transfer, multiplier: ArrayLike, log_parameters: ArrayLike
) -> Array:
    """Return ln D_F up to which the data multiplier is at least this; inf for a multiplier of 1."""
    beyond = jnp.asarray(multiplier) - 1
    needed = law.log_scale + law.parameter_exponent * jnp.asarray(log_parameters)
    needed = needed - jnp.log(jnp.where(beyond > 0, beyond, 1))
    return jnp.where(beyond > 0, needed / (1 - jnp.asarray(law.data_exponent)), jnp.inf)


def log_data_for_effective(
    law: Transfer, log_transferred_data: ArrayLike, log_parameters: ArrayLike
) -> Array:
    """Return ln D_F with which D_T is this: the inverse of `log_transferred`."""
    by_parameters = jnp.asarray(log_parameters) * law.parameter_exponent
    return (jnp.asarray(log_transferred_data) - law.log_scale - by_parameters) / law.data_exponent


def transfer_elasticities(law: Transfer) -> tuple[Array, Array]:
    """Return d ln(D_T) / d ln N and d ln(D_T) / d ln D_F; their ratio is the exchange."""
    return jnp.asarray(law.parameter_exponent), jnp.asarray(law.data_exponent)


def transfer_loss(
    law: Transfer, scratch: KaplanData, log_data: ArrayLike, log_parameters: ArrayLike
) -> Array:
    """Return the loss after fine-tuning [nat/character, as of the law from nothing].

    scratch: L(N, D) of models trained on the task from nothing, with Dc in characters. The paper
    prints D_T in the place of D_F + D_T, from which it differs little where the law holds.
    """
    return kaplan_loss(scratch, log_parameters, log_effective_data(law, log_data, log_parameters))


def log_tuning_flop(
    log_parameters: ArrayLike, log_tokens: ArrayLike, tuned_fraction: ArrayLike = 1.0
) -> Array:
    """Return ln of the FLOP of training a fraction q of the weights: (4 + 2 q) N a token.

    The forward pass (2 N) and the gradients of the activations (2 N) are needed for any q > 0, and
    only the gradients of the weights (2 q N) are saved; q = 1 is C = 6 N D.
    """
    each = jnp.log(2 + jnp.asarray(tuned_fraction)) + log(2)
    return each + jnp.asarray(log_parameters) + log_tokens
