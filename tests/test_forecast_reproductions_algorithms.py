"""Published numbers on algorithms and scaling laws: verdicts, exact ones, slips with evidence."""

from importlib import import_module

import numpy as np
import pytest
from aitimelines.forecast import reproduce
from aitimelines.forecast.reproductions import algorithms, perplexities
from aitimelines.forecast.reproductions.computed import Computed
from aitimelines.forecast.studies import study

TOPICS = ("algorithms", "laws")
# What the papers' own numbers and data settle, within seconds.
EXACT = (
    *("ho-2024-printed-constants", "ho-2024-shares-least", "ho-2024-shares-most"),
    *("ho-2024-shares-2012-2022", "ho-2024-chinchilla-gpt-2", "ho-2024-chinchilla-palm"),
    *("ho-2024-gain", "hernandez-brown-2020-factor", "hernandez-brown-2020-halving"),
    *("davidson-2023-years-5", "davidson-2023-years-20", "erdil-2022-algorithms-share"),
    *("muennighoff-2023-objective", "porian-2024-kaplan", "porian-2024-last-layer"),
    *("porian-2024-warmup", "porian-2024-decay", "porian-2024-tuned"),
    *("kaplan-2020-intersection-compute", "jones-2021-incline-by-log10-flop"),
    *("jones-2021-incline-by-size", "jones-2021-incline-constant"),
    *("jones-2021-plateau-by-size", "jones-2021-plateau-constant", "jones-2021-perfect-play"),
)
# Errors in published work, and what the number should have been.
SLIPS = {
    "hoffmann-2022-table-a3": (1.26e25, 0.09),
    "kaplan-2020-eq-6-7": (2.215e10, 1e-3),
    "kaplan-2020-compute-exponent": (0.0520, 1e-3),
    "kaplan-2020-intersection-tokens": (2.48e11, 1e-2),
    "kumar-2024-bits": (3.5, 0.02),
    "jones-2021-takeoff": (2.06, 1e-2),
    "jones-2021-elo-range": (270, 1e-9),
}


def computed(name: str) -> Computed:
    for topic in TOPICS:
        functions = import_module(f"aitimelines.forecast.reproductions.{topic}").COMPUTED
        if name in functions:
            found: Computed = functions[name]()
            return found
    raise KeyError(name)


def entry(name: str) -> reproduce.Published:
    return reproduce.published()[name]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_published_number_is_computed(topic: str) -> None:
    functions = import_module(f"aitimelines.forecast.reproductions.{topic}").COMPUTED
    ids = reproduce.by_topic()[topic]
    assert set(ids) == set(functions)
    assert len(ids) > 25


@pytest.mark.parametrize("name", EXACT)
def test_what_is_exact_is_reproduced(name: str) -> None:
    assert reproduce.verdict(entry(name), computed(name)) == "reproduced"


@pytest.mark.parametrize("name", SLIPS)
def test_slips_are_what_they_are_said_to_be(name: str) -> None:
    right, tolerance = SLIPS[name]
    assert entry(name).slip
    found = computed(name).value
    assert found == pytest.approx(right, rel=tolerance)
    assert abs(found - entry(name).published) > entry(name).tolerance


def test_posteriors_named_are_quantities_of_studies() -> None:
    for topic in TOPICS:
        for name in reproduce.by_topic()[topic]:
            posterior = entry(name).posterior
            if posterior:
                found, rival, _ = posterior.split(":")
                assert rival in study(found).rivals


def test_the_sample_of_language_models() -> None:
    frame = perplexities.sample()
    assert len(frame) == 276
    assert frame.groupby("paper").size().max() == 3
    assert frame["parameters"].min() == perplexities.LEAST_PARAMETERS
    assert frame["dataset_tokens"].min() == perplexities.LEAST_TOKENS


def test_the_origin_that_the_printed_losses_tell() -> None:
    """Losses that the notebook of section 3 prints for five runs, to three decimals."""
    printed = np.array(list(perplexities.PRINTED.values()))
    expected = (4.434, 3.708, 3.186, 2.771, 2.046)
    for (n, d, year), loss in zip(algorithms._RUNS, expected, strict=True):
        log_n = np.log(n / perplexities.LEAST_PARAMETERS)
        log_d = np.log(d / perplexities.LEAST_TOKENS)
        found = perplexities.terms_at(printed, year - perplexities.FIRST_YEAR, log_n, log_d)
        assert found == pytest.approx(loss, abs=1e-3)


def test_least_squares_finds_a_known_law() -> None:
    rows = perplexities.columns(perplexities.sample())
    truth = np.array([0.9, 0.05, 0.1, 0.01, 0.07, 0.8, 0.15, 0.1, 0.03, 0.04])
    rows = rows._replace(observed=perplexities.model_7(truth, rows))
    found = perplexities.fit(perplexities.model_7, rows, penalty=0.0)
    np.testing.assert_allclose(perplexities.model_7(found, rows), rows.observed, atol=0.02)
    months = perplexities.doubling_months(np.stack([found, truth]))
    assert months[0] == pytest.approx(months[1], rel=0.15)


def test_optimal_scaling_by_closed_form() -> None:
    """Where both terms are alike in N and D, the year does what compute does at their rate."""
    law = np.array([1.0, 0, 0, 0.03, 0.06, 1.0, 0, 0, 0.03, 0.06])
    months = perplexities.optimal_scaling_months(law, 10.0, 30.0)
    assert months == pytest.approx(float(perplexities.doubling_months(law)), rel=1e-4)
    gain = perplexities.transformer_gain(np.append(law, 3.0), 10.0, 20.0, 20.0)
    assert gain == pytest.approx((1 + np.exp(-3.0)) ** (2 / 0.06), rel=1e-6)


def test_the_code_of_the_compute_only_model_knows_no_compute() -> None:
    found = computed("ho-2024-compute-only")
    assert reproduce.verdict(entry("ho-2024-compute-only"), found) == "reproduced"
    rows = perplexities.columns(perplexities.sample())
    rightly = np.mean(perplexities.leave_one_out(perplexities.model_18, rows) ** 2)
    assert rightly < 0.2 * found.value
    assert f"{rightly:.3f}" in found.note


def test_erdils_and_hernandez_browns_intervals() -> None:
    halving = computed("erdil-2022-halving")
    assert 4 < halving.value < 25
    assert halving.low < halving.value < halving.high
    total = sum(computed(f"erdil-2022-{n}-share").value for n in ("compute", "data", "algorithms"))
    assert total == pytest.approx(100)


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOPICS)
def test_what_differs_has_its_reason(topic: str) -> None:
    for name in reproduce.by_topic()[topic]:
        found = computed(name)
        assert np.isfinite(found.value), name
        if reproduce.verdict(entry(name), found) == "differs":
            assert entry(name).note or entry(name).slip or found.note, name


@pytest.mark.slow
def test_the_headlines_lie_within_the_published_intervals() -> None:
    for name in ("ho-2024-doubling", "ho-2024-irreducible", "ho-2024-optimal-scaling"):
        assert reproduce.verdict(entry(name), computed(name)) != "differs"
    for symbol in ("irreducible", "a", "alpha", "b", "beta"):
        name = f"besiroglu-2024-{symbol}"
        assert reproduce.verdict(entry(name), computed(name)) == "reproduced"
