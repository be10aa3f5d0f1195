"""Published scaling laws by name: loss, compute-optimal runs, and all of them side by side.

Numbers are plain floats with units in the results; bad input is a ``ValueError``. For posterior
draws use the kernels, which broadcast.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import exp, inf, isfinite, log
from typing import Any

from ..priors.published_laws import named_runs, published_laws

# Kind of law -> its form. Those of COMPUTED have a loss or an optimum in `law_families`.
FORMS = {
    "chinchilla": "L = E + A / N^alpha + B / D^beta",
    "kaplan": "L = (Cc / C_min)^aC, N and D as powers of C_min; L(N, D) as in kaplan_data",
    "kaplan_data": "L = [(Nc / N)^(aN / aD) + Dc / D]^aD",
    "data_constrained": "L = E + A / N'^alpha + B / D'^beta, X' = U + UR (1 - e^((1 - X / U) / R))",
    "power_optimum": "N or D as a power of C",
    "precision": "L = E + A / N^alpha + B / D^beta + C_T D^gD / N^gN exp(-bits / g)",
    "sparsity": "L = (aS (1 - S)^bS + cS) / N^bN + B / D^bD + c",
    "transfer": "D_T = k D_F^alpha N^beta",
    "board_game": "Elo = min(0, max(plateau, incline in log C))",
    "parameter_count": "N with embeddings = N + w N^(1/3)",
    "exponents": "exponent of compute-optimal N in C",
}
COMPUTED = (
    *("chinchilla", "kaplan", "kaplan_data", "data_constrained", "power_optimum"),
    *("precision", "sparsity"),
)
_MOST_LOG_FLOP = 600.0  # beyond what floats hold
# Of these, the optimum is that of the loss: a run can be held against the cheapest of equal loss.
ONE_EQUATION = tuple(kind for kind in COMPUTED if kind not in ("kaplan", "power_optimum"))
# Kind of law -> its setting, and what it is where nothing is said.
SETTINGS = {
    "data_constrained": ("unique_tokens", inf),
    "precision": ("bits", inf),
    "sparsity": ("sparsity", 0.0),
}


@dataclass(frozen=True)
class Law:
    """A published law, as in `priors/published_laws.toml`."""

    id: str
    title: str
    source: str
    year: int
    kind: str
    read_from: str
    constants: dict[str, Any]
    units: dict[str, str]
    valid: dict[str, tuple[float, float]] = field(default_factory=dict)
    superseded_by: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def form(self) -> str:
        """The equation."""
        return FORMS[self.kind]


@dataclass(frozen=True)
class Run:
    """A training run under a law: what it has, what it reaches, and what to know about it."""

    law: str
    training_flop: float
    parameters: float
    tokens: float
    tokens_per_parameter: float
    loss: float | None
    units: dict[str, str]
    setting: dict[str, float | None]
    superseded_by: str | None
    warnings: tuple[str, ...]


def law_ids() -> list[str]:
    """Return the ids of the published laws, as they stand in the file."""
    return list(published_laws())


def law(law_id: str) -> Law:
    """Return a published law.

    Raises ``ValueError`` naming the nearest id if there is none of this id.
    """
    laws = published_laws()
    if law_id not in laws:
        near = get_close_matches(str(law_id), list(laws), n=1, cutoff=0.0)
        raise ValueError(
            f"law: no law {law_id!r}; did you mean {near[0]!r}? (see: aitimelines laws list)"
        )
    entry = laws[law_id]
    ranges = {name: (low, high) for name, (low, high) in entry.pop("valid", {}).items()}
    notes = tuple(entry.pop("notes", ()))
    return Law(id=law_id, valid=ranges, notes=notes, **entry)


def loss(
    chosen: str | Law, *, parameters: float, tokens: float, setting: float | None = None
) -> Run:
    """Return a run of N parameters on D tokens under a law, with its loss.

    chosen: id, or a `Law` (``dataclasses.replace`` gives one with other constants)
    setting: of a law that has one (`SETTINGS`): unique tokens, bits a weight, or sparsity
    Raises ``ValueError`` for a law without a loss, and for values that are not positive.
    """
    chosen = law(chosen) if isinstance(chosen, str) else chosen
    compute = _function(chosen, "loss")
    used = _setting(chosen, setting)
    log_n, log_d = (_log(n, x) for n, x in (("parameters", parameters), ("tokens", tokens)))
    value = _evaluated(lambda: compute(chosen.constants, log_n, log_d, used))
    return _run(chosen, log_n, log_d, float(value), used)


def optimum(
    chosen: str | Law,
    *,
    training_flop: float | None = None,
    loss: float | None = None,
    setting: float | None = None,
) -> Run:
    """Return the compute-optimal run of a budget [FLOP], or the cheapest that reaches a loss.

    chosen, setting: as of `loss`
    Raises ``ValueError`` for a law without an optimum, unless one of ``training_flop`` and ``loss``
    is given, for values that are not positive, and for a loss that no run reaches.
    """
    chosen = law(chosen) if isinstance(chosen, str) else chosen
    compute = _function(chosen, "optimum")
    used = _setting(chosen, setting)
    if loss is not None and training_flop is None:
        log_flop = _log_flop(chosen, loss, used)
    elif training_flop is not None and loss is None:
        log_flop = _log_budget(training_flop)
    else:
        raise ValueError("training_flop, loss: expected one of the two")
    best = _evaluated(lambda: compute(chosen.constants, log_flop, used))
    run = _run(chosen, float(best.log_parameters), float(best.log_tokens), float(best.loss), used)
    return run if training_flop is None else replace(run, training_flop=training_flop)


def waste(chosen: str | Law, *, parameters: float, tokens: float) -> float:
    """Return the FLOP of a run over those of the cheapest run of equal loss under a law.

    Raises ``ValueError`` for a law whose loss and optimum are not of one equation.
    """
    chosen = law(chosen) if isinstance(chosen, str) else chosen
    if chosen.kind not in ONE_EQUATION:
        raise ValueError(f"law: {chosen.id!r} has no one equation of both loss and optimum")
    return _wastes(chosen, [_log("parameters", parameters)], [_log("tokens", tokens)])[0]


def _wastes(chosen: Law, log_parameters: list[float], log_tokens: list[float]) -> list[float]:
    """Return the waste of several runs, in one evaluation."""
    import numpy as np

    log_n, log_d = np.array(log_parameters), np.array(log_tokens)
    used = _setting(chosen, None)
    of_run, of_loss = (_function(chosen, name) for name in ("loss", "log_flop"))

    def log_cheapest() -> Any:
        return of_loss(chosen.constants, of_run(chosen.constants, log_n, log_d, used), used)

    return [float(x) for x in np.exp(log(6) + log_n + log_d - np.asarray(_evaluated(log_cheapest)))]


def compare(training_flop: float) -> list[dict[str, Any]]:
    """Return the optimum of a budget under each law that has one, rows for a data frame.

    Keys are those of `Run`, and `waste`: run id -> FLOP over those of the cheapest run of equal
    loss, None where the law has no such number (of `named_runs` in `priors.published_laws`).
    """
    laws = (law(law_id) for law_id in law_ids())
    return [_compared(each, training_flop) for each in laws if each.kind in COMPUTED]


def _compared(chosen: Law, training_flop: float) -> dict[str, Any]:
    runs = named_runs()
    factors: list[float | None] = [None] * len(runs)
    if chosen.kind in ONE_EQUATION and chosen.units["data"].startswith("token"):
        sizes, data = (
            [log(run[name]) for run in runs.values()] for name in ("parameters", "tokens")
        )
        factors = [*_wastes(chosen, sizes, data)]
    wasted = dict(zip(runs, factors, strict=True))
    return vars(optimum(chosen, training_flop=training_flop)) | {"waste": wasted}


def _function(chosen: Law, name: str) -> Callable[..., Any]:
    if chosen.kind in COMPUTED:
        from .law_families import FAMILIES

        found = getattr(FAMILIES[chosen.kind], name)
        if found is not None:
            return found
    wanted = {"log_flop": "loss, to find an optimum by"}.get(name, name)
    raise ValueError(f"law: {chosen.id!r} ({chosen.form}) has no {wanted}")


def _evaluated(compute: Callable[[], Any]) -> Any:
    """Return what a computation gives in double precision."""
    import jax

    with jax.enable_x64(True):
        return compute()


def _log_flop(chosen: Law, wanted: float, setting: float) -> float:
    compute = _function(chosen, "log_flop")
    _log("loss", wanted)
    log_flop = float(_evaluated(lambda: compute(chosen.constants, wanted, setting)))
    if not log_flop < _MOST_LOG_FLOP:
        raise ValueError(
            f"loss: got {wanted!r}, expected one that a run reaches under {chosen.id!r}"
        )
    return log_flop


def _log_budget(training_flop: float) -> float:
    log_flop = _log("training_flop", training_flop)
    if training_flop < 6:
        raise ValueError(
            f"training_flop: got {training_flop!r}, expected at least 6, a parameter on a token"
        )
    return log_flop


def _log(name: str, value: float) -> float:
    if not (0 < value < inf):
        raise ValueError(f"{name}: got {value!r}, expected a positive number")
    return log(value)


def _setting(chosen: Law, given: float | None) -> float:
    """Return the setting of a law; NaN, never used, for one that has none."""
    name, default = SETTINGS.get(chosen.kind, (None, float("nan")))
    if given is None:
        return default
    if name is None:
        raise ValueError(f"setting: got {given!r}, but {chosen.id!r} has none")
    if not (0 <= given < 1 if name == "sparsity" else given > 0):
        wanted = "at least 0 and below 1" if name == "sparsity" else "a positive number"
        raise ValueError(f"{name}: got {given!r}, expected {wanted}")
    return given


def _run(chosen: Law, log_n: float, log_d: float, found: float, setting: float) -> Run:
    parameters, tokens = exp(log_n), exp(log_d)
    name = SETTINGS[chosen.kind][0] if chosen.kind in SETTINGS else None
    values = {
        "training_flop": exp(log(6) + log_n + log_d),
        "parameters": parameters,
        "tokens": tokens,
        "tokens_per_parameter": tokens / parameters,
    }
    shown = {"unique_tokens": min(setting, tokens)} if name == "unique_tokens" else {}
    return Run(
        law=chosen.id,
        **values,
        loss=found if isfinite(found) else None,
        units={"training_flop": "FLOP", **_units(chosen)},
        setting={} if name is None else {name: setting if isfinite(setting) else None},
        superseded_by=chosen.superseded_by,
        warnings=tuple(_outside(chosen, values | shown)),
    )


def _units(chosen: Law) -> dict[str, str]:
    """Return the units of a run, in which weights and data are counted one by one."""
    parameters, data = (chosen.units[name].split(" / ")[0] for name in ("parameters", "data"))
    return {"parameters": parameters, "tokens": data, "loss": chosen.units.get("loss", "none")}


def _outside(chosen: Law, values: dict[str, float]) -> list[str]:
    """Return a sentence for each value beyond what the law was fitted on."""
    return [
        f"{name} {values[name]:.3g} is outside {low:.3g} to {high:.3g}, the range of {chosen.id}"
        for name, (low, high) in chosen.valid.items()
        if name in values and not low <= values[name] <= high
    ]
