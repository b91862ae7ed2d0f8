"""``meterlake load … --dry-run`` as a stranger meets it: each bad input says what is wrong, where, and how to go on."""

from __future__ import annotations

import gzip
import io
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import cli
from batch_layer.ingest.places import Entry
from batch_layer.ingest.sources import sources
from cli import output
from datasets.household.text import HOUSEHOLD_TEXT
from engines.errors import EngineUnavailable
from meterlake import registry
from meterlake.dataset import DataSet
from meterlake.settings import load_settings

pytestmark = pytest.mark.unit
ROW = "16/12/2006;17:24:00;4.216;0.418;234.840;18.400;0.000;1.000;17.000\n"
TEXT = f"{HOUSEHOLD_TEXT.header}\n{ROW}".encode()
ENCRYPTED = Path(__file__).parent / "samples" / "encrypted.zip"
CUT = "the packed file is cut off or damaged: "
ENDED = "Compressed file ended before the end-of-stream marker was reached."
AGAIN = "Get the file again and compare its size."
TWO = (replace(HOUSEHOLD_TEXT, name="one"), replace(HOUSEHOLD_TEXT, name="other", meter_id="b"))

Run = Callable[..., tuple[int, str]]


def archive(*names: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(TEXT)
            file.addfile(member, io.BytesIO(TEXT))
    return made.getvalue()


def zipped(**contents: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return made.getvalue()


@pytest.fixture
def meterlake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return what runs a command on a terminal of 80 columns; what it says comes in one line."""
    monkeypatch.setattr(output.console, "width", 80)
    monkeypatch.setenv("METERLAKE_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["meterlake", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert all(len(line) <= 80 for line in said.out.splitlines())
        return int(end.value.code or 0), " ".join(f"{said.out}{said.err}".split())

    return run


FILES = {
    "cut.zip": (zipped(a=TEXT)[:-30], f"{CUT}File is not a zip file. {AGAIN}"),
    "cut.csv.gz": (gzip.compress(TEXT)[:-9], f"{CUT}{ENDED} {AGAIN}"),
    "cut.tar.gz": (gzip.compress(archive("a.csv"))[:-20], f"{CUT}{ENDED} {AGAIN}"),
    "cut.tar": (archive("a.csv")[:1024], f"{CUT}it lacks the end of a tar archive. {AGAIN}"),
    "notes.pdf": (b"%PDF-1.7", "is a PDF document. Export it as CSV in UTF-8."),
    "empty.csv": (b"", "is empty. Expected the header"),
    "other.csv": (b"a,b\n1,2\n", "does not begin with the header of household: it has none of the columns."),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_loaded(meterlake: Run, tmp_path: Path, name: str) -> None:
    content, says = FILES[name]
    (tmp_path / name).write_bytes(content)
    code, said = meterlake("load", "household", str(tmp_path / name), "--dry-run")
    assert code == 1
    # A path that is too long for the terminal is folded.
    assert re.sub(r"\s", "", says) in re.sub(r"\s", "", said)
    assert name in re.sub(r"\s", "", said)
    assert "Nothing was loaded" not in said


@pytest.mark.parametrize(
    ("password", "says"),
    [("", "is encrypted. Give its password"), ("no", "is encrypted with another password. Give the right one")],
)
def test_a_password_that_is_missing_or_wrong(
    meterlake: Run, monkeypatch: pytest.MonkeyPatch, password: str, says: str
) -> None:
    monkeypatch.setenv("METERLAKE_ARCHIVE_PASSWORD", password)
    code, said = meterlake("load", "household", str(ENCRYPTED), "--dry-run")
    assert code == 1
    assert f"{says}: --password asks for it." in said


def test_a_store_that_does_not_answer_is_no_bad_file(meterlake: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store = "http://127.0.0.1:9"
    for name, value in {"ENDPOINT": store, "ACCESS_KEY": "key", "SECRET_KEY": "secret"}.items():
        monkeypatch.setenv(f"METERLAKE_S3_{name}", value)
    code, said = meterlake("load", "household", "s3a://lake/in", "--dry-run", "--skip-bad-files")
    assert code == 1
    assert said.startswith(f"error: The object store at {store} does not answer: ")
    met = list[int]()
    reading = sources(load_settings(), Entry("s3a://lake/in/a.csv", "a.csv", 1), "", (), met.append)
    with pytest.raises(EngineUnavailable, match=f"The object store at {store}"):
        next(reading)  # one that goes away while files are read
    assert met == []


def test_a_folder_without_files_and_one_without_files_that_can_be_read(meterlake: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / ".hidden").write_bytes(TEXT)
    code, said = meterlake("load", "household", str(folder), "--dry-run")
    assert (code, said) == (
        1,
        f"error: There is no file in {folder}. Hidden files are left out. Quote a pattern, so that the shell leaves it"
        " as it is.",
    )
    (folder / "a.pdf").write_bytes(b"%PDF-1.7")
    (folder / "b.zip").write_bytes(zipped(**{".DS_Store": b"x"}))
    code, said = meterlake("load", "household", str(folder), "--dry-run")
    assert code == 1
    assert "holds no file. Give an archive with files of readings." in said
    assert said.endswith("files cannot be loaded readings gap rows quarantined meters 2 2 0 0 0 0")
    (folder / "c.csv").write_bytes(TEXT)
    code, said = meterlake("load", "household", str(folder), "--dry-run")
    assert (code, said[-11:]) == (1, "3 2 1 0 0 1")


def test_a_header_of_two_formats_is_read_by_the_one_that_is_named(meterlake: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT)
    words = ("load", "twofold", str(tmp_path / "a.csv"), "--dry-run")
    dataset = replace(HOUSEHOLD_TEXT.dataset, name="twofold")
    with registry.added(DataSet(declaration=dataset, formats=tuple(replace(form, dataset=dataset) for form in TWO))):
        code, said = meterlake(*words)
        assert code == 1
        assert "is of two formats of twofold: 'one' and 'other'. Name the right one by --format" in said
        code, said = meterlake(*words, "--format", "other")
        assert code == 0
        assert "meters b " in said
        assert meterlake(*words, "--format", "x") == (2, "error: Unknown format of twofold 'x'. Known: one, other.")


def test_a_zone_that_does_not_exist(meterlake: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT)
    words = ("load", "household", str(tmp_path / "a.csv"), "--dry-run")
    rule = "Give an IANA name such as Europe/Paris; a clock without summer time has a UTC offset instead."
    assert meterlake(*words, "--time-zone", "Europe/Pariss") == (
        2,
        f"error: Unknown time zone 'Europe/Pariss'. Did you mean 'Europe/Paris'? {rule}",
    )
    folder = tmp_path / "own" / "flat"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(
        "from dataclasses import replace\n"
        "from datetime import timedelta\n"
        "from datasets.household.text import HOUSEHOLD_TEXT\n"
        "from meterlake.dataset import DataSet\n"
        "FLAT = replace(HOUSEHOLD_TEXT.dataset, name='flat')\n"
        "DATASET = DataSet(declaration=FLAT, formats=(\n"
        "    replace(HOUSEHOLD_TEXT, dataset=FLAT, utc_offset=timedelta(0), time_zone='Europe/Pari'),\n"
        "))\n"
    )
    monkeypatch.setenv("METERLAKE_DATASETS", str(folder.parent))
    code, said = meterlake("load", "flat", *words[2:])
    assert code == 1
    assert f"{folder}/__init__.py, line 7: Text format of 'flat': there is no time zone 'Europe/Pari'." in said
    assert f"Did you mean 'Europe/Paris'? {rule}" in said
