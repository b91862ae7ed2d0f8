"""``meterlake explain``: what stands behind one number."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.arguments import DatasetArgument
from cli.output import Output, OutputOption, console, show
from meterlake import registry
from meterlake.errors import UsageError
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.judgement import Judged
    from meterlake.state import State
    from serving_layer.explain import Explanation


def explain(
    dataset: DatasetArgument,
    meter: Annotated[str, typer.Argument(help="Meter, as its readings name it.")],
    minute: Annotated[str, typer.Argument(help="Minute in UTC: 2026-11-21T12:34; or with an offset: …+01:00.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what stands behind one number: its readings, what became of each, and where each came from.

    Every reading has its origin (topic, partition and offset, or file and line), and its verdict: used, gap, duplicate,
    superseded, conflicting, or rejected with the rule. Then the layer and the run that answer the minute now, the rows
    of both layers, and whether the readings make the row to the last unit. Of what is estimated, the method and inputs.

    Examples:

    - `meterlake explain household sceaux 2007-02-01T17:05`
    - `meterlake explain household sceaux 2007-02-01T18:05+01:00 --output json`
    """
    from serving_layer.explain import explain as run

    entry, settings = registry.entry(dataset), load_settings()
    declared, vee = entry.declaration, entry.vee() if entry.data_set.vee else None
    result = run(settings, declared, meter, _moment(minute), vee)
    if output is Output.JSON:
        show([_record(declared, result)], output)
        return
    for words in _words(declared, result):
        console.print(words, markup=False, soft_wrap=True)
    readings = [
        *(_reading(declared, item) for item in result.judged),
        *({**_reading(declared, item), "verdict": f"{item.verdict} by the next run"} for item in result.later),
    ]
    show([{name: _short(value) for name, value in row.items()} for row in readings], output, title="Readings")
    rows = {"batch": result.batch, "speed": result.speed}
    held = {layer: _physical(declared, state) for layer, state in rows.items() if state is not None}
    names = next(iter(held.values()), {})
    lines = [{"column": name, **{layer: row[name] for layer, row in held.items()}} for name in names]
    show(lines, output, title="\nRows (sums of levels in unit · s)")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time.", hint="Write 2026-11-21T12:34, in UTC, or add an offset.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _words(dataset: MeterSeries, result: Explanation) -> list[str]:
    """Return the explanation in sentences."""
    words = [f"Meter {result.meter} of {dataset.name}, {dataset.finest.grain} {result.start:%Y-%m-%d %H:%M} UTC"]
    line = f"the boundary is {result.boundary:%Y-%m-%d %H:%M} UTC" if result.boundary else "there is no speed layer"
    words.append(f"Answered by {result.layer}: {line}.")
    if result.run is not None:
        published = f"{result.run.at:%Y-%m-%d %H:%M:%S} UTC"
        words.append(
            f"Run {result.run.run_id}, since {published}; it read snapshot {result.snapshot} of the master data set."
        )
    else:
        words.append("No batch has been published yet.")
    if result.proved is not None:
        words.append(
            f"The readings make {'exactly the row' if result.proved else 'ANOTHER row than the one'} of batch."
        )
    words.append(f"Batch and speed: {result.comparison}.")
    words += [
        f"Revision {item.reading.revision} ({item.verdict}{when}) is a correction by {change.by},"
        f" {change.at:%Y-%m-%d %H:%M} UTC: {change.why}."
        for items, when in ((result.judged, ""), (result.later, " by the next run"))
        for item in items
        if (change := result.corrections.get(item.reading.load_id))
    ]
    words += _of_validation(result)
    if result.later:
        some = "1 reading has" if len(result.later) == 1 else f"{len(result.later)} readings have"
        words.append(f"{some} arrived since that run.")
    return words


def _of_validation(result: Explanation) -> list[str]:
    """Return what validation and estimation say, in sentences."""
    words = []
    for finding in result.validated.findings:
        limit = f", where {finding['expected']} was expected" if finding["expected"] is not None else ""
        value = f": {finding['value']}{limit}" if finding["value"] is not None else ""
        words.append(
            f"Finding: {finding['rule']}, {finding['begins']:%Y-%m-%d %H:%M} to {finding['ends']:%H:%M} UTC{value}."
        )
    estimate = result.validated.estimate
    if estimate is not None:
        (value,) = (held for name, held in estimate.items() if name.endswith("_estimate"))
        gap = f"{estimate['gap_begins']:%Y-%m-%d %H:%M} to {estimate['gap_ends']:%Y-%m-%d %H:%M} UTC"
        made = f"{value} by {estimate['method']}, of {estimate['inputs']}"
        words.append(f"Estimated ({estimate['reason']}): {made}; the gap is {gap}.")
    return words


def _record(dataset: MeterSeries, result: Explanation) -> dict[str, Any]:
    """Return the explanation for programs."""
    return {
        "dataset": dataset.name,
        "meter": result.meter,
        "start": result.start,
        "layer": result.layer,
        "boundary": result.boundary,
        "run": result.run.run_id if result.run else None,
        "snapshot": result.snapshot,
        "readings": [_with_correction(dataset, result, item) for item in result.judged],
        "arrived_since": [_with_correction(dataset, result, item) for item in result.later],
        "batch": _physical(dataset, result.batch) if result.batch else None,
        "speed": _physical(dataset, result.speed) if result.speed else None,
        "comparison": result.comparison,
        "proved": result.proved,
        "estimate": result.validated.estimate,
        "findings": result.validated.findings,
    }


def _with_correction(dataset: MeterSeries, result: Explanation, item: Judged) -> dict[str, Any]:
    change = result.corrections.get(item.reading.load_id)
    made = {"id": change.id, "at": change.at, "by": change.by, "why": change.why} if change else None
    return {**_reading(dataset, item), "correction": made}


def _reading(dataset: MeterSeries, item: Judged) -> dict[str, Any]:
    reading = item.reading
    is_message = reading.origin == dataset.readings_topic
    place = f"partition {reading.origin_partition} offset {reading.origin_offset}" if is_message else ""
    return {
        "verdict": item.verdict,
        "reason": item.reason,
        dataset.event_time: datetime.fromtimestamp(reading.ts, UTC),
        "s": reading.interval_s,
        "revision": reading.revision,
        "received_at": reading.received_at,
        "origin": reading.origin,
        "place": place or f"line {reading.origin_offset}",
        **{measure.name: value for measure, value in zip(dataset.measures, reading.values, strict=True)},
    }


def _physical(dataset: MeterSeries, state: State) -> dict[str, Any]:
    from meterlake.units import to_decimal
    from meterlake.validation import measure_columns

    row: dict[str, Any] = dict(state.row())
    for measure in dataset.measures:
        row |= {name: to_decimal(row[name], measure.scale) for name in measure_columns(measure)}
    return row


def _short(value: object) -> object:
    return f"{value:%H:%M:%S}" if isinstance(value, datetime) else value


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Answers")(explain)
