"""The page that walks through a data set of one's own: its commands do what it says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from docs_commands import page, run

from meterlake import discovery
from meterlake.text import format as textformat

pytestmark = pytest.mark.unit
EXTEND = page("extend.md")


def test_its_commands_lead_to_a_data_set_that_can_be_used(tmp_path: Path) -> None:
    (sample,) = EXTEND.blocks("csv", "1.")
    (tmp_path / "sample.csv").write_text(sample, encoding="utf-8")
    steps = [block for section in ("2.", "3.", "4.", "5.") for block in EXTEND.blocks("sh", section)]
    environment = {**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "METERLAKE_HOME": str(tmp_path / "home")}
    done = run("\n".join(steps), tmp_path, environment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "sample.csv: 9 readings, 1 gap row, 2 meters, from 2024-03-30 22:30:00 UTC on for 2 h" in done.stdout
    assert re.search(r"campus +Campus +meter series +half_hour, hour, day, month +formats", done.stdout)
    declared = discovery.in_folder(tmp_path / "my_datasets").entries["campus"].declaration
    assert declared.time_zone == "Europe/London"
    made = sorted(path.name for path in (tmp_path / "my_datasets" / "campus" / "generated").iterdir())
    assert made == ["campus.cql", "campus.hql", "campus.sql", "campus.v1.json", "grafana"]


def test_what_it_says_of_formats_exists() -> None:
    (section,) = (part for part in EXTEND.text.split("\n## ") if part.startswith("What a text format can say"))
    fields = {field for field in re.findall(r"`(\w+)=", section) if field != "load"}
    assert fields <= set(textformat.TextFormat.__dataclass_fields__)
    assert set(re.findall(r"`?(\b[A-Z]\w+)\(\"", section)) == {
        name for name in ("MeterColumn", "Moment", "Epoch", "Skipped") if hasattr(textformat, name)
    }
