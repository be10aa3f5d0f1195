"""The gate: what a fit must satisfy before its forecast is believed.

Thresholds: R-hat 1.01 and 400 effective draws (Vehtari et al. 2021), Pareto k 0.7 (Vehtari et al.
2024), no divergences, and posterior predictive p-values between 0.0025 and 0.9975 (a dozen test
quantities are looked at). PASS: all hold. REVIEW: one is missed by little. FAIL: do not use.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

VERDICTS = ("PASS", "REVIEW", "FAIL")


class Verdict(NamedTuple):
    """PASS, REVIEW or FAIL, with the reasons and what to do about them."""

    verdict: str
    reasons: tuple[str, ...] = ()


# quantity -> (passes up to, fails from, advice); all are "smaller is better"
_RULES = {
    "r_hat": (1.01, 1.05, "chains disagree: more draws, or a simpler model"),
    "missing_effective_draws": (0.0, 0.75, "fewer than 400 effective draws: more draws"),
    "pareto_k": (0.7, 1.0, "importance sampling is unreliable: sampler = 'nuts'"),
    "divergent_part": (0.0, 0.001, "divergent transitions: reparametrise, or a tighter prior"),
    "predictive_tail": (
        0.4975,
        0.4999,
        "see the posterior predictive draws",
    ),
}


def judge(quantities: Mapping[str, float]) -> Verdict:
    """Return the verdict on a fit from the quantities that are known of it (NaN is skipped)."""
    worst, reasons = 0, []
    for name, value in quantities.items():
        passes, fails, advice = _RULES[name]
        if np.isnan(value) or value <= passes:
            continue
        worst = max(worst, 2 if value >= fails else 1)
        reasons.append(f"{name} {value:.3g} (expected at most {passes:g}): {advice}")
    return Verdict(VERDICTS[worst], tuple(reasons))


def together(verdicts: Mapping[str, Verdict]) -> Verdict:
    """Return the worst verdict of several records, with all reasons."""
    if not verdicts:
        return Verdict("PASS", ("nothing was fitted",))
    worst = max(VERDICTS.index(v.verdict) for v in verdicts.values())
    reasons = [f"{name}: {r}" for name, v in verdicts.items() for r in v.reasons]
    return Verdict(VERDICTS[worst], tuple(reasons))
