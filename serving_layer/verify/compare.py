"""Two tables of DuckDB, compared row by row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

# Names come from the declaration and from this package.
# ruff: noqa: S608

SHOWN: Final = 5
"""So many differing rows are shown."""

TOLERANCE: Final = "1e-12"
"""Relative, for columns that are no exact numbers."""

_VERDICT: Final = "verdict"
_COPY: Final = "copy_number"


@dataclass(frozen=True)
class Difference:
    """One value that is not as expected. column: ``*`` where the whole row is missing or extra."""

    view: str
    path: str
    key: str
    column: str
    expected: object
    found: object


@dataclass(frozen=True)
class Explained:
    """A row of the speed layer that differs from batch's for a reason: one of ``meterlake.reconciliation``'s.

    batch, speed: readings used.
    """

    meter: str
    time: str
    reason: str
    batch: int
    speed: int


@dataclass(frozen=True)
class Comparison:
    """What became of the rows of a view. rows: expected ones. path: how the found ones were read.

    explained, listed: rows that differ for a reason, and are in none of the other counts.
    """

    view: str
    path: str
    rows: int
    equal: int
    missing: int
    extra: int
    different: int
    examples: tuple[Difference, ...] = field(default=(), hash=False)
    explained: int = 0
    listed: tuple[Explained, ...] = field(default=(), hash=False)

    @property
    def wrong(self) -> int:
        """Rows that are not as they should be."""
        return self.missing + self.extra + self.different


@dataclass(frozen=True)
class Shape:
    """Columns to compare. exact: equal, NULL to NULL. near: within ``TOLERANCE``."""

    keys: Sequence[str]
    exact: Sequence[str]
    near: Sequence[str] = ()


def compare(connection: DuckDBPyConnection, view: str, path: str, tables: tuple[str, str], shape: Shape) -> Comparison:
    """Compare tables (expected, found). A key that is found twice counts once, and each further time as extra."""
    want, have = tables
    rows = int(connection.execute(f"SELECT count(*) FROM {want}").fetchall()[0][0])
    joined = _joined_sql(want, have, shape)
    figures = _figures(connection, joined)
    if figures["equal"] + figures["different"] + figures["missing"] != rows:  # some key is found twice
        joined = _joined_sql(*_numbered(want, have, shape), Shape([*shape.keys, _COPY], shape.exact, shape.near))
        figures = _figures(connection, joined)
    examples = _examples(connection, view, path, shape, joined) if figures["equal"] != rows or figures["extra"] else ()
    counts = (figures["equal"], figures["missing"], figures["extra"], figures["different"])
    return Comparison(view, path, rows, *counts, examples)


def _figures(connection: DuckDBPyConnection, joined: str) -> dict[str, int]:
    counts = dict(connection.execute(f"SELECT {_VERDICT}, count(*) FROM ({joined}) GROUP BY ALL").fetchall())
    return {name: int(counts.get(name, 0)) for name in ("equal", "missing", "extra", "different")}


def _numbered(want: str, have: str, shape: Shape) -> tuple[str, str]:
    """Return both tables with the number of times that a row's key has come before."""
    keys = ", ".join(shape.keys)
    number = f"row_number() OVER (PARTITION BY {keys}) AS {_COPY}"
    return f"(SELECT *, 1 AS {_COPY} FROM {want})", f"(SELECT *, {number} FROM {have})"


def _joined_sql(want: str, have: str, shape: Shape) -> str:
    keys = ", ".join(shape.keys)
    shown = [f"w.{name} AS want_{name}, h.{name} AS have_{name}" for name in (*shape.exact, *shape.near)]
    same = [f"w.{name} IS NOT DISTINCT FROM h.{name}" for name in shape.exact]
    same += [_near(name) for name in shape.near]
    return f"""
SELECT {keys}, {", ".join(shown)}, CASE
    WHEN h.{shape.keys[0]} IS NULL THEN 'missing' WHEN w.{shape.keys[0]} IS NULL THEN 'extra'
    WHEN {" AND ".join(same) or "true"} THEN 'equal' ELSE 'different' END AS {_VERDICT}
FROM {want} AS w FULL JOIN {have} AS h USING ({keys})"""


def _near(name: str) -> str:
    want, have = f"w.{name}", f"h.{name}"
    close = f"abs({want} - {have}) <= {TOLERANCE} * greatest(abs({want}), abs({have}))"
    return f"({want} IS NOT DISTINCT FROM {have} OR coalesce({close}, false))"


def _examples(
    connection: DuckDBPyConnection, view: str, path: str, shape: Shape, joined: str
) -> tuple[Difference, ...]:
    """Return the differing values of the first rows that differ."""
    keys = ", ".join(shape.keys)
    statement = f"SELECT * FROM ({joined}) WHERE {_VERDICT} <> 'equal' ORDER BY {keys} LIMIT {SHOWN}"
    cursor = connection.execute(statement)
    names = [column[0] for column in cursor.description or ()]
    result: list[Difference] = []
    for values in cursor.fetchall():
        row = dict(zip(names, values, strict=True))
        key = " ".join(str(row[name]) for name in shape.keys)
        if row[_VERDICT] != "different":
            is_missing = row[_VERDICT] == "missing"
            result.append(Difference(view, path, key, "*", *(("a row", None) if is_missing else (None, "a row"))))
            continue
        pairs = [(name, row[f"want_{name}"], row[f"have_{name}"]) for name in (*shape.exact, *shape.near)]
        result += [
            Difference(view, path, key, name, want, have)
            for name, want, have in pairs
            if _differs(want, have, exact=name in shape.exact)
        ]
    return tuple(result)


def _differs(want: Any, have: Any, *, exact: bool) -> bool:  # noqa: ANN401 - any value of a column
    if want is None or have is None or exact:
        return bool(want != have)
    return bool(abs(want - have) > float(TOLERANCE) * max(abs(want), abs(have)))
