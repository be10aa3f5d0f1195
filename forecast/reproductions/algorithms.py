"""Algorithmic progress and enhancements, of language models and of image classifiers.

Ho et al. (2024), Erdil & Besiroglu (2022), Hernandez & Brown (2020), Davidson et al. (2023).

What needs the method of Ho et al. is in `perplexities`. Of Erdil & Besiroglu neither code nor the
equation was at hand: their numbers are compared with a least-squares line through the logit of
error, or with two terms of it, on the same models.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import permutations

import numpy as np
import pandas as pd
from scipy import optimize, special

from ..datasets import load_frame
from ..enhancements import years_gained
from . import perplexities as ppl
from .computed import Computed, ols

_ELAPSED_2023 = 2023 - ppl.FIRST_YEAR
_MONTHS = 12.0


def _with_interval(values: np.ndarray, n: int, note: str = "") -> Computed:
    """Return the median and the central 95 % of bootstrap values."""
    low, middle, high = np.nanquantile(values, [0.025, 0.5, 0.975])
    return Computed(float(middle), float(low), float(high), n, note)


# --- Ho et al. 2024 ------------------------------------------------------------------------------


@cache
def _rows() -> ppl.Rows:
    return ppl.columns(ppl.sample())


@cache
def _bootstrap(model: ppl.Model) -> np.ndarray:
    return ppl.bootstrap(model, _rows(), seed=1)


def _log_sides(training_flop: float) -> tuple[float, float]:
    """Return ln N/N0 and ln D/D0 of N = D = sqrt(C / 6)."""
    side = np.log(training_flop / 6) / 2
    return float(side - np.log(ppl.LEAST_PARAMETERS)), float(side - np.log(ppl.LEAST_TOKENS))


def ho_doubling() -> Computed:
    """Return the doubling time of effective compute, model 7."""
    months = ppl.doubling_months(_bootstrap(ppl.model_7))
    return _with_interval(months, len(_rows().observed))


def ho_printed_constants() -> Computed:
    """Return the doubling time of the printed constants."""
    return Computed(float(ppl.doubling_months(np.array(list(ppl.PRINTED.values())))))


def ho_either_rate_positive() -> Computed:
    """Return the part of bootstrap samples in which the two rates have a positive sum [%]."""
    p = _bootstrap(ppl.model_7)
    return Computed(100 * float(np.mean(p[:, 3] + p[:, 8] > 0)), n=len(_rows().observed))


def ho_irreducible() -> Computed:
    """Return the same above an irreducible loss."""
    months = ppl.doubling_months(_bootstrap(ppl.model_19)[:, 1:])
    return _with_interval(months, len(_rows().observed))


def ho_optimal_scaling() -> Computed:
    """Return the time in which algorithms do what twice 1e25 FLOP do in 2023."""
    log_nd = sum(_log_sides(1e25))
    months = [ppl.optimal_scaling_months(p, _ELAPSED_2023, log_nd) for p in _bootstrap(ppl.model_7)]
    return _with_interval(np.array(months), len(_rows().observed))


@cache
def _correlated() -> tuple[np.ndarray, int]:
    frame = ppl.sample(1000)
    found = ppl.correlated_fit(ppl.columns(frame), pd.factorize(frame["paper"])[0])
    return found, len(frame)


def ho_correlated() -> Computed:
    """Return the doubling time where rows of one paper err together, of all rows of each."""
    constants, n = _correlated()
    return Computed(float(ppl.doubling_months(constants[:10])), n=n)


def ho_correlation() -> Computed:
    """Return by how much the residuals of one paper correlate."""
    constants, n = _correlated()
    return Computed(float(constants[11]), n=n)


def ho_without_transformers() -> Computed:
    """Return the doubling time of other architectures."""
    frame = ppl.sample()
    rows = ppl.columns(frame[frame["architecture"].astype(str) != "Transformer"])
    months = ppl.doubling_months(ppl.bootstrap(ppl.model_7, rows, seed=2))
    return _with_interval(months, len(rows.observed))


def ho_tokens_seen(*, imputed: bool, diminishing: bool) -> Computed:
    """Return the doubling time with tokens seen, repeats included, in the place of the set's size.

    imputed: one epoch where it is not known, else such rows are left out; diminishing: repeats are
    worth ever less, as the authors' notebook has it
    """
    frame = ppl.sample()
    if not imputed:
        frame = frame[frame["epochs"].notna()]
    epochs = frame["epochs"].fillna(1.0).to_numpy(dtype=float)
    if diminishing:
        epochs = 1 - ppl.REPEATS_WORTH * np.expm1(-epochs / ppl.REPEATS_WORTH)
    rows = ppl.columns(frame, frame["dataset_tokens"].to_numpy(float) * epochs)
    months = ppl.doubling_months(ppl.bootstrap(ppl.model_7, rows, seed=3))
    return _with_interval(months, len(rows.observed))


def ho_transformer(training_flop: float) -> Computed:
    """Return the compute-equivalent gain of the transformer in 2023."""
    sides = _log_sides(training_flop)
    gains = [
        ppl.transformer_gain(p, _ELAPSED_2023, *sides) for p in _bootstrap(ppl.model_transformer)
    ]
    return _with_interval(np.array(gains), len(_rows().observed))


def ho_transformer_reduction() -> Computed:
    """Return by how much the transformer lowers loss [%]."""
    reduced = special.expit(_bootstrap(ppl.model_transformer)[:, -1])
    return _with_interval(100 * (1 - reduced), len(_rows().observed))


def ho_compute_only() -> Computed:
    """Return the leave-one-out mean square of the compute-only model, as the authors' code has it.

    There the reference compute is the least of the rows predicted: of a single row its own.
    """
    rows = _rows()
    everything = np.arange(len(rows.observed))
    wrong = rows._replace(log_n=np.zeros_like(rows.log_n), log_d=np.zeros_like(rows.log_d))
    error = np.zeros((2, len(everything)))
    for one in everything:
        p = ppl.fit(ppl.model_18, rows.take(everything != one))
        for way, given in enumerate((wrong, rows)):
            error[way, one] = (rows.observed - ppl.model_18(p, given))[one]
    of_code, meant = np.mean(error**2, axis=1)
    return Computed(
        float(of_code), n=len(everything), note=f"With compute put in rightly it is {meant:.3f}."
    )


def ho_shares(start: int, end: int) -> Computed:
    """Return the share of compute in the fall of loss between two runs, by the printed constants.

    Exact Shapley values of parameters, data and the year in both terms [%].
    """
    p = np.array(list(ppl.PRINTED.values()))
    runs = np.array([_RUNS[start], _RUNS[end]])

    def loss(orders: np.ndarray) -> np.ndarray:
        """Return the loss of each set of what has changed: N, D, year."""
        n, d, year = (runs[orders[:, k], k] for k in range(3))
        elapsed = year - ppl.FIRST_YEAR
        log_n, log_d = np.log(n / ppl.LEAST_PARAMETERS), np.log(d / ppl.LEAST_TOKENS)
        first = np.exp(p[0] - p[3] * elapsed - p[4] * log_n)
        return np.asarray(first + np.exp(p[5] - p[8] * elapsed - p[9] * log_d))

    return Computed(100 * float(_shares(loss, 3)[:2].sum()))


# Parameters, tokens, year: RNN 2012, LSTM 2016, Transformer (adaptive inputs), GPT-2, Chinchilla.
_RUNS = (
    (6.0e6, 9.29e5, 2012.916728),
    (1.1e7, 1.03e8, 2016.949668),
    (2.47e8, 1.03e8, 2018.740261),
    (1.5e9, 4.0e9, 2019.120830),
    (7.0e10, 1.4e12, 2022.239309),
)


def _shares(value: Callable[[np.ndarray], np.ndarray], causes: int) -> np.ndarray:
    """Return Shapley shares of causes, from values at (set, cause) of zeros and ones."""
    orders = np.array(list(permutations(range(causes))))
    found = np.zeros(causes)
    for order in orders:
        acted = np.tril(np.ones((causes + 1, causes), dtype=int), -1)[:, np.argsort(order)]
        found[order] += np.diff(value(acted)) / len(orders)
    return np.asarray(found / found.sum())


def ho_chinchilla(training_flop: float) -> Computed:
    """Return the compute-equivalent gain of Hoffmann et al.'s allocation over Kaplan et al.'s.

    The latter minimises the L(N, D) of Kaplan et al.; both are valued by the law of Hoffmann et al.
    """
    from ..laws import optimum, waste

    kaplan = optimum("kaplan-2020-data", training_flop=training_flop)
    return Computed(waste("hoffmann-2022", parameters=kaplan.parameters, tokens=kaplan.tokens))


def ho_gain() -> Computed:
    """Return what a doubling every 7.9 months gives in 9.5 years."""
    return Computed(2 ** (9.5 * _MONTHS / 7.9))


# --- images --------------------------------------------------------------------------------------


@cache
def _images() -> pd.DataFrame:
    frame = load_frame("imagenet_progress")
    frame = frame[frame["training_compute_flop"].notna()]
    error = frame["top1_error_percent"].to_numpy(float) / 100
    date = pd.DatetimeIndex(frame["date"])
    return pd.DataFrame(
        {
            "log_flop": np.log(frame["training_compute_flop"].to_numpy(float)),
            "log_images": np.log(frame["training_datapoints"].to_numpy(float)),
            "year": np.asarray(date.year + (date.day_of_year - 1) / 365.25, dtype=float),
            "logit": special.logit(error),
        }
    )


def _line(rows: np.ndarray) -> np.ndarray:
    """Return the slopes of the last column, logit of error, in log compute, log images and year."""
    x = np.column_stack([np.ones(len(rows)), rows[:, :3] - rows[:, :3].mean(axis=0)])
    return np.asarray(np.linalg.lstsq(x, rows[:, 3], rcond=None)[0][1:])


def erdil_halving() -> Computed:
    """Return the time in which the compute of a given error halves."""
    rows, rng = _images().to_numpy(), np.random.default_rng(4)
    drawn = [_line(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(1000)]
    months = [_MONTHS * np.log(2) * slope[0] / slope[2] for slope in [_line(rows), *drawn]]
    low, high = np.quantile(months[1:], [0.025, 0.975])
    return Computed(float(months[0]), float(low), float(high), len(rows))


def erdil_share(cause: int) -> Computed:
    """Return the share of compute, data or algorithms from the first model to the best [%]."""
    rows = _images().to_numpy()
    first, best = rows[rows[:, 2].argmin()], rows[rows[:, 3].argmin()]
    change = _line(rows) * (best - first)[:3]
    return Computed(100 * float(change[cause] / change.sum()), n=len(rows))


def erdil_compute_augmenting() -> Computed:
    """Return the part of algorithmic progress that saves compute, not data [%].

    Least squares of the logit, odds = exp(a - c (ln C + g t)) + exp(b - d (ln D + h t)), and
    Shapley values from the first to the best model.
    """
    rows = _images()
    x = rows[["log_flop", "log_images", "year"]].to_numpy()
    x = (x - x.mean(axis=0))[:, [0, 1, 2, 2]]
    observed = rows["logit"].to_numpy()

    def logit(p: np.ndarray, at: np.ndarray) -> np.ndarray:
        a, c, g, b, d, h = p
        first = a - np.exp(c) * at[:, 0] - g * at[:, 2]
        return np.asarray(np.logaddexp(first, b - np.exp(d) * at[:, 1] - h * at[:, 3]))

    start = [(-2.5, np.log(0.1), g, -2.5, np.log(0.1), h) for g in (0.0, 0.2) for h in (0.0, 0.2)]
    fits = [optimize.least_squares(lambda p: logit(p, x) - observed, each) for each in start]
    p = min(fits, key=lambda found: found.cost).x
    ends = x[[rows["year"].argmin(), observed.argmin()]]
    shares = _shares(lambda acted: logit(p, ends[acted, np.arange(4)]), 4)
    return Computed(100 * float(shares[2] / (shares[2] + shares[3])), n=len(rows))


@cache
def _alexnet() -> pd.DataFrame:
    frame = load_frame("efficiency_2020")
    return frame[frame["target"] == "AlexNet"].sort_values("date")


def efficiency_factor() -> Computed:
    """Return the factor by which compute for AlexNet's accuracy fell."""
    flop = _alexnet()["training_compute_flop"].to_numpy(float)
    return Computed(float(flop[0] / flop[-1]), n=len(flop))


def efficiency_halving() -> Computed:
    """Return the halving time of that compute by regression."""
    rows = _alexnet()
    days = (rows["date"] - rows["date"].iloc[0]).dt.days.to_numpy(float)
    slope, _, _ = ols(days, np.log2(rows["training_compute_flop"].to_numpy(float)))
    return Computed(-_MONTHS / (slope * 365.25), n=len(rows))


def enhancement_years(factor: float) -> Computed:
    """Return the years that a gain by a factor is worth while compute grows 4.7 times a year."""
    return Computed(float(years_gained(np.log10(factor))))


COMPUTED: dict[str, Callable[[], Computed]] = {
    "ho-2024-doubling": ho_doubling,
    "ho-2024-printed-constants": ho_printed_constants,
    "ho-2024-rates-positive": ho_either_rate_positive,
    "ho-2024-irreducible": ho_irreducible,
    "ho-2024-optimal-scaling": ho_optimal_scaling,
    "ho-2024-correlated": ho_correlated,
    "ho-2024-correlation": ho_correlation,
    "ho-2024-without-transformers": ho_without_transformers,
    "ho-2024-tokens-seen": partial(ho_tokens_seen, imputed=False, diminishing=False),
    "ho-2024-tokens-seen-imputed": partial(ho_tokens_seen, imputed=True, diminishing=False),
    "ho-2024-diminishing": partial(ho_tokens_seen, imputed=False, diminishing=True),
    "ho-2024-diminishing-imputed": partial(ho_tokens_seen, imputed=True, diminishing=True),
    "ho-2024-transformer-1e22": partial(ho_transformer, 1e22),
    "ho-2024-transformer-1e25": partial(ho_transformer, 1e25),
    "ho-2024-transformer-reduction": ho_transformer_reduction,
    "ho-2024-compute-only": ho_compute_only,
    "ho-2024-shares-least": partial(ho_shares, 0, 1),
    "ho-2024-shares-most": partial(ho_shares, 2, 3),
    "ho-2024-shares-2012-2022": partial(ho_shares, 0, 4),
    "ho-2024-chinchilla-gpt-2": partial(ho_chinchilla, 4.3e21),
    "ho-2024-chinchilla-palm": partial(ho_chinchilla, 2.53e24),
    "ho-2024-gain": ho_gain,
    "erdil-2022-halving": erdil_halving,
    "erdil-2022-compute-share": partial(erdil_share, 0),
    "erdil-2022-data-share": partial(erdil_share, 1),
    "erdil-2022-algorithms-share": partial(erdil_share, 2),
    "erdil-2022-compute-augmenting": erdil_compute_augmenting,
    "hernandez-brown-2020-factor": efficiency_factor,
    "hernandez-brown-2020-halving": efficiency_halving,
    "davidson-2023-years-5": partial(enhancement_years, 5.0),
    "davidson-2023-years-20": partial(enhancement_years, 20.0),
}
