"""How good estimates are: real half hours are hidden, estimated, and compared with what they were.

The file is a CSV of customer, time and kWh, such as Smart Grid Smart City's half-hourly general supply (unpacked). A
twentieth of each customer's half hours is hidden, in gaps of one class at a time: single half hours, hours (1 to 6),
days (1 to 3), weeks (1 to 2). Each gap is filled by what the half-hourly data set declares, by its methods alone,
and by what is usual elsewhere: the straight line, and a copy of the week before.

    python benchmarks/vee_accuracy.py smart_meter10.csv --seed 1

Prints a table (Markdown) of errors in Wh a half hour. Exit code 1 where the line or the copy of a week is better in a
class than what is declared.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from meterlake import registry
from meterlake.vee.declaration import GroupProfile, Linear, Method, SimilarDays
from meterlake.vee.estimation import Group, estimate
from meterlake.vee.grid import Cells, Gap, cells

STEP = 1800
WEEK = 336
HIDDEN = 0.05
CLASSES = {"single": (1, 1), "hours": (2, 12), "days": (48, 144), "weeks": (336, 672)}
VEE = registry.entry("half_hourly").vee()
ALONE: dict[str, tuple[Method, ...]] = {
    kind.name: (max((part for part in VEE.parts if isinstance(part, kind)), key=lambda part: part.longest),)
    for kind in (SimilarDays, GroupProfile)
}
OURS, LINE, COPY = "as declared", "line (simple interpolation)", "copy of the week before"


def read(path: Path) -> dict[str, Cells]:
    """Return each customer's half hours on their grid; where a time is there twice, the first counts."""
    query = """
        SELECT customer_id, epoch(reading_datetime)::BIGINT, floor(first(general_supply_kwh) * 1000 + 0.5)::BIGINT
        FROM read_csv(?, header = true, columns = {
            'customer_id': 'VARCHAR', 'reading_datetime': 'TIMESTAMP', 'general_supply_kwh': 'DOUBLE'})
        GROUP BY ALL ORDER BY 1, 2
    """
    with duckdb.connect() as base:
        rows = base.execute(query, [str(path)]).fetchall()
    by_customer: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for customer, ts, value in rows:
        by_customer[customer].append((ts, value))
    result = {}
    for customer, some in by_customer.items():
        starts, values = np.array(some, np.int64).T
        result[customer] = cells(starts, values, np.ones(len(some), np.bool_), STEP, "UTC")
    return result


def hidden(own: Cells, lengths: tuple[int, int], seed: list[int]) -> list[Gap]:
    """Return gaps that hide a twentieth of the half hours, with known ones on both sides."""
    pick = np.random.default_rng(seed)
    taken, gaps = np.zeros(own.count, np.bool_), []
    for _ in range(200_000):
        if taken.sum() >= HIDDEN * own.usable.sum():
            break
        length = int(pick.integers(lengths[0], lengths[1] + 1))
        first = int(pick.integers(1, own.count - length - 1))
        around = slice(first - 1, first + length + 1)
        if own.usable[around].all() and not taken[around].any():
            taken[first : first + length] = True
            gaps.append(Gap(first, first + length))
    return gaps


def without(own: Cells, gaps: list[Gap]) -> Cells:
    """Return the half hours with those of the gaps hidden."""
    usable, values = own.usable.copy(), own.values.copy()
    for gap in gaps:
        usable[gap.first : gap.last] = False
        values[gap.first : gap.last] = 0
    return replace(own, usable=usable, known=usable, values=values)


def group_of(some: dict[str, Cells], own: Cells) -> Group:
    """Return what all customers have at the times of one."""
    total, meters = np.zeros(own.count, np.int64), np.zeros(own.count, np.int64)
    for other in some.values():
        shift = (other.begin - own.begin) // STEP
        low, high = max(shift, 0), min(shift + other.count, own.count)
        if low < high:
            there = slice(low - shift, high - shift)
            total[low:high] += np.where(other.usable[there], other.values[there], 0)
            meters[low:high] += other.usable[there]
    return Group(total, meters)


def copy_of_week(own: Cells, gap: Gap) -> np.ndarray | None:
    """Return the same half hours a week before, or two or three where they are not known; None where none are."""
    places = np.arange(gap.first, gap.last) - WEEK
    for _ in range(3):
        unknown = (places >= 0) & ~own.usable[np.maximum(places, 0)]
        places = np.where(unknown, places - WEEK, places)
    return own.values[places] if (places >= 0).all() and own.usable[places].all() else None


def made(own: Cells, gap: Gap, group: Group) -> dict[str, np.ndarray | None]:
    """Return the estimates of each way."""
    ways = {OURS: VEE.methods, **{f"{name} alone": some for name, some in ALONE.items()}}
    result = {name: estimate(own, gap, some, group, 0.0) for name, some in ways.items()}
    line = estimate(own, gap, (Linear(ALONE["similar_days"][0].longest),))
    values = {name: None if one is None else one.values for name, one in result.items()}
    return {**values, LINE: None if line is None else line.values, COPY: copy_of_week(own, gap)}


def measured(whole: dict[str, Cells], lengths: tuple[int, int], seed: int) -> dict[str, dict[str, float]]:
    """Return the errors of each way over the gaps that all of them can fill, in Wh."""
    gaps = {
        customer: hidden(own, lengths, [seed, number, lengths[0]])
        for number, (customer, own) in enumerate(whole.items())
    }
    kept = {customer: without(own, gaps[customer]) for customer, own in whole.items()}
    errors: dict[str, list[np.ndarray]] = defaultdict(list)
    unfilled: dict[str, int] = defaultdict(int)
    for customer, own in kept.items():
        group = group_of(kept, own)
        for gap in gaps[customer]:
            truth = whole[customer].values[gap.first : gap.last]
            ways = made(own, gap, group)
            for name, values in ways.items():
                unfilled[name] += values is None
            filled = {name: values for name, values in ways.items() if values is not None}
            if len(filled) == len(ways):
                for name, estimates in filled.items():
                    errors[name].append(estimates - truth)
    return {
        name: {
            "gaps": len(some),
            "unfilled": unfilled[name],
            "mean": float(np.abs(np.concatenate(some)).mean()),
            "root mean square": float(np.sqrt((np.concatenate(some).astype(float) ** 2).mean())),
            "energy": float(sum(abs(one.sum()) for one in some) / sum(len(one) for one in some)),
        }
        for name, some in errors.items()
    }


def main() -> int:
    """Measure all classes; return 1 where something else is better than what is declared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    whole = read(options.file)
    print("| gap | way | gaps | not filled | mean error | root mean square | error of the sum, a half hour |")
    print("|--|--|--|--|--|--|--|")
    worse: list[Any] = []
    for name, lengths in CLASSES.items():
        result = measured(whole, lengths, options.seed)
        for way, one in result.items():
            figures = f"{one['mean']:.1f} | {one['root mean square']:.1f} | {one['energy']:.1f}"
            print(f"| {name} | {way} | {one['gaps']:.0f} | {one['unfilled']:.0f} | {figures} |", flush=True)
        worse += [
            (name, way, measure)
            for way in (LINE, COPY)
            for measure in ("mean", "root mean square")
            if result[way][measure] < result[OURS][measure]
        ]
    for name, way, measure in worse:
        print(f"{name}: {way} is better by its {measure} error.", file=sys.stderr)
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
