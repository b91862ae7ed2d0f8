"""The reader of each format."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from engines.readers import greenbutton, homeassistant, json_files, nem, obis, parquet, text, workbook
from meterlake.fileformats import Format, records
from meterlake.fileformats.greenbutton import GreenButton
from meterlake.fileformats.homeassistant import HomeAssistantDatabase, HomeAssistantText
from meterlake.fileformats.nem import Nem12, Nem13
from meterlake.textformat import TextFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa  # type: ignore[import-untyped]

    from engines.readers.port import Reader

_READERS: Final[dict[type[Any], Callable[..., Iterator[pa.Table]]]] = {
    TextFormat: text.read,
    records.Parquet: parquet.read,
    records.JsonLines: json_files.read_lines,
    records.JsonList: json_files.read_list,
    records.JsonTable: json_files.read_table,
    records.Workbook: workbook.read,
    records.ObisText: obis.read,
    Nem12: nem.read_nem12,
    Nem13: nem.read_nem13,
    GreenButton: greenbutton.read,
    HomeAssistantDatabase: homeassistant.read_database,
    HomeAssistantText: homeassistant.read_text,
}


def reader_of(form: Format) -> Reader:
    """Return the reader of a format; of text, as ``recognise`` returns it."""
    return partial(_READERS[type(form)], form)
