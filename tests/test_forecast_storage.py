"""Results on disk: what is written is read back, damage is noticed, nothing is half written."""

import _thread
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from aitimelines.forecast import files, storage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays


def described(units: str) -> dict[str, str]:
    return {"units": units, "long_name": f"something in {units}"}


@pytest.fixture
def tree() -> xr.DataTree:
    """Return a tree with every kind of value that results have."""
    rng = np.random.default_rng(0)
    years = np.append(2026.5562, np.arange(2027.0, 2040.0))
    quantiles = np.array([2030.25, 2034.5, np.inf])
    names = np.array(["spending.log10_level", "Größe [red]", ""], dtype=object)
    timeline = xr.Dataset(
        {
            "arrival_cdf": ("year", np.linspace(0, 0.7, years.size), described("1")),
            "arrival_year_quantile": ("quantile", quantiles, described("year")),
            "arrival_year_quantile_mcse": ("quantile", [0.1, 0.2, np.nan], described("year")),
            "p_never_by_horizon": ((), 0.3, described("1")),
        },
        coords={"year": years, "quantile": [0.05, 0.5, 0.95]},
    )
    paths = xr.Dataset(
        {
            "path": (("sample", "year"), rng.normal(size=(64, years.size)).astype("float32")),
            "input_value": (("sample", "input"), rng.normal(size=(64, 3)).astype("float32")),
            "weight": ("sample", rng.uniform(size=64).astype("float32"), described("1")),
        },
        coords={"year": years, "input": names},
    )
    posterior = xr.Dataset(
        {
            "count": (("chain", "draw"), rng.integers(0, 4, size=(2, 5))),
            "diverging": (("chain", "draw"), rng.uniform(size=(2, 5)) > 0.5),
            "date": (("chain", "draw", "date_index"), rng.normal(size=(2, 5, 2))),
        }
    )
    tree = xr.DataTree.from_dict(
        {"timeline": timeline, "trajectories": paths, "posterior": posterior}, name="case"
    )
    tree.attrs = {
        "scenario_id": "case",
        "title": "Größe [red]x[/red] $x$ \n second line",
        "seed": 20260723,
        "share": 0.1,
        "data": json.dumps({"a": {"sha256": "0" * 64}}),
        "nothing": "",
    }
    return tree


def chunk_files(store: Path) -> list[Path]:
    return sorted(p for p in store.rglob("*") if p.is_file() and p.name != "zarr.json")


# Round trip


def test_a_tree_is_read_back_identical(tree: xr.DataTree, tmp_path: Path):
    path = tmp_path / "folder with spaces" / "result.zarr"
    storage.write(tree, path)
    again = storage.read_tree(path)
    assert again.identical(tree)
    for node in tree.subtree:
        for name, variable in node.to_dataset(inherit=False).variables.items():
            found = again[node.path][name]
            kinds = {found.dtype.kind, variable.dtype.kind}
            assert found.dtype == variable.dtype or kinds <= set("OTU"), f"{node.path}/{name}"
    for key, value in tree.attrs.items():
        assert type(again.attrs[key]) is type(value), key
    assert storage.read(path).identical(tree)
    assert storage.read(path.parent).identical(tree)


def test_the_same_tree_is_written_to_the_same_bytes(tree: xr.DataTree, tmp_path: Path):
    for name in ("a", "b"):
        storage.write(tree, tmp_path / name)
    first, second = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*")}
        for name in ("a", "b")
    )
    assert first == second
    assert len(chunk_files(tmp_path / "a")) >= 10


@given(
    values=arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=1, max_dims=2, max_side=5),
    ),
    attributes=st.dictionaries(
        st.text(min_size=1, max_size=5), st.one_of(st.text(), st.integers(-(2**53), 2**53))
    ),
)
@settings(max_examples=25)
def test_any_array_is_read_back_identical(tmp_path_factory, values, attributes):
    dims = tuple(f"dim_{i}" for i in range(values.ndim))
    tree = xr.DataTree(xr.Dataset({"x": (dims, values)}, attrs=attributes))
    path = tmp_path_factory.mktemp("any") / "x.zarr"
    storage.write(tree, path)
    again = storage.read_tree(path)
    assert again.identical(tree)
    assert again["x"].dtype == values.dtype
    shutil.rmtree(path.parent)


# Damage


def test_a_missing_chunk_is_named(tree: xr.DataTree, tmp_path: Path):
    path = tmp_path / "result.zarr"
    storage.write(tree, path)
    (chunk,) = chunk_files(path / "timeline" / "arrival_cdf")
    chunk.unlink()
    with pytest.raises(
        ValueError, match="is damaged .*: a chunk of 'timeline/arrival_cdf' is missing"
    ):
        storage.read_tree(path)


def test_arrays_whose_names_begin_alike_are_told_apart(tmp_path: Path):
    values = {"loss": ("year", np.arange(3.0)), "loss_error": ("year", np.ones(3))}
    tree, path = xr.DataTree(xr.Dataset(values)), tmp_path / "result.zarr"
    storage.write(tree, path)
    xr.testing.assert_identical(storage.read_tree(path), tree)
    (chunk,) = chunk_files(path / "loss")
    chunk.unlink()
    with pytest.raises(ValueError, match="a chunk of 'loss' is missing"):
        storage.read_tree(path)


def test_one_changed_byte_in_any_chunk_is_noticed(tree: xr.DataTree, tmp_path: Path):
    path = tmp_path / "result.zarr"
    storage.write(tree, path)
    numeric = [
        chunk
        for chunk in chunk_files(path)
        if json.loads((array_of(chunk, path) / "zarr.json").read_text())["data_type"] != "string"
    ]
    assert len(numeric) >= 10
    for chunk in numeric:
        content = chunk.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            damaged = bytearray(content)
            damaged[place] ^= 0x10
            chunk.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"(?i)checksum|cannot be read|damaged"):
                storage.read_tree(path)
        chunk.write_bytes(content)
    assert storage.read_tree(path).identical(tree)


def test_a_changed_byte_in_text_is_noticed(tree: xr.DataTree, tmp_path: Path):
    path = tmp_path / "result.zarr"
    storage.write(tree, path)
    (chunk,) = chunk_files(path / "trajectories" / "input")
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0x10
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match=r"(?i)checksum|cannot be read|damaged"):
        storage.read_tree(path)


def array_of(chunk: Path, store: Path) -> Path:
    """Return the folder of the array that a chunk belongs to."""
    return next(p for p in chunk.parents if (p / "zarr.json").is_file() and p != store)


def test_a_chunk_cut_short_or_without_metadata_is_noticed(tree: xr.DataTree, tmp_path: Path):
    path = tmp_path / "result.zarr"
    storage.write(tree, path)
    chunk = chunk_files(path)[0]
    content = chunk.read_bytes()
    chunk.write_bytes(content[:-3])
    with pytest.raises(ValueError, match=r"(?i)checksum|cannot be read|damaged"):
        storage.read_tree(path)
    chunk.write_bytes(content)
    (array_of(chunk, path) / "zarr.json").write_text("{")
    with pytest.raises(ValueError, match="result.zarr"):
        storage.read_tree(path)


def test_what_is_no_store_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "zarr.json").write_text("not json")
    for name in ("file", "folder", "absent", "broken"):
        with pytest.raises(ValueError, match=name) as caught:
            storage.read(tmp_path / name)
        assert "\n" not in str(caught.value)


# Whole or not at all


def disk_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def failing_after(count: int, failure: Callable[..., None], real: Callable[..., Any]) -> Any:
    """Return ``real``, which fails from its ``count``-th call on."""
    calls = iter(range(10**9))

    def act(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) >= count:
            failure()
        return real(*arguments, **keywords)

    return act


def fill_and_fail(target: Path, overwrite: bool, failure: Callable[..., None]) -> None:
    with files.written_whole(target, overwrite=overwrite) as folder:
        (folder / "half").write_text("x")
        failure()


@pytest.mark.parametrize("failure", [disk_full, interrupt])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_nothing_and_the_old_result(tree, tmp_path, failure, overwrite):
    target = tmp_path / "result.zarr"
    if overwrite:
        storage.write(tree, target)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((OSError, KeyboardInterrupt)):
        fill_and_fail(target, overwrite, failure)
    assert sorted(tmp_path.rglob("*")) == before
    if overwrite:
        assert storage.read_tree(target).identical(tree)


@pytest.mark.parametrize("failure", [disk_full, _thread.interrupt_main])
@pytest.mark.parametrize("count", [0, 3, 20])
def test_a_full_disk_amid_a_store_leaves_nothing(tree, tmp_path, monkeypatch, failure, count):
    monkeypatch.setattr(Path, "write_bytes", failing_after(count, failure, Path.write_bytes))
    with pytest.raises((OSError, KeyboardInterrupt)):
        storage.write(tree, tmp_path / "result.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [disk_full, interrupt])
def test_a_failure_while_results_are_exchanged_keeps_the_old_one(
    tree, tmp_path, monkeypatch, failure
):
    target = tmp_path / "result.zarr"
    storage.write(tree, target)
    changed = tree.copy(deep=True)
    changed.attrs["title"] = "new"
    monkeypatch.setattr(Path, "rename", failing_after(1, failure, Path.rename))
    with pytest.raises((OSError, KeyboardInterrupt)):
        storage.write(changed, target, overwrite=True)
    monkeypatch.undo()
    assert storage.read_tree(target).identical(tree)
    assert [p.name for p in tmp_path.iterdir()] == ["result.zarr"]


def test_an_existing_target_is_refused_and_left_alone(tree, tmp_path):
    target = tmp_path / "result.zarr"
    target.mkdir()
    (target / "mine").write_text("keep")
    with pytest.raises(FileExistsError, match=r"result\.zarr' exists; give --overwrite"):
        storage.write(tree, target)
    assert (target / "mine").read_text() == "keep"
    storage.write(tree, target, overwrite=True)
    assert not (target / "mine").exists()
    assert storage.read_tree(target).identical(tree)
    assert [p.name for p in tmp_path.iterdir()] == ["result.zarr"]


def test_a_text_file_is_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "a.toml"
    files.write_text(path, "title = 'ü'\n")
    assert path.read_text(encoding="utf-8") == "title = 'ü'\n"
    monkeypatch.setattr(Path, "replace", disk_full)
    with pytest.raises(OSError, match="No space"):
        files.write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "title = 'ü'\n"
    assert [p.name for p in path.parent.iterdir()] == ["a.toml"]


def test_a_folder_is_copied_whole(tree, tmp_path, monkeypatch):
    storage.write(tree, tmp_path / "a")
    files.copy_folder(tmp_path / "a", tmp_path / "b")
    assert storage.read_tree(tmp_path / "b").identical(tree)
    with pytest.raises(FileExistsError):
        files.copy_folder(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(shutil, "copytree", disk_full)
    with pytest.raises(OSError, match="No space"):
        files.copy_folder(tmp_path / "a", tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


# Exports


def table_of(dataset: xr.Dataset, *dims: str) -> pd.DataFrame:
    names = [name for name, variable in dataset.data_vars.items() if set(variable.dims) == {*dims}]
    return dataset[names].to_dataframe().reset_index()


def test_netcdf_holds_the_same_tree(tree, tmp_path):
    (path,) = storage.export(tree, tmp_path / "with space.nc", "netcdf")
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        again = opened.load()
    for node in tree.subtree:
        xr.testing.assert_identical(
            again[node.path].to_dataset(inherit=False), node.to_dataset(inherit=False)
        )


@pytest.mark.parametrize(("kind", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv)])
def test_tables_hold_the_same_values(tree, tmp_path, kind, read):
    paths = storage.export(tree, tmp_path / "tables", kind)
    assert {p.suffix for p in paths} == {f".{kind}"}
    found = {p.stem: read(p) for p in paths}
    expected = {
        "timeline-year": table_of(tree["timeline"].to_dataset(), "year"),
        "timeline-quantile": table_of(tree["timeline"].to_dataset(), "quantile"),
        "trajectories-sample-year": table_of(tree["trajectories"].to_dataset(), "sample", "year"),
        "trajectories-sample-input": table_of(tree["trajectories"].to_dataset(), "sample", "input"),
        "posterior-chain-draw": table_of(tree["posterior"].to_dataset(), "chain", "draw"),
    }
    for name, frame in expected.items():
        table = found[name]
        assert len(table) == len(frame), name
        for column in frame:
            values = frame[column].to_numpy()
            if values.dtype == object:  # CSV has no way to tell an empty text from a missing one
                assert table[column].fillna("").tolist() == values.tolist()
            else:
                np.testing.assert_allclose(table[column].to_numpy(), values, rtol=1e-7)
    # Nothing is left out, single numbers included.
    columns = {column for table in found.values() for column in table}
    variables = {name for node in tree.subtree for name in node.to_dataset().data_vars}
    assert variables <= columns


@pytest.mark.parametrize("kind", storage.EXPORT_FORMATS)
def test_exports_refuse_what_exists_and_leave_nothing_on_failure(tree, tmp_path, monkeypatch, kind):
    target = tmp_path / "out"
    target.write_text("mine")
    with pytest.raises(FileExistsError, match="--overwrite"):
        storage.export(tree, target, kind)
    assert target.read_text() == "mine"
    storage.export(tree, target, kind, overwrite=True)
    assert target.is_dir() == (kind != "netcdf")
    monkeypatch.setattr(xr.DataTree, "to_netcdf", disk_full)
    monkeypatch.setattr(pd.DataFrame, "to_csv", disk_full)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", disk_full)
    with pytest.raises(OSError, match="No space"):
        storage.export(tree, tmp_path / "other", kind)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_unknown_format_is_refused(tree, tmp_path):
    with pytest.raises(ValueError, match="format: got 'xlsx', expected one of netcdf, parquet"):
        storage.export(tree, tmp_path / "x", "xlsx")


# The cache


def test_the_cache_keeps_by_key_and_mends_damage(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path / "cache folder"))
    made = []

    def make() -> xr.DataTree:
        made.append(1)
        return tree

    assert storage.cached_tree("x", {"seed": 1}, make) == (tree, False)
    found, cached = storage.cached_tree("x", {"seed": 1}, make)
    assert cached
    assert found.identical(tree)
    assert not storage.cached_tree("x", {"seed": 2}, make)[1]
    assert not storage.cached_tree("y", {"seed": 1}, make)[1]
    assert len(made) == 3
    entry = files.cached_path("fits", "x", {"seed": 1}).with_suffix(".zarr")
    assert entry.is_relative_to(tmp_path / "cache folder")
    chunk = chunk_files(entry)[0]
    chunk.write_bytes(chunk.read_bytes()[:-1])
    found, cached = storage.cached_tree("x", {"seed": 1}, make)
    assert not cached
    assert found.identical(tree)
    assert storage.cached_tree("x", {"seed": 1}, make)[1]


def test_a_failed_fit_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        storage.cached_tree("x", {}, interrupt)
    assert list(tmp_path.rglob("*.zarr")) == []
