"""What a person waits for: the command against a bare ``import jax``, process by process.

``python -m benchmarks.waiting`` prints a Markdown page, ``--write`` puts it into docs/, ``--quick``
takes every measure once. Ten minutes on a busy machine. Nothing here is imported that a process
under test would have to share: each is a process of its own, in turns, in a cache of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple

from aitimelines.forecast.files import write_text

from .forecast_kernel import machine

PAGE = Path(__file__).parents[1] / "docs" / "benchmark_waiting.md"
ROUNDS, COLD_ROUNDS = 5, 3
BASE = "bare `import jax`"
COMMAND = (sys.executable, "-m", "aitimelines.forecast")
# As the command does it: libraries, fit, forecast, files; CPU seconds of each.
PARTS = """
import json, sys, time
from pathlib import Path
laps, last = {}, time.process_time()
def lap(name):
    global last
    now = time.process_time()
    laps[name], last = now - last, now
from aitimelines.forecast import cli, compiled
from aitimelines.forecast.scenario_files import load_scenario
scenario = load_scenario("baseline", samples=int(sys.argv[1]))
lap("the command itself, the scenario")
with compiled.few_collections():
    import jax
    lap("import jax")
    import xarray
    lap("import xarray, pandas")
    from aitimelines.forecast import engine, storage, summaries
    lap("import the rest of the engine")
compiled.keep_compiled_programs()
fits = engine.fit(scenario)
lap("read the fits")
tree = engine.simulate(scenario, fits)
lap("forecast: trace, load programs, run")
engine.simulate(scenario, fits)
lap("(of which run, in a process that goes on)")
folder = Path(sys.argv[2])
storage.write_tree(tree, folder / "result.zarr")
lap("write the store")
from aitimelines.forecast import plots
lap("import matplotlib")
plots.save(plots.timeline(tree), folder / "timeline")
plots.save(plots.compute(tree), folder / "compute")
lap("draw two figures, PNG and SVG")
print(json.dumps(laps))
"""


class Took(NamedTuple):
    """Seconds of a process with its threads."""

    wall: float
    cpu: float


class Contender(NamedTuple):
    """What is waited for, and its target as a ratio to the base or in seconds (0: none)."""

    name: str
    most_ratio: float = 0.0
    most_seconds: float = 0.0


CONTENDERS = (
    Contender(BASE),
    Contender("`aitimelines --help`", most_seconds=1.5),
    Contender("`aitimelines show RUN`"),
    Contender("`aitimelines run baseline`, the same again", most_ratio=1.3),
    Contender("`aitimelines run baseline`, other samples: fits and programs kept", most_ratio=1.3),
    Contender("`aitimelines run baseline`, nothing kept", most_seconds=30.0),
)


def measured(arguments: tuple[str, ...], cache: Path) -> Took:
    """Return what a process takes; raises ``RuntimeError`` with what it said if it fails."""
    environment = {**os.environ, "AITIMELINES_CACHE": str(cache)}
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}: {said.read()[-2000:]}")
    return Took(wall, usage.ru_utime + usage.ru_stime)


def commands(folder: Path, numbers: Iterator[int]) -> list[tuple[tuple[str, ...], Path]]:
    """Return the process of each contender, and its cache."""
    run = (*COMMAND, "run", "baseline", "--output")
    number = next(numbers)
    warm, cold = folder / "cache", folder / f"cold cache {number}"
    # Other samples, rounded up to the same power of two: the same programs, another forecast.
    other = ("--samples", str(40_000 + number))
    return [
        ((sys.executable, "-c", "import jax"), warm),
        ((*COMMAND, "--help"), warm),
        ((*COMMAND, "show", str(folder / "run")), warm),
        ((*run, str(folder / f"same {number}")), warm),
        ((*run, str(folder / f"other {number}"), *other), warm),
        ((*run, str(folder / f"cold {number}")), cold),
    ]


def all_measured(folder: Path, rounds: int, cold_rounds: int) -> list[list[Took]]:
    """Return what each contender took in each round, all in turns."""
    numbers = count()
    (_, _, _, same, other, _) = commands(folder, numbers)
    for arguments, cache in (same, other):  # so that fits, programs and a result are kept
        measured(arguments, cache)
    measured((*COMMAND, "run", "baseline", "--output", str(folder / "run")), folder / "cache")
    found: list[list[Took]] = [[] for _ in CONTENDERS]
    for turn in range(rounds):
        for took, (arguments, cache) in zip(found, commands(folder, numbers), strict=True):
            if took is not found[-1] or turn < cold_rounds:
                took.append(measured(arguments, cache))
    return found


def parts(folder: Path, rounds: int) -> dict[str, float]:
    """Return the CPU seconds of the parts of a forecast, medians."""
    environment = {**os.environ, "AITIMELINES_CACHE": str(folder / "cache")}
    found = []
    for turn in range(rounds):
        target = folder / f"parts {turn}"
        target.mkdir()
        command = [sys.executable, "-c", PARTS, "40000", str(target)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {name: median(laps[name] for laps in found) for name in found[0]}


def _verdict(contender: Contender, ratio: float, wall: float) -> str:
    if contender.most_ratio:
        met = ratio <= contender.most_ratio
        return f"≤ {contender.most_ratio:g} × the import: {'met' if met else 'missed'}"
    if contender.most_seconds:
        met = wall < contender.most_seconds
        return f"< {contender.most_seconds:g} s: {'met' if met else 'missed'}"
    return ""


def rows(found: list[list[Took]]) -> Iterator[str]:
    """Yield the table: medians, and the median over rounds of the ratio within a round."""
    for contender, took in zip(CONTENDERS, found, strict=True):
        cpu_ratio, wall_ratio = (
            median(
                getattr(t, which) / getattr(b, which) for t, b in zip(took, found[0], strict=False)
            )
            for which in ("cpu", "wall")
        )
        wall, cpu = (median(getattr(t, which) for t in took) for which in ("wall", "cpu"))
        verdict = _verdict(contender, cpu_ratio, wall)
        yield (
            f"| {contender.name} | {cpu:.2f} | {cpu_ratio:.2f} | {wall:.2f} | {wall_ratio:.2f} | "
            f"{len(took)} | {verdict} |"
        )


def page(rounds: int, cold_rounds: int) -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory(prefix="waiting-") as name:
        folder = Path(name)
        found = all_measured(folder, rounds, cold_rounds)
        laps = parts(folder, rounds)
    return _TEXT.format(
        machine=machine(),
        rows="\n".join(rows(found)),
        parts="\n".join(f"| {part} | {seconds:.2f} |" for part, seconds in laps.items()),
        dask="installed" if find_spec("dask") else "not installed",
    )


_TEXT = """# What a person waits for

*Written by `python -m benchmarks.waiting --write`; machine: {machine}; dask {dask}.*

Each entry is a fresh process, files of the operating system in memory, all in turns; medians. CPU is user and system time of
all threads. Ratios are to the bare import in the same round, so that a busy machine slows both. Targets of ratios are judged by
CPU, those in seconds by wall time, which on a machine shared with other work is an upper bound.

| | CPU [s] | ratio | wall [s] | ratio | rounds | target |
|---|---:|---:|---:|---:|---:|---|
{rows}

"The same again" copies the kept result: no library that takes long is loaded, nor for `show` and `--help`
(`tests/test_forecast_cli.py` checks that). At a terminal a run prints the forecast before it draws the figures.

## Where a new forecast spends its time

Fits and compiled programs kept, CPU seconds of each part, medians. The row in brackets is measured again in the same process:
the forecast before it would take only that if the process had been running.

| part | CPU [s] |
|---|---:|
{parts}

`import jax` in this table is without garbage collections, which take a third of the bare import; so is the rest of the loading.
xarray imports dask where it is installed (the extra `cluster`), when the fits are read.

A forecast with a labelled tree, a store and four figures cannot be had for 1.3 × an import: what it imports (four rows above) takes
about twice that, before anything is read, traced, computed, written or drawn.

## Where compiled programs are kept

In `compiled` in the cache folder (`$AITIMELINES_CACHE`), by JAX's persistent compilation cache, under a key of program, compiler
version, flags and processor. JAX loads what it finds there as machine code; no pickle is read. So whoever can write there can
run code as you: the folder is made private (mode 0700), and it is used only if it is yours and neither it nor any folder above
it can be written by others (except sticky ones such as `/tmp`). Otherwise the run says so and compiles anew.

## What is refused before it starts

A request that cannot fit is refused in one sentence (exit code 2, `ValueError` in Python), with the number and what to lower.
The command does so before it loads JAX, in about twice the time of `--help`.

| what | at most |
|---|---|
| samples | 2^32; memory does not grow with them |
| horizon | 1000 years after `as_of` |
| chains, draws of each | 64, 2^14 |
| uncertain inputs; resource limits; views of the requirement | 64; 32; 64 |
| scenario file | 1 MB |
| memory | what the machine and its control groups have left; a fit needs up to 176 bytes a draw and observation |
| disk | what is free where the result goes; a folder that can be written |
"""


def main() -> None:
    """Print the page; --write also puts it into docs/, --quick takes every measure once."""
    quick = "--quick" in sys.argv[1:]
    text = page(1, 1) if quick else page(ROUNDS, COLD_ROUNDS)
    sys.stdout.write(text)
    if "--write" in sys.argv[1:]:
        write_text(PAGE, text)


if __name__ == "__main__":
    main()
