"""Made-up files of a data set, with their reference tables: for tests, demonstrations and measurements of scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path


@dataclass(frozen=True)
class Made:
    """What is to be made: files of ``meters`` over ``days`` local days from ``start`` on, into ``folder``.

    The same seed makes the same files. clean: without the traps that real data has.
    """

    folder: Path
    meters: int
    start: date
    days: int
    seed: int
    clean: bool = False


@dataclass(frozen=True)
class Generator:
    """Makes files. write: returns what they hold, by name, as an oracle for tests."""

    write: Callable[[Made], dict[str, int]]
    title: str = ""
