"""Names that every engine takes without quotes."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from meterlake.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
MAX_NAME: Final = 40

RESERVED: Final = frozenset(
    """
    add all alter and any array as asc authorization batch begin between bigint binary boolean both by case
    cast char check collate column commit constraint create cross cube current cursor date decimal default
    delete desc describe distinct double drop else end entries escape except exchange exclude execute exists
    exp explain extended external extract false fetch filter float following for foreign from full function
    get grant group grouping having if ilike import in index infinity inner insert int integer intersect
    interval into is join json keyspace last lateral left less like limit local localtime localtimestamp map
    materialized modify more nan natural no normalize not null of offset on only or order out outer over
    overlaps partition percent preceding precision prepare primary procedure qualify range reads recursive
    reduce references regexp rename revoke right rlike rollback rollup row rows schema select set some
    similar smallint sqrt start string struct sync table tablesample then time timestamp to token trailing
    trigger true truncate unbounded union unique uniquejoin unlogged unnest update use user using values
    varchar view views when where window with within without year month day hour minute second
    """.split()  # noqa: SIM905 - one string reads better than 170 literals
)
"""Words that one of Spark, Hive, Trino, DuckDB or CQL keeps for itself, or that our tables use."""


def check_name(name: str, where: str) -> None:
    """Raise DeclarationError unless the name is a plain, short, unreserved lower-case identifier."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise DeclarationError(
            where,
            f"the name {name!r} cannot be used in every engine",
            expected=f"Use lower-case words joined by '_', at most {MAX_NAME} characters, a letter first",
        )
    if name in RESERVED:
        raise DeclarationError(
            where,
            f"the name {name!r} is a reserved word",
            expected="Choose a longer name, such as one with its unit",
        )


def check_unique(names: Iterable[str], where: str, kind: str) -> None:
    """Raise DeclarationError where a name occurs twice. kind: what is named so."""
    for name, count in Counter(names).items():
        if count > 1:
            raise DeclarationError(where, f"the {kind} {name!r} occurs {count} times", expected="Rename one")
