"""The command line: the one place, beside the tests, where the layers are joined."""

from __future__ import annotations

import signal
import sys

from rich.console import Console
from rich.text import Text

from meterlake.errors import MeterlakeError


def main() -> None:
    """Run the command line; an error of ours is shown without a traceback and sets the exit code."""
    from cli.app import app

    signal.signal(signal.SIGTERM, _end)
    try:
        app(prog_name="meterlake")
    except MeterlakeError as error:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(Text.assemble(("error: ", "bold red"), error.what))
        if error.hint:
            console.print(Text(error.hint.strip()))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(number: int, _: object) -> None:
    """End as Ctrl-C does: what is held, such as a lease, is given back. Streaming commands end in their own way."""
    sys.exit(128 + number)
