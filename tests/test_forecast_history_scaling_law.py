"""The law of training loss: published constants met, known ones recovered, both samplers agree."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from aitimelines.forecast import datasets, inference, model_program
from aitimelines.forecast.history import scaling_law
from aitimelines.forecast.inference import Fit, SamplerSettings
from arviz_stats.base import array_stats
from scipy import optimize, special, stats

# Besiroglu et al. 2024, arXiv 2404.10102, abstract and table 1, with standard errors from their
# bootstrap. Constants as ln A, ln B; a is the exponent of the compute-optimal allocation.
PUBLISHED = {
    "log_parameter_constant": (6.178, 124.52 / 482.01),
    "log_data_constant": (7.643, 1293.28 / 2085.43),
    "irreducible_loss": (1.8172, 0.0257),
    "parameter_exponent": (0.3478, 0.0154),
    "data_exponent": (0.3658, 0.0206),
}
OPTIMAL_EXPONENT = (0.5126, 0.018)


@cache
def chinchilla() -> pd.DataFrame:
    return scaling_law.observations(datasets.load_frame("chinchilla_losses"))


def data_of(rows: pd.DataFrame) -> dict[str, object]:
    columns = {str(name): rows[name].to_numpy() for name in rows}
    return columns | {"priors": scaling_law.default_priors()}


@pytest.fixture(scope="module")
def fit() -> Fit:
    return inference.fit(scaling_law.model, data_of(chinchilla()), seed=(1,))


# --- rows ----------------------------------------------------------------------------------------


def test_rows_are_those_of_besiroglu_et_al() -> None:
    rows, frame = chinchilla(), datasets.load_frame("chinchilla_losses")
    assert (len(frame), len(rows)) == (245, 240)
    # They leave out the five runs of the highest loss.
    left_out = np.sort(frame["loss_nats"])[-5:]
    assert np.exp(rows["log_loss"]).max() < left_out.min()


def table(**columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n, d = np.exp(rng.uniform(16, 23, 12)), np.exp(rng.uniform(20, 26, 12))
    loss = 1.8 + 480 / n**0.35 + 2000 / d**0.37
    frame = pd.DataFrame({"parameters": n, "training_tokens": d, "loss_nats": loss})
    return frame.assign(**columns)


def test_a_table_without_flags_keeps_all_rows() -> None:
    frame = table()
    rows = scaling_law.observations(frame)
    assert len(rows) == 12
    np.testing.assert_allclose(np.exp(rows["log_loss"]), frame["loss_nats"])


def test_tokens_may_be_given_as_compute_and_the_loss_in_another_unit() -> None:
    frame = table()
    flop = 6 * frame["parameters"] * frame["training_tokens"]
    other = frame.assign(training_flop=flop, loss=frame["loss_nats"])
    other = other.drop(columns=["training_tokens", "loss_nats"]).astype(str)  # as read from a file
    np.testing.assert_allclose(scaling_law.observations(other), scaling_law.observations(frame))


def test_flags_choose_rows() -> None:
    flags = [True, *[False] * 11]
    assert list(scaling_law.observations(table(outlier=flags)).index) == list(range(1, 12))
    chosen = ["False", *["True"] * 11]
    assert list(scaling_law.observations(table(in_published_fit=chosen)).index) == list(
        range(1, 12)
    )


def test_unique_tokens_are_at_most_those_seen() -> None:
    frame = table(unique_tokens=1e10)
    rows = scaling_law.observations(frame)
    expected = np.minimum(1e10, frame["training_tokens"])
    np.testing.assert_allclose(np.exp(rows["log_unique_tokens"]), expected)


ONE_BUDGET = 1e20 / 6 / table()["parameters"]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (table().iloc[:8], "^scaling_law: 8 runs with parameters, tokens and loss, expected at"),
        (table(training_tokens=1e9), "at least 3 different values .* 1 of tokens"),
        (table(training_tokens=ONE_BUDGET), r"all runs are of one budget, 1e\+20 FLOP"),
        (table(loss_nats=lambda f: f["loss_nats"].max() / f["loss_nats"]), "does not fall"),
        (table(loss_nats=[*[2.5] * 10, None, 0.0]), r"loss_nats: 2 of 12 .* \(row 10: 'nan', "),
        (table(parameters=["1e9", "x", *["2e9"] * 10]), "parameters: 1 of 12 .*row 1: 'x'"),
        (table(parameters=-1.0), "12 of 12 .* and 7 more"),
        (table(training_tokens=np.inf), "training_tokens: 12 of 12"),
        (table(unique_tokens=np.nan), "unique_tokens: 12 of 12"),
        (table().drop(columns="training_tokens"), "no column 'training_flop' or"),
        (table().drop(columns="loss_nats"), "no column 'loss_nats' or 'loss' among parameters"),
    ],
)
def test_runs_that_tell_no_law_are_refused(frame: pd.DataFrame, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        scaling_law.observations(frame)


# --- the model -----------------------------------------------------------------------------------


def test_density_is_that_of_the_law_in_its_usual_constants() -> None:
    data = data_of(chinchilla())
    compiled = model_program.compile_model(scaling_law.model, data)
    standard = 0.5 * np.random.default_rng(0).standard_normal((20, compiled.size))
    node = np.zeros((20, 1))
    found = compiled.evaluate(compiled.prior_points(standard, node), node)
    draws = {name: value[None] for name, value in found.values.items()}
    rows = chinchilla()
    centre = scaling_law.log_loss_at(
        draws, np.exp(rows["log_parameters"]), np.exp(rows["log_tokens"])
    )
    error = stats.t(
        found.values["degrees_of_freedom"][:, None],
        centre[0],
        found.values["residual_scale_nat"][:, None],
    )
    expected = error.logpdf(rows["log_loss"].to_numpy())
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-8, atol=1e-8)


def test_very_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    # The density of Student's t is a difference of log gammas that loses all digits at 1e16.
    compiled = model_program.compile_model(scaling_law.model, data_of(chinchilla()))
    points = np.tile(np.append([-1.0, -1.0, 0.9, -0.9, 0.0, -5.0], 0.0), (3, 1))
    points[:, -1] = np.log([1e5, 1e16, 1e30])
    found = compiled.evaluate(points, np.zeros((3, 1)))
    assert (found.values["degrees_of_freedom"] > 9e4).all()
    _, centre, scale = found.observed
    expected = stats.norm(centre, scale).logpdf(chinchilla()["log_loss"].to_numpy())
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=2e-2)
    np.testing.assert_allclose(found.log_likelihood[1:], expected[1:], rtol=2e-3)


def test_the_optimal_exponent_minimises_the_loss_of_a_budget() -> None:
    # ln N that minimises E + A/N^alpha + B/(C/6N)^beta, at two budgets, by SciPy.
    draws = {name: np.full((1, 1), value) for name, (value, _) in PUBLISHED.items()}

    def best(flop: float) -> float:
        def loss(log_n: float) -> float:
            n = np.exp([log_n])
            return float(scaling_law.log_loss_at(draws, n, flop / 6 / n)[0, 0, 0])

        return optimize.minimize_scalar(loss, bounds=(10, 40), options={"xatol": 1e-9}).x

    slope = (best(1e24) - best(1e20)) / np.log(1e4)
    exponent = scaling_law.optimal_parameter_exponent(draws)[0, 0]
    assert slope == pytest.approx(exponent, abs=1e-4)
    assert exponent == pytest.approx(OPTIMAL_EXPONENT[0], abs=5e-4)


# --- the posterior -------------------------------------------------------------------------------


def test_the_fast_path_checks_itself(fit: Fit) -> None:
    assert fit.sampler == "importance"
    assert fit.pareto_k < 0.5
    assert fit.statistics["importance_efficiency"].min() > 0.4


def test_the_fast_path_holds_wherever_it_starts() -> None:
    # Some starts are 200 standard deviations from the mode, where the density is far from concave.
    compiled = model_program.compile_model(scaling_law.model, data_of(chinchilla()))
    settings = SamplerSettings(sampler="importance", chains=2, draws=100, proposals=2048)
    for seed in range(8):
        found = inference.fit(
            scaling_law.model,
            data_of(chinchilla()),
            seed=(seed,),
            settings=settings,
            compiled=compiled,
        )
        assert found.pareto_k < 0.5


@pytest.mark.parametrize("name", PUBLISHED)
def test_constants_agree_with_the_published_ones(fit: Fit, name: str) -> None:
    value, error = PUBLISHED[name]
    draws = fit.draws[name]
    # Their Huber loss and our Student-t weigh the same runs a little differently.
    assert abs(draws.mean() - value) < 1.0 * error
    assert 0.3 * error < draws.std() < 1.2 * error


def test_hoffmanns_constants_are_ruled_out(fit: Fit) -> None:
    # E = 1.69 and beta = 0.2849 (Hoffmann et al. 2022, appendix D): the point of Besiroglu et al.
    for name, value in (("irreducible_loss", 1.69), ("data_exponent", 0.2849)):
        assert (fit.draws[name].mean() - value) / fit.draws[name].std() > 4


def test_parameters_and_tokens_should_grow_alike(fit: Fit) -> None:
    exponent = scaling_law.optimal_parameter_exponent(fit.draws)
    assert abs(exponent.mean() - OPTIMAL_EXPONENT[0]) < OPTIMAL_EXPONENT[1]
    # The data constrain it better than alpha and beta by themselves: draws are kept joint.
    log_a, alpha = fit.draws["log_parameter_constant"], fit.draws["parameter_exponent"]
    assert np.corrcoef(log_a.ravel(), alpha.ravel())[0, 1] > 0.99


def test_the_huber_fit_of_the_same_rows_is_within_the_posterior(fit: Fit) -> None:
    rows = chinchilla()
    log_n, log_d, log_loss = rows.to_numpy().T

    def objective(p: np.ndarray) -> float:
        log_a, log_b, log_e, alpha, beta = p
        terms = [log_a - alpha * log_n, log_b - beta * log_d, np.full(len(rows), log_e)]
        return 1e3 * special.huber(1e-3, special.logsumexp(terms, axis=0) - log_loss).sum()

    start = np.array([6.0, 7.5, 0.6, 0.34, 0.36])
    found = optimize.minimize(objective, start, method="Nelder-Mead", options={"maxfev": 20_000})
    log_a, log_b, log_e, alpha, beta = found.x
    point = dict(zip(PUBLISHED, (log_a, log_b, np.exp(log_e), alpha, beta), strict=True))
    for name, value in point.items():
        draws = fit.draws[name]
        assert abs(draws.mean() - value) < 2 * draws.std()
        assert abs(value - PUBLISHED[name][0]) < 0.15 * PUBLISHED[name][1]


def test_known_constants_are_recovered() -> None:
    # A quite different law, on a grid of another range; noise of 1 % with outliers.
    truth = {
        "irreducible_loss": 0.9,
        "log_parameter_constant": 3.0,
        "parameter_exponent": 0.15,
        "log_data_constant": 5.5,
        "data_exponent": 0.27,
    }
    rng = np.random.default_rng(3)
    n, d = np.exp(rng.uniform(np.log(1e6), np.log(1e11), 150)), np.exp(rng.uniform(19, 28, 150))
    exact = scaling_law.log_loss_at(
        {name: np.full((1, 1), value) for name, value in truth.items()}, n, d
    )[0, 0]
    rows = pd.DataFrame(
        {
            "log_parameters": np.log(n),
            "log_tokens": np.log(d),
            "log_loss": exact + 0.01 * rng.standard_t(4, 150),
        }
    )
    found = inference.fit(scaling_law.model, data_of(rows), seed=(2,))
    assert found.sampler == "importance"
    for name, value in truth.items():
        draws = found.draws[name]
        assert abs(draws.mean() - value) < 3 * draws.std()
    assert found.draws["parameter_exponent"].std() < 0.03


@pytest.mark.slow
def test_both_samplers_agree(fit: Fit) -> None:
    settings = SamplerSettings(sampler="nuts", draws=1500)
    theirs = inference.fit(scaling_law.model, data_of(chinchilla()), seed=(3,), settings=settings)
    assert theirs.statistics["diverging"].mean() < 0.002
    for name, draws in fit.draws.items():
        other = theirs.draws[name]
        errors = [
            x.std() / np.sqrt(array_stats.ess(x, chain_axis=0, draw_axis=1)) for x in (draws, other)
        ]
        assert abs(draws.mean() - other.mean()) < 4 * np.hypot(*errors)
        assert draws.std() == pytest.approx(other.std(), rel=0.1)
