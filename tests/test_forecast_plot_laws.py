"""Figures of scaling laws hold what they should, and the commands that make them."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from aitimelines.forecast import cli, law_frames, plot_laws, training_decisions
from aitimelines.forecast.plot_page import save_as
from aitimelines.forecast.scenario_files import scenario_from_dict
from aitimelines.priors.published_laws import named_runs
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

E, LN_A, ALPHA, LN_B, BETA = 1.8172, np.log(482.01), 0.3478, np.log(2085.43), 0.3658
BUDGETS = np.array([6e18, 3e19, 1e20, 1e21])
BESIROGLU = "besiroglu-2024"


def loss(n: Any, d: Any) -> Any:
    return E + np.exp(LN_A) / n**ALPHA + np.exp(LN_B) / d**BETA


@pytest.fixture(scope="module")
def fit() -> xr.DataTree:
    """Return what a fit would: draws close to one law, and runs of four budgets on it."""
    rng = np.random.default_rng(1)
    centre = dict(zip(plot_laws.Chinchilla._fields, (E, LN_A, ALPHA, LN_B, BETA), strict=True))
    draws = {
        k: (("chain", "draw"), v + 1e-3 * rng.normal(size=(2, 300))) for k, v in centre.items()
    }
    n = np.geomspace(0.2, 5, 8) * np.sqrt(BUDGETS / 120)[:, None]
    d = BUDGETS[:, None] / 6 / n
    item = "law_observation"
    runs = {"log_parameters": n, "log_tokens": d, "log_loss": loss(n, d)}
    tree = xr.DataTree.from_dict(
        {
            "forecast": xr.Dataset(draws),
            "observed_data": xr.Dataset({k: (item, np.log(v).ravel()) for k, v in runs.items()}),
        }
    )
    origin = {"attribution": "nobody", "where": {"width": "wide"}}
    tree.attrs = {
        "verdict": "REVIEW",
        "reasons": json.dumps(["not well known"]),
        "data": json.dumps({"made_up": origin}),
    }
    return tree


def texts(figure: Figure) -> list[str]:
    FigureCanvasAgg(figure).draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text().strip()]


def test_every_figure_of_a_fit_says_what_it_is_of_and_what_the_gate_says(fit: xr.DataTree) -> None:
    for figure in (plot_laws.loss_contours(fit), plot_laws.isoflop_slices(fit)):
        found = " ".join(texts(figure))
        assert "32 runs of made_up (width wide)" in found
        assert "REVIEW - not well known" in found
        assert "Data: nobody" in found


def test_the_frontier_of_the_contours_is_the_compute_optimum(fit: xr.DataTree) -> None:
    figure = plot_laws.loss_contours(fit)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Parameters N", "Training tokens D")
    (frontier,) = [line for line in axes.lines if line.get_linestyle() == "-"]
    log_n, log_d = np.asarray(frontier.get_xydata()).T
    # On it alpha A / N^alpha = beta B / D^beta (Hoffmann et al. 2022, eq. 4).
    by_n = ALPHA * np.exp(LN_A) * 10 ** (-ALPHA * log_n)
    assert np.allclose(by_n, BETA * np.exp(LN_B) * 10 ** (-BETA * log_d), rtol=0.05)
    (points,) = [c for c in axes.collections if len(c.get_offsets()) == 32]
    assert np.ptp(np.asarray(points.get_offsets()).sum(axis=1)) == pytest.approx(
        np.log10(1e21 / 6e18)
    )


def test_slices_are_of_the_budgets_of_the_runs_and_lie_on_them(fit: xr.DataTree) -> None:
    (axes,) = plot_laws.isoflop_slices(fit).axes
    assert axes.get_ylabel().startswith("Training loss [nat/token")
    curves = [line for line in axes.lines if len(line.get_xydata()) > 2]
    assert len(curves) == len(BUDGETS)
    for line, budget in zip(curves, BUDGETS, strict=True):
        log_n, drawn = np.asarray(line.get_xydata()).T
        assert np.allclose(drawn, loss(10**log_n, budget / 6 / 10**log_n), atol=5e-3)


def test_a_law_of_repeated_data_is_shown_by_the_runs_without_repeats(fit: xr.DataTree) -> None:
    repeated = fit.copy(deep=True)
    runs = repeated["observed_data"].to_dataset()
    twice = np.where(np.arange(32) < 16, 0.0, -np.log(2))
    repeated["observed_data"] = xr.DataTree(
        runs.assign(log_unique_tokens=("law_observation", runs["log_tokens"].data + twice))
    )
    repeated["forecast"] = xr.DataTree(repeated["forecast"].to_dataset().assign(data_repeats=15.0))
    figure = plot_laws.isoflop_slices(repeated)
    assert sum(len(c.get_offsets()) for c in figure.axes[0].collections[1::2]) == 16
    assert "shown without repeats" in " ".join(texts(figure))


def test_runs_of_no_common_budget_make_six_slices_at_most() -> None:
    rows = plot_laws._slices(np.linspace(18, 22, 400))
    assert len(rows) == 6
    assert not set(rows[0]) & set(rows[1])


def test_best_parameters_are_drawn_for_every_law_of_tokens_and_runs_are_named(
    fit: xr.DataTree,
) -> None:
    optima = law_frames.optima(np.logspace(19, 26, 8))
    assert {"kaplan-2020", BESIROGLU, "llama-3-2024"} <= set(optima["law"])
    assert "frantar-2023-vit" not in set(optima["law"])  # its data are images
    row = optima[(optima["law"] == BESIROGLU) & np.isclose(optima["training_flop"], 1e26)]
    assert row["parameters"].item() == pytest.approx(1.016e12, rel=2e-3)
    figure = plot_laws.optimal_parameters(optima, fit)
    upper, lower = figure.axes
    assert lower.get_xlabel() == "Training compute C [FLOP]"
    for axes in (upper, lower):
        assert sum(len(line.get_xydata()) == 8 for line in axes.lines) == optima["law"].nunique()
        assert len(axes.collections) == 1  # the band
    assert {run["title"] for run in named_runs().values()} <= set(texts(figure))


def test_overtraining_curves_are_the_overhead_and_only_a_posterior_has_a_band(
    fit: xr.DataTree,
) -> None:
    ratio = np.array([0.25, 0.3, 0.5, 0.75, 1.0])
    laws = {"published": "hoffmann-2022-table-a3", "posterior": law_frames.draws_of(fit)}
    frames = {
        k: training_decisions.overtraining_overhead(law, parameters_ratio=ratio)
        for k, law in laws.items()
    }
    (axes,) = plot_laws.overtraining(frames, fit).axes
    curves = [line for line in axes.lines if len(line.get_xydata()) == len(ratio)]
    # De Vries 2023: 188, about 100, 20 and 2.8 %.
    assert np.allclose(curves[0].get_ydata(), [188.9, 105.6, 20.8, 2.84, 0], atol=0.2)
    assert len(curves) == 2
    assert len(axes.collections) == 1
    assert "[%]" in axes.get_ylabel()


def test_envelope_map_has_a_cell_for_each_choice(fit: xr.DataTree) -> None:
    choice = training_decisions.envelope_choice(
        law_frames.draws_of(fit), training_flop=[1e22, 1e24], gigabytes=[1.0, 16.0, 512.0]
    )
    figure = plot_laws.envelope_map(choice, "made up", fit)
    axes = figure.axes[0]
    assert axes.get_ylabel() == "Memory of the weights [GB]"
    cells = [text.get_text() for text in axes.texts]
    assert len(cells) == 6
    # At 1e22 FLOP the compute-optimal model, 9e9 weights of 16 bits, fits into 512 GB.
    assert cells[2] == "fits, 16 bit\nP 1.00"
    assert cells[0].endswith("P 0.00")
    assert len(axes.patches) == sum(text.endswith("1.00") for text in cells)


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf"])
def test_a_figure_is_one_file_of_its_kind(fit: xr.DataTree, tmp_path: Path, name: str) -> None:
    path = save_as(plot_laws.isoflop_slices(fit), tmp_path / name)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    start = path.read_bytes()[:5]
    if name.endswith("svg"):
        ElementTree.parse(path)
    else:
        assert start == (b"\x89PNG\r" if name.endswith("png") else b"%PDF-")


@pytest.mark.parametrize("name", ["a.gif", "a", "a.PNG", "a.png.txt"])
def test_another_ending_is_refused(fit: xr.DataTree, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"figure: got .* expected a name that ends in \.png"):
        save_as(Figure(), tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_the_scenario_of_the_page_is_one(root: Path) -> None:
    page = (root / "docs" / "scaling_laws.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    scenario = scenario_from_dict(tomllib.loads(example))
    assert [c.kind for c in scenario.requirement.components] == ["reducible_loss"] * 2


def test_commands_of_the_page_exist(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (root / "docs" / "scaling_laws.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:aitimelines )?laws (\w+)", page))
    cli.main(["laws", "--help"])
    told = capsys.readouterr().out
    assert {"compare", "fit", "serve", "overhead", "envelope", "transition"} <= named
    assert not [name for name in named if f" {name} " not in told]


# --- commands -------------------------------------------------------------------------------------


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    cli.main(["laws", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_serve_gives_the_inference_aware_optimum(capsys: pytest.CaptureFixture[str]) -> None:
    law = ("--law", "hoffmann-2022-table-a3")
    found = output(capsys, "serve", *law, "--loss", "1.947", "--tokens-served", "2e12", "0")
    row, plain = found["rows"]
    assert row["parameters"] == pytest.approx(2.418e10, rel=2e-3)
    assert row["training_tokens"] == pytest.approx(2.657e12, rel=2e-3)
    assert row["lifetime_flop_ratio"] == pytest.approx(0.9522, rel=2e-3)
    assert plain["training_flop_ratio"] == pytest.approx(1)


def test_overhead_gives_the_curve_and_null_where_nothing_is_enough(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("--ratio", "0.1", "0.5", "--figure", str(tmp_path / "o.svg"))
    found = output(capsys, "overhead", *arguments)
    assert [row["overhead"] for row in found["hoffmann-2022-table-a3"]][1] == pytest.approx(
        0.208, abs=2e-3
    )
    assert found[BESIROGLU][0]["overhead"] is None
    assert "hoffmann-2022-table-a3" in (tmp_path / "o.svg").read_text()


def test_envelope_gives_the_best_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--law", "hoffmann-2022-unrounded", "--flop", "1e24", "--gigabytes", "16")
    figure = tmp_path / "e.png"
    (row,) = output(capsys, "envelope", *arguments, "--figure", str(figure))["rows"]
    assert row["bits"] == 6
    assert row["dense_loss_nats"] == pytest.approx(1.9372, abs=1e-3)
    assert row["loss_nats"] == pytest.approx(1.9103, abs=1e-3)
    assert figure.is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("serve", "--tokens-served", "1e12"), "loss, flop: expected one of the two"),
        (("overhead", "--figure", "a.gif"), "figure: got 'a.gif'"),
        (("envelope", "--figure", "a.gif"), "figure: got 'a.gif'"),
        (("compare", "--flop", "1e25", "--figure", "a.gif"), "figure: got 'a.gif'"),
        (("fit", "chinchilla_losses", "--figure", "a.gif"), "figure: got 'a.gif'"),
        (("envelope", "--law", BESIROGLU, "--posterior", "x.csv"), "law, posterior: got both"),
        (("overhead", "--law", "kaplan-2020"), "kind 'kaplan'"),
        (("overhead", "--ratio", "-1"), "parameters_ratio: got"),
        (("envelope", "--gigabytes", "1", "--flop-per-token", "1"), "expected one of the two"),
    ],
)
def test_bad_input_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["laws", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_posterior_gives_quantiles_and_figures(
    fit: xr.DataTree,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from aitimelines.forecast import cli_laws_decisions, cli_laws_fit

    monkeypatch.setattr(cli_laws_decisions, "fitted", lambda table, progress: fit)
    chosen = ("--posterior", "made_up")
    served = output(capsys, "serve", *chosen, "--flop", "1e24", "--tokens-served", "1e13")
    size = served["rows"][0]["parameters"]
    assert 0 < size["q05"] < size["q50"] < size["q95"]
    overhead = output(capsys, "overhead", *chosen, "--ratio", "0.5")
    assert set(overhead) == {BESIROGLU, "posterior of made_up (fit: REVIEW)"}
    few = pd.DataFrame({"law": "a", "superseded_by": None, "training_flop": [1e20, 1e24]})
    few = few.assign(parameters=[1e9, 1e11], tokens=[1e11 / 6, 1e13 / 6])
    monkeypatch.setattr(law_frames, "optima", lambda budgets: few)
    output(capsys, "compare", "--flop", "1e25", "--figure", str(tmp_path / "c.svg"))
    cli_laws_fit._draw(fit, tmp_path / "fit.png")
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"c.svg", "fit.png", "fit-slices.png"}
