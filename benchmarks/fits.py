"""Time to 1,000 effective draws: this package's fits against NumPyro, BlackJAX and nutpie.

``python -m benchmarks.fits`` prints a Markdown page, ``--write`` puts it into docs/, ``--quick``
tries everything with few draws. The contenders need ``pip install -e '.[bench]'``. Twenty minutes or
more: every entry is measured in a process of its own, all in turns.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ._fit_contenders import CASES, CHAINS, CONTENDERS, DENSITY, MANY, clock

PAGE = Path(__file__).parents[1] / "docs" / "benchmark_fits.md"
WANTED = 1000  # effective draws of the worst parameter
WARMUP, DRAWS, ROUNDS = 500, 500, 2
GOAL_RATE, GOAL_COLD = 100, 40
OURS = [name for name in CONTENDERS if name.startswith("this package")]
OTHERS = [name for name in CONTENDERS if name not in (*OURS, DENSITY)]


# Measurement


def measure(case: str, contender: str, draws: int, warmup: int, seed: int) -> dict[str, Any]:
    """Return what one process finds: a first fit, compilation included, then a second.

    All on one core. Imports come before the clock starts. Time to the wanted effective draws is warm-up plus the part
    of the sampling that they need; a fit of this package is never cut short.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax

    jax.config.update("jax_enable_x64", True)
    posterior = CASES[case]()
    run = CONTENDERS[contender](posterior, draws, warmup)
    import arviz_stats  # noqa: F401

    start = clock()
    first = run(seed)
    cold = clock() - start
    second = run(seed + 100)
    warm = np.array(second.before) + np.array(second.sampling)
    part = WANTED / second.effective if contender in OTHERS else 1.0
    needed = np.array(second.before) + part * np.array(second.sampling)
    names = ("degrees_of_freedom", *(n for n in second.draws if "exponent" in n or "seg" in n))
    return {
        "effective": second.effective,
        "cold": list(cold - warm + needed),
        "warm": list(needed),
        "cpu_per_effective": warm[1] / second.effective,
        "moments": {
            name: [
                [float(x) for x in np.ravel(f(second.draws[name], axis=(0, 1)))]
                for f in (np.mean, np.std)
            ]
            for name in names
        },
        "first_effective": first.effective,
    }


def in_a_process(case: str, contender: str, draws: int, warmup: int, seed: int) -> dict[str, Any]:
    """Return `measure` from a fresh process without any compiled programs kept."""
    arguments = json.dumps([case, contender, draws, warmup, seed])
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    # NumPy's threads would start before they can be kept to one core, and wait busily.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fits", "--one", arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(f"{contender} on {case}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(case: str, draws: int, warmup: int, rounds: int) -> str:
    """Return the rows of one posterior, medians over rounds in which the contenders take turns."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    for turn in range(rounds):
        for name in CONTENDERS:
            entry = in_a_process(case, name, draws, warmup, 1000 * turn)
            found[name].append(entry)
            told = {k: v for k, v in entry.items() if k != "moments"}
            sys.stderr.write(f"{case}, round {turn + 1}, {name}: {told}\n")

    def median(name: str, quantity: str) -> Any:
        return np.median([entry[quantity] for entry in found[name]], axis=0)

    rates = {name: 1 / median(name, "cpu_per_effective") for name in CONTENDERS}
    best, cold = max(rates[name] for name in OURS), median(OURS[0], "cold")
    lines = []
    for name in OURS + OTHERS:
        (cold_wall, cold_cpu), (warm_wall, warm_cpu) = median(name, "cold"), median(name, "warm")
        lines.append(
            f"| {name} | {median(name, 'effective'):,.0f} | {rates[name]:,.0f} | "
            f"{best / rates[name]:,.1f} | {cold_wall:.2f} | {cold_cpu:.2f} | "
            f"{cold_cpu / cold[1]:.1f} | {warm_wall:.2f} | {warm_cpu:.2f} |"
        )
    fastest = max(OTHERS, key=rates.__getitem__)
    soonest = min(OTHERS, key=lambda name: median(name, "cold")[1])
    goals = (
        f"Per CPU second {best / rates[fastest]:,.0f} times the best of the others, {fastest} (goal "
        f"{GOAL_RATE}); from cold to the answer {median(soonest, 'cold')[1] / cold[1]:.0f} times as "
        f"fast as the soonest, {soonest} (goal {GOAL_COLD}). The density alone takes "
        f"{1e6 / rates[DENSITY]:.2f} us a point, in batches: if each point were an effective draw, that "
        f"would be {rates[DENSITY] / rates[fastest]:,.0f} times {fastest}."
    )
    return "\n".join(lines) + f"\n\n{goals}\n\n{agreement(found)}\n"


def agreement(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return how far the other posteriors are from ours, in posterior standard deviations."""
    ours_mean, others = found[OURS[0]][0]["moments"], []
    for name, entries in found.items():
        if name not in OTHERS:
            continue
        gaps = [
            np.abs(np.subtract(entries[0]["moments"][key][0], mean)) / np.maximum(sd, 1e-12)
            for key, (mean, sd) in ours_mean.items()
        ]
        others.append(f"{name} {max(float(gap.max()) for gap in gaps):.2f}")
    return (
        "Largest difference of a posterior mean from this package's, in posterior standard deviations: "
        + ", ".join(others)
        + "."
    )


_TEXT = """# Time to 1,000 effective draws of a posterior

*Written by `python -m benchmarks.fits --write`; machine: {machine}; {versions}.*

Two posteriors, each on packaged data, float64: the law of training loss, 7 parameters, on the 240 Chinchilla runs that Besiroglu
et al. (2024) keep; and a trend with one change point, 5 parameters and its date, on the 123 systems of Sevilla et al. (2022). All
contenders sample the same NumPyro model, {chains} chains, each in a process that has one core; for the change point this package
weighs a grid of dates, the others sample the date with a uniform prior. NumPyro and BlackJAX take {warmup} warm-up iterations and
{draws} draws a chain, chains vectorised (their fastest documented way on one device), in loops that are compiled once (NumPyro's
`MCMC.run` compiles anew at each call, which takes most of its time); nutpie its own 300 and {draws} draws on the same density
through its `from_pyfunc` interface, compiled by JAX. This package gives draws alone, as they do, or runs
`inference.fit`, with the likelihood of every observation, predictions and draws from the prior; both with its own check (Pareto k
under 0.7). "4 x" and "{many} x" are so many times the draws.

*Effective draws* are of the worst parameter (bulk ESS), for this package at most those of its weights (Kish). *Per CPU
second* counts all of a warm fit, warm-up too; its *ratio* is of this package's best row to the one at hand. *Time to 1,000* is
warm-up and the part of the sampling that 1,000 effective draws need; this package's is always the whole of it. *Cold* adds
compilation, in a fresh process after imports; its ratio, of CPU time, is to this package's first row. What cold takes more than
warm is JAX's start, tracing and compilation. Medians of {rounds} processes each, contenders in turns.

"""
_HEAD = """| contender | effective draws | per CPU second | ratio | cold to 1,000 [s] | CPU [s] | ratio | warm to 1,000 [s] | CPU [s] |
|---|---:|---:|---:|---:|---:|---:|---:|---:|
"""


def page(quick: bool) -> str:
    """Return the Markdown page."""
    from .forecast_kernel import machine

    draws, warmup, rounds = (300, 300, 1) if quick else (DRAWS, WARMUP, ROUNDS)
    names = ("numpyro", "blackjax", "nutpie")
    text = _TEXT.format(
        machine=machine(),
        versions=", ".join(f"{name} {version(name)}" for name in names),
        chains=CHAINS,
        many=MANY,
        warmup=warmup,
        draws=draws,
        rounds=rounds,
    )
    for case in CASES:
        text += f"## {case[0].upper()}{case[1:]}\n\n{_HEAD}{table(case, draws, warmup, rounds)}\n"
    return text.rstrip("\n") + "\n"


def main() -> None:
    """Print the page; --write also puts it into docs/, --quick takes few draws."""
    arguments = sys.argv[1:]
    if "--one" in arguments:
        sys.stdout.write(json.dumps(measure(*json.loads(arguments[-1]))) + "\n")
        return
    text = page("--quick" in arguments)
    sys.stdout.write(text)
    if "--write" in arguments:
        from aitimelines.forecast.files import write_text

        write_text(PAGE, text)


if __name__ == "__main__":
    main()
