"""Progress with the time left: bars for people, short lines for logs, JSON lines for programs.

    with shown("auto") as report:
        report("simulate: samples", 1024, 2**20)

Whatever takes time calls ``report(what, done, total)``: once before it starts (done = 0, or what a
resumed run has already), then as it advances, and at the end (done = total).
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Literal, NamedTuple, TextIO

Report = Callable[[str, int, int], None]
Kind = Literal["auto", "bars", "lines", "json", "none"]
KINDS: tuple[str, ...] = ("auto", "bars", "lines", "json", "none")
LINE_SECONDS, JSON_SECONDS = 30.0, 0.5  # of silence at most, in a part that advances


class _Start(NamedTuple):
    """When a part began, and how far it was then."""

    seconds: float
    done: int


class Clock:
    """The time that parts of a job have taken, and have left at the pace they go."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._began: dict[str, _Start] = {}
        self._paced: dict[str, _Start] = {}

    def tell(self, what: str, done: int, total: int) -> tuple[float, float | None]:
        """Return (elapsed, left) of a part [s]; left is None while there is no pace to go by.

        The pace counts from the first piece that was done, since that one had to be compiled too.
        """
        at = _Start(self._now(), done)
        began = self._began.setdefault(what, at)
        paced = self._paced.setdefault(what, at) if done > 0 else at
        since = paced if done > paced.done else began
        elapsed = at.seconds - began.seconds
        if done >= total:
            return elapsed, 0.0
        pieces = done - since.done
        return elapsed, (at.seconds - since.seconds) * (
            total - done
        ) / pieces if pieces > 0 else None


@contextmanager
def shown(
    kind: str = "auto", *, stream: TextIO | None = None, clock: Clock | None = None
) -> Iterator[Report]:
    """Give a function ``report(what, done, total)`` that shows how far a job is.

    kind: "bars" (for a terminal), "lines" (start, every quarter, at least each 30 s of work, end),
        "json" (one object a line: what, done, total, elapsed_s, left_s, the last null while
        unknown), "none", or "auto": bars if the stream is a terminal, lines if not.
    stream: where to; default standard error.
    Raises ``ValueError`` for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"progress: got {kind!r}, expected one of {', '.join(KINDS)}")
    stream = stream or sys.stderr
    clock = clock or Clock()
    if kind == "auto":
        kind = "bars" if stream.isatty() else "lines"
    if kind == "bars":
        with _bars(stream, clock) as report:
            yield report
    elif kind == "none":
        yield lambda what, done, total: None
    else:
        yield (_lines if kind == "lines" else _json_lines)(stream, clock)


def _lines(stream: TextIO, clock: Clock) -> Report:
    said: dict[str, tuple[int, float]] = {}  # by part: the last quarter told, and when

    def report(what: str, done: int, total: int) -> None:
        elapsed, left = clock.tell(what, done, total)
        quarter = 4 * done // max(total, 1)
        last = said.get(what)
        if last is not None and quarter == last[0] and elapsed - last[1] < LINE_SECONDS:
            return
        if last is not None and last[0] == quarter == 4:
            return
        said[what] = (quarter, elapsed)
        note = f", about {spelled(left)} left" if left and done < total else ""
        _say(stream, f"{what} {done}/{total}{note}")

    return report


def _json_lines(stream: TextIO, clock: Clock) -> Report:
    said: dict[str, float] = {}

    def report(what: str, done: int, total: int) -> None:
        elapsed, left = clock.tell(what, done, total)
        if what in said and done < total and elapsed - said[what] < JSON_SECONDS:
            return
        said[what] = elapsed
        line = {
            "what": what,
            "done": int(done),
            "total": int(total),
            "elapsed_s": round(elapsed, 3),
            "left_s": None if left is None else round(left, 3),
        }
        _say(stream, json.dumps(line))

    return report


def _say(stream: TextIO, line: str) -> None:
    with suppress(BrokenPipeError):  # that nobody listens does not end the job
        stream.write(line + "\n")
        stream.flush()


@contextmanager
def _bars(stream: TextIO, clock: Clock) -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            _, left = clock.tell(what, done, total)
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, left="")
            note = f"{spelled(left)} left" if left else ""
            bars.update(tasks[what], completed=done, total=total, left=note)

        yield report


def note(text: str, kind: str = "auto", *, stream: TextIO | None = None) -> None:
    """Say something beside the progress, on a line of its own, as {"note": ...} if kind is json."""
    line = " ".join(text.split())
    _say(stream or sys.stderr, json.dumps({"note": line}) if kind == "json" else f"note: {line}")


@contextmanager
def warnings_as_notes(kind: str = "auto") -> Iterator[None]:
    """Show each warning once, as a note, without the place in the code that it comes from."""
    said: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in said:
            said.add(str(message))
            note(str(message), kind)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def spelled(seconds: float) -> str:
    """Return a duration for people: "40 s", "12 min", "3 h 05 min", "2 d 4 h"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"
