"""How far a forecast in float32 is from one in float64: the tolerance between kinds of devices.

``python -m benchmarks.reproducibility`` prints a Markdown page, ``--write`` puts it into docs/.
Uses the cached fits of the shipped scenarios, or makes them (a minute).
"""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from aitimelines.forecast import engine
from aitimelines.forecast.files import write_text
from aitimelines.forecast.scenario_files import load_scenario, scenario_ids

PAGE = Path(__file__).parents[1] / "docs" / "reproducibility.md"


class Difference(NamedTuple):
    """The largest differences between two forecasts; errors: Monte Carlo errors of the first."""

    cdf: float
    cdf_error: float
    quantile_years: float
    quantile_error_years: float
    path_oom: float


def difference(one: xr.DataTree, other: xr.DataTree) -> Difference:
    """Return how far two forecasts of a scenario are apart."""
    first, second = one["timeline"].to_dataset(), other["timeline"].to_dataset()
    cdf = np.abs(first["arrival_cdf"] - second["arrival_cdf"]).max()
    years = first["arrival_year_quantile"].to_numpy(), second["arrival_year_quantile"].to_numpy()
    if not np.array_equal(np.isfinite(years[0]), np.isfinite(years[1])):
        raise ValueError("a quantile lies within the horizon in one precision and not in the other")
    reached = np.isfinite(years[0])
    paths = [tree["trajectories/log10_effective_compute"].to_numpy() for tree in (one, other)]
    return Difference(
        float(cdf),
        float(first["arrival_cdf_mcse"].max()),
        float(np.abs(years[0][reached] - years[1][reached]).max()),
        float(first["arrival_year_quantile_mcse"].to_numpy()[reached].max()),
        float(np.abs(paths[0] - paths[1]).max()),
    )


def measured(name: str) -> Difference:
    """Return the difference between float32 and float64 of a scenario, on the same points."""
    scenario = load_scenario(name)
    fits = engine.fit(scenario)
    single = engine.simulate(scenario, fits)
    with jax.enable_x64(True):
        double = engine.simulate(scenario, fits, dtype=np.float64)
    return difference(single, double)


def page() -> str:
    """Return the page."""
    rows = []
    for name in scenario_ids():
        d = measured(name)
        rows.append(
            f"| `{name}` | {d.cdf:.0e} | {d.cdf_error:.0e} | {365 * d.quantile_years:.2f} | "
            f"{365 * d.quantile_error_years:.2f} | {d.path_oom:.0e} |"
        )
    packages = ", ".join(f"{p} {version(p)}" for p in ("jax", "jaxlib", "numpy"))
    return _TEXT.format(rows="\n".join(rows), versions=f"{packages}, {jax.default_backend()}")


_TEXT = """# Reproducibility

*Written by `python -m benchmarks.reproducibility --write` ({versions}).*

What stays the same when a forecast is made again, in three tiers. A result says what it was made from: `summary.json` and the
attributes of `result.zarr` hold the resolved scenario, the seed, the sha256 and vintage of every table, the versions of all
packages that matter, the generator of random numbers and the platform. Nothing depends on the clock, on the order of files in
a folder, on hash seeds or on the cache: a result from the cache is the result that would be computed.

## A. Same versions, same kind of processor: the same bits

The same scenario, data, seed and versions of packages give the same files, byte for byte (`summary.json`, every array of
`result.zarr`, the figures), whatever the

- chunk: how many samples are worked on at a time, which sets memory and the grain of progress;
- devices: one, or several that XLA makes of one host (`XLA_FLAGS=--xla_force_host_platform_device_count=4`), or a mesh;
- batch: alone, or with other scenarios of a sweep in one compiled program;
- process: again, in a new process, from compiled programs kept on disk or compiled anew, interrupted and resumed.

Why: samples are worked on in tiles of 1024 consecutive points, by the same compiled code each, and added as integers, in which
the order of addition cannot matter. A point is a pure function of seed, replicate and index.

"Kind of processor" means what XLA compiles for. With other vector instructions (AVX2, AVX-512) the compiler may order operations
differently, and tier C holds. `XLA_FLAGS=--xla_cpu_max_isa=AVX2` on all machines takes that difference away; libraries that NumPy
and SciPy call in fits may choose by processor too, so that across machines only tier C is promised.

Tested: `tests/test_reproducibility.py` runs the command in three processes (one device; four; again with compiled programs kept)
and compares all files; `tests/test_kernels_ensemble.py` and `tests/test_forecast_engine.py` vary chunks, devices and batches.

## B. Other versions of JAX: the same random numbers

The quasi-random points of a forecast are integers that follow from published algorithms: Joe and Kuo's Sobol' points, randomised
by a linear matrix scramble and a digital shift (Matousek 1998) whose random bits are those of threefry2x32 with 20 rounds (Salmon
et al. 2011) in counter mode: word p of a key is threefry(key, (p >> 32, p)), both halves XORed (what JAX calls partitionable).
They do not depend on JAX's version, the device, or float precision. `tests/test_reproducibility.py` derives them anew from these
definitions, with Python integers and SciPy's unscrambled Sobol' points, and pins their hash. What is computed from them then
agrees to rounding, as in tier C.

Fits are made with streams of NumPy's `Generator` and SciPy's scrambled Sobol' points. Neither library promises the same numbers
in all later versions, so a fit made with other versions may have other draws of the same posterior: its summaries then differ by
their Monte Carlo error. Fits are kept under a key that holds the versions, so that the two are never mixed.

## C. Other devices, other precision: within a tolerance

Forecasts are computed in float32 (fits in float64). Other devices, compilers and instruction sets round differently. That this
is harmless is measured by the coarsest change there is: the same points in float64. Beside it the Monte Carlo error, which the
scrambles show, at the scenario's own number of samples.

| scenario | P(arrival by year): largest difference | its Monte Carlo error | quantiles of the arrival year [days] | their Monte Carlo error [days] | paths of effective compute [OOM] |
|---|---:|---:|---:|---:|---:|
{rows}

Promise, tested on a scenario with every kind of input: probabilities agree within 1e-5, quantiles within half a day where the
density is not negligible, paths within 1e-4 OOM. Draws of the arrival year in `trajectories` can differ more where a path is
nearly flat at the requirement.

## What is not promised

- `*_mcse` depends on which points fall into which replicate; with other `--samples` everything changes within its error.
- A sum or quantile that *you* take over `trajectories` in another library has its own rounding.
- GPU and TPU: tier C. Within one kind of device and one version, tiles and integer sums make results independent of the number
  of devices there too; the compiled code of a tile must then be the same, which holds for one version on one kind of device.
- Progress, timings, and the order of lines on standard error.
"""


def main() -> None:
    """Print the page; --write also puts it into docs/."""
    text = page()
    sys.stdout.write(text)
    if "--write" in sys.argv[1:]:
        write_text(PAGE, text)


if __name__ == "__main__":
    main()
