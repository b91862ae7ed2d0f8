"""What validation and estimation say of one interval of a meter."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from engines import metastore, trino
from meterlake.grains import GRAIN_SECONDS
from meterlake.vee.declaration import estimate_columns, finding_columns
from meterlake.vee.views import DATABASE, TABLES

if TYPE_CHECKING:
    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings
    from meterlake.vee.declaration import Vee


@dataclass(frozen=True)
class Validated:
    """The estimate of an interval, if there is one, and the findings that it lies in: column -> value."""

    estimate: dict[str, Any] | None = None
    findings: list[dict[str, Any]] = field(default_factory=list, hash=False)


def validated(settings: Settings, dataset: MeterSeries, vee: Vee, meter: str, start: datetime) -> Validated:
    """Return what is known of the interval that begins at ``start``; nothing where nothing has been validated yet."""
    with metastore.client(settings) as client:
        if metastore.get_table(client, DATABASE, f"{dataset.name}_findings") is None:
            return Validated()
    begin = start.astimezone(UTC).replace(tzinfo=None)
    end = begin + timedelta(seconds=GRAIN_SECONDS[dataset.finest.grain])
    columns = [column.name for column in estimate_columns(dataset, vee)]
    estimates = trino.rows(
        settings,
        f"SELECT {', '.join(columns)} FROM {TABLES}.{dataset.name}_estimates"  # noqa: S608 - names of a declaration
        f" WHERE {dataset.key} = ? AND interval_start = ?",
        [meter, begin],
    )
    named = [column.name for column in finding_columns(dataset, vee)]
    findings = trino.rows(
        settings,
        f"SELECT {', '.join(named)} FROM {TABLES}.{dataset.name}_findings"  # noqa: S608 - names of a declaration
        f" WHERE {dataset.key} = ? AND begins < ? AND ends > ? ORDER BY begins, rule",
        [meter, end, begin],
    )
    estimate = dict(zip(columns, estimates[0], strict=True)) if estimates else None
    return Validated(estimate, [dict(zip(named, row, strict=True)) for row in findings])
