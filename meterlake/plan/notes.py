"""What a plan's reader must know: how far it goes beyond what was measured, and what is not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meterlake.plan import sizing

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY_TASKS: Final = 200


def notes(plan: sizing.Plan) -> list[str]:
    """Return sentences, the most important ones first."""
    return [*_reach(plan), *_assumed(plan), *_smaller(plan)]


def _reach(plan: sizing.Plan) -> Iterator[str]:
    one = plan.request
    known = (
        f"Measured on 2 cores: live {sizing.MEASURED_METERS:,} meters with a reading a second, and"
        f" {sizing.MEASURED_READINGS_S:,} readings a second of a backlog."
    )
    times = one.rate / sizing.MEASURED_READINGS_S
    if one.rate <= sizing.MEASURED_METERS:
        yield f"{known} This is within it; several machines and copies were not measured."
    else:
        more = f"{times:,.0f} times" if times >= 10 else f"{times:.2g} times"
        yield (
            f"{known} Extrapolated: this is {more} that rate, and it is assumed that cores, on many machines too,"
            " work in proportion."
        )
    if one.rate > sizing.KNOWN_READINGS_S:
        yield f"More than {sizing.KNOWN_READINGS_S:,} readings a second: nobody has thought about what breaks there."
    if plan.cores["stream"] > MANY_TASKS:
        yield (
            f"One driver plans each update's {2 * plan.cores['stream']:,} and more tasks. What that takes was not"
            " measured: several data sets, one a region, would have a driver each."
        )


def _assumed(plan: sizing.Plan) -> Iterator[str]:
    one = plan.request
    if one.interval_s not in one.dataset.intervals:
        taken = ", ".join(f"{length} s" for length in one.dataset.intervals)
        yield (
            f"{one.dataset.name} takes readings of {taken}: for these its declaration must say so, and no row of a view"
            " may be shorter than a reading."
        )
    if len(one.dataset.measures) != 7:
        yield (
            "Bytes were measured with the household's 7 measures; here they are in proportion to columns, which is"
            " assumed. CPU time is that of 7 measures, or more in proportion."
        )
    yield "Assumed, too: a copy costs a broker and Cassandra what the first one does; readings come evenly over time."
    yield "Not in it: queries (Trino, Hive), CPU time of HDFS, the metastore, networks, operating systems."
    if one.copies == 1:
        yield "One copy: what a lost disk had is gone, and while a broker is away the messages of its partitions wait."


def _smaller(plan: sizing.Plan) -> Iterator[str]:
    one = plan.request
    busy = sum(work.cores for work in plan.work) / one.copies
    stored = sum(each.size for each in plan.stored)
    machine = one.machine
    if one.copies > 1 and busy <= one.used * machine.cores and stored <= one.used * machine.disk * 1e12:
        yield (
            f"Without copies one machine could carry all of it (--replication 1): {one.copies} machines are there for"
            " the copies."
        )
