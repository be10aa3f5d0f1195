"""Posteriors and samplers that `fits.py` compares."""

import contextlib
import io
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

CHAINS = 4
TREND_PRIORS = {
    "doubling_time_years": ("lognormal", 0.2, 4.0, 0.95),
    "log10_level_at_anchor": ("normal", 0.0, 40.0, 0.95),
    "residual_scale_oom": ("lognormal", 0.1, 2.0, 0.9),
    "degrees_of_freedom": ("lognormal", 2.0, 30.0, 0.9),
}


class Case(NamedTuple):
    """A posterior: the model and data, and the same without nodes for those who cannot take any."""

    model: Callable[..., None]
    data: dict[str, Any]
    nodes: np.ndarray | None
    continuous: Callable[..., None]


class Timed(NamedTuple):
    """One fit: draws, name -> (chain, draw, ...); effective draws; (wall, CPU) seconds of parts."""

    draws: dict[str, np.ndarray]
    effective: float
    before: tuple[float, float]
    sampling: tuple[float, float]


# The posteriors


def chinchilla() -> Case:
    """Return the law of training loss, on the 240 runs of Besiroglu et al. (2024)."""
    from aitimelines.forecast.datasets import load_frame
    from aitimelines.forecast.history import scaling_law

    rows = scaling_law.observations(load_frame("chinchilla_losses"))
    data = {str(name): rows[name].to_numpy() for name in rows}
    data["priors"] = scaling_law.default_priors()
    return Case(scaling_law.model, data, None, scaling_law.model)


def change_point() -> Case:
    """Return the trend with one change point, on the 123 systems of Sevilla et al. (2022)."""
    import numpyro
    import numpyro.distributions as dist
    from aitimelines.forecast.datasets import decimal_year, load_frame
    from aitimelines.forecast.history import trend

    frame = load_frame("three_eras_123")
    year = decimal_year(frame["date"].to_numpy())
    order = np.argsort(year)
    year = year[order]
    data = {
        "year": year,
        "log10_value": np.log10(frame["training_compute_flop"].to_numpy(float))[order],
        "group": np.zeros(len(year), int),
        "priors": TREND_PRIORS,
        "change_points": 1,
        "residual": "student_t",
    }

    def continuous(**data: Any) -> None:
        date = numpyro.sample("date", dist.Uniform(year.min() + 1, year.max() - 1))
        trend.model(**data, node=date[None])

    return Case(trend.model, data, trend.change_point_nodes(year, 1), continuous)


CASES = {"Chinchilla losses": chinchilla, "change point of a trend": change_point}


# The contenders: each returns a function of a seed that can be called again, compiled


def clock() -> np.ndarray:
    """Return (wall, CPU) seconds now."""
    return np.array([time.perf_counter(), time.process_time()])


def smallest_ess(draws: dict[str, np.ndarray]) -> float:
    """Return the bulk effective sample size of the worst of all parameters."""
    from arviz_stats.base import array_stats

    columns = [v.reshape(*v.shape[:2], -1) for v in draws.values()]
    flat = np.concatenate(columns, axis=2)
    return min(
        float(array_stats.ess(flat[..., k], chain_axis=0, draw_axis=1))
        for k in range(flat.shape[2])
        if flat[..., k].std() > 0
    )


def whole_fit(case: Case, draws: int, warmup: int) -> Callable[[int], Timed]:
    """Return this package's fit; its ESS is at most that of the weights (Kish)."""
    from aitimelines.forecast import inference, model_program

    settings = inference.SamplerSettings(chains=CHAINS, draws=draws, warmup=warmup)
    example = None if case.nodes is None else case.nodes[0]
    kept: list[model_program.Compiled] = []

    def run(seed: int) -> Timed:
        start = clock()
        if not kept:
            kept.append(model_program.compile_model(case.model, case.data, example))
        found = inference.fit(
            case.model,
            case.data,
            seed=(seed,),
            nodes=case.nodes,
            settings=settings,
            compiled=kept[0],
        )
        took = clock() - start
        assert found.sampler == "importance", found.pareto_k
        effective = _effective(found.draws, found.statistics, draws, settings.proposals)
        return Timed(found.draws, effective, (0.0, 0.0), tuple(took))

    return run


def draws_alone(case: Case, draws: int, warmup: int) -> Callable[[int], Timed]:
    """Return the draws of this package's fit, without likelihoods and predictions: as NUTS's."""
    from aitimelines.forecast import importance, model_program

    proposals = max(8192, 2 ** int(np.ceil(np.log2(draws))))
    nodes = np.zeros((1, 1)) if case.nodes is None else case.nodes
    kept: list[model_program.Compiled] = []

    def run(seed: int) -> Timed:
        start = clock()
        if not kept:
            example = None if case.nodes is None else nodes[0]
            kept.append(model_program.compile_model(case.model, case.data, example))
        rng, compiled = np.random.default_rng(seed), kept[0]
        any_node = nodes[rng.integers(len(nodes), size=1000)]
        flat, node, statistics, pareto_k = importance.sample(
            compiled.log_density,
            compiled.prior_points(rng.standard_normal((1000, compiled.size)), any_node),
            nodes,
            rng.integers(2**32, size=importance.ADAPTATIONS + CHAINS, dtype=np.uint32),
            draws=draws,
            proposals=proposals,
            report=lambda chains: None,
        )
        took = clock() - start
        assert pareto_k < 0.7, pareto_k
        shaped = flat.reshape(CHAINS, draws, -1)
        effective = _effective({"flat": shaped}, statistics, draws, proposals)
        found = _constrained(compiled, shaped, nodes[node])
        return Timed(found, effective, (0.0, 0.0), tuple(took))

    return run


def density_alone(case: Case, draws: int, warmup: int) -> Callable[[int], Timed]:
    """Return the evaluation of the density at prior draws, as if each were an effective draw.

    A bound: no importance sampling can do with fewer.
    """
    from aitimelines.forecast import model_program

    nodes = np.zeros((1, 1)) if case.nodes is None else case.nodes
    compiled = model_program.compile_model(
        case.model, case.data, None if case.nodes is None else nodes[0]
    )

    def run(seed: int) -> Timed:
        rng = np.random.default_rng(seed)
        node = nodes[rng.integers(len(nodes), size=CHAINS * draws)]
        flat = compiled.prior_points(rng.standard_normal((len(node), compiled.size)), node)
        start = clock()
        compiled.log_density(flat, node)
        took = clock() - start
        found = _constrained(compiled, flat.reshape(CHAINS, draws, -1), node)
        return Timed(found, float(len(flat)), (0.0, 0.0), tuple(took))

    return run


def _effective(
    found: dict[str, np.ndarray], statistics: dict[str, np.ndarray], draws: int, proposals: int
) -> float:
    """Return the ESS of the worst parameter, at most that of all the weights (Kish).

    A chain takes two proposals a draw at least, or as many as it may.
    """
    kish = statistics["importance_efficiency"][:, 0].sum() * min(2 * draws, proposals)
    return min(smallest_ess(found), float(kish))


def numpyro_nuts(
    case: Case, draws: int, warmup: int, *, dense: bool = False
) -> Callable[[int], Timed]:
    """Return NumPyro's NUTS, chains vectorised.

    Its kernel, in a loop that is compiled once: ``MCMC.run`` compiles anew at each call. draws: a
    multiple of ``warmup``.
    """
    import jax
    import jax.numpy as jnp
    from aitimelines.forecast.model_program import compile_model
    from numpyro.infer import NUTS

    compiled = compile_model(case.continuous, case.data)
    kernel = NUTS(
        potential_fn=lambda z: -compiled.joint(z, jnp.zeros(1)),
        dense_mass=dense,
    )

    def step(state: Any, _: None) -> tuple[Any, Any]:
        state = kernel.sample(state, (), {})
        return state, state.z

    begin = jax.jit(lambda keys, start: kernel.init(keys, warmup, start, (), {}))
    iterate = jax.jit(lambda state: jax.lax.scan(step, state, None, length=warmup))

    def run(seed: int) -> Timed:
        start = clock()
        keys = jax.random.split(jax.random.PRNGKey(seed), CHAINS + 1)
        first = jax.random.uniform(keys[0], (CHAINS, compiled.size), minval=-2.0, maxval=2.0)
        state, _ = jax.block_until_ready(iterate(begin(keys[1:], first)))
        between = clock()
        parts = []
        for _ in range(draws // warmup):
            state, z = iterate(state)
            parts.append(np.asarray(z))
        end = clock()
        found = _constrained(compiled, np.concatenate(parts).swapaxes(0, 1))
        return Timed(found, smallest_ess(found), tuple(between - start), tuple(end - between))

    return run


def blackjax_nuts(case: Case, draws: int, warmup: int) -> Callable[[int], Timed]:
    """Return BlackJAX's NUTS after its window adaptation, chains vectorised."""
    import blackjax
    import jax
    import jax.numpy as jnp
    from aitimelines.forecast.model_program import compile_model

    compiled = compile_model(case.continuous, case.data)

    def density(z: Any) -> Any:
        return compiled.joint(z, jnp.zeros(1))

    def adapt(key: Any, start: Any) -> Any:
        found, _ = blackjax.window_adaptation(blackjax.nuts, density).run(key, start, warmup)
        return found.state, found.parameters

    def chain(key: Any, state: Any, parameters: Any) -> Any:
        kernel = blackjax.nuts(density, **parameters)

        def step(state: Any, key: Any) -> tuple[Any, Any]:
            state, _ = kernel.step(key, state)
            return state, state.position

        return jax.lax.scan(step, state, jax.random.split(key, draws))[1]

    adapt_all, chain_all = jax.jit(jax.vmap(adapt)), jax.jit(jax.vmap(chain))

    def run(seed: int) -> Timed:
        start = clock()
        keys = jax.random.split(jax.random.PRNGKey(seed), 3)
        first = jax.random.uniform(keys[0], (CHAINS, compiled.size), minval=-2.0, maxval=2.0)
        adapted = jax.block_until_ready(adapt_all(jax.random.split(keys[1], CHAINS), first))
        between = clock()
        flat = np.asarray(chain_all(jax.random.split(keys[2], CHAINS), *adapted))
        end = clock()
        found = _constrained(compiled, flat)
        return Timed(found, smallest_ess(found), tuple(between - start), tuple(end - between))

    return run


def nutpie_nuts(case: Case, draws: int, warmup: int) -> Callable[[int], Timed]:
    """Return nutpie on the density of the NumPyro model, compiled by JAX.

    Its own tuning length, 300, is what it recommends.
    """
    import jax
    import jax.numpy as jnp
    import nutpie
    from aitimelines.forecast.model_program import compile_model
    from nutpie.compiled_pyfunc import from_pyfunc

    compiled = compile_model(case.continuous, case.data)
    both = jax.jit(jax.value_and_grad(lambda z: compiled.joint(z, jnp.zeros(1))))
    size, tune = compiled.size, min(warmup, 300)

    def make_density() -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
        def density(z: np.ndarray) -> tuple[float, np.ndarray]:
            with jax.enable_x64(True):
                value, gradient = both(z)
            return float(value), np.asarray(gradient)

        return density

    def make_expand(*_: Any) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
        return lambda z: {"z": np.asarray(z)}

    program = from_pyfunc(size, make_density, make_expand, [np.dtype(np.float64)], [(size,)], ["z"])

    def run(seed: int) -> Timed:
        start = clock()
        with contextlib.redirect_stdout(io.StringIO()):
            trace = nutpie.sample(
                program, draws=draws, tune=tune, chains=CHAINS, seed=seed, progress_bar=False
            )
        took = clock() - start
        steps = [trace[g].n_steps.to_numpy().sum() for g in ("warmup_sample_stats", "sample_stats")]
        part = steps[0] / sum(steps)
        found = _constrained(compiled, trace.posterior["z"].to_numpy())
        return Timed(found, smallest_ess(found), tuple(part * took), tuple((1 - part) * took))

    return run


def _constrained(
    compiled: Any, flat: np.ndarray, node: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    points = flat.reshape(-1, flat.shape[-1])
    values = compiled.evaluate(points, np.zeros((len(points), 1)) if node is None else node).values
    return {name: v.reshape(*flat.shape[:2], *v.shape[1:]) for name, v in values.items()}


def _times(contender: Callable[..., Callable[[int], Timed]], times: int, **options: Any) -> Any:
    """Return the contender with so many times the draws."""
    return lambda case, draws, warmup: contender(case, times * draws, warmup, **options)


MANY = 64  # times the draws
DENSITY = "density alone"
CONTENDERS = {
    "this package, draws alone": draws_alone,
    f"this package, draws alone, {MANY} x": _times(draws_alone, MANY),
    "this package, a whole fit": whole_fit,
    "this package, a whole fit, 4 x": _times(whole_fit, 4),
    "NumPyro NUTS, dense mass": partial(numpyro_nuts, dense=True),
    "NumPyro NUTS, dense mass, 4 x": _times(numpyro_nuts, 4, dense=True),
    "NumPyro NUTS, as it comes": numpyro_nuts,
    "BlackJAX NUTS": blackjax_nuts,
    "BlackJAX NUTS, 4 x": _times(blackjax_nuts, 4),
    "nutpie": nutpie_nuts,
    DENSITY: _times(density_alone, MANY),
}
