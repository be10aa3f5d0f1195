"""What the project's own files say about each other is true."""

import os
import re
import tomllib
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def version(root: Path) -> str:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def tasks(root: Path) -> set[str]:
    """Return the tasks that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", (root / "Makefile").read_text(), re.MULTILINE))


def named_tasks(text: str) -> set[str]:
    """Return the tasks a text names in code, as in `make test` or `make lint|types`."""
    named = re.findall(r"(?:^\s*|`|\$ )make ([a-z][a-z|-]*)", text, re.MULTILINE)
    return {task for group in named for task in group.split("|")}


def test_citation_has_the_required_keys_and_our_version(root: Path, version: str) -> None:
    text = (root / "CITATION.cff").read_text()
    keys = dict(re.findall(r"^([a-z-]+): *(.*)$", text, re.MULTILINE))
    assert {"cff-version", "message", "title", "authors", "license"} <= keys.keys()
    assert keys["title"] == "aitimelines"
    assert keys["version"] == version
    assert "The aitimelines developers" in text


def test_citation_credits_the_data(root: Path) -> None:
    references = (root / "CITATION.cff").read_text().partition("\nreferences:\n")[2]
    assert "Epoch AI" in references
    assert "CC-BY-4.0" in references
    assert "METR" in references


def test_changelog_has_a_section_for_our_version(root: Path, version: str) -> None:
    assert f"\n## [{version}] - " in (root / "CHANGELOG.md").read_text()


def test_licence_is_the_one_declared(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    text = (root / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("README.md", {"forecast", "test"}),
        ("CONTRIBUTING.md", {"test", "lint", "types", "docs", "bench", "forecast", "format"}),
    ],
)
def test_tasks_a_page_names_exist(
    root: Path, tasks: set[str], page: str, expected: set[str]
) -> None:
    named = named_tasks((root / page).read_text())
    assert expected <= named
    assert named <= tasks


def test_continuous_integration_runs_the_test_task(root: Path) -> None:
    script = root / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if not line.startswith("#")]
    assert commands[-1] == "make test"
    assert os.access(script, os.X_OK)
