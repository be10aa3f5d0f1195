"""Scenario files: what they may say, with every value checked before anything runs.

A scenario is TOML over a named prior set: what the file leaves out, the set supplies. Models are
frozen and refuse unknown keys.
"""

import datetime
from math import log
from statistics import NormalDist
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from .beliefs import (
    KPerformance,
    Mass,
    Name,
    Number,
    Pair,
    Prior,
    Strict,
    Whole,
    iso_date,
    lognormal10,
    must_differ,
    not_a_flag,
    one_of,
)

MAX_SAMPLES = 2**32
MAX_HORIZON_YEARS = 1000
REQUIREMENT_KINDS = ("normal", "two_piece_normal", "uniform", "logistic")
LAW_KINDS = ("reducible_loss", "k_performance")  # loss that a scaling law turns into FLOP
_WEIGHT_TOLERANCE = 1e-6


class Growth(Strict):
    """An exponential trend that slows: its doubling time now, in the long run, and between."""

    doubling_time_years: Prior = Field(description="doubling time now [yr]")
    long_run_doubling_time_years: Prior = Field(description="doubling time it tends to [yr]")
    slowdown_half_life_years: Prior = Field(
        description="time in which the excess growth over the long run halves [yr]"
    )


class Trend(Growth):
    """A growing quantity, fitted to its record (`fit = true`) or given by priors alone."""

    fit: StrictBool = Field(False, description="fit level and doubling time to the record")
    log10_level: Prior | None = Field(None, description="log10 of it in level_year, if not fitted")
    level_year: Number | None = Field(None, description="decimal year of log10_level")
    log10_level_at_anchor: Prior | None = Field(None, description="fit: level amid the record")
    residual_scale_oom: Prior | None = Field(None, description="fit: scatter about the trend")
    scatter_growth_per_year: Prior | None = Field(
        None, description="fit: rate at which the scatter grows or shrinks; default: it does not"
    )
    degrees_of_freedom: Prior | None = Field(None, description="fit: of the Student-t scatter")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "Trend":
        needed = (
            ("log10_level_at_anchor", "residual_scale_oom", "degrees_of_freedom")
            if self.fit
            else ("log10_level", "level_year")
        )
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"fit = {str(self.fit).lower()} needs {' and '.join(missing)}")
        return self


class TrainingCompute(Trend):
    """Training compute of the largest run [FLOP], as a trend of its own."""

    table: str = Field("notable_models", description="data table of the record")
    reading: Literal["top-n", "upper-quantile", "latent-frontier"] = Field(
        "top-n", description="how the frontier is read from the record"
    )
    top_n: Annotated[Whole, Field(ge=1, le=1000)] = Field(10, description="top-n: how many")
    since_year: Number = Field(2010.0, description="start of the record that is fitted")
    change_points: Annotated[Literal["average", 0, 1, 2, 3], BeforeValidator(not_a_flag)] = Field(
        "average", description="of growth: how many, or an average over 0 to 3"
    )
    change_point_weights: tuple[Number, Number, Number, Number] | None = Field(
        None, description="of 0 to 3 change points in an average; default: by leave-one-out"
    )
    gap_oom: Prior | None = Field(None, description="latent-frontier: mean gap below it")

    @model_validator(mode="after")
    def _weights(self) -> "TrainingCompute":
        weights = self.change_point_weights
        if weights is None:
            return self
        if min(weights) < 0 or abs(sum(weights) - 1) > _WEIGHT_TOLERANCE:
            raise ValueError(
                f"change_point_weights: got {list(weights)}, expected four that are not negative "
                "and add up to 1"
            )
        return self

    @model_validator(mode="after")
    def _gap(self) -> "TrainingCompute":
        if self.fit and self.reading == "latent-frontier" and self.gap_oom is None:
            raise ValueError("reading = 'latent-frontier' needs gap_oom")
        return self


class Spending(Trend):
    """Amortised hardware and energy cost of the largest training run [USD]."""

    top_n: Annotated[Whole, Field(ge=1, le=1000)] = 10


class PricePerformance(Trend):
    """FLOP that a dollar of amortised training cost buys."""

    log10_ceiling: Prior = Field(description="physical and economic ceiling [log10 FLOP/USD]")


class GrossProduct(Growth):
    """Yearly product of the economy that pays [USD/yr]."""

    log10_level: Prior
    level_year: Number


class Gain(Growth):
    """A gain that multiplies compute, counted from the year of the requirement's algorithms."""

    ceiling_oom: Prior = Field(description="the most it can give from the reference year on [OOM]")


class AlgorithmicProgress(Gain):
    """Algorithmic progress of training, fitted to language models or given by priors."""

    fit: StrictBool = False
    parameter_elasticity: Prior | None = None
    data_elasticity: Prior | None = None
    log_reference_loss: Prior | None = None
    residual_scale_nat: Prior | None = None
    degrees_of_freedom: Prior | None = None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "AlgorithmicProgress":
        names = (
            "parameter_elasticity",
            "data_elasticity",
            "log_reference_loss",
            "residual_scale_nat",
            "degrees_of_freedom",
        )
        missing = [name for name in names if getattr(self, name) is None]
        if self.fit and missing:
            raise ValueError(f"fit = true needs {' and '.join(missing)}")
        return self


class ResourceLimit(Strict):
    """What a resource allows for the largest training run."""

    name: Name
    year: Number = Field(description="decimal year in which the level holds")
    log10_flop: Prior = Field(description="largest run that the resource allows in that year")
    doubling_time_years: Prior = Field(description="at which the resource grows")
    source: str | None = None


class Limits(Strict):
    """Soft caps on physical compute: money, and resources one by one."""

    sharpness: Prior = Field(
        Prior.model_validate(2.0), description="of all soft caps; 1 is logistic"
    )
    log10_spending_share: Prior = Field(
        description="largest part of the gross product that one run can take [log10]"
    )
    resources: Annotated[tuple[ResourceLimit, ...], Field(max_length=32)] = ()

    @model_validator(mode="after")
    def _named_once(self) -> "Limits":
        must_differ("resources", [resource.name for resource in self.resources])
        return self


class ScalingLaw(Strict):
    """Training loss in parameters and tokens: a posterior (`fit = true`), or published constants.

    Requirements in terms of loss become FLOP by it, and runs get parameters and tokens.
    """

    fit: StrictBool = Field(True, description="fit the constants to a table of training runs")
    table: Name = Field("chinchilla_losses", description="data table of the runs that are fitted")
    law: Name | None = Field(None, description="id of a published law of Chinchilla's form")

    @model_validator(mode="after")
    def _one_source(self) -> "ScalingLaw":
        if self.fit == (self.law is not None):
            raise ValueError("law: expected the id of a published law if fit = false, else none")
        return self


class RequirementComponent(Strict):
    """One view of how much effective compute the milestone takes [log10 FLOP]."""

    name: Name
    weight: Annotated[Number, Field(ge=0, le=1)]
    normal: Pair | None = Field(None, description="central interval holding `mass`")
    two_piece_normal: tuple[Number, Number, Number] | None = Field(
        None, description="low, median, high; [low, high] holds `mass`"
    )
    uniform: Pair | None = Field(None, description="low, high")
    logistic: Pair | None = Field(None, description="central interval holding `mass`")
    reducible_loss: Pair | None = Field(
        None,
        description="loss above the irreducible at which it is met [nat/token], lognormal, central "
        "interval holding `mass`; in FLOP by the scenario's scaling_law, compute-optimal",
    )
    k_performance: KPerformance | None = None
    mass: Mass = 0.9
    algorithms_year: Number | None = Field(None, description="if not the requirement's own")
    algorithmic_doubling_time_years: Prior | None = Field(
        None, description="if this view has algorithmic progress of its own"
    )
    algorithmic_ceiling_oom: Prior | None = Field(None, description="likewise")
    source: str | None = None

    @model_validator(mode="after")
    def _one_valid_kind(self) -> "RequirementComponent":
        kind = one_of(self, (*REQUIREMENT_KINDS, *LAW_KINDS))
        values = getattr(self, kind)
        if kind == "reducible_loss" and values[0] <= 0:
            raise ValueError(f"{kind}: got {list(values)}, expected positive numbers")
        if kind != "k_performance" and not all(
            a < b for a, b in zip(values, values[1:], strict=False)
        ):
            raise ValueError(f"{kind}: got {list(values)}, expected increasing numbers")
        return self

    @property
    def kind(self) -> str:
        """The name of its distribution; "reducible_loss" where that depends on a scaling law."""
        given = one_of(self, (*REQUIREMENT_KINDS, *LAW_KINDS))
        return "reducible_loss" if given in LAW_KINDS else given

    @property
    def parameters(self) -> tuple[float, float, float]:
        """Parameters as `kernels.requirement.cumulative` takes them.

        Of "reducible_loss": mean and standard deviation of its log10.
        """
        if self.k_performance is not None:
            return (*self.k_performance.reducible_loss, 0.0)
        if self.reducible_loss is not None:
            return (*lognormal10(self.reducible_loss, self.mass), 0.0)
        values = getattr(self, self.kind)
        upper = 0.5 + self.mass / 2
        if self.kind == "uniform":
            return (*values, 0.0)
        if self.kind == "logistic":
            scale = (values[1] - values[0]) / (2 * log(upper / (1 - upper)))
            return ((values[0] + values[1]) / 2, scale, 0.0)
        z = NormalDist().inv_cdf(upper)
        if self.kind == "normal":
            return ((values[0] + values[1]) / 2, (values[1] - values[0]) / (2 * z), 0.0)
        low, median, high = values
        return (median, (median - low) / z, (high - median) / z)


class Requirement(Strict):
    """How much effective compute the milestone takes: a mixture of views, and "none of these"."""

    milestone: str = Field(description="what arrives, in a sentence")
    algorithms_year: Number = Field(
        description="decimal year whose algorithms the FLOP are counted in"
    )
    none_weight: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="weight of: no amount of compute brings it about this way"
    )
    components: Annotated[tuple[RequirementComponent, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> "Requirement":
        total = self.none_weight + sum(c.weight for c in self.components)
        if abs(total - 1) > _WEIGHT_TOLERANCE:
            raise ValueError(
                f"none_weight and the weights of components: got a sum of {total:.6g}, expected 1"
            )
        must_differ("components", [c.name for c in self.components])
        return self


class Inference(Strict):
    """How the historical record is fitted."""

    sampler: Literal["auto", "importance", "nuts"] = "auto"
    chains: Annotated[Whole, Field(ge=2, le=64)] = 4
    # 64 x 2^14 draws over 16 replicates are the 2^16 rows that the kernels can choose from.
    draws: Annotated[Whole, Field(ge=100, le=2**14)] = Field(1000, description="per chain")


class Scenario(Strict):
    """One forecast: a requirement, an availability path, and how to compute the first passage."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    title: str
    description: str = ""
    prior_set: str = Field(description="named set that supplies what this file leaves out")
    compute: Literal["trend", "spending-times-price-performance"] = Field(
        description="what is wanted of physical compute: its own trend, or what is spent"
    )
    as_of: Annotated[datetime.date | None, BeforeValidator(iso_date)] = Field(
        None, description="the forecast's now; default: the date of the newest data table it uses"
    )
    horizon_year: Annotated[Whole, Field(ge=1950, le=datetime.MAXYEAR + MAX_HORIZON_YEARS)] = 2100
    samples: Annotated[Whole, Field(ge=1, le=MAX_SAMPLES)] = 2**17
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0
    history: Literal["separate", "joint"] = Field(
        "separate",
        description="compute, spending, price-performance and algorithmic progress: fitted one by "
        "one, or by one model, so that a draw of them is one world (compute is spending times "
        "price-performance)",
    )
    training_compute: TrainingCompute | None = None
    spending: Spending | None = None
    price_performance: PricePerformance
    gross_product: GrossProduct
    algorithmic_progress: AlgorithmicProgress
    post_training: Gain
    limits: Limits
    scaling_law: ScalingLaw | None = None
    requirement: Requirement
    inference: Inference = Inference.model_validate({})

    @model_validator(mode="after")
    def _consistent(self) -> "Scenario":
        needed = "training_compute" if self.compute == "trend" else "spending"
        if getattr(self, needed) is None:
            raise ValueError(f"compute = {self.compute!r} needs a section [{needed}]")
        if self.history == "joint":
            self._can_be_joint()
        by_law = [c.name for c in self.requirement.components if c.kind == "reducible_loss"]
        if by_law and self.scaling_law is None:
            raise ValueError(f"component {by_law[0]!r} is in terms of loss: expected [scaling_law]")
        if self.as_of is not None:
            check_horizon(self.as_of, self.horizon_year)
        return self

    def _can_be_joint(self) -> None:
        together = (self.training_compute, self.spending, self.price_performance)
        fitted = [s is not None and s.fit for s in (*together, self.algorithmic_progress)]
        compute = self.training_compute
        if compute is None or not all(fitted):
            raise ValueError(
                "history = 'joint' needs fit = true in training_compute, spending, "
                "price_performance and algorithmic_progress"
            )
        if compute.reading != "top-n" or compute.change_points == 3:
            raise ValueError(
                "history = 'joint' needs training_compute.reading = 'top-n' and change_points "
                f"'average', 0, 1 or 2: got {compute.reading!r} and {compute.change_points!r}"
            )


def check_horizon(as_of: datetime.date, horizon_year: int) -> None:
    """Raise ``ValueError`` if the horizon is not after the forecast's now, or too far from it."""
    if not as_of.year < horizon_year <= as_of.year + MAX_HORIZON_YEARS:
        raise ValueError(
            f"horizon_year: got {horizon_year}, expected a year after as_of "
            f"({as_of.isoformat()}), at most {MAX_HORIZON_YEARS} years ahead"
        )
