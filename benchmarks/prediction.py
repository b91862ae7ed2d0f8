"""Models of outages side by side: on feeders whose hazard is known, or on a CSV of real outages.

python benchmarks/prediction.py --customers 20000 --days 730
python benchmarks/prediction.py --history outages.csv --time outage_start_time --member feeder
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit"))
from prediction_samples import company, history

from datasets.utility.predictions import OUTAGES
from lakehouse.prediction import measures, training
from lakehouse.prediction.rows import Rows, split


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--history", type=Path)
    parser.add_argument("--time", default="start")
    parser.add_argument("--member", default="feeder")
    parser.add_argument("--least", type=int, default=1, help="Leave out members with fewer outages.")
    asked = parser.parse_args()
    hazard = None
    if asked.history:
        rows = history(asked.history, asked.time, asked.member, asked.least)
    else:
        rows, hazard = company(asked.customers, asked.days)
    trained, parts = training.train(OUTAGES, rows), split(rows)
    members = len({key[1] for key in rows.keys})
    print(
        f"{members} members, {len(set(rows.days))} days, {len(parts.test)} rows in the test,"
        f" base rate {trained.base_rate:.3f}"
    )
    print(f"| answer | {' | '.join(measures.NAMES)} |\n|--|{'--|' * len(measures.NAMES)}")
    for item in trained.results:
        print(_line(item.algorithm, item.measures, item.intervals))
    if hazard is not None:
        known = ~np.isnan(rows.happened)
        days, said = rows.days[known].astype(str), hazard[known]
        limit = measures.threshold(parts.validation.happened, said[np.isin(days, parts.validation.days.astype(str))])
        test = said[np.isin(days, parts.test.days.astype(str))]
        came = parts.test.happened
        spread = measures.intervals(parts.test.days, came, test, limit)
        print(_line("the hazard itself", measures.measure(came, test, limit), spread))
    print(_line("leaky: rows copied until half of them are outages, then split at random", *_leaky(rows)))
    print("importance:", sorted(trained.importance.items(), key=lambda item: -item[1])[:6])


def _leaky(rows: Rows) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return how good a list of the rows that were seen seems: it has learned nothing, but copies are on both sides."""
    pick = np.random.default_rng(1)
    known = np.flatnonzero(~np.isnan(rows.happened))
    came = known[rows.happened[known] > 0]
    order = pick.permutation(np.concatenate([known, pick.choice(came, len(known) - 2 * len(came))]))
    seen, asked = np.split(order, [int(len(order) * 0.8)])
    listed = {int(number) for number in seen if rows.happened[number] > 0}
    share = np.array([1.0 if int(number) in listed else 0.0 for number in asked])
    happened = rows.happened[asked]
    return measures.measure(happened, share, 0.5), measures.intervals(rows.days[asked], happened, share, 0.5)


def _line(name: str, values: dict[str, float], spread: dict[str, tuple[float, float]]) -> str:
    cells = (f"{values[key]:.3f} ({spread[key][0]:.3f}-{spread[key][1]:.3f})" for key in measures.NAMES)
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
