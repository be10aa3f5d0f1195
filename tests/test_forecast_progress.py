"""Progress: what is said, when, and how long it says that things will take."""

import io
import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from aitimelines.forecast.progress import KINDS, Clock, shown, spelled
from hypothesis import given
from hypothesis import strategies as st


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def told(times: Iterator[float] | list[float], *reports: tuple[int, int]) -> list:
    """Return (elapsed, left) of reports (done, total) at the given times."""
    clock = Clock(iter(times).__next__)
    return [clock.tell("x", done, total) for done, total in reports]


def said(kind: str, reports: list[tuple[float, str, int, int]]) -> list[str]:
    """Return the lines shown for reports (time, what, done, total)."""
    stream = io.StringIO()
    clock = Clock(iter([time for time, *_ in reports]).__next__)
    with shown(kind, stream=stream, clock=clock) as report:
        for _, *arguments in reports:
            report(*arguments)
    return stream.getvalue().splitlines()


def test_time_left_at_a_steady_pace():
    steps = told([10, 12, 14, 20], (0, 10), (1, 10), (2, 10), (5, 10))
    assert steps == [(0, None), (2, 18), (4, 16), (10, 10)]


def test_the_first_piece_which_is_compiled_does_not_count_as_pace():
    steps = told([0, 60, 61, 62], (0, 10), (1, 10), (2, 10), (3, 10))
    assert [left for _, left in steps] == [None, 540, 8, 7]


def test_a_resumed_run_does_not_count_what_it_found_done():
    steps = told([0, 10, 20], (500, 1000), (510, 1000), (520, 1000))
    assert [left for _, left in steps] == [None, 490, 480]


def test_nothing_is_left_at_the_end():
    assert told([0, 5], (0, 1), (1, 1))[-1] == (5, 0)
    assert told([0], (0, 0)) == [(0, 0)]


def test_parts_have_clocks_of_their_own():
    clock = Clock(iter([0, 100, 110]).__next__)
    clock.tell("a", 0, 4)
    clock.tell("b", 0, 4)
    assert clock.tell("b", 1, 4) == (10, 30)


def test_lines_at_the_start_every_quarter_and_at_the_end():
    reports = [(float(i), "simulate", i, 100) for i in range(101)]
    assert said("lines", [*reports, reports[-1]]) == [
        "simulate 0/100",
        "simulate 25/100, about 75 s left",
        "simulate 50/100, about 50 s left",
        "simulate 75/100, about 25 s left",
        "simulate 100/100",
    ]


def test_lines_are_never_silent_for_long():
    lines = said("lines", [(10.0 * i, "sweep", i, 10_000) for i in range(1001)])
    done = [int(line.split()[1].split("/")[0]) for line in lines]
    assert max(b - a for a, b in pairwise(done)) == 3


def test_json_lines_have_the_promised_fields():
    reports = [(0.0, "fit [red]", 0, 4), (1.0, "fit [red]", 1, 4), (2.0, "fit [red]", 4, 4)]
    found = [json.loads(line) for line in said("json", reports)]
    assert [list(line) for line in found] == [["what", "done", "total", "elapsed_s", "left_s"]] * 3
    assert [list(line.values()) for line in found] == [
        ["fit [red]", 0, 4, 0, None],
        ["fit [red]", 1, 4, 1, 3],
        ["fit [red]", 4, 4, 2, 0],
    ]


def test_json_lines_are_no_flood_and_end_with_the_end():
    found = [
        json.loads(line) for line in said("json", [(i / 1000, "x", i, 5000) for i in range(5001)])
    ]
    assert 8 <= len(found) <= 12
    assert found[-1]["done"] == 5000
    assert found[-1]["left_s"] == 0


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50), st.integers(0, 50)), max_size=30),
    st.sampled_from(["lines", "json"]),
)
def test_any_reports_can_be_shown(reports, kind):
    for line in said(kind, [(float(i), *report) for i, report in enumerate(reports)]):
        if kind == "json":
            left = json.loads(line)["left_s"]
            assert left is None or left >= 0


def test_auto_is_bars_in_a_terminal_and_lines_elsewhere():
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        with shown(stream=stream) as report:
            report("fit [red]x[/red]", 0, 2)
            report("fit [red]x[/red]", 1, 2)
    assert "\x1b[" in terminal.getvalue()
    assert "fit [red]x[/red]" in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
    first, second = file.getvalue().splitlines()
    assert first == "fit [red]x[/red] 0/2"
    assert second.startswith("fit [red]x[/red] 1/2, about ")


def test_bars_show_the_time_left():
    stream = Terminal()
    clock = Clock(iter([0, 100, 200]).__next__)
    with shown("bars", stream=stream, clock=clock) as report:
        for done in (0, 1, 2):
            report("x", done, 100)
    assert "2 h 43 min left" in stream.getvalue()


def test_none_says_nothing():
    assert said("none", [(0, "x", 0, 1)]) == []


@pytest.mark.parametrize("kind", ["lines", "json"])
def test_that_nobody_listens_does_not_end_the_job(kind: str):
    with shown(kind, stream=Closed()) as report:
        report("x", 0, 1)
        report("x", 1, 1)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="progress: got 'loud', expected one of auto, bars"):
        shown("loud").__enter__()
    assert KINDS == ("auto", "bars", "lines", "json", "none")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (3600, "60 min"),
        (6000, "1 h 40 min"),
        (7500, "2 h 05 min"),
        (48 * 3600, "2 d 0 h"),
        (100 * 3600, "4 d 4 h"),
    ],
)
def test_durations_are_spelled_for_people(seconds: float, words: str):
    assert spelled(seconds) == words
