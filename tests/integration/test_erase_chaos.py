"""An erasure is killed at each of its steps: others' readings stay whole, and the same command completes it."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import json
import signal
import uuid
from typing import Any

import commands
import pytest
from load_samples import DAY, text_of

from batch_layer.ingest.raw_store import RAW
from engines import hdfs, trino
from meterlake.settings import Settings
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
ERASE = "batch_layer.pipeline.erase"
STEPS = {
    "a": f"before:{ERASE}:_begin",
    "b": "before:batch_layer.erase.raw:erase",
    "c": "before:batch_layer.erase.tables:delete",
    "d": f"before:{ERASE}:_forget_counters",
    "e": f"before:{ERASE}:publish_erasure",
    "f": "before:serving_layer.publish.publish:Publisher._replace_views",
    "g": "before:engines.table_format_iceberg:IcebergTable.forget",
}
"""A meter for each step: where its erasure dies."""
NAME = f"k{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def loaded(stack: Instance, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("meters")
    for meter in (*STEPS, "kept"):
        (folder / f"house_{meter}.csv").write_bytes(text_of([*DAY[:120], f"junk of {meter}"]))
    said = command(settings, "load", str(folder), "--meter-id-from-name", r"house_([a-z]+)\.")
    assert sum(one["readings"] for one in said) == 120 * (len(STEPS) + 1)
    command(settings, "batch")
    return settings


def command(settings: Settings, name: str, *words: str) -> list[dict[str, Any]]:
    code, said = commands.run(settings, NAME, name, NAME, *words, "--output", "json")
    assert code == 0, said
    result = json.loads(said[said.index("[\n") :])
    assert isinstance(result, list)
    return result


def counts(settings: Settings, table: str) -> dict[str, int]:
    return {row[0]: row[1] for row in trino.rows(settings, f"SELECT meter_id, count(*) FROM {table} GROUP BY 1")}


def raw_files(settings: Settings) -> set[str]:
    """Return the contents of all raw files, as far as they tell meters apart."""
    client, result = hdfs.client(settings), set[str]()
    for path, _, names in client.walk(f"{RAW}/{NAME}"):
        for name in names:
            with client.read(f"{path}/{name}") as file:
                content = file.read().decode(errors="replace")
            result |= {line.strip() for line in content.split("\n") if line.startswith("junk of")}
    return result


@pytest.mark.parametrize("meter", STEPS)
def test_an_erasure_that_was_killed_is_completed_by_the_same_command(loaded: Settings, meter: str) -> None:
    master, view = f"iceberg.master.{NAME}", f"hive.batch.{NAME}_minute"
    others = counts(loaded, master).keys() - {meter}
    words = ("erase", NAME, meter, "--by", "A. Martin", "--why", f"killed at {STEPS[meter]}")
    code, said = commands.run(loaded, NAME, *words, die=STEPS[meter])
    assert code == -signal.SIGKILL, said
    # What readers see of the others is whole at any time, and of the meter all or nothing.
    left = counts(loaded, view)
    assert {other: left[other] for other in others} == dict.fromkeys(others, 120)
    assert left.get(meter, 0) in (0, 120)
    commands.age_lease(loaded, NAME)
    (receipt,) = command(loaded, "erase", meter, "--by", "A. Martin", "--why", "again")
    assert receipt["result"] == "erased"
    assert receipt["removed"]["readings in the master data set"] == 120
    for table in (master, view):
        assert counts(loaded, table) == dict.fromkeys(others, 120)
    quarantined = {row[0] for row in trino.rows(loaded, f"SELECT payload FROM iceberg.master.{NAME}_quarantine")}
    assert quarantined == {f"junk of {other}" for other in others}
    assert raw_files(loaded) <= quarantined
    done = [row for row in command(loaded, "runs", "--all") if row["event"] == "erasure" and row["meter"] == meter]
    assert [row["status"] for row in done] == ["done"]
    (nothing,) = command(loaded, "erase", meter, "--by", "A. Martin", "--why", "again")
    assert (nothing["result"], set(nothing["removed"].values())) == ("nothing to erase", {0})
