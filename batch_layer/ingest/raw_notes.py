"""Which raw file each load has read, and for which meter: a note beside the raw files, one a load.

Rows of the master data set name their load. The note leads from it to the raw bytes, which is how the readings of one
person are found in them again (``batch_layer.erase``).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from batch_layer.ingest.raw_store import RAW
from engines import hdfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterlake.settings import Settings

FOLDER: Final = "loads"
_THREADS: Final = 8


@dataclass(frozen=True)
class Note:
    """A file that a load has read.

    load_id: as in the rows. sha256: of the file as it came. meter_id: of all its lines; empty where a column says it.
    clock, shift_s: by which its times were read.
    """

    load_id: str
    sha256: str
    meter_id: str
    name: str
    clock: str
    shift_s: int


def write(settings: Settings, dataset: str, token: str, notes: Sequence[Note]) -> None:
    """Note what a load reads, before its rows are seen; the same load overwrites its note by the same words."""
    content = json.dumps({"files": [asdict(note) for note in notes]}).encode()
    hdfs.write_bytes(settings, f"{RAW}/{dataset}/{FOLDER}/{token}.json", content)


def read(settings: Settings, dataset: str) -> list[Note]:
    """Return the notes of all loads of a data set."""
    folder = f"{RAW}/{dataset}/{FOLDER}"
    client = hdfs.client(settings)
    try:
        if client.status(folder, strict=False) is None:
            return []
        names = sorted(client.list(folder))
    except hdfs.ERRORS as error:
        raise hdfs.failure(settings, f"list {folder}", error) from error
    with ThreadPoolExecutor(_THREADS) as pool:
        contents = pool.map(lambda name: hdfs.read_bytes(settings, f"{folder}/{name}"), names)
        return [Note(**file) for content in contents for file in json.loads(content)["files"]]
