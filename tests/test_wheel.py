"""The wheel holds what it must and nothing else, and works without the source tree."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

FOLDERS = ("forecast", "kernels", "priors")


def run(arguments: list[str], **options: object) -> str:
    """Run this interpreter and return its standard output; fail with its output if it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{arguments} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(
    root: Path, repository_files: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a wheel built from a copy, so that the build leaves nothing in the repository."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for path in repository_files:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, copy / path)
    run(["-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(copy)])
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the installed wheel."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(target)]
    run(["-m", "pip", "install", *options, str(wheel)])
    return target


@pytest.fixture
def environment(installed: Path, tmp_path: Path) -> dict[str, object]:
    """Return what a user of the installed wheel has: its folder first on the path, one device."""
    variables = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return {"cwd": tmp_path, "env": variables | {"PYTHONPATH": str(installed)}}


def test_top_level_is_the_package_and_its_metadata(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    distribution = "-".join(wheel.name.split("-")[:2])
    assert names == {"aitimelines", f"{distribution}.dist-info"}


def test_every_file_of_the_three_folders_is_in_the_wheel(
    wheel: Path, repository_files: list[Path]
) -> None:
    ours = {path.as_posix() for path in repository_files if path.parts[0] in FOLDERS}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("aitimelines/")}
    assert held == {f"aitimelines/{path}" for path in ours}
    assert {path.rpartition(".")[2] for path in held} >= {"py", "typed", "csv", "toml"}


def test_metadata_holds_the_licence(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("/LICENSE"))
        assert archive.read(licence) == (root / "LICENSE").read_bytes()


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_installed_wheel_wins_over_an_editable_install(
    installed: Path, environment: dict[str, object], folder: str
) -> None:
    code = f"import aitimelines.{folder} as package; print(package.__file__)"
    location = Path(run(["-c", code], **environment).strip())
    assert location == installed / "aitimelines" / folder / "__init__.py"


def test_the_installed_wheel_lists_its_scenarios(environment: dict[str, object]) -> None:
    listed = run(["-m", "aitimelines.forecast", "scenario", "list"], **environment).split()
    assert {"baseline", "cotra-2020"} <= set(listed)


def test_the_installed_wheel_runs_a_forecast(
    environment: dict[str, object], tmp_path: Path
) -> None:
    arguments = ["run", "cotra-2020", "--samples", "4096", "--output", "out"]
    run(["-m", "aitimelines.forecast", *arguments], **environment)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())
