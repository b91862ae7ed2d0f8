"""Readings that come 0 to 30 minutes late while batch runs every two: no reader ever sees a minute lose one.

Sensors, both queries and a repeated batch run as a user starts them, on the stack that the settings name (`meterlake
up` first), with a data set of its own, removed at the end. A reader asks the merged view again and again and remembers
how many readings each minute had; nothing is revised, so none may have fewer later.

    python benchmarks/lateness.py --meters 40 --minutes 30 --batch-every 2m

Prints what is lost as it is seen, and one JSON object. Exit code 1 where a minute has lost a reading, the layers differ
without an explanation, a merged minute is not what DuckDB makes of all that is in Kafka in the end, or `meterlake
verify` finds a difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))

from soak import Soak, compared, soak, warmed

from engines import trino
from meterlake.errors import TransientError
from meterlake.merged import merged_view
from meterlake.settings import load_settings

FAULTS = "delayed=0.05,out_of_order=0.02,duplicate=0.01,corrupt=0.01"


@dataclass
class Reader:
    """Somebody who looks at all minutes. shown: how many readings each had."""

    run: Soak
    shown: dict[tuple[str, datetime], int] = field(default_factory=dict)
    looks: int = 0
    lost: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Look once, and compare with before."""
        view = merged_view(self.run.dataset, "minute")
        rows = trino.rows(self.run.settings, f"SELECT meter_id, minute, readings FROM {view}")  # noqa: S608
        now = {(meter, minute): int(readings) for meter, minute, readings in rows}
        for key, before in self.shown.items():
            if now.get(key, 0) < before:
                self.lost.append(f"{key[0]} {key[1]}: {before} readings, then {now.get(key, 0)}")
                print(self.lost[-1], file=sys.stderr, flush=True)
        self.shown, self.looks = now, self.looks + 1


def watched(run: Soak, options: argparse.Namespace) -> Reader:
    """Let the sensors send, and look as often as the view answers."""
    reader = Reader(run)
    load = ["--meters", str(options.meters), "--for", f"{options.minutes}m", "--seed", "1", "--faults", FAULTS]
    run.begin("sensors", "simulate", run.dataset.name, *load, "--fill-gaps", "--output", "json")
    while run.running["sensors"].poll() is None:
        run.check("sensors")
        try:
            reader.look()
        except TransientError as error:  # a busy server that did not answer in time; the number of looks tells
            print(error, file=sys.stderr, flush=True)
        time.sleep(1)
    if code := run.ended("sensors", 0):
        raise RuntimeError(f"sensors ended with {code}; see {run.log('sensors')}")
    return reader


def main() -> int:
    """Return 1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meters", type=int, default=40, help="each sends a reading a second")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--batch-every", default="2m")
    parser.add_argument("--metrics-port", type=int, default=9565)
    options = parser.parse_args()
    with soak(load_settings(), options.metrics_port) as run:
        warmed(run, options.meters)
        run.begin("batch", "batch", run.dataset.name, "--every", options.batch_every, "--output", "json")
        reader = watched(run, options)
        result = compared(run, {"meters": options.meters, "minutes": options.minutes})
    result |= {"looks": reader.looks, "lost": reader.lost[:20], "lost_minutes": len(reader.lost)}
    print(json.dumps(result))
    wrong = reader.lost or result["unexplained"] or result["merged"]["wrong"] or result["verify_code"]
    return 1 if wrong or result["last_batch_code"] else 0


if __name__ == "__main__":
    sys.exit(main())
