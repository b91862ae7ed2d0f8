"""Tables and views that can be queried from the start, before batch has run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import report_progress
from meterlake.errors import TransientError

if TYPE_CHECKING:
    from meterlake.clock import Clock
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings


def prepare(settings: Settings, dataset: MeterSeries, clock: Clock) -> None:
    """Make the batch tables and all views of a data set, as of the run that readers see.

    Raises RunUnderWay, which makes them itself, and EngineUnavailable.
    """
    from batch_layer import lease
    from batch_layer.pipeline.batch import shapes
    from serving_layer.publish.publish import Publisher

    with lease.held(settings, dataset.name, f"views of {dataset.name}", clock) as held:
        Publisher(settings, dataset, held, clock).prepare(shapes(dataset))


def prepare_if_possible(settings: Settings, dataset: MeterSeries, clock: Clock) -> None:
    """Do the same for a process that does not need them: it says what is missing, and goes on."""
    try:
        prepare(settings, dataset, clock)
    except TransientError as error:
        report_progress(
            f"The merged views are not ready: {error.what} The next batch makes them, or `meterlake ddl --apply`."
        )
