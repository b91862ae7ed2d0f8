"""The command line's root: what meterlake is, and its commands by topic."""

from __future__ import annotations

import typer

from cli import (
    batch_commands,
    dashboard_commands,
    dataset_command,
    ddl_command,
    demo_command,
    explain_command,
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
stack_commands.register(app)
batch_commands.register(app)
ddl_command.register(app)
dataset_command.register(app)
dashboard_commands.register(app)
report_command.register(app)
demo_command.register(app)
explain_command.register(app)
load_command.register(app)
stream_commands.register(app)
simulate_command.register(app)
verify_command.register(app)
quality_command.register(app)
maintain_command.register(app)
