"""The page of the 30 improvements: each leads to pages, files and commands that exist."""

from __future__ import annotations

import re
from typing import Final

import pytest
from docs_commands import DOCS, page

from cli.commands import COMMANDS, load

pytestmark = pytest.mark.unit
ROOT: Final = DOCS.parent
ROWS: Final = {
    int(cells[0]): cells[1:]
    for line in page("half-hourly-improvements.md").text.splitlines()
    if (cells := [cell.strip() for cell in line.strip("|").split("|")])[0].isdigit()
}
TARGETS: Final = re.compile(r"^([a-z-]+):", re.MULTILINE)


def headings(name: str) -> set[str]:
    """Return the anchors of a page, as they are made of its headings."""
    titles = re.findall(r"^#+ (.*)$", page(name).text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def options(command: str) -> set[str]:
    """Return the options of a command."""
    return {name for param in load(command).params for name in (*param.opts, *param.secondary_opts)}


def check_command(words: list[str]) -> None:
    """The command, and each of its options, exist."""
    assert words[0] in COMMANDS, words
    assert {word for word in words if word.startswith("--")} <= options(words[0]), words


def test_all_thirty_are_there_and_each_says_where_it_is() -> None:
    assert sorted(ROWS) == list(range(1, 31))
    for number, (_, here, where) in ROWS.items():
        assert re.match(r"(yes|not)\b", here), number
        assert re.search(r"\]\(|`", where), number


@pytest.mark.parametrize("number", ROWS)
def test_what_an_improvement_leads_to_exists(number: int) -> None:
    _, here, where = ROWS[number]
    for target in re.findall(r"\]\(([^)]+)\)", where):
        name, _, anchor = target.partition("#")
        assert (DOCS / name).is_file(), target
        assert not anchor or anchor in headings(name), target
    targets = TARGETS.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    for code in re.findall(r"`([^`]+)`", f"{here} {where}"):
        words = code.split()
        if words[0] == "make":
            assert words[1] in targets, code
        elif words[0] == "meterlake":
            check_command(words[1:])
        elif words[0] in COMMANDS:
            check_command(words)
        elif code.startswith("--"):
            assert any(code in options(name) for name in ("batch", "present", "vee")), code
        else:
            assert (ROOT / code).exists(), code
