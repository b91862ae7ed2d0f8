"""The commands of a page of the documentation, as its reader would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Page:
    """A page: its blocks of one language, by the section that they stand in."""

    text: str

    def blocks(self, language: str, section: str) -> list[str]:
        """Return the blocks of a section, named by the beginning of its title."""
        parts = re.split(r"^## ", self.text, flags=re.MULTILINE)[1:]
        (titled,) = (part for part in parts if part.startswith(section))
        return re.findall(rf"^```{language}\n(.*?)^```$", titled, re.MULTILINE | re.DOTALL)


def page(name: str) -> Page:
    """Return a page of ``docs``."""
    return Page((DOCS / name).read_text(encoding="utf-8"))


def run(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run commands in a folder, one after the other, until one fails. ``meterlake`` is this environment's."""
    programs = {"PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**environment, **programs},
        capture_output=True,
        text=True,
        check=False,
    )
