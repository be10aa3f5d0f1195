"""Compiled programs are kept where nobody else can put one."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from aitimelines.forecast import compiled

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners of POSIX")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a private folder, two below one that is private too."""
    found = tmp_path / "cache" / "compiled"
    found.mkdir(parents=True, mode=0o700)
    (tmp_path / "cache").chmod(0o755)
    return found


def test_a_private_folder_is_used(folder: Path):
    assert compiled.not_private(folder) is None
    folder.chmod(0o755)  # others may read
    assert compiled.not_private(folder) is None


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(folder: Path, mode: int):
    folder.chmod(mode)
    assert compiled.not_private(folder) == f"{str(folder)!r} can be written by others"


@pytest.mark.parametrize("mode", [0o775, 0o777])
def test_a_folder_that_others_may_replace_is_not_used(folder: Path, mode: int):
    folder.parent.chmod(mode)
    assert compiled.not_private(folder) == f"{str(folder.parent)!r} can be written by others"


def test_in_a_sticky_folder_others_cannot_replace_it(folder: Path):
    folder.parent.chmod(0o1777)
    assert compiled.not_private(folder) is None


def test_a_link_is_judged_by_where_it_leads(folder: Path):
    link = folder.parent.parent / "link"
    link.symlink_to(folder)
    folder.chmod(0o777)
    assert compiled.not_private(link) == f"{str(folder)!r} can be written by others"


def test_a_folder_of_another_user_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert compiled.not_private(folder) == f"{str(folder)!r} belongs to another user"


def test_jax_is_told_of_a_private_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import jax

    told: dict[str, Any] = {}
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path / "cache"))
    assert compiled.keep_compiled_programs() is None
    folder = tmp_path / "cache" / "compiled"
    assert told["jax_compilation_cache_dir"] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    told.clear()
    folder.chmod(0o777)
    assert "can be written by others" in (compiled.keep_compiled_programs() or "")
    assert not told


def test_programs_compile_quickly_or_as_usual(monkeypatch: pytest.MonkeyPatch):
    usual = jax.jit(jnp.sin)(2.0)
    compiled.quickly.cache_clear()
    assert compiled.quickly()  # else this XLA has dropped an option, and all waits are longer
    assert compiled.quickly(level=1)
    assert compiled.quickly(level=None)
    assert jax.jit(jnp.sin, compiler_options=compiled.quickly())(2.0) == pytest.approx(usual)
    compiled.quickly.cache_clear()
    monkeypatch.setattr(compiled, "_QUICK", {"xla_no_such_option": True})
    assert compiled.quickly() == compiled.quickly(level=None) == {}
    compiled.quickly.cache_clear()
