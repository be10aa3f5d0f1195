"""What the machine does: draws a second, cores, memory, many scenarios; and why not more.

``python -m benchmarks.throughput`` prints a Markdown page, ``--write`` puts it into docs/,
``--quick`` tries everything in a minute with few draws. Fifteen minutes otherwise. Every variant runs
in a process of its own, and those that are compared take turns.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import yardstick
from .throughput_tasks import Worker, work

PAGE = Path(__file__).parents[1] / "docs" / "benchmark_throughput.md"
TILE, TOGETHER = 1024, 256  # draws of a tile; tiles that an accelerator evaluates at once


class Settings(NamedTuple):
    """How hard to try. samples: of the kernel; alone: scenarios timed one by one."""

    rounds: int = 15
    samples: int = 2**19
    least_memory_samples: int = 10**4
    most_memory_samples: int = 10**9
    scenarios: int = 1000
    alone: int = 30
    narrow_seeds: int = 12


QUICK = Settings(3, 2**16, 10**4, 10**6, 128, 5, 3)


class Row(NamedTuple):
    """A line of the page: what was measured, what came out, what we aim for, is it reached."""

    what: str
    found: str
    goal: str = ""
    verdict: str = ""


# Rows of the page


def at_least(found: float, goal: float, *, share: bool = False) -> tuple[str, str]:
    """Return (goal, verdict) of a figure that should be large; share: it is a percentage."""
    text = f"{goal:.0%}" if share else f"{goal:g}x"
    return (
        f"at least {text}",
        "reached" if found >= goal else f"**missed**: {found / goal:.0%} of it",
    )


def at_most(found: float, goal: float, unit: str) -> tuple[str, str]:
    """Return (goal, verdict) of a figure that should be small."""
    verdict = "reached" if found <= goal else f"**missed**: {found / goal:.1f} times it"
    return f"at most {goal:g} {unit}".strip(), verdict


def smooth_kernel(settings: Settings, facts: dict[str, Any]) -> list[Row]:
    """Compare the kernel with the same arithmetic by hand, on one core."""
    with tempfile.TemporaryDirectory() as folder, Worker(pinned=True) as worker:
        try:
            libraries = yardstick.build(Path(folder))
        except yardstick.NotBuiltError as error:
            return [Row("smooth kernel against C", f"skipped: {error}")]
        paths = {name: str(path) for name, path in libraries.items()}
        given = {"samples": settings.samples, "rounds": settings.rounds, "libraries": paths}
        found = worker.ask("time_against_c", **given)
        counted = worker.ask("time_arrivals_against_c", **given)
    worst = max(found["differences"].values())
    assert worst < 1e-6, f"the yardstick differs from the kernel by {worst:.0e}"
    moved = counted["moved"] / settings.samples
    assert moved < 1e-4, f"the yardstick counts other arrivals than the kernel: {moved:.0e} of them"
    us, same = _fastest(found["cpu"], settings.samples)
    counting, counting_same = _fastest(counted["cpu"], settings.samples)
    facts |= found | {"kernel_us": us, "c_us": same}
    goal = at_least(same / us, 0.75, share=True)
    streaming = counting_same / counting
    nodes = found["nodes"]
    text = "{:.2f} us a draw, {:.1f} ns a draw and node"
    return [
        Row("smooth kernel, one core", text.format(us, 1e3 * us / nodes)),
        Row("the same in C", text.format(same, 1e3 * same / nodes)),
        Row("smooth kernel as a share of that C's speed", f"{same / us:.0%}", *goal),
        Row("largest difference of C from the kernel", f"{worst:.0e}", *at_most(worst, 1e-6, "")),
        Row("streaming kernel (arrivals one by one), one core", f"{counting:.2f} us a draw"),
        Row("the same in C", f"{counting_same:.2f} us a draw"),
        Row(
            "streaming kernel as a share of that C's speed",
            f"{streaming:.0%}",
            *at_least(streaming, 0.8, share=True),
        ),
    ]


def _fastest(times: dict[str, list[float]], samples: int) -> tuple[float, float]:
    """Return us a draw: of the kernel, and of the faster variant in C."""
    us = {name: 1e6 * float(np.median(found)) / samples for name, found in times.items()}
    return us.pop("kernel"), min(us.values())


def both_cores(settings: Settings, facts: dict[str, Any]) -> list[Row]:
    """Compare one core with two virtual devices, and with one device that may use all cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores < 2:
        return [Row("two cores against one", "skipped: there is one core")]
    kinds = {"one": (1, True), "two": (2, False), "free": (1, False)}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(devices=devices, pinned=pinned))
            for name, (devices, pinned) in kinds.items()
        }
        for turn in range(1 + settings.rounds // 2):
            for name, worker in workers.items():
                found = worker.ask("time_kernel", samples=settings.samples)
                if turn:  # the first compiles
                    times[name].append(found["wall"])
                    cpu[name].append(found["cpu"])
    wall = {name: float(np.median(own)) for name, own in times.items()}
    spent = {name: float(np.median(own)) for name, own in cpu.items()}
    ratio, free = wall["one"] / wall["two"], wall["one"] / wall["free"]
    more = spent["two"] / spent["one"], spent["free"] / spent["one"]
    return [
        Row(
            "two virtual devices against one core, wall",
            f"{ratio:.2f}x, with {more[0]:.2f} of the CPU time",
            *at_least(ratio, 1.8),
        ),
        Row(
            "one device that may use both cores, against one core, wall",
            f"{free:.2f}x, with {more[1]:.2f} of the CPU time",
        ),
    ]


def memory(settings: Settings, facts: dict[str, Any]) -> list[Row]:
    """Compare the memory of a few samples with that of many; pages of files do not count."""
    with Worker(devices=2) as worker:
        # Calls of a short run are smaller: another program, which stays in memory.
        worker.ask("use_memory", samples=10**6)
        few = [worker.ask("use_memory", samples=settings.least_memory_samples) for _ in range(5)]
        many = worker.ask("use_memory", samples=settings.most_memory_samples)
    grown = (many["bytes"] - few[-1]["bytes"]) / 1e6
    samples = f"{settings.least_memory_samples:.0e} to {settings.most_memory_samples:.0e} samples"
    return [
        Row(
            f"more memory from {samples}, without pages of files",
            f"{grown:.1f} MB",
            *at_most(grown, 2, "MB"),
        ),
        Row(
            "of that run: time a draw, two devices",
            f"{1e6 * many['wall'] / many['samples']:.2f} us ({many['wall']:.0f} s in all)",
        ),
    ]


def many_scenarios(settings: Settings, facts: dict[str, Any]) -> list[Row]:
    """Compare a scenario among many with one alone; one core, 2^13 points each."""
    with Worker(pinned=True) as worker:
        found = worker.ask("time_scenarios", count=settings.scenarios, alone=settings.alone)
    batch, alone, goal = 1e3 * found["batch"][1], 1e3 * found["alone"][1], 1.3
    count = f"{settings.scenarios:,} scenarios of one structure"
    return [
        Row(
            f"{count}: compiled programs",
            f"{found['compiled']}",
            *at_most(found["compiled"], 1, ""),
        ),
        Row(f"{count}, 2^13 points each", f"{batch:.1f} ms each", *at_most(batch, goal, "ms")),
        Row("one scenario alone, compiled before", f"{alone:.1f} ms, {alone / batch:.2f}x that"),
        Row("making a scenario's arrays (not in the above)", f"{1e3 * found['prepare'][1]:.1f} ms"),
        Row("first batch, compilation included", f"{found['first'][0]:.1f} s wall"),
    ]


def gradient(settings: Settings, facts: dict[str, Any]) -> list[Row]:
    """Compare the gradient of one probability by all inputs with the whole CDF; one core."""
    with Worker(pinned=True) as worker:
        found = worker.ask("time_gradient", samples=settings.samples, rounds=settings.rounds)
    ratio = found["gradient"] / found["cdf"]
    what = "gradient of a probability by all inputs, over the time of the CDF"
    return [Row(what, f"{ratio:.2f}", *at_most(ratio, 1, ""))]


def many_requirements(settings: Settings, facts: dict[str, Any]) -> list[Row]:
    """Time requirements that share one simulation; one core."""
    count = settings.scenarios
    with Worker(pinned=True) as worker:
        found = worker.ask("time_requirements", count=count)
    each = 1e3 * (found["all"] - found["one"]) / (count - 1)
    return [
        Row(f"{count:,} requirements from one histogram", f"{found['all']:.1f} s"),
        Row("of these, each after the first", f"{each:.2f} ms", *at_most(each, 0.1, "ms")),
    ]


def narrow_requirement(settings: Settings, facts: dict[str, Any]) -> list[Row]:
    """Compare the error for a requirement known to 0.2 OOM with that of plain Monte Carlo."""
    with Worker(pinned=True) as worker:
        found = worker.ask("err_narrow", samples=2**14, seeds=settings.narrow_seeds)
    names = ("one_scramble", "ours", "plain")
    one, ours, plain = (float(np.sqrt(np.mean(np.square(found[name])))) for name in names)
    what = "requirement with a standard deviation of 0.2 OOM, 2^14 samples: error (rms, worst year)"
    return [
        Row(
            f"{what}, one scramble",
            f"{one:.1e}, plain Monte Carlo {plain:.1e}: {plain / one:.0f}x",
            *at_least(plain / one, 15),
        ),
        Row(
            "the same, 16 scrambles, which give error bars",
            f"{ours:.1e}: {plain / ours:.0f}x",
            *at_least(plain / ours, 15),
        ),
        Row("of that forecast: time a draw", f"{found['us']:.1f} us"),
    ]


# Each gives rows of the page; `facts` is what they leave for the text.
SECTIONS: tuple[Callable[[Settings, dict[str, Any]], list[Row]], ...] = (
    smooth_kernel,
    both_cores,
    many_scenarios,
    many_requirements,
    gradient,
    narrow_requirement,
    memory,
)


# The page


def roofline(facts: dict[str, Any]) -> str:
    """Return what the kernel computes and moves, and what that implies."""
    with Worker() as worker:
        counted = worker.ask("time_operations")
    a_node, a_draw = counted["a_node"], counted["a_draw"]
    operations = sum(a_node.values())
    commonest = sorted(a_node, key=a_node.get, reverse=True)[:6]
    nodes, inputs, carried = counted["nodes"], counted["inputs"], counted["carried"]
    per_node = 4 * (carried + 2)
    known = {
        "commonest": ", ".join(f"{a_node[name]} {name}" for name in commonest),
        "operations": operations,
        "a_draw": sum(a_draw.values()),
        "inputs": inputs,
        "carried": carried,
        "nodes": nodes,
        "per_node": per_node,
        "intensity": operations / per_node,
        "tile_kilobytes": 4 * (inputs + carried + nodes) * TILE / 1e3,
        "out": 4 * nodes,
        "draws": TOGETHER * TILE,
        "accelerator_megabytes": 4 * carried * TOGETHER * TILE / 1e6,
    }
    text = _COUNTS.format(**known)
    if "kernel_us" not in facts:
        return f"{text}\nNo C compiler, so nothing measured of the core.\n{_ACCELERATOR.format(**known)}"
    per_ns = {name: operations * nodes / (1e3 * facts[name]) for name in ("kernel_us", "c_us")}
    peak = facts["multiply_adds_per_ns"]
    measured = _MEASURED.format(
        kernel=per_ns["kernel_us"],
        c=per_ns["c_us"],
        peak=peak,
        share=per_ns["kernel_us"] / peak,
        c_share=per_ns["c_us"] / peak,
        memory_speed=facts["bytes_per_ns"],
        kernel_bytes=4 * nodes / (1e3 * facts["kernel_us"] * TILE),
    )
    return text + measured + _ACCELERATOR.format(**known)


def page(settings: Settings) -> str:
    """Return the Markdown page."""
    from .measure import machine

    facts: dict[str, Any] = {}
    rows = [row for section in SECTIONS for row in section(settings, facts)]
    return _TEXT.format(
        machine=machine(),
        rows="\n".join(f"| {' | '.join(row)} |" for row in rows),
        rounds=settings.rounds,
        samples=settings.samples,
        flags=" ".join(yardstick.FLAGS[:4]),
        roofline=roofline(facts),
    )


_TEXT = """# Throughput, cores, memory, many scenarios

*Written by `python -m benchmarks.throughput --write`; machine: {machine}.*

The scenario is `baseline` with priors in place of its fits, as in
[benchmark_forecast_kernel.md](benchmark_forecast_kernel.md). Figures are medians of {rounds} rounds or half as many in which the
contenders take turns, each in a process of its own; CPU time on one core unless it says wall. Points are made and turned into
inputs inside every timed call; scrambling, compilation and start are not in it.

| what | measured | goal | |
|---|---|---|---|
{rows}

The yardstick is benchmarks/yardstick.c: the same points, inputs and formulas as a loop in C, draws in the vector lanes, every
function an inlined polynomial, compiled on this machine with `{flags}`, the faster of 16 and 32 draws at a time.
Between points it has one exclusive or a coordinate, where the kernel has ten, and functions a little less exact.

The goal for a scenario among many was set with a smaller model (19 inputs) on a processor with AVX-512.

## What bounds it

{roofline}"""

_COUNTS = """Counted in the traced program, common parts once: a draw takes {inputs} normal quantiles and as many exponentials (for those that
are lognormal), and {a_draw} operations for what does not depend on the year; then **each of {nodes} nodes takes {operations}
operations** ({commonest}, ...), most of them in the polynomials of exp, log and erf
(kernels/elementary.py).

A node reads {carried} numbers of the draw and writes one, which is read once more: {per_node} bytes, {intensity:.1f} operations a
byte. But they lie in the cache: a tile of 1024 draws holds {tile_kilobytes:.0f} kB, and what leaves it is one sum a node, {out}
bytes.
"""

_MEASURED = """
**On this CPU arithmetic is the bound, not memory.** One core does {peak:.0f} multiply-adds a ns in registers and moves
{memory_speed:.0f} bytes a ns to and from memory (both measured here). The kernel does {kernel:.0f} operations a ns, {share:.0%} of the
former (the C loop, counted alike, {c:.0f}, {c_share:.0%}; multiply-adds are counted as two, and comparisons as much as they),
while it needs {kernel_bytes:.4f} bytes a ns of memory. Only fewer or cheaper operations make it faster.
"""

_ACCELERATOR = """
**On a GPU or TPU: not measured.** There, {draws:,} draws (256 tiles of 1024) would be evaluated at once and nothing but {out} bytes a
tile returned to the host, so that neither the link nor the host bounds it while a call takes longer than the millisecond or so of
dispatching it. Assumed that the compiler makes one program a node, as it does here, the draws' own numbers do not fit into
registers between nodes and are read again at every node: {per_node} bytes for about {operations} operations, {intensity:.1f}
operations a byte. An accelerator that does ten or more operations in the time of a byte from its main memory (as large ones do
in float32) would then wait for memory, unless its cache holds the {accelerator_megabytes:.0f} MB. The remedies are fewer tiles at
once, or several nodes in one pass of the loop.
"""


def main() -> None:
    """Print the page; --write also puts it into docs/, --quick takes few draws; or be a worker."""
    given = sys.argv[1:]
    if "--worker" in given:
        work(int(given[given.index("--worker") + 1]), "--pinned" in given)
        return
    from aitimelines.forecast.files import write_text

    text = page(QUICK if "--quick" in given else Settings())
    sys.stdout.write(text)
    if "--write" in given:
        write_text(PAGE, text)


if __name__ == "__main__":
    main()
