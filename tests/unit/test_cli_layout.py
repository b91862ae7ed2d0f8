"""Records on terminals of several widths: names and values whole, whatever the width."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli.layout import laid_out

pytestmark = pytest.mark.unit

RUNS = [
    {
        "run": "20261121T101500-3fa9",
        "status": "current",
        "mode": "incremental",
        "read": 123_456,
        "global_active_power_sum": 12.345,
        "boundary": "2026-11-21 10:04",
    },
    {
        "run": "20261121T102000-77b1",
        "status": "kept",
        "mode": "full",
        "read": 7,
        "global_active_power_sum": None,
        "boundary": "2026-11-21 10:09",
    },
]


def screen(records: Sequence[Mapping[str, Any]], width: int, optional: Sequence[str] = ()) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    for part in laid_out(records, width, optional):
        console.print(part)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.splitlines())


def test_what_fits_is_a_table_with_column_names_as_they_are() -> None:
    assert screen(RUNS, 100) == (
        "run                   status   mode           read  global_active_power_sum  boundary\n"
        "20261121T101500-3fa9  current  incremental  123456                   12.345  2026-11-21 10:04\n"
        "20261121T102000-77b1  kept     full              7                           2026-11-21 10:09"
    )


def test_optional_columns_are_left_out_and_named() -> None:
    assert screen(RUNS, 80, ("mode", "read")) == (
        "run                   status     read  global_active_power_sum  boundary\n"
        "20261121T101500-3fa9  current  123456                   12.345  2026-11-21 10:04\n"
        "20261121T102000-77b1  kept          7                           2026-11-21 10:09\n"
        "Not shown: mode. A wider terminal or --output json has all."
    )


def test_what_does_not_fit_is_shown_record_by_record() -> None:
    assert screen(RUNS[:2], 60) == (
        "run                      20261121T101500-3fa9\n"
        "status                   current\n"
        "mode                     incremental\n"
        "read                     123456\n"
        "global_active_power_sum  12.345\n"
        "boundary                 2026-11-21 10:04\n"
        "\n"
        "run                      20261121T102000-77b1\n"
        "status                   kept\n"
        "mode                     full\n"
        "read                     7\n"
        "global_active_power_sum\n"
        "boundary                 2026-11-21 10:09"
    )


def test_a_list_of_two_columns_stays_one_with_values_that_are_wider_than_the_terminal() -> None:
    records = [{"what": "rows", "value": 12}, {"what": "file", "value": "/" + "a" * 40 + "-b/" + "c" * 3}]
    assert screen(records, 40) == (f"what  value\nrows  12\nfile  /{'a' * 33}\n      {'a' * 7}-b/ccc")


def test_prose_is_folded_between_words() -> None:
    rows = [{"state": "missing", "finding": "not on the PATH. Install it: apt install maven, or brew install maven."}]
    assert screen(rows, 50) == (
        "state    finding\nmissing  not on the PATH. Install it: apt install\n         maven, or brew install maven."
    )


names = st.from_regex(r"[a-z][a-z_]{0,25}", fullmatch=True)
values = st.one_of(st.none(), st.integers(), st.from_regex(r"[A-Za-z0-9:/._-]{0,30}", fullmatch=True))


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    columns = draw(st.lists(names, min_size=1, max_size=12, unique=True))
    return draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, values)), min_size=1, max_size=4))


@given(tables(), st.sampled_from([80, 200]))
def test_no_name_and_no_value_is_ever_broken_or_lost(records: list[dict[str, Any]], width: int) -> None:
    written = screen(records, width)
    assert all(len(line) <= width for line in written.splitlines())
    words = written.split()
    for record in records:
        for name, value in record.items():
            assert name in words
            assert value in (None, "") or str(value) in words
