"""Results that land safely: regions of one Zarr v3 store, each vouched for by a record.

The rows of the store are split into tasks. What a task finds is one whole chunk of every array, so
that no two writers share a file. A task has landed when its record lies in the folder beside the
store; the record is written after the region has been read back. The file of a chunk proves
nothing: it may be torn or stale, and it is missing where a chunk holds only the fill value.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr
import zarr.codecs

from .files import write_text

Progress = Callable[[str, int, int], None]
ROUNDS = 4  # tasks that did not land are tried so often
_ROOT = "zarr.json"


class Plan(NamedTuple):
    """What the store is to hold; written once, beside it, before any task."""

    dimension: str
    rows: int
    rows_per_task: int
    shapes: dict[str, list[int]]  # of each array
    dtypes: dict[str, str]
    identity: dict[str, Any]  # what the results depend on, as plain JSON values
    files: dict[str, str]  # sha256 of metadata and coordinates
    sealed: str  # sha256 of the root's metadata once complete
    digest: str = ""  # sha256 of all the above

    @property
    def tasks(self) -> range:
        """The numbers of the tasks."""
        return range(-(-self.rows // self.rows_per_task))

    def region(self, task: int) -> slice:
        """Return the rows of a task."""
        start = task * self.rows_per_task
        return slice(start, min(start + self.rows_per_task, self.rows))


def create(
    store: Path, template: xr.Dataset, *, rows_per_task: int, identity: Mapping[str, Any]
) -> Plan:
    """Write the metadata and the coordinates of a store, and the plan beside it.

    template: coordinates are written as they are; of data variables only dimensions, type and
        attributes count. The first dimension of all of them is the one that tasks divide.
    Raises ``FileExistsError`` if the store exists.
    """
    (dimension,) = {str(variable.dims[0]) for variable in template.data_vars.values()}
    rows = template.sizes[dimension]
    rows_per_task = min(rows_per_task, rows)
    codecs = (zarr.codecs.ZstdCodec(level=3), zarr.codecs.Crc32cCodec())
    fixed = template.coords.to_dataset().assign_attrs(template.attrs)
    encoding = {name: {"compressors": codecs} for name in fixed.variables}
    fixed.to_zarr(store, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(store, mode="r+", zarr_format=3)
    for name, variable in template.data_vars.items():
        group.create_array(
            str(name),
            shape=variable.shape,
            chunks=(rows_per_task, *variable.shape[1:]),
            dtype=variable.dtype,
            fill_value=np.nan if variable.dtype.kind == "f" else -1,
            compressors=codecs,
            dimension_names=[str(d) for d in variable.dims],
            attributes=dict(variable.attrs),
        )
    write_text(store / _ROOT, _root(store, complete=False))
    written = [path for path in sorted(store.rglob("*")) if path.is_file()]
    for path in written:
        _synchronise(path)
    values: dict[str, Any] = {
        "dimension": dimension,
        "rows": rows,
        "rows_per_task": rows_per_task,
        "shapes": {str(name): list(v.shape) for name, v in template.data_vars.items()},
        "dtypes": {str(name): v.dtype.str for name, v in template.data_vars.items()},
        "identity": dict(identity),
        "files": {
            path.relative_to(store).as_posix(): _sha256(path.read_bytes()) for path in written
        },
        "sealed": _sha256(_root(store, complete=True).encode()),
    }
    write_text(ledger_of(store) / "plan.json", _signed(values))
    return read_plan(store)


def ledger_of(store: Path) -> Path:
    """Return the folder of the records of a store."""
    return store.with_suffix(".ledger")


def read_plan(store: Path) -> Plan:
    """Return the plan of a store; ``ValueError`` if there is none or it is damaged."""
    values = _read_signed(ledger_of(store) / "plan.json")
    return Plan(**values)


def land(
    store: Path,
    task: int,
    values: Mapping[str, np.ndarray],
    *,
    plan: str,
    notes: Sequence[str] = (),
) -> None:
    """Write what a task has found, read it back, and vouch for it with a record.

    values: the whole region of every array, and no other.
    plan: digest of the plan that the task was given for; another one is refused.
    notes: what to tell people about these rows.
    Raises ``ValueError``, before anything is written, if a region is not a whole chunk or not of
    the right type, and ``OSError`` if the region does not read back as it was written.
    """
    agreed = read_plan(store)
    if agreed.digest != plan:
        raise ValueError(f"{store}: got a task of another plan, expected one of {agreed.digest}")
    if values.keys() != agreed.shapes.keys():
        raise ValueError(f"{store}: got {sorted(values)}, expected {sorted(agreed.shapes)}")
    arrays = {name: _whole_chunk(store, agreed, name, task, values[name]) for name in values}
    region, hashes = agreed.region(task), {}
    for name, array in arrays.items():
        array[region] = values[name]
        _synchronise(store / _chunk(agreed, name, task))
        hashes[name] = _hash_of(values[name])
        if _stored_hash(array, region) != hashes[name]:
            raise OSError(f"{store / _chunk(agreed, name, task)} reads back otherwise than written")
    record = {"plan": plan, "task": task, "sha256": hashes, "notes": list(notes)}
    write_text(_record(store, task), _signed(record))


def run(
    store: Path,
    work: Callable[[list[int]], Iterator[int]],
    *,
    what: str,
    progress: Progress | None = None,
) -> int:
    """Do the tasks that have not landed, again where they are damaged; seal; return their number.

    work: lands the tasks of a list and yields the number of each as it has landed.
    Raises ``ValueError`` if another process is at it, if metadata or coordinates are damaged, or
    if tasks do not land although they are tried again.
    """
    plan = read_plan(store)
    report = progress or (lambda what, done, total: None)
    with owned(store):
        if found := _fixed_problems(store, plan):
            raise ValueError(f"{'; '.join(found)}; give --overwrite to start again")
        left = _not_landed(store, plan)
        begun = len(left)
        for _ in range(ROUNDS):
            if not left:
                break
            done = plan.rows - sum(_length(plan, task) for task in left)
            report(what, done, plan.rows)
            for task in work(left):
                done += _length(plan, task)
                report(what, done, plan.rows)
            left = _not_landed(store, plan)
        if left:
            raise ValueError(f"{store}: tasks {left} do not land, tried {ROUNDS} times")
        _seal(store)
    return begun


@contextmanager
def owned(store: Path) -> Iterator[None]:
    """Hold the lock of a store; it is let go when the process ends, however it ends.

    Raises ``ValueError`` if another process holds it.
    """
    import fcntl

    with (ledger_of(store) / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"output: another process is filling {str(store)!r}") from None
        yield


def is_complete(store: Path) -> bool:
    """Return whether the store has been sealed."""
    return _sha256((store / _ROOT).read_bytes()) == read_plan(store).sealed


def damage(store: Path) -> list[str]:
    """Return a sentence for every damaged chunk, record or metadata file, none if all is well.

    In a store that is not complete, tasks that have not landed are no damage.
    """
    plan = read_plan(store)
    if found := _fixed_problems(store, plan):
        return found  # without them no chunk can be read
    tasks = plan.tasks if is_complete(store) else landed(store, plan)
    return list(_problems(store, plan, tasks).values())


def landed(store: Path, plan: Plan) -> list[int]:
    """Return the tasks that have a record."""
    return [task for task in plan.tasks if _record(store, task).exists()]


def notes(store: Path) -> list[str]:
    """Return the notes of all tasks that have landed."""
    found = landed(store, read_plan(store))
    return [note for task in found for note in _read_signed(_record(store, task))["notes"]]


def read(store: Path, *, allow_partial: bool = False) -> xr.Dataset:
    """Return what has landed, after every byte of it has been checked.

    allow_partial: return the rows that have landed where the store is not complete.
    Raises ``ValueError`` if it is not complete, or names what is damaged.
    """
    plan = read_plan(store)
    if found := damage(store):
        raise ValueError(f"{len(found)} damaged: {'; '.join(found[:5])}")
    tasks = landed(store, plan)
    if not (allow_partial or is_complete(store)):
        raise ValueError(
            f"{str(store)!r} is not complete: {len(tasks)} of {len(plan.tasks)} tasks have landed; "
            "finish it, or read it with allow_partial"
        )
    with xr.open_zarr(store, chunks=None, consolidated=False) as stored:
        rows = [np.arange(plan.rows)[plan.region(task)] for task in tasks]
        dataset = stored.load().isel({plan.dimension: np.concatenate([[], *rows]).astype(int)})
    del dataset.attrs["complete"]
    return dataset[list(plan.shapes)]  # a folder lists them in any order


def _whole_chunk(store: Path, plan: Plan, name: str, task: int, values: np.ndarray) -> Any:
    """Return the array opened for writing, if ``values`` are one whole chunk of it.

    Writers that share a chunk would lose each other's rows without an error.
    """
    array: Any = zarr.open_array(store / name, mode="r+", zarr_format=3)
    shape = plan.shapes[name]
    chunk = (plan.rows_per_task, *shape[1:])
    if (list(array.shape), array.chunks, array.shards) != (shape, chunk, None):
        raise ValueError(
            f"{name}: got an array of {array.shape} in chunks of {array.shards or array.chunks}, "
            f"expected {tuple(shape)} in chunks of {chunk}"
        )
    expected = (_length(plan, task), *shape[1:])
    if task not in plan.tasks or (values.shape, values.dtype.str) != (expected, plan.dtypes[name]):
        raise ValueError(
            f"{name}: got {values.shape} {values.dtype.str} for task {task}, expected a whole "
            f"chunk, {expected} {plan.dtypes[name]}, of tasks 0 to {plan.tasks[-1]}"
        )
    return array


def _length(plan: Plan, task: int) -> int:
    region = plan.region(task)
    return max(0, region.stop - region.start)


def _not_landed(store: Path, plan: Plan) -> list[int]:
    return list(_problems(store, plan, plan.tasks))


def _problems(store: Path, plan: Plan, tasks: Sequence[int]) -> dict[int, str]:
    """Return what is wrong with the tasks that should have landed; those that are well are not in.

    The files that no task writes are to be checked first.
    """
    arrays = {n: zarr.open_array(store / n, mode="r", zarr_format=3) for n in plan.shapes}
    problems = {task: _problem(store, plan, task, arrays) for task in tasks}
    return {task: problem for task, problem in problems.items() if problem}


def _problem(store: Path, plan: Plan, task: int, arrays: Mapping[str, Any]) -> str:
    path = _record(store, task)
    try:
        record = _read_signed(path)
    except ValueError as error:
        return str(error)
    if (record["plan"], record["task"]) != (plan.digest, task):
        return f"{path} is the record of another task"
    for name, array in arrays.items():
        if _stored_hash(array, plan.region(task)) != record["sha256"][name]:
            return f"{store / _chunk(plan, name, task)} is damaged: it is not as it was written"
    return ""


def _fixed_problems(store: Path, plan: Plan) -> list[str]:
    """Return what is wrong with the files that no task writes."""
    found = []
    for name, expected in plan.files.items():
        path = store / name
        allowed = (expected, plan.sealed) if name == _ROOT else (expected,)
        if not path.is_file():
            found.append(f"{path} is missing")
        elif _sha256(path.read_bytes()) not in allowed:
            found.append(f"{path} is damaged: it is not as it was written")
    return found


def _seal(store: Path) -> None:
    """Remove what killed writers have left, then say that the store is complete."""
    temporary = (*store.glob(".*"), *ledger_of(store).glob(".*"))
    for leftover in (*store.rglob("*.partial"), *temporary):
        with suppress(FileNotFoundError):
            leftover.unlink()
    if not is_complete(store):
        write_text(store / _ROOT, _root(store, complete=True))


def _root(store: Path, *, complete: bool) -> str:
    """Return the metadata of the root with the mark set."""
    root = json.loads((store / _ROOT).read_text(encoding="utf-8"))
    root["attributes"]["complete"] = complete
    return json.dumps(root, indent=2)


def _record(store: Path, task: int) -> Path:
    return ledger_of(store) / f"{task:06d}.json"


def _chunk(plan: Plan, name: str, task: int) -> Path:
    """Return where in the store the chunk of a task lies."""
    return Path(name, "c", str(task), *("0" for _ in plan.shapes[name][1:]))


def _synchronise(path: Path) -> None:
    """Wait until a file, if there is one, is on the disk."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def _stored_hash(array: Any, region: slice) -> str | None:
    """Return the hash of a region, None if it cannot be read."""
    try:
        return _hash_of(array[region])
    except Exception:  # whatever a codec raises on bytes that are not its own
        return None


def _hash_of(values: np.ndarray) -> str:
    return _sha256(f"{values.dtype.str} {values.shape} ".encode() + values.tobytes())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _signed(values: Mapping[str, Any]) -> str:
    """Return plain JSON values as the text of a file that vouches for itself."""
    body = json.dumps(values, sort_keys=True)
    return json.dumps({**values, "digest": _sha256(body.encode())}, sort_keys=True) + "\n"


def _read_signed(path: Path) -> dict[str, Any]:
    """Return the values of a file that vouches for itself, its digest among them.

    Raises ``ValueError`` naming the file if it is missing, or if any byte of it has changed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise ValueError(f"{path} is missing") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is damaged: it is not as it was written") from None
    with suppress(ValueError, AttributeError):
        values: dict[str, Any] = json.loads(text)
        if _signed({key: value for key, value in values.items() if key != "digest"}) == text:
            return values
    raise ValueError(f"{path} is damaged: it is not as it was written")
