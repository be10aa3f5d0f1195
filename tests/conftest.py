"""Settings every test shares. JAX reads its environment at import, so this file sets it first."""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# Eight host devices, so that sharding over devices is tested on any machine.
_DEVICES = "--xla_force_host_platform_device_count=8"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

# Fits and imported tables go here, never to the user's home.
_SCRATCH = Path(tempfile.mkdtemp(prefix="aitimelines-tests-"))
atexit.register(shutil.rmtree, _SCRATCH, ignore_errors=True)
os.environ["AITIMELINES_CACHE"] = str(_SCRATCH / "cache")
os.environ["AITIMELINES_DATA"] = str(_SCRATCH / "data")

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("ci")


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository_files(root: Path) -> list[Path]:
    """Return the files of the repository relative to its root: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    paths = (Path(name) for name in listed.split("\0") if name)
    return sorted({path for path in paths if (root / path).is_file()})
