"""What a request would need, and its refusal before anything starts. Imports nothing heavy.

A forecast streams its samples, so that its memory does not grow with them. What grows is a fit:
every draw comes with its likelihood and a replicate of every observation.
"""

import csv
import heapq
import os
import shutil
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

from .config import Prior, Scenario, Strict, check_horizon
from .datasets import table_info
from .provenance import as_of_date, fitted_records, fitted_with, tables_of

MOST_INPUTS = 64  # Sobol' coordinates that the kernels have
# Measured, rounded up. Libraries and compiled programs take 600 MB. A draw of an observation takes
# so many bytes while it is made, for each number of change points until these are averaged, as
# part of the forecast, and on disk (in the cache, in the result, and in the result's cached copy).
BASE_BYTES = 700 * 10**6
WORK_BYTES, MODEL_BYTES, KEPT_BYTES, DISK_BYTES = 16, 40, 16, 24
AVERAGED_MODELS = 4
RESULT_BYTES = 30 * 10**6  # on disk, without fits
_INPUTS = {
    *("log10_level", "doubling_time_years", "long_run_doubling_time_years"),
    *("slowdown_half_life_years", "log10_ceiling", "ceiling_oom", "sharpness"),
    *("log10_spending_share", "log10_flop"),
    *("algorithmic_doubling_time_years", "algorithmic_ceiling_oom"),
}
_FITTED_AWAY = {"log10_level", "doubling_time_years"}


class Need(NamedTuple):
    """What a request needs: bytes of memory and of disk, and uncertain inputs with fits."""

    memory_bytes: int
    disk_bytes: int
    inputs: int


def check(scenario: Scenario, *, folder: Path | None = None) -> Need:
    """Return what a forecast would need, having made sure that this machine has it.

    folder: where the result is to go, if it is to be written.
    Raises ``ValueError``, one sentence with the bytes and what to lower, if it cannot fit.
    """
    check_horizon(date.fromisoformat(as_of_date(scenario)), scenario.horizon_year)
    need = Need(*_bytes(scenario), uncertain_inputs(scenario))
    if need.inputs > MOST_INPUTS:
        raise ValueError(
            f"{scenario.id}: got {need.inputs} uncertain inputs, expected at most {MOST_INPUTS}; "
            "fix some, in limits.resources for example"
        )
    lower = "lower inference.draws or inference.chains"
    refuse(scenario.id, need.memory_bytes, available_memory(), "memory", lower)
    if folder is not None:
        free = shutil.disk_usage(_parent_to_write_in(folder)).free
        refuse(scenario.id, need.disk_bytes, free, f"disk for {str(folder)!r}", lower)
    return need


def refuse(what: str, needed: int, available: int | None, of: str, lower: str) -> None:
    """Raise ``ValueError`` if more bytes are needed than there are (None: not known)."""
    if available is not None and needed > available:
        raise ValueError(
            f"{what}: needs about {in_bytes(needed)} of {of}, but there are "
            f"{in_bytes(available)}; {lower}"
        )


def in_bytes(count: int) -> str:
    """Return a number of bytes for people: "512 MB", "1.5 GB"."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if count >= unit:
            size = count / unit
            return f"{size:,.0f} {name}" if size >= 10 else f"{size:.1f} {name}"
    return f"{count} bytes"


def available_memory() -> int | None:
    """Return the bytes that this process may still take: of the machine and of its control group.

    None where the system does not say.
    """
    found = [_machine_memory(), *_group_memory()]
    known = [entry for entry in found if entry is not None]
    return min(known, default=None)


def _machine_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        return 1024 * int(text.partition("MemAvailable:")[2].split()[0])
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _group_memory(
    mount: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """Return what is left of the limits of the process's control groups, versions 1 and 2."""
    left = []
    with suppress(OSError, ValueError):
        for line in groups.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            version = 2 if not controllers else 1
            if version == 1 and "memory" not in controllers.split(","):
                continue
            names = _GROUP_FILES[version]
            root = mount if version == 2 else mount / "memory"
            own = root / path.strip("/")
            for folder in (own, *own.parents):  # a limit holds for all groups below
                if folder.is_relative_to(root):
                    left.append(_left_of(folder, *names))
    return [entry for entry in left if entry is not None]


_GROUP_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    2: ("memory.max", "memory.current"),
}


def _left_of(folder: Path, limit: str, usage: str) -> int | None:
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        used = int((folder / usage).read_text())
        statistics = (folder / "memory.stat").read_text().split()
        cached = dict(zip(statistics[::2], statistics[1::2], strict=False)).get("inactive_file", 0)
        return max(0, int((folder / limit).read_text()) - used + int(cached))
    return None


def _parent_to_write_in(folder: Path) -> Path:
    """Return the nearest folder above that exists; raises ``ValueError`` if it cannot be used."""
    above = folder.absolute().parents
    parent = next(place for place in above if os.path.lexists(place))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"output: cannot write in {str(parent)!r}, expected a folder of yours")
    return parent


def _bytes(scenario: Scenario) -> tuple[int, int]:
    """Return (memory, disk) that a forecast needs at most, about [bytes]."""
    draws = scenario.inference.chains * scenario.inference.draws
    work, kept, together = 0, 0, 0
    for name in fitted_records(scenario):
        cells = draws * _observations(scenario, name)
        together += cells if len(fitted_with(scenario, name)) > 1 else 0
        averaged = getattr(getattr(scenario, name), "change_points", 0) == "average"
        work = max(work, cells * (WORK_BYTES + MODEL_BYTES * (AVERAGED_MODELS if averaged else 1)))
        kept += cells
    work = max(work, together * (WORK_BYTES + MODEL_BYTES * AVERAGED_MODELS))
    return BASE_BYTES + work + KEPT_BYTES * kept, 2 * RESULT_BYTES + DISK_BYTES * kept


def _observations(scenario: Scenario, name: str) -> int:
    """Return how many rows a fit is made to, at most."""
    tables = [table_info(table) for table in tables_of(scenario, name)]
    if name != "training_compute":
        return max(len(_columns(table.path)) for table in tables)
    section = scenario.training_compute
    assert section is not None
    pairs = _columns(tables[0].path, str(tables[0].date_column), "training_compute_flop")
    dated = sorted((day, float(flop)) for day, flop in pairs if day and flop)
    largest: list[float] = []
    count, last = 0, as_of_date(scenario)
    for day, flop in dated:
        if section.reading == "top-n" and len(largest) == section.top_n:
            if heapq.heappushpop(largest, flop) == flop:
                continue
        else:
            heapq.heappush(largest, flop)
        count += int(day[:4]) + 1 > section.since_year and day <= last
    return count


def _columns(path: Path, *names: str) -> list[list[str]]:
    """Return some columns of a CSV file, row by row."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        places = [header.index(name) for name in names]
        return [[row[place] for place in places] for row in rows]


def uncertain_inputs(scenario: Scenario) -> int:
    """Return the number of Sobol' coordinates: uncertain inputs, and one a posterior row."""
    rows = {fitted_with(scenario, name) for name in fitted_records(scenario)}
    return max(1, _uncertain(scenario) + len(rows))


def _uncertain(section: object) -> int:
    if isinstance(section, tuple):
        return sum(map(_uncertain, section))
    if not isinstance(section, Strict):
        return 0
    left_out = _FITTED_AWAY if getattr(section, "fit", False) else set()
    count = 0
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Prior):
            count += name in _INPUTS - left_out and value.interval is not None
        else:
            count += _uncertain(value)
    return count
