"""How many bytes a reading takes: as a message, in the master data set, in views; beside other ways to keep the same.

So many meters live the household's history for some time, one reading a second each. The archive's table gets them as
the archive writes them, a commit a minute; upkeep compacts it; a batch run makes the views. The same readings are kept
as text, as plain Parquet in other orders and codecs, and as InfluxDB and Gorilla encode series: times as deltas of
deltas, values XORed with the one before (Pelkonen et al., VLDB 2015), one series a measure and meter.

    python benchmarks/storage.py --meters 40 --minutes 60
    python benchmarks/storage.py --recorded    # only the house's four years: rows of many hours and days a file

Batch alone: a table in a folder, no server. Sizes do not depend on how busy a machine is. Prints one JSON object of
bytes a reading, and of views also bytes a row; exit code 1 where a way does not have all readings.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import struct
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.csv as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from batch_growth import World, in_folder

from datasets.household.declaration import HOUSEHOLD
from engines import iceberg_upkeep, spark_runtime
from engines import spark as engine
from meterlake import registry
from meterlake.settings import ROOT, Settings, load_settings
from meterlake.wire import encode_units
from producers import simulate as run
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


START: Final = 1_790_000_040
MESSAGES_AT_ONCE: Final = 500
"""What a producer puts into one compressed batch of Kafka's, about."""
CODECS: Final = ("snappy", "lz4", "zstd")


@dataclass(frozen=True)
class Readings:
    """What was measured, in the order in which it arrives. units: (readings, measures)."""

    meters: NDArray[Any]
    times: NDArray[np.int64]
    units: NDArray[np.int64]

    def values(self, column: int) -> NDArray[np.float64]:
        """Return a measure's values."""
        result: NDArray[np.float64] = self.units[:, column] / 10 ** HOUSEHOLD.measures[column].scale
        return result

    def table(self) -> pa.Table:
        """Return meter, time and values, as anybody would keep them."""
        columns = {"meter_id": pa.array(self.meters), "ts": pa.array(self.times * 10**6, pa.timestamp("us"))}
        return pa.table(columns | {one.name: self.values(at) for at, one in enumerate(HOUSEHOLD.measures)})


def lived(settings: Settings, meters: int, minutes: int) -> Readings:
    """Return what the simulator makes of the history."""
    replay = registry.replay("household")
    request = run.Request(
        replay=replay, history=ROOT / replay.history, offset=replay.form.clock, meter_id=replay.form.meter_id,
        meters=meters, seed=1, rebase=datetime.fromtimestamp(START, UTC), fill_gaps=True,
        others=registry.entry("household").text_formats,
    )  # fmt: skip
    script = run.script(request, settings.cache_dir)
    steps = list(script.steps(START, START + 60 * minutes))
    ids = np.array(script.fleet.ids)
    return Readings(
        np.concatenate([ids[step.meters] for step in steps]),
        np.concatenate([np.full(len(step.meters), step.ts) for step in steps]),
        np.concatenate([step.units for step in steps]),
    )


def messages(readings: Readings) -> dict[str, int]:
    """Return the bytes of all messages, and of batches of them as Kafka keeps them."""
    columns = readings.units.T.tolist()
    made = encode_units(HOUSEHOLD, readings.meters.tolist(), readings.times.tolist(), 1, columns)
    parts = (b"".join(made[at : at + MESSAGES_AT_ONCE]) for at in range(0, len(made), MESSAGES_AT_ONCE))
    return {"JSON": sum(map(len, made)), "JSON, batches by lz4": sum(len(pa.compress(part, "lz4")) for part in parts)}


def plain(readings: Readings, folder: Path) -> dict[str, int]:
    """Return the bytes of text, and of Parquet in two orders and several codecs."""
    table, sizes = readings.table(), dict[str, int]()
    by_meter = table.sort_by([("meter_id", "ascending"), ("ts", "ascending")])
    file = folder / "plain"
    pc.write_csv(table, file)
    sizes["CSV"] = file.stat().st_size
    for order, rows in {"as they come": table, "by meter and time": by_meter}.items():
        for codec in CODECS:
            pq.write_table(rows, file, compression=codec)
            sizes[f"Parquet, {order}, {codec}"] = file.stat().st_size
    names = [measure.name for measure in HOUSEHOLD.measures]
    split = {"use_byte_stream_split": names, "use_dictionary": ["meter_id"]}
    pq.write_table(by_meter, file, compression="zstd", **split)
    sizes["Parquet, by meter and time, zstd, bytes of doubles apart"] = file.stat().st_size
    if pq.read_table(file).num_rows != len(readings.times):
        raise SystemExit("Parquet does not have all readings.")
    return sizes


def gorilla_bits(values: Sequence[float]) -> int:
    """Return the bits that a series of doubles takes, each XORed with the one before (Gorilla, section 4.1.2)."""
    numbers = struct.unpack(f"<{len(values)}Q", struct.pack(f"<{len(values)}d", *values))
    bits, before, window = 64, numbers[0], (65, 65)
    for number in numbers[1:]:
        changed, before = number ^ before, number
        if not changed:
            bits += 1
            continue
        leading = min(31, 64 - changed.bit_length())
        trailing = (changed & -changed).bit_length() - 1
        if leading >= window[0] and trailing >= window[1]:
            bits += 2 + 64 - window[0] - window[1]
        else:
            window = leading, trailing
            bits += 2 + 5 + 6 + 64 - leading - trailing
    return bits


def delta_bits(times: Sequence[int]) -> int:
    """Return the bits that times take as deltas of deltas (Gorilla, section 4.1.1)."""
    bits, before, delta = 64, times[0], 0
    for time in times[1:]:
        change = (time - before) - delta
        before, delta = time, time - before
        bits += 1 if not change else 9 if -63 <= change <= 64 else 12 if -255 <= change <= 256 else 36
    return bits


def series(readings: Readings) -> int:
    """Return the bytes of one series a measure and meter, as InfluxDB keeps them; times are kept with each series."""
    bits = 0
    for meter in np.unique(readings.meters):
        mine = np.flatnonzero(readings.meters == meter)
        times = delta_bits(readings.times[mine].tolist())
        for column in range(len(HOUSEHOLD.measures)):
            bits += times + gorilla_bits(readings.values(column)[mine].tolist())
    return math.ceil(bits / 8)


def recorded(folder: Path) -> dict[str, Any]:
    """Return the bytes of the house's four years of minutes as plain Parquet, and of their states by grain, a row."""
    names = [measure.name for measure in HOUSEHOLD.measures]
    with lzma.open(ROOT / registry.replay("household").history) as source:
        lines = pd.read_csv(source, sep=";", na_values="?").dropna()
    times = pd.to_datetime(lines.pop("Date") + " " + lines.pop("Time"), format="%d/%m/%Y %H:%M:%S")
    units = (lines.to_numpy() * [10**measure.scale for measure in HOUSEHOLD.measures]).round().astype(int)
    held = dict(zip(names, units.T, strict=True))
    readings = pa.table(
        {"meter_id": pa.array(["house"] * len(lines)), "ts": times} | dict(zip(names, lines.to_numpy().T, strict=True))
    )
    tables = {"reading of a minute": readings}
    for grain, unit in {"minute": "min", "hour": "h", "day": "D"}.items():
        kept = [(name, how) for name in names for how in ("sum", "min", "max")]
        rows = pa.table({"meter_id": readings["meter_id"], grain: times.dt.floor(unit)} | held)
        counted = rows.append_column("readings", pa.array(np.ones(len(lines), int)))
        grouped = counted.group_by(["meter_id", grain]).aggregate([("readings", "sum"), *kept])
        tables[f"state of a {grain}"] = grouped.sort_by(grain)
    return {what: of_rows(table, folder) for what, table in tables.items()}


def of_rows(table: pa.Table, folder: Path) -> dict[str, float]:
    """Return the rows of a table, and the bytes of one in Parquet as our tables are written."""
    pq.write_table(table, folder / "rows", compression="zstd")
    size = (folder / "rows").stat().st_size
    return {"rows": table.num_rows, "bytes_a_row": round(size / table.num_rows, 1)}


class Master(World):
    """The archive's table, with readings of the simulator."""

    def take(self, readings: Readings, folder: Path) -> None:
        """Append them as the archive does: a commit a minute."""
        file, offset = folder / "minute.parquet", 0
        for begin in range(int(readings.times[0]), int(readings.times[-1]) + 1, 60):
            mine = (readings.times >= begin) & (readings.times < begin + 60)
            part = Readings(readings.meters[mine], readings.times[mine], readings.units[mine])
            count = len(part.times)
            rows = part.table()
            rows = rows.append_column("received_at", pa.array((part.times + 1) * 10**6, pa.timestamp("us")))
            rows = rows.append_column("offset", pa.array(range(offset, offset + count)))
            pq.write_table(rows, file)
            offset += count
            measures = [measure.name for measure in self.dataset.measures]
            written = self.spark.read.parquet(file.as_uri()).selectExpr(
                f"meter_id AS {self.dataset.key}",
                f"CAST(ts AS TIMESTAMP_NTZ) AS {self.dataset.event_time}",
                f"1 AS {self.dataset.interval}",
                *measures,
                "0 AS revision",
                "CAST(received_at AS TIMESTAMP_NTZ) AS received_at",
                f"'{self.dataset.readings_topic}' AS origin",
                "CAST(pmod(hash(meter_id), 3) AS INT) AS origin_partition",
                "offset AS origin_offset",
                f"'stream-{begin}' AS load_id",
            )
            self.master.append(written, {})

    def files(self) -> tuple[int, int, int]:
        """Return how many rows, files and bytes the table has."""
        row: Any = self.spark.sql(
            f"SELECT sum(record_count) AS n, count(*) AS files, sum(file_size_in_bytes) AS bytes"  # noqa: S608
            f" FROM {engine.CATALOG}.master.{self.dataset.name}.files"
        ).first()
        return int(row.n), int(row.files), int(row.bytes)


def kept(settings: Settings, readings: Readings, meters: int) -> dict[str, Any]:
    """Return what the master data set takes before and after upkeep, and the views that a run makes of it."""
    spark_runtime.provide(runtime)
    settings.home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=settings.home) as name,
        engine.session(settings, "storage", in_folder(Path(name))) as spark,
    ):
        world = Master(spark, settings, HOUSEHOLD, Path(name), meters, timedelta(minutes=1))
        world.take(readings, Path(name))
        count, files, size = world.files()
        iceberg_upkeep.compact(spark, f"{engine.CATALOG}.master.{HOUSEHOLD.name}")
        after, files_after, size_after = world.files()
        if {count, after} != {len(readings.times)}:
            raise SystemExit(f"The table has {count:,} and {after:,} of {len(readings.times):,} readings.")
        world.batch(datetime.fromtimestamp(int(readings.times[-1]), UTC) + timedelta(days=2))
        views = {
            path.name: sum(file.stat().st_size for file in path.rglob("*.parquet"))
            for path in sorted((Path(name) / "batch").iterdir())
        }
        rows = {
            view: spark.read.parquet((Path(name) / "batch" / view).as_uri()).count()
            for view, size in views.items()
            if size
        }
    return {
        "master": {"files": files, "bytes_a_reading": round(size / count, 2)},
        "master after upkeep": {"files": files_after, "bytes_a_reading": round(size_after / count, 2)},
        "views": {view: {"rows": n, "bytes_a_row": round(views[view] / n, 1)} for view, n in rows.items() if n},
    }


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=40)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--recorded", action="store_true", help="only the four years as they were recorded")
    options = parser.parse_args()
    settings = load_settings()
    with tempfile.TemporaryDirectory() as name:
        years = recorded(Path(name))
    if options.recorded:
        print(json.dumps({"recorded": years}))
        return 0
    readings = lived(settings, options.meters, options.minutes)
    with tempfile.TemporaryDirectory() as name:
        sizes = messages(readings) | plain(readings, Path(name))
    sizes["series, as Gorilla and InfluxDB"] = series(readings)
    count = len(readings.times)
    others = {way: round(size / count, 2) for way, size in sizes.items()}
    print(
        json.dumps(
            {
                "readings": count,
                "bytes_a_reading": others,
                "recorded": years,
                **kept(settings, readings, options.meters),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
