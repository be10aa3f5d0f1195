"""The engine against independent computations: NumPy loops, brute-force Monte Carlo, the record."""

import copy
import datetime
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import arviz_stats
import jax
import numpy as np
import pytest
import xarray as xr
from aitimelines.forecast import engine, provenance, records, schema, world
from aitimelines.forecast.config import Scenario
from aitimelines.forecast.datasets import decimal_year, load_frame
from aitimelines.forecast.files import cache_directory
from aitimelines.forecast.problem import prepare
from aitimelines.forecast.scenario_files import load_scenario, scenario_from_dict, to_toml
from aitimelines.forecast.summaries import weighted_quantiles
from aitimelines.forecast.year_grid import computed_years
from aitimelines.kernels import ensemble
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

ROUTES = ("trend", "spending-times-price-performance")
NOW, HORIZON = 2026.0, 2060
SAMPLES = engine.REPLICATES * ensemble.TILE
# With eight devices, as many tiles as SAMPLES has: nothing is computed twice.
CHUNK = 2


def growth(now: list[float], long_run: list[float], half_life: list[float]) -> dict[str, Any]:
    return {
        "doubling_time_years": {"lognormal": now},
        "long_run_doubling_time_years": {"loguniform": long_run},
        "slowdown_half_life_years": {"lognormal": half_life, "mass": 0.8},
    }


def resource(name: str, year: float, log10_flop: list[float]) -> dict[str, Any]:
    return {
        "name": name,
        "year": year,
        "log10_flop": {"normal": log10_flop, "mass": 0.8},
        "doubling_time_years": {"lognormal": [1.5, 8.0]},
    }


# Nothing is fitted; every kind of prior, of requirement and of path is there.
SMALL: dict[str, Any] = {
    "id": "small",
    "title": "Priors alone",
    "prior_set": "baseline",
    "compute": "trend",
    "as_of": datetime.date(2026, 1, 1),
    "horizon_year": HORIZON,
    "samples": SAMPLES,
    "seed": 7,
    "training_compute": {
        "fit": False,
        "log10_level": {"normal": [26.0, 27.0]},
        "level_year": 2025.25,
        **growth([0.35, 0.8], [1.2, 6.0], [2.0, 12.0]),
    },
    "spending": {
        "fit": False,
        "log10_level": {"uniform": [8.3, 9.3]},
        "level_year": 2025.0,
        **growth([0.5, 1.2], [4.0, 30.0], [2.0, 12.0]),
    },
    "price_performance": {
        "fit": False,
        "log10_level": {"normal": [17.2, 18.0]},
        "level_year": 2024.0,
        "log10_ceiling": {"normal": [21.0, 25.0]},
        **growth([1.5, 3.0], [2.5, 15.0], [5.0, 40.0]),
    },
    "gross_product": {"log10_level": 14.025, "level_year": 2023.5},
    "algorithmic_progress": {
        "fit": False,
        "ceiling_oom": {"lognormal": [4.0, 14.0], "mass": 0.8},
        **growth([0.4, 1.6], [1.0, 12.0], [3.0, 30.0]),
    },
    "limits": {
        "sharpness": 2.0,
        "log10_spending_share": {"normal": [-4.4, -1.3], "mass": 0.95},
        "resources": [resource("power", 2030.0, [28.3, 30.3]), resource("data", 2029.0, [29, 32])],
    },
    "requirement": {
        "milestone": "m",
        "algorithms_year": 2022.0,
        "none_weight": 0.1,
        "components": [
            {"name": "a", "weight": 0.2, "normal": [27.0, 36.0]},
            {"name": "b", "weight": 0.2, "normal": [30.0, 41.0], "mass": 0.8},
            {"name": "c", "weight": 0.15, "two_piece_normal": [29.0, 31.0, 37.0]},
            {"name": "d", "weight": 0.15, "uniform": [26.0, 42.0]},
            {"name": "e", "weight": 0.1, "logistic": [28.0, 38.0], "algorithms_year": 2020.0},
            {
                "name": "f",
                "weight": 0.1,
                "normal": [29.0, 35.0],
                "algorithms_year": 2020.0,
                "algorithmic_doubling_time_years": {"lognormal": [1.0, 3.0]},
                "algorithmic_ceiling_oom": 4.0,
            },
        ],
    },
}


def small(changes: dict[str, Any] | None = None) -> Scenario:
    """Return the small scenario with values at dotted places replaced."""
    values = copy.deepcopy(SMALL)
    for place, value in (changes or {}).items():
        *parents, last = place.split(".")
        table: Any = values
        for part in parents:
            table = table[int(part)] if isinstance(table, list) else table.setdefault(part, {})
        table[int(last) if isinstance(table, list) else last] = value
    return scenario_from_dict(values)


def timeline(changes: dict[str, Any] | None = None) -> xr.Dataset:
    """Return the timeline of the small scenario, changed."""
    return engine.simulate(small(changes), {}, chunk=CHUNK)["timeline"].to_dataset()


@pytest.fixture(scope="module")
def cotra() -> xr.DataTree:
    return engine.run("cotra-2020")


@pytest.fixture(scope="module")
def small_trees() -> dict[str, xr.DataTree]:
    """Return the forecast of the small scenario by both routes."""
    return {c: engine.simulate(small({"compute": c}), {}, chunk=CHUNK) for c in ROUTES}


# Cotra (2020)


def cotra_cdf(years: np.ndarray) -> np.ndarray:
    """Return the distribution of the arrival year, computed in linear units, year by year."""
    anchors = [  # median and standard deviation [OOM], weight, halving time [yr], ceiling [OOM]
        (28.0, 2.0, 0.05, 3.5, 2.0),
        (32.0, 2.5, 0.15, 2.75, 2.0),
        (33.0, 3.0, 0.10, 2.5, 2.25),
        (34.477, 3.0, 0.30, 2.131, 2.619),
        (37.0, 3.0, 0.20, 2.0, 3.25),
        (41.0, 3.0, 0.10, 2.0, 4.25),
    ]

    def saturating(x: float, most: float) -> float:
        return x / (1 + x / most)

    reached = []
    for year in years:
        flop_per_usd = saturating(10**17.602 * 2 ** ((year - 2025) / 2.5), 1e24)
        most_usd = 0.01 * 10**13.3284 * 2 ** ((year - 2020) / 23.45)
        usd = saturating(1e9 * 2 ** ((year - 2025) / 2.5), most_usd)
        total = 0.0
        for median, spread, weight, halving, ceiling in anchors:
            algorithms = saturating(2 ** ((year - 2020) / halving), 10**ceiling)
            oom = np.log10(usd * flop_per_usd * algorithms)
            total += weight * stats.norm.cdf((oom - median) / spread)
        reached.append(total)
    by = np.array(reached)
    return (by - by[0]) / (1 - by[0])


def test_cotra_agrees_with_an_independent_loop(cotra: xr.DataTree):
    cdf = cotra["timeline"]["arrival_cdf"]
    years = cdf["year"].to_numpy()
    assert years.tolist() == [float(y) for y in range(2020, 2101)]
    np.testing.assert_allclose(cdf, cotra_cdf(years), atol=1e-4)


def test_cotra_reproduces_the_published_forecast(cotra: xr.DataTree):
    timeline = cotra["timeline"].to_dataset()
    published = {2030: 0.08, 2036: 0.15, 2050: 0.47, 2100: 0.78}
    for year, probability in published.items():
        assert float(timeline["arrival_cdf"].sel(year=year)) == pytest.approx(probability, abs=0.04)
    assert 2050 <= float(timeline["arrival_year_quantile"].sel(quantile=0.5)) <= 2053


def test_quantiles_invert_the_distribution(cotra: xr.DataTree):
    timeline = cotra["timeline"].to_dataset()
    cdf, years = timeline["arrival_cdf"].to_numpy(), timeline["year"].to_numpy()
    for level, year in timeline["arrival_year_quantile"].to_series().items():
        if level > cdf[-1]:
            assert year == np.inf
        else:
            assert np.interp(year, years, cdf) == pytest.approx(level, abs=1e-3)
            assert cotra_cdf(np.array([2020.0, year]))[1] == pytest.approx(level, abs=1e-3)


# Brute force: the same worlds in linear units, from random draws or from the engine's own


def normal_of(interval: list[float], mass: float = 0.9) -> tuple[float, float]:
    low, high = interval
    return (low + high) / 2, (high - low) / 2 / stats.norm.ppf(0.5 + mass / 2)


Number = Callable[[str, Any], np.ndarray]


def random_numbers(rng: np.random.Generator, count: int) -> Number:
    """Return the function (name, prior) -> plain random draws, (draw, 1)."""

    def number(name: str, prior: Any) -> np.ndarray:
        mass = prior["mass"]
        (kind,) = set(prior) - {"mass", "source"}
        given = np.array(prior[kind])
        if kind == "fixed":
            drawn = np.full(count, float(given))
        elif kind == "normal":
            drawn = rng.normal(*normal_of(given, mass), count)
        elif kind == "lognormal":
            drawn = np.exp(rng.normal(*normal_of(np.log(given), mass), count))
        elif kind == "uniform":
            drawn = rng.uniform(*given, count)
        else:
            drawn = np.exp(rng.uniform(*np.log(given), count))
        return drawn[:, None]

    return number


def recorded_numbers(paths: xr.Dataset) -> Number:
    """Return the function (name, prior) -> the inputs of the draws that a forecast shows."""
    table = paths["input_value"].to_pandas()
    return lambda name, prior: np.array(
        table[name].to_numpy(dtype=float)[:, None]
        if "fixed" not in prior
        else np.full((len(table), 1), prior["fixed"])
    )


def least(values: list[np.ndarray], sharpness: float = 2.0) -> np.ndarray:
    return sum(value**-sharpness for value in values) ** (-1 / sharpness)


class Worlds:
    """The small scenario's paths, (draw, year), in linear units."""

    years = np.arange(NOW, HORIZON + 1)

    def __init__(self, compute: str, number: Number) -> None:
        self.number = number
        self.values = scenario_from_dict(SMALL).model_dump(exclude_none=True)
        flop_per_usd = least(
            [self.level("price_performance"), 10 ** self("price_performance", "log10_ceiling")]
        )
        share = 10 ** self("limits", "log10_spending_share")
        caps = [self.level("gross_product") * share * flop_per_usd]
        for limit in self.values["limits"]["resources"]:
            name = f"limits.{limit['name']}"
            start = 10 ** number(f"{name}.log10_flop", limit["log10_flop"])
            doubling = number(f"{name}.doubling_time_years", limit["doubling_time_years"])
            caps.append(start * 2 ** ((self.years - limit["year"]) / doubling))
        if compute == "trend":
            wanted = self.level("training_compute")
        else:
            wanted = self.level("spending") * flop_per_usd
        self.physical = least([wanted, *caps])

    def __call__(self, section: str, field: str) -> np.ndarray:
        return self.number(f"{section}.{field}", self.values[section][field])

    def grown(self, section: str, since: float) -> np.ndarray:
        """Return the factor by which something has grown since a date."""
        now, long_run = (
            np.log(2) / self(section, f"{when}doubling_time_years") for when in ("", "long_run_")
        )
        half_life = self(section, "slowdown_half_life_years")

        def log_factor(year: np.ndarray) -> np.ndarray:
            ahead = np.maximum(year - NOW, 0)
            transient = half_life / np.log(2) * (1 - 0.5 ** (ahead / half_life))
            return now * np.minimum(year - NOW, 0) + long_run * ahead + (now - long_run) * transient

        return np.exp(log_factor(self.years) - log_factor(np.array([since])))

    def level(self, section: str) -> np.ndarray:
        return 10 ** self(section, "log10_level") * self.grown(
            section, self.values[section]["level_year"]
        )

    def gain(self, section: str, since: float) -> np.ndarray:
        return least([self.grown(section, since), 10 ** self(section, "ceiling_oom")])

    def effective(self, component: dict[str, Any]) -> np.ndarray:
        """Return log10 of effective compute as a view of the requirement counts it."""
        since = component.get("algorithms_year", self.values["requirement"]["algorithms_year"])
        if "algorithmic_doubling_time_years" in component:
            name = f"requirement.{component['name']}"
            doubling = self.number(
                f"{name}.doubling_time_years", component["algorithmic_doubling_time_years"]
            )
            most = 10.0 ** component["algorithmic_ceiling_oom"]["fixed"]
            algorithms = least([2 ** ((self.years - since) / doubling), np.array(most)])
        else:
            algorithms = self.gain("algorithmic_progress", since)
        return np.log10(self.physical * algorithms * self.gain("post_training", since))


def requirement_of(component: dict[str, Any]) -> Any:
    """Return (distribution function, sampler) of a view of the requirement."""
    mass = component["mass"]
    z = stats.norm.ppf(0.5 + mass / 2)
    if "two_piece_normal" in component:
        low, median, high = component["two_piece_normal"]

        def cdf(x: np.ndarray) -> np.ndarray:
            return stats.norm.cdf(
                (x - median) * z / np.where(x < median, median - low, high - median)
            )

        def sample(rng: np.random.Generator, size: int) -> np.ndarray:
            noise = rng.normal(size=size)
            return median + noise / z * np.where(noise < 0, median - low, high - median)

        return cdf, sample
    if "normal" in component:
        known = stats.norm(*normal_of(component["normal"], mass))
    elif "uniform" in component:
        low, high = component["uniform"]
        known = stats.uniform(low, high - low)
    else:
        low, high = component["logistic"]
        known = stats.logistic(
            (low + high) / 2, (high - low) / 2 / stats.logistic.ppf(0.5 + mass / 2)
        )
    return known.cdf, lambda rng, size: known.rvs(size=size, random_state=rng)


@pytest.mark.parametrize("compute", ROUTES)
def test_every_draw_follows_from_its_inputs(small_trees: dict[str, xr.DataTree], compute: str):
    paths = small_trees[compute]["trajectories"].to_dataset()
    worlds = Worlds(compute, recorded_numbers(paths))
    shown = {
        "log10_physical_compute": np.log10(worlds.physical),
        "algorithmic_progress": np.log10(worlds.gain("algorithmic_progress", 2022.0)),
        "post_training_gains": np.log10(worlds.gain("post_training", 2022.0)),
        "log10_effective_compute": worlds.effective({}),
    }
    for name, expected in shown.items():
        np.testing.assert_allclose(paths[name], expected, atol=2e-4, err_msg=name)
    reached = sum(
        component["weight"] * requirement_of(component)[0](worlds.effective(component))
        for component in worlds.values["requirement"]["components"]
    )
    np.testing.assert_allclose(paths["weight"], 1 - reached[:, 0], atol=1e-4)
    # The year drawn for a world is the one by which a uniform part of its mass has arrived.
    arrival = paths["arrival_year"].to_numpy()
    arrived = np.isfinite(arrival)
    part = (reached - reached[:, :1]) / (1 - reached[:, :1])
    level = np.array(
        [np.interp(year, worlds.years, row) for year, row in zip(arrival, part, strict=True)]
    )
    uniform = (level / part[:, -1])[arrived]
    assert stats.kstest(uniform, "uniform").pvalue > 1e-3
    assert uniform.size > 1000
    never = 1 - part[:, -1]
    error = 4 * np.sqrt(np.sum(never * (1 - never)))
    assert np.sum(~arrived) == pytest.approx(never.sum(), abs=error)
    # And of all draws together, what the timeline says, up to the error of 2048 of them.
    weight = paths["weight"].to_numpy()
    by = weight @ part / weight.sum()
    np.testing.assert_allclose(by, small_trees[compute]["timeline"]["arrival_cdf"], atol=0.01)


@pytest.mark.parametrize("compute", ROUTES)
def test_priors_alone_agree_with_brute_force(small_trees: dict[str, xr.DataTree], compute: str):
    arrivals = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        worlds = Worlds(compute, random_numbers(rng, 20_000))
        components = worlds.values["requirement"]["components"]
        view = rng.choice(
            len(components) + 1, p=[*(c["weight"] for c in components), 0.1], size=20_000
        )
        first = np.full(view.size, np.inf)
        for index, component in enumerate(components):
            mine = view == index
            wanted = requirement_of(component)[1](rng, view.size)
            reached = worlds.effective(component) >= wanted[:, None]
            year = np.where(reached.any(axis=1), worlds.years[reached.argmax(axis=1)], np.inf)
            first[mine] = year[mine]
        arrivals.append(first)
    arrival = np.concatenate(arrivals)
    arrival = arrival[arrival > NOW]  # worlds in which it has arrived by now are dropped
    assert 0.5 < arrival.size / 60_000 < 0.95
    timeline = small_trees[compute]["timeline"].to_dataset()
    for year in (2027, 2030, 2035, 2045, HORIZON):
        expected = np.mean(arrival <= year)
        error = np.hypot(
            np.sqrt(expected * (1 - expected) / arrival.size),
            float(timeline["arrival_cdf_mcse"].sel(year=year)),
        )
        assert float(timeline["arrival_cdf"].sel(year=year)) == pytest.approx(
            expected, abs=4 * error
        )


def test_each_route_shows_the_other_as_the_alternative(small_trees: dict[str, xr.DataTree]):
    # Same seed and same inputs, so the same draws.
    trend, spending = (small_trees[route]["trajectories"].to_dataset() for route in ROUTES)
    for one, other in ((trend, spending), (spending, trend)):
        np.testing.assert_allclose(
            one["log10_physical_compute_alternative"], other["log10_physical_compute"], atol=1e-4
        )


def test_effective_compute_is_the_sum_of_its_parts(small_trees: dict[str, xr.DataTree]):
    for tree in small_trees.values():
        paths = tree["trajectories"].to_dataset()
        total = (
            paths["log10_physical_compute"]
            + paths["algorithmic_progress"]
            + paths["post_training_gains"]
        )
        np.testing.assert_allclose(paths["log10_effective_compute"], total, atol=1e-4)


def test_monte_carlo_error_is_honest(small_trees: dict[str, xr.DataTree]):
    # A forecast with another seed differs, by about as much as the errors say.
    one = small_trees["trend"]["timeline"].to_dataset()
    other = timeline({"seed": 8})
    difference = (one["arrival_cdf"] - other["arrival_cdf"])[1:]
    error = np.hypot(one["arrival_cdf_mcse"], other["arrival_cdf_mcse"])[1:]
    assert float(abs(difference).max()) > 0
    assert float(abs(difference / error).max()) < 6
    assert float(error.max()) < 2e-3
    replicates = one["arrival_cdf_replicates"]
    expected = replicates.std("replicate", ddof=1) / 4
    np.testing.assert_allclose(one["arrival_cdf_mcse"], expected, rtol=1e-6)


# Invariants


def reached_by(changes: dict[str, Any]) -> np.ndarray:
    """Return P(arrival by t) by year, not conditioned on anything, by the engine's own program."""
    problem = prepare(small(changes), {}, dtype=np.float32)
    nodes = problem.ensemble.nodes[computed_years(len(problem.years))]
    *_, (_, means) = ensemble.replicate_means(
        world.passage_curve(problem.structure),
        ensemble.stack([problem.ensemble._replace(nodes=nodes)]),
        SAMPLES,
        mesh=ensemble.device_mesh(),
        chunk=CHUNK,
    )
    return means[0].mean(axis=0)


def weighted(shares: np.ndarray) -> dict[str, Any]:
    """Return the changes that give the components these weights, and the rest to none of them."""
    return {"requirement.none_weight": float(1 - shares.sum())} | {
        f"requirement.components.{i}.weight": float(share) for i, share in enumerate(shares)
    }


def shifted(oom: float) -> dict[str, Any]:
    """Return the changes that make every requirement larger."""
    return {
        f"requirement.components.{i}.{kind}": [value + oom for value in component[kind]]
        for i, component in enumerate(SMALL["requirement"]["components"])
        for kind in ("normal", "two_piece_normal", "uniform", "logistic")
        if kind in component
    }


@settings(max_examples=5)
@given(
    faster=st.floats(0.5, 0.95),
    larger=st.floats(0.05, 3.0),
    weights=st.lists(st.floats(0.05, 1.0), min_size=6, max_size=6),
    none=st.floats(0.02, 0.5),
)
def test_forecasts_move_the_right_way_without_compiling_again(
    small_trees: dict[str, xr.DataTree],
    faster: float,
    larger: float,
    weights: list[float],
    none: float,
):
    shares = np.array(weights) / np.sum(weights) * (1 - none)
    base = weighted(shares)
    compiled = ensemble.tile_sums._cache_size()
    plain = reached_by(base)
    assert plain[0] > 0
    assert np.all(np.diff(plain) >= 0)
    assert plain[-1] <= 1 - none + 1e-6

    assert np.all(reached_by(base | shifted(larger)) <= plain + 1e-7)

    now = base | {"training_compute.level_year": NOW}  # so that the level now stays as it is
    doubling = {"lognormal": [0.35 * faster, 0.8 * faster]}
    hastened = reached_by(now | {"training_compute.doubling_time_years": doubling})
    assert np.all(hastened >= reached_by(now) - 1e-7)
    assert hastened[5] > reached_by(now)[5]

    assert np.all(reached_by(weighted(shares / 2)) <= plain / 2 + 1e-6)

    first, second = SMALL["requirement"]["components"][:2]
    order = {
        "requirement.components.0": second | {"weight": float(shares[1])},
        "requirement.components.1": first | {"weight": float(shares[0])},
    }
    np.testing.assert_allclose(reached_by(base | order), plain, atol=1e-6)
    assert ensemble.tile_sums._cache_size() == compiled


@settings(max_examples=5)
@given(none=st.floats(0.02, 0.5), more=st.floats(0.02, 0.4))
def test_the_distribution_is_one_and_doubt_adds_to_never(
    small_trees: dict[str, xr.DataTree], none: float, more: float
):
    shares = np.array([c["weight"] for c in SMALL["requirement"]["components"]]) / 0.9
    never = []
    for weight in (none, none + more):
        found = timeline(weighted(shares * (1 - weight)))
        cdf = found["arrival_cdf"].to_numpy()
        assert cdf[0] == 0
        assert np.all(np.diff(cdf) >= 0)
        assert cdf[-1] <= 1 - weight + 1e-6
        assert float(found["p_never_by_horizon"]) + cdf[-1] == pytest.approx(1, abs=1e-12)
        known = found["arrival_year_quantile"].to_numpy()
        assert np.all(np.diff(known[np.isfinite(known)]) > 0)
        never.append(float(found["p_never_by_horizon"]))
    assert never[1] > never[0]


def test_nothing_arrives_by_now_and_conditioning_is_bayes_rule():
    """P(T <= t | T > now) follows from a forecast made long before, if nothing slows."""
    steady = {
        f"{section}.slowdown_half_life_years": {"lognormal": [1e9, 1e10], "mass": 0.8}
        for section in ("training_compute", "spending", "price_performance", "algorithmic_progress")
    } | {"post_training.slowdown_half_life_years": {"lognormal": [1e9, 1e10]}}
    steady["gross_product.slowdown_half_life_years"] = 1e10
    early = timeline(steady | {"as_of": datetime.date(2006, 1, 1), "horizon_year": 2040})
    late = timeline(steady)
    assert float(late["arrival_cdf"][0]) == 0
    by = early["arrival_cdf"].sel(year=slice(NOW, None)).to_numpy()
    assert by[0] > 0.1
    expected = (by - by[0]) / (1 - by[0])
    np.testing.assert_allclose(late["arrival_cdf"][: by.size], expected, atol=2e-4)


# Same seed, same numbers


def test_the_answer_does_not_depend_on_chunk_or_devices(small_trees: dict[str, xr.DataTree]):
    on_eight = small_trees["trend"]
    assert on_eight.identical(engine.simulate(small(), {}, devices=2, chunk=3))
    # A program for one device is optimised differently from one that is split: the last bit.
    on_one = engine.simulate(small(), {}, devices=1, chunk=16)
    for name in ("arrival_cdf", "arrival_cdf_replicates"):
        np.testing.assert_allclose(on_one["timeline"][name], on_eight["timeline"][name], atol=1e-6)


def test_the_answer_does_not_depend_on_the_clock(small_trees: dict[str, xr.DataTree]):
    again = engine.simulate(small(), {}, chunk=CHUNK)
    assert again.identical(small_trees["trend"])
    words = " ".join([*again.attrs, *map(str, again.attrs.values())])
    assert "created" not in words
    assert datetime.datetime.now().strftime("%Y-%m-%dT") not in words


def test_double_precision_agrees(small_trees: dict[str, xr.DataTree]):
    with jax.enable_x64(True):
        tree = engine.simulate(small(), {}, chunk=CHUNK, dtype=np.float64)
    for name, tolerance in (("arrival_cdf", 1e-4), ("arrival_cdf_replicates", 1e-4)):
        np.testing.assert_allclose(
            tree["timeline"][name], small_trees["trend"]["timeline"][name], atol=tolerance
        )
    schema.validate(tree)


def test_samples_are_rounded_up_to_what_the_points_need():
    for asked in (1, SAMPLES, SAMPLES + 1, 3 * SAMPLES, 2**32):
        used = engine.rounded_samples(asked)
        assert used >= asked
        assert used < 2 * max(asked, SAMPLES)
        assert (used // SAMPLES) & (used // SAMPLES - 1) == 0


def test_the_order_in_which_a_stored_fit_comes_back_does_not_matter():
    values = SMALL | {"training_compute": {}}
    rng = np.random.default_rng(3)
    level, doubling = rng.multivariate_normal([26.5, 0.5], [[0.04, 0.01], [0.01, 0.01]], 800).T
    columns = {
        "log10_level": (("chain", "draw"), level.reshape(2, 400)),
        "doubling_time_years": (("chain", "draw"), abs(doubling).reshape(2, 400)),
    }
    scenario = scenario_from_dict(values)
    problems = [
        prepare(
            scenario,
            {"training_compute": xr.DataTree.from_dict({"forecast": xr.Dataset(dict(order))})},
            dtype=np.float32,
        )
        for order in (columns.items(), reversed(columns.items()))
    ]
    assert problems[0].structure == problems[1].structure
    assert problems[0].structure.columns[0] == "training_compute.doubling_time_years"
    rows = [np.asarray(problem.ensemble.inputs.rows[0]) for problem in problems]
    np.testing.assert_array_equal(*rows)
    # Rows are whole posterior draws, none twice.
    pairs = rows[0].reshape(-1, 2)
    found = pairs[np.argsort(pairs[:, 1])]
    draws = np.stack([abs(doubling), level], axis=1).astype(np.float32)
    np.testing.assert_array_equal(found, draws[np.argsort(draws[:, 1])])


def test_a_batch_gives_the_timelines_of_its_scenarios():
    lighter = {"requirement.components.0.weight": 0.25, "requirement.none_weight": 0.05}
    changes: list[dict[str, Any]] = [{}, {"seed": 5}, lighter]
    scenarios = [small(each) for each in changes]
    together = engine.timelines(scenarios, [{}] * 3)
    for scenario, ours in zip(scenarios, together, strict=True):
        alone = engine.simulate(scenario, {})["timeline"].to_dataset()
        for name in ("arrival_cdf", "arrival_cdf_mcse", "arrival_year_quantile"):
            np.testing.assert_array_equal(ours[name], alone[name], err_msg=name)


def test_progress_is_reported(small_trees: dict[str, xr.DataTree]):
    seen: list[tuple[str, int, int]] = []
    engine.simulate(small(), {}, chunk=CHUNK, progress=lambda *what: seen.append(what))
    assert seen[-1][0].startswith("simulate")
    assert seen[-1][1:] == (SAMPLES, SAMPLES)


# Refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training_compute.doubling_time_years": {"lognormal": [1e-300, 1e-299]}},
            "too small or too large",
        ),
        (
            weighted(np.array([0.25, 0.2, 0.15, 0.15, 0.15, 0.1])) | shifted(-40.0),
            "already met on 2026-01-01 in all draws",
        ),
    ],
)
def test_priors_that_leave_nothing_to_compute_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        engine.simulate(small(changes), {}, chunk=CHUNK)


def test_a_horizon_before_the_data_is_refused_before_any_fit():
    with pytest.raises(ValueError, match=r"horizon_year: got 2020, expected a year after as_of"):
        engine.run("baseline", horizon_year=2020)
    with pytest.raises(ValueError, match=r"^small: horizon_year: got 2020"):
        engine.run(small(), horizon_year=2020)
    with pytest.raises(ValueError, match=r"^small: samples: got 0, expected"):
        engine.run(small(), samples=0)


@pytest.mark.parametrize("table", ["ml_hardware", "notable_modles", "../notable_models"])
def test_a_table_without_training_compute_is_refused(table):
    scenario = load_scenario("baseline")
    section = scenario.training_compute.model_copy(update={"table": table})
    with pytest.raises(ValueError, match=f"table: got '{table}'"):
        engine.fit(scenario.model_copy(update={"training_compute": section}))


# The contract of the output


def test_the_output_keeps_its_contract(cotra: xr.DataTree, small_trees: dict[str, xr.DataTree]):
    for tree in (cotra, *small_trees.values()):
        schema.validate(tree)


def _without(group: str, name: str) -> Callable[[xr.DataTree], None]:
    def change(tree: xr.DataTree) -> None:
        tree[group] = xr.DataTree(tree[group].to_dataset().drop_vars(name))

    return change


def _with(group: str, name: str, value: Callable[[xr.DataArray], Any]) -> Callable[..., None]:
    def change(tree: xr.DataTree) -> None:
        dataset = tree[group].to_dataset()
        attributes = dataset[name].attrs
        dataset[name] = value(dataset[name])
        dataset[name].attrs = attributes
        tree[group] = xr.DataTree(dataset)

    return change


def _units(tree: xr.DataTree) -> None:
    dataset = tree["trajectories"].to_dataset()
    dataset["algorithmic_progress"].attrs = {"units": "year", "long_name": "x"}
    tree["trajectories"] = xr.DataTree(dataset)


def _unnamed(tree: xr.DataTree) -> None:
    dataset = tree["prior"].to_dataset()
    next(iter(dataset.data_vars.values())).attrs.clear()
    tree["prior"] = xr.DataTree(dataset)


def _no_seed(tree: xr.DataTree) -> None:
    del tree.attrs["seed"]


def _set(index: int, value: float) -> Callable[[xr.DataArray], xr.DataArray]:
    def change(array: xr.DataArray) -> xr.DataArray:
        array = array.copy()
        array[index] = value
        return array

    return change


CDF = ("timeline", "arrival_cdf")
VIOLATIONS = [
    (_without("timeline", "arrival_cdf_mcse"), "timeline/arrival_cdf_mcse is missing"),
    (_without("trajectories", "weight"), "trajectories/weight is missing"),
    (lambda tree: tree.__delitem__("trajectories"), "trajectories/log10_physical_compute is miss"),
    (_with(*CDF[:1], "arrival_cdf_replicates", lambda a: a.transpose()), "got dimensions"),
    (_units, "trajectories/algorithmic_progress: got units 'year', expected 'OOM'"),
    (_unnamed, "has no units or long_name"),
    (_with(*CDF, _set(3, np.nan)), "timeline/arrival_cdf: got values that are not finite"),
    (_with("trajectories", "weight", _set(0, np.inf)), "trajectories/weight: got values that"),
    (_with(*CDF, _set(3, 0.9)), "arrival_cdf: expected to rise within 0 and 1"),
    (_with(*CDF, _set(-1, 1.5)), "arrival_cdf: expected to rise within 0 and 1"),
    (_with(*CDF, _set(0, -0.1)), "arrival_cdf: expected to rise within 0 and 1"),
    (
        _with("timeline", "arrival_year_quantile", _set(0, 2059.9)),
        "arrival_year_quantile: expected to rise",
    ),
    (_with("timeline", "p_never_by_horizon", lambda a: a + 0.1), "p_never_by_horizon miss 1"),
    (_no_seed, "attribute 'seed' is missing"),
]


@pytest.mark.parametrize(("break_it", "message"), VIOLATIONS)
def test_each_breach_of_the_contract_is_caught(small_trees, break_it, message):
    tree = small_trees["trend"].copy(deep=True)
    schema.validate(tree)
    break_it(tree)
    with pytest.raises(ValueError, match=message):
        schema.validate(tree)


# A real fit


@pytest.fixture(scope="session")
def baseline() -> tuple[Scenario, dict[str, xr.DataTree], xr.DataTree]:
    """Return the shipped baseline, fitted with its own settings; fewer samples afterwards."""
    scenario = load_scenario("baseline", samples=SAMPLES)
    fits = engine.fit(scenario)
    return scenario, fits, engine.simulate(scenario, fits, chunk=CHUNK)


def test_the_baseline_keeps_the_contract_and_passes_its_gate(baseline):
    _, _, tree = baseline
    schema.validate(tree)
    assert tree.attrs["verdict"] in ("PASS", "REVIEW"), tree.attrs["verdict_reasons"]
    expected = {*schema.FITTED_GROUPS, "trajectories", "timeline", "history"}
    assert expected <= set(tree.children)
    for node in tree.subtree:
        for name, variable in node.to_dataset(inherit=False).variables.items():
            assert variable.attrs["long_name"], f"{node.path}/{name}"
            assert isinstance(variable.attrs["units"], str), f"{node.path}/{name}"


def test_the_baseline_says_what_it_was_made_from(baseline):
    scenario, fits, tree = baseline
    attributes = tree.attrs
    assert set(schema.ATTRIBUTES) <= set(attributes)
    assert attributes["scenario_toml"] == to_toml(scenario)
    data = json.loads(attributes["data"])
    assert set(data) == {
        "notable_models",
        "training_costs",
        "ml_hardware",
        "lm_algorithmic_progress",
    }
    for entry in data.values():
        assert len(entry["sha256"]) == 64
        assert entry["licence"]
        assert entry["attribution"]
    versions = json.loads(attributes["versions"])
    assert versions["jax"] == jax.__version__
    assert versions["numpy"] == np.__version__
    assert set(json.loads(attributes["fits"])) == set(fits) == set(provenance.RECORDS)


def test_arviz_reads_the_groups_of_the_baseline(baseline):
    posterior = baseline[2]["posterior"]
    assert posterior.sizes["chain"] == 4
    r_hat = arviz_stats.rhat(posterior.to_dataset()[["spending_doubling_time_years"]])
    assert float(r_hat["spending_doubling_time_years"]) < 1.05
    table = arviz_stats.summary(
        posterior.to_dataset(), var_names=["training_compute_doubling_time_years"]
    )
    assert list(table.index) == ["training_compute_doubling_time_years"]


def test_the_fits_agree_with_published_growth(baseline):
    """The ten largest grew 5.3x (4.9 to 5.7) a year since 2010 (Sevilla & Roldan 2024)."""
    doubling = baseline[2]["posterior"]["training_compute_doubling_time_years"].to_numpy()
    low, high = np.quantile(2 ** (1 / doubling), [0.05, 0.95])
    assert low < 5.7
    assert high > 4.9
    # All over, they say four- to fivefold.
    assert 4 < np.median(2 ** (1 / doubling)) < 5


def test_posterior_rows_enter_the_forecast_whole(baseline):
    """Level and doubling time of a draw come from one posterior draw: their pairing is kept."""
    _, fits, tree = baseline
    paths = tree["trajectories"].to_dataset()
    names = ["training_compute.log10_level", "training_compute.doubling_time_years"]
    drawn = paths["input_value"].sel(input=names).to_numpy()
    columns = fits["training_compute"]["forecast"].to_dataset()
    pairs = {
        (np.float32(level), np.float32(doubling))
        for level, doubling in zip(
            columns["log10_level"].to_numpy().ravel(),
            columns["doubling_time_years"].to_numpy().ravel(),
            strict=True,
        )
    }
    assert all((level, doubling) in pairs for level, doubling in drawn)


# The cache of fits


def test_a_second_fit_comes_from_the_cache(baseline):
    scenario, fits, forecast = baseline
    again = records.fit_records(scenario)
    assert {name: cached for name, (_, cached) in again.items()} == dict.fromkeys(fits, True)
    for name, (tree, _) in again.items():
        assert tree["forecast"].to_dataset().identical(fits[name]["forecast"].to_dataset())
        assert tree.identical(fits[name])
    kept = {name: tree for name, (tree, _) in again.items()}
    assert engine.simulate(scenario, kept, chunk=CHUNK).identical(forecast)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"as_of": datetime.date(2025, 1, 1)},
        {"spending": {"doubling_time_years": {"lognormal": [0.3, 4.0], "mass": 0.95}}},
        {"spending": {"top_n": 11}},
        {"inference": {"draws": 999}},
    ],
)
def test_what_a_fit_depends_on_is_in_its_key(changes):
    plain, other = load_scenario("baseline"), load_scenario("baseline", **changes)
    assert provenance.fit_key(plain, "spending") != provenance.fit_key(other, "spending")


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "another", "samples": 5, "horizon_year": 2090},
        {"training_compute": {"top_n": 11}},
        {"spending": {"residual_scale_oom": {"lognormal": [0.1, 2.0], "source": "another"}}},
    ],
)
def test_what_a_fit_does_not_depend_on_is_not_in_its_key(changes):
    plain, other = load_scenario("baseline"), load_scenario("baseline", **changes)
    assert provenance.fit_key(plain, "spending") == provenance.fit_key(other, "spending")


@pytest.mark.parametrize(
    "edited", ["priors/published_laws.toml", "priors/sets/history.toml", "kernels/histogram.py"]
)
def test_code_and_published_constants_are_in_the_key(edited, tmp_path, monkeypatch):
    for package in provenance._CODE:
        source = resources.files(f"aitimelines.{package}")
        folder = tmp_path.joinpath(*package.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        for entry in source.iterdir():
            if entry.name.endswith((".py", ".toml")):
                folder.joinpath(entry.name).write_bytes(entry.read_bytes())
    whole = provenance.code_key()
    copies = {f"aitimelines.{p}": tmp_path.joinpath(*p.split(".")) for p in provenance._CODE}
    monkeypatch.setattr(provenance, "files", copies.__getitem__)
    assert provenance.code_key() == whole
    changed = tmp_path / edited
    changed.write_bytes(changed.read_bytes().replace(b"1", b"2", 1))
    assert provenance.code_key() != whole


def test_a_damaged_cache_entry_is_made_anew(baseline):
    scenario, fits, _ = baseline
    alone = scenario.model_copy(
        update={
            name: getattr(scenario, name).model_copy(update={"fit": False})
            for name in provenance.RECORDS
            if name != "spending"
        }
    )
    (entry,) = (cache_directory() / "fits").glob("spending-*.zarr")
    files = sorted((entry / "forecast").rglob("*"))
    chunk = next(path for path in files if path.is_file() and path.name != "zarr.json")
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    (tree, cached) = records.fit_records(alone)["spending"]
    assert not cached
    assert tree["forecast"].to_dataset().identical(fits["spending"]["forecast"].to_dataset())
    assert records.fit_records(alone)["spending"][1]


# As of an earlier date


@pytest.mark.parametrize("name", provenance.RECORDS)
def test_rows_after_the_date_do_not_enter(name):
    as_of = datetime.date(2023, 6, 30)
    scenario = load_scenario("baseline", as_of=as_of)
    rows = records.read_record(scenario, name).rows
    assert rows["year"].max() <= decimal_year(np.datetime64(as_of))
    everything = records.read_record(load_scenario("baseline"), name).rows
    assert everything["year"].max() >= rows["year"].max()
    assert set(rows["name"]) <= set(everything["name"])
    earlier = everything[everything["year"] <= decimal_year(np.datetime64(as_of))]
    assert len(rows) == len(earlier)


def test_the_record_of_compute_is_the_ten_largest_at_release():
    as_of = datetime.date(2023, 6, 30)
    rows = records.read_record(load_scenario("baseline", as_of=as_of), "training_compute").rows
    frame = load_frame("notable_models")
    known = frame[(frame["training_compute_flop"] > 0) & (frame["date"] <= str(as_of))]
    for _, row in rows.sample(20, random_state=0).iterrows():
        date = known.loc[known["name"] == row["name"], "date"].min()
        before = known[known["date"] < date]
        larger = (before["training_compute_flop"] > 1.0001 * 10 ** row["log10_value"]).sum()
        assert larger < 10


def test_a_forecast_made_in_2022_covers_what_came():
    """From the table as it was in June 2022: the largest run of July 2025 took 5e26 FLOP."""
    values = copy.deepcopy(SMALL)
    del values["training_compute"]
    values |= {"as_of": datetime.date(2022, 6, 20), "horizon_year": 2030}
    values["training_compute"] = {"table": "notable_models_2022_06"}
    values["requirement"]["components"] = [{"name": "a", "weight": 0.9, "normal": [27.0, 36.0]}]
    scenario = scenario_from_dict(values)
    assert provenance.fitted_records(scenario) == ["training_compute"]
    tree = engine.run(scenario)
    paths = tree["trajectories"].to_dataset()
    compute = paths["log10_physical_compute"].interp(year=2025.52)
    low, _, high = weighted_quantiles(compute, paths["weight"])
    assert low < np.log10(5e26) < high
    assert high - low < 4  # it says something
    # The largest run then known, PaLM and its like, was about 2.5e24 to 3e24 FLOP.
    now = weighted_quantiles(paths["log10_physical_compute"][:, 0], paths["weight"])
    assert now[0] < np.log10(3e24) < now[2] + 0.5
