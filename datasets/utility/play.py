"""The three databases as they stand at the end of a day, made at once or played forward.

A row is shown as it is known then: what lies in the future is NULL, and ``changed_at`` is the latest instant that is
known. Going on writes the rows that have changed since, and removes those that are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import sqlalchemy as sa

from datasets.utility import bills, events
from datasets.utility.declaration import UTILITY
from datasets.utility.world import EPOCH, Frame, World, as_datetime, day_number
from meterlake.errors import UsageError
from meterlake.lakehouse.sources import Play, Played, SourceWorld

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meterlake.lakehouse.records import Record

_MEMORY_DAYS: Final = 230
"""A row changes for the last time so long after it began."""
_ROWS: Final = 200_000
_STATE: Final = "sources_state"

FAULTS: Final = {
    "missing": "a required field is NULL",
    "unknown_feeder": "the feeder is one that the other system does not know",
    "wrong_type": "a number is a word (SQLite only: other databases refuse it)",
}


@dataclass(frozen=True)
class _Life:
    """How rows of a table live: created when, which instants come to be known, which values come with them."""

    created: str
    later: tuple[str, ...] = ()
    known_with: Mapping[str, str] = field(default_factory=dict)


_LIVES: Final = {
    "feeders": _Life("valid_from"),
    "transformers": _Life("valid_from"),
    "customers": _Life("valid_from"),
    "tariffs": _Life("valid_from"),
    "outages": _Life(
        "began_at",
        ("cause_known_at", "dispatched_at", "on_site_at", "restored_at"),
        {"cause": "cause_known_at", "crew_id": "dispatched_at", "crew_shift": "dispatched_at"},
    ),
    "outage_steps": _Life("off_at", ("on_at",)),
    "trouble_calls": _Life("called_at"),
    "feeder_days": _Life("written_at"),
    "feeder_loads": _Life("written_at"),
    "transformer_days": _Life("written_at"),
    "complaints": _Life("opened_at", ("first_response_at", "resolved_at", "reopened_at")),
    "service_orders": _Life("requested_at", ("completed_at",)),
    "meter_readings": _Life("read_at"),
    "invoice_lines": _Life("invoiced_at", ("reversed_at",)),
    "payments": _Life("paid_at"),
    "dunnings": _Life("sent_at"),
    "instalments": _Life("made_at", ("paid_at",)),
}


def play(request: Play) -> Played:
    """Bring the sources forward by days, or make them. Raises UsageError where there is nothing to go on from."""
    engines = {name: sa.create_engine(url) for name, url in request.urls.items()}
    try:
        state = _state(engines["oms"])
        if request.start is None and state is None:
            raise UsageError(
                "There are no sources yet to play forward.", hint="Make them: `meterlake generate utility`."
            )
        if request.start is None and state is not None:
            world, begin = World(state["seed"], state["customers"], state["start"]), int(state["until"])
        else:
            assert request.start is not None  # noqa: S101 - either it, or a state
            begin = day_number(request.start)
            world = World(request.seed, request.customers, begin)
            state = None
        end = begin + request.days
        tables = _Tables(world, request, engines, new=state is None)
        counts = tables.write(begin, end)
        _keep_state(engines["oms"], world, end)
    finally:
        for engine in engines.values():
            engine.dispose()
    return Played(EPOCH + timedelta(days=end), counts)


@dataclass(frozen=True)
class _Tables:
    """Writes the rows of the databases."""

    world: World
    request: Play
    engines: Mapping[str, sa.Engine]
    new: bool

    def write(self, begin: int, end: int) -> dict[str, dict[str, int]]:
        """Write what has changed between the beginning of two days."""
        tables = {record.name: table(record) for record in UTILITY.records}
        if self.new:
            for record in UTILITY.records:
                _create(self.engines[_database(record)], tables[record.name])
        counts = {name: {"new": 0, "changed": 0, "deleted": 0, "wrong": 0} for name in tables}
        since = as_datetime(begin) if not self.new else None
        for name, frame in _rows(self.world, begin if self.new else begin - _MEMORY_DAYS, begin, end):
            record = next(record for record in UTILITY.records if record.name == name)
            self._write(record, tables[name], frame, (since, as_datetime(end)), counts[name])
        if self.new:
            for record in UTILITY.records:
                _index(self.engines[_database(record)], record, tables[record.name])
        return counts

    def _write(
        self,
        record: Record,
        table: sa.Table,
        frame: Frame,
        span: tuple[datetime | None, datetime],
        counts: dict[str, int],
    ) -> None:
        since, until = span
        assert record.extract is not None  # noqa: S101 - all of these come from databases
        life, key = _LIVES[record.name], record.extract.key
        rows = _known(frame, life, until)
        if "deleted_at" in rows:
            gone = rows["deleted_at"] <= until
            dead, rows = rows[gone], rows[~gone]
        else:
            dead = rows[:0]
        if since is not None:
            rows = rows[rows["changed_at"] > since]
            dead = dead[(dead["deleted_at"] > since) & (dead[life.created] <= since)] if len(dead) else dead
            was = rows[life.created] <= since
        else:
            dead, was = dead[:0], pd.Series(False, index=rows.index)
        counts["new"] += int((~was).sum())
        counts["changed"] += int(was.sum())
        counts["deleted"] += len(dead)
        names = {record.extract.column(item.name): item.name for item in record.fields if item.name in rows}
        columns = dict(names)
        if key not in columns:
            columns[key] = key
        source = rows[[*columns.values(), "changed_at"]].set_axis([*columns, "changed_at"], axis=1)
        engine = self.engines[record.extract.database]
        values = _values(source)
        counts["wrong"] += self._spoil(record, values)
        insert = table.insert().compile(engine, column_keys=list(values))
        # What SQLAlchemy does for each row takes longer than the database takes to write it.
        ordered = zip(*values.values(), strict=True)
        every = ordered if insert.positional else (dict(zip(values, row, strict=True)) for row in ordered)
        with engine.begin() as connection:
            keys = [*source[key][was].tolist(), *(dead[names.get(key, key)].tolist() if len(dead) else [])]
            for first in range(0, len(keys), 500):
                connection.execute(table.delete().where(table.c[key].in_(keys[first : first + 500])))
            while part := list(islice(every, _ROWS)):
                connection.exec_driver_sql(str(insert), part)

    def _spoil(self, record: Record, columns: dict[str, list[Any]]) -> int:
        """Put faults into rows, at most one in each; return how many."""
        shares, count = self.request.faults, len(next(iter(columns.values())))
        if not shares or record.kind != "event" or not count:
            return 0
        assert record.extract is not None  # noqa: S101
        pick = np.random.default_rng((self.world.seed, 9, count, sum(map(ord, record.name))))
        which = np.searchsorted(np.cumsum(list(shares.values())), pick.random(count), side="right")
        numbers = [item for item in record.fields if item.type.kind in ("decimal", "int") and not item.nullable]
        texts = [item for item in record.fields[1:] if item.type.kind == "string" and not item.nullable]
        wrong = 0
        for place in np.flatnonzero(which < len(shares)).tolist():
            match list(shares)[which[place]]:
                case "missing":
                    columns[record.extract.column(texts[0].name)][place] = None
                case "unknown_feeder":
                    columns["feeder_id"][place] = "F9999"
                case _ if numbers:
                    columns[record.extract.column(numbers[-1].name)][place] = "many"
                case _:
                    continue
            wrong += 1
        return wrong


def table(record: Record) -> sa.Table:
    """Return the source's table of a record, with the source's names."""
    extract = record.extract
    assert extract is not None  # noqa: S101 - all of these come from databases
    kinds: dict[str, Any] = {
        "int": sa.Integer(),
        "timestamp": sa.DateTime().with_variant(sa.Text(), "sqlite"),
        "date": sa.Date().with_variant(sa.Text(), "sqlite"),
        "boolean": sa.Boolean().with_variant(sa.Integer(), "sqlite"),
    }
    columns = [
        sa.Column(
            extract.column(item.name),
            kinds.get(item.type.kind)
            or (
                sa.Numeric(18, item.type.scale).with_variant(sa.Text(), "sqlite")
                if item.type.kind == "decimal"
                else sa.Text()
            ),
        )
        for item in record.fields
        if item.name != "is_deleted"
    ]
    if extract.key not in {column.name for column in columns}:
        columns.append(sa.Column(extract.key, sa.Text()))
    columns.append(sa.Column(extract.watermark, kinds["timestamp"]))
    return sa.Table(extract.table, sa.MetaData(), *columns)


def _create(engine: sa.Engine, table: sa.Table) -> None:
    table.metadata.drop_all(engine)
    table.metadata.create_all(engine)


def _index(engine: sa.Engine, record: Record, table: sa.Table) -> None:
    """Make the indexes of a table that has its first rows: one by one they would take longer."""
    extract = record.extract
    assert extract is not None  # noqa: S101 - all of these come from databases
    for name, column in (("key", extract.key), ("changed", extract.watermark)):
        sa.Index(f"{extract.table}_{name}", table.c[column]).create(engine)


def _database(record: Record) -> str:
    assert record.extract is not None  # noqa: S101
    return record.extract.database


def _rows(world: World, first: int, begin: int, end: int) -> Iterator[tuple[str, Frame]]:
    """Yield all rows that may have changed: what began from the day ``first`` on, or in a cycle that touches it."""
    yield from events.references(world, end).items()
    days: dict[str, list[events.Columns]] = {}
    for day in range(max(first, world.start), end):
        days.setdefault("complaints", []).append(events.complaints(world, day))
        if (made := events.outages(world, day)) is not None:
            of_day = (made.outages, made.steps, made.calls, made.complaints)
            for name, rows in zip(("outages", "outage_steps", "trouble_calls", "complaints"), of_day, strict=True):
                days.setdefault(name, []).append(rows)
        if day >= begin:
            loads = events.network_day(world, day)
            for name, rows in zip(("feeder_days", "feeder_loads", "transformer_days"), loads, strict=True):
                written = np.full(len(rows["feeder_id"]), np.datetime64(as_datetime(day + 1), "s"))
                days.setdefault(name, []).append(rows | {"written_at": written})
    parts = {name: [_joined(each)] for name, each in days.items()}
    days.clear()
    parts["service_orders"] = [events.new_connections(world)]
    oldest = max(bills.month_number(first - 40), bills.month_number(world.start))
    for month in range(oldest, bills.month_number(end) + 1):
        bill = bills.cycle(world, month)
        for name, frame in (
            ("meter_readings", bill.readings), ("invoice_lines", bill.lines), ("payments", bill.payments),
            ("dunnings", bill.dunnings), ("instalments", bill.instalments), ("service_orders", bill.orders),
        ):  # fmt: skip
            parts.setdefault(name, []).append(frame)
    start = as_datetime(world.start)
    for name in list(parts):
        frames = parts.pop(name)
        whole = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
        if len(whole):
            yield name, whole[whole[_LIVES[name].created] >= start]


def _joined(parts: list[events.Columns]) -> Frame:
    """Return rows that were made by the day as one frame."""
    return pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _known(frame: Frame, life: _Life, until: datetime) -> Frame:
    """Return the rows as they are known at an instant."""
    rows = frame[frame[life.created] <= until].copy()
    moments = [rows[life.created].astype("datetime64[s]")]
    if "corrected_at" in rows:
        corrected = (rows["corrected_at"] <= until).to_numpy()
        name = "restored" if "first_restored_at" in rows else "on"
        rows[f"{name}_at"] = rows[f"last_{name}_at"].where(corrected, rows[f"first_{name}_at"])
        moments.append(rows["corrected_at"].where(corrected))
    for column in life.later:
        rows[column] = rows[column].where(rows[column] <= until)
        moments.append(rows[column])
    for column, of in life.known_with.items():
        rows.loc[rows[of].isna(), column] = None
    rows["changed_at"] = pd.concat(moments, axis=1).max(axis=1)
    return rows


def _values(frame: Frame) -> dict[str, list[Any]]:
    """Return columns as a database takes them: instants as text, what is unknown as None."""
    columns: dict[str, list[Any]] = {}
    for name in frame:
        values = frame[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            moments = values.to_numpy().astype("datetime64[s]")
            columns[str(name)] = pa.array(moments, from_pandas=True).cast(pa.string()).to_pylist()
        else:
            given = values.to_numpy(object, copy=True)
            given[values.isna().to_numpy()] = None
            columns[str(name)] = given.tolist()
    return columns


def _state(engine: sa.Engine) -> dict[str, int] | None:
    if not sa.inspect(engine).has_table(_STATE):
        return None
    with engine.connect() as connection:
        row = connection.execute(sa.text(f"SELECT * FROM {_STATE}")).mappings().one()  # noqa: S608 - a name of ours
        return {str(name): int(value) for name, value in row.items()}


def _keep_state(engine: sa.Engine, world: World, until: int) -> None:
    names = ("seed", "customers", "start", "until")
    state = sa.Table(_STATE, sa.MetaData(), *(sa.Column(name, sa.BigInteger()) for name in names))
    state.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(state.delete())
        connection.execute(
            state.insert(), {"seed": world.seed, "customers": world.customers, "start": world.start, "until": until}
        )


SOURCES: Final = SourceWorld(play, FAULTS)
