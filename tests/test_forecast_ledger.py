"""Results land whole or not at all: kills, flipped bytes, writers that would share a chunk."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from aitimelines.forecast import ledger
from aitimelines.forecast.files import written_whole

ROWS, YEARS = 23, 7
EMPTY_TASK = 2  # all that it finds is the fill value, so that no chunk is written


def template(rows: int = ROWS) -> xr.Dataset:
    """Return what the store is to hold: a curve and a number a row."""
    return xr.Dataset(
        {
            "curve": (
                ("row", "year"),
                np.broadcast_to(np.nan, (rows, YEARS)),
                {"units": "1", "long_name": "a curve"},
            ),
            "code": ("row", np.broadcast_to(np.int8(-1), (rows,))),
        },
        coords={
            "row": np.array([f"id-{i}" for i in range(rows)], dtype=object),
            "year": np.arange(2030, 2030 + YEARS),
            "some.field": ("row", np.linspace(0, 1, rows)),
        },
        attrs={"title": "test"},
    )


def results(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the tasks find: a function of the row alone, with rows of fill values."""
    curve = np.sin(np.add.outer(rows, np.arange(YEARS) / 10.0))
    code = (rows % 5).astype(np.int8)
    empty = (rows >= 8) & (rows < 12)
    curve[empty], code[empty] = np.nan, -1
    return {"curve": curve, "code": code}


def land(store: Path, task: int, **changes: Any) -> None:
    """Land the results of a task."""
    plan = ledger.read_plan(store)
    values = results(np.arange(ROWS)[plan.region(task)])
    ledger.land(store, task, values | changes, plan=plan.digest, notes=[f"task {task}"])


def one_by_one(store: Path) -> Callable[[Sequence[int]], Iterator[int]]:
    def work(tasks: Sequence[int]) -> Iterator[int]:
        for task in tasks:
            land(store, task)
            yield task

    return work


def begun(folder: Path, rows_per_task: int = 4) -> Path:
    """Return a store in which nothing has landed."""
    store = folder / "x.zarr"
    ledger.create(store, template(), rows_per_task=rows_per_task, identity={"a": 1})
    return store


def finished(folder: Path, rows_per_task: int = 4) -> Path:
    """Return a complete store."""
    store = begun(folder, rows_per_task)
    ledger.run(store, one_by_one(store), what="rows")
    return store


def files_of(folder: Path) -> dict[str, str]:
    """Return the hash of every file but the lock, which is empty."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_what_was_landed_is_read(tmp_path: Path) -> None:
    found = ledger.read(finished(tmp_path))
    for name, values in results(np.arange(ROWS)).items():
        np.testing.assert_array_equal(found[name], values)
    assert found.attrs == {"title": "test"}
    assert found["curve"].attrs == {"units": "1", "long_name": "a curve"}
    np.testing.assert_array_equal(found["some.field"], np.linspace(0, 1, ROWS))
    assert found["row"].to_numpy().tolist() == [f"id-{i}" for i in range(ROWS)]


def test_chunks_carry_a_checksum_after_compression_and_are_the_regions(tmp_path: Path) -> None:
    store = finished(tmp_path)
    for name, shape in (("curve", (4, YEARS)), ("code", (4,))):
        metadata = json.loads((store / name / "zarr.json").read_text())
        assert [codec["name"] for codec in metadata["codecs"]] == ["bytes", "zstd", "crc32c"]
        assert metadata["chunk_grid"]["configuration"]["chunk_shape"] == list(shape)


def test_a_chunk_of_fill_values_is_not_written_and_yet_has_landed(tmp_path: Path) -> None:
    store = finished(tmp_path)
    assert not (store / "curve" / "c" / str(EMPTY_TASK)).exists()
    assert EMPTY_TASK in ledger.landed(store, ledger.read_plan(store))
    assert ledger.damage(store) == []


@pytest.mark.parametrize("rows_per_task", [1, 3, 4, 22, 23, 1000])
def test_the_size_and_order_of_tasks_do_not_show(tmp_path: Path, rows_per_task: int) -> None:
    store = begun(tmp_path, rows_per_task)
    plan = ledger.read_plan(store)
    assert [i for task in plan.tasks for i in range(ROWS)[plan.region(task)]] == list(range(ROWS))
    order = np.random.default_rng(3).permutation(len(plan.tasks)).tolist()
    for task in order:
        land(store, task)
    assert ledger.run(store, one_by_one(store), what="rows") == 0
    reference = ledger.read(finished(tmp_path / "reference"))
    assert ledger.read(store).identical(reference)


def test_writers_of_neighbouring_regions_lose_nothing(tmp_path: Path) -> None:
    for attempt in range(4):
        store = begun(tmp_path / str(attempt), 1)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda task: land(store, task), range(ROWS)))  # noqa: B023
        assert ledger.run(store, one_by_one(store), what="rows") == 0
        assert ledger.damage(store) == []


def test_it_is_not_complete_before_all_has_landed(tmp_path: Path) -> None:
    store = begun(tmp_path)
    for task in (1, 4):
        land(store, task)
    assert not ledger.is_complete(store)
    assert xr.open_zarr(store, chunks=None, consolidated=False).attrs["complete"] is False
    with pytest.raises(ValueError, match="not complete: 2 of 6 tasks"):
        ledger.read(store)
    found = ledger.read(store, allow_partial=True)
    rows = [*range(4, 8), *range(16, 20)]
    assert found["row"].to_numpy().tolist() == [f"id-{i}" for i in rows]
    np.testing.assert_array_equal(found["curve"], results(np.array(rows))["curve"])
    assert ledger.notes(store) == ["task 1", "task 4"]
    assert ledger.run(store, one_by_one(store), what="rows") == 4
    assert ledger.is_complete(store)
    assert xr.open_zarr(store, chunks=None, consolidated=False).attrs["complete"] is True


def test_nothing_landed_is_an_empty_table(tmp_path: Path) -> None:
    assert ledger.read(begun(tmp_path), allow_partial=True).sizes["row"] == 0


def test_progress_counts_the_rows_that_were_there(tmp_path: Path) -> None:
    store, said = begun(tmp_path), []
    land(store, 5)
    ledger.run(store, one_by_one(store), what="rows", progress=lambda *call: said.append(call))
    assert said[:2] == [("rows", 3, ROWS), ("rows", 7, ROWS)]
    assert said[-1] == ("rows", ROWS, ROWS)


# Damage


def test_any_flipped_bit_is_found_and_named(tmp_path: Path) -> None:
    store = finished(tmp_path)
    random = np.random.default_rng(11)
    checked = 0
    for name in files_of(tmp_path):
        path = tmp_path / name
        whole = path.read_bytes()
        for place in {0, len(whole) - 1, *random.integers(len(whole), size=3).tolist()}:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << int(random.integers(8))
            path.write_bytes(flipped)
            if path.name == "plan.json":
                with pytest.raises(ValueError, match="plan.json is damaged"):
                    ledger.damage(store)
            else:
                (sentence,) = ledger.damage(store)
                assert sentence.startswith(f"{path} is damaged"), (name, place)
                with pytest.raises(ValueError, match="1 damaged"):
                    ledger.read(store)
            checked += 1
        path.write_bytes(whole)
    assert checked > 100
    assert ledger.damage(store) == []


def test_any_missing_file_is_found(tmp_path: Path) -> None:
    store = finished(tmp_path)
    for name in files_of(tmp_path):
        path = tmp_path / name
        whole = path.read_bytes()
        path.unlink()
        if path.name == "plan.json":
            with pytest.raises(ValueError, match="plan.json is missing"):
                ledger.damage(store)
        else:
            (sentence,) = ledger.damage(store)
            assert sentence.startswith(str(path))
        path.write_bytes(whole)


def test_chunks_swapped_with_their_neighbours_are_found(tmp_path: Path) -> None:
    store = finished(tmp_path)
    chunks = store / "code" / "c"
    (chunks / "0").rename(chunks / "x")
    (chunks / "1").rename(chunks / "0")
    (chunks / "x").rename(chunks / "1")
    assert [s.partition(" ")[0] for s in ledger.damage(store)] == [
        str(chunks / "0"),
        str(chunks / "1"),
    ]


def test_a_record_of_another_task_does_not_vouch(tmp_path: Path) -> None:
    store = finished(tmp_path)
    records = ledger.ledger_of(store)
    shutil.copy(records / "000000.json", records / "000001.json")
    (sentence,) = ledger.damage(store)
    assert "000001.json is the record of another task" in sentence


def test_running_again_mends_what_tasks_wrote(tmp_path: Path) -> None:
    store = finished(tmp_path)
    before = files_of(tmp_path)
    (store / "curve" / "c" / "3" / "0").write_bytes(b"torn")
    (store / "code" / "c" / "0").unlink()
    (ledger.ledger_of(store) / "000005.json").write_text("{}")
    assert len(ledger.damage(store)) == 3
    assert ledger.run(store, one_by_one(store), what="rows") == 3
    assert files_of(tmp_path) == before


def test_running_again_refuses_metadata_that_are_damaged(tmp_path: Path) -> None:
    store = finished(tmp_path)
    path = store / "year" / "c" / "0"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="--overwrite"):
        ledger.run(store, one_by_one(store), what="rows")


# Refusals


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        (0, {"curve": np.zeros((3, YEARS))}),
        (0, {"curve": np.zeros((8, YEARS))}),
        (0, {"curve": np.zeros((4, YEARS - 1))}),
        (5, {"curve": np.zeros((4, YEARS))}),
        (0, {"curve": np.zeros((4, YEARS), dtype=np.float32)}),
        (0, {"code": np.zeros(4)}),
        (6, {"curve": np.zeros((0, YEARS)), "code": np.zeros(0, dtype=np.int8)}),
        (-1, {"curve": np.zeros((4, YEARS)), "code": np.zeros(4, dtype=np.int8)}),
    ],
)
def test_a_region_that_is_no_whole_chunk_is_refused_before_writing(
    tmp_path: Path, task: int, changes: dict[str, np.ndarray]
) -> None:
    store = begun(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match="expected a whole chunk"):
        land(store, task, **changes)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(("chunks", "shards"), [((8, YEARS), None), ((2, YEARS), (4, YEARS))])
def test_writers_that_would_share_a_chunk_or_a_shard_are_refused(
    tmp_path: Path, chunks: tuple[int, ...], shards: tuple[int, ...] | None
) -> None:
    store = begun(tmp_path)
    shutil.rmtree(store / "curve")
    group = zarr.open_group(store, mode="r+", zarr_format=3)
    group.create_array(
        "curve", shape=(ROWS, YEARS), chunks=chunks, shards=shards, dtype=float, fill_value=np.nan
    )
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match="curve: got an array of"):
        land(store, 0)
    assert files_of(tmp_path) == before


def test_missing_and_unknown_arrays_are_refused(tmp_path: Path) -> None:
    store = begun(tmp_path)
    with pytest.raises(ValueError, match="expected \\['code', 'curve'\\]"):
        land(store, 0, other=np.zeros(4))


def test_a_task_of_another_plan_is_refused(tmp_path: Path) -> None:
    store = begun(tmp_path)
    values = results(np.arange(4))
    with pytest.raises(ValueError, match="another plan"):
        ledger.land(store, 0, values, plan="0" * 64)


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    store = begun(tmp_path)
    with ledger.owned(store), pytest.raises(ValueError, match="another process"):
        ledger.run(store, one_by_one(store), what="rows")
    assert ledger.run(store, one_by_one(store), what="rows") == 6


def test_a_store_is_created_once(tmp_path: Path) -> None:
    store = finished(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(FileExistsError):
        ledger.create(store, template(), rows_per_task=4, identity={})
    assert files_of(tmp_path) == before


def test_a_disk_that_does_not_keep_what_is_written_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(tmp_path)

    def torn(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-1])

    monkeypatch.setattr(ledger, "_synchronise", torn)
    with pytest.raises(OSError, match="reads back otherwise"):
        land(store, 0)
    assert ledger.landed(store, ledger.read_plan(store)) == []


def test_tasks_that_do_not_land_end_it(tmp_path: Path) -> None:
    store, rounds = begun(tmp_path), []

    def work(tasks: Sequence[int]) -> Iterator[int]:
        rounds.append(list(tasks))
        for task in tasks:
            if task != 3:
                land(store, task)
            yield task

    with pytest.raises(ValueError, match="tasks \\[3\\] do not land"):
        ledger.run(store, work, what="rows")
    assert rounds == [[0, 1, 2, 3, 4, 5], *[[3]] * (ledger.ROUNDS - 1)]
    assert not ledger.is_complete(store)


# Kill -9. A process that has imported everything, but used nothing, forks one child a kill.


def driver(folder: Path) -> None:
    """Make the folder unless it is there, and do what is left to do."""
    store = folder / "x.zarr"
    if not folder.exists():
        with written_whole(folder) as temporary:
            ledger.create(temporary / "x.zarr", template(), rows_per_task=4, identity={"a": 1})
    ledger.run(store, one_by_one(store), what="rows")


_FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.link", "os.rmdir"}


def count_events(folder: Path, limit: int | None) -> Callable[[], int]:
    """Count what this process does to files of a folder; at the limit, kill it."""
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in _FILE_EVENTS and str(folder) in str(arguments[0]):
            count += 1
            if count == limit:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: count


def kill_in_the_middle_of_a_chunk(call: int) -> None:
    """Kill this process when half of a chunk is written."""
    from zarr.storage import _local

    real, calls = _local._atomic_write, iter(range(10**6))

    @contextlib.contextmanager
    def half(path: Path, mode: Any, exclusive: bool = False) -> Iterator[Any]:
        with real(path, mode, exclusive) as file:
            if next(calls) < call:
                yield file
                return
            partial = Path(file.name)
            yield file
            file.flush()
            os.truncate(partial, partial.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    _local._atomic_write = half


def kill_in_the_middle_of_a_record(call: int) -> None:
    """Kill this process when half of a record, of the plan or of the seal is written."""
    real, calls = os.fsync, iter(range(10**6))

    def half(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        if path.name.startswith(".") and next(calls) == call:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    os.fsync = half


def in_child(function: Callable[..., Any], *arguments: Any) -> int:
    """Run a function in a forked child; return the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def killed_driver(folder: Path, plan: str, at: int) -> None:
    if plan == "event":
        count_events(folder.parent, at)
    elif plan == "chunk":
        kill_in_the_middle_of_a_chunk(at)
    else:
        kill_in_the_middle_of_a_record(at)
    driver(folder)


def counted_driver(folder: Path) -> None:
    events = count_events(folder.parent, None)
    driver(folder)
    (folder.parent.parent / "events").write_text(str(events()))


def kill_again_and_again(scratch: Path) -> dict[str, Any]:
    """Kill drivers at many points; return what each left, and what the next one made of it."""
    template()  # imports what children would import one by one
    assert in_child(counted_driver, scratch / "whole" / "x") == 0
    events = int((scratch / "events").read_text())
    random = np.random.default_rng(2026)
    points = [("event", int(at)) for at in random.choice(events, 20, replace=False) + 1]
    points += [("chunk", at) for at in (0, 5, 9, 15, 18)]
    points += [("record", at) for at in (0, 1, 2, 5, 8)]
    found = []
    for plan, at in points:
        folder = scratch / f"{plan}-{at}" / "x"
        folder.parent.mkdir()
        ended = in_child(killed_driver, folder, plan, at)
        left = sorted(files_of(folder))
        again = in_child(driver, folder)
        found.append(
            {"plan": plan, "at": at, "ended": ended, "left": left, "again": again}
            | {"files": files_of(folder)}
        )
    return {"events": events, "whole": files_of(scratch / "whole" / "x"), "kills": found}


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what `kill_again_and_again` finds in a process that uses no threads yet."""
    scratch = tmp_path_factory.mktemp("kills")
    code = f"""
        import importlib.util, json, sys
        from pathlib import Path
        spec = importlib.util.spec_from_file_location("ledger_test", {__file__!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = module.kill_again_and_again(Path({str(scratch)!r}))
        print(json.dumps(found))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_drivers_were_killed_at_many_stages(kills: dict[str, Any]) -> None:
    assert [kill["ended"] for kill in kills["kills"]] == [signal.SIGKILL] * len(kills["kills"])
    assert len(kills["kills"]) >= 30
    stages = {len([name for name in kill["left"] if "/." not in name]) for kill in kills["kills"]}
    assert len(stages) >= 8
    assert 0 in stages, "none before the folder was there"
    left = [name for kill in kills["kills"] for name in kill["left"]]
    assert any(name.endswith(".partial") for name in left), "none in the middle of a chunk"
    assert any("/.0000" in name for name in left), "none in the middle of a record"


def test_after_a_kill_the_next_run_gives_the_same_bytes(kills: dict[str, Any]) -> None:
    for kill in kills["kills"]:
        assert kill["again"] == 0, kill
        assert kill["files"] == kills["whole"], kill
