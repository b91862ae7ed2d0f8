"""What an erasure could not remove, shown at the end of its receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import Output, console, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.erasure import Remains


def show_remains(remains: Sequence[Remains], *, erased: bool) -> None:
    """Print what remains, and until when. erased: whether something was removed: then it is said that nothing does."""
    rows = [
        {
            "where": each.where,
            "what": each.what,
            "until (UTC)": f"{each.until:%Y-%m-%d %H:%M}" if each.until else "",
        }
        for each in remains
    ]
    if rows:
        show(rows, Output.TEXT, title="\nWhat remains")
    elif erased:
        console.print("Nothing remains.")
