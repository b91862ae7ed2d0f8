"""What commands print on terminals of 80 and of 200 columns, beside what was looked at and stored: the folder screens.

Numbers, names of runs and times differ from one run to the next, and with them the blanks between columns: both are
masked before screens are compared. METERLAKE_WRITE_SCREENS=FOLDER writes the files again, and unmasked ones there.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from itertools import zip_longest
from pathlib import Path

import pytest
from rich.cells import cell_len

import cli
from cli import output
from stack.services import ON_REQUEST

SCREENS = Path(__file__).with_name("screens")
WIDTHS = (80, 200)
Screens = dict[tuple[str, int], str]
"""What each command printed, by command and width."""


def taken(patch: pytest.MonkeyPatch, commands: Sequence[str], names: Mapping[str, object]) -> Screens:
    """Run commands in their order at each width; names: what stands for the words in braces."""
    before, screens, wrong = signal.getsignal(signal.SIGTERM), {}, []
    for command in commands:
        for width in WIDTHS:
            code, screens[command, width] = screen(patch, command.format(width=width, **names), width)
            if code and command != "doctor":
                wrong.append(f"{command}: exit {code}")
    signal.signal(signal.SIGTERM, before)
    assert wrong == []
    return screens


def screen(patch: pytest.MonkeyPatch, command: str, width: int, *, messages: bool = False) -> tuple[int, str]:
    """Run a command as ``main`` does, at a width; return its exit code and what it printed. messages: these, too."""
    patch.setattr(sys, "argv", ["meterlake", *shlex.split(command)])
    for console in (output.console, output.progress_console):
        patch.setattr(console, "width", width)
    printed = io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(printed))
        if messages:
            stack.enter_context(redirect_stderr(printed))
        ended = stack.enter_context(pytest.raises(SystemExit))
        cli.main()
    return int(ended.value.code or 0), "\n".join(line.rstrip() for line in printed.getvalue().splitlines())


def too_wide(text: str, width: int) -> list[str]:
    """Return the lines that a terminal would break; sentences are left to it to fold."""
    return [line for line in text.splitlines() if cell_len(line) > width and not line.endswith(".")]


def assert_as_stored(
    screens: Screens, commands: Sequence[str], name: str, hidden: Mapping[str, str], *, may: Set[str] = frozenset()
) -> None:
    """Compare with ``screens/NAME_WIDTH.txt``. hidden: names that differ from run to run -> what stands for them.

    may: words that may be there or not. Where some are given, cells of tables are folded, and where depends on their
    numbers: words are compared, and not their order.
    """

    def words(text: str) -> list[str]:
        return sorted(word for word in text.split() if word not in may) if may else text.split()

    for width in WIDTHS:
        stored = SCREENS / f"{name}_{width}.txt"
        whole = {command: screens[command, width] for command in commands}
        text = _joined({command: _masked(screen, hidden) for command, screen in whole.items()})
        if folder := os.environ.get("METERLAKE_WRITE_SCREENS"):
            stored.write_text(text, encoding="utf-8")
            (Path(folder) / stored.name).write_text(_joined(whole), encoding="utf-8")
        known = stored.read_text(encoding="utf-8")
        # Where a line is folded depends on how long something took.
        other = [
            f"{ours}--- stored:\n{theirs}"
            for ours, theirs in zip_longest(_parts(text), _parts(known), fillvalue="nothing\n")
            if words(ours) != words(theirs)
        ]
        assert other == [], "\n".join([f"{width} columns", *other])


def _joined(screens: Mapping[str, str]) -> str:
    return "".join(f"$ meterlake {command}\n{text}\n\n" for command, text in screens.items())


def _parts(text: str) -> list[str]:
    """Return the screens of a file, each with its command."""
    return re.split(r"^(?=\$ meterlake )", text, flags=re.MULTILINE)


def _masked(text: str, hidden: Mapping[str, str]) -> str:
    """Return a screen without what differs from run to run: numbers, names of files, the width of blanks.

    Also servers that another test has left up.
    """
    text = re.sub(rf"^(?:{'|'.join(ON_REQUEST)}) .*\n?", "", text, flags=re.MULTILINE)
    for name, word in hidden.items():
        text = text.replace(name, word)
    text = re.sub(r"/\S+", "PATH", text)
    text = re.sub(r"[0-9a-f]*\d[0-9a-fA-F.:,_-]*(?:T\w+-\w+)?", "#", text)
    return re.sub(r" {2,}", "  ", text)
