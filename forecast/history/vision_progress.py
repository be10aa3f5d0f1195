"""Rival accounts of progress in image classification (Erdil & Besiroglu 2022, arXiv 2212.05153).

With C the training compute, D the images, t the year and e the top-1 error on ImageNet, all amid
the record,

    ln e / (1 - e) = level - c (ln C + ln 2 t / T) - d ln D,

so that algorithms halve the compute of an error every T years. The authors' model, informed by
scaling laws, tells apart what algorithms do for compute and for data; the rival of two terms is

    e / (1 - e) = exp(level) [q exp(-c (ln C + g_c t)) + (1 - q) exp(-d (ln D + g_d t))].

Residuals of the logit are Student-t. Their code and the exact form of their model were not at hand,
so this is a reading of the paper, on its data.
"""

from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from ...kernels.shapley import shapley_shares
from ...priors.elicitation import distribution
from .algorithmic_progress import somewhere_between_0_and_1
from .study import Draws, Rival, Study, dated, priors
from .trend import MOST_DEGREES_OF_FREEDOM, Priors

TABLE, SECTION = "imagenet_progress", "vision-progress"
_COLUMNS = ("year", "log_flop", "log_images", "logit_error")


def progress(*, as_of_year: float = inf) -> Study:
    """Return the ImageNet errors of vision models, and five rival accounts of their progress."""
    rows = observations(as_of_year)
    plain: dict[str, Any] = {name: rows[name].to_numpy() for name in _COLUMNS}
    plain["priors"] = priors(SECTION)
    data = plain | {"extra_data": rows["extra_data"].to_numpy()}

    def linear(claim: str, **options: bool) -> Rival:
        return Rival(claim, model, data | options, partial(_of_one_line, rows=rows))

    rivals = {
        "both": linear("compute, data and algorithms that save compute"),
        "compute-only": linear("data matter only through the compute they take", by_data=False),
        "extra-data": linear("data beyond ImageNet are of another kind", by_extra=True),
        "no-progress": linear("compute and data explain all", by_year=False),
        "two-terms": Rival(
            "compute and data are bottlenecks of their own, and algorithms widen both",
            two_terms_model,
            plain,
            partial(_of_two_terms, rows=rows),
        ),
    }
    title = "Algorithmic progress in image classification"
    return Study(title, (TABLE,), rows, "logit_error", "logit of top-1 error", rivals)


def observations(as_of_year: float = inf) -> pd.DataFrame:
    """Return rows with known compute: name, year, log_flop, log_images, logit_error, extra_data.

    Raises ``ValueError`` if fewer than 20 remain.
    """
    frame = dated(TABLE, as_of_year)
    frame = frame[frame["training_compute_flop"].notna()]
    if len(frame) < 20:
        raise ValueError(
            f"vision_progress: {len(frame)} models before {as_of_year:.2f}, expected at least 20"
        )
    error = frame["top1_error_percent"].to_numpy(dtype=float) / 100
    return pd.DataFrame(
        {
            "name": frame["name"].to_numpy(),
            "year": frame["year"].to_numpy(),
            "log_flop": np.log(frame["training_compute_flop"].to_numpy(dtype=float)),
            "log_images": np.log(frame["training_datapoints"].to_numpy(dtype=float)),
            "logit_error": np.log(error / (1 - error)),
            "extra_data": frame["extra_data"].to_numpy(dtype=float),
        }
    )


def model(
    *,
    year: np.ndarray,
    log_flop: np.ndarray,
    log_images: np.ndarray,
    extra_data: np.ndarray,
    logit_error: np.ndarray,
    priors: Priors,
    by_data: bool = True,
    by_year: bool = True,
    by_extra: bool = False,
) -> None:
    """NumPyro model of one line; arrays are (observation,).

    by_data, by_year, by_extra: whether images, the year and data beyond ImageNet matter.

    Sites: level, compute_elasticity, residual_scale, degrees_of_freedom and, as far as these
    matter, halving_time_years, data_elasticity, extra_data_effect.
    """
    prior = {name: distribution(*interval) for name, interval in priors.items()}
    through = numpyro.sample("compute_elasticity", prior["compute_elasticity"])
    fall = through * (log_flop - log_flop.mean())
    if by_year:
        halving = numpyro.sample("halving_time_years", prior["halving_time_years"])
        fall += through * jnp.log(2) / halving * (year - year.mean())
    if by_data:
        by_images = numpyro.sample("data_elasticity", prior["data_elasticity"])
        fall += by_images * (log_images - log_images.mean())
    if by_extra:
        effect = numpyro.sample("extra_data_effect", prior["extra_data_effect"])
        fall += effect * (extra_data - extra_data.mean())
    _observe(numpyro.sample("level", prior["level"]) - fall, logit_error, prior)


def two_terms_model(
    *,
    year: np.ndarray,
    log_flop: np.ndarray,
    log_images: np.ndarray,
    logit_error: np.ndarray,
    priors: Priors,
) -> None:
    """NumPyro model of two terms; arrays are (observation,).

    compute_elasticity and data_elasticity_of_term are those of the whole odds amid the record, as
    is year_effect; year_share: the part of this that comes through compute; compute_part: q.
    """
    prior = {name: distribution(*interval) for name, interval in priors.items()}
    part = numpyro.sample("compute_part", somewhere_between_0_and_1())
    share = numpyro.sample("year_share", somewhere_between_0_and_1())
    through = numpyro.sample("compute_elasticity", prior["compute_elasticity"])
    images = numpyro.sample("data_elasticity_of_term", prior["data_elasticity_of_term"])
    effect = numpyro.sample("year_effect", prior["year_effect"])
    elapsed = year - year.mean()
    by_compute = through * (log_flop - log_flop.mean()) + share * effect * elapsed
    by_images = images * (log_images - log_images.mean()) + (1 - share) * effect * elapsed
    terms = jnp.logaddexp(
        jnp.log(part) - by_compute / part, jnp.log1p(-part) - by_images / (1 - part)
    )
    _observe(numpyro.sample("level", prior["level"]) + terms, logit_error, prior)


def _observe(centre: Any, logit_error: np.ndarray, prior: Mapping[str, dist.Distribution]) -> None:
    scale = numpyro.sample("residual_scale", prior["residual_scale"])
    freedom = numpyro.sample("degrees_of_freedom", prior["degrees_of_freedom"])
    freedom = jnp.minimum(freedom, MOST_DEGREES_OF_FREEDOM)
    numpyro.sample("logit_error", dist.StudentT(freedom, centre, scale), obs=logit_error)


# --- what readers want ---------------------------------------------------------------------------


def ends(rows: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """Return (first, best) model of the record: log_flop, log_images and year of each."""
    first, best = (int(rows[name].argmin()) for name in ("year", "logit_error"))
    columns = ("log_flop", "log_images", "year")
    found = [{name: float(rows[name].iloc[row]) for name in columns} for row in (first, best)]
    return found[0], found[1]


def _of_one_line(draws: Draws, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    through = draws["compute_elasticity"]
    nothing = np.zeros_like(through)
    found = {"compute_elasticity": through}
    per_year = nothing
    if "halving_time_years" in draws:
        found["halving_time_months"] = 12 * draws["halving_time_years"]
        found["growth_oom_per_year"] = np.log10(2) / draws["halving_time_years"]
        per_year = through * np.log(2) / draws["halving_time_years"]
    by_images = draws.get("data_elasticity", nothing)
    first, best = ends(rows)
    change = {name: best[name] - first[name] for name in first}
    found |= {
        name: draws[name] for name in ("data_elasticity", "extra_data_effect") if name in draws
    }
    parts = {
        "compute": through * change["log_flop"],
        "data": by_images * change["log_images"],
        "algorithms": per_year * change["year"],
    }
    if "extra_data_effect" in draws:
        parts["data"] = parts["data"] + draws["extra_data_effect"]
    whole = parts["compute"] + parts["data"] + parts["algorithms"]
    return found | {f"{name}_share": part / whole for name, part in parts.items()}


def _of_two_terms(draws: Draws, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    first, best = ends(rows)
    middle = {name: float(rows[name].mean()) for name in first}
    part, share = draws["compute_part"], draws["year_share"]

    def odds(acted: frozenset[int]) -> Any:
        x = {
            name: (best if number in acted else first)[name] - middle[name]
            for number, name in enumerate(("log_flop", "log_images"))
        }
        years = [(best if n in acted else first)["year"] - middle["year"] for n in (2, 3)]
        compute = draws["compute_elasticity"] * x["log_flop"]
        compute = compute + share * draws["year_effect"] * years[0]
        images = draws["data_elasticity_of_term"] * x["log_images"]
        images = images + (1 - share) * draws["year_effect"] * years[1]
        terms = part * np.exp(-compute / part) + (1 - part) * np.exp(-images / (1 - part))
        return np.log(terms)

    compute, data, for_compute, for_data = np.asarray(shapley_shares(odds, 4), dtype=float)
    growth = share * draws["year_effect"] / draws["compute_elasticity"]
    return {
        "halving_time_months": 12 * np.log(2) / growth,
        "growth_oom_per_year": growth / np.log(10),
        "compute_share": compute,
        "data_share": data,
        "algorithms_share": for_compute + for_data,
        "compute_augmenting_part_of_algorithms": for_compute / (for_compute + for_data),
    }
