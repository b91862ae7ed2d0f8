"""What does it take to make the utility's databases, and to let a month and a day go by?

    python benchmarks/utility_sources.py --customers 2000 --days 730

SQLite files in a temporary folder; no server is needed. Prints one JSON object: rows that are new or have changed, and
seconds of CPU time and on the wall, of each step.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from datasets.utility import DATASET
from datasets.utility.play import play
from meterlake.lakehouse.sources import Play

UNTIL: Final = date(2026, 11, 10)


def measure(step: Play) -> dict[str, float]:
    """Return what a step takes."""
    wall, cpu = time.monotonic(), time.process_time()
    played = play(step)
    rows = sum(counts["new"] + counts["changed"] for counts in played.tables.values())
    seconds = time.process_time() - cpu
    return {"rows": rows, "cpu": round(seconds, 1), "seconds": round(time.monotonic() - wall, 1)}


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=2000)
    parser.add_argument("--days", type=int, default=730)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        urls = {name: f"sqlite:///{Path(folder) / name}.db" for name in DATASET.databases}
        whole = Play(urls, options.days, UNTIL - timedelta(days=options.days), options.customers, 7)
        steps = {"whole": whole, "month": Play(urls, 30), "day": Play(urls, 1)}
        result = {name: measure(step) for name, step in steps.items()}
    print(json.dumps({**vars(options), **result}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
