"""Training versus performance competitiveness: what taxes on a model cost its developer.

After Hubinger (2020): a training tax tau delays, an inference tax iota is paid at each use, a
ceiling tax delta is never made up for. Only without the last two is a delay the whole story.
"""

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array
from numpy.typing import ArrayLike

from ..kernels import competitiveness
from .law_frames import at_least, law_frame, positive

_QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}


def taxes(
    *,
    training_tax: ArrayLike,
    doubling_time_years: ArrayLike,
    inference_tax: ArrayLike = 1.0,
    ceiling_tax: ArrayLike = 0.0,
    lead_years: ArrayLike = 0.0,
) -> pd.DataFrame:
    """Return what a training tax costs in time, and whether time is all that it costs.

    doubling_time_years: of effective compute [yr], a number or draws, which are summarised: the
    delay log2(tau) T and the largest tax that a lead affords, 2^(lead / T), by their quantiles.
    ``probability_first`` is P(delay < lead), of the taxed developer with that lead and no other
    tax; ``one_dimension`` is whether there is no other tax; ``tokens_served_per_training_token`` is
    D_inf / D at which both taxes cost the same, inf without an inference tax and NaN without any.
    """
    positive(doubling_time_years=doubling_time_years)
    at_least(1, training_tax=training_tax, inference_tax=inference_tax)
    at_least(0, ceiling_tax=ceiling_tax, lead_years=lead_years)

    def compute(
        time: Array, tau: Array, iota: Array, delta: Array, lead: Array
    ) -> dict[str, Array]:
        delay = competitiveness.delay_years(jnp.log(tau), time)
        affordable = competitiveness.affordable_tax(lead, time)
        spread = {
            f"{name}_{quantile}": jnp.quantile(values, share, axis=1, keepdims=True)
            for name, values in (("delay_years", delay), ("affordable_tax", affordable))
            for quantile, share in _QUANTILES.items()
        }
        served = competitiveness.log_tokens_of_equal_taxes(0.0, tau, iota)
        return spread | {
            "probability_first": (delay < lead).mean(axis=1, dtype=float, keepdims=True),
            "one_dimension": competitiveness.is_one_dimension(iota, delta),
            "tokens_served_per_training_token": jnp.exp(served),
        }

    draws = np.ravel(np.asarray(doubling_time_years, float))
    arguments = {
        "training_tax": training_tax,
        "inference_tax": inference_tax,
        "ceiling_tax": ceiling_tax,
        "lead_years": lead_years,
    }
    return law_frame(compute, draws, arguments, summarised=True)


def delay_to_match(
    curve: competitiveness.Performance,
    *,
    training_flop: ArrayLike,
    doubling_time_years: ArrayLike,
    training_tax: ArrayLike = 1.0,
    ceiling_tax: ArrayLike = 0.0,
) -> pd.DataFrame:
    """Return when a taxed developer performs as the untaxed one does, a row for each draw.

    curve: constants of performance against FLOP; doubling_time_years: [yr], a number or draws.
    ``delay_years`` is inf where the untaxed performance is above the taxed ceiling: two dimensions.
    """
    positive(training_flop=training_flop, doubling_time_years=doubling_time_years)
    at_least(1, training_tax=training_tax)
    at_least(0, ceiling_tax=ceiling_tax)

    def compute(time: Array, flop: Array, tau: Array, delta: Array) -> dict[str, Array]:
        plain = jnp.log(flop)
        matched = competitiveness.log_flop_to_match(curve, plain, tau, delta)
        return {
            "performance": competitiveness.performance(curve, plain),
            "training_flop_to_match": jnp.exp(matched),
            "delay_years": competitiveness.delay_years(matched - plain, time),
        }

    arguments = {
        "training_flop": training_flop,
        "training_tax": training_tax,
        "ceiling_tax": ceiling_tax,
    }
    return law_frame(compute, np.ravel(np.asarray(doubling_time_years, float)), arguments)
