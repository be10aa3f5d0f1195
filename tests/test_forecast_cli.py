"""The command: what it writes, and how it fails."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aitimelines.forecast import cli, files

FILES = {
    *("result.zarr", "summary.json", "scenario.toml"),
    *("timeline.png", "timeline.svg", "compute.png", "compute.svg"),
}
COTRA = ["run", "cotra-2020", "--samples", "4096"]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command; return the sentence with which it refuses."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    *progress, sentence = capsys.readouterr().err.strip().splitlines()
    assert sentence.startswith("aitimelines: ")
    assert not any("Traceback" in line for line in progress)
    return sentence


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the result folder of a small run."""
    folder = tmp_path_factory.mktemp("runs") / "with space"
    cli.main([*COTRA, "--output", str(folder)])
    return folder


def test_run_writes_every_file(result: Path) -> None:
    assert {entry.name for entry in result.iterdir()} == FILES
    assert {entry.name for entry in result.parent.iterdir()} == {"with space"}


def test_summary_says_what_it_promises(result: Path) -> None:
    found = json.loads((result / "summary.json").read_text())
    assert list(found["p_arrival_by"]) == [str(year) for year in range(2021, 2101)]
    for entry in found["p_arrival_by"].values():
        assert set(entry) == {"value", "mcse"}
    published = {"2030": 0.08, "2036": 0.15, "2050": 0.47, "2100": 0.78}
    for year, value in published.items():
        assert abs(found["p_arrival_by"][year]["value"] - value) < 0.04
    assert 2050 <= found["quantiles"]["0.5"]["year"] <= 2053
    assert found["quantiles"]["0.95"]["year"] is None
    total = found["p_never_by_horizon"] + found["p_arrival_by"]["2100"]["value"]
    assert total == pytest.approx(1, abs=1e-9)
    assert found["as_of"] == "2020-01-01"
    assert found["verdict"] in ("PASS", "REVIEW", "FAIL")


def test_resolved_scenario_gives_the_same_summary(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    cli.main(["run", str(result / "scenario.toml"), "--output", str(again), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((again / "summary.json").read_text())
    assert printed == json.loads((result / "summary.json").read_text())


def test_same_forecast_again_is_copied(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(cli, "_forecast", never)
    cli.main([*COTRA, "--output", str(tmp_path / "copy")])
    assert {entry.name for entry in (tmp_path / "copy").iterdir()} == FILES


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "cotra-2021"], "did you mean 'cotra-2020'"),
        (["run", "cotra-2020", "--samples", "0"], "samples"),
        (["run", "cotra-2020", "--samples", str(10**15)], "samples"),
        (["run", "cotra-2020", "--samples", "many"], "samples"),
        (["run", "cotra-2020", "--smples", "5"], "--samples"),
        (["run", "cotra-2020", "--as-of", "2120-01-01"], "horizon_year"),
        (["run", "cotra-2020", "--as-of", "yesterday"], "as_of"),
        (["run", "cotra-2020", "--horizon-year", "1999"], "horizon_year"),
        (["run", "cotra-2020", "--seed", "-1"], "seed"),
        (["scenario", "show", "nothing"], "expected one of"),
        (["scenario", "new", "mine.txt"], ".toml"),
        (["data", "show", "time_horizon"], "time_horizons"),
        (["data", "import", "no-such-file.csv"], "no-such-file.csv"),
        (["show", "no-such-folder"], "no-such-folder"),
        (["export", "no-such-folder", "x.nc"], "no-such-folder"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(arguments, capsys)
    assert not list(tmp_path.iterdir())


def test_existing_output_is_refused_and_kept(
    result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (result / "summary.json").read_bytes()
    assert "--overwrite" in refused([*COTRA, "--seed", "9", "--output", str(result)], capsys)
    assert (result / "summary.json").read_bytes() == before


def test_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aitimelines.forecast import plots

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(plots, "save", full)
    arguments = [*COTRA, "--seed", "77", "--output", str(tmp_path / "x")]
    assert "No space left" in refused(arguments, capsys)
    assert not list(tmp_path.iterdir())


def test_interrupted_write_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.mkdir()
    (target / "old").touch()

    def interrupted() -> None:
        with files.written_whole(target, overwrite=True) as folder:
            (folder / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [entry.name for entry in target.iterdir()] == ["old"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("phase", ["load libraries", "fit training_compute", "simulate"])
def test_interrupt_is_one_sentence(phase: str, tmp_path: Path) -> None:
    scenario = "baseline" if phase.startswith("fit") else "cotra-2020"
    environment = {**os.environ, "AITIMELINES_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "aitimelines.forecast", "run", scenario]
    command += ["--output", str(tmp_path / "out")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith(phase):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 2, lines + [rest]
    assert "interrupted; no result was written" in rest
    assert "Traceback" not in rest
    assert {entry.name for entry in tmp_path.iterdir()} <= {"cache"}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from aitimelines.forecast import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'numpyro', 'xarray', 'pandas', 'matplotlib', 'arviz_stats'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "scenario" in done.stdout


def test_other_commands(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["scenario", "list"],
        ["scenario", "show", "baseline"],
        ["scenario", "show", "cotra-2020", "--resolved"],
        ["scenario", "schema"],
        ["data", "list"],
        ["data", "show", "training_costs"],
        ["show", str(result)],
        ["scenario", "new", str(tmp_path / "mine.toml"), "--based-on", "cotra-2020"],
        ["export", str(result), str(tmp_path / "x.nc")],
        ["export", str(result), str(tmp_path / "tables"), "--format", "csv"],
        ["export", str(result), str(tmp_path / "more"), "--format", "parquet"],
    ):
        cli.main(arguments)
        assert capsys.readouterr().out
    assert "mine.toml" in refused(["scenario", "new", str(tmp_path / "mine.toml")], capsys)


def test_titles_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(cli.__file__).parent / "scenarios" / "cotra-2020.toml").read_text()
    title = "[red]x[/red] $x$ </script>"
    hostile = text.replace('id = "cotra-2020"', 'id = "hostile"').replace(
        'milestone = "Transformative AI: as large a change as the industrial revolution"',
        f'milestone = "{title}"',
    )
    (tmp_path / "hostile.toml").write_text(hostile)
    cli.main(["run", str(tmp_path / "hostile.toml"), "--output", str(tmp_path / "out")])
    assert title in capsys.readouterr().out
