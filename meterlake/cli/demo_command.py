"""``meterlake demo``: the system shown on real servers, from nothing to what was proved."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from meterlake.cli.output import Output, OutputOption, console, progress_console, show
from meterlake.settings import load_settings
from stack import launcher
from stack.instance import Instance
from stack.services import SERVICES


def demo(
    stop: Annotated[bool, typer.Option("--stop", help="Stop the servers at the end; by default they stay up.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start every server, write and read through each of them, and show what runs."""
    from meterlake.cli.progress import StackProgress

    instance = Instance(load_settings())
    begin = time.monotonic()
    progress_console.rule("Starting the servers")
    with StackProgress() as progress:
        launcher.up(list(SERVICES.values()), instance, progress.service, progress.download)
    progress_console.rule("A write and a read through each")
    states = {state.service.name: state for state in launcher.status(instance, check=False)}
    rows = []
    for name, service in SERVICES.items():
        asked = time.monotonic()
        service.healthy(instance)
        took = time.monotonic() - asked
        rows.append(
            {
                "server": service.title,
                "version": service.version,
                "port": states[name].port,
                "memory_mb": states[name].memory_mb,
                "proved": service.proof,
                "ms": round(took * 1000),
            }
        )
    show(rows, output)
    progress_console.print(f"\nDone in {time.monotonic() - begin:.0f} s.")
    if stop:
        launcher.down(instance, lambda *_: None)
    elif output is Output.TEXT:
        console.print("The servers stay up: `meterlake status` shows them, `meterlake down` stops them.")


def register(app: typer.Typer) -> None:
    """Add the command of this module to ``app``."""
    app.command()(demo)
