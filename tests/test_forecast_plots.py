"""Figures: what is drawn is what the tree says, whatever its strings are."""

import json
import subprocess
import sys
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast import plots
from aitimelines.forecast.plot_page import plain
from aitimelines.forecast.scenario_files import scenario_from_dict, scenario_text
from aitimelines.forecast.schema import label, validate
from aitimelines.kernels.requirement import mixture_cumulative
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

FIGURES = (plots.timeline, plots.compute, plots.prior_posterior)
YEAR = np.append(2026.5, np.arange(2027.0, 2101.0))
HOSTILE = (
    r"$\frac{1}$",
    "</script><b>&amp;",
    "$x_{",
    "\\",
    "汉字 🙂",
    "a\x00\u202eb\nc",
    "W" * 5000,
)


def cdf_to(p_never: float) -> np.ndarray:
    return (1 - p_never) * (1 - np.exp(-(YEAR - YEAR[0]) / 12)) / (1 - np.exp(-73.5 / 12))


def timeline_group(p_never: float, error: float) -> xr.Dataset:
    cdf = cdf_to(p_never)
    level = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    year = np.where(level <= cdf[-1], np.interp(level, cdf, YEAR), np.inf)
    return xr.Dataset(
        {
            "arrival_cdf": ("year", cdf),
            "arrival_cdf_mcse": ("year", np.full(len(YEAR), error)),
            "arrival_cdf_replicates": (("replicate", "year"), np.tile(cdf, (2, 1))),
            "arrival_year_quantile": ("quantile", year),
            "arrival_year_quantile_mcse": ("quantile", np.full(5, 0.1)),
            "p_never_by_horizon": ((), 1 - cdf[-1]),
            "p_never_by_horizon_mcse": ((), error),
        },
        coords={"year": YEAR, "quantile": level},
    )


def trajectories_group(alternative: bool) -> xr.Dataset:
    """Return nine draws that differ by a constant; the upper four weigh as much as the others."""
    path = 27 + 6 * (1 - np.exp(-(YEAR - YEAR[0]) / 20)) + np.linspace(-1, 1, 9)[:, None]
    gain = 0.5 * np.minimum(YEAR - 2022, 20) + np.zeros((9, 1))
    both = ("sample", "year")
    found: dict[str, Any] = {
        "log10_physical_compute": (both, path),
        "algorithmic_progress": (both, gain),
        "post_training_gains": (both, 0 * gain),
        "log10_effective_compute": (both, path + gain),
        "arrival_year": ("sample", np.full(9, np.inf)),
        "weight": ("sample", np.array([0.1] * 5 + [0.5] * 4)),
        "input_value": (("sample", "input"), np.zeros((9, 1))),
    }
    if alternative:
        found["log10_physical_compute_alternative"] = (both, path - 0.5)
    return xr.Dataset(found, coords={"year": YEAR, "input": np.array(["an_input"], dtype=object)})


def fitted_groups(names: list[str]) -> dict[str, xr.Dataset]:
    random = np.random.default_rng(1)
    year = np.sort(random.uniform(2012, 2026.4, len(names)))
    trend_year, item = np.linspace(2012, 2026.5, 20), "training_compute_observation"
    trend = 17 + 0.7 * (trend_year - 2012) + np.array([-0.3, -0.1, 0, 0.1, 0.3])[:, None]

    def draws(centre: float, spread: float) -> xr.Dataset:
        times = np.exp(random.normal(np.log(centre), spread, (2, 500)))
        level = random.normal(22, 10 * spread, (2, 500, 1))
        return xr.Dataset(
            {
                "training_compute_doubling_time_years": (("chain", "draw"), times),
                "training_compute_log10_level_at_anchor": (("chain", "draw", "part"), level),
            }
        )

    return {
        "prior": draws(1.0, 0.8),
        "posterior": draws(0.5, 0.1),
        "history": xr.Dataset(
            {"training_compute_log10_value": (("quantile", "training_compute_trend_year"), trend)},
            coords={
                "quantile": [0.05, 0.25, 0.5, 0.75, 0.95],
                "training_compute_trend_year": trend_year,
            },
        ),
        "observed_data": xr.Dataset(
            {
                "training_compute_year": (item, year),
                "training_compute_log10_value": (item, 17 + 0.7 * (year - 2012)),
            },
            coords={item: np.array(names, dtype=object)},
        ),
    }


def make_tree(
    *, fitted: bool = True, p_never: float = 0.16, error: float = 1e-4, **attributes: Any
) -> xr.DataTree:
    groups = {
        "timeline": timeline_group(p_never, error),
        "trajectories": trajectories_group(alternative=fitted),
        "prior": xr.Dataset(),
    }
    names = [f"System {i}" for i in range(38)] + [HOSTILE[0], HOSTILE[1]]
    groups |= fitted_groups(names) if fitted else {}
    source = {"vintage": "2026-07-01", "attribution": "Epoch AI, CC BY 4.0"}
    tree = xr.DataTree.from_dict(groups, name="test")
    tree.attrs = {
        "title": "A test",
        "scenario_id": "test",
        "scenario_toml": scenario_text("baseline" if fitted else "cotra-2020"),
        "milestone": "Transformative AI: of some kind",
        "as_of": "2026-07-02",
        "horizon_year": 2100,
        "seed": 7,
        "samples": 131072,
        "verdict": "PASS",
        "verdict_reasons": "[]",
        "data": json.dumps({"notable_models": source, "ml_hardware": source} if fitted else {}),
        "versions": json.dumps({"aitimelines": "1.2.3"}),
    } | attributes
    validate(label(tree))
    return tree


def texts(figure: Figure) -> list[str]:
    return [item.get_text() for item in figure.findobj(Text) if item.get_text()]


def curve_of(figure: Figure) -> Any:
    return next(line for line in figure.axes[0].lines if line.get_gid() == "arrival-cdf")


@pytest.mark.parametrize("p_never", [0.0, 0.002, 0.16, 0.6, 0.97])
def test_the_curve_ends_at_the_probability_of_arrival(p_never: float) -> None:
    tree = make_tree(p_never=p_never)
    figure = plots.timeline(tree)
    line = curve_of(figure)
    assert line.get_ydata()[-1] == 1 - float(tree["timeline"]["p_never_by_horizon"])
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (2026.5, 2100)
    wanted = {0.0: "0 %", 0.002: "<1 %", 0.16: "16 %", 0.6: "60 %", 0.97: "97 %"}[p_never]
    assert f"{wanted} not by 2100" in texts(figure)
    # The two parts of the bar make up 1, the density panel what arrives.
    assert [bar.get_height() for bar in figure.axes[1].patches] == pytest.approx(
        [1 - p_never, p_never]
    )
    rate, year, _ = figure.axes[2].patches[0].get_data()
    assert np.sum(rate * np.diff(year)) == pytest.approx(100 * (1 - p_never))


def test_quantiles_are_marked_and_those_beyond_the_horizon_are_said_to_be() -> None:
    tree = make_tree(p_never=0.4)
    year = [int(y) for y in tree["timeline"]["arrival_year_quantile"].values[:3]]
    wanted = {f"5 %: {year[0]}", f"25 %: {year[1]}", f"median: {year[2]}"}
    assert wanted | {"75 %: not by 2100", "95 %: not by 2100"} <= set(texts(plots.timeline(tree)))


def test_the_monte_carlo_band_is_drawn_when_it_can_be_seen() -> None:
    bands = [len(plots.timeline(make_tree(error=e)).axes[0].collections) for e in (1e-5, 0.02)]
    assert bands == [0, 1]


def test_the_fan_is_weighted() -> None:
    axes = plots.compute(make_tree()).axes[0]
    path = trajectories_group(True)["log10_physical_compute"].values[:, YEAR <= 2050]
    # Cumulative weight: 0.5 up to the fifth draw of 2.5 in all, 1.0 and 1.5 at the two after it.
    assert any(
        len(line.get_ydata()) == path.shape[1] and np.allclose(line.get_ydata(), path[6])
        for line in axes.lines
    )


def test_the_largest_systems_are_named() -> None:
    found = texts(plots.compute(make_tree()))
    assert {"System 35", "System 36", "System 37", HOSTILE[0], HOSTILE[1]} <= set(found)
    assert "System 34" not in found


def test_without_a_record_only_the_forecast_is_drawn() -> None:
    tree = make_tree(fitted=False)
    axes = plots.compute(tree).axes[0]
    starts = [line.get_xdata()[0] for line in axes.lines]
    assert min(starts) == 2026.5
    assert not [text for text in texts(plots.compute(tree)) if text.startswith("System")]
    assert any("Nothing was fitted" in text for text in texts(plots.prior_posterior(tree)))


def test_prior_and_posterior_are_those_of_the_tree() -> None:
    tree = make_tree()
    axes = plots.prior_posterior(tree).axes
    assert [a.get_title(loc="left").splitlines()[1] for a in axes] == [
        "doubling time",
        "level amid the record",
    ]
    for group, line in (("prior", 1), ("posterior", 2)):
        low, high = np.quantile(tree[group]["training_compute_doubling_time_years"], [0.05, 0.95])
        assert f"{low:.3g} to {high:.3g}" in axes[0].get_xlabel().splitlines()[line]


@pytest.mark.parametrize("draw", FIGURES)
def test_a_verdict_is_shown_unless_it_is_pass(draw: Any) -> None:
    reasons = {"verdict_reasons": json.dumps(["spending: r_hat 1.3"])}
    for verdict in ("REVIEW", "FAIL"):
        found = texts(draw(make_tree(verdict=verdict, **reasons)))
        assert f"fit: {verdict} - spending: r_hat 1.3" in found
    assert not [t for t in texts(draw(make_tree(**reasons))) if "fit:" in t or "r_hat" in t]


@pytest.mark.parametrize("draw", FIGURES)
def test_every_figure_says_what_it_was_made_from(draw: Any) -> None:
    found = texts(draw(make_tree()))
    assert "Scenario test, seed 7, 131,072 samples, aitimelines 1.2.3" in found
    source = "Epoch AI, CC BY 4.0 (notable_models 2026-07-01, ml_hardware 2026-07-01)"
    assert f"Data: {source}" in found
    assert any("2026-07-02" in text for text in found)


@pytest.mark.parametrize(("draw", "shift"), list(zip(FIGURES, (0, 2, 4), strict=True)))
def test_hostile_strings_are_drawn_as_they_are(draw: Any, shift: int, tmp_path: Path) -> None:
    fields = ("title", "milestone", "scenario_id", "as_of")
    given = dict(zip(fields, (HOSTILE + HOSTILE)[shift:], strict=False))
    reasons = json.dumps(HOSTILE)
    figure = draw(make_tree(**given, verdict="REVIEW", verdict_reasons=reasons))
    png, svg = plots.save(figure, tmp_path / "figure")
    assert png.read_bytes().startswith(b"\x89PNG")
    root = ElementTree.fromstring(svg.read_text())
    written = " ".join(
        "".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")
    )
    for drawn in (" ".join(texts(figure)), written):
        assert plain(given["title"], 105) in drawn
        assert plain(given["scenario_id"], 30) in drawn
        assert plain(f"fit: REVIEW - {HOSTILE[0]}; {HOSTILE[1]}") in drawn
    assert not [node for node in root.iter() if node.tag.endswith("script")]


def test_saving_escapes_keeps_text_and_leaves_nothing_else(tmp_path: Path) -> None:
    made = plots.save(plots.timeline(make_tree(title=HOSTILE[1])), tmp_path / "new" / "v1.0")
    assert made == [tmp_path / "new" / "v1.0.png", tmp_path / "new" / "v1.0.svg"]
    assert sorted(made[0].parent.iterdir()) == sorted(made)
    text = made[1].read_text()
    assert "&lt;/script&gt;&lt;b&gt;&amp;amp;" in text
    assert "not by 2100" in text
    assert int.from_bytes(made[0].read_bytes()[16:20], "big") == 1350  # pixels: 9 inch at 150 dpi


@pytest.mark.parametrize("draw", FIGURES)
def test_the_same_tree_gives_the_same_bytes(draw: Any, tmp_path: Path) -> None:
    files = [plots.save(draw(make_tree()), tmp_path / name) for name in "ab"]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


def test_a_failed_save_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = plots.timeline(make_tree())
    old = [path.read_bytes() for path in plots.save(figure, tmp_path / "a")]

    def fail(*_: Any, **options: Any) -> None:
        if options["format"] == "svg":
            raise OSError("no space left")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="no space"):
        plots.save(figure, tmp_path / "a")
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == old


@pytest.mark.parametrize("draw", FIGURES)
@pytest.mark.parametrize(
    ("fitted", "verdict", "p_never"),
    [(True, "PASS", 0.01), (True, "FAIL", 0.16), (False, "PASS", 0.8), (False, "FAIL", 0.97)],
)
def test_no_text_overlaps_another_or_leaves_the_page(
    draw: Any, fitted: bool, verdict: str, p_never: float
) -> None:
    reasons = json.dumps(["a reason that takes some words to say: " * 6])
    tree = make_tree(fitted=fitted, p_never=p_never, verdict=verdict, verdict_reasons=reasons)
    figure = draw(tree)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    ticks = {t for a in figure.axes for axis in (a.xaxis, a.yaxis) for t in axis.findobj(Text)}
    ticks -= {axis.label for a in figure.axes for axis in (a.xaxis, a.yaxis)}
    shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t not in ticks]
    # Of an annotation, the text without the arrow.
    boxes = {t: Text.get_window_extent(t, canvas.get_renderer()).padded(-1.5) for t in shown}
    assert not [t for t, box in boxes.items() if min(box.min) < 0 or any(box.max > figure.bbox.max)]
    assert not [(a, b) for a, b in combinations(shown, 2) if boxes[a].overlaps(boxes[b])]


def test_the_requirement_is_that_of_the_forecast() -> None:
    values = tomllib.loads(scenario_text("baseline"))
    values["requirement"]["none_weight"] = 0.1
    values["requirement"]["components"] = [
        {"name": "n", "weight": 0.3, "normal": [30, 36]},
        {"name": "t", "weight": 0.3, "two_piece_normal": [30, 32, 40], "mass": 0.8},
        {"name": "u", "weight": 0.2, "uniform": [25, 41]},
        {"name": "l", "weight": 0.1, "logistic": [28, 35], "algorithms_year": 2020.0},
    ]
    scenario = scenario_from_dict(values)
    level, density = plots.requirement_density(scenario, 0.5)
    parts = scenario.requirement.components
    # At the same time effective compute in algorithms of 2020 is 2 x 0.5 OOM more.
    reached = mixture_cumulative(
        tuple(part.kind for part in parts),
        np.array([part.weight for part in parts]),
        np.array([part.parameters for part in parts]),
        [level, level, level, level + 2 * 0.5],
    )
    middle = np.cumsum(density) * (level[1] - level[0]) - density * (level[1] - level[0]) / 2
    np.testing.assert_allclose(middle, np.asarray(reached), atol=1e-3)
    assert middle[-1] == pytest.approx(0.9, abs=1e-3)


def test_importing_and_drawing_needs_no_pyplot() -> None:
    code = "import sys, aitimelines.forecast.plots; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
