"""Files written whole or not at all, and the cache folder. Imports nothing heavy."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

FIGURE_ENDINGS = (".png", ".svg", ".pdf")


@contextmanager
def written_whole(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary sibling folder to fill; it becomes ``target`` only if nothing failed.

    Raises ``FileExistsError`` if ``target`` exists and may not be overwritten. On any failure, also
    Ctrl-C or a full disk, the temporary folder is removed and ``target`` is as it was.
    """
    target = Path(target)
    refuse_existing(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if target.exists():
            _exchange(temporary, target)
        else:
            temporary.rename(target)
    finally:
        _remove(temporary)


def _remove(folder: Path) -> None:
    """Remove a folder in which threads of a writer that failed may still be at work."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        sleep(0.1)


def _exchange(new: Path, target: Path) -> None:
    """Put ``new`` in the place of ``target``, which stays if that fails."""
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        target.rename(old / target.name)
        new.rename(target)
    except BaseException:
        if not target.exists():
            (old / target.name).replace(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def refuse_existing(target: Path, *, overwrite: bool) -> None:
    """Raise ``FileExistsError`` if ``target`` exists and may not be overwritten."""
    if Path(target).exists() and not overwrite:
        raise FileExistsError(f"output: {str(target)!r} exists; give --overwrite to replace it")


def check_figure(path: str | Path) -> None:
    """Raise ``ValueError`` unless a path ends as a figure that can be written."""
    if Path(path).suffix not in FIGURE_ENDINGS:
        raise ValueError(
            f"figure: got {str(path)!r}, expected a name that ends in {', '.join(FIGURE_ENDINGS)}"
        )


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # the name must not be there before the content
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def cache_directory() -> Path:
    """Return the folder of fits and results: ``$AITIMELINES_CACHE``, or the user's cache."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("AITIMELINES_CACHE") or user_cache_dir("aitimelines"))


def cached_path(kind: str, name: str, key: Mapping[str, Any]) -> Path:
    """Return where something that depends on ``key`` (plain JSON values) is kept."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_directory() / kind / f"{name}-{digest[:24]}"


def copy_folder(source: Path, target: Path, *, overwrite: bool = False) -> None:
    """Copy a folder, whole or not at all; raises as `written_whole` does."""
    with written_whole(target, overwrite=overwrite) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
