"""What must hold between the parts of a declaration."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from meterlake import timegrid
from meterlake.durations import duration_text
from meterlake.errors import DeclarationError
from meterlake.grains import GRAIN_SECONDS, is_calendar, is_fixed
from meterlake.kinds import check_base, check_durations, check_reads, check_rules
from meterlake.names import check_unique
from meterlake.quality import check_checks

if TYPE_CHECKING:
    from meterlake.declaration import Derived, Measure, MeterSeries
    from meterlake.grains import FixedGrain

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


def validate(dataset: MeterSeries) -> None:
    """Raise DeclarationError at the first contradiction of a declaration."""
    where = f"Data set {dataset.name!r}"
    check_base(dataset, where)
    _check_parts(dataset, where)
    _check_columns(dataset, where)
    known = (*(measure.name for measure in dataset.measures), dataset.interval)
    check_rules(dataset, known, _generated_rules(dataset), where)
    _check_derived(dataset, where)
    _check_intervals(dataset, where)
    _check_views(dataset, where)
    _check_calendar(dataset, where)
    check_durations({"lateness": dataset.lateness, "jump_limit": dataset.jump_limit}, where)
    check_checks(dataset, dataset.quality, where)


def measure_columns(measure: Measure) -> tuple[str, str, str]:
    """Names of a measure's state columns: sum, min, max."""
    return (f"{measure.name}_sum", f"{measure.name}_min", f"{measure.name}_max")


def derivable(dataset: MeterSeries) -> tuple[str, ...]:
    """Names that a derived value may read, besides other derived values."""
    state = [column for measure in dataset.measures for column in measure_columns(measure)]
    averages = [f"{measure.name}_avg" for measure in dataset.levels]
    return (*STATE_COLUMNS, *state, *averages)


def _check_parts(dataset: MeterSeries, where: str) -> None:
    for attribute in ("measures", "views", "intervals"):
        if not getattr(dataset, attribute):
            raise DeclarationError(where, f"has no {attribute}", expected="Declare at least one")
    for attribute in ("measures", "views", "intervals", "rules", "derived"):
        if not isinstance(getattr(dataset, attribute), tuple):
            raise DeclarationError(where, f"its {attribute} are not a tuple", expected="Write (…,)")


def _check_columns(dataset: MeterSeries, where: str) -> None:
    names = [*dataset.identity, *OWN_COLUMNS]
    for measure in dataset.measures:
        names += [measure.name, *measure_columns(measure), f"{measure.name}_avg", f"{measure.name}_u"]
    names += [derived.name for derived in dataset.derived]
    check_unique(names, where, "column")


def _generated_rules(dataset: MeterSeries) -> set[str]:
    """Return the reasons of the rules that are generated."""
    ranges = {f"{m.name}_{end}" for m in dataset.measures for end in ("below_min", "above_max", "not_finite")}
    return {*ranges, "off_grid", "missing_measure", "before_earliest", "received_before_event"}


def _check_derived(dataset: MeterSeries, where: str) -> None:
    by_name = {derived.name: derived for derived in dataset.derived}
    known = (*derivable(dataset), *by_name)
    for derived in dataset.derived:
        place = f"{where}, derived {derived.name!r}"
        for name in derived.where:
            if name in known:
                raise DeclarationError(place, f"its where hides the column {name!r}", expected="Choose another name")
        check_reads(derived.expression.columns, known, place)
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


def _check_intervals(dataset: MeterSeries, where: str) -> None:
    check_unique(map(str, dataset.intervals), where, "interval length")
    for length in dataset.intervals:
        whole = length > 0 and length == int(length)
        if not whole or (60 % length and length % 60):
            raise DeclarationError(
                where,
                f"the interval of {length!r} s neither divides a minute nor is a multiple of one",
                expected="Use whole seconds such as 1, 10, 60, 900 or 1800",
            )
        if length > GRAIN_SECONDS["hour"]:
            raise DeclarationError(
                where, f"the interval of {length} s is longer than an hour", expected="Use at most 3600 s"
            )


def _check_views(dataset: MeterSeries, where: str) -> None:
    check_unique((view.grain for view in dataset.views), where, "view")
    finest = dataset.finest.grain
    if is_calendar(finest):
        raise DeclarationError(
            where,
            f"its finest view {finest!r} follows the calendar",
            expected="Declare a view of a minute to an hour beside it: the layers take turns at its rows",
        )
    for view in dataset.views:
        seconds = GRAIN_SECONDS[view.grain]
        for length in dataset.intervals:
            if seconds % length:
                raise DeclarationError(
                    where,
                    f"its view {view.grain!r} does not consist of whole intervals of {length} s",
                    expected="Drop that view: nothing is known inside an interval",
                )
        if is_fixed(view.grain) and seconds % GRAIN_SECONDS[finest]:
            raise DeclarationError(
                where,
                f"its view {view.grain!r} does not consist of whole rows of {finest!r}",
                expected="Drop one of them, or declare a finer view that divides both",
            )


def _check_calendar(dataset: MeterSeries, where: str) -> None:
    """Days and months are made of whole rows: the zone's offsets from UTC must not cut them."""
    if not any(is_calendar(view.grain) for view in dataset.views):
        return
    cutting = timegrid.offsets_cut(dataset, dataset.cell_s)
    if cutting:
        raise DeclarationError(
            where,
            f"local days of {dataset.time_zone} (UTC{cutting[0] / 3600:+g} h) cut its rows of {dataset.cell_s} s",
            expected=_uncut(dataset),
        )


def _uncut(dataset: MeterSeries) -> str:
    """Return what to do where local days cut rows of the finest view."""
    fitting = _coarsest_fitting(dataset)
    since = timegrid.uncut_since(dataset.time_zone, dataset.cell_s)
    ways = [f"declare the view {fitting!r} too: days are made of its rows"] if fitting else []
    if since is not None:
        ways.append(f"declare earliest={since!r}, if no reading is older".replace("datetime.", ""))
    if not fitting:
        ways.append(f"drop its views of days and months: its intervals of {_longest(dataset)} cannot be cut")
    text = ", or ".join(ways)
    return text[0].upper() + text[1:]


def _coarsest_fitting(dataset: MeterSeries) -> FixedGrain | None:
    """Return the coarsest grain that local days are made of and that consists of whole intervals."""
    fitting = [
        grain
        for grain, seconds in GRAIN_SECONDS.items()
        if is_fixed(grain)
        and dataset.cell_s % seconds == 0
        and not timegrid.offsets_cut(dataset, seconds)
        and not any(seconds % length for length in dataset.intervals)
    ]
    return fitting[-1] if fitting else None


def _longest(dataset: MeterSeries) -> str:
    return duration_text(timedelta(seconds=max(dataset.intervals)))
