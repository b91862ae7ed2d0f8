"""Pipeline health: the metrics of streams and batch, the record of runs, and the quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard

from serving_layer.dashboards import panels, sql
from serving_layer.dashboards.panels import BLUE, GREEN, RED, YELLOW
from serving_layer.dashboards.queries import Needs, PrometheusQuery, TrinoQuery
from serving_layer.dashboards.timing import silent_sql
from serving_layer.publish.records import FULL_NAME as RUNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.dashboard_specs import Board
    from meterlake.declaration import MeterSeries

FRESH_S: Final = 10
"""Target: 95 of 100 readings are readable within so many seconds."""
STALE_BOUNDARY_S: Final = 7800
"""Two intervals of batch (an hour each) and the lateness (10 minutes): a run has been missed."""

_RATE = "[2m]"


_NO_METRICS: Final = "No metrics"
_HOW: Final = (
    "**Meters, runs and quarantine** come from Trino. **Everything else needs Prometheus** and processes that serve"
    " metrics: `meterlake up prometheus`, `meterlake stream … --metrics-port 9464`, `meterlake batch … --metrics-port"
    " 9465`. A panel without them says *No metrics*; the figures turn orange: nothing is known then."
)


def health(shown: Sequence[tuple[MeterSeries, Board]], owner: str = "") -> Dashboard:
    """Return the dashboard of those who run the platform: all data sets in one. owner: the one that it is for."""
    result = panels.dashboard(
        f"meterlake-{owner}-health" if owner else "meterlake-health",
        f"Pipeline health: {owner}" if owner else "Pipeline health",
        "Is what comes in read, kept, computed and shown in time? Metrics of streams and batch, runs, quarantine.",
        "now-3h",
        "30s",
    )
    marks: Needs = {"time": "time", "text": "text"}
    datasets = [dataset for dataset, _ in shown]
    for dataset in datasets:
        runs = TrinoQuery(sql.published(dataset), marks, sparse=True)
        result.annotation(panels.annotation(f"Batch runs of {dataset.name}", YELLOW, runs, shown=False))
        line = TrinoQuery(sql.boundary(dataset), marks, sparse=True)
        result.annotation(panels.annotation(f"Boundary of {dataset.name}", BLUE, line))
        wrong = TrinoQuery(sql.unexplained(dataset), marks, sparse=True)
        result.annotation(panels.annotation(f"Layers of {dataset.name} disagree", RED, wrong))
    metrics: list[timeseries.Panel] = [
        _rates(),
        _rejects(),
        _freshness(),
        _delays(),
        _boundary(),
        _durations(),
        _state(),
        _retries(),
    ]
    listed = [
        panels.sized(panels.note(_HOW), 24, 2),
        *(panels.sized(panels.critical(figure.no_value(_NO_METRICS)), 4, 5) for figure in _figures()),
        panels.sized(_data_sets(datasets), 24, 5),
        *(panels.sized(panel.no_value(_NO_METRICS), 12) for panel in metrics),
        panels.sized(_runs(), 24, 9),
        *(panels.sized(_quarantine(dataset), 24, 9) for dataset in datasets),
    ]
    return panels.with_panels(result, listed)


def freshness(share: float, window: str = "[5m]") -> str:
    """Return PromQL of the age in seconds within which a share of readings became readable."""
    buckets = f"sum by (le, dataset) (rate(meterlake_stream_freshness_seconds_bucket{window}))"
    return f"histogram_quantile({share}, {buckets})"


def reject_share(window: str = "[15m]") -> str:
    """Return PromQL of the share of messages that are no readings or that a rule rejected; nothing where none came."""
    undecodable = f'sum by (dataset) (rate(meterlake_stream_undecodable_total{{query="views"}}{window}))'
    rejected = f"sum by (dataset) (rate(meterlake_stream_rejected_total{window}))"
    messages = f'sum by (dataset) (rate(meterlake_stream_messages_total{{query="views"}}{window}))'
    # A counter with labels is not there before its first count: each half must do alone.
    return f"(({undecodable} + {rejected}) or {undecodable} or {rejected}) / ({messages} > 0)"


def _figures() -> list[stat.Panel]:
    streams = panels.figure(
        "Streams",
        "Whether Prometheus reaches the metrics of the streaming queries.",
        "bool_on_off",
        [PrometheusQuery('up{job="meterlake-stream"}', legend="{{ instance }}", now=True)],
    )
    last = panels.figure(
        "Last update",
        "Since the last micro-batch of each query.",
        "s",
        [PrometheusQuery("time() - meterlake_stream_last_batch_timestamp_seconds", legend="{{ query }}", now=True)],
    )
    fresh = panels.figure(
        "Freshness",
        "From measured to readable: 95 of 100 readings are at least this quick.",
        "s",
        [PrometheusQuery(freshness(0.95), legend="{{ dataset }}", now=True)],
    )
    behind = panels.figure(
        "Behind",
        "Messages in Kafka that are not processed yet.",
        "short",
        [PrometheusQuery("meterlake_stream_offsets_behind", legend="{{ query }}", now=True)],
    )
    age = panels.figure(
        "Boundary's age",
        "How long ago batch takes over from the stream: about the interval of batch, and the lateness.",
        "s",
        [PrometheusQuery("time() - meterlake_batch_boundary_timestamp_seconds", legend="{{ dataset }}", now=True)],
    )
    disagree = panels.figure(
        "Layers disagree",
        "Minutes of the last run in which batch and stream differ, and nothing explains it. Must be 0.",
        "short",
        [
            PrometheusQuery(
                'meterlake_batch_reconciled_minutes{outcome="unexplained"}', legend="{{ dataset }}", now=True
            )
        ],
    )
    return [
        streams.thresholds(panels.steps((None, RED), (1, GREEN))),
        last.thresholds(panels.steps((None, GREEN), (60, YELLOW), (300, RED))).decimals(0),
        fresh.thresholds(panels.steps((None, GREEN), (FRESH_S / 2, YELLOW), (FRESH_S, RED))).decimals(1),
        behind.thresholds(panels.steps((None, GREEN), (50_000, YELLOW), (500_000, RED))),
        age.thresholds(panels.steps((None, GREEN), (STALE_BOUNDARY_S / 2, YELLOW), (STALE_BOUNDARY_S, RED))).decimals(
            0
        ),
        disagree.thresholds(panels.steps((None, GREEN), (1, RED))),
    ]


def _data_sets(datasets: Sequence[MeterSeries]) -> table.Panel:
    """What is known without Prometheus: one row a data set."""
    rows = [
        f"SELECT '{dataset.name}' AS dataset, count(*) AS meters,\n"  # noqa: S608
        f"  count_if(date_diff('second', {dataset.event_time}, current_timestamp) > {silent_sql(dataset.interval)})"
        f" AS silent,\n  max({dataset.event_time}) AS latest,\n"
        f"  (SELECT with_timezone(max_by(boundary, seq), 'UTC') FROM {RUNS} WHERE dataset = '{dataset.name}'"
        f" AND event IN ('published', 'rolled_back')) AS boundary\nFROM cassandra.speed.{dataset.name}_latest"
        for dataset in datasets
    ]
    needs: Needs = {"dataset": "text", "meters": "number", "silent": "number", "latest": "time", "boundary": "time"}
    doc = "Meters with live rows, those of them that are silent, the latest reading, and where batch hands over."
    panel = panels.rows("Data sets", doc, [TrinoQuery("\nUNION ALL\n".join(rows), needs)])
    red = panels.steps((None, "transparent"), (1, RED)).build()
    panels.column(panel, "silent", thresholds=red, **{"custom.cellOptions": {"type": "color-background"}})
    titles = {"dataset": "Data set", "meters": "Meters", "silent": "Silent", "latest": "Latest reading"}
    return panels.titled(panel, {**titles, "boundary": "Boundary"})


def _rates() -> timeseries.Panel:
    queries = [
        PrometheusQuery(
            f"sum by (query) (rate(meterlake_stream_messages_total{_RATE}))", legend="messages, {{ query }}"
        ),
        PrometheusQuery(f"sum by (table) (rate(meterlake_stream_rows_total{_RATE}))", legend="rows, {{ table }}"),
    ]
    return panels.lines("Rates", "Messages read from Kafka, and rows written to Cassandra.", "ops", queries, zero=True)


def _rejects() -> timeseries.Panel:
    names = {
        "undecodable": "{{ query }}: {{ reason }}",
        "rejected": "rule: {{ reason }}",
        "late": "late",
        "future": "clock ahead",
        "repeated": "repeated",
    }
    queries = [
        PrometheusQuery(
            f"sum by (query, reason) (rate(meterlake_stream_{name}_total{_RATE}))", legend=legend, sparse=True
        )
        for name, legend in names.items()
    ]
    doc = "What does not enter a view, by reason. Late readings are left to batch; undecodable ones are in quarantine."
    return panels.bars("Left out, by reason", doc, "ops", queries)


def _freshness() -> timeseries.Panel:
    queries = [
        PrometheusQuery(freshness(share), legend=f"{share:.0%}, {{{{ dataset }}}}") for share in (0.5, 0.95, 0.99)
    ]
    doc = f"From a reading's event time to its minute's row in Cassandra; target: 95 % within {FRESH_S} s."
    panel = panels.lines("Freshness", doc, "s", queries, zero=True)
    return panel.thresholds(panels.steps((None, GREEN), (FRESH_S, RED))).thresholds_style(panels.dashed())


def _delays() -> timeseries.Panel:
    queries = [
        PrometheusQuery("meterlake_stream_watermark_delay_seconds", legend="watermark, {{ dataset }}"),
        PrometheusQuery("time() - meterlake_stream_last_batch_timestamp_seconds", legend="last update, {{ query }}"),
    ]
    doc = "How far the watermark is behind the clock (about lateness + 2 minutes), and since when nothing was updated."
    return panels.lines("Watermark and updates", doc, "s", queries, zero=True)


def _boundary() -> timeseries.Panel:
    queries = [
        PrometheusQuery("time() - meterlake_batch_boundary_timestamp_seconds", legend="boundary, {{ dataset }}"),
        PrometheusQuery("time() - meterlake_batch_published_timestamp_seconds", legend="last run, {{ dataset }}"),
    ]
    panel = panels.lines("Age of boundary and run", "A saw: it falls with every run of batch.", "s", queries, zero=True)
    return panel.thresholds(panels.steps((None, GREEN), (STALE_BOUNDARY_S, RED))).thresholds_style(panels.dashed())


def _durations() -> timeseries.Panel:
    micro = "sum by (le, query) (rate(meterlake_stream_batch_duration_seconds_bucket[5m]))"
    queries = [
        PrometheusQuery("meterlake_batch_duration_seconds", legend="batch run, {{ dataset }}"),
        PrometheusQuery(f"histogram_quantile(0.95, {micro})", legend="micro-batch, {{ query }} (95 %)"),
    ]
    return panels.lines("Durations", "Runs of batch, and micro-batches of the streams.", "s", queries, zero=True)


def _state() -> timeseries.Panel:
    queries = [
        PrometheusQuery("meterlake_stream_state_rows", legend="open minutes"),
        PrometheusQuery("meterlake_stream_state_bytes", legend="memory"),
    ]
    panel = panels.lines(
        "Open minutes", "Minutes that the stream still takes readings for.", "short", queries, zero=True
    )
    return panels.column(panel, "memory", **{"unit": "bytes", "custom.axisPlacement": "right"})


def _retries() -> timeseries.Panel:
    queries = [
        PrometheusQuery(
            "sum by (query) (increase(meterlake_stream_retries_total[5m]))", legend="retries, {{ query }}", sparse=True
        ),
        PrometheusQuery("sum(increase(meterlake_stream_missing_offsets_total[5m]))", legend="offsets lost"),
    ]
    doc = "Tries again after a server did not answer, and messages that Kafka dropped before they were read."
    return panels.bars("Trouble", doc, "short", queries)


def _runs() -> table.Panel:
    figures = {
        "readings_read": "balance.read",
        "readings_used": "balance.used",
        "equal": "reconciliation.equal",
        "late": "reconciliation.late",
        "unexplained": "reconciliation.unexplained",
    }
    columns = [f"CAST(json_extract_scalar(details, '$.{path}') AS BIGINT) AS {name}" for name, path in figures.items()]
    text = (
        "SELECT with_timezone(at, 'UTC') AS time, dataset, event, run_id,\n"
        f"  with_timezone(boundary, 'UTC') AS boundary,\n  {', '.join(columns)}\n"
        f"FROM {RUNS}\nWHERE $__timeFilter(at) AND event IN ('published', 'rolled_back')\nORDER BY at DESC\nLIMIT 100"
    )
    needs: Needs = {
        "time": "time",
        "dataset": "text",
        "event": "text",
        "run_id": "text",
        "boundary": "time",
        **dict.fromkeys(figures, "number"),
    }
    doc = "Publishes and roll-backs in the range, latest first; minutes by how batch and stream compared."
    panel = panels.rows("Batch runs", doc, [TrinoQuery(text, needs)])
    red = panels.steps((None, "transparent"), (1, RED)).build()
    panels.column(panel, "unexplained", thresholds=red, **{"custom.cellOptions": {"type": "color-background"}})
    return panels.titled(panel, {name: _title(name) for name in needs})


def _quarantine(dataset: MeterSeries) -> table.Panel:
    text = (
        "SELECT with_timezone(max(received_at), 'UTC') AS last, reason, origin, count(*) AS messages,\n"
        '  max_by(origin_partition, received_at) AS partition, max_by(origin_offset, received_at) AS "offset"\n'
        f"FROM iceberg.master.{dataset.name}_quarantine\nWHERE $__timeFilter(received_at) \n"
        "GROUP BY reason, origin\nORDER BY messages DESC\nLIMIT 100"
    )
    texts: Needs = {"last": "time", "reason": "text", "origin": "text"}
    needs: Needs = {**texts, **dict.fromkeys(("messages", "partition", "offset"), "number")}
    doc = f"What could not be decoded of {dataset.name}, by reason and origin, with the place of the latest example."
    panel = panels.rows(f"Quarantine of {dataset.name}", doc, [TrinoQuery(text, needs, sparse=True)])
    return panels.titled(panel, {name: _title(name) for name in needs})


def _title(name: str) -> str:
    """Return a column's name as its title, such as ``Run id`` for ``run_id``."""
    return name.replace("_", " ").capitalize()
