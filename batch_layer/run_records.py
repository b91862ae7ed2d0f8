"""Records of runs that bring Delta tables up to date: a table a kind of run, and a row a run that has finished."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from engines.merge_table import Shape
from meterlake.columns import STRING, TIMESTAMP, Column

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import Row

    from engines.merge_table import Merging


def shape(database: str, name: str, doc: str, *columns: Column) -> Shape:
    """Return the table of some kind of runs. columns: what a run of this kind records of itself."""
    return Shape(
        database=database,
        name=name,
        columns=(
            Column("run_id", STRING, doc="the run"),
            Column("finished_at", TIMESTAMP, doc="when all its tables were written, UTC"),
            *columns,
            Column("version", STRING, doc="of the code"),
        ),
        keys=("run_id",),
        doc=doc,
    )


def last(table: Merging) -> Row | None:
    """Return the record of the last run; None where there was none."""
    return table.read().orderBy("finished_at", ascending=False).first()


def add(table: Merging, run_id: str, now: datetime, *values: Any) -> None:  # noqa: ANN401 - as the columns say
    """Record a run, with the values of its own columns."""
    row = (run_id, now.replace(tzinfo=None), *values, version("meterlake"))
    columns = ", ".join(f"{column.name} {column.type.sql('spark')}" for column in table.shape.columns)
    table.add(table.read().sparkSession.createDataFrame([row], columns), 1)
