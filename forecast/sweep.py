"""A sweep: the scenarios of one file, forecast in tasks that land one by one in one store.

A scenario's random numbers follow from its own seed, so that its forecast is the same bits alone,
in any task, on any worker, and after an interruption. Heavy libraries are imported where used.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import cluster as clusters
from . import preflight
from .config import Scenario
from .datasets import table_info
from .files import refuse_existing, write_text, written_whole
from .provenance import code_key
from .scenario_files import scenario_from_dict
from .sweep_cases import Case, Cases, check_cases, identify
from .sweep_file import Sweep, described, load_sweep, resolve
from .sweep_store import STORE, row_of, template

Progress = Callable[[str, int, int], None]
TASK_SIZE = 64
_FITS_IN_MEMORY = 8
_fits: dict[tuple[str, str], Any] = {}  # the last ones; all are on disk


class Task(NamedTuple):
    """What a worker is told, in plain values."""

    store: str
    number: int
    plan: str  # digest
    made_with: str  # digest of code and data
    tables: tuple[str, ...]
    bases: dict[tuple[str, str | None], dict[str, Any]]  # scenarios
    cases: tuple[Case, ...]
    years: tuple[int, ...]


def run_sweep(
    file: Path | str,
    folder: Path | str,
    *,
    cluster: str | None = None,
    task_size: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Forecast the scenarios of a sweep file into ``folder``; return how many tasks were done.

    Called again it goes on where it stopped, mends what is damaged, and returns 0 if nothing is
    left to do.

    cluster: address of a dask.distributed scheduler; default is this process alone.
    task_size: scenarios a task, the most that an interruption loses; default 64, or what the folder
        was begun with. The results do not depend on it.
    Raises ``ValueError``, one sentence, for a bad file, a sweep that is too large, and a folder
    that holds another sweep or is being filled by another process.
    """
    folder, sweep = Path(folder), load_sweep(Path(file))
    executor = _here() if cluster is None else _on_cluster(clusters.checked_address(cluster))
    begun = (folder / STORE).is_dir()
    if not begun:
        refuse_existing(folder, overwrite=overwrite)
    found = check_cases(sweep, progress)
    identity = {
        "scenarios": _digest([case.id for case in found.cases]),
        "made_with": _digest(_made_with(found.tables)),
    }
    from . import ledger

    store = folder / STORE
    with executor as each:
        if overwrite or not begun:
            with ledger.owned(store) if begun else nullcontext():
                _create(sweep, found, folder, identity, task_size or TASK_SIZE, overwrite=overwrite)
        plan = ledger.read_plan(store)
        _refuse_other(folder, plan.identity, identity)
        if task_size and min(plan.rows, task_size) != plan.rows_per_task:
            raise ValueError(f"task_size: got {task_size}, expected {plan.rows_per_task} as begun")
        to_task = _tasks(store, plan, found, identity["made_with"])
        return ledger.run(
            store,
            lambda numbers: each(map(to_task, numbers), progress),
            what="simulate: scenarios",
            progress=progress,
        )


def _tasks(store: Path, plan: Any, found: Cases, made_with: str) -> Callable[[int], Task]:
    """Return the function that says of a task's number what there is to do."""
    bases = {key: base.model_dump(mode="json") for key, base in found.bases.items()}

    def to_task(number: int) -> Task:
        cases = tuple(found.cases[plan.region(number)])
        return Task(
            store=str(store.absolute()),
            number=number,
            plan=plan.digest,
            made_with=made_with,
            tables=found.tables,
            bases={case.row.base: bases[case.row.base] for case in cases},
            cases=cases,
            years=found.years,
        )

    return to_task


def do_task(task: Task, progress: Progress | None = None) -> int:
    """Forecast the scenarios of a task and land the results; return its number.

    A scenario that cannot be forecast does not stop the others: the ledger keeps the reason.
    Raises ``ValueError`` if code, data or the scenarios here are not those that the sweep began
    with: the results would differ by the worker.
    """
    from . import ledger
    from .compiled import keep_compiled_programs

    keep_compiled_programs()
    bases = {key: scenario_from_dict(values) for key, values in task.bases.items()}
    scenarios = [resolve(bases[case.row.base], case.row.changes) for case in task.cases]
    same = [identify(s) for s in scenarios] == [case.id for case in task.cases]
    if not same or _digest(_made_with(task.tables)) != task.made_with:
        raise ValueError("worker: got other code or data here than the sweep was begun with")
    rows, notes = [], []
    for _, group in groupby(
        zip(task.cases, scenarios, strict=True), key=lambda each: each[0].shape
    ):
        cases, alike = zip(*group, strict=True)
        fits = [_fits_of(case, own, progress) for case, own in zip(cases, alike, strict=True)]
        for case, own, forecast in zip(cases, fits, _forecasts(alike, fits), strict=True):
            if isinstance(forecast, ValueError):
                notes.append(f"{case.id} ({described(case.row.changes)}): {forecast}")
            rows.append(row_of(case, own, forecast, np.array(task.years)))
    values = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    ledger.land(Path(task.store), task.number, values, plan=task.plan, notes=notes)
    return task.number


def _forecasts(scenarios: Sequence[Scenario], fits: Sequence[Any]) -> list[Any]:
    """Return the timeline of each scenario, or the reason why it has none.

    fits: of each scenario, or the reason why it has none
    """
    from .engine import timelines

    found = list(fits)
    ready = [i for i, own in enumerate(fits) if not isinstance(own, ValueError)]
    if not ready:
        return found
    try:
        forecasts: list[Any] = timelines([scenarios[i] for i in ready], [fits[i] for i in ready])
    except ValueError as error:
        # One of them, which the others need not suffer for.
        alone = len(ready) == 1
        forecasts = [error] if alone else [_forecasts([scenarios[i]], [fits[i]])[0] for i in ready]
    for i, forecast in zip(ready, forecasts, strict=True):
        found[i] = forecast
    return found


def do_fit(base: dict[str, Any], case: Case, record: str) -> None:
    """Fit one record, so that it lies in the cache; the task that needs it says if it cannot."""
    scenario = resolve(scenario_from_dict(base), case.row.changes)
    with suppress(ValueError):
        _fit(scenario, record, dict(case.fits)[record], None)


def _fits_of(case: Case, scenario: Scenario, progress: Progress | None) -> Any:
    """Return the fits of a scenario, or the reason why it has none."""
    try:
        return {record: _fit(scenario, record, key, progress) for record, key in case.fits}
    except ValueError as error:
        return error


def _fit(scenario: Scenario, record: str, key: str, progress: Progress | None) -> Any:
    """Return the fit of a record, from memory, from disk, or made anew."""
    from .records import fit_record

    report = progress or (lambda what, done, total: None)
    found = _fits.get((record, key))
    if found is None:
        found, _ = fit_record(
            scenario, record, lambda name, done, total: report(f"fit {name}: draws", done, total)
        )
        while len(_fits) >= _FITS_IN_MEMORY:
            _fits.pop(next(iter(_fits)), None)
        _fits[record, key] = found
    return found


@contextmanager
def _here() -> Iterator[Callable[..., Iterator[int]]]:
    """Give a function that does tasks one after the other in this process."""
    yield lambda tasks, progress: (do_task(task, progress) for task in tasks)


@contextmanager
def _on_cluster(address: str) -> Iterator[Callable[..., Iterator[int]]]:
    """Give a function that does tasks on a cluster: every fit once, then what needs them."""
    with clusters.connected(address) as submit:

        def each(tasks: Iterable[Task], progress: Progress | None) -> Iterator[int]:
            chosen = list(tasks)
            fits = {
                key: (task.bases[case.row.base], case, key[0])
                for task in chosen
                for case in task.cases
                for key in case.fits
            }
            for done, _ in enumerate(submit(do_fit, fits.values())):
                if progress:
                    progress("fit: records", done + 1, len(fits))
            yield from submit(do_task, [(task,) for task in chosen])

        yield each


def _create(
    sweep: Sweep,
    found: Cases,
    folder: Path,
    identity: dict[str, str],
    task_size: int,
    *,
    overwrite: bool,
) -> None:
    """Write the folder with all that does not come from tasks, whole or not at all."""
    from . import ledger

    empty = template(sweep, found, _made_with(found.tables))
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    preflight.refuse("sweep", empty.nbytes, free, f"disk for {str(folder)!r}", "sweep less")
    with written_whole(folder, overwrite=overwrite) as temporary:
        write_text(temporary / "sweep.toml", sweep.text)
        ledger.create(temporary / STORE, empty, rows_per_task=task_size, identity=identity)


@cache
def _made_with(tables: tuple[str, ...]) -> dict[str, Any]:
    """Return what results depend on besides their scenarios, as this process has it."""
    return {**code_key(), "data": {table: table_info(table).sha256 for table in tables}}


def _refuse_other(folder: Path, begun: dict[str, str], identity: dict[str, str]) -> None:
    why = {"scenarios": "other scenarios", "made_with": "other code, versions or data"}
    for name, value in identity.items():
        if begun[name] != value:
            raise ValueError(
                f"output: {str(folder)!r} was begun with {why[name]}; choose another folder, "
                "or give --overwrite to start again"
            )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
