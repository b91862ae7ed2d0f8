"""What Spark reports of a micro-batch, read."""

from __future__ import annotations

import json


def offsets(text: str | None) -> dict[str, dict[int, int]]:
    """Return the offsets, by topic and partition, of a Kafka source's report."""
    result = json.loads(text) if text and text != "null" else {}
    return {topic: {int(p): int(offset) for p, offset in parts.items()} for topic, parts in result.items()}


def behind(end: str | None, latest: str | None) -> int:
    """Return how many messages lie between two reports of offsets."""
    ends = offsets(end)
    return sum(
        max(0, offset - ends.get(topic, {}).get(p, 0))
        for topic, parts in offsets(latest).items()
        for p, offset in parts.items()
    )
