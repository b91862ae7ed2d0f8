"""Arguments that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from meterlake import registry


def beginning(incomplete: str) -> list[str]:
    """Return the names of data sets that begin so: the shell completes by them."""
    return [name for name in registry.names() if name.startswith(incomplete)]


DatasetArgument = Annotated[
    str, typer.Argument(help="Data set: see `meterlake dataset list`.", autocompletion=beginning)
]
