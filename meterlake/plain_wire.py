"""The quick way to read messages that are plainly readings; ``wire.decode`` decides all others.

Both give the same for each message that this one takes: a typed decoder takes a message only where it has the fields of
a reading, each once and of its type, and no other (docs/adr/0010). A property test holds that on fuzzed messages.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from meterlake.schema import KEY_PATTERN, LATEST_TS, MAX_REVISION
from meterlake.timegrid import on_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.declaration import MeterSeries

Row = tuple[Any, ...]
"""Meter, start in seconds since 1970, interval, the measures' values, revision."""


def plain_decoder(dataset: MeterSeries) -> Callable[[bytes], Row | None]:
    """Return a function from a message's value to the reading in it, or to None where ``wire.decode`` must look.

    A message whose values are all missing (a withdrawal) is one of those others.
    """
    names = [measure.name for measure in dataset.measures]
    fields: list[Any] = [
        ("v", int),
        (dataset.key, str),
        (dataset.event_time, Annotated[int, msgspec.Meta(ge=0, le=LATEST_TS)]),
        (dataset.interval, int),
        *((name, float) for name in names),
        ("revision", Annotated[int, msgspec.Meta(ge=0, le=MAX_REVISION)], 0),
    ]
    message = msgspec.defstruct("Message", fields, forbid_unknown_fields=True, gc=False)
    read = msgspec.json.Decoder(message).decode
    row_of = msgspec.structs.astuple
    limit, version = dataset.max_message_bytes, dataset.wire_version
    # Meters repeat: each name is looked at once. Of other people's names no more are kept than a fleet has.
    is_meter = re.compile(KEY_PATTERN.removesuffix("$") + r"\Z").match

    def decode(data: bytes) -> Row | None:
        if len(data) > limit:
            return None
        try:
            found_version, meter, ts, interval_s, *values, revision = row_of(read(data))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if found_version != version or not is_meter(meter) or not on_grid(dataset, ts, interval_s):
            return None
        if not all(map(math.isfinite, values)):
            return None
        return (meter, ts, interval_s, *values, revision)

    return decode
