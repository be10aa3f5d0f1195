"""The gap in model size: few language models between 20 and 70 billion parameters since GPT-3.

Villalobos et al. (2022, arXiv 2207.02852) see it from May 2020 on and offer two explanations. Three
rivals for the log10 size x of a language model released at date t, with bulk
b(x) = Student-t(x; df, level + growth (t - t0), scale):

- ``smooth``: density b(x), no gap.
- ``cost-step``: density proportional to b(x) (1 - [20e9 < N < 70e9] (1 - kept)). A model too large
  for one node needs another kind of parallelism, a step in cost that only far larger ones repay.
- ``jump-then-race``: density (1 - share) b(x) + share Normal(x; race, race_scale), race near
  175e9. GPT-3 jumped there and others followed; what lies below went on as it did.

`gap_test` is the test of the null of no gap. What it says depends on which systems count, whether
those of just 20e9 or 70e9 parameters do, and the null; `gap_tests` shows all combinations. The band
was chosen after seeing the data, which ``probability_anywhere`` allows for.
"""

from collections.abc import Callable
from itertools import product
from math import inf
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
from jax import Array
from numpyro.distributions import constraints
from scipy import stats

from ...priors.elicitation import distribution
from .model_size import domain_of
from .study import Draws, Rival, Study, dated, priors
from .trend import MOST_DEGREES_OF_FREEDOM, Priors, anchor

SINCE_YEAR, UNTIL_YEAR = 2020.4, 2022.5
LOW, HIGH = 20e9, 70e9  # parameters
NOTABLE, NOTABLE_2022, ALL = "notable_models", "notable_models_2022_06", "all_models"
NULLS = ("log-normal", "log-uniform")
# Which of the ends of the band belong to it.
ENDS = ("open", "half-open", "closed")
SMALLEST_LOG_UNIFORM = 1e9  # parameters: smaller models are left out under that null
_LOG_LOW, _LOG_HIGH = float(np.log10(LOW)), float(np.log10(HIGH))
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_AT = (_LOG_LOW + _LOG_HIGH) / 2 + (_LOG_HIGH - _LOG_LOW) / 2 * _NODES
_STEP = (_LOG_HIGH - _LOG_LOW) / 2 * _WEIGHTS


# --- rivals ---------------------------------------------------------------------------------------


class CostStep(dist.Distribution):
    """Student-t whose density between 20e9 and 70e9 parameters is multiplied by ``kept``."""

    arg_constraints = {
        "degrees_of_freedom": constraints.positive,
        "centre": constraints.real,
        "scale": constraints.positive,
        "kept": constraints.positive,
    }
    support = constraints.real

    def __init__(self, degrees_of_freedom: Array, centre: Array, scale: Array, kept: Array) -> None:
        self.degrees_of_freedom, self.centre, self.scale = degrees_of_freedom, centre, scale
        self.kept = kept
        shapes = (jnp.shape(part) for part in (degrees_of_freedom, centre, scale, kept))
        super().__init__(batch_shape=jnp.broadcast_shapes(*shapes))

    def log_prob(self, value: Array) -> Array:
        """Return the log density of log10 parameters."""
        bulk = dist.StudentT(self.degrees_of_freedom, self.centre, self.scale)
        across = dist.StudentT(
            self.degrees_of_freedom, jnp.expand_dims(self.centre, -1), self.scale
        )
        share = jnp.exp(across.log_prob(_AT)) @ _STEP  # of the bulk, in the band
        inside = (value > _LOG_LOW) & (value < _LOG_HIGH)
        return (
            bulk.log_prob(value)
            + jnp.where(inside, jnp.log(self.kept), 0.0)
            - jnp.log1p((self.kept - 1) * share)
        )

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        degrees_of_freedom: np.ndarray,
        centre: np.ndarray,
        scale: np.ndarray,
        kept: np.ndarray,
    ) -> np.ndarray:
        """Return one value for each element of the parameters, by rejection."""
        parts = np.broadcast_arrays(degrees_of_freedom, centre, scale, kept)
        freedom, middle, width, factor = (part.ravel() for part in parts)
        found = np.empty(freedom.shape)
        left = np.arange(len(found))
        while len(left):
            drawn = middle[left] + width[left] * rng.standard_t(freedom[left])
            inside = (drawn > _LOG_LOW) & (drawn < _LOG_HIGH)
            weight = np.where(inside, factor[left], 1.0) / np.maximum(factor[left], 1.0)
            taken = rng.random(len(left)) < weight
            found[left[taken]] = drawn[taken]
            left = left[~taken]
        return found.reshape(parts[0].shape)


class JumpThenRace(dist.Distribution):
    """Mixture of a Student-t bulk and a normal component of models that race with GPT-3."""

    arg_constraints = {
        "degrees_of_freedom": constraints.positive,
        "centre": constraints.real,
        "scale": constraints.positive,
        "share": constraints.unit_interval,
        "race": constraints.real,
        "race_scale": constraints.positive,
    }
    support = constraints.real

    def __init__(
        self,
        degrees_of_freedom: Array,
        centre: Array,
        scale: Array,
        share: Array,
        race: Array,
        race_scale: Array,
    ) -> None:
        self.degrees_of_freedom, self.centre, self.scale = degrees_of_freedom, centre, scale
        self.share, self.race, self.race_scale = share, race, race_scale
        parts = (degrees_of_freedom, centre, scale, share, race, race_scale)
        super().__init__(batch_shape=jnp.broadcast_shapes(*map(jnp.shape, parts)))

    def log_prob(self, value: Array) -> Array:
        """Return the log density of log10 parameters."""
        bulk = dist.StudentT(self.degrees_of_freedom, self.centre, self.scale).log_prob(value)
        racing = dist.Normal(self.race, self.race_scale).log_prob(value)
        return jnp.logaddexp(jnp.log1p(-self.share) + bulk, jnp.log(self.share) + racing)

    @staticmethod
    def simulate(
        rng: np.random.Generator,
        degrees_of_freedom: np.ndarray,
        centre: np.ndarray,
        scale: np.ndarray,
        share: np.ndarray,
        race: np.ndarray,
        race_scale: np.ndarray,
    ) -> np.ndarray:
        """Return one value for each element of the parameters."""
        given = (degrees_of_freedom, centre, scale, share, race, race_scale)
        freedom, middle, width, part, at, spread = np.broadcast_arrays(*given)
        bulk = middle + width * rng.standard_t(freedom)
        return np.where(rng.random(part.shape) < part, rng.normal(at, spread), bulk)


def model(
    *,
    year: np.ndarray,
    log10_parameters: np.ndarray,
    rival: str,
    priors: Priors,
) -> None:
    """NumPyro model of the sizes; arrays are (observation,).

    rival: "smooth", "cost-step" or "jump-then-race". Sites: log10_level_at_anchor,
    growth_oom_per_year, scale_oom, degrees_of_freedom; kept_in_band; race_share,
    race_log10_parameters, race_scale_oom.
    """

    def sampled(name: str) -> Any:
        return numpyro.sample(name, distribution(*priors[name]))

    level, growth = sampled("log10_level_at_anchor"), sampled("growth_oom_per_year")
    centre = level + growth * (year - anchor(year))
    scale = sampled("scale_oom")
    freedom = jnp.minimum(sampled("degrees_of_freedom"), MOST_DEGREES_OF_FREEDOM)
    if rival == "smooth":
        observed: Any = dist.StudentT(freedom, centre, scale)
    elif rival == "cost-step":
        observed = CostStep(freedom, centre, scale, sampled("kept_in_band"))
    else:
        race = (sampled(f"race_{name}") for name in ("share", "log10_parameters", "scale_oom"))
        observed = JumpThenRace(freedom, centre, scale, *race)
    numpyro.sample("log10_parameters", observed, obs=log10_parameters)


def _share_in_band(draws: Draws, year: np.ndarray, rival: str) -> np.ndarray:
    """Return the expected share of systems between 20e9 and 70e9 parameters, (chain, draw)."""
    elapsed = year - anchor(year)
    centre = draws["log10_level_at_anchor"][..., None] + draws["growth_oom_per_year"][..., None] * (
        elapsed
    )
    scale = draws["scale_oom"][..., None]
    freedom = draws["degrees_of_freedom"][..., None]
    low, high = (stats.t.cdf((x - centre) / scale, freedom) for x in (_LOG_LOW, _LOG_HIGH))
    share = high - low
    if rival == "cost-step":
        kept = draws["kept_in_band"][..., None]
        share = kept * share / (1 + (kept - 1) * share)
    elif rival == "jump-then-race":
        race, width = draws["race_log10_parameters"], draws["race_scale_oom"]
        below, above = (stats.norm.cdf(x, race, width) for x in (_LOG_LOW, _LOG_HIGH))
        part = draws["race_share"][..., None]
        share = (1 - part) * share + part * (above - below)[..., None]
    return share.mean(axis=-1)


def _rival(claim: str, rows: pd.DataFrame, name: str) -> Rival:
    year = rows["year"].to_numpy()
    own = {"cost-step": ("kept_in_band",), "jump-then-race": ("race_share",)}.get(name, ())

    def quantities(draws: Draws) -> dict[str, np.ndarray]:
        share = _share_in_band(draws, year, name)
        found = {
            "growth_oom_per_year": draws["growth_oom_per_year"],
            "expected_share_in_band": share,
            "expected_systems_in_band": share * len(year),
        }
        found |= {site: draws[site] for site in own}
        if name == "jump-then-race":
            found["race_parameters_1e9"] = 10 ** (draws["race_log10_parameters"] - 9)
        return found

    section = priors("parameter-gap")
    arguments = {
        "year": year,
        "log10_parameters": rows["log10_parameters"].to_numpy(),
        "rival": name,
        "priors": section,
    }
    return Rival(claim, model, arguments, quantities)


def _study(title: str, table: str, as_of_year: float) -> Study:
    rows = language_models(table, SINCE_YEAR, min(UNTIL_YEAR, as_of_year))
    claims = {
        "smooth": "sizes lie smoothly about a trend, no gap",
        "cost-step": "fewer models between 20e9 and 70e9 parameters, by one factor",
        "jump-then-race": "a bulk, and models that race with GPT-3 near 175e9 parameters",
    }
    rivals = {name: _rival(claim, rows, name) for name, claim in claims.items()}
    return Study(title, (table,), rows, "log10_parameters", "log10 parameters", rivals)


def notable(*, as_of_year: float = inf) -> Study:
    """Return the sizes of notable language models, May 2020 to June 2022."""
    return _study("Sizes of notable language models, 2020.4 to 2022.5", NOTABLE, as_of_year)


def all_systems(*, as_of_year: float = inf) -> Study:
    """Return the sizes of all language models known, May 2020 to June 2022."""
    return _study("Sizes of all language models, 2020.4 to 2022.5", ALL, as_of_year)


# --- test of the null -----------------------------------------------------------------------------


class GapTest(NamedTuple):
    """How probable so few systems in a band are if there is no gap.

    n, in_band: systems in all and in the band; expected_share: of the null, fitted to the systems
    probability: of at most ``in_band`` in this band, binomial
    probability_anywhere: of as improbable a count in any band equally wide, the null fitted again
        to each simulated record (NaN if not asked for)
    """

    n: int
    in_band: int
    expected_share: float
    probability: float
    probability_anywhere: float


def language_models(
    table: str, since: float, until: float, *, multimodal: bool = True
) -> pd.DataFrame:
    """Return language models of a period: name, year, log10_parameters, oldest first.

    multimodal: also those with further domains besides language. Raises ``ValueError`` if there
    are fewer than ten.
    """
    found = dated(table, until)
    found = found[(found["year"] >= since) & (found["parameters"] > 0).fillna(value=False)]
    domain = domain_of(found["domain"]) if multimodal else found["domain"]
    found = found[(domain == "Language").fillna(value=False)]
    if len(found) < 10:
        raise ValueError(
            f"parameter gap: {len(found)} language models between {since} and {until}, "
            "expected at least 10"
        )
    found = found.assign(
        name=found["name"].astype(str),
        log10_parameters=np.log10(found["parameters"].astype(float)),
    )
    return found[["name", "year", "log10_parameters"]].reset_index(drop=True)


def gap_test(
    table: str,
    since: float = SINCE_YEAR,
    until: float = UNTIL_YEAR,
    *,
    low: float = LOW,
    high: float = HIGH,
    null: str = "log-normal",
    ends: str = "open",
    multimodal: bool = True,
    simulations: int = 0,
) -> GapTest:
    """Test whether language models in a band of sizes are fewer than a smooth density gives.

    table: id of a table with domain and parameters; since, until: dates [yr]
    low, high: of the band [parameters]; ends: "open" (neither belongs to it), "half-open" (the
        lower one does) or "closed"
    null: "log-normal", or "log-uniform" from 1e9 to the largest, of which smaller ones are left out
    simulations: for ``probability_anywhere``; none if 0

    Raises ``ValueError`` for another null or other ends.
    """
    if null not in NULLS:
        raise ValueError(f"null: got {null!r}, expected one of {', '.join(NULLS)}")
    if ends not in ENDS:
        raise ValueError(f"ends: got {ends!r}, expected one of {', '.join(ENDS)}")
    rows = language_models(table, since, until, multimodal=multimodal)
    return _tested(rows, low, high, null, ends, simulations)


def _tested(
    rows: pd.DataFrame, low: float, high: float, null: str, ends: str, simulations: int
) -> GapTest:
    values = np.sort(rows["log10_parameters"].to_numpy())
    if null == "log-uniform":
        values = values[values >= np.log10(SMALLEST_LOG_UNIFORM)]
    bounds = float(np.log10(low)), float(np.log10(high))
    count, n = _inside(values, *bounds, ends), len(values)
    share = float(np.diff(_cdf(null, values)(np.array(bounds)))[0])
    probability = float(stats.binom.cdf(count, n, share))
    anywhere = float("nan")
    if simulations:
        anywhere = _anywhere(null, values, bounds[1] - bounds[0], probability, simulations)
    return GapTest(n, count, share, probability, anywhere)


def gap_tests(*, simulations: int = 0) -> pd.DataFrame:
    """Return `gap_test` of every table, rule of inclusion and null, one row each."""
    found = []
    for table, multimodal in product((NOTABLE_2022, NOTABLE, ALL), (False, True)):
        rows = language_models(table, SINCE_YEAR, UNTIL_YEAR, multimodal=multimodal)
        for ends, null in product(ENDS, NULLS):
            rule = {"table": table, "multimodal": multimodal, "ends": ends, "null": null}
            result = _tested(rows, LOW, HIGH, null, ends, simulations)
            found.append(rule | result._asdict())
    return pd.DataFrame(found)


def _inside(values: np.ndarray, low: float, high: float, ends: str) -> int:
    above = values > low if ends == "open" else values >= low
    below = values <= high if ends == "closed" else values < high
    return int(np.sum(above & below))


def _cdf(null: str, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the distribution function of the null, fitted to sorted values."""
    if null == "log-normal":
        return stats.norm(np.mean(values), np.std(values, ddof=1)).cdf
    lowest = np.log10(SMALLEST_LOG_UNIFORM)
    return stats.uniform(lowest, values[-1] - lowest).cdf


def _anywhere(null: str, values: np.ndarray, width: float, probability: float, count: int) -> float:
    """Return how often a record from the null has, in some band, so improbable a count.

    Of all bands of the width, at steps of 0.02, those where the null expects at least three.
    """
    rng = np.random.default_rng(0)
    n = len(values)
    lowest = np.log10(SMALLEST_LOG_UNIFORM)
    as_extreme = 0
    for _ in range(count):
        if null == "log-normal":
            drawn = np.sort(rng.normal(np.mean(values), np.std(values, ddof=1), n))
        else:
            drawn = np.sort(rng.uniform(lowest, values[-1], n))
        starts = np.arange(drawn[0], drawn[-1] - width, 0.02)
        at = _cdf(null, drawn)
        share = at(starts + width) - at(starts)
        inside = np.searchsorted(drawn, starts + width) - np.searchsorted(drawn, starts)
        told = n * share >= 3
        as_extreme += bool(np.any(stats.binom.cdf(inside[told], n, share[told]) <= probability))
    return as_extreme / count
