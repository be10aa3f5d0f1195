"""What scaling laws say to someone who trains: how large, on how much, for whom, at what delay.

Every function takes a law as `law_frames.training_law` does, by id or as draws of a posterior, and
plain numbers or 1-D arrays. It returns a data frame with units in the names: a row for each
combination of the arrays, and for each draw of a posterior (column ``draw``). Bad input is a
``ValueError`` that names the argument.
"""

from collections.abc import Callable, Sequence
from itertools import product
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax import Array
from numpy.typing import ArrayLike

from ..kernels import competitiveness, priced_data, serving
from ..kernels import training_economics as economics
from ..kernels.scaling_laws import (
    Chinchilla,
    Optimum,
    chinchilla_log_flop,
    chinchilla_optimum,
    log_training_flop,
)
from . import law_families, laws
from .law_frames import TrainingLaw, at_least, law_frame, positive, training_law

_LOG_10 = log(10)


# --- training for inference ----------------------------------------------------------------------

_QUALITIES: dict[str, Callable[[Chinchilla, Array, Array], Optimum]] = {
    "loss_nats": lambda law, at, served: economics.serving_optimum_at_loss(law, at, served),
    "training_flop": lambda law, at, served: economics.serving_optimum_at_training_flop(
        law, jnp.log(at), served
    ),
    "lifetime_flop": lambda law, at, served: economics.serving_optimum_at_lifetime_flop(
        law, jnp.log(at), served
    ),
}


def inference_aware_optimum(
    law: TrainingLaw,
    *,
    tokens_served: ArrayLike,
    loss_nats: ArrayLike | None = None,
    training_flop: ArrayLike | None = None,
    lifetime_flop: ArrayLike | None = None,
    doubling_time_years: ArrayLike | None = None,
) -> pd.DataFrame:
    """Return the runs of least 6 N D + 2 N D_inf (Sardana et al. 2023), and what they change.

    One of ``loss_nats`` (fixed quality), ``training_flop`` (the run of that cost which is best for
    its own quality) and ``lifetime_flop`` (least loss) is given. ``tokens_served`` may be priced
    ones, see `priced_tokens`; then lifetime FLOP are dollars in the FLOP of training they buy.
    Columns ending in ``_ratio`` are relative to the compute-optimal run of the same loss.
    ``delay_years`` [yr] is what the dearer training costs where training compute doubles in
    ``doubling_time_years``, a number or draws beside those of the law. Losses that no run reaches
    have infinite parameters.
    """
    given = {"loss_nats": loss_nats, "training_flop": training_flop, "lifetime_flop": lifetime_flop}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise ValueError(f"{', '.join(given)}: got {len(chosen)} of them, expected one")
    at_least(0, tokens_served=tokens_served)
    positive(doubling_time_years=doubling_time_years, **{chosen[0]: given[chosen[0]]})

    def compute(given: tuple[Chinchilla, Array], at: Array, tokens: Array) -> dict[str, Array]:
        (law, doubling_time), served = given, jnp.log(tokens)
        run = _QUALITIES[chosen[0]](law, at, served)
        plain = chinchilla_optimum(law, chinchilla_log_flop(law, run.loss))
        training, before = (log_training_flop(each[0], each[1]) for each in (run, plain))
        lifetime, total = (economics.log_lifetime_flop(each, served) for each in (run, plain))
        found = {
            "parameters": jnp.exp(run.log_parameters),
            "training_tokens": jnp.exp(run.log_tokens),
            "tokens_per_parameter": jnp.exp(run.log_tokens - run.log_parameters),
            "loss_nats": run.loss,
            "training_flop": jnp.exp(training),
            "inference_flop": jnp.exp(economics.log_serving_flop(run.log_parameters, served)),
            "lifetime_flop": jnp.exp(lifetime),
            "parameters_ratio": jnp.exp(run.log_parameters - plain.log_parameters),
            "training_tokens_ratio": jnp.exp(run.log_tokens - plain.log_tokens),
            "training_flop_ratio": jnp.exp(training - before),
            "lifetime_flop_ratio": jnp.exp(lifetime - total),
        }
        if doubling_time_years is not None:
            delay = competitiveness.delay_years(training - before, doubling_time)
            found["delay_years"] = delay
        return {name: values for name, values in found.items() if name != chosen[0]}

    time = np.ravel(np.asarray(1.0 if doubling_time_years is None else doubling_time_years, float))
    arguments = {chosen[0]: np.asarray(given[chosen[0]]), "tokens_served": tokens_served}
    return law_frame(compute, (training_law(law), time), arguments)


def priced_tokens(
    *,
    input_tokens: float,
    output_tokens: float,
    training_flop_per_dollar: float,
    input_flop_per_dollar: float,
    output_flop_per_dollar: float,
) -> float:
    """Return served tokens as ones that cost training FLOP, for `inference_aware_optimum`.

    FLOP per dollar are delivered ones: peak FLOP/s x 3600 x utilisation / dollars an hour.
    """
    prices = (training_flop_per_dollar, input_flop_per_dollar, output_flop_per_dollar)
    positive(flop_per_dollar=prices)
    at_least(0, input_tokens=input_tokens, output_tokens=output_tokens)
    with jax.enable_x64(True):
        return float(jnp.exp(economics.log_priced_tokens(input_tokens, output_tokens, *prices)))


def overtraining_overhead(law: TrainingLaw, *, parameters_ratio: ArrayLike) -> pd.DataFrame:
    """Return what a smaller model costs to train to the same loss (de Vries 2023).

    parameters_ratio: k_N, parameters over compute-optimal ones. ``overhead`` is k_N k_D - 1, the
    same at every budget, inf at and below ``critical_parameters_ratio``.
    """
    positive(parameters_ratio=parameters_ratio)

    def compute(law: Chinchilla, ratio: Array) -> dict[str, Array]:
        smaller = jnp.log(ratio)
        return {
            "training_tokens_ratio": jnp.exp(economics.log_token_factor(law, smaller)),
            "overhead": economics.overtraining_overhead(law, smaller),
            "critical_parameters_ratio": jnp.exp(economics.log_critical_size_factor(law)),
        }

    return law_frame(compute, training_law(law), {"parameters_ratio": parameters_ratio})


def scaling_policy(law: TrainingLaw, *, marginal_exchange: ArrayLike = 6.0) -> pd.DataFrame:
    """Return the inference that overtraining saves up to a marginal exchange, and its price [OOM].

    marginal_exchange: OOM of training for the last OOM of inference; 6 in Villalobos & Atkinson
    (2023), whose spans of other techniques are in `priors.published_exchange`.
    """
    positive(marginal_exchange=marginal_exchange)

    def compute(law: Chinchilla, exchange: Array) -> dict[str, Array]:
        smaller, dearer = economics.scaling_policy_at_exchange(law, exchange)
        return {
            "inference_saved_oom": -smaller / _LOG_10,
            "training_added_oom": dearer / _LOG_10,
            "inference_saved_at_most_oom": -economics.log_critical_size_factor(law) / _LOG_10,
        }

    return law_frame(compute, training_law(law), {"marginal_exchange": marginal_exchange})


# --- compression ---------------------------------------------------------------------------------


def envelope_choice(
    law: TrainingLaw,
    *,
    training_flop: ArrayLike,
    gigabytes: ArrayLike | None = None,
    flop_per_token: ArrayLike | None = None,
    bits: Sequence[float] = (8, 7, 6, 5, 4, 3),
    sparsities: Sequence[float] = (0.0,),
    quantisation_law: str = "kumar-2024",
    sparsity_law: str = "frantar-2023-t5",
    quantisation_loss_factor: ArrayLike = 1.0,
    summarise: bool = True,
) -> pd.DataFrame:
    """Return the best model within a training budget and a serving envelope, dense or compressed.

    The dense one has weights of 16 bits and is overtrained where the envelope is tight; the
    compressed one is the best of all ``bits`` x ``sparsities``, at 16 bits only where sparse.
    ``compression_gain_nats`` is what the latter saves of the loss. Envelope: memory of the weights
    [GB] or FLOP of a generated token. ``dense_parameters_ratio`` is 1 where the compute-optimal
    model fits, and nothing has to be overtrained. With ``summarise``, rows are of (budget,
    envelope) and hold P(overtrained small wins), quantiles of the gain over draws, and medians of
    the best recipe.

    The laws of compression were fitted to models of up to 1.7e9 parameters and 2.6e10 tokens
    (quantisation) and 8.5e7 weights (sparsity): beyond, an extrapolation without an error.
    ``quantisation_loss_factor``, a number or draws, multiplies what quantisation costs.
    """
    if (gigabytes is None) == (flop_per_token is None):
        raise ValueError("gigabytes, flop_per_token: expected one of the two")
    name = "gigabytes" if flop_per_token is None else "flop_per_token"
    envelope = np.asarray(gigabytes if flop_per_token is None else flop_per_token)
    positive(training_flop=training_flop, bits=bits, **{name: envelope})
    positive(quantisation_loss_factor=quantisation_loss_factor)
    if not all(0 <= share < 1 for share in sparsities):
        raise ValueError(f"sparsities: got {sparsities!r}, expected shares from 0 to below 1")
    options = [(16.0, 0.0), *product(map(float, bits), sparsities)]
    options += [(16.0, share) for share in sparsities if share > 0]
    width, zero = (jnp.asarray(x) for x in zip(*options, strict=True))

    def admitted(envelope: Array, bits: Array, sparsity: Array) -> Array:
        if name == "gigabytes":
            return serving.log_parameters_in_memory(jnp.log(1e9 * envelope), bits, sparsity)
        return serving.log_parameters_in_flop(jnp.log(envelope), sparsity)

    def compute(law: serving.Laws, flop: Array, envelope: Array) -> dict[str, Array]:
        limits = jax.vmap(lambda b, s: admitted(envelope, b, s))(width, zero)
        dense = serving.recipe(law, jnp.log(flop), limits[0], width[0], zero[0])
        best = serving.best_recipe(law, jnp.log(flop), limits[1:], width[1:], zero[1:])
        return {
            "compression_gain_nats": dense.loss - best.loss,
            "dense_loss_nats": dense.loss,
            "dense_parameters": jnp.exp(dense.log_parameters),
            "dense_parameters_ratio": jnp.exp(
                dense.log_parameters - chinchilla_optimum(law.training, jnp.log(flop))[0]
            ),
            "loss_nats": best.loss,
            "parameters": jnp.exp(best.log_parameters),
            "training_tokens": jnp.exp(best.log_tokens),
            "bits": best.bits,
            "sparsity": best.sparsity,
        }

    rounding = law_families.quantisation(laws.law(quantisation_law).constants)
    factor = np.log(np.ravel(np.asarray(quantisation_loss_factor, float)))
    all_laws = serving.Laws(
        training_law(law),
        rounding._replace(log_scale=rounding.log_scale + factor),
        law_families.sparsity(laws.law(sparsity_law).constants),
    )
    frame = law_frame(compute, all_laws, {"training_flop": training_flop, name: envelope})
    return _summary(frame, ["training_flop", name]) if summarise else frame


def _summary(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    groups = frame.groupby(by, sort=False)
    gain = groups["compression_gain_nats"]
    found = groups.median().drop(columns="draw", errors="ignore")
    found["compression_gain_nats_q05"] = gain.quantile(0.05)
    found["compression_gain_nats_q95"] = gain.quantile(0.95)
    wins = (frame["compression_gain_nats"] <= 0).groupby([frame[name] for name in by], sort=False)
    found.insert(0, "probability_overtrained_small_wins", wins.mean())
    return found.reset_index()


# --- learning on the job -------------------------------------------------------------------------


def sample_efficiency(
    law: TrainingLaw,
    *,
    loss_nats: ArrayLike,
    tokens_served: ArrayLike,
    new_loss_nats: ArrayLike,
    price_flop_per_token: ArrayLike,
    new_law: str | None = None,
) -> pd.DataFrame:
    """Return the N of least 6 N D + 2 N D_inf + price x D_new at a training loss.

    D_new: what N parameters need to reach ``new_loss_nats`` on data that cost a price [FLOP of
    training a token], by ``new_law`` or the same law. Above ``price_threshold_flop_per_token`` the
    best N exceeds the compute-optimal one.
    """
    positive(loss_nats=loss_nats, new_loss_nats=new_loss_nats)
    at_least(0, tokens_served=tokens_served, price_flop_per_token=price_flop_per_token)
    other = None if new_law is None else training_law(new_law)

    def compute(
        law: Chinchilla, loss: Array, tokens: Array, new_loss: Array, price: Array
    ) -> dict[str, Array]:
        new, served = law if other is None else other, jnp.log(tokens)
        learning = priced_data.Learning(new, new_loss, jnp.log(price))
        size = priced_data.log_parameters_of_learner(law, loss, served, learning)
        plain = chinchilla_optimum(law, chinchilla_log_flop(law, loss)).log_parameters
        threshold = priced_data.log_price_threshold(law, loss, served, new, new_loss)
        return {
            "parameters": jnp.exp(size),
            "parameters_ratio": jnp.exp(size - plain),
            "price_threshold_flop_per_token": jnp.exp(threshold),
        }

    arguments = {
        "loss_nats": loss_nats,
        "tokens_served": tokens_served,
        "new_loss_nats": new_loss_nats,
        "price_flop_per_token": price_flop_per_token,
    }
    return law_frame(compute, training_law(law), arguments)
