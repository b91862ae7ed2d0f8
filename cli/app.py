"""The command line's root: what meterlake is, and its commands by topic."""

from __future__ import annotations

import typer

from cli import (
    batch_commands,
    bridge_command,
    dashboard_commands,
    dataset_command,
    ddl_command,
    demo_command,
    explain_command,
    export_command,
    lakehouse_commands,
    load_command,
    maintain_command,
    quality_command,
    report_command,
    simulate_command,
    stack_commands,
    stream_commands,
    verify_command,
)

app = typer.Typer(
    name="meterlake",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="One true picture of metered consumption: years of history and live sensors.\n\n"
    "Start with `meterlake up` and `meterlake status`; every command explains itself with `--help`.",
    epilog="Settings are environment variables METERLAKE_…: see docs/settings.reference.env. "
    "Exit codes: 0 done, 1 the work failed, 2 wrong usage.",
)
for module in (
    demo_command,
    stack_commands,
    load_command,
    simulate_command,
    bridge_command,
    lakehouse_commands,
    stream_commands,
    batch_commands,
    explain_command,
    export_command,
    report_command,
    verify_command,
    quality_command,
    maintain_command,
    dataset_command,
    ddl_command,
    dashboard_commands,
):
    module.register(app)
