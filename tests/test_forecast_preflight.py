"""What cannot fit is refused before it starts, in one sentence, without loading what is heavy."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aitimelines.forecast as fc
import pytest
from aitimelines.forecast import preflight
from aitimelines.forecast.scenario_files import load_scenario

LARGE = {"chains": 64, "draws": 2**14}
UNCERTAIN = {"lognormal": [1.0, 2.0]}


def resources(count: int) -> dict[str, Any]:
    one = {"year": 2030.0, "log10_flop": {"normal": [28, 30]}, "doubling_time_years": UNCERTAIN}
    return {"resources": [{"name": f"r{i}", **one} for i in range(count)]}


# What is needed


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"limits": resources(3)},
        {"limits": {"resources": [], "sharpness": {"uniform": [1.0, 3.0]}}},
        {"as_of": "2021-06-01", "price_performance": {"log10_ceiling": 22.0}},
    ],
)
def test_inputs_are_counted_as_the_kernels_count_them(changes: dict[str, Any]):
    from aitimelines.forecast.problem import prepare
    from aitimelines.kernels import ensemble

    scenario = load_scenario("cotra-2020", **changes)
    problem = prepare(scenario, {}, dtype="float32")
    counted = ensemble.dimension(problem.ensemble.inputs)
    assert preflight.uncertain_inputs(scenario) == counted


def test_the_limit_of_inputs_is_that_of_the_kernels():
    from aitimelines.kernels import quasi_random

    assert preflight.MOST_INPUTS == quasi_random.MAX_DIMENSION


def test_too_many_inputs_are_refused():
    scenario = load_scenario("baseline", limits=resources(32))
    with pytest.raises(ValueError, match=r"got \d\d uncertain inputs, expected at most 64; fix"):
        preflight.check(scenario)


@pytest.mark.parametrize("reading", ["top-n", "upper-quantile", "latent-frontier"])
@pytest.mark.parametrize("as_of", [None, "2022-07-01"])
def test_observations_are_about_those_of_the_fits(reading: str, as_of: str | None):
    """Counted from the CSV files alone, against the rows that the fits are made to."""
    from aitimelines.forecast import provenance, records

    scenario = load_scenario("baseline", as_of=as_of)
    section = scenario.training_compute.model_copy(update={"reading": reading})
    scenario = scenario.model_copy(update={"training_compute": section})
    for name in provenance.fitted_records(scenario):
        rows = len(records.read_record(scenario, name).rows)
        # Others are counted as in the file, whatever their dates.
        most = 1.03 * rows + 2 if name == "training_compute" else 600
        assert rows - 2 <= preflight._observations(scenario, name) <= most


def test_bytes_grow_with_draws_and_not_with_samples():
    def need(**changes: Any) -> preflight.Need:
        return preflight.check(load_scenario("baseline", **changes))

    one, two, four = (need(inference={"draws": draws}) for draws in (1000, 2000, 4000))
    assert two.memory_bytes - one.memory_bytes == (four.memory_bytes - two.memory_bytes) / 2 > 0
    assert four.disk_bytes > two.disk_bytes > one.disk_bytes
    assert need(samples=2**32) == need(samples=1) == one
    assert need(horizon_year=3000) == one


# Refusals


def test_memory_that_is_not_there_is_refused_with_bytes_and_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: 8 * 10**9)
    with pytest.raises(ValueError, match="inference") as caught:
        preflight.check(load_scenario("baseline", inference=LARGE))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("baseline: needs about 3")
    assert "GB of memory, but there are 8.0 GB; lower inference.draws" in message


def test_memory_that_is_not_known_is_not_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preflight, "available_memory", lambda: None)
    assert preflight.check(load_scenario("baseline", inference=LARGE)).memory_bytes > 10**10


def test_a_disk_without_room_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=10**6)

    monkeypatch.setattr(preflight.shutil, "disk_usage", usage)
    with pytest.raises(ValueError, match=r"about \d+ MB of disk for .*/c', but there are 1.0 MB"):
        preflight.check(load_scenario("cotra-2020"), folder=tmp_path / "a" / "b" / "c")
    assert asked == [tmp_path]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"samples": 10**15}, "samples: got 1000000000000000"),
        ({"horizon_year": 10**9}, "horizon_year: got 1000000000"),
        ({"inference": {"chains": 10**6}}, "inference.chains: got 1000000"),
        ({"inference": {"draws": 10**9}}, "inference.draws: got 1000000000"),
        ({"training_compute": {"top_n": 10**9}}, "training_compute.top_n: got 1000000000"),
        ({"limits": resources(33)}, "limits.resources"),
        (
            {
                "requirement": {
                    "milestone": "m",
                    "algorithms_year": 2022.0,
                    "components": [
                        {"name": str(i), "weight": 1e-5, "normal": [30, 32]} for i in range(10**5)
                    ],
                }
            },
            "requirement.components",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_absurd_requests_are_refused_by_the_python_interface(
    changes: dict[str, Any], sentence: str
):
    with pytest.raises(ValueError, match="(?s)expected") as caught:
        fc.load_scenario("baseline", **changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("changes", [{"samples": 10**15}, {"horizon_year": 10**9}])
def test_run_refuses_what_a_scenario_may_not_ask(changes: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(changes))):
        fc.run("cotra-2020", **changes)
    with pytest.raises(ValueError, match=next(iter(changes))):
        fc.run(load_scenario("cotra-2020"), **changes)


_COMMAND = """
import json, pathlib, sys
from aitimelines.forecast import cli
try: cli.main(json.loads(sys.argv[1]))
except SystemExit as stop: code = stop.code
heavy = sorted({'jax', 'xarray', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules))
status = pathlib.Path('/proc/self/status')
text = status.read_text() if status.exists() else 'VmHWM: 0'
print(json.dumps([code, heavy, int(text.partition('VmHWM:')[2].split()[0]) / 1024]))
"""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--samples", "1e15"], "samples: got 1000000000000000"),
        (["--horizon-year", "1e9"], "horizon_year: got 1000000000"),
        (["--horizon-year", "5000"], "at most 1000 years ahead"),
    ],
)
def test_the_command_refuses_before_it_loads_anything(
    arguments: list[str], sentence: str, tmp_path: Path
):
    """So the answer takes as long as --help: well under two seconds and 500 MB."""
    command = [sys.executable, "-c", _COMMAND, json.dumps(["run", "baseline", *arguments])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    code, heavy, peak_mb = json.loads(done.stdout)
    assert (code, heavy) == (2, [])
    assert peak_mb < 500
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


# What there is


def test_memory_of_this_machine_is_known():
    assert 10**8 < (preflight.available_memory() or 0) < 10**15


def group(folder: Path, *, limit: str, usage: int, cached: int, version: int) -> None:
    """Write the files of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    of_version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    names = of_version_1 if version == 1 else ("memory.max", "memory.current")
    for name, value in zip(names, (limit, usage), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nactive_file 7\n")


def test_the_limits_of_control_groups_count_with_those_above(tmp_path: Path):
    groups, mount = tmp_path / "cgroup", tmp_path / "mount"
    groups.write_text("0::/user.slice/job\n")
    group(mount / "user.slice", limit="1000", usage=900, cached=300, version=2)
    group(mount / "user.slice" / "job", limit="max", usage=900, cached=0, version=2)
    assert preflight._group_memory(mount, groups) == [400]
    group(mount / "user.slice" / "job", limit="800", usage=900, cached=0, version=2)
    assert sorted(preflight._group_memory(mount, groups)) == [0, 400]


def test_the_limits_of_control_groups_of_version_1(tmp_path: Path):
    groups, mount = tmp_path / "cgroup", tmp_path / "mount"
    groups.write_text("9:name=systemd:/\n7:cpu:/other\n4:memory:/job/x\n0::/\n")
    group(mount / "memory" / "job" / "x", limit="5000", usage=1000, cached=0, version=1)
    group(mount / "memory" / "job", limit=str(2**63 - 4096), usage=1000, cached=0, version=1)
    assert sorted(preflight._group_memory(mount, groups))[0] == 4000


@pytest.mark.parametrize("text", ["", "nonsense", "1:2", "0::/a\n", "4:memory:/absent\n"])
def test_control_groups_that_say_nothing_limit_nothing(tmp_path: Path, text: str):
    (tmp_path / "cgroup").write_text(text)
    assert preflight._group_memory(tmp_path / "mount", tmp_path / "cgroup") == []
    assert preflight._group_memory(tmp_path / "mount", tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (999_999, "999999 bytes"),
        (1_500_000, "1.5 MB"),
        (37_000_000_000, "37 GB"),
        (2 * 10**15, "2,000 TB"),
    ],
)
def test_bytes_are_spelled_for_people(count: int, words: str):
    assert preflight.in_bytes(count) == words
