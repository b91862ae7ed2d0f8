"""A simulation from its first reference to its last late event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producers.lakehouse.faults import Account, Injector

if TYPE_CHECKING:
    from collections.abc import Mapping
    from threading import Event

    from meterlake.clock import Clock
    from meterlake.lakehouse.simulation import Request, Simulation
    from producers.lakehouse.sinks import Sink


def simulate(
    simulation: Simulation,
    request: Request,
    shares: Mapping[str, float],
    sink: Sink,
    stop: Event,
    clock: Clock | None = None,
) -> Account:
    """Send all records, and return what must become of them. clock: then no event is sent before its time.

    Set ``stop`` to end it early: what was held back is sent still, and the account is right.
    """
    account = Account()
    injector = Injector(simulation, shares, request.seed, account)
    world = simulation.world(request)
    for batch in world.references():
        sink.send(batch.topic, injector.messages(batch))
    sent = 0
    for batches in world.events():
        sent += sum(len(batch.rows) for batch in batches)
        if clock is not None:
            due = request.start.timestamp() + sent / request.rate
            stop.wait(max(0.0, due - clock().timestamp()))
        for batch in batches:
            sink.send(batch.topic, injector.messages(batch))
        if stop.is_set():
            break
    for topic, messages in injector.held():
        sink.send(topic, messages)
    return account
