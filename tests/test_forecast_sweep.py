"""Sweeps: what a file says, and results that do not depend on how they were computed."""

import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aitimelines.forecast as fc
import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast import (
    cli,
    cluster,
    engine,
    ledger,
    provenance,
    records,
    sweep,
    sweep_file,
    sweep_store,
    timeline,
)
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.problem import prepare
from aitimelines.forecast.scenario_files import load_scenario, scenario_from_dict
from aitimelines.forecast.sweep_cases import check_cases

TINY = """
id = "tiny"
title = "Nothing is fitted"
prior_set = "cotra-2020"
compute = "spending-times-price-performance"
as_of = 2020-01-01
horizon_year = 2040
samples = 16384
seed = 3

[requirement]
milestone = "m"
algorithms_year = 2020.0
none_weight = 0.1

[[requirement.components]]
name = "near"
weight = 0.3
normal = [24.0, 30.0]

[[requirement.components]]
name = "far"
weight = 0.6
normal = [28.0, 40.0]
"""
# Two structures (a sharpness that is uncertain is an input more), dates, seeds.
SWEEP = """
scenario = "tiny.toml"
seeds = [1, 4294967295]
as_of = [2020-01-01, 2021-07-01]

[cross]
limits.sharpness = [1.5, { lognormal = [1.0, 3.0] }]

[[list]]
requirement.none_weight = 0.2
horizon_year = 2035

[[list]]
requirement.components.near.weight = 0.5
"""


def files(folder: Path, text: str = SWEEP, scenario: str = TINY) -> Path:
    """Write a sweep file and its scenario; return the sweep file."""
    (folder / "tiny.toml").write_text(scenario)
    (folder / "some.toml").write_text(text)
    return folder / "some.toml"


def rows(text: str, folder: Path) -> list[tuple[Scenario, dict[str, Any]]]:
    """Return the scenarios of a sweep file with the changes that made them."""
    found = sweep_file.rows_of(sweep_file.load_sweep(files(folder, text)))
    return [
        (
            sweep_file.resolve(load_scenario(row.scenario, prior_set=row.prior_set), row.changes),
            row.changes,
        )
        for row in found
    ]


# What a file says


def test_fields_are_crossed_and_listed(tmp_path: Path) -> None:
    found = rows(SWEEP, tmp_path)
    assert len(found) == sweep_file.load_sweep(tmp_path / "some.toml").number == 2 * 2 * 2 * 2
    seen = {
        (s.seed, s.as_of, s.limits.sharpness.fixed, s.horizon_year, s.requirement.none_weight)
        for s, _ in found
    }
    assert len(seen) == 16
    assert {s.horizon_year for s, _ in found} == {2035, 2040}
    assert {s.as_of for s, _ in found} == {datetime.date(2020, 1, 1), datetime.date(2021, 7, 1)}
    assert [s.seed for s, _ in found][:4] == [1, 2**32 - 1, 1, 2**32 - 1]


def test_a_row_is_the_scenario_that_a_file_of_its_own_would_give(tmp_path: Path) -> None:
    changed = TINY.replace("normal = [24.0, 30.0]", "uniform = [23.0, 31.0]")
    changed = changed.replace("[requirement]", "[limits]\nsharpness = 4.0\n[requirement]")
    (tmp_path / "own.toml").write_text(changed)
    text = """
    scenario = "tiny.toml"
    [[list]]
    limits.sharpness = 4.0
    [list.requirement.components]
    near = { uniform = [23.0, 31.0] }
    """
    ((scenario, _),) = rows(textwrap.dedent(text), tmp_path)
    assert scenario == load_scenario(tmp_path / "own.toml")


def doubling(scenario: Scenario) -> dict[str, Any]:
    assert scenario.spending is not None
    return scenario.spending.doubling_time_years.model_dump(mode="json", exclude_none=True)


def far_normal(scenario: Scenario) -> list[float]:
    return list(scenario.requirement.components[1].normal or ())


@pytest.mark.parametrize(
    ("place", "value", "at"),
    [
        ("limits.sharpness", 3.0, lambda s: s.limits.sharpness.fixed),
        ("requirement.none_weight", 0.25, lambda s: s.requirement.none_weight),
        ("requirement.components.far.weight", 0.5, lambda s: s.requirement.components[1].weight),
        ("requirement.components.far.normal", [30, 41], far_normal),
        ("spending.doubling_time_years", {"lognormal": [1.0, 2.0], "mass": 0.5}, doubling),
        ("spending.doubling_time_years.uniform", [1.0, 2.0], lambda s: doubling(s)["uniform"]),
        ("limits.log10_spending_share.mass", 0.6, lambda s: s.limits.log10_spending_share.mass),
        ("samples", 99, lambda s: s.samples),
        ("title", "another", lambda s: s.title),
        ("prior_set", "baseline", lambda s: s.prior_set),
        ("inference.draws", 200, lambda s: s.inference.draws),
    ],
)  # fmt: skip
def test_any_field_can_be_named(tmp_path: Path, place: str, value: Any, at: Any) -> None:
    base = TINY.replace(
        "[requirement]", "[limits.log10_spending_share]\nnormal = [-4.0, -2.0]\n[requirement]"
    )
    (tmp_path / "x.toml").write_text(base)
    if place == "prior_set":
        found = sweep_file.Row(str(tmp_path / "x.toml"), value, {})
        scenario = load_scenario(found.scenario, prior_set=found.prior_set)
    else:
        scenario = sweep_file.resolve(load_scenario(tmp_path / "x.toml"), {place: value})
    assert at(scenario) == value


def test_another_prior_set_supplies_what_the_file_leaves_out(tmp_path: Path) -> None:
    text = 'scenario = "tiny.toml"\n[cross]\nprior_set = ["cotra-2020", "baseline"]\n'
    found = [scenario for scenario, _ in rows(text, tmp_path)]
    assert found[1] == load_scenario(tmp_path / "tiny.toml", prior_set="baseline")
    assert found[0].gross_product != found[1].gross_product


def test_weights_that_are_not_named_keep_their_ratios() -> None:
    base = load_scenario("cotra-2020")
    before = {c.name: c.weight for c in base.requirement.components}
    for place, own in (("none_weight", 0.4), ("components.genome.weight", 0.4)):
        found = sweep_file.resolve(base, {f"requirement.{place}": own}).requirement
        after = {c.name: c.weight for c in found.components}
        assert found.none_weight + sum(after.values()) == pytest.approx(1, abs=1e-12)
        ratios = {name: after[name] / before[name] for name in after if name != "genome"}
        assert max(ratios.values()) == pytest.approx(min(ratios.values()), rel=1e-12)
        assert own in (found.none_weight, after["genome"])


def test_a_name_may_hold_a_dot() -> None:
    values = load_scenario("cotra-2020").model_dump()
    values["requirement"]["components"][0]["name"] = "a.b"
    values["requirement"]["components"][1]["name"] = "a"
    base = scenario_from_dict(values)
    for i, name in enumerate(("a.b", "a")):
        found = sweep_file.resolve(base, {f"requirement.components.{name}.normal": [1, 2]})
        assert found.requirement.components[i].normal == (1, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[cross]\nlimits.sharpnes = [1.0]", "did you mean 'limits.sharpness'"),
        ("[cross]\nlimit.sharpness = [1.0]", "did you mean 'limits.sharpness'"),
        ("[cross]\nrequirement.components.fat.weight = [0.1]", "components.far.weight'"),
        ("[cross]\ntraining_compute.top_n = [5]", "training_compute has no parts"),
        ("[cross]\nlimits.sharpness = 2.0", "cross.limits.sharpness: got 2.0, expected a list"),
        ("[cross]\nlimits.sharpness = []", "expected a list of values"),
        ("[cross]\nlimits.sharpness = [1.0, nan]", "finite"),
        ("[cross]\nlimits.sharpness = [-1.0]", "expected positive"),
        ("[cross]\nseed = [1]\n", "seed is given twice"),
        ("[cross]\nrequirement.none_weight = [1.5]", "less than 1"),
        ("[cross]\nsamples = [1000000000000000]", "samples: got 1000000000000000"),
        ("[cross]\nhorizon_year = [1000000000]", "horizon_year: got 1000000000"),
        ("[crosss]\nlimits.sharpness = [1.0]", "did you mean 'cross'"),
        ('[[list]]\nseed = 5\nlimits.sharpness = "x"', "list and cross both give seed"),
        ("[cross]\nlimits.sharpness = [2.0, 2]", "twice"),
        (
            "[[list]]\nrequirement.components.far = { normal = [1, 2], uniform = [1, 2] }",
            "got normal and uniform",
        ),
        ("seeds = 5", "seeds: got 5"),
        ("[cross", "is not TOML"),
    ],
)  # fmt: skip
def test_bad_files_are_one_sentence(
    tmp_path: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "" if text.startswith("seeds") else "seeds = [1, 2]\n"
    path = files(tmp_path, f'scenario = "tiny.toml"\n{head}{text}')
    output = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", str(path), "--output", str(output)])
    assert stop.value.code == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert sentence in last
    assert not output.exists()


def test_what_is_too_large_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    values = ", ".join(map(str, range(1, 1001)))
    path = files(tmp_path, f"seeds = [{values}]\n[cross]\nlimits.sharpness = [{values}]\n")
    code = f"""
        import sys
        from aitimelines.forecast import cli
        try:
            cli.main(["sweep", {str(path)!r}, "--output", {str(tmp_path / "out")!r}])
        finally:
            heavy = {{"jax", "numpyro", "xarray", "pandas", "zarr", "scipy"}} & set(sys.modules)
            assert not heavy, heavy
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "got 1000000 scenarios, expected at most 100000; shorten" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sweep.shutil, "disk_usage", lambda _: os.terminal_size((0, 100)), raising=True
    )
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(sweep.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match="needs about .* of disk"):
        sweep.run_sweep(files(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_order_puts_batches_and_fits_side_by_side(tmp_path: Path) -> None:
    found = check_cases(sweep_file.load_sweep(files(tmp_path)))
    shapes = [case.shape for case in found.cases]
    # sharpness fixed or not, x two horizons, x now and with it the number of years
    assert len(set(shapes)) == 2 * 2 * 2
    assert sum(a != b for a, b in zip(shapes, shapes[1:], strict=False)) == 2 * 2 * 2 - 1


# Results, with an engine that costs nothing


def cheap(scenarios: Sequence[Scenario], fits: Sequence[Any], **_: Any) -> list[xr.Dataset]:
    """Return what looks like a forecast, and follows from the scenario alone."""
    found = []
    for scenario in scenarios:
        if scenario.limits.sharpness.fixed == 13.0:
            raise ValueError("requirement: got one that is already met")
        now = 2020.0 if scenario.as_of == datetime.date(2020, 1, 1) else 2021.5
        years = np.append(now, np.arange(int(now) + 1, scenario.horizon_year + 1))
        cdf = (years - now) / 100 + scenario.requirement.none_weight
        levels = np.array(timeline.QUANTILES)
        found.append(
            xr.Dataset(
                {
                    "arrival_cdf": ("year", cdf),
                    "arrival_cdf_mcse": ("year", cdf / 10),
                    "arrival_year_quantile": ("quantile", 2020 + 10 * levels),
                    "arrival_year_quantile_mcse": ("quantile", levels),
                    "p_never_by_horizon": ((), scenario.seed / 2**32),
                    "p_never_by_horizon_mcse": ((), 0.5),
                },
                coords={"year": years, "quantile": levels},
            )
        )
    return found


@pytest.fixture
def cheap_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "timelines", cheap)


@pytest.mark.usefixtures("cheap_engine")
def test_rows_carry_what_was_varied_on_calendar_years(tmp_path: Path) -> None:
    assert sweep.run_sweep(files(tmp_path), tmp_path / "out", task_size=3) == 6
    found = sweep_store.read_sweep(tmp_path / "out")
    assert found["year"].to_numpy().tolist() == list(range(2021, 2041))
    names = ["horizon_year", "requirement.none_weight", "requirement.components.near.weight"]
    assert set(found.attrs["varied"]) == {*names, "limits.sharpness", "as_of", "seed"}
    assert set(found["limits.sharpness"].to_numpy()) == {
        "1.5",
        '{"lognormal": [1.0, 3.0], "mass": 0.9}',
    }
    for i in range(16):
        row = found.isel(scenario=i)
        now = 2020.0 if row["as_of"] == "2020-01-01" else 2021.5
        horizon = int(row["horizon_year"])
        inside = (row["year"] > now) & (row["year"] <= horizon)
        expected = (row["year"] - now) / 100 + float(row["requirement.none_weight"])
        np.testing.assert_array_equal(row["arrival_cdf"][inside], expected[inside])
        assert (row["arrival_cdf"][row["year"] <= now] == 0).all()
        assert np.isnan(row["arrival_cdf"][row["year"] > horizon]).all()
        assert float(row["p_never_by_horizon"]) == int(row["seed"]) / 2**32
        assert row["verdict"] == "PASS"
    assert len(set(found["scenario"].to_numpy())) == 16


@pytest.mark.usefixtures("cheap_engine")
def test_a_finished_sweep_is_left_alone_and_another_refused(tmp_path: Path) -> None:
    path, out = files(tmp_path), tmp_path / "out"
    assert sweep.run_sweep(path, out, task_size=8) == 2
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert sweep.run_sweep(path, out) == 0
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    with pytest.raises(ValueError, match="task_size: got 3, expected 8"):
        sweep.run_sweep(path, out, task_size=3)
    other = files(tmp_path, SWEEP.replace("0.2", "0.3"))
    with pytest.raises(ValueError, match="was begun with other scenarios"):
        sweep.run_sweep(other, out)
    assert sweep.run_sweep(other, out, overwrite=True) == 1
    assert 0.3 in sweep_store.read_sweep(out)["requirement.none_weight"]


@pytest.mark.usefixtures("cheap_engine")
def test_other_code_or_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = files(tmp_path), tmp_path / "out"
    sweep.run_sweep(path, out)
    monkeypatch.setattr(sweep, "_made_with", lambda tables: {"source": "another"})
    with pytest.raises(ValueError, match="other code, versions or data"):
        sweep.run_sweep(path, out)


@pytest.mark.usefixtures("cheap_engine")
def test_a_folder_that_is_no_sweep_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis").touch()
    with pytest.raises(FileExistsError, match="--overwrite"):
        sweep.run_sweep(files(tmp_path), out)
    with pytest.raises(ValueError, match="is not a sweep"):
        sweep_store.read_sweep(out)
    assert [entry.name for entry in out.iterdir()] == ["thesis"]


@pytest.mark.usefixtures("cheap_engine")
def test_a_folder_that_is_being_filled_is_refused(tmp_path: Path) -> None:
    path, out = files(tmp_path), tmp_path / "out"
    sweep.run_sweep(path, out)
    with ledger.owned(out / sweep_store.STORE):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match="another process"):
                sweep.run_sweep(path, out, overwrite=overwrite)


@pytest.mark.usefixtures("cheap_engine")
def test_scenarios_without_a_forecast_are_named_and_do_not_stop_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files(tmp_path, 'scenario = "tiny.toml"\n[cross]\nlimits.sharpness = [2.0, 13.0, 3.0]')
    cli.main(["sweep", str(path), "--output", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert "no forecast: " in said.err
    assert "limits.sharpness = 13.0" in said.err
    assert "already met" in said.err
    found = sweep_store.read_sweep(tmp_path / "out")
    assert found["verdict"].to_numpy().tolist() == ["PASS", "NONE", "PASS"]
    assert np.isnan(found["p_never_by_horizon"]).to_numpy().tolist() == [False, True, False]


@pytest.mark.usefixtures("cheap_engine")
def test_a_fit_that_cannot_be_made_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(scenario: Scenario, name: str, progress: Any = None) -> tuple[xr.DataTree, bool]:
        if scenario.seed == 2:
            raise ValueError(f"{name}: got 1 row, expected more")
        return xr.DataTree(name=name), False

    monkeypatch.setattr(records, "fit_record", fit)
    monkeypatch.setattr(records, "verdict_of_all", lambda fits: records.checks.Verdict("PASS"))
    path = files(tmp_path, 'scenario = "baseline"\nseeds = [1, 2, 3]\nas_of = [2020-01-01]')
    sweep.run_sweep(path, tmp_path / "out")
    found = sweep_store.read_sweep(tmp_path / "out")
    assert found["verdict"].to_numpy().tolist() == ["PASS", "NONE", "PASS"]
    (note,) = ledger.notes(tmp_path / "out" / sweep_store.STORE)
    assert "seed = 2" in note
    assert "training_compute: got 1 row" in note


@pytest.mark.usefixtures("cheap_engine")
def test_hostile_names_stay_inside_the_folder(tmp_path: Path) -> None:
    hostile = TINY.replace('name = "near"', 'name = "../../a b/[red]"')
    text = """
    scenario = "tiny.toml"
    [cross]
    "requirement.components.../../a b/[red].weight" = [0.1, 0.2]
    """
    path = files(tmp_path, textwrap.dedent(text), hostile)
    before = {p for p in tmp_path.parent.iterdir()}
    cli.main(["sweep", str(path), "--output", str(tmp_path / "out")])
    assert {p for p in tmp_path.parent.iterdir()} == before
    assert {p.name for p in tmp_path.iterdir()} == {"out", "some.toml", "tiny.toml"}
    found = sweep_store.read_sweep(tmp_path / "out")
    (name,) = found.attrs["varied"]
    assert found[name].to_numpy().tolist() == [0.1, 0.2]
    assert "../../a b/[red].weight" in found[name].attrs["long_name"]


@pytest.mark.usefixtures("cheap_engine")
def test_each_fit_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def fit(scenario: Scenario, name: str, progress: Any = None) -> tuple[xr.DataTree, bool]:
        made.append((name, scenario.seed, scenario.as_of))
        return xr.DataTree(name=name), False

    monkeypatch.setattr(records, "fit_record", fit)
    monkeypatch.setattr(records, "verdict_of_all", lambda fits: records.checks.Verdict("REVIEW"))
    monkeypatch.setattr(sweep, "_fits", {})
    monkeypatch.setattr(sweep, "_FITS_IN_MEMORY", 100)  # the fake ones are on no disk
    text = """
    scenario = "baseline"
    seeds = [1, 2]
    as_of = [2020-01-01, 2021-07-01]
    [cross]
    requirement.none_weight = [0.0, 0.1]
    training_compute.long_run_doubling_time_years = [2.0, 3.0]
    price_performance.log10_ceiling = [{ normal = [21.0, 25.0] }, 24.0]
    algorithmic_progress.doubling_time_years = [{ lognormal = [0.3, 2] }, { lognormal = [0.4, 2] }]
    """
    path = files(tmp_path, textwrap.dedent(text))
    sweep.run_sweep(path, tmp_path / "out", task_size=5)
    # Nothing but the last is read by a fit.
    names = ("training_compute", "spending", "price_performance", *["algorithmic_progress"] * 2)
    dates = (datetime.date(2020, 1, 1), datetime.date(2021, 7, 1))
    assert sorted(made) == sorted((n, s, d) for n in names for s in (1, 2) for d in dates)
    assert set(sweep_store.read_sweep(tmp_path / "out")["verdict"].to_numpy()) == {"REVIEW"}


@pytest.mark.parametrize("name", provenance.RECORDS)
def test_a_fit_is_not_given_the_priors_that_its_key_leaves_out(name: str) -> None:
    section = getattr(load_scenario("baseline"), name)
    given = records.fitted_priors(section)
    assert given.keys() <= set(type(section).model_fields) - provenance.NOT_FITTED
    assert "doubling_time_years" in given


@pytest.mark.usefixtures("cheap_engine")
def test_verify_names_the_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = files(tmp_path), tmp_path / "out"
    cli.main(["sweep", str(path), "--output", str(out), "--task-size", "4"])
    cli.main(["sweep", "verify", str(out)])
    assert "complete, 4 of 4 tasks have landed, none is damaged" in capsys.readouterr().out
    chunk = out / sweep_store.STORE / "arrival_cdf" / "c" / "2" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:20] + bytes([whole[20] ^ 8]) + whole[21:])
    with pytest.raises(SystemExit):
        cli.main(["sweep", "verify", str(out)])
    said = capsys.readouterr()
    assert f"{chunk} is damaged" in said.out
    assert "1 damaged" in said.err
    with pytest.raises(ValueError, match="arrival_cdf/c/2/0 is damaged"):
        sweep_store.read_sweep(out)
    cli.main(["sweep", str(path), "--output", str(out)])
    assert chunk.read_bytes() == whole


@pytest.mark.usefixtures("cheap_engine")
def test_the_command_prints_results_and_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = files(tmp_path)
    cli.main(["sweep", str(path), "--progress", "json"])
    said = capsys.readouterr()
    events = [json.loads(line) for line in said.err.splitlines()]
    assert events[-1]["what"] == "simulate: scenarios"
    assert (events[-1]["done"], events[-1]["total"]) == (16, 16)
    assert "Written to sweeps/some" in said.out
    assert "none_weight" in said.out
    cli.main(["sweep", str(path), "--progress", "none"])
    assert "finished before" in capsys.readouterr().err


@pytest.mark.usefixtures("cheap_engine")
def test_an_interrupted_command_keeps_what_has_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(scenarios: Sequence[Scenario], *_: Any, **__: Any) -> list[xr.Dataset]:
        if scenarios[0].horizon_year == 2040:
            raise KeyboardInterrupt
        return cheap(scenarios, [])

    path, out = files(tmp_path), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(engine, "timelines", interrupted)
        with pytest.raises(SystemExit):
            cli.main(["sweep", str(path), "--output", str(out), "--task-size", "4"])
    assert "interrupted; what has landed is kept" in capsys.readouterr().err
    cli.main(["sweep", "verify", str(out)])
    assert "not complete, 2 of 4 tasks have landed" in capsys.readouterr().out
    assert sweep.run_sweep(path, out) == 2


def test_the_example_of_the_docs(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "sweep.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.toml").write_text(example)
    found = check_cases(sweep_file.load_sweep(tmp_path / "mine.toml"))
    (said,) = re.findall(r"= (\d+) scenarios", page)
    assert len(found.cases) == int(said)


def test_the_package_offers_it() -> None:
    assert (fc.run_sweep, fc.read_sweep) == (sweep.run_sweep, sweep_store.read_sweep)


# Results, with the engine


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sweep that ran in one task without interruption."""
    folder = tmp_path_factory.mktemp("swept")
    sweep.run_sweep(files(folder, REAL), folder / "out", task_size=100)
    return folder


# Two structures, seeds, and a requirement that is all but sure to be met by the first year.
REAL = """
scenario = "tiny.toml"
seeds = [5, 6]
[cross]
limits.sharpness = [1.5, { lognormal = [1.0, 3.0] }]
[[list]]
requirement.none_weight = 0.2
[[list]]
requirement.components.near.normal = [22.5, 27.5]
"""


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a sweep's store and its ledger."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_each_row_is_the_same_bits_as_its_scenario_alone(swept: Path) -> None:
    found = sweep_store.read_sweep(swept / "out")
    by_id = {str(row["scenario"].item()): row for _, row in found.groupby("scenario")}
    cases = check_cases(sweep_file.load_sweep(swept / "some.toml"))
    assert len(cases.cases) == 8
    for case in cases.cases[:4:3]:
        scenario = sweep_file.resolve(load_scenario(swept / "tiny.toml"), case.row.changes)
        alone = engine.simulate(scenario, {})["timeline"].to_dataset()
        row = by_id[case.id].squeeze("scenario")
        for name in ("arrival_cdf", "arrival_cdf_mcse"):
            np.testing.assert_array_equal(row[name], alone[name][1:])
        for name in ("arrival_year_quantile", "arrival_year_quantile_mcse", "p_never_by_horizon"):
            np.testing.assert_array_equal(row[name], alone[name])


def test_tasks_share_one_structure_a_batch(
    tmp_path: Path, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = engine.timelines, []

    def spy(scenarios: Any, fits: Any, **options: Any) -> Any:
        prepared = [prepare(s, f, dtype=np.float32) for s, f in zip(scenarios, fits, strict=True)]
        assert len({p.structure for p in prepared}) == len({len(p.years) for p in prepared}) == 1
        sizes.append(len(scenarios))
        return real(scenarios, fits, **options)

    monkeypatch.setattr(engine, "timelines", spy)
    sweep.run_sweep(files(tmp_path, REAL), tmp_path / "out", task_size=3)
    assert sizes == [3, 1, 2, 2]
    reference = sweep_store.read_sweep(swept / "out")
    assert sweep_store.read_sweep(tmp_path / "out").equals(reference)


def test_a_killed_sweep_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    path = files(tmp_path, REAL.replace(", { lognormal = [1.0, 3.0] }", ", 2.5"))
    code = f"""
        import os, signal, sys
        count = 0
        def hook(event, arguments):
            global count
            # The third task is under way: the chunk has its name, the record has not.
            if event == "os.rename" and str(arguments[1]).endswith("ledger/000002.json"):
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        from aitimelines.forecast import cli
        cli.main(["sweep", {str(path)!r}, "--output", {str(broken)!r}, "--task-size", "2"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "simulate: scenarios 4/8" in done.stderr
    with pytest.raises(ValueError, match="not complete: 2 of 4 tasks"):
        sweep_store.read_sweep(broken)
    assert sweep_store.read_sweep(broken, allow_partial=True).sizes["scenario"] == 4
    assert sweep.run_sweep(path, broken) == 2
    sweep.run_sweep(path, whole, task_size=2)
    assert content(broken) == content(whole)


# On a cluster


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.0.0.1:8786",
            "tcp://10.0.0.1:8786",
            "tcp://example.org:8786",
            "tcp://[2001:db8::1]:1",
        ),
        *("ws://127.0.0.1:8786", "inproc://1", "ucx://127.0.0.1:1", "tcp://127.0.0.1", ""),
        *(
            "tcp://localhost.example.org:1",
            "tcp://127.0.0.1@example.org:1",
            "tls://",
            "127.0.0.1:x",
        ),
        *("tcp://0.0.0.0:8786", "tcp://127.0.0.1.example.org:8786"),
    ],
)
def test_addresses_that_are_not_safe_are_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cluster: got .*, expected tls://"):
        sweep.run_sweep(files(tmp_path), tmp_path / "out", cluster=address)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("tcp://localhost:8786", "tcp://localhost:8786"),
        ("tcp://[::1]:8786", "tcp://[::1]:8786"),
        ("tls://10.0.0.1:8786", "tls://10.0.0.1:8786"),
    ],
)
def test_addresses_that_are_safe_are_taken(address: str, expected: str) -> None:
    assert cluster.checked_address(address) == expected


@pytest.fixture(scope="module")
def scheduler() -> Iterator[Any]:
    """Give a scheduler on this machine with two workers, processes that start again if killed."""
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**settings, host="127.0.0.1", silence_logs=50) as started:
        yield started


def test_a_killed_worker_loses_nothing(tmp_path: Path, scheduler: Any) -> None:
    """Each of some tasks kills the worker that gets it first, before or after the chunk."""
    store = tmp_path / "x.zarr"
    template = xr.Dataset({"value": ("row", np.broadcast_to(np.nan, (12,)))}, {"row": range(12)})
    plan = ledger.create(store, template, rows_per_task=1, identity={})
    digest = plan.digest

    def task(number: int) -> int:
        import os
        import signal
        from pathlib import Path

        import numpy as np
        from aitimelines.forecast import ledger

        first = Path(store).parent / f"first-{number}"
        real = ledger.write_text
        try:
            if number in (3, 7) and not first.exists():
                first.touch()
                if number == 3:
                    os.kill(os.getpid(), signal.SIGKILL)
                ledger.write_text = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            ledger.land(store, number, {"value": np.array([number / 3])}, plan=digest)
        finally:
            ledger.write_text = real
        return number

    with cluster.connected(scheduler.scheduler_address) as submit:

        def work(numbers: Sequence[int]) -> Iterator[int]:
            return submit(task, [(number,) for number in numbers])

        ledger.run(store, work, what="rows")
    assert {p.name for p in tmp_path.glob("first-*")} == {"first-3", "first-7"}
    np.testing.assert_array_equal(ledger.read(store)["value"], np.arange(12) / 3)


def test_a_cluster_gives_the_same_bytes(tmp_path: Path, swept: Path, scheduler: Any) -> None:
    path = files(tmp_path, REAL)
    address = scheduler.scheduler_address.removeprefix("tcp://")
    assert sweep.run_sweep(path, tmp_path / "out", cluster=address, task_size=100) == 1
    assert content(tmp_path / "out" / sweep_store.STORE) == content(
        swept / "out" / sweep_store.STORE
    )


def test_a_worker_with_other_code_is_refused(
    tmp_path: Path, scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_made_with", lambda tables: {"source": "another", "tables": tables})
    with pytest.raises(ValueError, match="other code or data here"):
        sweep.run_sweep(
            files(tmp_path, REAL), tmp_path / "out", cluster=scheduler.scheduler_address
        )


def test_a_cluster_over_tls(tmp_path: Path) -> None:
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    with pytest.raises(ValueError, match="cluster: no certificates, expected ca-file"):
        sweep.run_sweep(files(tmp_path), tmp_path / "out", cluster="tls://127.0.0.1:1")
    assert not (tmp_path / "out").exists()
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=test"]
    subprocess.run(["openssl", "req", *kind, *names], check=True, capture_output=True)
    settings = {"distributed.comm.tls.ca-file": str(certificate)}
    for who in ("scheduler", "worker", "client"):
        settings[f"distributed.comm.tls.{who}.cert"] = str(certificate)
        settings[f"distributed.comm.tls.{who}.key"] = str(key)
    with dask.config.set(settings):
        security = distributed.Security(require_encryption=True)
        options = {"n_workers": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
        with distributed.LocalCluster(
            **options, protocol="tls", security=security, host="127.0.0.1", silence_logs=50
        ) as started:
            address = cluster.checked_address(started.scheduler_address)
            assert address.startswith("tls://")
            with cluster.connected(address) as submit:
                assert sorted(submit(abs, [(-1,), (-2,)])) == [1, 2]


def test_nobody_at_the_address_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 0.2)
    with pytest.raises(ValueError, match="cluster: cannot reach tcp://127.0.0.1:9"):
        sweep.run_sweep(files(tmp_path), tmp_path / "out", cluster="127.0.0.1:9")
    assert not (tmp_path / "out").exists()
