"""``aitimelines laws serve|overhead|envelope``: what a law says to someone who trains."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console

from .compiled import loading
from .files import check_figure
from .progress import Kind, shown, warnings_as_notes

out = Console()

Json = Annotated[bool, Parameter(name="--json")]
Numbers = Annotated[list[float] | None, Parameter(consume_multiple=True)]
QUANTILES = (0.05, 0.5, 0.95)
MEMORIES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
BUDGETS = (1e22, 1e23, 1e24, 1e25, 1e26, 1e27)
RATIOS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_OF_ENVELOPES = {
    "training_flop": "FLOP",
    "gigabytes": "GB",
    "flop_per_token": "FLOP a token",
    "probability_overtrained_small_wins": "P(small wins)",
    "compression_gain_nats": "gain [nat]",
    "bits": "bits",
    "sparsity": "zeros",
    "parameters": "parameters",
    "dense_parameters": "dense N",
    "dense_loss_nats": "dense loss",
}


def laws_serve(
    *,
    tokens_served: Annotated[list[float], Parameter(consume_multiple=True)],
    loss: float | None = None,
    flop: float | None = None,
    law: str | None = None,
    posterior: str | None = None,
    json_: Json = False,
    progress: Kind = "auto",
) -> None:
    """Find the run of least 6 N D + 2 N D_served: training and serving together.

    Ratios are to the compute-optimal run of the same loss.

    Parameters
    ----------
    tokens_served
        Tokens that the model reads and writes in its life; several give a row each.
    loss
        Loss to reach [nat/token]. This or --flop.
    flop
        Training budget [FLOP]: the run of that cost which is cheapest for its own loss.
    law
        Id of a law of Chinchilla's form; default besiroglu-2024.
    posterior
        Table to fit a law to, or a CSV file, instead of --law: quantiles over its posterior.
    json_
        Print JSON: law, rows, each number (a law) or {q05, q50, q95} (a posterior).
    progress
        On standard error, of a fit: bars, lines, json, none, or auto.
    """
    if (loss is None) == (flop is None):
        raise ValueError("loss, flop: expected one of the two")
    label, chosen, _ = _chosen(law, posterior, progress)
    from .training_decisions import inference_aware_optimum

    frame = inference_aware_optimum(
        chosen, tokens_served=tokens_served, loss_nats=loss, training_flop=flop
    )
    given = "loss_nats" if flop is None else "training_flop"
    rows = _rows(frame, [given, "tokens_served"])
    if json_:
        return _print_json({"law": label, "rows": rows})
    shown_columns = {
        "tokens_served": "served",
        "parameters": "parameters",
        "training_tokens": "tokens",
        "loss_nats": "loss",
        "parameters_ratio": "N ratio",
        "training_tokens_ratio": "D ratio",
        "training_flop_ratio": "training FLOP",
        "lifetime_flop_ratio": "all FLOP",
    }
    return _print(f"least training and serving, {label}", rows, shown_columns)


def laws_overhead(
    *,
    ratio: Numbers = None,
    law: list[str] | None = None,
    posterior: str | None = None,
    figure: Path | None = None,
    json_: Json = False,
    progress: Kind = "auto",
) -> None:
    """Say what it costs to train a smaller model for longer to the same loss.

    Overhead is the training compute over that of the compute-optimal model, minus 1; the same at
    every budget. inf: no number of tokens is enough.

    Parameters
    ----------
    ratio
        Parameters over compute-optimal ones; default 0.1 to 3.
    law
        Ids of laws of Chinchilla's form; may be given again. Default hoffmann-2022-table-a3 and
        besiroglu-2024.
    posterior
        Table to fit a law to, or a CSV file, in addition.
    figure
        File to draw the curves into (.png, .svg or .pdf).
    json_
        Print JSON: law -> rows; null where the overhead is infinite.
    progress
        On standard error, of a fit: bars, lines, json, none, or auto.
    """
    if figure is not None:
        check_figure(figure)
    fit = fitted(posterior, progress) if posterior is not None else None
    from .law_frames import draws_of
    from .training_decisions import overtraining_overhead

    laws: dict[str, Any] = {name: name for name in law or _default_laws(posterior)}
    if fit is not None:
        laws[_label(posterior, fit)] = draws_of(fit)
    frames = {
        label: overtraining_overhead(each, parameters_ratio=ratio or RATIOS)
        for label, each in laws.items()
    }
    found = {label: _rows(frame, ["parameters_ratio"]) for label, frame in frames.items()}
    if figure is not None:
        _draw_overhead(laws, fit, figure)
    if json_:
        return _print_json(found)
    columns = {
        "parameters_ratio": "N ratio",
        "training_tokens_ratio": "D ratio",
        "overhead": "overhead",
    }
    for label, rows in found.items():
        _print(f"overtraining, {label}", rows, columns)
    return None


def _default_laws(posterior: str | None) -> list[str]:
    return ["hoffmann-2022-table-a3", "besiroglu-2024"] if posterior is None else ["besiroglu-2024"]


def _draw_overhead(laws: dict[str, Any], fit: Any, figure: Path) -> None:
    from .plot_laws import overtraining
    from .plot_page import save_as
    from .training_decisions import overtraining_overhead

    ratios = [0.08 * (3 / 0.08) ** (i / 119) for i in range(120)]
    curves = {
        label: overtraining_overhead(law, parameters_ratio=ratios) for label, law in laws.items()
    }
    save_as(overtraining(curves, fit), figure)


def laws_envelope(
    *,
    flop: Numbers = None,
    gigabytes: Numbers = None,
    flop_per_token: Numbers = None,
    sparsity: Numbers = None,
    law: str | None = None,
    posterior: str | None = None,
    figure: Path | None = None,
    json_: Json = False,
    progress: Kind = "auto",
) -> None:
    """Say whether to train large and compress, or small for long, where serving is limited.

    The dense model has weights of 16 bits and is overtrained where the envelope is tight. The
    compressed one has the best of 3 to 8 bits, by the law of Kumar et al. (2024), and of the given
    sparsities, by that of Frantar et al. (2023): both fitted to far smaller models.

    Parameters
    ----------
    flop
        Training budgets [FLOP]; default 1e22 to 1e27.
    gigabytes
        Memory of the weights [GB]; default 1 to 256.
    flop_per_token
        FLOP of a token served, instead of --gigabytes.
    sparsity
        Shares of weights that may be zero, for example 0 0.5 0.75; default 0 only.
    law
        Id of a law of Chinchilla's form; default besiroglu-2024.
    posterior
        Table to fit a law to, or a CSV file, instead of --law: then P(overtrained small wins) is
        over its posterior, and numbers are medians.
    figure
        File to draw the map into (.png, .svg or .pdf).
    json_
        Print JSON: law, rows.
    progress
        On standard error, of a fit: bars, lines, json, none, or auto.
    """
    if figure is not None:
        check_figure(figure)
    label, chosen, fit = _chosen(law, posterior, progress)
    from .training_decisions import envelope_choice

    memory = gigabytes if flop_per_token is not None else gigabytes or MEMORIES
    frame = envelope_choice(
        chosen,
        training_flop=flop or BUDGETS,
        gigabytes=memory,
        flop_per_token=flop_per_token,
        sparsities=tuple(sparsity or (0.0,)),
    )
    if figure is not None:
        from .plot_laws import envelope_map
        from .plot_page import save_as

        save_as(envelope_map(frame, label, fit), figure)
    rows = _rows(frame, [])
    if json_:
        return _print_json({"law": label, "rows": rows})
    return _print(f"large and compressed, or small: {label}", rows, _OF_ENVELOPES)


# --- laws and posteriors --------------------------------------------------------------------------


def fitted(table: str, progress: Kind) -> Any:
    """Return the fit of a law to a table, from the cache if it is there."""
    with shown(progress) as report, warnings_as_notes(progress):
        with loading(report):
            from .law_fits import fit_runs, read_runs
        return fit_runs(read_runs(table), report=report)[0]


def _chosen(law: str | None, posterior: str | None, progress: Kind) -> tuple[str, Any, Any]:
    """Return (label, what `training_law` takes, the fit or None)."""
    if law is not None and posterior is not None:
        raise ValueError("law, posterior: got both, expected one of the two")
    if posterior is None:
        name = law or "besiroglu-2024"
        return name, name, None
    fit = fitted(posterior, progress)
    from .law_frames import draws_of

    return _label(posterior, fit), draws_of(fit), fit


def _label(posterior: str | None, fit: Any) -> str:
    """Return what a posterior is called, with its verdict unless it passed."""
    verdict = fit.attrs["verdict"]
    return f"posterior of {posterior}{'' if verdict == 'PASS' else f' (fit: {verdict})'}"


def _rows(frame: Any, by: list[str]) -> list[dict[str, Any]]:
    """Return rows as plain values; where there are draws, their quantiles."""
    if "draw" not in frame:
        return [_plain(row) for row in frame.to_dict("records")]
    rows = []
    for _, group in frame.drop(columns="draw").groupby(by, sort=False):
        quantiles = group.quantile(QUANTILES, interpolation="nearest")
        columns = {
            name: _plain(dict(zip(("q05", "q50", "q95"), quantiles[name], strict=True)))
            for name in frame
            if name not in by and name != "draw"
        }
        rows.append(_plain(group.iloc[0][by].to_dict()) | columns)
    return rows


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with None for what is infinite, which JSON has no number for."""
    from math import isfinite

    return {
        name: None if isinstance(x, float) and not isfinite(x) else x for name, x in values.items()
    }


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _print(title: str, rows: list[dict[str, Any]], columns: dict[str, str]) -> None:
    from rich.table import Table

    there = {name: text for name, text in columns.items() if name in rows[0]}
    table = Table(title=title)
    for text in there.values():
        table.add_column(text, justify="right")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in there))
    out.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        low, middle, high = map(_cell, value.values())
        return f"{middle} ({low} to {high})"
    return "inf" if value is None else f"{value:.3g}"
