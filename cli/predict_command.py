"""``meterlake train`` and ``meterlake drift``: models of what the next day brings."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import Output, OutputOption, progress_console, report_progress, show
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from lakehouse.prediction.registry import Model
    from meterlake.lakehouse.declaration import Lakehouse

LakehouseArgument = Annotated[str, typer.Argument(help="A lakehouse.")]


def train(dataset: LakehouseArgument, output: OutputOption = Output.TEXT) -> None:
    """Train models of what the next day brings, beside simpler answers, and keep the best of them.

    Days are split by time: models learn from the first six tenths, are chosen by the next two, and measured on the last
    two, with the middle 90 % over samples of days. `meterlake batch` asks the model that is kept about each new day.
    Needs `uv pip install 'meterlake[prediction]'`.

    Examples:

    - `meterlake train utility`
    - `meterlake query "SELECT version, algorithm, last_sk FROM lake.utility_gold.models"`
    """
    from lakehouse import lease
    from lakehouse.prediction import train as training

    declared, settings = _declared(dataset), load_settings()
    with lease.held(settings, declared.name, "train") as held:
        for item in declared.predictions:
            report_progress(item.title)
            model = training.train(settings, declared, item, held, system_clock)
            if output is Output.TEXT:
                kept = (
                    f"{item.name}: kept {model.version}, {model.algorithm}; base rate {model.content['base_rate']:.3f}"
                )
                progress_console.print(kept, markup=False)
            show(compared(model), output, optional=("calibration_error", "brier", "recall", "precision"))


def compared(model: Model) -> list[dict[str, Any]]:
    """Return a row for each model that one was compared with."""

    def shown(figures: dict[str, float]) -> str:
        return f"{figures['value']:.3f} ({figures['low']:.3f}-{figures['high']:.3f})"

    return [
        {
            "model": name,
            "kept": name == model.algorithm,
            **{measure: shown(figures) for measure, figures in results.items() if measure != "threshold"},
        }
        for name, results in model.content["results"].items()
    ]


def drift(dataset: LakehouseArgument, output: OutputOption = Output.TEXT) -> None:
    """Show how the days since a model was trained differ from those that it has learned from, and how good it was.

    By feature: the population stability index (above 0.25: much; train again).

    Examples:

    - `meterlake drift utility`
    """
    from lakehouse.prediction import train as training

    declared, settings = _declared(dataset), load_settings()
    for item in declared.predictions:
        show(training.drift(settings, declared, item), output)


def _declared(dataset: str) -> Lakehouse:
    declared = registry.required_lakehouse(dataset).declaration
    if not declared.predictions:
        raise UsageError(f"{dataset} declares no prediction.", hint="Declare one: `predictions=(Prediction(…),)`.")
    if find_spec("sklearn") is None or find_spec("skops") is None:
        raise UsageError("Models need scikit-learn.", hint="`uv pip install 'meterlake[prediction]'` brings it.")
    return declared


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (train, drift):
        app.command(rich_help_panel="Answers")(command)
