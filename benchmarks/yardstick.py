"""The hand-written loop in yardstick.c: compiled with the system's compiler, called with a problem."""

import ctypes
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from aitimelines.forecast.problem import Problem

SOURCE = Path(__file__).with_name("yardstick.c")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-fPIC")
# As `enum input` in the source has them.
_GROWTH = ("doubling_time_years", "long_run_doubling_time_years", "slowdown_half_life_years")
_LIMITS = ("power", "chips", "data", "latency")
_INPUTS = (
    *(f"algorithmic_progress.{name}" for name in (*_GROWTH, "ceiling_oom")),
    *(f"post_training.{name}" for name in (*_GROWTH, "ceiling_oom")),
    "limits.log10_spending_share",
    *(f"limits.{x}.{name}" for x in _LIMITS for name in ("log10_flop", "doubling_time_years")),
    *(f"training_compute.{name}" for name in ("log10_level", *_GROWTH)),
    *(f"price_performance.{name}" for name in ("log10_level", *_GROWTH)),
    "price_performance.log10_ceiling",
    *(f"gross_product.{name}" for name in _GROWTH[:2]),
)
_POINTERS = (
    *("location", "scale", "is_log", "column", "directions", "shift"),
    *("year", "weight", "middle", "below", "above", "path"),
)
_NUMBERS = ("limit_years", "sharpness", "product_level", "product_age", "product_half_life")


class Given(ctypes.Structure):
    """`struct problem` of the source."""

    _fields_ = [
        ("nodes", ctypes.c_int32),
        ("components", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        ("since", ctypes.c_float * 2),
        *((name, ctypes.c_float) for name in _NUMBERS),
    ]


class Arguments(NamedTuple):
    """What the loop is called with, and the arrays that it points to."""

    given: Given
    arrays: dict[str, np.ndarray]


class NotBuiltError(RuntimeError):
    """There is no C compiler, or it fails."""


def build(folder: Path) -> dict[str, Path]:
    """Compile the yardstick for 16 and 32 draws at a time, name -> library. Raises `NotBuiltError`."""
    names = (os.environ.get("CC", "cc"), "gcc", "clang")
    compiler = next((found for name in names if (found := shutil.which(name))), None)
    if compiler is None:
        raise NotBuiltError("no C compiler: looked for $CC, cc, gcc, clang")
    flags = list(FLAGS)
    if platform.machine() in ("x86_64", "AMD64"):
        flags.append("-mprefer-vector-width=512")  # where there are such vectors
    found = {}
    for lanes in (16, 32):
        target = folder / f"{lanes}.so"
        compiled = target.with_suffix(".o")
        _run([compiler, *flags, f"-DW={lanes}", "-c", "-o", compiled, SOURCE])
        # Linked without -ffast-math, which would let the whole process flush small numbers.
        _run([compiler, "-shared", "-o", target, compiled, "-lm"])
        found[f"{lanes} lanes"] = target
    return found


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotBuiltError(f"{command[0]} fails: {done.stderr.strip().splitlines()[0]}")


def arguments(problem: Problem, chosen: np.ndarray) -> Arguments:
    """Return a problem as the loop takes it: one scramble, some of the years.

    Raises ``ValueError`` if it is of another structure than that the loop is written for.
    """
    structure, one = problem.structure, problem.ensemble
    if (
        set(structure.kinds) - {"normal", "two_piece_normal"}
        or (structure.columns, structure.by_spending) != ((), False)
        or structure.resources != _LIMITS
        or any(structure.paths)
        or len(structure.paths) != 2
        or set(_INPUTS) - set(structure.uncertain)
    ):
        raise ValueError("problem: expected the structure of benchmarks.measure.without_fits")
    column = np.array([structure.uncertain.index(name) for name in _INPUTS])
    fixed = dict(zip(structure.fixed, np.asarray(one.shared.fixed), strict=True))
    middle, below, above = np.asarray(one.shared.parameters, dtype=float).T
    above = np.where(np.array(structure.kinds) == "normal", below, above)
    arrays = {
        "location": np.asarray(one.inputs.location)[column],
        "scale": np.asarray(one.inputs.scale)[column],
        "is_log": np.asarray(one.inputs.is_log)[column].astype(np.int32),
        "column": column.astype(np.int32),
        "directions": np.asarray(one.points.directions[0]),
        "shift": np.asarray(one.points.shifts[0]),
        "year": np.asarray(one.nodes)[chosen],
        "weight": np.asarray(one.shared.weights),
        "middle": middle.astype(np.float32),
        "below": (0.5**0.5 / below).astype(np.float32),
        "above": (0.5**0.5 / above).astype(np.float32),
        "path": np.array(structure.path_of_component, dtype=np.int32),
    }
    drawn = len(structure.uncertain) + np.arange(2)  # where the requirement is drawn, its inputs
    arrays["column"] = np.append(arrays["column"], drawn).astype(np.int32)
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    limits = {float(fixed[f"limits.{name}.years_from_now"]) for name in _LIMITS}
    return Arguments(
        Given(
            *(len(chosen), len(structure.kinds)),
            *(arrays[name].ctypes.data for name in _POINTERS),
            (ctypes.c_float * 2)(*map(float, one.shared.years_since_reference)),
            *limits,
            fixed["limits.sharpness"],
            fixed["gross_product.log10_level"],
            fixed["gross_product.level_age_years"],
            fixed["gross_product.slowdown_half_life_years"],
        ),
        arrays,
    )


def means(library: ctypes.CDLL, arguments: Arguments, samples: int) -> np.ndarray:
    """Return P(reached by each year), (chosen,). samples: a multiple of 2048."""
    out = np.zeros(arguments.given.nodes)
    library.smooth(
        ctypes.byref(arguments.given), ctypes.c_size_t(samples), ctypes.c_void_p(out.ctypes.data)
    )
    return out / samples


def arrivals(library: ctypes.CDLL, arguments: Arguments, samples: int) -> np.ndarray:
    """Return how many draws arrive in each year, the last never, (node + 1,).

    arguments: of a problem whose requirement is drawn, all years. samples: a multiple of 2048.
    """
    out = np.zeros(arguments.given.nodes + 1, np.int64)
    library.arrivals(
        ctypes.byref(arguments.given), ctypes.c_size_t(samples), ctypes.c_void_p(out.ctypes.data)
    )
    return out


def multiply_adds_per_ns(library: ctypes.CDLL) -> float:
    """Return the multiply-adds in float32 that a core does [1/ns], the best of some tries."""
    library.multiply_adds_per_ns.restype = ctypes.c_double
    return max(library.multiply_adds_per_ns() for _ in range(5))


def bytes_per_ns(library: ctypes.CDLL, count: int = 2**24) -> float:
    """Return what a core reads and writes in memory [byte/ns], the best of some tries."""
    library.bytes_per_ns.restype = ctypes.c_double
    to, source = np.ones(count, np.float32), np.ones(count, np.float32)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (to, source)]
    return max(library.bytes_per_ns(*pointers, ctypes.c_size_t(count)) for _ in range(5))
