"""Decisions of a developer as tables: published numbers by law id, draws kept apart, bad input."""

import numpy as np
import pandas as pd
import pytest
from aitimelines.forecast import fine_tuning, laws, taxes
from aitimelines.forecast import training_decisions as decisions
from aitimelines.forecast.law_frames import training_law
from aitimelines.kernels.competitiveness import Performance
from aitimelines.priors.published_exchange import published_exchange

SARDANA = "hoffmann-2022-table-a3"  # the constants that Sardana et al. and de Vries use


def draws(number: int) -> dict[str, np.ndarray]:
    """Constants about those of Besiroglu et al., correlated as a posterior is."""
    z = np.random.default_rng(0).standard_normal((2, number))
    return {
        "irreducible_loss": np.full(number, 1.8172),
        "log_parameter_constant": 6.178 + 0.31 * z[0],
        "parameter_exponent": 0.3478 + 0.0154 * z[0],
        "log_data_constant": 7.643 + 0.46 * z[1],
        "data_exponent": 0.3658 + 0.0206 * z[1],
    }


# --- training for inference ----------------------------------------------------------------------


def test_published_example_by_law_id() -> None:
    # Sardana et al.: 2.418e10 parameters, 2.657e12 tokens, 70.96 %, 146.77 %, 95.22 %.
    row = decisions.inference_aware_optimum(SARDANA, loss_nats=1.947, tokens_served=2e12).iloc[0]
    names = ["parameters", "training_tokens", "parameters_ratio", "training_tokens_ratio"]
    found = row[[*names, "lifetime_flop_ratio"]]
    np.testing.assert_allclose(found, [2.418e10, 2.657e12, 0.7096, 1.4677, 0.9522], rtol=5e-4)
    assert row["training_flop"] == pytest.approx(6 * row["parameters"] * row["training_tokens"])
    assert row["inference_flop"] == pytest.approx(2 * row["parameters"] * 2e12)


def test_published_example_in_dollars_from_the_table_of_cards() -> None:
    cards = published_exchange()["hardware"]["cards"]
    hourly = {"a100_80gb": 1.4, "a100_40gb": 0.6}
    per_dollar = {name: 3600 / price for name, price in hourly.items()}
    tokens = decisions.priced_tokens(
        input_tokens=1e13,
        output_tokens=2.5e12,
        training_flop_per_dollar=cards["a100_80gb"]["bf16"] * 0.5 * per_dollar["a100_80gb"],
        input_flop_per_dollar=cards["a100_40gb"]["int8"] * 0.4 * per_dollar["a100_40gb"],
        output_flop_per_dollar=cards["a100_40gb"]["int8"] * 0.2 * per_dollar["a100_40gb"],
    )
    row = decisions.inference_aware_optimum(SARDANA, loss_nats=1.947, tokens_served=tokens).iloc[0]
    found = row[["parameters", "training_tokens", "lifetime_flop_ratio"]]
    np.testing.assert_allclose(found, [2.053e10, 3.302e12, 0.8876], rtol=3e-4)


def test_delay_of_a_forecast_is_elementwise_in_the_doubling_time() -> None:
    # 7B quality and 1e13 tokens: x 2.14, or 0.49 yr at x 4.7 a year.
    quality = laws.optimum(SARDANA, training_flop=6 * 7e9 * 2.764e11).loss
    times = np.array([1.0, 2.0]) * np.log(2) / np.log(4.7)
    frame = decisions.inference_aware_optimum(
        SARDANA, loss_nats=quality, tokens_served=1e13, doubling_time_years=times
    )
    assert frame["draw"].tolist() == [0, 1]
    np.testing.assert_allclose(frame["training_flop_ratio"], 2.14, rtol=3e-3)
    np.testing.assert_allclose(frame["delay_years"], [0.49, 0.98], atol=0.01)


@pytest.mark.parametrize("fixed", ["training_flop", "lifetime_flop"])
def test_a_fixed_budget_is_spent(fixed: str) -> None:
    other = {"training_flop": "lifetime_flop", "lifetime_flop": "training_flop"}[fixed]
    arguments = {fixed: [1e23, 1e25], "tokens_served": [0.0, 1e12, 1e14]}
    frame = decisions.inference_aware_optimum("besiroglu-2024", **arguments)
    assert len(frame) == 6
    spent = 6 * frame["parameters"] * frame["training_tokens"]
    spent += 2 * frame["parameters"] * frame["tokens_served"] if fixed == "lifetime_flop" else 0
    np.testing.assert_allclose(spent, frame[fixed], rtol=1e-9)
    sign = 1 if fixed == "training_flop" else -1
    assert (sign * (frame[other] - frame[fixed]) >= -1e-9 * frame[fixed]).all()


def test_draws_stay_joint_and_in_order() -> None:
    constants = draws(3)
    frame = decisions.inference_aware_optimum(
        constants, loss_nats=[2.1, 2.2], tokens_served=[1e11, 1e12, 1e13]
    )
    assert len(frame) == 2 * 3 * 3
    law = training_law({name: values[1:2] for name, values in constants.items()})
    alone = decisions.inference_aware_optimum(
        dict(zip(law._fields, law, strict=True)), loss_nats=2.2, tokens_served=1e12
    ).iloc[0]
    picked = frame.query("draw == 1 and loss_nats == 2.2 and tokens_served == 1e12").iloc[0]
    pd.testing.assert_series_equal(picked[alone.index], alone, check_names=False)


def test_overhead_and_scaling_policy_by_law_id() -> None:
    frame = decisions.overtraining_overhead(SARDANA, parameters_ratio=[0.75, 0.5, 0.25, 0.05])
    np.testing.assert_allclose(100 * frame["overhead"][:3], [2.84, 20.8, 188.9], atol=0.1)
    assert np.isposinf(frame["overhead"].iloc[3])
    assert (frame["critical_parameters_ratio"] > 0.05).all()
    policy = decisions.scaling_policy(SARDANA).iloc[0]
    published = published_exchange()["techniques"]
    assert policy["marginal_exchange"] == published["marginal_limit"]
    # Printed to one digit: 1.2 and 0.7 OOM, of which the law gives 1.22 and 0.81.
    span = published["spans"]["scaling_policy"]
    assert policy["training_added_oom"] == pytest.approx(span["training_oom"], abs=0.05)
    assert policy["inference_saved_oom"] == pytest.approx(span["inference_oom"], abs=0.15)


# --- compression ---------------------------------------------------------------------------------


def test_envelope_choice_of_the_known_table_row() -> None:
    # 1e24 FLOP and 16 GB: 1.9372 at 16 bits, 1.9103 at 6 (Hoffmann's unrounded constants).
    row = decisions.envelope_choice(
        "hoffmann-2022-unrounded", training_flop=1e24, gigabytes=16, bits=(8, 6, 5, 4, 3)
    ).iloc[0]
    assert row["dense_loss_nats"] == pytest.approx(1.9372, abs=1e-3)
    assert row["loss_nats"] == pytest.approx(1.9103, abs=1e-3)
    assert row["bits"] == 6
    assert row["probability_overtrained_small_wins"] == 0


def test_probability_is_the_share_of_draws() -> None:
    arguments = {"training_flop": [1e22, 1e24], "gigabytes": [2, 17.5, 140, 1000]}
    each = decisions.envelope_choice(draws(200), **arguments, summarise=False)
    table = decisions.envelope_choice(draws(200), **arguments)
    assert len(each) == 200 * len(table)
    wins = each["compression_gain_nats"].to_numpy().reshape(8, 200) <= 0
    np.testing.assert_allclose(table["probability_overtrained_small_wins"], wins.mean(axis=1))
    # Wherever the compute-optimal model does not fit, compressing a larger one is better.
    tight = each["dense_parameters_ratio"] < 0.9
    assert (each.loc[tight, "compression_gain_nats"] > 0).all()
    assert (each.loc[each["dense_parameters_ratio"] == 1, "compression_gain_nats"] < 0).all()


def test_costlier_quantisation_asks_for_more_bits_and_then_for_none() -> None:
    frame = decisions.envelope_choice(
        "besiroglu-2024",
        training_flop=1e24,
        gigabytes=120,
        quantisation_loss_factor=[1, 10, 1e5],
        summarise=False,
    )
    assert (np.diff(frame["compression_gain_nats"]) < 0).all()
    assert (np.diff(frame["bits"]) >= 0).all()
    assert (frame["compression_gain_nats"] > 0).tolist() == [True, True, False]


def test_an_envelope_of_flop_is_helped_by_sparsity_alone() -> None:
    arguments = {"training_flop": 1e24, "flop_per_token": 1.6e10}
    dense = decisions.envelope_choice("besiroglu-2024", **arguments).iloc[0]
    assert dense["probability_overtrained_small_wins"] == 1
    sparse = decisions.envelope_choice("besiroglu-2024", **arguments, sparsities=(0.5, 0.75))
    assert sparse["bits"].iloc[0] == 16
    assert sparse["probability_overtrained_small_wins"].iloc[0] == 0


# --- learning, fine-tuning, taxes ----------------------------------------------------------------


def test_dearer_data_ask_for_larger_models() -> None:
    arguments = {"loss_nats": 2.0, "tokens_served": 1e12, "new_loss_nats": 2.1}
    first = decisions.sample_efficiency("besiroglu-2024", **arguments, price_flop_per_token=0)
    threshold = first["price_threshold_flop_per_token"].iloc[0]
    prices = threshold * np.array([0, 0.5, 1, 2, 1000])
    frame = decisions.sample_efficiency("besiroglu-2024", **arguments, price_flop_per_token=prices)
    ratio = frame["parameters_ratio"]
    assert (np.diff(ratio) > 0).all()
    assert ratio[0] < 1
    assert ratio[2] == pytest.approx(1, rel=1e-9)


def test_contours_of_fine_tuning() -> None:
    # The characters up to which 1000x and 10x hold, computed apart from this code.
    sizes = [1e9, 1e10, 1e11, 1e12]
    table = fine_tuning.fine_tuning_contours(parameters=sizes).pivot(
        index="parameters", columns="data_multiplier", values="characters_at_most"
    )
    np.testing.assert_allclose(table[1000], [5.38e5, 1.56e6, 4.55e6, 1.32e7], rtol=0.005)
    np.testing.assert_allclose(table[10], [1.7e8, 4.9e8, 1.4e9, 4.1e9], rtol=0.02)
    for size, most in table[100].items():
        row = fine_tuning.fine_tuning_map(parameters=size, characters=most).iloc[0]
        assert row["data_multiplier"] == pytest.approx(100, rel=1e-9)
    mixed = fine_tuning.fine_tuning_contours(
        "hernandez-2021-mixed", parameters=sizes, data_multiplier=1000
    )
    np.testing.assert_allclose(mixed["characters_at_most"], [2.3e6, 5.9e6, 1.6e7, 4.1e7], rtol=0.03)


def test_tasks_that_must_share_the_pretraining() -> None:
    arguments = {"parameters": 1e10, "characters": 1e6, "pretraining_tokens": 2e11}
    cost = fine_tuning.fine_tuning_cost(**arguments, characters_per_token=4.0).iloc[0]
    tokens = 1e6 / 4
    transferred = 1.9e4 * 1e6**0.18 * 1e10**0.38 / 4
    assert cost["scratch_flop"] == pytest.approx(6e10 * (tokens + transferred), rel=1e-9)
    assert cost["flop_per_task"] == pytest.approx(6e10 * (2e11 + tokens), rel=1e-9)
    # All weights are tuned, so that what tuning saves is training on the data transferred.
    needed = cost["tasks_to_break_even"]
    assert needed == pytest.approx(2e11 / transferred, rel=1e-9)
    at = fine_tuning.fine_tuning_cost(**arguments, characters_per_token=4.0, tasks=needed).iloc[0]
    assert at["flop_per_task"] == pytest.approx(at["scratch_flop"], rel=1e-9)


def test_tuning_few_weights_costs_two_thirds() -> None:
    frame = fine_tuning.fine_tuning_cost(
        parameters=1e9,
        characters=1e6,
        pretraining_tokens=1e10,
        characters_per_token=4.0,
        tuned_fraction=[1e-9, 1.0],
    )
    assert frame["tuning_flop"][0] / frame["tuning_flop"][1] == pytest.approx(4 / 6, rel=1e-6)


def test_delays_of_a_taxed_developer() -> None:
    table = taxes.taxes(training_tax=[2, 10, 100], doubling_time_years=0.5, lead_years=1.0)
    np.testing.assert_allclose(table["delay_years_q50"], [0.50, 1.66, 3.32], rtol=0.01)
    np.testing.assert_allclose(table["affordable_tax_q50"], 4.0, rtol=1e-12)
    assert table["probability_first"].tolist() == [1.0, 0.0, 0.0]
    assert table["one_dimension"].all()


def test_delay_distribution_follows_the_doubling_time() -> None:
    times = np.random.default_rng(0).lognormal(np.log(0.5), 0.3, 20_000)
    row = taxes.taxes(training_tax=10, doubling_time_years=times, lead_years=1.5).iloc[0]
    spread = row[["delay_years_q05", "delay_years_q50", "delay_years_q95"]].to_numpy(float)
    np.testing.assert_allclose(spread, np.log2(10) * np.quantile(times, [0.05, 0.5, 0.95]))
    # Delay below lead is a tax below the affordable one.
    assert row["probability_first"] == np.mean(10 < 2 ** (1.5 / times))


def test_other_taxes_make_it_two_dimensions() -> None:
    table = taxes.taxes(
        training_tax=1.5, doubling_time_years=0.5, inference_tax=[1, 1.1], ceiling_tax=[0, 0.1]
    )
    assert table["one_dimension"].tolist() == [True, False, False, False]
    served = table["tokens_served_per_training_token"]
    assert np.isposinf(served[:2]).all()
    np.testing.assert_allclose(served[2:], 0.5 * 3 / 0.1)


def test_a_lower_ceiling_is_never_matched() -> None:
    curve = Performance(ceiling=1.0, start=0.0, log_start_flop=np.log(1e20), exponent=0.2)
    frame = taxes.delay_to_match(
        curve,
        training_flop=[1e21, 1e26],
        doubling_time_years=0.5,
        training_tax=2,
        ceiling_tax=[0, 0.2],
    )
    # 1e21 FLOP fall 10^-0.2 short of 1, which under a ceiling of 0.8 needs 0.8 (C / C_0)^-0.2 =
    # 10^-0.2 - 0.2, and twice that.
    factor = 0.1 * ((10**-0.2 - 0.2) / 0.8) ** (-1 / 0.2) * 2
    lower = 0.5 * np.log2(factor)
    np.testing.assert_allclose(frame["delay_years"], [0.5, lower, 0.5, np.inf], rtol=1e-9)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: training_law("kaplan-2020"), "law: 'kaplan-2020' is of kind 'kaplan'"),
        (lambda: training_law({"irreducible_loss": [1.8]}), "law: draws without"),
        (
            lambda: decisions.inference_aware_optimum(SARDANA, tokens_served=1),
            "got 0 of them, expected one",
        ),
        (
            lambda: decisions.inference_aware_optimum(SARDANA, loss_nats=2, tokens_served=-1),
            "tokens_served: got -1",
        ),
        (
            lambda: decisions.overtraining_overhead(SARDANA, parameters_ratio=[0.5, np.nan]),
            "parameters_ratio: got",
        ),
        (
            lambda: decisions.envelope_choice(SARDANA, training_flop=1e24),
            "gigabytes, flop_per_token: expected one",
        ),
        (
            lambda: decisions.envelope_choice(
                SARDANA, training_flop=1e24, gigabytes=1, sparsities=(1.0,)
            ),
            "sparsities: got",
        ),
        (lambda: fine_tuning.transfer_law(SARDANA), "expected 'transfer'"),
        (lambda: taxes.taxes(training_tax=0.5, doubling_time_years=1), "training_tax: got 0.5"),
        (lambda: taxes.taxes(training_tax=2, doubling_time_years=0), "doubling_time_years: got 0"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
