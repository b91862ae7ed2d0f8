"""Files of other people's meters: each line becomes what its format says, in Spark as in verify."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from foreign_samples import SAMPLES, Sample
from pyspark.sql import SparkSession

from batch_layer.ingest.lines import Lines
from batch_layer.ingest.parse import Arrival, decoded, numbered_lines, reading_lines, readings, with_places
from meterlake.texthead import layout

pytestmark = pytest.mark.spark
SPLIT = 1 << 25


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_each_line_is_a_reading_or_has_its_reason(spark: SparkSession, tmp_path: Path, sample: Sample) -> None:
    path, lines = tmp_path / "file.csv", Lines(SPLIT)
    path.write_bytes(lines.take(sample.text.encode()) + lines.rest())
    form = layout(sample.form, str(path), path.read_bytes())
    arrival = Arrival(form.meter_id, datetime(2026, 11, 26, tzinfo=UTC), "file.csv", "load1")
    with reading_lines(spark, SPLIT):
        given = numbered_lines(spark, path.as_uri(), lines.first_lines, SPLIT)
        given = with_places(given, form, form.clock)
        rows = decoded(given, form, form.clock, timedelta(0)).cache()
        bad = {row.line: row.reason for row in rows.where("reason IS NOT NULL").select("line", "reason").collect()}
        names = ["meter_id", "ts", "interval_s", *form.measures]
        good = readings(rows, form, arrival).orderBy("origin_offset").select(*names).collect()
        rows.unpersist()
    assert bad == sample.reasons
    assert [tuple(row) for row in good] == sample.rows
