"""``aitimelines laws``: published scaling laws, their losses and compute-optimal runs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from .files import check_figure
from .progress import Kind

EXAMPLES = """Examples:

    aitimelines laws list
    aitimelines laws show besiroglu-2024
    aitimelines laws optimum --law besiroglu-2024 --flop 5.76e23 --json
    aitimelines laws compare --flop 1e25
"""
app = App(
    name="laws",
    help="Scaling laws: published ones, their losses and compute-optimal runs.",
    help_epilogue=EXAMPLES,
    default_parameter=Parameter(negative=()),
)
# Commands in modules of their own, imported where they are used.
for _module, _name, _help in (
    ("fit", "fit", "Fit a law of training loss to a table of runs."),
    ("plateau", "plateau", "Say whether a training run has flattened."),
    ("transition", "transition", "Say when data limit training, and no longer compute."),
    ("decisions", "serve", "Find the run that is cheapest to train and to serve."),
    ("decisions", "overhead", "Say what it costs to train a smaller model for longer."),
    ("decisions", "envelope", "Train large and compress, or small for long: which is better."),
):
    app.command(f"{__package__}.cli_laws_{_module}:laws_{_name}", name=_name, help=_help)
out = Console()

Json = Annotated[bool, Parameter(name="--json")]


@app.command(name="list")
def laws_list(*, json_: Json = False) -> None:
    """List the laws, with the one that supersedes each.

    Parameters
    ----------
    json_
        Print JSON instead of lines.
    """
    from .laws import law, law_ids

    laws = [law(law_id) for law_id in law_ids()]
    if json_:
        kept = ("id", "title", "year", "kind", "read_from", "superseded_by")
        return _print_json([{name: getattr(each, name) for name in kept} for each in laws])
    for each in laws:
        after = f" (superseded by {each.superseded_by})" if each.superseded_by else ""
        out.print(f"{each.id}  {each.title}{after}", markup=False, soft_wrap=True, highlight=False)
    return None


@app.command(name="show")
def laws_show(law: str, /, *, json_: Json = False) -> None:
    """Describe a law: equation, constants, units, range, what is known to be wrong with it.

    Parameters
    ----------
    law
        Id of the law (see: aitimelines laws list).
    json_
        Print JSON instead of text.
    """
    from .laws import law as find

    found = find(law)
    if json_:
        return _print_json(asdict(found) | {"form": found.form})
    head = {
        "title": found.title,
        "source": f"{found.source} ({found.read_from})",
        "form": found.form,
        "superseded by": found.superseded_by or "none known",
    }
    ranges = {f"valid {name}": f"{low:g} to {high:g}" for name, (low, high) in found.valid.items()}
    for key, value in (head | found.units | found.constants | ranges).items():
        out.print(f"{key}: {_text(value)}", markup=False, soft_wrap=True, highlight=False)
    for note in found.notes:
        out.print(f"note: {note}", markup=False, soft_wrap=True, highlight=False)
    return None


OPTIMUM_EXAMPLES = """Examples:

    aitimelines laws optimum --law besiroglu-2024 --flop 5.76e23
    aitimelines laws optimum --law besiroglu-2024 --loss 1.95 --json | jq .training_flop
    aitimelines laws optimum --law muennighoff-2023 --flop 1e25 --unique-tokens 1e12
    aitimelines laws optimum --law kumar-2024 --flop 1e22 --bits 4
"""


@app.command(name="optimum", help_epilogue=OPTIMUM_EXAMPLES)
def laws_optimum(
    *,
    law: str,
    flop: float | None = None,
    loss: float | None = None,
    unique_tokens: float | None = None,
    bits: float | None = None,
    sparsity: float | None = None,
    json_: Json = False,
) -> None:
    """Find the compute-optimal run of a budget, or the cheapest run that reaches a loss.

    Parameters
    ----------
    law
        Id of the law (see: aitimelines laws list).
    flop
        Budget of training [FLOP], C = 6 N D. This or --loss.
    loss
        Loss to reach, in the law's unit (nat per token).
    unique_tokens
        Of a law of repeated data: tokens there are, beyond which they repeat.
    bits
        Of a law of precision: bits a weight after training.
    sparsity
        Of a law of sparse models: share of weights that are zero.
    json_
        Print JSON: law, training_flop, parameters, tokens, tokens_per_parameter, loss, units,
        setting, superseded_by, warnings.
    """
    from .laws import optimum

    setting = _setting(law, unique_tokens=unique_tokens, bits=bits, sparsity=sparsity)
    _print_run(optimum(law, training_flop=flop, loss=loss, setting=setting), json_)


LOSS_EXAMPLES = """Examples:

    aitimelines laws loss --law hoffmann-2022 --parameters 70e9 --tokens 1.4e12
    aitimelines laws loss --law frantar-2023-t5 --parameters 604e6 --tokens 3.3e10 --sparsity 0.75
"""


@app.command(name="loss", help_epilogue=LOSS_EXAMPLES)
def laws_loss(
    *,
    law: str,
    parameters: float,
    tokens: float,
    unique_tokens: float | None = None,
    bits: float | None = None,
    sparsity: float | None = None,
    json_: Json = False,
) -> None:
    """Give the loss of a run.

    Parameters
    ----------
    law
        Id of the law (see: aitimelines laws list).
    parameters
        N of the run.
    tokens
        D of the run, repeats included.
    unique_tokens
        Of a law of repeated data: tokens there are, beyond which they repeat.
    bits
        Of a law of precision: bits a weight after training.
    sparsity
        Of a law of sparse models: share of weights that are zero.
    json_
        Print JSON, as of laws optimum.
    """
    from .laws import loss

    setting = _setting(law, unique_tokens=unique_tokens, bits=bits, sparsity=sparsity)
    _print_run(loss(law, parameters=parameters, tokens=tokens, setting=setting), json_)


COMPARE_EXAMPLES = """Examples:

    aitimelines laws compare --flop 1e25
    aitimelines laws compare --flop 1e25 --json | jq '.laws[] | [.law, .tokens_per_parameter]'
    aitimelines laws compare --flop 1e25 --figure compare.png
"""


@app.command(name="compare", help_epilogue=COMPARE_EXAMPLES)
def laws_compare(
    *, flop: float, figure: Path | None = None, json_: Json = False, progress: Kind = "auto"
) -> None:
    """Show the compute-optimal run of a budget under every law, side by side.

    And for well-known runs the waste under each law: FLOP over those of the cheapest run of equal
    loss, at the law's default setting.

    Parameters
    ----------
    flop
        Budget of training [FLOP], C = 6 N D.
    figure
        File to draw best parameters against compute into (.png, .svg or .pdf), with the posterior
        from the packaged table chinchilla_losses, which is fitted the first time.
    json_
        Print JSON: training_flop, laws (as of laws optimum, each with waste), runs.
    progress
        On standard error, of the fit: bars, lines, json, none, or auto.
    """
    from rich.table import Table

    from ..priors.published_laws import named_runs
    from .laws import compare

    if figure is not None:
        check_figure(figure)
    rows, runs = compare(flop), named_runs()
    if figure is not None:
        _draw_optima(figure, progress)
    if json_:
        return _print_json({"training_flop": flop, "laws": rows, "runs": runs})
    best = Table(title=f"compute-optimal runs of {flop:.3g} FLOP (* outside the law's range)")
    wasted = Table(title="FLOP of well-known runs over those of the cheapest of equal loss")
    for table, names in (
        (best, ["parameters", "tokens", "D / N", "loss"]),
        (wasted, [run["title"] for run in runs.values()]),
    ):
        table.add_column("law", no_wrap=True)
        for name in names:
            table.add_column(name, justify="right")
    for row in rows:
        cells = [row["parameters"], row["tokens"], row["tokens_per_parameter"]]
        reached = f"{row['loss']:.4f}" if row["loss"] is not None else ""
        star = "*" if row["warnings"] else ""
        best.add_row(f"{row['law']}{star}", *(f"{x:.3g}" for x in cells), reached)
        factors = [x for x in row["waste"].values() if x is not None]
        if factors:
            wasted.add_row(row["law"], *(f"x{x:.3g}" for x in factors))
    out.print(best)
    return out.print(wasted)


def _draw_optima(figure: Path, progress: Kind) -> None:
    from .cli_laws_decisions import fitted

    fit = fitted("chinchilla_losses", progress)
    from .law_frames import optima
    from .plot_laws import optimal_parameters
    from .plot_page import save_as

    budgets = [10 ** (18 + i / 5) for i in range(46)]
    save_as(optimal_parameters(optima(budgets), fit), figure)


def _setting(law: str, **given: float | None) -> float | None:
    """Return the one setting of a law; raise where another law's is given."""
    from .laws import SETTINGS
    from .laws import law as find

    name, _ = SETTINGS.get(find(law).kind, (None, None))
    for other, value in given.items():
        if value is not None and other != name:
            raise ValueError(f"{other}: got {value!r}, but {law!r} does not use it")
    return given.get(name) if name is not None else None


def _print_run(run: Any, as_json: bool) -> None:
    if as_json:
        return _print_json(asdict(run))
    units = run.units
    lines = {
        "law": run.law,
        "training compute": f"{run.training_flop:.4g} FLOP",
        "parameters": f"{run.parameters:.4g} ({units['parameters']})",
        "tokens": f"{run.tokens:.4g} ({units['tokens']})",
        "tokens per parameter": f"{run.tokens_per_parameter:.3g}",
        "loss": "none in this law" if run.loss is None else f"{run.loss:.4f} {units['loss']}",
        **{name: "no limit" if x is None else f"{x:g}" for name, x in run.setting.items()},
        **({"superseded by": run.superseded_by} if run.superseded_by else {}),
    }
    for key, value in lines.items():
        out.print(f"{key}: {value}", markup=False, soft_wrap=True, highlight=False)
    for warning in run.warnings:
        out.print(f"note: {warning}", markup=False, soft_wrap=True, highlight=False)
    return None


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
