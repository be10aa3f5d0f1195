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
# # A first forecast
#
# A forecast here has three parts: a *requirement* (how much effective compute a milestone takes),
# an *availability path* (physical compute x algorithmic progress x post-training gains, under
# limits) and a *first passage* (when the path first reaches the requirement). We start with a
# published model, which needs no fitting, and then change an assumption.

# %%
import aitimelines.forecast as fc

scenario = fc.load_scenario("cotra-2020", samples=16384)
cotra = fc.run(scenario)
print(scenario.description)

# %% [markdown]
# Results are a tree of labelled arrays. `timeline` holds the distribution of the arrival year.

# %%
timeline = cotra["timeline"].to_dataset()
timeline["arrival_cdf"].sel(year=[2030, 2036, 2050, 2100])

# %%
fc.plot.timeline(cotra)

# %% [markdown]
# The same model with prices of computing that halve every 1.5 instead of 2.5 years (the aggressive
# value of the report). Anything that a scenario file leaves out comes from its prior set, so that
# one line changes one belief.

# %%
faster = fc.load_scenario(
    "cotra-2020",
    samples=16384,
    price_performance={"doubling_time_years": 1.5, "long_run_doubling_time_years": 1.5},
)
later = fc.summary(cotra)["quantiles"]["0.5"]["year"]
sooner = fc.summary(fc.run(faster))["quantiles"]["0.5"]["year"]
print(f"median {later:.1f} with the best guess, {sooner:.1f} with faster hardware")

# %% [markdown]
# `fc.run("baseline")` is our own model, fitted to the historical record: the first run takes
# under a minute, later ones reuse the fit. `fc.plot.compute` draws its history and forecast.

# %%
data = fc.data.load("notable_models")
data["training_compute_flop"].attrs
