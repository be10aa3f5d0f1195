"""Labelled trees as Zarr v3 stores, written and read as the plain files that they are.

The layout is that of the specification (https://zarr-specs.readthedocs.io/en/latest/v3/core) with
xarray's conventions: zarr-python, xarray and others read it. zarr-python itself takes milliseconds
an array, here tenths: a second of every forecast. What this module did not write itself, it leaves
to xarray (`NotOurs`).
"""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numcodecs.checksum32 import CRC32C
from numcodecs.zstd import Zstd

CHUNK_BYTES = 2**26
_CRC = CRC32C(location="end")
_ZSTD = Zstd(level=3)
_CODECS = [
    {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
    {"name": "crc32c"},
]
_NUMBERS = {"name": "bytes", "configuration": {"endian": "little"}}
_STRINGS = {"name": "vlen-utf8", "configuration": {}}
_KEYS = {"name": "default", "configuration": {"separator": "/"}}
_DTYPES = ("float64", "float32", "int64", "int32", "uint32", "bool", "string")


class NotOurs(ValueError):
    """The store has a layout that this module does not write."""


def write_store(tree: xr.DataTree, path: Path) -> None:
    """Write a tree into a folder, which is made.

    Raises ``ValueError`` for values that are neither numbers nor text, naming the variable.
    """
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=False)
        folder = path / node.path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        variables, attributes = xr.conventions.encode_dataset_coordinates(dataset)
        _write_json(folder, {"node_type": "group", "attributes": attributes})
        for name, variable in variables.items():
            _write_array(folder / str(name), variable)


def _write_json(folder: Path, content: dict[str, Any]) -> None:
    text = json.dumps({"zarr_format": 3, **content}, indent=2, default=_plain)
    _put(folder / "zarr.json", text.encode())


def _plain(value: Any) -> Any:
    return value.tolist()  # NumPy's scalars and arrays; json says what else it cannot write


def _write_array(folder: Path, variable: xr.Variable) -> None:
    values = variable.to_numpy()
    is_text = values.dtype.kind in "OTU"
    kind = "string" if is_text else values.dtype.name
    if kind not in _DTYPES or (is_text and not all(isinstance(v, str) for v in values.flat)):
        raise ValueError(f"{folder.name}: got values of type {kind}, expected numbers or text")
    chunk = _chunk_shape(values.shape, values.dtype.itemsize)
    folder.mkdir()
    content = {
        "node_type": "array",
        "shape": values.shape,
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": _KEYS,
        "fill_value": {"string": "", "bool": False}.get(kind, "NaN" if "float" in kind else 0),
        "codecs": [_STRINGS if is_text else _NUMBERS, *_CODECS],
        "attributes": variable.attrs,
        "dimension_names": variable.dims,
    }
    _write_json(folder, content)
    for name, part in _chunks(folder, values.shape, chunk):
        name.parent.mkdir(parents=True, exist_ok=True)
        full = np.zeros(chunk, dtype=values.dtype)  # the last chunk is as long as the others
        if is_text:
            full = np.full(chunk, "", dtype=object)
        piece = values[part]
        full[tuple(slice(length) for length in piece.shape)] = piece
        _put(name, _CRC.encode(_ZSTD.encode(_encoded(full, is_text))))


def _put(path: Path, content: Any) -> None:
    path.write_bytes(content)


def _encoded(values: np.ndarray, is_text: bool) -> bytes:
    if not is_text:
        return values.astype(values.dtype.newbyteorder("<")).tobytes()
    parts = [text.encode() for text in values.flat]
    lengths = (len(part).to_bytes(4, "little") for part in (parts, *parts))
    pieces = [next(lengths)]
    for part in parts:
        pieces += [next(lengths), part]
    return b"".join(pieces)


def _decoded(content: bytes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    if kind != "string":
        dtype = np.dtype(kind)
        return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    values, place = np.empty(int(np.prod(shape)), dtype=object), 4
    for i in range(int.from_bytes(content[:4], "little")):
        start = place + 4
        place = start + int.from_bytes(content[place:start], "little")
        values[i] = content[start:place].decode()
    return values.reshape(shape)


def _chunk_shape(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Return the whole array, or pieces of its longest axis if it is large."""
    chunk = [max(1, length) for length in shape]
    pieces = -(-int(np.prod(chunk)) * item_bytes // CHUNK_BYTES)
    if pieces > 1 and chunk:
        longest = int(np.argmax(chunk))
        chunk[longest] = max(1, chunk[longest] // pieces)
    return tuple(chunk)


def _chunks(
    folder: Path, shape: tuple[int, ...], chunk: tuple[int, ...]
) -> Iterator[tuple[Path, tuple[slice, ...]]]:
    """Yield the file of every chunk and the part of the array that it holds."""
    counts = [-(-length // step) for length, step in zip(shape, chunk, strict=True)]
    for place in product(*map(range, counts)):
        part = tuple(slice(k * step, (k + 1) * step) for k, step in zip(place, chunk, strict=True))
        yield folder.joinpath("c", *map(str, place)), part


def read_store(path: Path) -> xr.DataTree:
    """Return the tree in a folder, every chunk checked.

    Raises `NotOurs` for a layout that `write_store` does not write, and ``ValueError`` naming the
    file that is damaged or missing.
    """
    groups: dict[str, xr.Dataset] = {}
    _read_group(path, "/", groups)
    return xr.DataTree.from_dict(groups)


def _read_group(folder: Path, name: str, groups: dict[str, xr.Dataset]) -> None:
    """Add the group in a folder, and those below it."""
    attributes = _metadata(folder).get("attributes", {})
    coordinates = set(attributes.pop("coordinates", "").split())
    variables: dict[str, xr.Variable] = {}
    groups[name] = xr.Dataset()
    for inner in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        metadata = _metadata(inner)
        if metadata["node_type"] == "group":
            _read_group(inner, f"{name.rstrip('/')}/{inner.name}", groups)
        else:
            variables[inner.name] = _read_array(inner, metadata)
            coordinates |= set(variables[inner.name].attrs.pop("coordinates", "").split())
    dataset = xr.Dataset(variables, attrs=attributes)
    groups[name] = dataset.set_coords([c for c in coordinates if c in variables])


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(folder / 'zarr.json')!r}: {error}") from error
    if not isinstance(found, dict) or found.get("node_type") not in ("array", "group"):
        raise NotOurs(str(folder))
    return found


def _read_array(folder: Path, metadata: dict[str, Any]) -> xr.Variable:
    kind = metadata["data_type"]
    first = _STRINGS if kind == "string" else _NUMBERS
    ours = (metadata["codecs"], metadata["chunk_key_encoding"]) == ([first, *_CODECS], _KEYS)
    attributes = dict(metadata.get("attributes", {}))
    if not ours or kind not in _DTYPES or "_FillValue" in attributes:
        raise NotOurs(str(folder))
    shape = tuple(metadata["shape"])
    chunk = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    values = np.empty(shape, dtype=object if kind == "string" else kind)
    for name, part in _chunks(folder, shape, chunk):
        try:
            content = _ZSTD.decode(_CRC.decode(name.read_bytes()))
            full = _decoded(bytes(content), kind, chunk)
        except (OSError, ValueError, RuntimeError, IndexError) as error:
            raise ValueError(f"{str(name)!r} is damaged or missing: {error}") from error
        piece = values[part]
        values[part] = full[tuple(slice(length) for length in piece.shape)]
    return xr.Variable(tuple(metadata["dimension_names"]), values, attributes)
