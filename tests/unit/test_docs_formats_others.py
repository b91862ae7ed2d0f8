"""The page of other file formats: each declaration on it reads its example."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
import reader_forms
from docs_commands import page
from reader_forms import EXAMPLES, FORMS
from reader_samples import COUNTED, HOMES

from engines.readers.port import Options
from engines.readers.recognise import recognise
from engines.readers.registry import reader_of
from meterlake.declaration import MeterSeries
from meterlake.fileformats import greenbutton, homeassistant, nem, records
from meterlake.text.columns import MeterColumn, Moment, Skipped
from meterlake.text.columns import Value as TextValue
from meterlake.text.format import TextFormat

pytestmark = pytest.mark.unit
PAGE = page("formats/others.md")
DATASETS = {
    "HOMES": HOMES,
    "COUNTED": COUNTED,
    **{name: getattr(reader_forms, name) for name in ("BOTH", "HOURS", "QUARTERS")},
}
NAMES = {name: value for module in (records, nem, greenbutton, homeassistant) for name, value in vars(module).items()}
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.text, re.DOTALL)


def test_its_declarations_are_those_of_the_examples() -> None:
    forms = [eval(block, {**NAMES, **DATASETS}) for block in BLOCKS if "LONDON" not in block]  # noqa: S307
    assert len(forms) == len(FORMS)
    for name, form in FORMS.items():
        assert form in forms, name


def test_its_links_and_options_exist() -> None:
    linked = {Path(target).name for target in re.findall(r"\(examples/([^)]+)\)", PAGE.text)}
    assert linked == set(FORMS)
    options = set(re.findall(r"`(\w+)=", PAGE.text)) - {"formats"}
    known = {
        name for kind in NAMES.values() if hasattr(kind, "__dataclass_fields__") for name in kind.__dataclass_fields__
    }
    assert options <= known | {"snap_s"}


def test_the_layout_of_london() -> None:
    (block,) = (block for block in BLOCKS if "LONDON" in block)
    names: dict[str, object] = {"MeterColumn": MeterColumn, "Moment": Moment, "Skipped": Skipped, "Value": TextValue}
    dataset: MeterSeries = HOMES
    form = eval(block, {**names, "TextFormat": TextFormat, "LONDON": dataset})  # noqa: S307
    data = (
        b"LCLid,stdorToU,DateTime,KWH/hh (per half hour) \n"
        b"MAC000002,Std,2012-10-12 00:30:00.0000000, 0 \n"
        b"MAC000002,Std,2012-12-18 15:13:41.0000000,Null\n"
        b"MAC000002,Std,2012-12-18 15:30:00.0000000,Null\n"
        b"MAC000002,Std,2012-12-18 16:00:01.0000000, 0.3 \n"
    )
    (result,) = recognise([form], data)
    rows = [row for table in reader_of(result)(io.BytesIO(data), Options("", form.clock)) for row in table.to_pylist()]
    assert [(f"{row['ts']:%H:%M}", row["energy"], row["reason"]) for row in rows if row["reason"] is None] == [
        ("23:30", 0.0, None),
        ("15:30", None, None),
    ]
    assert [row["reason"] for row in rows if row["reason"]] == ["off_grid", "off_grid"]
    assert EXAMPLES.is_dir()
