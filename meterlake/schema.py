"""Fields of messages and of the master data set, and the JSON Schema of a message.

``wire_fields`` is the one list from which the schema, the Python decoder and Spark's are made.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from meterlake.columns import BIGINT, INT, STRING, TIMESTAMP, Column

if TYPE_CHECKING:
    from meterlake.declaration import Measure, MeterSeries

# Written out, not as \\s or \\p{Z}: all engines, and JSON Schema, take these for what they are.
_CONTROL: Final = r"\x00-\x1f\x7f-\x9f" + "\u2028\u2029"
_BLANK: Final = r"\x20\xa0" + "\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff"

KEY_PATTERN: Final = f"^[^{_CONTROL}{_BLANK}]([^{_CONTROL}]{{0,126}}[^{_CONTROL}{_BLANK}])?$"
"""Names of meters as people have them: 1 to 128 characters without control characters, no blank at either end.

Who puts one into a path, a URL or SQL escapes it there; in data it stays as it is.
"""

LATEST_TS: Final = 4_102_444_800
"""2100-01-01: a larger ``ts`` is a mistake, most likely milliseconds."""

MAX_REVISION: Final = 2**31 - 1


def wire_fields(dataset: MeterSeries) -> list[Column]:
    """Return the fields of a message, in order. ``nullable`` tells whether JSON null is allowed.

    Every field must be present but ``revision``, which is 0 where absent.
    """
    return [
        Column("v", INT, doc=f"version of this format: {dataset.wire_version}"),
        Column(dataset.key, STRING, doc="the meter's name; also the key of the Kafka record"),
        Column(dataset.event_time, BIGINT, doc="start of the interval, seconds since 1970-01-01 UTC"),
        Column(dataset.interval, INT, doc="length of the interval, seconds"),
        *_measure_fields(dataset),
        Column("revision", INT, doc="a higher one replaces earlier readings of the same interval"),
    ]


def master_fields(dataset: MeterSeries) -> list[Column]:
    """Return the columns of the master table, in order: the reading, then where and when it arrived."""
    return [
        Column(dataset.key, STRING, doc="meter"),
        Column(dataset.event_time, TIMESTAMP, doc="start of the interval, UTC"),
        Column(dataset.interval, INT, doc="length of the interval, seconds"),
        *_measure_fields(dataset),
        Column("revision", INT, doc="a higher one replaces earlier readings of the same interval"),
        Column("received_at", TIMESTAMP, doc="broker or load time, UTC"),
        Column("origin", STRING, doc="topic, or name of the file"),
        Column("origin_partition", INT, doc="Kafka partition; 0 for a file"),
        Column("origin_offset", BIGINT, doc="Kafka offset; line of the file, counted from 1"),
        Column("load_id", STRING, doc="the load or streaming batch that appended the row"),
    ]


def quarantine_fields(dataset: MeterSeries) -> list[Column]:  # noqa: ARG001 - the same for all, so far
    """Return the columns of the quarantine: what could not be decoded, why, and where it came from."""
    return [
        Column("payload", STRING, nullable=True, doc="the original bytes in Base64, or the line as text"),
        Column("reason", STRING, doc="why, such as not_json or missing_field:voltage"),
        Column("received_at", TIMESTAMP, doc="broker or load time, UTC"),
        Column("origin", STRING, doc="topic, or name of the file"),
        Column("origin_partition", INT, doc="Kafka partition; 0 for a file"),
        Column("origin_offset", BIGINT, doc="Kafka offset; line of the file, counted from 1"),
        Column("load_id", STRING, doc="the load or streaming batch that appended the row"),
    ]


def counter_fields(dataset: MeterSeries) -> list[Column]:
    """Return the columns of the ends of counters: the first and last readings of each in each load."""
    return [
        Column(dataset.key, STRING, doc="meter"),
        Column("read_at", TIMESTAMP, doc="when the counter was read, UTC"),
        Column("measure", STRING, doc="measure whose counter it is"),
        Column("edge", STRING, doc="head: at the beginning of its file; tail: at its end"),
        Column("units", BIGINT, doc="what it showed, in units of the measure's resolution"),
        Column("serial", STRING, doc="number of the meter itself; empty where it is not known"),
        Column("revision", INT, doc="of the amounts that its file made"),
        Column("load_id", STRING, doc="the load that read it"),
    ]


def json_schema(dataset: MeterSeries) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a message's value."""
    fields = wire_fields(dataset)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:meterlake:{dataset.name}:v{dataset.wire_version}",
        "title": f"{dataset.title}: one reading",
        "description": f"Value of a Kafka record in {dataset.readings_topic}. Unknown fields are ignored.",
        "type": "object",
        "properties": {field.name: _property(dataset, field) for field in fields},
        "required": [field.name for field in fields if field.name != "revision"],
        "allOf": [
            {"oneOf": [_grid(dataset, length) for length in sorted(dataset.intervals)]},
            {"oneOf": [_all_measures(dataset, kind) for kind in ("number", "null")]},
        ],
    }


def json_schema_text(dataset: MeterSeries) -> str:
    """Return the schema as the text of the checked-in file."""
    return json.dumps(json_schema(dataset), indent=2, ensure_ascii=False) + "\n"


def _measure_fields(dataset: MeterSeries) -> list[Column]:
    return [
        Column(measure.name, measure.type, nullable=True, doc=_measure_doc(measure)) for measure in dataset.measures
    ]


def _measure_doc(measure: Measure) -> str:
    how = "over the interval" if measure.kind == "level" else "in the interval"
    title = measure.title or measure.name
    return f"{title}, {measure.unit} {how}, resolution {measure.resolution}; null where it was not measured"


def _property(dataset: MeterSeries, field: Column) -> dict[str, Any]:
    limits: dict[str, dict[str, Any]] = {
        "v": {"const": dataset.wire_version},
        dataset.key: {"type": "string", "pattern": _escaped(KEY_PATTERN)},
        dataset.event_time: {"type": "integer", "minimum": 0, "maximum": LATEST_TS},
        dataset.interval: {"enum": sorted(dataset.intervals)},
        "revision": {"type": "integer", "minimum": 0, "maximum": MAX_REVISION, "default": 0},
    }
    return {**limits.get(field.name, {"type": ["number", "null"]}), "description": field.doc}


def _escaped(pattern: str) -> str:
    """Return a regular expression in ASCII, as JSON Schema's readers know it."""
    return "".join(sign if sign.isascii() else f"\\u{ord(sign):04x}" for sign in pattern)


def _grid(dataset: MeterSeries, length: int) -> dict[str, Any]:
    return {"properties": {dataset.interval: {"const": length}, dataset.event_time: {"multipleOf": length}}}


def _all_measures(dataset: MeterSeries, kind: str) -> dict[str, Any]:
    return {"properties": {measure.name: {"type": kind} for measure in dataset.measures}}
