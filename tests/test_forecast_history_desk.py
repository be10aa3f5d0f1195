"""How people reach the record: commands, figures of any study, the reproduction table."""

import io
import json
from collections.abc import Iterator
from importlib.resources import files
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from aitimelines.forecast import cli, plot_history, reproduce, storage, studies, tables
from aitimelines.forecast.history import study as history_study
from aitimelines.forecast.history.study import Study
from aitimelines.forecast.reproductions.computed import Computed
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

MADE_UP = "made-up"
GROWTH, LEVEL, SCATTER = 0.5, 20.0, 0.3  # OOM/year; log10 FLOP in 2015; OOM


def made_up(*, as_of_year: float = inf) -> Study:
    """Return a study of 60 rows with one known trend."""
    rng = np.random.default_rng(7)
    year = np.sort(rng.uniform(2010, 2020, 60))
    value = LEVEL + GROWTH * (year - 2015) + SCATTER * rng.normal(size=60)
    rows = pd.DataFrame(
        {"name": [f"run {i}" for i in range(60)], "year": year, "log10_value": value}
    )
    rows = rows[rows["year"] <= as_of_year]
    rivals = {
        name: history_study.trend_rival(claim, rows, "training-compute-eras", change_points=count)
        for count, (name, claim) in enumerate(
            {"straight": "one trend", "broken": "a trend that broke once"}.items()
        )
    }
    return Study(
        "Rows of $known$ growth", ("three_eras_123",), rows, "log10_value", "log10 FLOP", rivals
    )


@pytest.fixture(scope="module", autouse=True)
def a_known_study() -> Iterator[None]:
    """Put the made-up study among the others."""
    real = studies.study

    def study(name: str, *, as_of_year: float = inf) -> Study:
        return (
            made_up(as_of_year=as_of_year) if name == MADE_UP else real(name, as_of_year=as_of_year)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(studies.STUDIES, MADE_UP, "made_up:made_up")
        patch.setattr(studies, "study", study)
        yield


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return studies.fit_study(MADE_UP)[0]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command; return the sentence with which it refuses."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    sentence = captured.err.strip().splitlines()[-1]
    assert sentence.startswith("aitimelines: ")
    return sentence


def texts(figure: Figure) -> str:
    FigureCanvasAgg(figure).draw()
    return "\n".join(text.get_text() for text in figure.findobj(Text))


# --- numbers in words -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("doubling_time_months_segment_1", ("doubling time segment 1", "months")),
        ("change_point_1_year", ("change point 1", "year")),
        ("growth_oom_per_year", ("growth", "OOM/year")),
        ("total_last_year_growth_factor_per_year", ("total last year growth", "x/year")),
        ("points_per_year_now", ("points per year now", "points/year")),
        ("year_of_one_work_month", ("year of one work month", "year")),
        ("compute_latest_log10_flop", ("compute latest", "log10 FLOP")),
        ("race_share", ("race share", "")),
        ("beta_year", ("beta year", "")),
        ("yearly_growth", ("yearly growth", "")),
    ],
)
def test_units_are_read_from_the_names_of_quantities(name: str, expected: tuple[str, str]) -> None:
    assert tables.quantity_words(name) == expected


def test_numbers_are_short_and_lose_less_than_half_a_percent() -> None:
    for value in np.random.default_rng(0).lognormal(0, 20, 300):
        assert float(tables.number_text(value)) == pytest.approx(value, rel=5e-3)
    assert tables.number_text(1.234e25) == "1.23e25"
    assert tables.number_text(2008.75, "year") == "2008.8"
    assert tables.number_text(nan) == tables.number_text(None) == ""
    assert tables.span_text(1.0, 2.0, 3.0) == "2 (1 to 3)"
    assert tables.span_text(nan, 2.0, nan) == "2"


def test_json_has_null_for_what_is_no_number() -> None:
    found = json.loads(tables.json_text({"a": [1.5, nan, (inf, "x", None)], "b": True}))
    assert found == {"a": [1.5, None, [None, "x", None]], "b": True}


# --- aitimelines history --------------------------------------------------------------------------


def test_list_and_show_say_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["history", "list", "--json", "--progress", "none"])
    found = {each["study"]: each for each in json.loads(capsys.readouterr().out)}
    assert list(found) == studies.study_ids()
    assert found["training-compute-eras"]["rows"] == 123
    assert found[MADE_UP]["rivals"] == {
        "straight": "one trend",
        "broken": "a trend that broke once",
    }
    cli.main(["history", "list", "--progress", "none"])
    assert MADE_UP in capsys.readouterr().out
    cli.main(["history", "show", MADE_UP, "--as-of", "2015-01-01", "--progress", "none"])
    shown = capsys.readouterr().out
    early = int(np.sum(made_up().rows["year"] <= 2015))
    assert f"rows: {early} of three_eras_123" in shown
    assert "log10_value [log10 FLOP]" in shown
    assert "broken: a trend that broke once" in shown


def test_fit_finds_the_known_trend_and_prefers_it(tree: xr.DataTree) -> None:
    found = studies.study_summary(tree)
    straight = found["rivals"]["straight"]
    growth = straight["quantities"]["growth_oom_per_year"]
    assert growth["q05"] < GROWTH < growth["q95"]
    assert growth["q95"] - growth["q05"] < 0.2
    behind = found["rivals"]["broken"]["elpd_difference"] - straight["elpd_difference"]
    assert behind > -2  # a break that is not there predicts no better
    assert sum(each["stacking_weight"] for each in found["rivals"].values()) == pytest.approx(1)
    assert studies.best_rival(tree) in found["rivals"]


def test_fit_prints_what_it_stores(
    tree: xr.DataTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, figure = tmp_path / "out", tmp_path / "f.svg"
    arguments = ["history", "fit", MADE_UP, "--progress", "none"]
    cli.main([*arguments, "--json", "--output", str(target), "--figure", str(figure)])
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(tables.json_text(studies.study_summary(tree)))
    assert printed == json.loads((target / f"{MADE_UP}.json").read_text())
    stored = storage.read_tree(target / f"{MADE_UP}.zarr")
    assert studies.study_summary(stored) == studies.study_summary(tree)
    names = {"out", "f.svg", "f-checks.svg", "f-priors.svg"}
    assert {path.name for path in tmp_path.iterdir()} == names

    cli.main(arguments)
    table = capsys.readouterr().out
    growth = printed["rivals"]["straight"]["quantities"]["growth_oom_per_year"]
    assert tables.number_text(growth["q50"]) in table
    assert "OOM/year" in table
    assert "best" in table
    assert table.rstrip().endswith("fit: PASS")


def test_fit_of_some_rivals_holds_only_these(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["history", "fit", MADE_UP, "--rival", "straight", "--as-of", "2018-07-01"]
    cli.main([*arguments, "--json", "--progress", "none"])
    found = json.loads(capsys.readouterr().out)
    assert list(found["rivals"]) == ["straight"]
    assert found["rivals"]["straight"]["stacking_weight"] == 1
    assert found["rows"] == int(np.sum(made_up().rows["year"] <= 2018.5))


def test_history_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ["history", "fit"]
    assert "did you mean 'made-up'" in refused(["history", "show", "made-upp"], capsys)
    assert "did you mean 'training-compute-eras'" in refused([*fit, "training-compute"], capsys)
    assert "'crooked', expected some of straight" in refused(
        [*fit, MADE_UP, "--rival", "crooked"], capsys
    )
    assert "as_of: too little of time-horizons by 1940.00" in refused(
        [*fit, "time-horizons", "--as-of", "1940-01-01", "--progress", "none"], capsys
    )
    assert "rival: got 2 studies" in refused([*fit, MADE_UP, "clusters", "--rival", "x"], capsys)
    assert "figure: got all studies" in refused([*fit, "--figure", "x.png"], capsys)
    assert "expected a name that ends in" in refused([*fit, MADE_UP, "--figure", "x.gif"], capsys)
    (tmp_path / "there").mkdir()
    assert "exists" in refused([*fit, MADE_UP, "--output", str(tmp_path / "there")], capsys)
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


# --- figures --------------------------------------------------------------------------------------


def test_the_figure_of_a_study_shows_rows_trends_and_weights(tree: xr.DataTree) -> None:
    figure = plot_history.study_figure(tree)
    (axes,) = figure.axes
    points, *_ = [c for c in axes.collections if len(c.get_offsets()) == 60]
    rows = made_up().rows
    assert np.allclose(np.asarray(points.get_offsets()), rows[["year", "log10_value"]])
    assert len(axes.lines) == 2
    straight = np.asarray(axes.lines[0].get_xydata())
    truth = LEVEL + GROWTH * (straight[:, 0] - 2015)
    assert np.allclose(straight[:, 1], truth, atol=0.3)
    said = texts(figure)
    assert "Rows of $known$ growth (60 rows)" in said
    weights = studies.study_summary(tree)["rivals"]
    for name, rival in weights.items():
        assert f"{name}, weight {rival['stacking_weight']:.2f}" in said
    assert "Epoch AI" in said


def test_a_study_without_dates_is_drawn_by_its_checks(tree: xr.DataTree) -> None:
    undated = tree.copy(deep=True)
    for rival in ("straight", "broken"):
        rows = undated[rival]["observed_data"].to_dataset().drop_vars("year")
        undated[rival]["observed_data"] = xr.DataTree(rows)
    assert len(plot_history.study_figure(undated).axes) == 4


def test_prior_and_posterior_are_drawn_of_what_was_fitted(tree: xr.DataTree) -> None:
    figure = plot_history.prior_posterior_figure(tree, "broken")
    said = texts(figure)
    for title in ("segment doubling time 1", "segment doubling time 2", "degrees of freedom"):
        assert title in said
    low, high = np.quantile(tree["broken"]["posterior"]["residual_scale_oom"], (0.05, 0.95))
    assert low < SCATTER < high or high < SCATTER  # Student-t scale is below the deviation
    assert f"({tables.number_text(low)} to {tables.number_text(high)})" in said
    with pytest.raises(ValueError, match="rival: got 'bent', expected one of straight, broken"):
        plot_history.prior_posterior_figure(tree, "bent")


def test_predictive_checks_pass_for_rows_that_the_model_makes(tree: xr.DataTree) -> None:
    figure = plot_history.predictive_figure(tree)
    assert len(figure.axes) == 4
    assert "The rows are as the rivals would have them" in texts(figure)
    pit = plot_history.loo_pit(tree["straight"], "log10_value")
    assert pit.shape == (60,)
    assert pit.min() >= 0
    assert pit.max() <= 1


def test_the_envelope_holds_19_of_20_curves_of_uniform_numbers() -> None:
    rng = np.random.default_rng(3)
    for n in (30, 200):
        left = np.mean([plot_history._pit_curve(rng.random(n)).leaves for _ in range(1000)])
        assert 0.02 < left < 0.09
        assert plot_history._pit_curve(rng.random(n) ** 3).leaves


# --- aitimelines reproduce ------------------------------------------------------------------------


def entry(**changed: Any) -> reproduce.Published:
    values: dict[str, Any] = {
        "source": "nobody 2020",
        "read_from": "primary",
        "quantity": "growth",
        "unit": "x/year",
        "published": 4.0,
        "tolerance": 0.05,
        "tolerance_reason": "print",
    }
    return reproduce.Published(**{**values, **changed})


@pytest.mark.parametrize(
    ("computed", "interval", "expected"),
    [
        (4.05, {}, "reproduced"),
        (3.95, {}, "reproduced"),
        (4.0501, {}, "differs"),
        (4.2, {"published_low": 3.5, "published_high": 4.2}, "inside interval"),
        (3.4, {"published_low": 3.5, "published_high": 4.2}, "differs"),
        (nan, {"published_low": 3.5, "published_high": 4.2}, "differs"),
        (inf, {}, "differs"),
    ],
)
def test_verdicts_follow_from_tolerance_and_interval(
    computed: float, interval: dict[str, float], expected: str
) -> None:
    assert reproduce.verdict(entry(**interval), Computed(computed)) == expected


def test_half_an_interval_is_no_entry() -> None:
    with pytest.raises(ValueError, match="expected both or neither"):
        entry(published_low=3.0)


def test_every_published_number_has_its_computation_and_every_computation_its_number() -> None:
    folder = files("aitimelines.forecast").joinpath("reproductions")
    topics = {item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml")}
    assert topics == set(reproduce.TOPICS)
    assert reproduce.published().keys() == reproduce._computing().keys()
    together = [name for ids in reproduce.by_topic().values() for name in ids]
    assert together == list(reproduce.published())


def test_every_posterior_beside_a_number_is_of_a_rival_that_exists() -> None:
    wanted = {
        tuple(e.posterior.split(":")[:2]) for e in reproduce.published().values() if e.posterior
    }
    found = {name: set(studies.study(name).rivals) for name, _ in wanted}
    assert not {(name, rival) for name, rival in wanted if rival not in found[name]}


def test_the_reproduction_table_as_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    ids = ["hernandez-brown-2020", "kwa-2025-doubling-time"]
    cli.main(["reproduce", *ids, "--no-posterior", "--json", "--progress", "none"])
    found = json.loads(capsys.readouterr().out)
    rows = found["table"]
    assert all(list(row) == list(reproduce.COLUMNS) for row in rows)
    assert {row["id"] for row in rows} == set(reproduce.select(ids))
    assert all(row["posterior"] is None for row in rows)
    assert sum(found["verdicts"].values()) == len(rows)
    assert list(found["verdicts"]) == list(reproduce.VERDICTS)
    assert set(found["slips"]) <= {row["id"] for row in rows}
    cli.main(["reproduce", *ids, "--no-posterior", "--csv", "--progress", "none"])
    again = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(again.columns) == list(reproduce.COLUMNS)
    assert np.allclose(again["computed"], [row["computed"] for row in rows])


def test_the_reproduction_table_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["reproduce", "kwa-2025-doubling-time", "--no-posterior", "--progress", "none"])
    shown = capsys.readouterr().out
    for words in ("kwa-2025-doubling-time", "[day]", "212", "171 to 249", "1 reproduced, 0 inside"):
        assert words in shown
    assert "posterior" not in shown.splitlines()[1]
    assert "did you mean 'kwa-2025-doubling-time'" in refused(
        ["reproduce", "kwa-25-doubling"], capsys
    )
    assert "expected one of them" in refused(["reproduce", "--json", "--csv"], capsys)


# What is known to come out exactly, or to the digits printed.
MUST_BE_REPRODUCED = (
    "sevilla-2022-pre-2010",
    "sevilla-2022-notebook-large-scale",
    "sevilla-2022-notebook-regular",
    "sevilla-roldan-2024-notable",
    "sevilla-roldan-2024-frontier",
    "sevilla-roldan-2024-frontier-since-2018",
    "villalobos-2024-growth",
    "villalobos-2022-systems",
    "kwa-2025-doubling-time",
    "metr-th-1-1-doubling-time-since-2023",
    "besiroglu-2024-irreducible",
    "besiroglu-2024-a",
    "besiroglu-2024-alpha",
    "besiroglu-2024-b",
    "besiroglu-2024-beta",
    "hernandez-brown-2020-halving",
    "jones-2021-incline-by-log10-flop",
    "jones-2021-incline-by-size",
    "jones-2021-incline-constant",
    "jones-2021-plateau-by-size",
    "jones-2021-plateau-constant",
)
# What is known to come close, from tables of another day than the paper's.
MUST_BE_INSIDE = (
    "villalobos-2022-1952-2018-doubling",
    "sevilla-2022-regular",
    "sevilla-2022-large-scale",
    "hobbhahn-2022-price-performance",
    "hobbhahn-2022-price-performance-top",
    "hobbhahn-2022-speed",
    "cottier-2024-growth",
    "pilz-2025-speed-doubling",
    "erdil-2022-halving",
)


@pytest.mark.parametrize(
    ("ids", "allowed"),
    [(MUST_BE_REPRODUCED, {"reproduced"}), (MUST_BE_INSIDE, {"reproduced", "inside interval"})],
    ids=["reproduced", "inside"],
)
def test_what_must_come_out_comes_out(ids: tuple[str, ...], allowed: set[str]) -> None:
    found = {name: reproduce._computing()[name]() for name in ids}
    verdicts = {name: reproduce.verdict(reproduce.published()[name], found[name]) for name in ids}
    assert set(verdicts.values()) <= allowed, verdicts


@pytest.mark.slow
def test_every_number_that_differs_says_why() -> None:
    table = reproduce.reproduce(posteriors=False)
    assert set(table["verdict"]) <= set(reproduce.VERDICTS)
    silent = (table["verdict"] == "differs") & (table["note"] == "")
    assert not list(table.loc[silent, "id"])
