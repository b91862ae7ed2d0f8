"""Bad hours of a planned installation, simulated: a burst, a stream that is away, a broker that is lost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meterlake.durations import duration_text
from meterlake.plan import coefficients as of
from meterlake.plan.queueing import Freshness, Phase, Server, simulate

if TYPE_CHECKING:
    from meterlake.plan.sizing import Plan

BURST: Final = 3
BURST_S: Final = 600
_UPDATES_BEFORE: Final = 10
_UPDATES_LOOKED_AT: Final = 200
_PATIENCE: Final = 20
"""Caught up or not is looked at for so many times the length of the trouble."""


@dataclass(frozen=True)
class Incident:
    """What happens, and what becomes of freshness."""

    what: str
    freshness: Freshness


def server(plan: Plan) -> Server:
    """Return the stream as planned: an update ends when the slower of Spark and Cassandra has done its work."""
    one, wide = plan.request, max(1.0, plan.request.columns(0, 1))
    spark, cassandra = 1e6 * plan.cores["stream"] / wide, 1e6 * plan.cores["Cassandra"] / wide / one.copies
    return Server(
        every=plan.update_s,
        fixed=of.STREAM_UPDATE.value,
        work=(
            (of.STREAM_READING.value / spark, of.STREAM_ROW.value / spark),
            (of.CASSANDRA_READING.value / cassandra, of.CASSANDRA_ROW.value / cassandra),
        ),
        rows=one.meters,
        most=plan.most,
        spread=of.STREAM_SPREAD.value,
    )


def broker_rate(plan: Plan) -> float:
    """Return how many readings a second all brokers take with all of their cores."""
    return plan.request.rate * plan.cores["Kafka"] / plan.busy("Kafka")


def usual(plan: Plan) -> Freshness:
    """Return freshness when nothing happens."""
    phase = Phase(plan.update_s * _UPDATES_BEFORE, plan.request.rate)
    return simulate(server(plan), [phase, replace(phase, seconds=plan.update_s * _UPDATES_LOOKED_AT), phase])


def incidents(plan: Plan, outage_s: float) -> list[Incident]:
    """Return what is simulated. outage_s: how long a stream or a broker is away."""
    rate, taken, brokers = plan.request.rate, broker_rate(plan), plan.parts[0].nodes
    steady = Phase(plan.update_s * _UPDATES_BEFORE, rate, taken)

    def during(*trouble: Phase) -> Freshness:
        after = _PATIENCE * sum(one.seconds for one in trouble) + steady.seconds
        return simulate(server(plan), [steady, *trouble, replace(steady, seconds=after)])

    # Every partition waits for a leader, as if all had been those of the broker; without copies, until it is back.
    stalled = of.FAILOVER.value if plan.request.copies > 1 else outage_s
    lost, burst = replace(steady, seconds=stalled, brokers=0), replace(steady, seconds=BURST_S, rate=BURST * rate)
    fewer = replace(steady, seconds=max(0.0, outage_s - stalled), brokers=taken * (brokers - 1) / brokers)
    return [
        Incident("nothing", usual(plan)),
        Incident(f"{BURST} × the readings, {text_of(BURST_S)}", during(burst)),
        Incident(f"stream away, {text_of(outage_s)}", during(replace(steady, seconds=outage_s, streaming=False))),
        Incident(f"1 of {brokers} brokers away, {text_of(outage_s)}", during(lost, fewer)),
    ]


def text_of(seconds: float) -> str:
    """Return seconds as people write a duration."""
    return duration_text(timedelta(seconds=seconds))
