"""Messages: one reading as JSON, and back, with a reason for everything that is not one.

Reasons, in the order in which they are tried: ``tombstone`` (no value), ``empty``, ``too_large``,
``not_utf8``, ``not_json``, ``not_object``, ``missing_field:<field>`` (of ``v``), ``unknown_version``;
the reason that a producer states itself (``encode_refused``); then field by field in wire order
``missing_field:<field>``, ``wrong_type:<field>``, ``bad_value:<field>``,
``not_finite:<field>``; at last ``off_grid`` and ``missing_measure``.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import msgspec

from meterlake.reading import EPOCH, Reading
from meterlake.rules import quarantine_reason
from meterlake.schema import KEY_PATTERN, LATEST_TS, MAX_REVISION
from meterlake.units import to_float, to_units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from meterlake.declaration import MeterSeries

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""JSON can name what no text holds."""

REFUSED: Final = "refused"
"""Field of a message that is no reading: why, as its producer knows."""
_KEY: Final = re.compile(KEY_PATTERN.removesuffix("$") + r"\Z")
_FIELD: Final = 64
_JSON: Final = msgspec.json.Encoder()
_REASON: Final = re.compile(rf"[a-z][a-z_]{{0,63}}(:[A-Za-z0-9_.:/-]{{1,{_FIELD}}})?")
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_.:/-]")


@dataclass(frozen=True)
class Undecodable:
    """A message that is not a reading of the data set, and why."""

    reason: str


class _Refused(Exception):
    """Carries a reason out of the decoding of a field."""


def encode(dataset: MeterSeries, reading: Reading) -> bytes:
    """Return the message of a reading: compact, fields in wire order, values at their resolution.

    ``revision`` is left out where it is 0.
    """
    message: dict[str, Any] = {
        "v": dataset.wire_version,
        dataset.key: reading.meter_id,
        dataset.event_time: reading.ts,
        dataset.interval: reading.interval_s,
    }
    for measure, value in zip(dataset.measures, reading.values, strict=True):
        scale = measure.scale
        message[measure.name] = None if value is None else to_float(to_units(value, scale), scale)
    if reading.revision:
        message["revision"] = reading.revision
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def encode_units(
    dataset: MeterSeries, meters: Sequence[str], ts: Sequence[int], interval_s: int, units: Sequence[Sequence[int]]
) -> list[bytes]:
    """Return the messages of many readings, which say what those of ``encode`` say; for producers, whose time it saves.

    units: for each measure, one value a reading, none missing. All revisions are 0.
    """
    factors = [int(10**measure.scale) for measure in dataset.measures]
    values = [[unit / factor for unit in column] for column, factor in zip(units, factors, strict=True)]
    bodies = map(_body(dataset), repeat(dataset.wire_version), meters, ts, repeat(interval_s), *values)
    return list(map(_JSON.encode, bodies))


@lru_cache(maxsize=8)
def _body(dataset: MeterSeries) -> type[msgspec.Struct]:
    """Return the type of a message's body, fields in wire order."""
    measures = [(measure.name, float) for measure in dataset.measures]
    fields = [("v", int), (dataset.key, str), (dataset.event_time, int), (dataset.interval, int), *measures]
    return msgspec.defstruct("Body", fields, gc=False)


def encode_refused(dataset: MeterSeries, reason: str, payload: bytes, **about: str | int) -> bytes:
    """Return the message of what a producer could make no reading of, so that it is kept with its reason.

    payload: as it came; of one that no message holds only the beginning. about: where it came from.
    """
    text = payload.decode("utf-8", errors="backslashreplace")
    kind, colon, field = reason.partition(":")
    stated = kind + colon + _UNUSUAL.sub("_", field)[:_FIELD]
    message: dict[str, Any] = {"v": dataset.wire_version, REFUSED: stated, **about, "payload": text}
    data = _compact(message)
    if len(data) <= dataset.max_message_bytes:
        return data
    # A control character is six bytes in JSON.
    kept = text[: max(0, dataset.max_message_bytes // 6 - 512)]
    return _compact(message | {"payload": kept, "payload_bytes": len(payload)})


def _compact(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def decode(
    dataset: MeterSeries,
    data: bytes | None,
    *,
    received_at: datetime = EPOCH,
    origin: str = "",
    origin_partition: int = 0,
    origin_offset: int = 0,
) -> Reading | Undecodable:
    """Return the reading in a message's value, or the reason why there is none.

    The keyword arguments are where and when it arrived. Values are not rounded and not range-checked:
    that is the views' business.
    """
    try:
        message = _parse(dataset, data)
        measures = [measure.name for measure in dataset.measures]
        reading = Reading(
            meter_id=_meter(message, dataset.key),
            ts=_integer(message, dataset.event_time, LATEST_TS),
            interval_s=_integer(message, dataset.interval, MAX_REVISION),
            values=tuple(_number(message, name) for name in measures),
            revision=_integer(message, "revision", MAX_REVISION) if "revision" in message else 0,
            received_at=received_at,
            origin=origin or dataset.readings_topic,
            origin_partition=origin_partition,
            origin_offset=origin_offset,
        )
    except _Refused as refused:
        return Undecodable(str(refused))
    reason = quarantine_reason(dataset, reading)
    return Undecodable(reason) if reason else reading


def _parse(dataset: MeterSeries, data: bytes | None) -> dict[str, Any]:
    reason = _size_reason(dataset, data)
    if data is None or reason:
        raise _Refused(reason)
    try:
        message = json.loads(data.decode("utf-8", errors="strict"))
    except UnicodeDecodeError:
        raise _Refused("not_utf8") from None
    except (ValueError, RecursionError):
        raise _Refused("not_json") from None
    if not isinstance(message, dict):
        raise _Refused("not_object")
    version = _present(message, "v")
    if type(version) is not int or version != dataset.wire_version:
        raise _Refused("unknown_version")
    if REFUSED in message:
        raise _Refused(_stated(message[REFUSED]))
    return message


def _stated(reason: object) -> str:
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else f"bad_value:{REFUSED}"


def _size_reason(dataset: MeterSeries, data: bytes | None) -> str:
    if data is None:
        return "tombstone"
    if not data:
        return "empty"
    return "too_large" if len(data) > dataset.max_message_bytes else ""


def _present(message: dict[str, Any], field: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    if field not in message:
        raise _Refused(f"missing_field:{field}")
    return message[field]


def _meter(message: dict[str, Any], field: str) -> str:
    value = _present(message, field)
    if not isinstance(value, str):
        raise _Refused(f"wrong_type:{field}")
    if not _KEY.match(value) or _LONE_SURROGATE.search(value):
        raise _Refused(f"bad_value:{field}")
    return value


def _integer(message: dict[str, Any], field: str, highest: int) -> int:
    value = _present(message, field)
    if type(value) is not int:
        raise _Refused(f"wrong_type:{field}")
    if not 0 <= value <= highest:
        raise _Refused(f"bad_value:{field}")
    return value


def _number(message: dict[str, Any], field: str) -> float | None:
    value = _present(message, field)
    if value is None:
        return None
    if type(value) not in (int, float):
        raise _Refused(f"wrong_type:{field}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Refused(f"not_finite:{field}")
    return number
