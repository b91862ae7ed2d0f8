"""What commands print on terminals of 80 and of 200 columns, as text: tests/integration/screens.

Numbers, names of runs and times differ from one run to the next, and with them the blanks between columns: both are
masked before screens are compared. METERLAKE_WRITE_SCREENS=FOLDER writes the files again, and unmasked ones there.
"""

from __future__ import annotations

import gc
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import layers_samples as layers
import pytest
from load_samples import DAY, GAP, text_of, write
from rich.cells import cell_len

import cli
from cli import output
from cli.ddl_command import make_all
from datasets.household import DATASET
from datasets.household.text import HOUSEHOLD_TEXT
from engines import spark as engine
from meterlake import registry
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
NAME = "screens_household"
SCREENS = Path(__file__).with_name("screens")
WIDTHS = (80, 200)
FIRST = "2006-12-16T12:00"

COMMANDS = (
    "load {name} {file}",
    "batch {name}",
    "runs {name}",
    "runs {name} -n 1",
    f"explain {{name}} sceaux {FIRST}",
    'query "SELECT * FROM merged.{name}_hour ORDER BY hour LIMIT 2"',
    'query "SELECT meter_id, minute, readings FROM merged.{name}_minute ORDER BY minute LIMIT 3"',
    "verify {name}",
    "quality {name}",
    "quality {name} --list 3",
    "report {name} --list",
    "report {name} global-active-power --out {folder}/power.csv",
    "dataset list",
    "dataset check {name}",
    "ddl household --check",
    "simulate {name} --faults list",
    "status",
)
ELSEWHERE_OTHERS = ("dashboards household --check", "maintain {name}", "doctor")
"""What these print depends on the machine: how fast it is, and what else was done with the servers."""


@pytest.fixture(scope="module")
def screens(
    settings: Settings, stack: Instance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, int], str]]:
    """What each command printed, by command and width."""
    folder = tmp_path_factory.mktemp("screens")
    file = write(folder, text_of([*DAY, "17/12/2006;00:00:00;no;0;0;0;0;0;0", GAP]))
    form = replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=NAME))
    data_set = replace(
        DATASET, declaration=form.dataset, formats=(form,), replay=None, reports=None, board=None, vee=None
    )
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch, registry.added(data_set):
        patch.setenv("METERLAKE_HOME", str(settings.home))
        patch.setenv("METERLAKE_PORT_OFFSET", str(settings.port_offset))
        make_all(settings, [declared for declared in registry.declarations() if declared.name != NAME])  # as `up` does
        layers.forget(settings, form.dataset)
        with engine.session(settings, "screens"):
            try:
                yield {
                    (command, width): _screen(patch, command.format(name=NAME, file=file, folder=folder), width)
                    for command in (*COMMANDS, *ELSEWHERE_OTHERS)
                    for width in WIDTHS
                }
            finally:
                layers.forget(settings, form.dataset)
    signal.signal(signal.SIGTERM, before)
    gc.collect()


def _screen(patch: pytest.MonkeyPatch, command: str, width: int) -> str:
    """Run a command as ``main`` does, on a terminal of a width; return what it printed, messages apart."""
    patch.setattr(sys, "argv", ["meterlake", *shlex.split(command)])
    patch.setattr(output.console, "width", width)
    printed = io.StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (None, 0) or command == "doctor", f"{command}: exit {ended.value.code}"
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines())


def _masked(screen: str) -> str:
    """Return a screen without what differs from run to run: numbers, names of files, the width of blanks."""
    text = re.sub(r"/\S+", "PATH", screen)
    text = re.sub(r"[0-9a-f]*\d[0-9a-fA-F.:,_-]*(?:T\w+-\w+)?", "#", text)
    return re.sub(r" {2,}", "  ", text)


@pytest.mark.parametrize("command", [*COMMANDS, *ELSEWHERE_OTHERS])
def test_nothing_is_wider_than_the_terminal(screens: dict[tuple[str, int], str], command: str) -> None:
    """Sentences are left to the terminal to fold."""
    for width in WIDTHS:
        lines = screens[command, width].splitlines()
        wide = [line for line in lines if cell_len(line) > width and not line.endswith(".")]
        assert wide == [], width


@pytest.mark.parametrize("width", WIDTHS)
def test_screens_are_as_they_were_looked_at(screens: dict[tuple[str, int], str], width: int) -> None:
    text = "".join(f"$ meterlake {command}\n{_masked(screens[command, width])}\n\n" for command in COMMANDS)
    stored = SCREENS / f"{width}.txt"
    if os.environ.get("METERLAKE_WRITE_SCREENS"):
        stored.write_text(text, encoding="utf-8")
        whole = "".join(f"$ meterlake {command}\n{screens[command, width]}\n\n" for command in COMMANDS)
        (Path(os.environ["METERLAKE_WRITE_SCREENS"]) / f"{width}.txt").write_text(whole, encoding="utf-8")
    # Where a line is folded depends on how long something took.
    assert text.split() == stored.read_text(encoding="utf-8").split()
