"""Uncertain numbers as scenario files write them, and what every section of one shares."""

import datetime
from contextlib import suppress
from math import hypot, log, log10
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..priors.elicitation import KINDS, Interval, check_interval


def not_a_flag(value: Any) -> Any:
    """Return the value; ``ValueError`` if it is true or false, which would pass as 1 or 0."""
    if isinstance(value, bool):
        raise ValueError(f"got {value}, expected a number")
    return value


def iso_date(value: Any) -> Any:
    """Return a date from its ISO text; None and dates pass, all else is a ``ValueError``."""
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
        one_of(self, (*KINDS, "fixed"))
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


def one_of(section: BaseModel, kinds: tuple[str, ...]) -> str:
    """Return the only one of these fields that is given; ``ValueError`` for none or several."""
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


def must_differ(field: str, names: list[str]) -> None:
    """Raise ``ValueError`` if a name stands twice."""
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


class KPerformance(Strict):
    """A text so long that a judge cannot tell model from human (Barnett & Besiroglu 2023).

    An ideal judge needs I / L tokens, I = (2 c - 1) ln(c / (1 - c)) nat of information on average
    for a confidence c (Wald 1945), L the reducible loss [nat/token]; people need more.
    """

    tokens: Pair = Field(description="length of the text, lognormal, central interval [token]")
    slowdown: Pair = Field(description="human over ideal judge, lognormal, central interval")
    mass: Mass = 0.9
    confidence: Annotated[Number, Field(gt=0.5, lt=1)] = 0.9
    unit: Literal["nat", "bit"] = Field(
        "nat", description="of the information; the published code divides bits by a loss in nats"
    )

    @model_validator(mode="after")
    def _increasing(self) -> "KPerformance":
        for name in ("tokens", "slowdown"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name}: got {[low, high]}, expected increasing positive numbers")
        return self

    @property
    def reducible_loss(self) -> tuple[float, float]:
        """(Mean, standard deviation) of the log10 reducible loss at which it is met."""
        information = (2 * self.confidence - 1) * log(self.confidence / (1 - self.confidence))
        slowdown, tokens = (lognormal10(pair, self.mass) for pair in (self.slowdown, self.tokens))
        unit = log(2) if self.unit == "bit" else 1.0
        mean = log10(information / unit) + slowdown[0] - tokens[0]
        return mean, hypot(slowdown[1], tokens[1])


def lognormal10(pair: Pair, mass: float) -> tuple[float, float]:
    """Return (mean, standard deviation) of log10 of a lognormal with this central interval."""
    low, high = log10(pair[0]), log10(pair[1])
    return (low + high) / 2, (high - low) / (2 * NormalDist().inv_cdf(0.5 + mass / 2))
