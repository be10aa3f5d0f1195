"""``aitimelines ask``: questions of the forecasting debate, and what the numbers say."""

import json
import sys
from math import isinf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from .compiled import loading
from .progress import Kind, shown, warnings_as_notes

if TYPE_CHECKING:
    from .questions import Asked
    from .questions.answer import Quantity, Verdict

out = Console()


def ask(
    question: str | None = None,
    /,
    *,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    figure: Path | None = None,
    progress: Kind = "auto",
) -> None:
    """Answer a question by computation: what each side claims, the numbers, the rule, the verdict.

    Without a question, list all of them. Fits are kept in the cache folder ($AITIMELINES_CACHE).

    Parameters
    ----------
    question
        Id of a question, Q3.1 for example, or all.
    json_
        Print JSON: id, claim, side_a, side_b, why_not, method, evidence, inputs, results, rule,
        verdict; a list of them for all. Infinite numbers are null.
    figure
        Draw the answer to a file, .png, .svg or .pdf, which is replaced if it exists.
    progress
        On standard error: bars, lines, json, none, or auto.
    """
    from .questions import question as find
    from .questions import question_ids

    if figure is not None:
        from .files import check_figure

        check_figure(figure)
        if question in (None, "all"):
            raise ValueError("figure: expected one question to draw")
    if question is None:
        return _print_list(json_)
    ids = question_ids() if question == "all" else [find(question).id]
    answers = _answers(ids, progress)
    if figure is not None:
        from .plot_page import save_as

        save_as(answers[0].figure(), figure)
    if json_:
        plain = [each.plain() for each in answers]
        return _print_json(plain if question == "all" else plain[0])
    for each in answers:
        _print(each)
    return None


def _answers(ids: list[str], progress: Kind) -> list["Asked"]:
    from .questions import ask as answer
    from .questions import question

    with shown(progress) as report, warnings_as_notes(progress):
        if any(question(each).why_not is None for each in ids):
            with loading(report):
                from .questions import drawing  # noqa: F401
        return [answer(each, progress=report) for each in ids]


def _print_list(as_json: bool) -> None:
    from .questions import question, question_ids

    questions = [question(each) for each in question_ids()]
    if as_json:
        return _print_json(
            [{"id": q.id, "claim": q.claim, "computed": q.why_not is None} for q in questions]
        )
    for q in questions:
        _line(f"{q.id}  {q.claim}{' (not computed)' if q.why_not else ''}")
    return None


def _print(asked: "Asked") -> None:
    question, answer = asked.question, asked.answer
    _line(f"{question.id}  {question.claim}", style="bold")
    _line(f"side A: {question.side_a}")
    _line(f"side B: {question.side_b}")
    if answer is None:
        _line(f"not computed: {question.why_not}\n")
        return
    out.print("", asked.method, "", sep="\n", markup=False, highlight=False)
    for each in asked.evidence:
        told = "; ".join((each.verdict, *each.reasons))
        _line(f"from: {each.source} (fit: {told})")
    _print_numbers("inputs", answer.inputs)
    _print_numbers("results, median (90 %)", answer.results)
    _line(f"rule: {answer.rule}")
    _line(f"verdict: {answer.verdict.side}", style="bold")
    _print_reasons(answer.verdict, "  ")
    out.print()


def _print_reasons(verdict: "Verdict", indent: str) -> None:
    if not verdict.cases:
        _line(f"{indent}{verdict.because}")
    for name, case in verdict.cases.items():
        _line(f"{indent}{name}: {case.side}{'' if case.cases else f', {case.because}'}")
        if case.cases:
            _print_reasons(case, indent + "  ")


def _print_numbers(title: str, quantities: tuple["Quantity", ...]) -> None:
    if quantities:
        _line(f"{title}:")
    for q in quantities:
        span = "" if q.q05 is None else f" ({_number(q.q05)} to {_number(q.q95)})"
        published = "" if q.published is None else f"published {_number(q.published)}"
        told = ", ".join(part for part in (published, q.source) if part)
        unit = f" {q.unit}" if q.unit else ""
        _line(f"  {q.name}: {_number(q.value)}{span}{unit}{f' [{told}]' if told else ''}")


def _number(value: float | None) -> str:
    from .questions.answer import short

    if value is None:
        return ""
    return "infinite" if isinf(value) else short(value, 4)


def _line(text: str, style: str | None = None) -> None:
    out.print(text, style=style, markup=False, soft_wrap=True, highlight=False)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
