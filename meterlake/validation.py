"""What must hold between the parts of a declaration."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from meterlake import timegrid
from meterlake.errors import DeclarationError
from meterlake.grains import GRAIN_SECONDS
from meterlake.names import check_name
from meterlake.quality import check_checks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterlake.declaration import Dataset, Derived, Measure

STATE_COLUMNS: Final = ("readings", "covered_s", "flagged")
"""Columns of every state, before those of its measures."""

ARRIVAL_COLUMNS: Final = ("revision", "received_at", "origin", "origin_partition", "origin_offset", "load_id")
"""Columns of the master table that tell where and when a reading arrived."""

OWN_COLUMNS: Final = (*STATE_COLUMNS, *ARRIVAL_COLUMNS, "source", "reason", "run_id", "verdict", "v", "units")
"""Names that the project's tables and messages use themselves."""

MAX_SCALE: Final = 9
"""Finest resolution: 10^-9."""


def check_resolution(text: str, where: str) -> None:
    """Raise DeclarationError unless a text is a power of ten from 1 down to 1E-9."""
    try:
        value = Decimal(text)
    except (ArithmeticError, TypeError, ValueError):
        value = Decimal(0)
    if value not in [Decimal(1).scaleb(-scale) for scale in range(MAX_SCALE + 1)]:
        raise DeclarationError(
            where,
            f"its resolution {text!r} is not a power of ten from 1 down to 1E-9",
            expected="Write one of 1, 0.1, 0.01, 0.001 and so on",
        )


def validate(dataset: Dataset) -> None:
    """Raise DeclarationError at the first contradiction of a declaration."""
    where = f"Data set {dataset.name!r}"
    for name in (dataset.name, dataset.key, dataset.event_time, dataset.interval):
        check_name(name, where)
    _check_measures(dataset, where)
    _check_columns(dataset, where)
    _check_rules(dataset, where)
    _check_derived(dataset, where)
    _check_intervals(dataset, where)
    _check_views(dataset, where)
    _check_zone(dataset, where)
    _check_times(dataset, where)
    check_checks(dataset, dataset.quality, where)


def measure_columns(measure: Measure) -> tuple[str, str, str]:
    """Names of a measure's state columns: sum, min, max."""
    return (f"{measure.name}_sum", f"{measure.name}_min", f"{measure.name}_max")


def derivable(dataset: Dataset) -> tuple[str, ...]:
    """Names that a derived value may read, besides other derived values."""
    state = [column for measure in dataset.measures for column in measure_columns(measure)]
    averages = [f"{measure.name}_avg" for measure in dataset.levels]
    return (*STATE_COLUMNS, *state, *averages)


def _check_measures(dataset: Dataset, where: str) -> None:
    for attribute in ("measures", "views", "intervals"):
        if not getattr(dataset, attribute):
            raise DeclarationError(where, f"has no {attribute}", expected="Declare at least one")
    for attribute in ("measures", "views", "intervals", "rules", "derived"):
        if not isinstance(getattr(dataset, attribute), tuple):
            raise DeclarationError(where, f"its {attribute} are not a tuple", expected="Write (…,)")


def _check_columns(dataset: Dataset, where: str) -> None:
    names = [dataset.key, dataset.event_time, dataset.interval, *OWN_COLUMNS]
    for measure in dataset.measures:
        names += [measure.name, *measure_columns(measure), f"{measure.name}_avg", f"{measure.name}_u"]
    names += [derived.name for derived in dataset.derived]
    _check_unique(names, where, "column")
    _check_unique([rule.name for rule in dataset.rules], where, "rule")
    generated = {f"{m.name}_{end}" for m in dataset.measures for end in ("below_min", "above_max", "not_finite")}
    generated |= {"off_grid", "missing_measure", "received_before_event"}
    for rule in dataset.rules:
        if rule.name in generated:
            raise DeclarationError(
                where,
                f"the rule {rule.name!r} has the name of a generated one",
                expected="Choose another name",
            )


def _check_unique(names: Iterable[str], where: str, kind: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise DeclarationError(where, f"the {kind} {name!r} occurs {count} times", expected="Rename one")


def _check_rules(dataset: Dataset, where: str) -> None:
    known = (*(measure.name for measure in dataset.measures), dataset.interval)
    for rule in dataset.rules:
        _check_reads(rule.expression.columns, known, f"{where}, rule {rule.name!r}")


def _check_reads(columns: Iterable[str], known: tuple[str, ...], where: str) -> None:
    for column in columns:
        if column not in known:
            raise DeclarationError(
                where, f"it reads the unknown column {column!r}", expected=f"It may read {', '.join(known)}"
            )


def _check_derived(dataset: Dataset, where: str) -> None:
    by_name = {derived.name: derived for derived in dataset.derived}
    known = (*derivable(dataset), *by_name)
    for derived in dataset.derived:
        place = f"{where}, derived {derived.name!r}"
        for name in derived.where:
            if name in known:
                raise DeclarationError(place, f"its where hides the column {name!r}", expected="Choose another name")
        _check_reads(derived.expression.columns, known, place)
    for derived in dataset.derived:
        _check_acyclic(derived, by_name, (), where)


def _check_acyclic(derived: Derived, by_name: dict[str, Derived], path: tuple[str, ...], where: str) -> None:
    path = (*path, derived.name)
    for column in derived.expression.columns:
        if column in path:
            raise DeclarationError(
                where,
                f"derived values depend on each other: {' -> '.join((*path, column))}",
                expected="Write one of them over state columns",
            )
        if column in by_name:
            _check_acyclic(by_name[column], by_name, path, where)


def _check_intervals(dataset: Dataset, where: str) -> None:
    _check_unique(map(str, dataset.intervals), where, "interval length")
    for length in dataset.intervals:
        whole = length > 0 and length == int(length)
        if not whole or (60 % length and length % 60):
            raise DeclarationError(
                where,
                f"the interval of {length!r} s neither divides a minute nor is a multiple of one",
                expected="Use whole seconds such as 1, 10, 60, 900 or 1800",
            )
        if dataset.cell_s % length or GRAIN_SECONDS["day"] % length:
            raise DeclarationError(
                where,
                f"the interval of {length} s does not divide both {dataset.cell_s} s and a day",
                expected="Intervals of one data set must nest, or they cannot be compared",
            )


def _check_views(dataset: Dataset, where: str) -> None:
    _check_unique((view.grain for view in dataset.views), where, "view")
    for view in dataset.views:
        if GRAIN_SECONDS[view.grain] % dataset.cell_s:
            raise DeclarationError(
                where,
                f"its view {view.grain!r} does not consist of whole intervals of {dataset.cell_s} s",
                expected="Drop that view: nothing is known inside an interval",
            )


def _check_zone(dataset: Dataset, where: str) -> None:
    try:
        ZoneInfo(dataset.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DeclarationError(
            where,
            f"the time zone {dataset.time_zone!r} is unknown",
            expected="Use an IANA name such as Europe/Paris, or UTC",
        ) from None
    if "day" not in {view.grain for view in dataset.views}:
        return
    base = dataset.cell_s if dataset.finest.grain == "day" else GRAIN_SECONDS[dataset.finest.grain]
    for offset in timegrid.zone_offsets(dataset.time_zone):
        if offset % base:
            raise DeclarationError(
                where,
                f"local days of {dataset.time_zone} (UTC{offset / 3600:+g} h) cut its rows of {base} s",
                expected="Declare a finer view, or the day view alone with shorter intervals",
            )


def _check_times(dataset: Dataset, where: str) -> None:
    times = {
        "lateness": dataset.lateness,
        "clock_tolerance": dataset.clock_tolerance,
        "retention.speed": dataset.retention.speed,
        "retention.recent": dataset.retention.recent,
    }
    for name, value in times.items():
        if value < timedelta(0) or value % timedelta(seconds=1):
            raise DeclarationError(where, f"its {name} of {value} is not whole seconds", expected="Use timedelta")
    if dataset.lateness < timedelta(seconds=dataset.cell_s):
        raise DeclarationError(
            where,
            f"its lateness of {dataset.lateness} is shorter than its longest interval, {dataset.cell_s} s",
            expected="Wait at least as long: a reading arrives when its interval is over",
        )
    if not timedelta(0) < dataset.retention.recent <= dataset.retention.speed:
        raise DeclarationError(
            where,
            f"it keeps recent readings {dataset.retention.recent} and minutes {dataset.retention.speed}",
            expected="Keep recent readings longer than 0 and no longer than minutes",
        )
    if dataset.table_format not in ("iceberg", "delta"):
        raise DeclarationError(
            where, f"the table format {dataset.table_format!r} is unknown", expected="Use iceberg or delta"
        )
    if dataset.wire_version < 1:
        raise DeclarationError(where, f"wire_version is {dataset.wire_version}", expected="Count from 1")
    if not 1 <= dataset.max_message_bytes <= 1 << 20:
        raise DeclarationError(
            where, f"max_message_bytes is {dataset.max_message_bytes}", expected="Give 1 byte to 1 MiB"
        )
