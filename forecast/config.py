"""Scenario files: what they may say, with every value checked before anything runs.

A scenario is TOML over a named prior set: what the file leaves out, the set supplies. Models are
frozen and refuse unknown keys.
"""

import datetime
from contextlib import suppress
from math import log
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

from ..priors.elicitation import KINDS, Interval, check_interval

MAX_SAMPLES = 2**32
MAX_HORIZON_YEARS = 1000
REQUIREMENT_KINDS = ("normal", "two_piece_normal", "uniform", "logistic")
_WEIGHT_TOLERANCE = 1e-6


def _not_a_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"got {value}, expected a number")
    return value


def _iso_date(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError):
            return datetime.date.fromisoformat(value)
    if value is None or type(value) is datetime.date:
        return value
    raise ValueError(f"got {str(value)!r}, expected a date, YYYY-MM-DD")


# Strict: neither true nor "1" is a number. Within what float32 holds.
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e30, le=1e30)]
Whole = Annotated[int, Field(strict=True)]
Name = Annotated[str, Field(min_length=1)]
Pair = tuple[Number, Number]
Mass = Annotated[Number, Field(gt=0, lt=1, description="probability that the interval holds")]


class Strict(BaseModel):
    """Frozen, refusing unknown keys, and positive where it must be."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _positive(self) -> Self:
        _must_be_positive(self)
        return self


class Prior(Strict):
    """An uncertain number: an interval, or `fixed`; a bare number is fixed too.

    `{ lognormal = [0.3, 0.8], mass = 0.9 }`: the central interval that holds 90 %.
    """

    normal: Pair | None = None
    lognormal: Pair | None = None
    uniform: Pair | None = None
    loguniform: Pair | None = None
    fixed: Number | None = None
    mass: Mass = 0.9
    source: str | None = Field(None, description="where the numbers come from")

    @model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"fixed": value} if is_number else value

    @model_validator(mode="after")
    def _one_valid_kind(self) -> "Prior":
        _one_of(self, (*KINDS, "fixed"))
        if self.interval is not None:
            check_interval(*self.interval)
        return self

    @property
    def interval(self) -> Interval | None:
        """The elicited interval; None if the number is fixed."""
        for kind in KINDS:
            pair = getattr(self, kind)
            if pair is not None:
                return Interval(kind, pair[0], pair[1], self.mass)
        return None

    @property
    def lowest(self) -> float:
        """The smallest value that the prior can take."""
        if self.interval is None:
            return float(self.fixed if self.fixed is not None else 0.0)
        kind, low, _, _ = self.interval
        return {"normal": float("-inf"), "lognormal": 0.0}.get(kind, low)


def _one_of(section: BaseModel, kinds: tuple[str, ...]) -> str:
    given = [kind for kind in kinds if getattr(section, kind) is not None]
    if len(given) != 1:
        got = " and ".join(given) or "no distribution"
        raise ValueError(f"got {got}, expected exactly one of {', '.join(kinds)}")
    return given[0]


def _must_be_positive(section: BaseModel) -> None:
    for name in _POSITIVE & type(section).model_fields.keys():
        prior = getattr(section, name)
        if prior is None:
            continue
        fixed_at_zero = prior.interval is None and prior.lowest <= 0
        if fixed_at_zero or prior.lowest < 0:
            raise ValueError(
                f"{name}: got a prior that reaches {prior.lowest:g}, expected positive numbers "
                "(lognormal, loguniform, or uniform or fixed above 0)"
            )


def _must_differ(field: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{field}: got the name {twice[0]!r} twice, expected each once")


_POSITIVE = {
    "doubling_time_years",
    "long_run_doubling_time_years",
    "slowdown_half_life_years",
    "residual_scale_oom",
    "residual_scale_nat",
    "degrees_of_freedom",
    "gap_oom",
    "parameter_elasticity",
    "data_elasticity",
    "ceiling_oom",
    "algorithmic_doubling_time_years",
    "algorithmic_ceiling_oom",
    "sharpness",
}


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
    change_points: Annotated[Literal["average", 0, 1, 2, 3], BeforeValidator(_not_a_flag)] = Field(
        "average", description="of growth: how many, or an average over 0 to 3 weighted by LOO"
    )
    gap_oom: Prior | None = Field(None, description="latent-frontier: mean gap below it")

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
        _must_differ("resources", [resource.name for resource in self.resources])
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
    mass: Mass = 0.9
    algorithms_year: Number | None = Field(None, description="if not the requirement's own")
    algorithmic_doubling_time_years: Prior | None = Field(
        None, description="if this view has algorithmic progress of its own"
    )
    algorithmic_ceiling_oom: Prior | None = Field(None, description="likewise")
    source: str | None = None

    @model_validator(mode="after")
    def _one_valid_kind(self) -> "RequirementComponent":
        kind = _one_of(self, REQUIREMENT_KINDS)
        values = getattr(self, kind)
        if not all(a < b for a, b in zip(values, values[1:], strict=False)):
            raise ValueError(f"{kind}: got {list(values)}, expected increasing numbers")
        return self

    @property
    def kind(self) -> str:
        """The name of its distribution."""
        return _one_of(self, REQUIREMENT_KINDS)

    @property
    def parameters(self) -> tuple[float, float, float]:
        """Parameters as `kernels.requirement.cumulative` takes them."""
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
        _must_differ("components", [c.name for c in self.components])
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
    as_of: Annotated[datetime.date | None, BeforeValidator(_iso_date)] = Field(
        None, description="the forecast's now; default: the date of the newest data table it uses"
    )
    horizon_year: Annotated[Whole, Field(ge=1950, le=datetime.MAXYEAR + MAX_HORIZON_YEARS)] = 2100
    samples: Annotated[Whole, Field(ge=1, le=MAX_SAMPLES)] = 2**17
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0
    training_compute: TrainingCompute | None = None
    spending: Spending | None = None
    price_performance: PricePerformance
    gross_product: GrossProduct
    algorithmic_progress: AlgorithmicProgress
    post_training: Gain
    limits: Limits
    requirement: Requirement
    inference: Inference = Inference.model_validate({})

    @model_validator(mode="after")
    def _consistent(self) -> "Scenario":
        needed = "training_compute" if self.compute == "trend" else "spending"
        if getattr(self, needed) is None:
            raise ValueError(f"compute = {self.compute!r} needs a section [{needed}]")
        if self.as_of is not None:
            check_horizon(self.as_of, self.horizon_year)
        return self


def check_horizon(as_of: datetime.date, horizon_year: int) -> None:
    """Raise ``ValueError`` if the horizon is not after the forecast's now, or too far from it."""
    if not as_of.year < horizon_year <= as_of.year + MAX_HORIZON_YEARS:
        raise ValueError(
            f"horizon_year: got {horizon_year}, expected a year after as_of "
            f"({as_of.isoformat()}), at most {MAX_HORIZON_YEARS} years ahead"
        )
