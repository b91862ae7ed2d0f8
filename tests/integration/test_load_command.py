"""``meterlake load`` as a user meets it: every bad input ends in a clear word and the right exit code."""

from __future__ import annotations

import gc
import gzip
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Command
from load_samples import DAY, HEADER, REFUSED, VALUES, changed, cut_tar, text_of, write
from pyspark.sql import SparkSession

from datasets.household.text import HOUSEHOLD_TEXT
from engines import spark as engine
from engines import trino
from meterlake import registry
from meterlake.dataset import DataSet
from meterlake.errors import MeterlakeError
from meterlake.settings import Settings
from meterlake.text.lines import MAX_LINE_BYTES
from stack.instance import Instance

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]
ENCRYPTED = Path(__file__).parents[1] / "unit" / "samples" / "encrypted.zip"
NAME = f"l{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def session(settings: Settings, stack: Instance) -> Iterator[SparkSession]:
    """Held open, so that every command finds it open."""
    with engine.session(settings, "load") as spark:
        yield spark
        for table in (NAME, f"{NAME}_quarantine"):
            spark.sql(f"DROP TABLE IF EXISTS iceberg.master.{table} PURGE")
    gc.collect()


@pytest.fixture(autouse=True)
def known(session: SparkSession) -> Iterator[None]:
    form = replace(HOUSEHOLD_TEXT, dataset=replace(HOUSEHOLD_TEXT.dataset, name=NAME))
    with registry.added(DataSet(declaration=form.dataset, formats=(form,))):
        yield


@pytest.mark.parametrize(
    ("content", "error", "says"), REFUSED, ids=[error.__name__ + says[:9] for _, error, says in REFUSED]
)
def test_a_wrong_file_ends_with_1_and_its_reason(
    meterlake: Command, tmp_path: Path, content: bytes, error: type[MeterlakeError], says: str
) -> None:
    path = write(tmp_path, content)
    code, said = meterlake("load", NAME, path)
    assert code == 1
    assert re.search(f"error: {re.escape(path)}.*{says}", said)
    assert "Traceback" not in said


def test_what_is_no_file_ends_with_1_and_a_wrong_word_with_2(meterlake: Command, tmp_path: Path) -> None:
    for words, wanted, says in [
        (("load", NAME, str(tmp_path)), 1, f"error: There is no file in {tmp_path}."),
        (("load", NAME, "x.txt", "--meter-id", "a", "--meter-id-from-name", "(.)"), 2, "both say the meter"),
        (("load", NAME, "x.txt", "--meter-id-from-name", "house"), 2, "has 0 groups"),
        (("load", NAME, "x.txt", "--meter-id-from-name", "("), 2, "is no regular expression"),
        (("load", NAME, "x.txt", "--format", "other"), 2, f"error: Unknown format of {NAME} 'other'."),
        (("load", NAME, f"{tmp_path}/none.txt"), 1, f"error: {tmp_path}/none.txt does not exist."),
        (("load", "houshold", "x.txt"), 2, "error: Unknown data set 'houshold'."),
        (("load", NAME, "x.txt", "--utc-offset", "one"), 2, "error: "),
    ]:
        code, said = meterlake(*words)
        assert (code, says in said) == (wanted, True), said


def test_bad_files_of_a_folder_and_files_that_contradict_each_other_are_named(
    meterlake: Command, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERLAKE_ARCHIVE_PASSWORD", "no")
    a, e = DAY[:60], [*DAY[:50], *(line.replace("4.216", "9.000") for line in DAY[50:60])]
    for name, content in [
        ("a.csv", text_of(a)),
        ("b.zip", ENCRYPTED.read_bytes()),
        ("c.tar", cut_tar("x.csv", text_of(DAY[60:120]))),
        ("c.tar.gz", changed(gzip.compress(cut_tar("y.csv", text_of(DAY[60:120])) + bytes(1024)))),
        ("d.pdf", b"%PDF-1.7"),
        ("e.csv", text_of(e)),
    ]:
        write(tmp_path, content, name)
    words = ("load", NAME, str(tmp_path), "--meter-id", "contradicted")
    mine = f"SELECT count(*) FROM iceberg.master.{NAME} WHERE meter_id = 'contradicted'"  # noqa: S608
    code, said = meterlake(*words)
    assert code == 1
    assert re.search("error: .*(is encrypted with another password|lacks the end of a tar|is a PDF)", said)
    assert trino.rows(settings, mine) == [[0]]
    code, said = meterlake(*words, "--skip-bad-files", "--output", "json")
    assert code == 1
    (result,) = json.loads(said)
    files = {Path(file["path"]).name: (file["status"], file["readings"]) for file in result["files"]}
    assert files == {
        "a.csv": ("loaded", 60),
        "b.zip!a.csv": ("set aside", 0),
        "c.tar!x.csv": ("set aside", 0),
        "c.tar": ("set aside", 0),
        "c.tar.gz!y.csv": ("set aside", 0),
        "c.tar.gz": ("set aside", 0),
        "d.pdf": ("set aside", 0),
        "e.csv": ("loaded", 60),
    }
    assert result["conflicts"] == {
        "readings": 10,
        "meter": "contradicted",
        "time": "2006-12-15T23:50:00Z",
        "counting": f"{tmp_path}/a.csv",
        "losing": f"{tmp_path}/e.csv",
    }
    assert trino.rows(settings, mine) == [[120]]
    # In a load of its own, it is the file that was there which is named.
    late = write(tmp_path, text_of([line.replace("4.216", "8.000") for line in DAY[30:33]]), "late.csv")
    code, said = meterlake("load", NAME, late, "--meter-id", "contradicted")
    assert code == 0
    first = f"the first of meter contradicted: {late} against a.csv: those that were there count"
    assert f"3 (2006-12-15 23:30:00 to 2006-12-15 23:32:00 UTC), {first}" in " ".join(said.split())


def test_a_server_that_is_away_ends_with_1_and_its_name(
    meterlake: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, text_of(DAY))
    for name, address, says in [
        ("METERLAKE_WEBHDFS_URL", "http://127.0.0.1:1", "error: HDFS at http://127.0.0.1:1 does not answer"),
        ("METERLAKE_METASTORE_URL", "thrift://127.0.0.1:1", "error: Hive metastore at thrift://127.0.0.1:1 does not"),
    ]:
        with monkeypatch.context() as patch:
            patch.setenv(name, address)
            code, said = meterlake("load", NAME, path)
        assert (code, says in said) == (1, True), said
        assert "meterlake up" in said


def test_bad_lines_are_told_and_kept_and_the_rest_is_loaded(
    meterlake: Command, settings: Settings, tmp_path: Path
) -> None:
    good = f"16/12/2006;17:24:00;{VALUES}"
    bad = {
        "bad_time": ["30/2/2007;17:24:00;" + VALUES, "16/12/2006;24:00:00;" + VALUES, "12/16/2006;17:24:00;" + VALUES],
        "bad_value:global_active_power": [good.replace("4.216", "4,216")],
        "extra_column": [good + ";1"],
        "header_again": [HEADER],
        "line_too_long": ["x" * (MAX_LINE_BYTES + 1)],
        "missing_column": [good.rpartition(";")[0]],
        "not_finite:global_active_power": [good.replace("4.216", "1e400")],
        "nul_byte": [good.replace("4.216", "4.\x00216")],
    }
    lines = [line for same in bad.values() for line in same]
    middle = len(DAY) // 2
    code, said = meterlake("load", NAME, write(tmp_path, text_of([*DAY[:middle], *lines, *DAY[middle:]])))
    assert code == 0
    counts = ", ".join(f"{len(same)} {reason}" for reason, same in bad.items())
    assert re.search(rf"readings +{len(DAY)}\b", said)
    assert f"{len(lines)} ({counts})" in said
    kept = trino.rows(settings, f"SELECT reason, count(*) FROM iceberg.master.{NAME}_quarantine GROUP BY 1")  # noqa: S608
    assert dict(map(tuple, kept)) == {reason: len(same) for reason, same in bad.items()}
