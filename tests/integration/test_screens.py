"""What the commands of a data set of meters print on terminals of 80 and of 200 columns.

Documents that commands print (dictionary, dataset contract, stream --sql) are no screens. Those of half-hourly tables
are in test_half_hourly, those of lakehouses in test_screens_lakehouse.
"""

from __future__ import annotations

import gc
import secrets
from collections.abc import Iterator
from dataclasses import replace

import layers_samples as layers
import pytest
import screen_samples
from load_samples import DAY, GAP, text_of, write
from screen_samples import WIDTHS, Screens

from cli.ddl_command import make_all
from datasets.household import DATASET
from datasets.household.text import HOUSEHOLD_TEXT
from engines import spark as engine
from meterlake import registry
from meterlake.settings import Settings
from serving_layer.publish import records
from speed_layer import session as streaming
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.alone,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
NAME = f"s{secrets.token_hex(4)}"
MASTER = "local[2]"
FIRST, CORRECTED = "2006-12-16T12:00", "2006-12-15T23:00"

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
    "export {name} --grain hour --out {folder}/hours.csv",
    "load {name} {file} --dry-run",
    "correct {name} {corrected} --by A.Martin --why misread",
    "batch {name} --since 2006-12-16",
    f"explain {{name}} sceaux {CORRECTED}",
    "runs {name} --all",
    "archive {name} --once",
    "stream {name} --once",
    "rollback {name} {run}",
    "erase {name} sceaux --by A.Martin --why moved --dry-run",
    "erase {name} sceaux --by A.Martin --why moved",
    "dataset list",
    "dataset check {name}",
    "dataset new mine --from {file} --dir {folder}/{width}",
    "ddl household --check",
    "dags household --check",
    "simulate {name} --faults list",
    "simulate household --for 1h --speed max --to file --out {folder}/minute.tsv",
    "up",
    "status",
)
ELSEWHERE_OTHERS = ("dashboards household --check", "maintain {name}", "doctor")
"""What these print depends on the machine: how fast it is, and what else was done with the servers."""


class _RunBefore:
    """The run that readers saw before the one that they see."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __str__(self) -> str:
        return records.load(self._settings, NAME).kept[0].run_id


@pytest.fixture(scope="module")
def screens(settings: Settings, stack: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screens]:
    folder = tmp_path_factory.mktemp("screens")
    file = write(folder, text_of([*DAY, "17/12/2006;00:00:00;no;0;0;0;0;0;0", GAP]))
    form = replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=NAME))
    data_set = replace(
        DATASET, declaration=form.dataset, formats=(form,), replay=None, reports=None, board=None, vee=None
    )
    corrected = folder / "corrected.txt"
    corrected.write_bytes(text_of([DAY[0].replace("4.216", "4.218")]))
    small = settings.model_copy(update={"spark_master": MASTER})
    names = {"name": NAME, "file": file, "corrected": corrected, "folder": folder, "run": _RunBefore(settings)}
    with pytest.MonkeyPatch.context() as patch, registry.added(data_set):
        patch.setenv("METERLAKE_HOME", str(settings.home))
        patch.setenv("METERLAKE_PORT_OFFSET", str(settings.port_offset))
        make_all(settings, [declared for declared in registry.declarations() if declared.name != NAME])  # as `up` does
        layers.forget(settings, form.dataset)
        patch.setenv("METERLAKE_SPARK_MASTER", MASTER)  # a stream would have another one than the rest
        with engine.session(small, "screens", streaming.options(small)):
            try:
                yield screen_samples.taken(patch, (*COMMANDS, *ELSEWHERE_OTHERS), names)
            finally:
                layers.forget(small, form.dataset)
    gc.collect()


@pytest.mark.parametrize("command", [*COMMANDS, *ELSEWHERE_OTHERS])
def test_nothing_is_wider_than_the_terminal(screens: Screens, command: str) -> None:
    for width in WIDTHS:
        assert screen_samples.too_wide(screens[command, width], width) == [], width


def test_screens_are_as_they_were_looked_at(screens: Screens) -> None:
    screen_samples.assert_as_stored(screens, COMMANDS, "household", {NAME: "NAME"})
