"""The page of text formats: each of its examples gives what it says, and it names all that there is."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final

import pytest
from docs_commands import page
from format_samples import at, rows

from meterlake import timepattern
from meterlake.declaration import Amount, Level, MeterSeries, View
from meterlake.text import columns as textcolumns
from meterlake.text import format as textformat
from meterlake.text.format import MeterColumn, Moment, TextFormat, Value

pytestmark = pytest.mark.unit
TEXT: Final = page("formats.md").text
CAMPUS: Final = MeterSeries(
    name="campus",
    title="Energy of a campus",
    intervals=("30 min",),
    measures=(Amount("energy", "kWh", "0.001", between=(0, None)),),
    views=(View("30 min"),),
)
COLUMNS: Final = {name: kind for name, kind in vars(textformat).items() if name in textformat.__all__}


def options() -> list[tuple[str, str, str, str]]:
    table = TEXT.split("## Every option")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line[:1] == "|"]
    return [(row[0], row[1], row[2], row[3].strip(" |")) for row in cells[2:] if len(row) == 4 and row[1].strip(" |")]


def declared(write: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the columns and the other options that a cell of the table has."""
    if "`" not in write:
        return (), {}

    def taken(*columns: Any, **others: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return columns, others

    return eval(f"taken({write.strip('`')})", {**COLUMNS, "taken": taken, "timedelta": timedelta})  # noqa: S307


@pytest.mark.parametrize(("title", "lines", "write", "gives"), options(), ids=lambda text: text[:30])
def test_each_option_gives_what_the_page_says(title: str, lines: str, write: str, gives: str) -> None:
    content = "\n".join(line.strip() if "padded" not in write else line for line in lines.strip("`").split("⏎")) + "\n"
    columns, others = declared(write)
    header = content.split("\n")[0 if "skip_lines" not in write else 1]
    defaults = [
        *([MeterColumn("meter")] if re.search(r"\bmeter\b", header) else []),
        *([Moment("time", "yyyy-MM-dd HH:mm")] if re.search(r"\btime\b", header) else []),
        *([] if any(isinstance(column, Value) for column in columns) else [Value("kWh", "energy")]),
    ]
    form = TextFormat(**{"dataset": CAMPUS, "interval_s": 1800, "columns": (*defaults, *columns), **others})
    data = content.encode(form.encoding)
    if form.encoding != "utf-8":
        assert data != content.encode()
    result = [row for row in rows(form, data) if row[1] != "skipped_line"]
    start, value = gives.strip("`").split(" · ")
    assert [row[2:] for row in result] == [(at(start), None if value == "nothing" else float(value))]
    if others.get("footer"):
        assert len(result) < len(rows(form, data))


def test_the_page_names_all_that_there_is() -> None:
    of_a_file = {"written", "head_lines", "day_values", "absent"}
    options_of = {field.name for field in fields(TextFormat)} - of_a_file
    assert {name for name in options_of if not re.search(rf"\b{name}=", TEXT)} == set()
    kinds = {name for name in textformat.__all__ if hasattr(textcolumns, name)} - {"DayValue", "TextColumn"}
    assert {name for name in kinds if f"{name}(" not in TEXT} == set()
    of_columns = {field.name for name in kinds for field in fields(getattr(textcolumns, name))} - {"header", "measure"}
    assert {name for name in of_columns if name != "pattern" and not re.search(rf"\b{name}=", TEXT)} == set()
    letters = re.findall(r"`(\w+)`", TEXT.split("## Patterns of times")[1].split("## ")[0])
    assert {*timepattern.LETTERS} <= {*letters}


def test_the_layouts_of_the_page_are_read() -> None:
    series = MeterSeries(
        name="two",
        title="Energy and voltage",
        intervals=("30 min",),
        measures=(*CAMPUS.measures, Level("voltage", "V", "0.1", between=(0, None))),
        views=(View("30 min"),),
    )
    result = []
    for section, dataset in (("Several lines", series), ("A line holds", CAMPUS)):
        (code,), (content,) = (page("formats.md").blocks(language, section) for language in ("python", "csv"))
        names: dict[str, Any] = dict(COLUMNS)
        exec(code, names)  # noqa: S102
        if dataset is CAMPUS:  # the page shows the first columns of a day
            head, line = content.split()
            head = ",".join([*head.split(",")[:2], *(f"{n // 2:02}:{n % 2 * 30:02}" for n in range(48))])
            content = f"{head}\n{line}{',' * 45}\n"
        form = TextFormat(dataset=dataset, columns=names["columns"], interval_s=1800)
        result.append(rows(form, content))
    assert result[0] == [(2, "a", at("2024-01-01"), 0.25, 230.1)]
    assert result[1][:4] == [
        (2, "a", at("2024-01-01"), 0.25),
        (2, "a", at("2024-01-01 00:30"), 0.5),
        (2, "a", at("2024-01-01 01:00"), 0.25),
        (2, "a", at("2024-01-01 01:30"), None),
    ]
    assert len(result[1]) == 48
