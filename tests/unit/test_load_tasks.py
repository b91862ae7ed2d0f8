"""What each of Spark's tasks reads in a load: neighbours, so that small files are asked for and decoded together."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest

from batch_layer.ingest.rows import Raw
from batch_layer.ingest.tasks import Job, Piece, dealt
from datasets.household.text import HOUSEHOLD_TEXT
from engines.readers.port import Options
from meterlake.settings import Settings

pytestmark = pytest.mark.unit

SIZE = 100
NOW = datetime(2026, 11, 27, tzinfo=UTC)


def job(locations: list[str]) -> Job:
    raws = {
        file: Raw(HOUSEHOLD_TEXT, Options("m", HOUSEHOLD_TEXT.clock), location, f"{file}.txt", f"{file}", NOW)
        for file, location in enumerate(locations)
    }
    return Job(Settings(), raws)


@pytest.mark.parametrize("seed", range(10))
def test_a_task_reads_what_lies_together_whatever_order_files_were_named_in(seed: int) -> None:
    places = list(range(60))
    Random(seed).shuffle(places)  # noqa: S311 - an order
    given = [Piece(file, place % 30 * SIZE, SIZE) for file, place in enumerate(places)]
    tasks = dealt(job([f"bundle-{place // 30}" for place in places]), given, 10 * SIZE)
    assert [[places[piece.file] for piece in task] for task in tasks] == [
        list(range(first, first + 10)) for first in range(0, 60, 10)
    ]


def test_what_is_larger_than_a_task_is_one_of_its_own() -> None:
    given = [Piece(0, 0, 30), Piece(1, 30, 250), Piece(2, 280, 60), Piece(3, 340, 60)]
    assert dealt(job(["a"] * 4), given, 100) == [(given[0],), (given[1],), (given[2],), (given[3],)]
