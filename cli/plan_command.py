"""``meterlake plan``: what an installation of a given size needs, and what its bad hours are like."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.arguments import beginning, given_duration
from cli.output import Output, OutputOption, console, show
from meterlake import registry
from meterlake.errors import UsageError
from meterlake.plan import notes, sizing
from meterlake.plan.incidents import incidents, text_of, usual
from meterlake.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meterlake.plan.coefficients import Coefficient
    from meterlake.plan.incidents import Incident


def plan(
    meters: Annotated[int, typer.Option("--meters", help="How many meters.")],
    rate: Annotated[
        str, typer.Option("--rate", help="Readings a second of a meter, or the time between two: 1, 1s, 15min, 30min.")
    ],
    history: Annotated[float, typer.Option("--history", help="Years that are kept.")],
    dataset: Annotated[
        str,
        typer.Option("--dataset", help="Whose measures, views and retention count.", autocompletion=beginning),
    ] = "household",
    replication: Annotated[int, typer.Option("--replication", help="Copies of everything.")] = 3,
    headroom: Annotated[
        float, typer.Option("--headroom", help="The part of cores, time, memory and disks that is kept free.")
    ] = 0.4,
    update: Annotated[
        str | None,
        typer.Option(
            "--update",
            help="How often live minutes are brought up to date. Default: of 2, 5, 10, 30 and 60 s the shortest that"
            " takes no more than twice the cores of once a minute.",
        ),
    ] = None,
    outage: Annotated[str, typer.Option("--outage", help="How long the stream, or a broker, is away.")] = "1h",
    cores: Annotated[int, typer.Option("--cores", help="Of a machine.")] = 16,
    memory: Annotated[int, typer.Option("--memory", help="Of a machine, in GB.")] = 64,
    disk: Annotated[int, typer.Option("--disk", help="Of a machine, in TB.")] = 20,
    output: OutputOption = Output.TEXT,
) -> None:
    """Size an installation: brokers, cores, nodes and disks for so many meters, and what bad hours are like.

    Every number comes from a coefficient that was measured, was derived from measurements, or is assumed and says so:
    docs/benchmarks.md has all of them with their sources. They were measured on two cores; a plan for more is in
    proportion, and says how far it goes beyond. Retention and intervals are those of the settings and of the data set's
    declaration. No server is asked. docs/plan.md explains what is shown.

    Examples:

    - `meterlake plan --meters 100 --rate 1 --history 1 --replication 1 --cores 4 --memory 16 --disk 1`: one laptop
    - `meterlake plan --meters 2000000 --rate 30min --history 10 --dataset half_hourly`
    - `meterlake plan --meters 10000000 --rate 1s --history 5 --update 10s --outage 30m`
    """
    request = sizing.Request(
        registry.declaration(dataset),
        load_settings(),
        meters,
        interval(rate),
        history,
        replication,
        headroom,
        given_duration("--update", update).total_seconds() if update is not None else None,
        sizing.Machine(cores, memory, disk),
    )
    away = given_duration("--outage", outage).total_seconds()
    if not 60 <= away <= 2 * sizing.DAY:
        raise UsageError(f"--outage {outage} is not simulated.", hint="Give 1m to 2d.")
    made = sizing.Plan(request)
    happened = incidents(made, away)
    if output is Output.JSON:
        show([as_record(made, happened)], output)
        return
    for title, rows in tables(made, happened):
        show(rows, output, title=title, optional=("worst", "behind"))
        console.print()
    for note in notes.notes(made):
        console.print(note, markup=False)


def interval(rate: str) -> float:
    """Return the seconds between two readings of a meter. Raises UsageError."""
    try:
        times = float(rate)
        seconds = 1 / times if times > 0 else math.nan
    except ValueError:
        seconds = given_duration("--rate", rate).total_seconds()
    if not 1 <= seconds <= 31 * sizing.DAY:
        raise UsageError(
            f"--rate {rate} makes no plan.",
            hint="Give at most 1 reading a second, and at least one a month: 1, 0.1, 30min.",
        )
    return seconds


def tables(made: sizing.Plan, happened: list[Incident]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield what is shown: a title, and rows."""
    one = made.request
    machine = f"machines: {one.machine.cores}, {one.machine.memory} GB, {one.machine.disk} TB"
    yield (
        f"{one.meters:,} meters of {one.dataset.name}, a reading every {text_of(one.interval_s)}, years: {one.years:g}",
        [{"what": what, "value": value} for what, value in demand(made)],
    )
    yield (
        "Work: cores kept busy",
        [{"part": w.part, "what": w.what, "cores": amount(w.cores), "at": by_text(w)} for w in made.work],
    )
    yield (
        "On disks",
        [
            {
                "part": s.part,
                "what": s.what,
                "one copy": size(s.size),
                "all": size(s.size * one.copies),
                "at": by_text(s),
            }
            for s in made.stored
        ],
    )
    yield (
        f"Servers: {one.used:.0%} used, copies: {one.copies}, executors of {sizing.EXECUTOR_CORES} cores; {machine}",
        [
            {
                "part": part.part,
                "number": f"{part.nodes:,}",
                "cores": f"{part.cores:,}" if part.cores else "",
                "memory": size(part.memory) if part.memory else "",
                "disk": size(part.disk) if part.disk else "",
                "limited by": part.limit,
            }
            for part in (*made.parts, made.total)
        ],
    )
    yield (
        "Age of a reading when it can be read (simulated; behind: readings that wait)",
        [
            {
                "what happens": i.what,
                "p50": lasting(i.freshness.p50),
                "p99": lasting(i.freshness.p99),
                "worst": lasting(i.freshness.worst),
                "over after": caught_up(i, number),
                "behind": amount(i.freshness.behind),
            }
            for number, i in enumerate(happened)
        ],
    )
    yield "What freshness costs (*: this plan)", [dict(zip(COSTS, row, strict=True)) for row in costs(made)]
    yield "Settings", [{"setting": f"METERLAKE_{name}", "value": value} for name, value in made.settings.items()]


COSTS = ("updates every", "stream cores", "Cassandra cores", "machines", "p50", "p99")


def demand(made: sizing.Plan) -> Iterator[tuple[str, str]]:
    """Yield what is asked for, in figures."""
    one = made.request
    yield "readings a second", amount(one.rate)
    yield "readings a day", amount(one.rate * sizing.DAY)
    for view in one.dataset.views:
        yield f"{view.grain} rows a day", amount(one.rows_a_day(view))
    yield "live minutes brought up to date every", text_of(made.update_s)
    yield "Kafka partitions", f"{made.partitions:,}"
    yield "computing all history again", lasting(made.recompute_days * sizing.DAY)


def costs(made: sizing.Plan) -> Iterator[tuple[str, ...]]:
    """Yield a row for each interval of updates that is possible."""
    for every in sizing.UPDATES:
        if made.request.budget(every) > 0:
            other = sizing.Plan(replace(made.request, update_s=every))
            fresh, mark = usual(other), " *" if every == made.update_s else ""
            numbers = (other.cores["stream"], other.cores["Cassandra"], other.total.nodes)
            yield f"{text_of(every)}{mark}", *(f"{n:,}" for n in numbers), lasting(fresh.p50), lasting(fresh.p99)


def by_text(one: sizing.Work | sizing.Stored) -> str:
    """Return the coefficient of a line, and how wide a row is beside the household's."""
    return str(one.at) if one.wide == 1 else f"{one.at} × {one.wide:.2g}"


def caught_up(incident: Incident, number: int) -> str:
    """Return how long after the trouble all is as usual again; the first is none."""
    if number == 0:
        return ""
    return "never" if incident.freshness.caught_up is None else lasting(incident.freshness.caught_up)


def as_record(made: sizing.Plan, happened: list[Incident]) -> dict[str, Any]:
    """Return all of it for programs: seconds, bytes, cores."""
    one = made.request
    return {
        "dataset": one.dataset.name,
        "meters": one.meters,
        "interval_s": one.interval_s,
        "years": one.years,
        "replication": one.copies,
        "headroom": one.headroom,
        "machine": asdict(one.machine),
        "readings_per_s": one.rate,
        "update_s": made.update_s,
        "kafka_partitions": made.partitions,
        "recompute_days": made.recompute_days,
        "work": [{**asdict(work), "at": by(work.at)} for work in made.work],
        "stored": [{**asdict(stored), "at": by(stored.at)} for stored in made.stored],
        "parts": [asdict(part) for part in made.parts],
        "machines": asdict(made.total),
        "incidents": [{"what": each.what, **asdict(each.freshness)} for each in happened],
        "settings": {f"METERLAKE_{name}": value for name, value in made.settings.items()},
        "notes": notes.notes(made),
    }


def by(coefficient: Coefficient) -> dict[str, Any]:
    """Return a coefficient for programs."""
    return {name: getattr(coefficient, name) for name in ("what", "value", "unit", "origin", "source")}


def amount(number: float) -> str:
    """Return a number with as many digits as it is worth."""
    for name, unit in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if number >= unit:
            return f"{number / unit:,.3g} {name}" if number < 1000 * unit else f"{number / unit:,.0f} {name}"
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.2g}"


def size(count: float) -> str:
    """Return bytes as people read them, in powers of 1000."""
    for name, unit in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= unit:
            return f"{count / unit:.3g} {name}" if count < 1000 * unit else f"{count / unit:,.0f} {name}"
    return f"{count / 1e3:.3g} kB"


def lasting(seconds: float) -> str:
    """Return a time as people read it."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}" if seconds >= 10 * length else f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command(rich_help_panel="Servers")(plan)
