"""What a command does before its first array: import libraries, keep compiled programs, use cores.

JAX loads the programs it finds in the cache folder as machine code and runs them. So the folder is
used only if nobody but its owner, who must be the user, can write to it or put another one in its
place.
"""

import gc
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from .files import cache_directory


@contextmanager
def loading(report: Callable[[str, int, int], None]) -> Iterator[None]:
    """Import what a command needs, and report it; then let JAX keep compiled programs.

    Warns if these may not be kept.
    """
    report("load libraries", 0, 1)
    with few_collections():
        yield
        reason = keep_compiled_programs()
    if reason is not None:
        warnings.warn(f"compiled programs are not kept: {reason}", stacklevel=3)
    report("load libraries", 1, 1)


@contextmanager
def few_collections() -> Iterator[None]:
    """Import without garbage collections, and leave out what was imported from those to come.

    Else the collector walks through a hundred thousand lasting objects again and again: a third of
    the time of ``import jax``.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def keep_compiled_programs() -> str | None:
    """Let JAX keep compiled programs in the cache folder; return why not, if it may not.

    Call it before the first program is compiled.
    """
    import jax

    folder = cache_directory() / "compiled"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    reason = not_private(folder)
    if reason is None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        # Small programs too: a forecast has a dozen, each faster to load than to compile.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return reason


def not_private(folder: Path) -> str | None:
    """Return why others could change what is in a folder, None if they cannot.

    Neither the folder may be open to them nor, unless it is sticky as /tmp is, any folder above it.
    """
    if os.name != "posix":  # the profile of a user is private, and modes say nothing
        return None
    user = os.geteuid()
    resolved = folder.resolve()
    for place in (resolved, *resolved.parents):
        status = place.stat()
        own = place == resolved
        if status.st_uid not in ((user,) if own else (user, 0)):
            return f"{str(place)!r} belongs to another user"
        open_to_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if open_to_others and (own or not status.st_mode & stat.S_ISVTX):
            return f"{str(place)!r} can be written by others"
    return None


_QUICK: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}


@cache
def quickly(level: int | None = 0) -> dict[str, Any]:
    """Return options of ``jax.jit`` with which a CPU program compiles in a third of the time.

    It then runs three to ten times as long, which is little if it is called a few times.
    level: of optimisation. With 1 it hardly runs longer, and compiles in little more than half the
        time; with None, the usual one, in three quarters
    """
    import jax

    options = _QUICK if level is None else {**_QUICK, "xla_backend_optimization_level": level}
    if jax.default_backend() != "cpu":
        return {}
    try:  # XLA's options come and go
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


def use_every_core() -> None:
    """Make a device of each core, so that a forecast is shared between them.

    XLA's own threads leave half of two cores unused in programs of many small steps. Call it before
    the first array is made; says nothing where there is another kind of device, or the user's flags
    say how many there are.
    """
    import jax

    if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", cores())


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
