# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Scaling laws
#
# What published laws of training loss say, what the runs behind them say, and what follows for
# someone who trains. [docs/scaling_laws.md](../docs/scaling_laws.md) has the same for the command
# line.

# %%
import aitimelines.forecast as fc
import numpy as np
from aitimelines.forecast import law_frames, laws, plot_laws, training_decisions
from aitimelines.forecast.law_fits import fit_runs, law_summary, read_runs

# %% [markdown]
# A published law by its id: the compute-optimal run of the budget of Gopher.

# %%
laws.optimum("besiroglu-2024", training_flop=5.76e23)

# %% [markdown]
# The law fitted to the runs themselves. The constants are joint draws: `A` and `alpha` alone are
# known badly, what they say together is known well.

# %%
fit, _ = fit_runs(read_runs("chinchilla_losses"))
found = law_summary(fit)
{name: found["posterior"][name] for name in ("E", "A", "alpha", "B", "beta", "a")}

# %%
plot_laws.loss_contours(fit)

# %%
plot_laws.isoflop_slices(fit)

# %% [markdown]
# Every published law beside that posterior, and runs as they were trained.

# %%
plot_laws.optimal_parameters(law_frames.optima(np.logspace(18, 27, 46)), fit)

# %% [markdown]
# What it costs to train a model of half the best size to the same loss, and the cheapest run when
# 1e13 tokens are to be served, by draw.

# %%
draws = law_frames.draws_of(fit)
half = training_decisions.overtraining_overhead(draws, parameters_ratio=0.5)
served = training_decisions.inference_aware_optimum(draws, loss_nats=1.95, tokens_served=1e13)
half["overhead"].describe(), served["training_flop_ratio"].describe()

# %% [markdown]
# A question of the debate, answered by computation.

# %%
fc.ask("Q1.1").plain()

# %% [markdown]
# A requirement in terms of loss: text of so many tokens that a judge cannot tell from a person's.
# The law turns it into FLOP, and its draws stay joint with everything else.

# %%
judge = {"name": "judge", "weight": 0.9, "k_performance": {"tokens": [3000, 150000]}}
judge["k_performance"]["slowdown"] = [10, 300]
requirement = {"milestone": "long texts", "algorithms_year": 2022.0, "none_weight": 0.1}
scenario = fc.load_scenario(
    "cotra-2020",
    samples=16384,
    scaling_law={"fit": False, "law": "besiroglu-2024"},
    requirement=requirement | {"components": [judge]},
)
fc.plot.timeline(fc.run(scenario))
