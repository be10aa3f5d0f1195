"""Results on disk: Zarr v3 with checksums, written whole or not at all; exports; the fit cache."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
import zarr.codecs
from zarr.buffer.cpu import Buffer
from zarr.storage import MemoryStore

from .files import cached_path, refuse_existing, written_whole

EXPORT_FORMATS = ("netcdf", "parquet", "csv")


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Write a tree as a Zarr v3 store whose chunks carry a crc32c checksum, into an empty folder.

    It is made in memory first: file by file, Zarr takes twice the time.
    """
    codecs = (zarr.codecs.ZstdCodec(level=3), zarr.codecs.Crc32cCodec())
    encoding = {
        node.path: {
            name: {"compressors": codecs} for name in node.to_dataset(inherit=False).variables
        }
        for node in tree.subtree
    }
    files: dict[str, Any] = {}
    # Every chunk is written, also one of fill values alone, so that a missing one shows.
    with zarr.config.set({"array.write_empty_chunks": True}):
        store = MemoryStore(files)
        tree.to_zarr(store, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
    for name, content in files.items():
        file = Path(path, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.to_bytes())


def read_tree(path: Path) -> xr.DataTree:
    """Return a tree written by `write_tree`, loaded.

    Its files are read first: Zarr would read them one by one, in a thread each.
    Raises ``ValueError`` if it is not one, or damaged.
    """
    path = Path(path)
    if not (path / "zarr.json").is_file():
        raise ValueError(f"{str(path)!r} is not a result (a Zarr v3 store); expected result.zarr")
    try:
        files: dict[str, Any] = dict(_files(path))
        store: Any = MemoryStore(files)
        _refuse_missing_chunks(store, files)
        with xr.open_datatree(store, engine="zarr", consolidated=False) as stored:
            tree = stored.load()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} is damaged and cannot be read: {reason}") from error
    tree.name = tree.attrs.get("scenario_id")
    return tree


def _files(folder: Path) -> Iterator[tuple[str, Buffer]]:
    """Yield (path in the folder, content) of every file."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file.relative_to(folder).as_posix(), Buffer.from_bytes(file.read_bytes())


def _refuse_missing_chunks(store: MemoryStore, files: Collection[str]) -> None:
    """Raise ``ValueError`` naming an array without all its chunks: Zarr would read fill values."""
    for name, array in zarr.open_group(store, mode="r").members(max_depth=None):
        if isinstance(array, zarr.Array):
            # Not `nchunks_initialized`, which in memory takes a_b for a part of a.
            there = sum(file.startswith(f"{name}/c") for file in files)
            if there < array.nchunks:
                raise ValueError(f"a chunk of {name!r} is missing")


def find_result(path: Path) -> Path:
    """Return the store in a result folder, or the store itself."""
    inner = Path(path) / "result.zarr"
    return inner if inner.is_dir() else Path(path)


def export(tree: xr.DataTree, target: Path, kind: str, *, overwrite: bool = False) -> list[Path]:
    """Write a tree as ``netcdf`` (one file) or as ``parquet`` or ``csv`` (a folder, one a table).

    A table holds the variables of a group that share their dimensions, one row an element.
    Raises ``ValueError`` for an unknown kind and ``FileExistsError`` as `written_whole` does.
    """
    if kind not in EXPORT_FORMATS:
        raise ValueError(f"format: got {kind!r}, expected one of {', '.join(EXPORT_FORMATS)}")
    target = Path(target)
    if kind == "netcdf":
        refuse_existing(target, overwrite=overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export.", dir=target.parent) as folder:
            temporary = Path(folder) / "result.nc"
            tree.to_netcdf(temporary, engine="h5netcdf")
            temporary.replace(target)
        return [target]
    with written_whole(target, overwrite=overwrite) as folder:
        for name, frame in _tables(tree):
            if kind == "csv":
                frame.to_csv(folder / f"{name}.csv", index=False)
            else:
                frame.to_parquet(folder / f"{name}.parquet", index=False)
    return sorted(target.iterdir())


def _tables(tree: xr.DataTree) -> list[tuple[str, Any]]:
    tables = []
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, variable in dataset.data_vars.items():
            groups.setdefault(tuple(str(d) for d in variable.dims), []).append(str(name))
        for dims, names in groups.items():
            label = "-".join([node.path.strip("/").replace("/", "-"), *dims]) or "root"
            table = dataset[names] if dims else dataset[names].expand_dims("row")
            tables.append((label, table.to_dataframe().reset_index(drop=not dims)))
    return tables


def cached_tree(
    name: str, key: Mapping[str, Any], make: Callable[[], xr.DataTree]
) -> tuple[xr.DataTree, bool]:
    """Return (tree, whether it came from the cache); make and keep it if it is not there.

    key: everything that the tree depends on, as plain JSON values.
    """
    path = cached_path("fits", name, key).with_suffix(".zarr")
    if path.exists():
        try:
            return read_tree(path), True
        except Exception:  # a damaged entry is made anew
            shutil.rmtree(path, ignore_errors=True)
    tree = make()
    write(tree, path, overwrite=True)
    return tree, False


def read(folder: Path) -> xr.DataTree:
    """Return the forecast in a result folder."""
    return read_tree(find_result(Path(folder)))


def write(tree: xr.DataTree, path: Path, *, overwrite: bool = False) -> None:
    """Write a forecast as one Zarr v3 store, whole or not at all."""
    with written_whole(Path(path), overwrite=overwrite) as folder:
        write_tree(tree, folder)
