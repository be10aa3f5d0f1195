"""Which systems the record shows: those whose compute is told, and those at the frontier.

`disclosure` asks whether the compute that is not known is larger or smaller than what is.

Of the notable systems since 2018 half have no known compute. A selection model (Heckman 1979,
Econometrica 47, 153-161) of log10 compute x of system i, released at date t_i:

    x_i = m_i + r_i,    P(x_i known | x_i) = Phi(a + c (t_i - t0) + c' max(t_i - 2023, 0) + b r'_i)

m_i lies on an exponential trend, r_i is normal, or normal less an exponential gap, and r'_i is the
distance of x_i from the mean of its time. A system without known compute counts by the probability
that it is not known, with x_i integrated out. b says how size decides; b = 0 is missing at random.

Nothing in the record tells b but the shape of what is known: a missing upper end looks like a tail
to the left. So the answer hangs on the distribution of r, and the rivals show how far:

- ``at-random``: b = 0.
- ``by-size``: b free, r with a gap. ``by-size-normal``: b free, r normal, Heckman's own.
- ``given-parameters``: b = 0, given the number of parameters, which is known of half of the systems
  without known compute, and whether it is known: both move m_i, the second also the chance that
  compute is known. ``given-parameters-by-size``: the same, b free. Their scores are of x_i given
  more, so they do not compare with the others'.

`frontier` compares systems that were among the ten largest at their release with the rest: one
growth for both, or each its own. Membership depends on compute, so this says how the upper edge of
the record moves against its bulk, not what a developer who joins the top would see.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array
from jax.scipy.special import log_ndtr, ndtr
from scipy import special

from ...priors.elicitation import distribution
from .pooled_trend import pooled_rival
from .study import Draws, Rival, Study, dated, priors
from .training_compute import top_n_at_release
from .trend import BelowFrontier, Priors, anchor

TABLE, SECTION = "notable_models", "training-compute-selection"
FRONTIER_SECTION, TOP_N, FRONTIER_SINCE_YEAR = "training-compute-frontier", 10, 2010.0
SINCE_YEAR, TURN_YEAR = 2018.0, 2023.0
_NORMAL_GAP = 1e-3  # OOM: so small a gap is none
_EXPONENTIAL, _WEIGHT = np.polynomial.laguerre.laggauss(32)
_MONTHS = 12.0


class Disclosed(dist.Distribution):
    """A value that is known with a probability that depends on it, NaN where it is not.

    centre, gap, noise: of the value, as of `trend.BelowFrontier`; reference: a value known with
    probability Phi(intercept); slope: of the probit in value - reference
    """

    arg_constraints = {
        "centre": dist.constraints.real,
        "gap": dist.constraints.positive,
        "noise": dist.constraints.positive,
        "reference": dist.constraints.real,
        "intercept": dist.constraints.real,
        "slope": dist.constraints.real,
    }
    support = dist.constraints.real

    def __init__(
        self,
        centre: Array,
        gap: Array,
        noise: Array,
        reference: Array,
        intercept: Array,
        slope: Array,
    ) -> None:
        self.centre, self.gap, self.noise = centre, gap, noise
        self.reference, self.intercept, self.slope = reference, intercept, slope
        parts = (centre, gap, noise, reference, intercept, slope)
        super().__init__(batch_shape=jnp.broadcast_shapes(*map(jnp.shape, parts)))

    def log_prob(self, value: Array) -> Array:
        """Return the log density of a value, the log probability that it is not known for NaN."""
        known = ~jnp.isnan(value)
        safe = jnp.where(known, value, self.centre)
        seen = log_ndtr(self.intercept + self.slope * (safe - self.reference))
        density = BelowFrontier(self.centre, self.gap, self.noise).log_prob(safe)
        return jnp.where(known, density + seen, jnp.log(self.unknown()))

    def unknown(self) -> Array:
        """Return the probability that a value is not known.

        The noise is integrated out in closed form, the gap by Gauss-Laguerre quadrature.
        """
        below = jnp.expand_dims(self.gap * jnp.ones(self.batch_shape), -1) * _EXPONENTIAL
        mean = jnp.expand_dims(self.centre - self.reference, -1) - below
        slope = jnp.expand_dims(self.slope * jnp.ones(self.batch_shape), -1)
        noise = jnp.expand_dims(self.noise * jnp.ones(self.batch_shape), -1)
        probit = jnp.expand_dims(self.intercept, -1) + slope * mean
        return jnp.maximum(ndtr(-probit / jnp.sqrt(1 + (slope * noise) ** 2)) @ _WEIGHT, 1e-300)

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        centre: np.ndarray,
        gap: np.ndarray,
        noise: np.ndarray,
        reference: np.ndarray,
        intercept: np.ndarray,
        slope: np.ndarray,
    ) -> np.ndarray:
        """Return one value for each element of the parameters, NaN where it is not known."""
        value = BelowFrontier.simulate(rng, centre, gap, noise)
        seen = special.ndtr(intercept + slope * (value - reference))
        return np.where(rng.uniform(size=np.shape(value)) < seen, value, np.nan)


def observations(frame: pd.DataFrame) -> pd.DataFrame:
    """Return systems since 2018, known compute or not.

    Columns: name, year, log10_value (NaN where not known), log10_parameters less their own trend
    (0 where not known), parameters_unknown (0 or 1).
    """
    rows = frame[frame["year"] >= SINCE_YEAR]
    year = rows["year"].to_numpy()
    flop = rows["training_compute_flop"].to_numpy(dtype=float, na_value=np.nan)
    size = np.log10(rows["parameters"].to_numpy(dtype=float, na_value=np.nan))
    known = np.isfinite(size)
    trend = np.polynomial.Polynomial.fit(year[known], size[known], 1)
    return pd.DataFrame(
        {
            "name": rows["name"].to_numpy(),
            "year": year,
            "log10_value": np.log10(flop),
            "log10_parameters": np.where(known, size - trend(year), 0.0),
            "parameters_unknown": (~known).astype(float),
        }
    )


def model(
    *,
    year: np.ndarray,
    log10_value: np.ndarray,
    log10_parameters: np.ndarray,
    parameters_unknown: np.ndarray,
    priors: Priors,
    by_size: bool,
    with_gap: bool,
    given_parameters: bool,
) -> None:
    """NumPyro model of systems with and without known compute; arrays are (system,).

    Sites: doubling_time_years, log10_level_at_anchor (of the mean), residual_scale_oom,
    disclosure_at_anchor, disclosure_per_year, disclosure_per_year_since_turn (all in probits);
    disclosure_per_oom if by_size, gap_oom if with_gap, and if given_parameters oom_per_parameter,
    unknown_parameters_oom, unknown_parameters_disclosure.
    """

    def sample(name: str, used: bool = True, otherwise: float = 0.0) -> Any:
        if not used:
            return otherwise
        return numpyro.sample(name, distribution(*priors[name]))

    elapsed = year - anchor(year)
    growth = jnp.log10(2) / sample("doubling_time_years")
    mean = sample("log10_level_at_anchor") + growth * elapsed
    noise = sample("residual_scale_oom")
    gap = sample("gap_oom", with_gap, _NORMAL_GAP)
    share = sample("disclosure_at_anchor") + sample("disclosure_per_year") * elapsed
    turned = np.maximum(year - TURN_YEAR, 0) - max(anchor(year) - TURN_YEAR, 0)
    share = share + sample("disclosure_per_year_since_turn") * turned
    slope = sample("disclosure_per_oom", by_size)
    more = sample("oom_per_parameter", given_parameters) * log10_parameters
    more = more + sample("unknown_parameters_oom", given_parameters) * parameters_unknown
    less = sample("unknown_parameters_disclosure", given_parameters) * parameters_unknown
    observed = Disclosed(mean + more + gap, gap, noise, mean, share + less, slope)
    numpyro.sample("log10_value", observed, obs=log10_value)


def disclosure(*, as_of_year: float = inf) -> Study:
    """Return the training compute of notable systems since 2018, known or not."""
    rows = observations(dated(TABLE, as_of_year))
    # name -> (claim, by_size, with_gap, given_parameters)
    settings = {
        "at-random": ("what is not known is like what is", False, True, False),
        "by-size": ("size decides, skewed compute", True, True, False),
        "by-size-normal": ("size decides, normal compute", True, False, False),
        "given-parameters": ("what is not known is like what is, given size", False, True, True),
        "given-parameters-by-size": ("compute decides too, given size", True, True, True),
    }
    data = {name: rows[name].to_numpy() for name in rows.columns if name != "name"}
    shared = {**data, "priors": priors(SECTION)}
    rivals = {
        name: Rival(
            claim,
            model,
            {**shared, "by_size": by_size, "with_gap": with_gap, "given_parameters": given},
            _quantities_of(rows),
        )
        for name, (claim, by_size, with_gap, given) in settings.items()
    }
    title = "Training compute of notable systems since 2018, known or not"
    return Study(title, (TABLE,), rows, "log10_value", "log10 FLOP", rivals)


def expected(draws: Draws, rows: pd.DataFrame) -> np.ndarray:
    """Return E[x] of each system, known or not, before it is seen, (chain, draw, system)."""
    year = rows["year"].to_numpy()
    growth = np.log10(2) / draws["doubling_time_years"][..., None]
    mean: np.ndarray = draws["log10_level_at_anchor"][..., None] + growth * (year - anchor(year))
    for site, column in (
        ("oom_per_parameter", "log10_parameters"),
        ("unknown_parameters_oom", "parameters_unknown"),
    ):
        if site in draws:
            mean = mean + draws[site][..., None] * rows[column].to_numpy()
    return mean


def _quantities_of(rows: pd.DataFrame) -> Callable[[Draws], dict[str, np.ndarray]]:
    year = rows["year"].to_numpy()
    recent = year > year.max() - 2
    unknown = np.isnan(rows["log10_value"].to_numpy())
    away = (year - year.mean()) / np.sum((year - year.mean()) ** 2)

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        mean = expected(draws, rows)
        growth = mean @ away
        level = mean.mean(axis=-1) + growth * (year.max() - year.mean())
        parts = disclosed_means(draws, rows, mean)
        below = np.sqrt(draws["residual_scale_oom"] ** 2 + draws.get("gap_oom", 0.0) ** 2)
        found = {
            "growth_oom_per_year": growth,
            "doubling_time_months": _MONTHS * np.log10(2) / growth,
            "log10_mean_now": level,
            "residual_deviation_oom": below,
            "unknown_less_known_oom": (
                parts[0][..., recent & unknown].mean(axis=-1)
                - parts[1][..., recent & ~unknown].mean(axis=-1)
            ),
        }
        for name in ("disclosure_per_oom", "disclosure_per_year", "oom_per_parameter"):
            if name in draws:
                found[name] = draws[name]
        return found

    return quantities


def disclosed_means(
    draws: Draws, rows: pd.DataFrame, mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return E[x | not known] and E[x | known] of each system, each (chain, draw, system).

    By quadrature over the noise and the gap.
    """
    year = rows["year"].to_numpy()
    noise, gap = draws["residual_scale_oom"][..., None], draws.get("gap_oom")
    gap = np.full_like(noise, _NORMAL_GAP) if gap is None else gap[..., None]
    plain = draws["log10_level_at_anchor"][..., None]
    plain = plain + np.log10(2) / draws["doubling_time_years"][..., None] * (year - anchor(year))
    turned = np.maximum(year - TURN_YEAR, 0) - max(anchor(year) - TURN_YEAR, 0)
    probit = draws["disclosure_at_anchor"][..., None]
    probit = probit + draws["disclosure_per_year"][..., None] * (year - anchor(year))
    probit = probit + draws["disclosure_per_year_since_turn"][..., None] * turned
    if "unknown_parameters_disclosure" in draws:
        less = draws["unknown_parameters_disclosure"][..., None]
        probit = probit + less * rows["parameters_unknown"].to_numpy()
    slope = draws.get("disclosure_per_oom", np.zeros(noise.shape[:-1]))[..., None]
    # Given the gap, x is normal, and E[x Phi(.)] has a closed form (Stein's lemma).
    width = np.sqrt(1 + (slope * noise) ** 2)
    known, product = np.zeros_like(mean), np.zeros_like(mean)
    for exponential, weight in zip(_EXPONENTIAL, _WEIGHT, strict=True):
        if weight < 1e-12:
            continue
        middle = mean + gap * (1 - exponential)
        z = (probit + slope * (middle - plain)) / width
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        known += weight * special.ndtr(z)
        product += weight * (middle * special.ndtr(z) + slope * noise**2 / width * density)
    return (mean - product) / (1 - known), product / known


def frontier(*, as_of_year: float = inf) -> Study:
    """Return the training compute of notable systems since 2010: the top ten, and the rest."""
    rows = dated(TABLE, as_of_year)
    rows = rows[rows["training_compute_flop"].notna() & rows["year"].notna()]
    rows = rows.assign(log10_value=np.log10(rows["training_compute_flop"].to_numpy(dtype=float)))
    rows = rows.sort_values(["year", "log10_value", "name"], kind="stable")
    top = top_n_at_release(rows["log10_value"].to_numpy(), TOP_N)
    rows = rows.assign(group=np.where(top, 0, 1))
    rows = rows.loc[rows["year"] >= FRONTIER_SINCE_YEAR, ["name", "year", "log10_value", "group"]]
    rows = rows.reset_index(drop=True)
    rivals = {
        growth: pooled_rival(
            claim,
            rows,
            FRONTIER_SECTION,
            ("top_ten", "rest"),
            "training_compute_of_top_ten",
            growth=growth,
            unit="months",
        )
        for growth, claim in (
            ("shared", "the ten largest and the rest grow alike"),
            ("own", "the ten largest grow at a rate of their own"),
        )
    }
    renamed = {f"{growth}-growth": rival for growth, rival in rivals.items()}
    title = "Training compute since 2010: the ten largest at release, and the rest"
    return Study(title, (TABLE,), rows, "log10_value", "log10 FLOP", renamed)
