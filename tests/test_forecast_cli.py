"""The command: what it writes, and how it fails."""

import errno
import gc
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from aitimelines.forecast import cli, compiled, files
from aitimelines.forecast.scenario_files import load_scenario, scenario_text
from rich.console import Console

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
    assert list(found["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    years = [entry["year"] for entry in found["quantiles"].values() if entry["year"]]
    assert years == sorted(years)
    assert (found["samples_asked_for"], found["seed"], found["fits"]) == (4096, 2020, {})
    assert found["samples"] >= 4096
    assert found["as_of"] == "2020-01-01"
    assert found["verdict"] in ("PASS", "REVIEW", "FAIL")


def test_resolved_scenario_gives_the_same_summary(
    result: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = tmp_path / "again"
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path / "cache"))  # so that it is made anew
    cli.main(["run", str(result / "scenario.toml"), "--output", str(again), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((again / "summary.json").read_text())
    assert printed == json.loads((result / "summary.json").read_text())


def test_the_stored_tree_keeps_the_contract_and_agrees_with_the_summary(result: Path) -> None:
    from aitimelines.forecast import schema, storage, summaries

    tree = storage.read(result)
    schema.validate(tree)
    assert summaries.summary(tree) == json.loads((result / "summary.json").read_text())
    assert tree.attrs["scenario_toml"] == (result / "scenario.toml").read_text(encoding="utf-8")


def test_the_default_folders_are_numbered(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        cli.main(COTRA)
    folders = {entry.name for entry in (tmp_path / "runs").iterdir()}
    assert folders == {"cotra-2020", "cotra-2020-2", "cotra-2020-3"}


def test_overwrite_replaces_the_whole_folder(result: Path, tmp_path: Path) -> None:
    target = tmp_path / "old"
    target.mkdir()
    (target / "stale").touch()
    cli.main([*COTRA, "--output", str(target), "--overwrite"])
    assert {entry.name for entry in target.iterdir()} == FILES
    assert [entry.name for entry in tmp_path.iterdir()] == ["old"]


def test_same_forecast_again_is_copied(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(cli, "_forecast", never)
    same = ["run", "cotra-2020", "--samples", "4.096e3", "--seed", "2_020"]
    cli.main([*same, "--output", str(tmp_path / "copy")])
    assert {entry.name for entry in (tmp_path / "copy").iterdir()} == FILES
    assert (tmp_path / "copy" / "summary.json").read_bytes() == (
        result / "summary.json"
    ).read_bytes()


def test_a_kept_result_without_its_summary_is_made_anew(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def forecast(_: object, folder: Path, **__: object) -> None:
        made.append(folder)
        folder.mkdir()
        (folder / "summary.json").write_text("{}")

    monkeypatch.setattr(cli, "_forecast", forecast)
    monkeypatch.setenv("AITIMELINES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cli.out, "quiet", True)
    for name in ("first", "second"):
        cli.main([*COTRA, "--json", "--output", str(tmp_path / name)])
        (kept,) = (tmp_path / "cache" / "results").iterdir()
        (kept / "summary.json").unlink()
    assert made == [tmp_path / "first", tmp_path / "second"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(errno.ENOSPC, "disk is full")])
def test_a_result_that_cannot_be_kept_for_another_run_is_still_a_result(
    failure: BaseException,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def forecast(_: object, folder: Path, **__: object) -> None:
        folder.mkdir()

    def copy(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(cli, "_forecast", forecast)
    monkeypatch.setattr(files, "copy_folder", copy)
    cli.main([*COTRA, "--seed", "83", "--output", str(tmp_path / "x")])
    said = capsys.readouterr()
    assert "Written to" in said.out
    expected = f"not kept for another run: {failure}" if isinstance(failure, OSError) else ""
    assert expected in said.err


# Progress


def test_progress_as_json_lines(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([*COTRA, "--seed", "5", "--progress", "json", "--output", str(tmp_path / "x")])
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert all(list(line) == ["what", "done", "total", "elapsed_s", "left_s"] for line in lines)
    parts = list(dict.fromkeys(line["what"] for line in lines))
    assert parts == ["load libraries", "simulate: samples", "write"]
    for part in parts:
        last = [line for line in lines if line["what"] == part][-1]
        assert (last["done"], last["left_s"]) == (last["total"], 0)
    assert "Written to" in said.out
    cli.main([*COTRA, "--seed", "5", "--progress", "json", "--output", str(tmp_path / "y")])
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["what"] == "copy the result, made before"


@pytest.mark.parametrize(
    ("kind", "line"),
    [("json", '{"note": "the posterior'), ("lines", "note: the posterior's tail")],
)
def test_warnings_of_libraries_are_notes(
    kind: str,
    line: str,
    result: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Else a program that reads lines of JSON would meet something else."""
    from aitimelines.forecast import engine

    def warned(*_: object, **__: object) -> None:
        for _ in range(2):
            warnings.warn("the posterior's\n  tail is heavy", UserWarning, stacklevel=1)
        raise ValueError("enough")

    monkeypatch.setattr(engine, "simulate", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        arguments = [*COTRA, "--seed", "8", "--progress", kind, "--output", str(tmp_path / "x")]
        with pytest.raises(SystemExit):
            cli.main(arguments)
    said = [text for text in capsys.readouterr().err.splitlines() if "note" in text]
    assert len(said) == 1
    assert said[0].startswith(line)


def test_progress_can_be_silent(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(
        [*COTRA, "--seed", "6", "--progress", "none", "--json", "--output", str(tmp_path / "x")]
    )
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == (tmp_path / "x" / "summary.json").read_text()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_sees_the_answer_before_the_figures_are_drawn(
    terminal: bool,
    result: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A program sees nothing unless the result has been written."""
    from aitimelines.forecast import summaries

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    screen = io.StringIO()
    monkeypatch.setattr(cli, "out", Console(file=screen, force_terminal=terminal, width=100))
    monkeypatch.setattr(summaries, "write_result", full)
    assert "No space left" in refused(
        [*COTRA, "--seed", "7", "--output", str(tmp_path / "x")], capsys
    )
    assert ("Transformative AI" in screen.getvalue()) == terminal
    assert "Written to" not in screen.getvalue()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "cotra-2021"], "did you mean 'cotra-2020'"),
        (["run", "cotra-2020", "--samples", "0"], "samples"),
        (["run", "cotra-2020", "--samples", str(10**15)], "samples"),
        (["run", "cotra-2020", "--samples", "many"], "samples"),
        (["run", "cotra-2020", "--samples", "1e15"], "samples: got 1000000000000000"),
        (["run", "cotra-2020", "--samples", "1.5"], "'1.5', expected a whole number"),
        (["run", "cotra-2020", "--samples", "1e999"], "'1e999', expected a whole number"),
        (["run", "cotra-2020", "--seed", "nan"], "'nan', expected a whole number"),
        (["run", "cotra-2020", "--samples"], "--samples"),
        (["run", "cotra-2020", "--progress", "loud"], '"json"'),
        (["run", "cotra-2020", "--horizon-year", "1e9"], "horizon_year: got 1000000000"),
        (["run", "baseline", "--horizon-year", "9999"], "at most 1000 years ahead"),
        (["run", "cotra-2020", "more"], "more"),
        (["rum"], "run"),
        (["scenario", "shw"], "show"),
        (["show"], "RESULT"),
        (["export", "x"], "TARGET"),
        (["export", "x", "y", "--format", "xml"], "parquet"),
        (["data", "import"], "FILE"),
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


def test_bad_files_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = scenario_text("cotra-2020")
    contents = {
        "broken.toml": (b'id = "a"\ntitle = ', "is not TOML"),
        "binary.toml": (b"\x93NUMPY\x01\x00\xff", "is not text"),
        "oversize.toml": (b"#" * 1_000_001, "larger than 1000000 bytes"),
        "weights.toml": (text.replace("weight = 0.30", "weight = 0.31").encode(), "sum of 1.01"),
        "infinite.toml": (f"{text}\n[spending]\nlog10_level = inf\n".encode(), "got inf"),
        "key.toml": (f"{text}\n[spending]\nlog10_levle = 9\n".encode(), "'log10_level'"),
        "set.toml": (text.replace('"cotra-2020"\ncompute', '"none"\ncompute').encode(), "'none'"),
        "tiny.toml": (
            f"{text}\n[spending]\ndoubling_time_years = 1e-300\n".encode(),
            "too small or too large",
        ),
        "[red]markup.toml": (b"", "[red]markup.toml: id is missing"),
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.toml").mkdir()
    for name, (content, _) in contents.items():
        Path(name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    for name, (_, sentence) in (contents | {"folder.toml": (b"", "cannot read")}).items():
        assert sentence in refused(["run", name, "--output", "out"], capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_existing_output_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("work was done")

    monkeypatch.setattr(cli, "_forecast", never)
    (tmp_path / "file").touch()
    assert "exists" in refused(["run", "--output", str(tmp_path)], capsys)
    assert "exists" in refused(["run", "--output", str(tmp_path / "file")], capsys)


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


def test_full_disk_amid_the_store_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls, real = iter(range(10**6)), Path.write_bytes

    def full_after_ten(*arguments: Any, **keywords: Any) -> Any:
        if next(calls) >= 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **keywords)

    monkeypatch.setattr(Path, "write_bytes", full_after_ten)
    arguments = [*COTRA, "--seed", "78", "--output", str(tmp_path / "x")]
    assert "No space left" in refused(arguments, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="limits of processes")
def test_a_write_that_the_system_refuses_leaves_nothing(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a mock: the system lets no file grow beyond 100 kB, less than the paths take."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        said = refused([*COTRA, "--seed", "80", "--output", str(tmp_path / "x")], capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said == "aitimelines: cannot write: [Errno 27] File too large"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("inside", ["file", "file/deeper"])
def test_an_output_below_a_file_is_one_sentence(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_simulated", lambda *_: pytest.fail("work was done"))
    (tmp_path / "file").touch()
    said = refused([*COTRA, "--seed", "81", "--output", str(tmp_path / inside / "x")], capsys)
    place = str(tmp_path / "file")
    assert said == f"aitimelines: output: cannot write in {place!r}, expected a folder of yours"


@pytest.mark.parametrize("step", ["fit", "simulate"])
def test_interrupt_inside_a_step_is_one_sentence(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aitimelines.forecast import engine

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, step, interrupted)
    arguments = [*COTRA, "--seed", "79", "--output", str(tmp_path / "x")]
    assert refused(arguments, capsys) == "aitimelines: interrupted; no result was written"
    assert not list(tmp_path.iterdir())


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "aitimelines.forecast", "scenario", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
        assert process.wait(timeout=60) == 0, said
    assert said == ""


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


@pytest.mark.parametrize("phase", ["load libraries", "fit training_compute", "simulate", "write"])
def test_interrupt_is_one_sentence(phase: str, result: Path, tmp_path: Path) -> None:
    fits = phase.startswith("fit")
    # Fits are not to be found in the cache; otherwise compiled programs are.
    cache = {"AITIMELINES_CACHE": str(tmp_path / "cache")} if fits else {}
    environment = {**os.environ, **cache}
    command = [sys.executable, "-m", "aitimelines.forecast", "run"]
    command += ["baseline" if fits else "cotra-2020", "--seed", "82", "--output"]
    command += [str(tmp_path / "out")]
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
        code = process.wait(timeout=60)
    if phase == "write" and code == 0:  # on a busy machine the signal came when all was written
        assert (tmp_path / "out" / "summary.json").is_file()
        return
    assert code == 2, lines + [rest]
    assert "interrupted; no result was written" in rest
    assert "Traceback" not in rest
    assert {entry.name for entry in tmp_path.iterdir()} <= {"cache"}


def test_an_interrupt_in_a_callback_of_the_garbage_collector_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def collected(phase: str, _: object) -> None:
        if phase == "start":
            gc.callbacks.remove(collected)
            raise KeyboardInterrupt

    def work(*_: object, **__: object) -> None:
        gc.callbacks.append(collected)
        gc.collect()
        for _step in range(100):  # until it comes again
            time.sleep(0.05)

    monkeypatch.setattr(cli, "app", work)
    with pytest.raises(SystemExit):
        cli.main(["run"])
    assert "interrupted; no result was written" in capsys.readouterr().err


COMMANDS = [
    *([], ["run"], ["show"], ["export"], ["scenario"], ["data"], ["sweep"]),
    *(["scenario", name] for name in ("list", "show", "new", "schema")),
    *(["data", name] for name in ("list", "show", "import")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches_by_examples_that_work(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([*command, "--help"])
    said = capsys.readouterr().out
    examples = [line.split("#")[0].split("|")[0].strip() for line in said.splitlines()]
    examples = [line for line in examples if line.startswith("aitimelines ")]
    assert examples
    assert max(map(len, said.splitlines())) <= 80
    for line in examples:  # known commands and flags, values of the right type
        line = line.removesuffix("--help")
        cli.app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


def test_the_collector_rests_while_libraries_are_loaded_and_not_after() -> None:
    def fail() -> None:
        with compiled.few_collections():
            assert not gc.isenabled()
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert gc.isenabled()
    gc.unfreeze()


HEAVY = {
    *("jax", "numpyro", "xarray", "pandas", "matplotlib", "arviz_stats", "scipy", "zarr"),
    *("numcodecs", "pyarrow", "dask"),
}


def loaded_by(arguments: list[str]) -> set[str]:
    """Return the heavy libraries that a command has loaded when it ends."""
    code = (
        "import sys; from aitimelines.forecast import cli\n"
        f"try: cli.main({arguments!r})\nexcept SystemExit: pass\n"
        f"print('loaded:', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["--version"], ["scenario", "list"], ["run", "nothing"]],
    ids=" ".join,
)
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded_by(arguments)


def test_show_and_a_repeated_run_load_nothing_heavy(result: Path, tmp_path: Path) -> None:
    assert not loaded_by(["show", str(result)])
    assert not loaded_by(["show", str(result), "--json"])
    assert not loaded_by([*COTRA, "--output", str(tmp_path / "again")])


def test_a_table_is_imported_and_read_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aitimelines.forecast.datasets import table_info

    monkeypatch.setenv("AITIMELINES_DATA", str(tmp_path / "data folder"))
    source = table_info("notable_models").path
    arguments = ["data", "import", str(source), "--vintage", "2030-01-02"]
    cli.main(arguments)
    said = capsys.readouterr().out
    assert said == (
        f"notable_models imported to {tmp_path / 'data folder' / 'notable_models.csv'}; "
        "fits use it from now on\n"
    )
    cli.main(["data", "show", "notable_models"])
    assert "vintage: 2030-01-02" in capsys.readouterr().out
    assert "exists" in refused(arguments, capsys)
    cli.main([*arguments, "--overwrite"])


def test_a_new_scenario_can_be_run_and_has_its_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my folder" / "mine.toml"
    cli.main(["scenario", "new", str(path), "--based-on", "cotra-2020"])
    assert load_scenario(path).id == "mine"
    assert "$defs" in json.loads((path.parent / "scenario.schema.json").read_text())
    assert f"run it with: aitimelines run {path}\n" in capsys.readouterr().out
    for bad in ("Upper Case.toml", 'quote".toml', "schema.json", "none"):
        refused(["scenario", "new", str(tmp_path / bad)], capsys)
    assert [entry.name for entry in tmp_path.iterdir()] == ["my folder"]


def test_exports_hold_the_result(result: Path, tmp_path: Path) -> None:
    import pandas as pd
    import xarray as xr
    from aitimelines.forecast import storage

    tree = storage.read(result)
    cli.main(["export", str(result), str(tmp_path / "x.nc")])
    with xr.open_datatree(tmp_path / "x.nc", engine="h5netcdf") as again:
        for name, group in tree.children.items():
            xr.testing.assert_identical(
                again[name].to_dataset().load(), group.to_dataset(inherit=False)
            )
        assert dict(again.attrs) == tree.attrs
    cli.main(["export", str(result), str(tmp_path / "tables"), "--format", "parquet"])
    found = pd.read_parquet(tmp_path / "tables" / "timeline-year.parquet").set_index("year")
    pd.testing.assert_series_equal(
        found["arrival_cdf"], tree["timeline"]["arrival_cdf"].to_series(), check_names=False
    )


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
        ["export", str(result / "result.zarr"), str(tmp_path / "more"), "--format", "parquet"],
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
    hostile = hostile.replace('"Biological anchors (Cotra 2020), best guess"', f'"{title}"')
    (tmp_path / "hostile.toml").write_text(hostile)
    cli.main(["run", str(tmp_path / "hostile.toml"), "--output", str(tmp_path / "out")])
    assert title in capsys.readouterr().out
    cli.main(["show", str(tmp_path / "out")])
    assert title in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (found["title"], found["milestone"]) == (title, title)
    drawing = (tmp_path / "out" / "timeline.svg").read_text(encoding="utf-8")
    assert "</script>" not in drawing.replace("&lt;/script&gt;", "")
