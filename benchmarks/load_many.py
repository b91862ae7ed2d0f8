"""What a load of many small files takes, against the same lines in one file.

Needs the stack (`meterlake up`). Each small file is a day of minutes of a meter; the one file has all of their lines.
Both are loaded into data sets of their own, which are removed afterwards. Compared is what grows with the input: the
upload, decoding and writing, and the commit; not the start of Spark. Prints one JSON object; ends with 1 if the small
files take more than 3 times as long.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from batch_layer.ingest.load import load
from batch_layer.ingest.raw_store import RAW
from batch_layer.ingest.request import Request, Result
from datasets.household.text import HOUSEHOLD_TEXT
from engines import hdfs, spark, spark_runtime
from meterlake.clock import system_clock
from meterlake.settings import Settings, load_settings
from meterlake.text.format import TextFormat
from stack.runtime.spark import runtime

LINES: Final = 1440
METERS: Final = 100
BEGIN: Final = datetime(2024, 1, 1)  # noqa: DTZ001 - the files' own clock
LIMIT: Final = 3.0
NOT_COUNTED: Final = ("session", "open", "total")


def lines(number: int) -> Iterator[str]:
    """Yield the lines of a small file: a day of a meter."""
    day = BEGIN + timedelta(days=number // METERS)
    for minute in range(LINES):
        at = day + timedelta(minutes=minute)
        power = (minute * 7 + number) % 5000 / 1000
        yield f"{at.day}/{at.month}/{at.year};{at:%H:%M:%S};{power:.3f};0.100;240.00;4.1;0.000;1.000;17.000\n"


def write(folder: Path, files: int) -> Path:
    """Write the small files into a folder, and return the one file."""
    header = f"{HOUSEHOLD_TEXT.header}\n"
    one = folder / "one.txt"
    (folder / "many").mkdir()
    with one.open("w", encoding="utf-8") as whole:
        whole.write(header)
        for number in range(files):
            text = "".join(lines(number))
            whole.write(text)
            name = f"meter_{number % METERS}-{number // METERS}.txt"
            (folder / "many" / name).write_text(header + text, encoding="utf-8")
    return one


def loaded(settings: Settings, name: str, path: Path, pattern: str) -> Result:
    """Load into a data set of its own, and remove it again."""
    form: TextFormat = replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=name))
    request = Request((form,), (str(path),), "", None, meter_from_name=pattern)
    with spark.session(settings, "load") as session:
        try:
            return load(settings, request, system_clock, lambda _: None)
        finally:
            for table in (name, f"{name}_quarantine"):
                session.sql(f"DROP TABLE IF EXISTS {spark.CATALOG}.master.{table} PURGE")
            hdfs.client(settings).delete(f"{RAW}/{name}", recursive=True)


def seconds(result: Result) -> float:
    """Return what grows with the input."""
    return round(sum(taken for step, taken in result.seconds.items() if step not in NOT_COUNTED), 2)


def measure(settings: Settings, files: int) -> dict[str, Any]:
    """Load so many small files, and one with the same lines. Raises AssertionError where readings are missing."""
    with tempfile.TemporaryDirectory() as place, spark.session(settings, "load"):
        folder = Path(place)
        one = write(folder, files)
        loaded(settings, "load_many_warm", next((folder / "many").iterdir()), "")
        whole = loaded(settings, "load_many_one", one, "")
        many = loaded(settings, "load_many_files", folder / "many", "meter_([0-9]+)")
    if not whole.readings == many.readings == files * LINES:
        raise AssertionError(f"{whole.readings} and {many.readings} readings, not {files * LINES}")
    return {
        "files": files,
        "readings": many.readings,
        "one_s": seconds(whole),
        "many_s": seconds(many),
        "ratio": round(seconds(many) / seconds(whole), 2),
        "one": whole.seconds,
        "many": many.seconds,
    }


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    spark_runtime.provide(runtime)
    result = measure(load_settings(), parser.parse_args().files)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0 if result["ratio"] <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
