"""What money, hardware and algorithms do together: one model of four records.

In log10, with S what a frontier run costs [USD], P what a dollar buys [FLOP/USD] and C the training
compute of frontier runs [FLOP]:

    C(t) = S(t) + P(t)                               compute is spending times price-performance
    S(t)   piecewise linear, bends at the change points; P(t) linear
    C_i  ~ Student-t about C(t_i)                    all frontier runs
    S_i  ~ Student-t about S(t_i) + r (C_i - C(t_i)) those whose cost is known
    H_i  ~ Student-t about h + P(t_i) - P(t_0)       accelerators' price-performance
    L_i  ~ Student-t about model 7 of Ho et al. (2024), for language models; see
           `algorithmic_progress`

A run's cost given its compute is the whole of what its cost and its FLOP per dollar say beyond its
compute: (C, S) and (S, C - S) differ by a linear map of determinant 1. So no run counts twice.
Accelerators' peak performance per dollar and the FLOP per dollar that runs realise share a growth
rate (as in `price_performance`). Whether a cost is known may depend on the run's date and compute,
not on its cost beyond these.

How fast the field grows is a latent factor z: beforehand, of the doubling times T_j (of spending in
each segment, of price-performance, of algorithms),

    ln T_j = m_j - s_j e_j,    e_j = b z + sqrt(1 - b^2) u_j,    z, u_j standard normal.

Their marginal priors are those of the separate models, whatever b is. z is integrated out: the e_j
are normal with the same correlation b^2 between any two, which is uncertain.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array

from ...priors.elicitation import distribution, location_scale
from . import algorithmic_progress
from .trend import MOST_DEGREES_OF_FREEDOM, Priors, anchor, piecewise_trend

COMPUTE, COST, CHIPS, LANGUAGE = range(4)
KINDS = ("compute", "spending", "chips", "algorithms")
LOG10_2 = float(np.log10(2))


class FollowsPartner(dist.Distribution):
    """Student-t values, some of which respond to the residual of another one.

    value_i ~ centre_i + response_i (value_j - centre_j) + scale_i t, with j = partner_i, or
    without the second term where partner_i is negative. Partners have none themselves.
    """

    arg_constraints = {
        "freedom": dist.constraints.positive,
        "centre": dist.constraints.real,
        "scale": dist.constraints.positive,
        "response": dist.constraints.real,
        "partner": dist.constraints.real,
    }
    support = dist.constraints.real

    def __init__(
        self,
        kind: np.ndarray,
        freedom: Array,
        centre: Array,
        scale: Array,
        response: Array,
        partner: np.ndarray,
    ) -> None:
        """Take freedom by kind, (kind,), all else by row: log gammas would be most of the work."""
        self.freedom, self.centre, self.scale = freedom[kind], centre, scale
        self.response, self.partner = response, partner
        standard = dist.StudentT(freedom, 0.0, 1.0).log_prob(jnp.zeros(freedom.shape))
        self._at_centre = standard[kind] - jnp.log(scale)
        super().__init__(batch_shape=jnp.shape(centre))

    def log_prob(self, value: Array) -> Array:
        """Return the log density of each value given its partner."""
        above = value - self.centre
        given = jnp.where(self.partner < 0, 0.0, above[jnp.maximum(self.partner, 0)])
        z = (above - self.response * given) / self.scale
        return self._at_centre - (self.freedom + 1) / 2 * jnp.log1p(z**2 / self.freedom)

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        freedom: np.ndarray,
        centre: np.ndarray,
        scale: np.ndarray,
        response: np.ndarray,
        partner: np.ndarray,
    ) -> np.ndarray:
        """Return values, (..., observation), all anew: a partner's is the simulated one."""
        noise = scale * rng.standard_t(freedom)
        of = np.broadcast_to(np.maximum(partner, 0).astype(int), noise.shape)
        above = np.where(partner < 0, 0.0, np.take_along_axis(noise, of, axis=-1))
        return centre + response * above + noise


def model(
    *,
    year: np.ndarray,
    kind: np.ndarray,
    standard_value: np.ndarray,
    partner: np.ndarray,
    log_parameters: np.ndarray,
    log_tokens: np.ndarray,
    benchmark: np.ndarray,
    location: np.ndarray,
    spread: np.ndarray,
    priors: Priors,
    breaks: int,
    identity: bool,
    factor: bool,
    node: Array | None = None,
) -> None:
    """NumPyro model of the four records.

    year, kind, standard_value, partner: (observation,), language models last; log_parameters,
    log_tokens, benchmark: of these; location, spread: (kind,); as in `Rows`
    breaks: bends of spending; without ``identity``, of compute, which then has a trend of its own
    factor: whether growth rates share one beforehand

    Priors may be those of a kind alone, as ``spending_residual_scale_oom``.

    Sites: growth_correlation (b^2 of the module); spending_doubling_time_years, or that with
    _segment_1 and so on; price_performance_ and algorithms_doubling_time_years;
    log10_spending_at_anchor, log10_flop_per_usd_at_anchor, log10_chips_at_anchor; cost_response
    (r); compute_, spending_ and chips_residual_scale_oom, residual_scale_nat;
    scatter_growth_per_year of compute, if it has a prior; compute_degrees_of_freedom and so on;
    change_point_years; and those of `algorithmic_progress.loss_nat`.
    """
    bends = jnp.zeros(0) if node is None else node
    if node is not None:
        numpyro.deterministic("change_point_years", bends)
    growth = _Growth(priors, factor)
    spending = growth.doubling_times("spending", breaks + 1 if identity else 1)
    (hardware,) = growth.doubling_times("price_performance")
    (algorithms,) = growth.doubling_times("algorithms")
    at = anchor(year[kind == COMPUTE])
    usd, flop_per_usd, chips = (
        numpyro.sample(f"log10_{name}_at_anchor", distribution(*priors[f"log10_{name}_at_anchor"]))
        for name in ("spending", "flop_per_usd", "chips")
    )
    years = [year[kind == k] for k in range(len(KINDS))]
    gone = [each - at for each in years]
    price = LOG10_2 / hardware
    if identity:
        compute, cost = (
            piecewise_trend(each, usd, LOG10_2 / jnp.stack(spending), bends, at)
            for each in years[:2]
        )
        compute = compute + flop_per_usd + price * gone[COMPUTE]
    else:
        own = _Growth(priors, False).doubling_times("compute", breaks + 1)
        cost = usd + LOG10_2 / spending[0] * gone[COST]
        start = usd + flop_per_usd
        compute = piecewise_trend(years[COMPUTE], start, LOG10_2 / jnp.stack(own), bends, at)
    loss = algorithmic_progress.loss_nat(
        algorithms, years[LANGUAGE], log_parameters, log_tokens, benchmark, priors
    )
    centre = jnp.concatenate([compute, cost, chips + price * gone[CHIPS], loss])
    response = numpyro.sample("cost_response", distribution(*priors["cost_response"]))
    scale = _scales(kind, np.where(kind == COMPUTE, year - at, 0.0), priors)
    observed = FollowsPartner(
        kind,
        _freedom(priors),
        (centre - location[kind]) / spread[kind],
        scale / spread[kind],
        response * spread[COMPUTE] / spread[COST],
        partner,
    )
    numpyro.sample("standard_value", observed, obs=standard_value)


class _Growth:
    """Doubling times, each normal in the logarithm given those before it."""

    def __init__(self, priors: Priors, factor: bool) -> None:
        self.priors = priors
        self.before: list[Array] = []
        self.correlation: Any = 0.0
        if factor:
            correlation = distribution(*priors["growth_correlation"])
            self.correlation = numpyro.sample("growth_correlation", correlation)

    def doubling_times(self, name: str, segments: int = 1) -> list[Array]:
        """Sample doubling times [yr] of one quantity."""
        middle, spread, *_ = location_scale(*self.priors[f"{name}_doubling_time_years"])
        found = []
        for k in range(segments):
            mean, deviation = self._given_before()
            part = f"_segment_{k + 1}" if segments > 1 else ""
            prior = dist.LogNormal(middle - spread * mean, spread * deviation)
            found.append(numpyro.sample(f"{name}_doubling_time_years{part}", prior))
            self.before.append((middle - jnp.log(found[-1])) / spread)
        return found

    def _given_before(self) -> tuple[Any, Any]:
        """Return (mean, standard deviation) of the next e_j of equal correlations."""
        count, r = len(self.before), self.correlation
        if count == 0:
            return 0.0, 1.0
        shared = 1 + (count - 1) * r
        return r * sum(self.before) / shared, jnp.sqrt((1 - r) * (1 + count * r) / shared)


def _of_kind(kind: str, name: str, priors: Priors) -> Array:
    """Return a number of one kind of rows, by its own prior or that of all kinds."""
    own = f"{kind}_{name}"
    return numpyro.sample(own, distribution(*priors.get(own, priors[name])))


def _scales(kind: np.ndarray, compute_gone: np.ndarray, priors: Priors) -> Array:
    """Return the scale of each residual, (observation,) [OOM; language: nat].

    compute_gone: years from the anchor, over which compute may scatter more; 0 for other kinds
    """
    oom = [_of_kind(name, "residual_scale_oom", priors) for name in KINDS[:LANGUAGE]]
    nat = numpyro.sample("residual_scale_nat", distribution(*priors["residual_scale_nat"]))
    scale = jnp.stack([*oom, nat])[kind]
    prior = priors.get("scatter_growth_per_year")
    if prior is None:
        return scale
    return scale * jnp.exp(
        numpyro.sample("scatter_growth_per_year", distribution(*prior)) * compute_gone
    )


def _freedom(priors: Priors) -> Array:
    """Return degrees of freedom, (kind,)."""
    found = [_of_kind(kind, "degrees_of_freedom", priors) for kind in KINDS]
    return jnp.minimum(jnp.stack(found), MOST_DEGREES_OF_FREEDOM)
