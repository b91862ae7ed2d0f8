"""Commands of the native stack: up, down, status, logs, doctor."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Annotated

import typer

from cli import ddl_command
from cli.output import Output, OutputOption, progress_console, show
from meterlake import registry
from meterlake.errors import PermanentError, UnknownName
from meterlake.settings import load_settings
from stack import extra, launcher
from stack.extra import Extra
from stack.instance import Instance
from stack.launcher import State, Status
from stack.runtime import maven
from stack.service import Service
from stack.services import ALL, EXTRAS, GROUPS, select, split_extras, with_needs

if TYPE_CHECKING:
    from collections.abc import Sized

_KNOWN = f"{', '.join(ALL)}; groups: {', '.join(GROUPS)}; by name alone: {', '.join(EXTRAS)}"


def up(
    services: Annotated[
        list[str] | None, typer.Argument(help=f"What to start; nothing means core. Known: {_KNOWN}.")
    ] = None,
    fetch_only: Annotated[
        bool, typer.Option("--fetch-only", help="Only download what they and Spark need into the cache.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start the servers, with all that they need, and wait until each has done real work.

    Does nothing for those that are up. The first start downloads the servers into the cache (1.5 GB).

    Examples:

    - `meterlake up`
    - `meterlake up kafka cassandra`
    - `meterlake up lakehouse`
    - `METERLAKE_PORT_OFFSET=1000 meterlake up`
    """
    instance = Instance(load_settings())
    names, extras = split_extras(services or [])
    _bring(extras, instance)
    wanted = with_needs(select(names)) if names or not extras else []
    if fetch_only:
        _fetch(wanted, instance)
        return
    begin = time.monotonic()
    _start(wanted, instance)
    seconds = time.monotonic() - begin
    started = {service.name for service in wanted}
    states = [state for state in launcher.status(instance, check=False) if state.service.name in started]
    if states:
        _show_states(states, output)
    _start_extras(extras, instance)
    if states and output is Output.TEXT:
        memory = sum(state.memory_mb or 0 for state in states)
        progress_console.print(f"{_counted(states)} healthy after {seconds:.1f} s, {memory / 1024:.1f} GiB resident.")


def _bring(extras: list[Extra], instance: Instance) -> None:
    """Look for the programs of extras, and bring those that have an environment of their own."""
    from cli.progress import StackProgress

    with StackProgress() as progress:
        for server in extras:
            extra.ensure(server, instance, progress.download)


def _fetch(wanted: list[Service], instance: Instance) -> None:
    from cli.progress import StackProgress

    with StackProgress() as progress:
        launcher.fetch(wanted, instance, progress.download)
        maven.resolve("spark", instance.settings, progress.download)


def _start(wanted: list[Service], instance: Instance) -> None:
    """Start services, and bring the speed tables up to their declarations: viewers find them, empty or not."""
    from cli.progress import StackProgress
    from speed_layer import tables

    declarations = registry.declarations()  # what cannot be used is said before anything starts
    if wanted:
        with StackProgress() as progress:
            launcher.up(wanted, instance, progress.service, progress.download)
    if any(service.name == "cassandra" for service in wanted):
        for declared in declarations:
            tables.apply(instance.settings, declared)


def _start_extras(extras: list[Extra], instance: Instance) -> None:
    """Start viewers, Grafana with everything that its panels ask for."""
    if any(server.name == "grafana" for server in extras):
        ddl_command.make_all(instance.settings, registry.declarations())
    for server in extras:
        progress_console.print(f"{server.title}: {extra.up(server, instance)}", markup=False)


def down(output: OutputOption = Output.TEXT) -> None:
    """Stop exactly what `up` started in this checkout; data is kept."""
    from cli.progress import StackProgress

    instance = Instance(load_settings())
    others = [name for name, server in EXTRAS.items() if extra.down(server, instance)]
    with StackProgress() as progress:
        stopped = others + launcher.down(instance, progress.service)
    if output is Output.JSON:
        show([{"service": name, "state": State.STOPPED} for name in stopped], output)
    else:
        progress_console.print(f"{_counted(stopped)} stopped." if stopped else "Nothing was running.")


def status(output: OutputOption = Output.TEXT) -> None:
    """Show every service: state (checked by a write and a read), port, process id, memory.

    Exit code 1 when a service has crashed or does not do its work.
    """
    instance = Instance(load_settings())
    states = launcher.status(instance)
    _show_states(states, output)
    for server in EXTRAS.values():
        if extra.running(server, instance):
            word = State.HEALTHY if extra.healthy(server, instance) else State.UNHEALTHY
            progress_console.print(f"{server.title} at {server.url(instance)}: {word}", markup=False)
    bad = [state for state in states if state.state in (State.CRASHED, State.UNHEALTHY)]
    if output is Output.TEXT:
        for state in bad:
            progress_console.print(f"\n{state.service.title} {state.state}:\n{state.detail}", markup=False)
    if bad:
        raise typer.Exit(1)


def logs(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(ALL)}.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until Ctrl-C.")] = False,
) -> None:
    """Print the last lines of a server's log."""
    if service not in ALL:
        raise UnknownName("service", service, ALL)
    chosen = ALL[service]
    log = Instance(load_settings()).log(chosen.name)
    if not log.exists():
        raise PermanentError(
            f"{chosen.title} has no log yet: {log}.", hint=f"Start it with `meterlake up {chosen.name}`."
        )
    with log.open(errors="replace") as file:
        typer.echo("".join(deque(file, maxlen=lines)), nl=False)
        while follow:
            typer.echo(file.read(), nl=False)
            time.sleep(0.5)


def doctor(output: OutputOption = Output.TEXT) -> None:
    """Check what the stack needs of this machine, and say how to get what is missing.

    Exit code 1 when something that `up` needs is missing.
    """
    from stack.doctor import examine

    findings = examine(Instance(load_settings()), registry.declarations())
    if output is Output.JSON:
        rows = [{"state": f.state, "what": f.what, "found": f.found, "to_do": f.to_do} for f in findings]
    else:
        rows = [{"state": f.state, "what": f.what, "finding": f"{f.found}. {f.to_do}".rstrip(" .")} for f in findings]
    show(rows, output)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def _counted(services: Sized) -> str:
    return f"{len(services)} service{'' if len(services) == 1 else 's'}"


def _show_states(states: list[Status], output: Output) -> None:
    rows = [
        {
            "service": state.service.name,
            "state": str(state.state),
            "port": state.port,
            "pid": state.pid,
            "memory_mb": state.memory_mb,
            "up_s": state.uptime_s,
            **({"detail": state.detail} if output is Output.JSON else {}),
        }
        for state in states
    ]
    show(rows, output)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``app``."""
    for command in (up, down, status, logs, doctor):
        app.command(rich_help_panel="Servers")(command)
