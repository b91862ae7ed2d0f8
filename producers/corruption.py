"""Ways to spoil a message: one for each reason, or nearly so, for which the decoder refuses one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.declaration import MeterSeries


def _changed(value: bytes, field: str, content: object) -> bytes:
    message: dict[str, Any] = json.loads(value)
    message[field] = content
    return json.dumps(message, separators=(",", ":")).encode()


def _without(value: bytes, field: str) -> bytes:
    message: dict[str, Any] = json.loads(value)
    del message[field]
    return json.dumps(message, separators=(",", ":")).encode()


KINDS: Final[dict[str, Callable[[MeterSeries, bytes], bytes | None]]] = {
    "not_json": lambda _, value: value[:-1],
    "not_utf8": lambda _, value: b"\xff" + value,
    "empty": lambda _, value: value[:0],
    "tombstone": lambda *_: None,
    "too_large": lambda dataset, value: _changed(value, "padding", "x" * dataset.max_message_bytes),
    "unknown_version": lambda dataset, value: _changed(value, "v", dataset.wire_version + 1),
    "missing_key": lambda dataset, value: _without(value, dataset.key),
    "wrong_type": lambda dataset, value: _changed(value, dataset.measures[0].name, "much"),
    "not_finite": lambda dataset, value: _changed(value, dataset.measures[-1].name, float("nan")),
    "off_grid": lambda dataset, value: _changed(value, dataset.interval, max(dataset.intervals) + 1),
    "missing_measure": lambda dataset, value: _changed(value, dataset.measures[0].name, None),
}
"""Kind -> a function of a data set and a good message. None is a tombstone."""
