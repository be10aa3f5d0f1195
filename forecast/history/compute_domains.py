"""Training compute by domain: how fast each grows, and how much they differ.

    log10 C_i = a_d + log10(2) / T_d (t_i - t0) + e_i

for a notable system of domain d since 2010. The line is the frontier of the domain; e_i is normal
noise less an exponential gap, of one width for all (`compute_eras`). The domains are
partially pooled (Gelman et al. 2013, chapter 5):

    log T_d ~ Normal(log T, w),   a_d ~ Normal(a, v)

Rivals: ``one-growth`` has w = 0; ``no-pooling`` gives every domain a doubling time and a level with
the prior of their own, as if nothing were learnt from the others.
"""

from collections.abc import Callable
from math import inf

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd

from ...priors.elicitation import distribution
from .study import Draws, Rival, Study, dated, priors
from .trend import BelowFrontier, Priors, anchor

TABLE, SECTION = "notable_models", "training-compute-domains"
SINCE_YEAR, FEWEST_ROWS = 2010.0, 15
OTHER = "Other"
POOLING = ("partial", "one-growth", "none")
_MONTHS = 12.0


def domain_of(listed: str) -> str:
    """Return the domain of a system from a comma-separated list: the first, or "Multimodal".

    The latter if it is among them, or both language and vision are.
    """
    each = [name.strip() for name in listed.split(",")]
    return "Multimodal" if "Multimodal" in each or {"Language", "Vision"} <= set(each) else each[0]


def observations(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return (rows with name, year, log10_value and group, the domains that groups stand for).

    Systems since 2010; domains of fewer than 15 of them are "Other".
    """
    rows = frame[frame["training_compute_flop"].notna() & (frame["year"] >= SINCE_YEAR)]
    rows = rows[rows["domain"].notna()]
    domain = rows["domain"].astype(str).map(domain_of)
    count = domain.value_counts()
    domain = domain.where(domain.map(count) >= FEWEST_ROWS, OTHER)
    domains = [str(name) for name in domain.value_counts().index if name != OTHER]
    domains += [OTHER] if (domain == OTHER).any() else []
    found = pd.DataFrame(
        {
            "name": rows["name"],
            "year": rows["year"],
            "log10_value": np.log10(rows["training_compute_flop"].to_numpy(dtype=float)),
            "group": domain.map({name: number for number, name in enumerate(domains)}),
        }
    )
    return found.reset_index(drop=True), domains


def model(
    *, year: np.ndarray, log10_value: np.ndarray, group: np.ndarray, priors: Priors, pooling: str
) -> None:
    """NumPyro model of systems of several domains; pooling: one of `POOLING`.

    Sites: domain_doubling_time_years, domain_level (domain,); unless pooling is "none" also
    doubling_time_years, log10_level, level_spread_oom, and, if "partial", growth_spread;
    residual_scale_oom, gap_oom.
    """
    domains = int(group.max()) + 1
    if pooling == "none":
        doubling = numpyro.sample(
            "domain_doubling_time_years",
            distribution(*priors["doubling_time_years"]).expand([domains]).to_event(1),
        )
        level = numpyro.sample(
            "domain_level", distribution(*priors["log10_level"]).expand([domains]).to_event(1)
        )
    else:
        typical = numpyro.sample(
            "doubling_time_years", distribution(*priors["doubling_time_years"])
        )
        doubling = jnp.full(domains, typical)
        if pooling == "partial":
            spread = numpyro.sample("growth_spread", distribution(*priors["growth_spread"]))
            each = dist.LogNormal(jnp.log(typical), spread).expand([domains])
            doubling = numpyro.sample("domain_doubling_time_years", each.to_event(1))
        middle = numpyro.sample("log10_level", distribution(*priors["log10_level"]))
        apart = numpyro.sample("level_spread_oom", distribution(*priors["level_spread_oom"]))
        level = numpyro.sample(
            "domain_level", dist.Normal(middle, apart).expand([domains]).to_event(1)
        )
    scale = numpyro.sample("residual_scale_oom", distribution(*priors["residual_scale_oom"]))
    gap = numpyro.sample("gap_oom", distribution(*priors["gap_oom"]))
    centre = level[group] + jnp.log10(2) / doubling[group] * (year - anchor(year))
    numpyro.sample("log10_value", BelowFrontier(centre, gap, scale), obs=log10_value)


def by_domain(*, as_of_year: float = inf) -> Study:
    """Return the training compute of notable systems since 2010, by domain."""
    rows, domains = observations(dated(TABLE, as_of_year))
    claims = {
        "partial": "domains that differ, and say something about each other",
        "one-growth": "one growth for all domains, each at a level of its own",
        "none": "domains that say nothing about each other",
    }
    names = {"partial": "partial-pooling", "one-growth": "one-growth", "none": "no-pooling"}
    arguments = {
        **{name: rows[name].to_numpy() for name in ("year", "log10_value")},
        "group": rows["group"].to_numpy(dtype=int),
        "priors": priors(SECTION),
    }
    rivals = {
        names[pooling]: Rival(
            claim, model, {**arguments, "pooling": pooling}, _quantities_of(pooling, domains)
        )
        for pooling, claim in claims.items()
    }
    title = "Training compute of notable systems since 2010, by domain"
    return Study(title, (TABLE,), rows, "log10_value", "log10 FLOP", rivals)


def slug(domain: str) -> str:
    """Return a domain as part of the name of a quantity."""
    return domain.lower().replace(" ", "_")


def _quantities_of(pooling: str, domains: list[str]) -> Callable[[Draws], dict[str, np.ndarray]]:
    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        found = {}
        if pooling != "none":
            typical = draws["doubling_time_years"]
            found["typical_doubling_time_months"] = typical * _MONTHS
            found["typical_growth_oom_per_year"] = np.log10(2) / typical
            found["level_spread_oom"] = draws["level_spread_oom"]
        if pooling == "partial":
            found["growth_spread_log"] = draws["growth_spread"]
        for number, domain in enumerate(domains):
            if pooling != "one-growth":
                months = draws["domain_doubling_time_years"][..., number] * _MONTHS
                found[f"doubling_time_months_{slug(domain)}"] = months
            found[f"log10_level_{slug(domain)}"] = draws["domain_level"][..., number]
        return found

    return quantities
