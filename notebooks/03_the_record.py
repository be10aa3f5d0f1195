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
# # The record
#
# Historical trends as rival models of the same rows, compared, and published numbers computed
# again. [docs/history.md](../docs/history.md) has every study,
# [docs/reproduction.md](../docs/reproduction.md) every number.

# %%
from aitimelines.forecast import plot_capabilities, plot_history, plot_sizes, studies
from aitimelines.forecast.reproduce import reproduce, slips

studies.study_ids()

# %% [markdown]
# A study is one record and its rivals. Fits are kept in the cache; here only two rivals are fitted.
# Which one predicts rows left out better, and by how much, is in `elpd_difference`.

# %%
eras, _ = studies.fit_study("training-compute-eras", rivals=("0-breaks", "1-breaks"))
eras["comparison"].to_dataset().to_dataframe().round(2)

# %%
plot_history.study_figure(eras)

# %% [markdown]
# What a reader wants of a fit are its quantities, by draw and with the unit in the name.

# %%
eras["1-breaks/quantities"].to_dataset().quantile((0.05, 0.5, 0.95)).to_dataframe().round(2)

# %% [markdown]
# What the rows taught, and whether they look as the model would have them.

# %%
plot_history.prior_posterior_figure(eras, "1-breaks")

# %%
plot_history.predictive_figure(eras)

# %% [markdown]
# The parameter gap: sizes of language models since GPT-3 without a gap, with a step in cost, or
# with a race at the top.

# %%
gap, _ = studies.fit_study("parameter-gap")
plot_sizes.gap_figure(gap)

# %% [markdown]
# How long the tasks are that models do. When that reaches a month of work depends more on the rival
# than on the uncertainty within any of them.

# %%
horizons, _ = studies.fit_study("time-horizons")
plot_capabilities.horizon_figure(horizons)

# %% [markdown]
# Published numbers, by the method of their authors. `posteriors=True` sets what the studies say of
# the same quantity beside them.

# %%
chosen = ("sevilla-2022", "kwa-2025", "pilz-2025", "jones-2021")
table = reproduce(chosen, posteriors=False).set_index("id")
table[["published", "published_low", "published_high", "computed", "unit", "verdict"]].round(2)

# %% [markdown]
# Errors found in published work on the way, with their evidence.

# %%
slips()

# %% [markdown]
# What this model would have said on two earlier dates, and what came; the whole backtest is
# [docs/backtest.md](../docs/backtest.md).

# %%
from aitimelines.forecast import plot_backtest
from aitimelines.forecast.backtest import backtest
from aitimelines.forecast.backtest_scores import forecasts_of, skills
from aitimelines.forecast.scenario_files import load_scenario

past, _ = backtest(load_scenario("baseline"), ("2020", "2022"), vintages=False)
skills(forecasts_of(past)).round(2)

# %%
plot_backtest.fan_figure(past)
