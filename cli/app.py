"""The command line's root: what meterlake is."""

from __future__ import annotations

import typer

from cli.commands import Commands

app = typer.Typer(
    name="meterlake",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Settings are environment variables METERLAKE_…: see docs/settings.reference.env. "
    "Exit codes: 0 done, 1 the work failed, 2 wrong usage.",
)


@app.callback()
def meterlake() -> None:
    """One true picture of metered consumption: years of history and live sensors.

    Start with `meterlake up` and `meterlake status`; every command explains itself with `--help`.
    """
