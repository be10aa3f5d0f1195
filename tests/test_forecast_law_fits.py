"""Fits of scaling laws: published numbers met, a bug reproduced, known laws found, calibrated."""

import json
from functools import cache, partial
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from aitimelines.forecast import (
    calibration,
    cli,
    datasets,
    importance,
    law_fits,
    law_points,
    model_program,
)
from aitimelines.forecast.history import scaling_law
from aitimelines.kernels.scaling_laws import Chinchilla
from scipy import optimize, special, stats

# Hoffmann et al. 2022, unrounded constants of the TeX source (arXiv 2203.15556).
HOFFMANN = Chinchilla(np.exp(0.5267228), 6.0073404, 0.33917084, 6.0179186, 0.2849083)
# Muennighoff et al. 2023: the constants of C4, held fixed, and the R_D*, R_N* fitted then.
C4 = Chinchilla(np.exp(0.6254804), 6.255414, 0.3526596, 7.3049974, 0.3526596)
REPEATS = (15.387756, 5.309743)
# Frantar et al. 2023, output of the official notebook: coefficients a, b, ..., g and objective.
FRANTAR = {
    "T5": (
        [0.56778512, 0.72161276, 1.52265016, 0.24513173, 0.63361517, 0.20270772, 0.65074219],
        7.603605281507622e-06,
    ),
    "ViT": (
        [1.30485411, 0.82101251, 2.07506343, 0.39222675, 0.27818217, 0.88979104, 4.51669257],
        0.0004929087939147767,
    ),
}
# Porian et al. 2024, figure 1: a of N ~ C^a on each training set, as the set-up is mended.
PORIAN = {
    ("base", "long", "kaplan", "kaplan", "train"): (0.835, 0.864),
    ("base", "long", "kaplan", "standard", "val"): (0.706, 0.699),
    ("base", "short", "kaplan", "standard", "val"): (0.602, 0.603),
    ("base", "short", "chinchilla", "standard", "val"): (0.571, 0.574),
    ("tuned", "short", "const", "standard", "val"): (0.497, 0.518),
}


@cache
def chinchilla() -> pd.DataFrame:
    return scaling_law.observations(datasets.load_frame("chinchilla_losses"))


@cache
def repeated() -> pd.DataFrame:
    return scaling_law.observations(datasets.load_frame("data_constrained_losses"))


def huber_sum(log_predicted: np.ndarray, log_loss: np.ndarray) -> float:
    """Return the summed Huber loss with SciPy's own function."""
    return float(special.huber(1e-3, log_predicted - log_loss).sum())


def log_chinchilla(law: Chinchilla, rows: pd.DataFrame) -> np.ndarray:
    e, log_a, alpha, log_b, beta = law
    n, d = np.exp(rows[["log_parameters", "log_tokens"]].to_numpy(float)).T
    return np.log(e + np.exp(log_a) * n**-alpha + np.exp(log_b) * d**-beta)


# --- points, as published -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def point() -> tuple[Chinchilla, float]:
    return law_points.chinchilla_point(chinchilla())


def test_the_refit_of_chinchillas_runs(point: tuple[Chinchilla, float]) -> None:
    law, objective = point
    found = (np.exp(law[1]), np.exp(law[3]), law[0], law[2], law[4])
    np.testing.assert_allclose(found, (477.8, 2143, 1.8172, 0.3473, 0.3672), rtol=1e-2)
    assert objective <= 0.0010183
    rows = chinchilla()
    log_loss = rows["log_loss"].to_numpy()
    assert huber_sum(log_chinchilla(law, rows), log_loss) == pytest.approx(objective, rel=1e-9)
    assert objective < huber_sum(log_chinchilla(HOFFMANN, rows), log_loss)


def test_objective_at_hoffmanns_constants() -> None:
    log_loss = chinchilla()["log_loss"].to_numpy()
    assert huber_sum(log_chinchilla(HOFFMANN, chinchilla()), log_loss) == pytest.approx(
        0.00123116, rel=1e-5
    )
    rounded = Chinchilla(1.69, np.log(406.4), 0.34, np.log(410.7), 0.28)
    assert huber_sum(log_chinchilla(rounded, chinchilla()), log_loss) == pytest.approx(
        0.00412101, rel=1e-5
    )


def test_with_the_five_outliers_data_matter_more() -> None:
    frame = datasets.load_frame("chinchilla_losses").drop(columns="excluded_besiroglu2024")
    law, _ = law_points.chinchilla_point(scaling_law.observations(frame))
    assert law.data_exponent == pytest.approx(0.4530, abs=1e-3)
    assert law.data_exponent / (law.parameter_exponent + law.data_exponent) == pytest.approx(
        0.5646, abs=1e-3
    )


def test_the_mean_of_the_losses_ends_the_search_where_it_began() -> None:
    # Besiroglu et al. 2024, section 5: what happened to Hoffmann et al.
    problem = law_points.centred(chinchilla(), amid=False)
    start = problem.theta(HOFFMANN)[None]
    search = partial(law_points.minimised, problem.residual, start, options={})
    averaged, summed = (problem.law(search(average=way).constants) for way in (True, False))
    np.testing.assert_allclose(averaged, HOFFMANN, rtol=2e-3)
    assert summed.data_exponent == pytest.approx(0.3672, abs=1e-3)
    assert search(average=True).objective > 1.1 * search(average=False).objective


def test_bootstrap(point: tuple[Chinchilla, float]) -> None:
    laws = law_points.chinchilla_bootstrap(chinchilla(), point[0], replications=200, seed=0)
    e, log_a, alpha, log_b, beta = laws
    assert 0.012 < alpha.std() < 0.018
    assert 0.017 < beta.std() < 0.025
    assert 0.020 < e.std() < 0.031
    assert np.corrcoef(log_a, alpha)[0, 1] > 0.998
    assert np.corrcoef(log_b, beta)[0, 1] > 0.998
    assert (beta / (alpha + beta)).std() == pytest.approx(0.020, abs=0.003)


def test_a_replication_is_the_minimum_for_its_runs(point: tuple[Chinchilla, float]) -> None:
    rows = chinchilla()
    laws = law_points.chinchilla_bootstrap(rows, point[0], replications=3, seed=5)
    drawn = np.random.default_rng(5).integers(len(rows), size=(3, len(rows)))
    for number, chosen in enumerate(drawn):
        runs = rows.iloc[chosen]
        law = Chinchilla(*(value[number] for value in laws))
        problem = law_points.centred(runs)
        found = law_points.minimised(problem.residual, problem.theta(law)[None])
        ours = huber_sum(log_chinchilla(law, runs), runs["log_loss"].to_numpy())
        assert ours == pytest.approx(found.objective, rel=1e-6)


def repetition_objective(repeats: tuple[float, float]) -> float:
    """Return the objective of Muennighoff et al., independently, from their equations 5 and 6."""
    rows = repeated()
    n, d, u = np.exp(rows[["log_parameters", "log_tokens", "log_unique_tokens"]].to_numpy(float)).T
    e, log_a, alpha, log_b, beta = C4
    scale = (alpha * np.exp(log_a) / (beta * np.exp(log_b))) ** (1 / (alpha + beta))
    budget = 6 * (scale * u) ** ((alpha + beta) / alpha)
    u_n = np.minimum(n, scale * (budget / 6) ** (beta / (alpha + beta)))
    r_d, r_n = d / u - 1, n / u_n - 1
    d_star, n_star = repeats
    worth_d = u + u * d_star * (1 - np.exp(-r_d / d_star))
    worth_n = u_n + u_n * n_star * (1 - np.exp(-r_n / n_star))
    predicted = e + np.exp(log_a) / worth_n**alpha + np.exp(log_b) / worth_d**beta
    return huber_sum(np.log(predicted), rows["log_loss"].to_numpy())


def test_the_half_lives_of_repetition_lie_on_a_ridge() -> None:
    assert len(repeated()) == 182
    residual = law_points.repetition_residual(repeated(), C4)
    at_published = float(law_points.huber(residual(np.log(REPEATS))).sum())
    # The official notebook prints 0.015826 (single precision).
    assert at_published == pytest.approx(0.015826, abs=1.5e-6)
    with jax.enable_x64(True):
        ours = float(law_points.huber(residual(np.log(REPEATS))).sum())
    assert ours == pytest.approx(repetition_objective(REPEATS), rel=1e-9)
    # The published point is not the least, but near a local one of a flat ridge: a search from it
    # stays; at 95 repeats of data, and 1.7 of parameters, the objective is 0.13 % lower.
    local = optimize.minimize(
        lambda log: repetition_objective(tuple(np.exp(log))),
        np.log(REPEATS),
        method="Nelder-Mead",
        options={"initial_simplex": np.log(REPEATS) + [[0, 0], [0.01, 0], [0, 0.01]]},
    )
    law, objective = law_points.repetition_point(repeated(), C4)
    assert objective < at_published < 1.002 * objective
    assert objective <= local.fun + 1e-12
    assert law.data_repeats > 50


def frantar(family: str) -> tuple[law_points.Residual, np.ndarray, int, float]:
    """Return (residual, published constants, runs, Huber delta), in the notebook's units."""
    rows = datasets.load_frame("sparsity_losses").query(f"family == '{family}'")
    text = family == "T5"
    data = rows["training_tokens"] / 65536e5 if text else rows["training_images"] / 1e9
    residual = law_points.sparsity_residual(
        rows["sparsity"].to_numpy(),
        np.log(rows["nonzero_parameters"].to_numpy() / 1e6),
        np.log(data.to_numpy()),
        rows["loss_nats"].to_numpy(),
        of_log=text,
    )
    a, b, c, d, e, f, g = FRANTAR[family][0]
    published = np.array([np.log(a), b, np.log(c), d, np.log(e), f, np.log(g)])
    return residual, published, len(rows), 1e-3 if text else 1e-2


@pytest.mark.parametrize("family", FRANTAR)
def test_frantars_objective_at_the_published_coefficients(family: str) -> None:
    residual, published, runs, delta = frantar(family)
    with jax.enable_x64(True):
        objective = float(law_points.huber(residual(published), delta).sum()) / runs
    assert objective == pytest.approx(FRANTAR[family][1], rel=1e-6)


def test_frantars_t5_fit_is_not_the_best_and_the_vision_one_is() -> None:
    rng = np.random.default_rng(0)
    starts = np.log(rng.uniform(size=(200, 7)))
    starts[:, [1, 3, 5]] = rng.uniform(size=(200, 3))
    found = {}
    for family in FRANTAR:
        residual, published, runs, delta = frantar(family)
        all_starts = np.vstack([starts, published])
        best = law_points.minimised(residual, all_starts, delta=delta, kept=16)
        found[family] = best.objective / runs
    # Published 7.60e-6, 56 % more than the minimum, where c is 0.83 and b_D 0.385, not 0.65, 0.20.
    assert found["T5"] == pytest.approx(4.8801e-6, rel=1e-3)
    assert found["ViT"] == pytest.approx(FRANTAR["ViT"][1], rel=1e-6)


@pytest.mark.parametrize("setup", PORIAN)
@pytest.mark.parametrize("training_dataset", [0, 1], ids=["RefinedWeb", "OpenWebText2"])
def test_porians_exponents(setup: tuple[str, ...], training_dataset: int) -> None:
    names = ("hyperparameters", "warmup", "learning_rate_decay", "parameter_counting", "loss_split")
    chosen = dict(zip(names, setup, strict=True))
    chosen["training_dataset"] = ("RefinedWeb", "OpenWebText2")[training_dataset]
    frame = law_fits.read_runs("porian_isoflop", chosen).frame
    # Theirs weigh budgets by noise drawn for each run; published intervals are 0.02 to 0.08 wide.
    published = PORIAN[setup][training_dataset]
    assert law_points.isoflop_exponent(frame) == pytest.approx(published, abs=0.02)


def test_too_few_budgets_for_an_exponent() -> None:
    frame = law_fits.read_runs("porian_isoflop", {"training_compute_flop": "1.25e+16"}).frame
    with pytest.raises(ValueError, match="budgets with a best size within their range, expected 3"):
        law_points.isoflop_exponent(frame)


# --- posteriors -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fit() -> xr.DataTree:
    return law_fits.fit_runs(law_fits.read_runs("chinchilla_losses"))[0]


def test_the_posterior_is_that_of_another_program(fit: xr.DataTree) -> None:
    # NUTS on a model of the same form with priors of its own: mean, sd.
    found = law_fits.law_summary(fit)["posterior"]
    expected = {
        "alpha": (0.3457, 0.0093),
        "beta": (0.3606, 0.0106),
        "E": (1.8074, 0.0158),
        "a": (0.5108, 0.0106),
    }
    error = 4 / np.sqrt(2600)  # of the effective draws, beside what other priors do
    for name, (mean, sd) in expected.items():
        assert found[name]["mean"] == pytest.approx(mean, abs=(0.1 + error) * sd)
        assert found[name]["sd"] == pytest.approx(sd, rel=0.07)
    assert found["nu"]["mean"] == pytest.approx(2.8, abs=0.1)
    assert found["sigma"]["mean"] == pytest.approx(0.0041, abs=1e-4)
    draws = fit["forecast"]
    assert np.corrcoef(*(draws[n].to_numpy().ravel() for n in law_parts("A")))[0, 1] > 0.998
    a = draws["allocation_exponent"].to_numpy()
    np.testing.assert_allclose(np.quantile(a, (0.1, 0.9)), (0.4972, 0.5242), atol=2e-3)
    (ratio,) = (e for e in law_fits.law_summary(fit)["derived"] if e["flop"] == 1e26)
    ratio = ratio["tokens_per_parameter"]
    assert ratio["q50"] == pytest.approx(16.9, abs=0.5)
    ratios = fit["derived"]["tokens_per_parameter"].sel(training_flop=1e26).to_numpy()
    np.testing.assert_allclose(np.quantile(ratios, (0.1, 0.9)), (11.1, 25.9), rtol=0.04)


def law_parts(letter: str) -> tuple[str, str]:
    exponent = {"A": "parameter_exponent", "B": "data_exponent"}[letter]
    constant = {"A": "log_parameter_constant", "B": "log_data_constant"}[letter]
    return constant, exponent


def test_the_mode_and_its_curvature(fit: xr.DataTree) -> None:
    # Laplace: alpha 0.3461, beta 0.3668, E 1.8141, a 0.5143, from another program with priors of
    # its own; beta differs by half a posterior sd, for the mode of other coordinates is another.
    data = {str(c): chinchilla()[c].to_numpy() for c in chinchilla()}
    compiled = model_program.compile_model(
        scaling_law.model, data | {"priors": scaling_law.default_priors()}
    )
    start = np.random.default_rng(0).standard_normal((512, compiled.size))
    prior = compiled.prior_points(start, np.zeros((512, 1)))
    modes, _ = importance.modes(compiled.log_density, prior)
    assert len(modes) == 1
    at = compiled.evaluate(modes, np.zeros((1, 1))).values
    alpha, beta = at["parameter_exponent"][0], at["data_exponent"][0]
    found = (alpha, beta, at["irreducible_loss"][0], beta / (alpha + beta))
    np.testing.assert_allclose(found, (0.3461, 0.3668, 1.8141, 0.5143), rtol=0.025)


def test_the_verdict_and_what_goes_with_it(fit: xr.DataTree) -> None:
    found = law_fits.law_summary(fit)
    json.dumps(found, allow_nan=False)
    assert (found["verdict"], found["reasons"]) == ("PASS", [])
    assert (found["n_rows"], found["n_left_out"], found["law"]) == (240, 5, "chinchilla")
    assert found["quantities"]["r_hat"] <= 1.01
    assert found["quantities"]["missing_effective_draws"] == 0
    assert 0.85 < found["predictive_coverage_90"] < 0.95
    assert found["largest_run_flop"] == pytest.approx(1.3e22, rel=0.01)
    assert found["provenance"]["attribution"].startswith("Extracted by Besiroglu")
    assert found["point"]["alpha"] == pytest.approx(0.3473, abs=1e-4)
    # Besiroglu et al. print a log likelihood of 879.77 at their point.
    assert found["loo"]["elpd"] == pytest.approx(879.8, abs=10)
    assert 7 < found["loo"]["p"] < 12
    assert found["loo"]["largest_pareto_k"] < 0.7


def test_derived_runs_are_the_best_of_their_budget(fit: xr.DataTree) -> None:
    draws, derived = fit["forecast"].isel(chain=0, draw=7), fit["derived"].isel(chain=0, draw=7)
    law = Chinchilla(*(float(draws[name]) for name in Chinchilla._fields))

    def loss(log_n: float) -> float:
        d = 1e24 / 6 / np.exp(log_n)
        rows = pd.DataFrame({"log_parameters": [log_n], "log_tokens": [np.log(d)]})
        return float(np.exp(log_chinchilla(law, rows))[0])

    best = optimize.minimize_scalar(loss, bounds=(15, 35), method="bounded")
    at = derived.sel(training_flop=1e24)
    assert float(at["optimal_loss"]) == pytest.approx(best.fun, rel=1e-9)
    assert float(at["optimal_parameters"]) == pytest.approx(np.exp(best.x), rel=1e-3)
    flop = 6 * at["optimal_parameters"] * at["optimal_tokens"]
    assert float(flop) == pytest.approx(1e24, rel=1e-9)


def test_a_second_fit_comes_from_the_cache(fit: xr.DataTree) -> None:
    again, cached = law_fits.fit_runs(law_fits.read_runs("chinchilla_losses"))
    assert cached
    xr.testing.assert_identical(again["derived"].to_dataset(), fit["derived"].to_dataset())


@pytest.mark.slow
def test_importance_and_nuts_agree(fit: xr.DataTree) -> None:
    other, _ = law_fits.fit_runs(law_fits.read_runs("chinchilla_losses"), sampler="nuts")
    assert other.attrs["sampler"] == "nuts"
    assert law_fits.law_summary(other)["verdict"] == "PASS"
    ours, theirs = (law_fits.law_summary(tree)["posterior"] for tree in (fit, other))
    for name, value in ours.items():
        assert value["mean"] == pytest.approx(theirs[name]["mean"], abs=0.15 * value["sd"])
        assert value["sd"] == pytest.approx(theirs[name]["sd"], rel=0.12)


@pytest.mark.parametrize(
    "corpus", ["DCLM", *(pytest.param(c, marks=pytest.mark.slow) for c in ("Comma", "Nemotron-CC"))]
)
def test_another_labs_runs_out_of_the_box(corpus: str) -> None:
    runs = law_fits.read_runs("isoflop_losses", {"study": "Marin", "training_dataset": corpus})
    found = law_fits.law_summary(law_fits.fit_runs(runs)[0])
    assert found["verdict"] == "PASS"
    for name in ("E", "alpha", "beta"):
        middle = found["posterior"][name]
        assert abs(found["point"][name] - middle["mean"]) < 3 * middle["sd"]


def test_several_series_in_one_table_are_told() -> None:
    frame = law_fits.read_runs("isoflop_losses", {"study": "Marin"})
    found = law_fits.law_summary(law_fits.fit_runs(frame)[0])
    assert found["verdict"] != "PASS"
    assert any("3 of training_dataset" in reason for reason in found["reasons"])


def test_what_the_runs_do_not_tell_is_told() -> None:
    # Parameters so many that they do not matter, and noise: alpha, and how E divides, are unknown.
    rng = np.random.default_rng(1)
    n, d = np.exp(rng.uniform(29, 29.3, 30)), np.exp(rng.uniform(20, 22, 30))
    loss = (1.8 + 480 / n**0.35 + 2000 / d**0.37) * np.exp(rng.normal(0, 0.01, 30))
    frame = pd.DataFrame({"parameters": n, "training_tokens": d, "loss_nats": loss})
    found = law_fits.law_summary(law_fits.fit_runs(law_fits.Runs("mine", frame, {}))[0])
    assert found["verdict"] == "REVIEW"
    assert any(reason.startswith("runs: alpha is not known") for reason in found["reasons"])
    assert any(reason.startswith("runs: E is not known") for reason in found["reasons"])
    assert not any(reason.startswith("runs: beta") for reason in found["reasons"])


def test_a_known_law_is_recovered_from_few_runs(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    n = np.tile(np.geomspace(5e7, 5e9, 6), 4)
    flop = np.repeat([1e19, 1e20, 1e21, 1e22], 6)
    truth = Chinchilla(1.5, np.log(300.0), 0.32, np.log(900.0), 0.30)
    rows = pd.DataFrame({"log_parameters": np.log(n), "log_tokens": np.log(flop / 6 / n)})
    loss = np.exp(log_chinchilla(truth, rows) + 0.002 * rng.standard_t(5, 24))
    path = tmp_path / "runs.csv"
    frame = pd.DataFrame({"parameters": n, "training_flop": flop, "loss_nats": loss})
    frame.to_csv(path, index=False)
    found = law_fits.law_summary(law_fits.fit_runs(law_fits.read_runs(path), flop=[1e23])[0])
    assert found["verdict"] == "PASS"
    for name, value in zip(("E", "ln_A", "alpha", "ln_B", "beta"), truth, strict=True):
        middle = found["posterior"][name]
        assert abs(middle["mean"] - value) < 3 * middle["sd"]
    assert found["posterior"]["alpha"]["sd"] < 0.05
    assert len(found["derived"]) == 1


def test_runs_that_lie_on_a_law_exactly() -> None:
    rng = np.random.default_rng(0)
    n, flop = np.exp(rng.uniform(17, 23, 30)), 10 ** rng.uniform(18, 22, 30)
    rows = pd.DataFrame({"log_parameters": np.log(n), "log_tokens": np.log(flop / 6 / n)})
    frame = pd.DataFrame({"parameters": n, "training_flop": flop})
    frame["loss_nats"] = np.exp(log_chinchilla(HOFFMANN, rows))
    found = law_fits.law_summary(law_fits.fit_runs(law_fits.Runs("exact", frame, {}))[0])
    assert found["verdict"] == "PASS"
    assert found["posterior"]["beta"]["mean"] == pytest.approx(HOFFMANN.data_exponent, abs=1e-3)
    assert found["point"]["beta"] == pytest.approx(HOFFMANN.data_exponent, abs=1e-4)


def test_data_that_repeat() -> None:
    tree, _ = law_fits.fit_runs(law_fits.read_runs("data_constrained_losses"))
    found = law_fits.law_summary(tree)
    assert (found["law"], found["n_rows"]) == ("data-constrained", 182)
    # With the other constants fitted too, repeats count for more than the published 15.4, and a
    # second mode says the same; how much parameters count is another matter there.
    assert found["posterior"]["R_D"]["q05"] > 15.4
    assert found["point"]["objective"] < 0.0066  # 0.0158 with the published constants
    assert found["verdict"] == "REVIEW"
    assert any("another mode" in reason and "R_D 40" in reason for reason in found["reasons"])


# --- tables and the command -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "where", "told"),
    [
        ("chinchila_losses", {}, "expected an id such as 'chinchilla_losses'"),
        ("missing.csv", {}, "expected the path of a CSV file"),
        ("isoflop_losses", {"lab": "Marin"}, "no column 'lab', expected one of study"),
        ("isoflop_losses", {"study": "marin"}, "expected one of Llama 3, Marin, Misfitting"),
    ],
)
def test_a_wrong_table_or_choice_is_refused(table: str, where: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        law_fits.read_runs(table, where)


def test_a_wrong_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="flop: got"):
        law_fits.fit_runs(law_fits.read_runs("chinchilla_losses"), flop=[1e24, -1.0])


def test_the_command(fit: xr.DataTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "fit"
    command = ["laws", "fit", "chinchilla_losses", "--output", str(folder)]
    cli.main([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((folder / "fit.json").read_text())
    assert {"posterior", "point", "verdict", "reasons", "derived", "loo", "n_rows"} <= set(found)
    assert set(found["posterior"]["alpha"]) == {"mean", "sd", "q05", "q50", "q95"}
    cli.main(["laws", "fit", "chinchilla_losses"])
    text = capsys.readouterr().out
    assert "240 runs" in text
    assert "fit: PASS" in text


def test_the_command_names_the_line_that_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = (f"{n}e7,1e{19 + n % 3},3.{n}" for n in range(1, 14))
    lines = ["parameters,training_flop,loss_nats", *runs]
    lines[4] = "4e7,1e20,n/a"
    (tmp_path / "runs.csv").write_text("\n".join(lines))
    with pytest.raises(SystemExit):
        cli.main(["laws", "fit", str(tmp_path / "runs.csv")])
    assert "loss_nats: 1 of 13 cells are no positive number (line 5: 'n/a')" in (
        capsys.readouterr().err
    )


# --- simulation-based calibration -----------------------------------------------------------------

# Talts et al. 2018, arXiv 1804.06788: the rank of the truth among posterior draws is uniform. The
# data sets are passed as nodes, so that all replications share one compilation.
GRID = np.stack(np.meshgrid(np.linspace(17, 24, 6), np.linspace(20, 27, 5))).reshape(2, -1)
SITES = (
    *("parameter_exponent", "data_exponent", "log_reference_loss", "reducible_part"),
    *("parameter_part", "residual_scale_nat", "degrees_of_freedom", "irreducible_loss"),
)


def ranks(replications: int, seed: int, noise: float = 1.0) -> dict[str, np.ndarray]:
    """Return for each quantity the share of posterior draws below the truth, (replication,).

    noise: factor by which residuals are larger than the model says; unless it is 1, the model is
        sure of what it says
    """
    priors = scaling_law.default_priors()
    scale = priors["residual_scale_nat"]
    assert scale.kind == "lognormal"
    if noise != 1:
        middle = np.sqrt(scale.low * scale.high)
        scale = scale._replace(low=0.9 * middle, high=1.1 * middle)
        priors = {**priors, "residual_scale_nat": scale}
    larger = scale._replace(low=noise * scale.low, high=noise * scale.high)
    arguments = {
        "log_parameters": GRID[0],
        "log_tokens": GRID[1],
        "log_loss": np.zeros(GRID.shape[1]),
        "priors": priors,
    }
    found = calibration.ranks(
        scaling_law.model,
        arguments,
        "log_loss",
        replications=replications,
        seed=seed,
        truth={"priors": {**priors, "residual_scale_nat": larger}},
        proposals=4096,
    )
    return {name: found[name] for name in SITES}


def test_calibration_in_few_replications() -> None:
    for shares in ranks(40, seed=0).values():
        assert calibration.uniformity(shares, bins=5) > 1e-3


@pytest.mark.slow
def test_calibration() -> None:
    for shares in ranks(200, seed=1).values():
        assert calibration.uniformity(shares, bins=20) > 1e-3
        assert stats.kstest(shares, "uniform").pvalue > 1e-3


@pytest.mark.slow
def test_calibration_finds_residuals_that_are_too_large() -> None:
    found = ranks(40, seed=2, noise=2.0)
    assert min(calibration.uniformity(shares, bins=5) for shares in found.values()) < 1e-3
