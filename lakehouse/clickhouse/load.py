"""Loads ClickHouse with what readers of a lakehouse see: the periods that a run has touched, each replaced as a whole.

What is loaded twice is there once; what has failed half-way is done again. The files are read by ClickHouse itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from engines import lake_files, trino
from lakehouse import history
from lakehouse.clickhouse import shapes
from lakehouse.layers import tables
from lakehouse.layers.periods import end_of
from meterlake.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from engines.clickhouse import ClickHouse
    from engines.lake_files import Files
    from lakehouse.clickhouse.shapes import Shape
    from meterlake.lakehouse.declaration import Lakehouse
    from meterlake.lakehouse.model import Fact, Mart
    from meterlake.settings import Settings

# Names are those of a declaration; values are dates and paths of our own files.

_AT_ONCE: Final = 100
"""Files that one statement reads."""


class NotEqual(PermanentError):
    """ClickHouse has something else than readers of the lakehouse see."""

    def __init__(self, table: str, problems: Sequence[str]) -> None:
        super().__init__(
            f"ClickHouse's {table} differs from gold: {'; '.join(problems)}.",
            hint="`meterlake clickhouse … --full` loads all of it again.",
        )


@dataclass(frozen=True)
class Load:
    """What a load works with. ref: the state of the catalog that is loaded."""

    settings: Settings
    engine: ClickHouse
    lakehouse: Lakehouse
    ref: str

    def execute(self, *, full: bool = False) -> list[dict[str, Any]]:
        """Load what has changed since the last load (full: all), compare, and return a row for each table.

        Raises NotEqual, EngineUnavailable, QueryFailed.
        """
        if full:
            self.engine.run(f"DROP DATABASE IF EXISTS {self._database} SYNC")
        self.engine.run(f"CREATE DATABASE IF NOT EXISTS {self._database}")
        self._make(shapes.manifests())
        rows = [self._members(item.name, shapes.dimension(self.lakehouse, item)) for item in self.lakehouse.dimensions]
        rows += [self._members(table.name, shapes.calendar(table)) for table in (tables.DIM_DATE, tables.DIM_TIME)]
        return rows + [row for item in self.lakehouse.facts for row in self._fact(item)]

    def _rows(self, sql: str) -> list[list[Any]]:
        return self.engine.select(sql)[1]

    @property
    def _database(self) -> str:
        return shapes.database(self.lakehouse)

    def _fact(self, item: Fact) -> list[dict[str, Any]]:
        shape, period = shapes.fact(self.lakehouse, item), self.lakehouse.event(item.event).partition
        if self._make(shape):
            self.engine.run(f"DELETE FROM {self._table(shapes.MANIFESTS)} WHERE fact = '{item.name}'")
        known = {
            path: {date.fromisoformat(day) for day in days}
            for path, days in self._rows(
                f"SELECT path, days FROM {self._table(shapes.MANIFESTS)} WHERE fact = '{item.name}'"
            )
        }
        state = lake_files.files(self.settings, self._gold(item.name), self.ref, known, period)
        gone = known.keys() - state.all_manifests
        touched = {day for days in state.manifests.values() for day in days}
        touched |= {day for path in gone for day in known[path]}
        result = state.of(touched)
        self._stage(shape, "*", [path for paths in result.values() for path in paths])
        for start in sorted(touched):
            self._replace(shape.name, f"{start}", filled=start in result)
        days = {
            start + timedelta(days=number)
            for start in touched
            for number in range((end_of(start, period) - start).days)
        }
        marts = [self._mart(mart, days) for mart in self.lakehouse.marts if mart.fact == item.name]
        self._compare(item, state, touched)
        self._note(item, state, gone)
        return [{"table": item.name, "rows": state.rows, "days": len(days), "equal": True}, *marts]

    def _mart(self, mart: Mart, touched: Collection[date]) -> dict[str, Any]:
        """Compute a mart again for the local days around touched ones: no zone is a day away from UTC."""
        days = {f"{day + timedelta(days=step):%Y%m%d}" for day in touched for step in (-1, 0, 1)}
        select, group = shapes.mart_select(self.lakehouse, mart), shapes.mart_group(mart)
        body = f"ENGINE = MergeTree PARTITION BY date_sk ORDER BY ({shapes.mart_order(mart)})"
        mark = shapes.Shape(select, (), group).mark
        body += f" SETTINGS allow_nullable_key = 1 COMMENT '{mark}'"
        table, stage = self._table(mart.name), self._table(f"stage_{mart.name}")
        if self._differs(mart.name, mark):
            self.engine.run(f"CREATE OR REPLACE TABLE {table} {body} AS {select} {group}")
        elif days:
            listed = ", ".join(f"'{day}'" for day in sorted(days))
            self.engine.run(f"CREATE OR REPLACE TABLE {stage} {body} AS {select} WHERE date_sk IN ({listed}) {group}")
            filled = {day for (day,) in self._rows(f"SELECT DISTINCT date_sk FROM {stage}")}
            for day in sorted(days):
                self._replace(mart.name, day, filled=day in filled)
            self.engine.run(f"DROP TABLE {stage}")
        ((count,),) = self._rows(f"SELECT count() FROM {table}")
        return {"table": mart.name, "rows": int(count), "days": len(days), "equal": True}

    def _members(self, name: str, shape: Shape) -> dict[str, Any]:
        """Load a dimension as a whole, beside the one that is there, and exchange them."""
        self._make(shape)
        wanted, paths = lake_files.whole(self.settings, self._gold(name), self.ref)
        self._stage(shape, shapes.dimension_values(shape), paths)
        stage = self._table(f"stage_{name}")
        ((count,),) = self._rows(f"SELECT count() FROM {stage}")
        if int(count) != wanted:
            raise NotEqual(name, [f"{count} rows instead of {wanted}"])
        self.engine.run(f"EXCHANGE TABLES {self._table(name)} AND {stage}")
        self.engine.run(f"DROP TABLE {stage}")
        return {"table": name, "rows": wanted, "days": None, "equal": True}

    def _compare(self, item: Fact, state: Files, touched: Collection[date]) -> None:
        """Compare rows as a whole, and rows and exact sums of the touched days as Trino reads them."""
        ((count,),) = self._rows(f"SELECT count() FROM {self._table(item.name)}")
        problems = [] if int(count) == state.rows else [f"{count} rows instead of {state.rows}"]
        if touched:
            event = self.lakehouse.event(item.event)
            money = [field.name for field in event.fields if field.type.kind == "decimal"]
            first, end = min(touched), end_of(max(touched), event.partition)
            asked = ", ".join(["count(*)", *(f'sum("{name}")' for name in money)])
            when = f"\"{event.time}\" >= TIMESTAMP '{first} 00:00:00' AND \"{event.time}\" < TIMESTAMP '{end} 00:00:00'"
            ours = self._rows(
                f"SELECT {asked} FROM {self._table(item.name)} WHERE {shapes.start(event)} >= '{first}'"
                f" AND {shapes.start(event)} < '{end}'"
            )
            theirs = trino.rows(self.settings, f"SELECT {asked} FROM lake.{self._gold(item.name)} WHERE {when}")
            problems += [
                f"{what} from {first} on is {a} instead of {b}"
                for what, a, b in zip(["count", *money], ours[0], theirs[0], strict=True)
                if _exact(a) != _exact(b)
            ]
        if problems:
            raise NotEqual(item.name, problems)

    def _note(self, item: Fact, state: Files, gone: Iterable[str]) -> None:
        table = self._table(shapes.MANIFESTS)
        if listed := ", ".join(f"'{path}'" for path in sorted(gone)):
            self.engine.run(f"DELETE FROM {table} WHERE fact = '{item.name}' AND path IN ({listed})")
        values = []
        for path, days in sorted(state.manifests.items()):
            listed = ", ".join(f"'{day}'" for day in sorted(days))
            values.append(f"('{item.name}', '{path}', [{listed}])")
        if values:
            self.engine.run(f"INSERT INTO {table} VALUES {', '.join(values)}")

    def _stage(self, shape: Shape, values: str, paths: Sequence[str]) -> None:
        """Fill a table beside the one of the shape with rows of files."""
        stage = self._table(f"stage_{shape.name}")
        self.engine.run(f"CREATE OR REPLACE TABLE {stage} AS {self._table(shape.name)}")
        access, secret = self.settings.lake_keys
        prefix = f"s3://{self.settings.lake_bucket}/"
        structure = shape.structure.replace("'", "\\'")
        for at in range(0, len(paths), _AT_ONCE):
            keys = ",".join(path.removeprefix(prefix) for path in paths[at : at + _AT_ONCE])
            place = f"{self.settings.lake_s3}/{self.settings.lake_bucket}/{{{keys}}}"
            names = shape.names if values == "*" else values
            self.engine.run(
                f"INSERT INTO {stage} ({shape.names}) SELECT {names}"
                f" FROM s3('{place}', '{access}', '{secret}', 'Parquet', '{structure}')"
            )

    def _replace(self, name: str, partition: str, *, filled: bool) -> None:
        """Let a partition be what is staged of it: ClickHouse refuses to replace one by nothing."""
        stage = self._table(f"stage_{name}")
        what = f"REPLACE PARTITION '{partition}' FROM {stage}" if filled else f"DROP PARTITION '{partition}'"
        self.engine.run(f"ALTER TABLE {self._table(name)} {what}")

    def _make(self, shape: Shape) -> bool:
        """Make a table as it is declared; return whether one of another shape, or none, was there."""
        other = self._differs(shape.name, shape.mark)
        if other:
            self.engine.run(f"DROP TABLE IF EXISTS {self._table(shape.name)}")
        self.engine.run(shape.create(self._database))
        return other

    def _differs(self, name: str, mark: str) -> bool:
        comment = self._rows(
            f"SELECT comment FROM system.tables WHERE database = '{self.lakehouse.name}' AND name = '{name}'"
        )
        return comment != [[mark]]

    def _table(self, name: str) -> str:
        return f"{self._database}.`{name}`"

    def _gold(self, name: str) -> str:
        return f"{self.lakehouse.namespace('gold')}.{name}"


def load(settings: Settings, engine: ClickHouse, lakehouse: Lakehouse, *, full: bool = False) -> list[dict[str, Any]]:
    """Load what readers of a lakehouse see now. Raises NoRun, and what ``Load.execute`` raises."""
    current = history.current(settings, lakehouse.name)
    return Load(settings, engine, lakehouse, history.tag(lakehouse.name, current.run)).execute(full=full)


def _exact(value: object) -> str | None:
    """Return a number as text without trailing zeros: engines write them differently."""
    if value is None:
        return None
    text = str(value)
    return text.rstrip("0").rstrip(".") if "." in text else text
