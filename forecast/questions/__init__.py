"""Questions of the forecasting debate with computed answers: ``fc.ask("Q3.1")``.

Claims and both sides are in `claims.toml`; the computations are in the modules `q0` to `q3`, in
``COMPUTATIONS``: id -> `Computation`. What has no computation says why.
"""

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from .answer import (
    Answer,
    Computation,
    Evidence,
    Question,
    Report,
    plain_quantity,
    plain_verdict,
)

__all__ = ["Asked", "ask", "computation", "question", "question_ids"]


@dataclass(frozen=True)
class Asked:
    """A question with its answer.

    method: how it is computed, in words; evidence: what it rests on, where from, and whether the
    fits passed their gate. method is empty and answer None for a question that is not computed.
    """

    question: Question
    method: str
    evidence: tuple[Evidence, ...]
    answer: Answer | None

    def figure(self) -> Any:
        """Return the matplotlib figure of the answer.

        Raises ``ValueError`` if there is nothing to draw.
        """
        if self.answer is None or self.answer.draw is None:
            raise ValueError(f"figure: {self.question.id} has none")
        from .drawing import page

        verdict = self.answer.verdict
        lines = [f"{self.question.id}: {verdict.side}", verdict.because]
        return page(self.question.claim, [*lines, *self._gate()], self.answer.draw)

    def _gate(self) -> list[str]:
        """Return what to say about fits that did not pass their gate."""
        failed = (each for each in self.evidence if each.verdict != "PASS")
        return [f"fit: {e.verdict} ({e.source}): {'; '.join(e.reasons)}" for e in failed]

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain values, None for numbers that are infinite."""
        answer = self.answer
        return vars(self.question) | {
            "method": self.method,
            "evidence": [
                {"source": e.source, "fit": e.verdict, "reasons": list(e.reasons)}
                for e in self.evidence
            ],
            "inputs": [plain_quantity(q) for q in answer.inputs] if answer else [],
            "results": [plain_quantity(q) for q in answer.results] if answer else [],
            "rule": answer.rule if answer else None,
            "verdict": plain_verdict(answer.verdict) if answer else None,
        }


@cache
def _claims() -> dict[str, Question]:
    text = files(__package__).joinpath("claims.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text)
    return {name: Question(name, **entries[name]) for name in sorted(entries)}


def question_ids() -> list[str]:
    """Return the ids of the questions, in order."""
    return list(_claims())


def question(question_id: str) -> Question:
    """Return a question; ``ValueError`` naming the nearest id if there is none of this id."""
    claims = _claims()
    if question_id not in claims:
        near = get_close_matches(question_id.upper(), list(claims), n=1, cutoff=0.0)
        raise ValueError(
            f"question: no question {question_id!r}; did you mean {near[0]!r}? "
            "(see: aitimelines ask)"
        )
    return claims[question_id]


def computation(question_id: str) -> Computation | None:
    """Return how a question is computed; None if it is not."""
    module = question_id.partition(".")[0].lower()
    if question(question_id).why_not is not None:
        return None
    found: Computation = import_module(f".{module}", __name__).COMPUTATIONS[question_id]
    return found


def ask(question_id: str, *, progress: Report | None = None) -> Asked:
    """Return a question with its answer, computed now; the fits it needs come from the cache.

    progress is called with (what, done, total).
    Raises ``ValueError`` for an id that there is not.
    """
    asked, how = question(question_id), computation(question_id)
    if how is None:
        return Asked(asked, "", (), None)
    report = progress or (lambda what, done, total: None)
    evidence = tuple(need(report) for need in how.needs)
    report(f"answer {question_id}", 0, 1)
    answer = how.answer(*(each.values for each in evidence))
    report(f"answer {question_id}", 1, 1)
    return Asked(asked, how.method, evidence, answer)
