"""What is looked at during a soak: memory of every process tree, how far the queries are behind, the boundary's age.

A sample is one moment. What is judged are halves of the time after the warm-up: the second must not have more than the
first by more than is allowed.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

import psutil
from prometheus_client.parser import text_string_to_metric_families

MEGABYTE = 1e6
GROWTH, GROWTH_MB = 0.10, 64.0
"""What the second half may have more: a tenth, or so many megabytes if that is more; a JVM touches its heap late."""
COMES_AND_GOES = "batch"
"""Its runs do: the most of each half is compared, of all others the median."""
PREFIX = "meterlake_stream_"
MESSAGES, FRESHNESS = f"{PREFIX}messages_total", f"{PREFIX}freshness_seconds_bucket"


@dataclass(frozen=True)
class Sample:
    """A moment. seconds: since the load began. memory: megabytes by name. behind: messages by query."""

    seconds: float
    memory: dict[str, float]
    sent: int
    behind: dict[str, int]
    state_rows: float
    state_mb: float
    boundary_age: float | None


@dataclass
class Watched:
    """All samples, and what is concluded from them. warm_up: seconds that are not judged."""

    warm_up: float
    samples: list[Sample] = field(default_factory=list)

    def judged(self) -> list[Sample]:
        """Return the samples after the warm-up."""
        return [each for each in self.samples if each.seconds >= self.warm_up]

    def memory(self) -> dict[str, tuple[float, float, float]]:
        """Return, by process tree, the megabytes of both halves, and the most of all."""
        kept, report = self.judged(), {}
        for name in sorted({name for each in kept for name in each.memory}):
            values = [each.memory[name] for each in kept if name in each.memory]
            first, second = values[: len(values) // 2], values[len(values) // 2 :]
            typical = max if name == COMES_AND_GOES else median
            if first:
                report[name] = (round(typical(first), 1), round(typical(second), 1), round(max(values), 1))
        return report

    def grown(self) -> list[str]:
        """Return the process trees whose memory has grown by more than is allowed."""
        return [
            name
            for name, (first, second, _) in self.memory().items()
            if second - first > max(GROWTH * first, GROWTH_MB)
        ]

    def most_behind(self) -> dict[str, list[int]]:
        """Return, by query, the most messages behind in both halves."""
        kept = self.judged()
        halves = (kept[: len(kept) // 2], kept[len(kept) // 2 :])
        queries = sorted({query for each in kept for query in each.behind})
        return {query: [max((s.behind.get(query, 0) for s in half), default=0) for half in halves] for query in queries}

    def oldest_boundary(self) -> float | None:
        """Return the most seconds between the boundary and the clock, once there is a boundary."""
        ages = [each.boundary_age for each in self.judged() if each.boundary_age is not None]
        return max(ages) if ages else None


def tree_mb(process: psutil.Process) -> float | None:
    """Return the resident megabytes of a process and all below it; None where it has ended."""
    try:
        members = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return None
    total = 0.0
    for member in members:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # a child that has just ended
    return round(total / MEGABYTE, 1) if total else None


def figures(port: int) -> list[Any]:
    """Return the samples of a metrics page; nothing while it is not served yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return []
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(samples: list[Any], name: str, **labels: str) -> float:
    """Return a figure; 0 while there is none."""
    return next(
        (float(each.value) for each in samples if each.name == name and labels.items() <= each.labels.items()), 0.0
    )


def freshness(samples: list[Any], share: float) -> float | None:
    """Return the bound of the histogram's bucket within which a share of all readings became readable."""
    buckets = sorted((float(each.labels["le"]), each.value) for each in samples if each.name == FRESHNESS)
    if not buckets or not buckets[-1][1]:
        return None
    return next(bound for bound, count in buckets if count >= share * buckets[-1][1])


def age(cutover: datetime | None, now: datetime) -> float | None:
    """Return the seconds since a boundary; None before the first one."""
    return round((now - cutover).total_seconds(), 1) if cutover and cutover.year > 1970 else None
