"""SQL of a declaration as Dremio writes it.

sqlglot knows Dremio's syntax, but not all of its functions: it writes TIMESTAMPDIFF the wrong way round, and functions
that Dremio does not have. These are made of Dremio's own here, before sqlglot writes the rest.
"""

from __future__ import annotations

from typing import Final

import sqlglot
from sqlglot import exp

DATE_SK: Final = "YYYYMMDD"
_DATE_SK: Final = "%Y%mstrict%dstrict"
"""How sqlglot reads Spark's yyyyMMdd."""


class NotInDremio(Exception):
    """Dremio has no function for what a statement says."""


def expression(sql: str) -> str:
    """Return an expression, or a query, that Spark would read. Raises NotInDremio."""
    return written(sqlglot.parse_one(sql, read="spark"))


def written(tree: exp.Expr) -> str:
    """Return a tree as Dremio's SQL: all names are quoted, because many are words of its own. Raises NotInDremio."""
    return tree.transform(_own).sql("dremio", identify=True)


def _own(node: exp.Expr) -> exp.Expr:
    """Return a node in Dremio's functions."""
    if isinstance(node, exp.ArgMax | exp.ArgMin):
        raise NotInDremio("Dremio has no MAX_BY")
    if isinstance(node, exp.Bracket):
        return _nearest_rank(node)
    if isinstance(node, exp.CountIf):
        counted = exp.Case(ifs=[exp.If(this=node.this, true=exp.Literal.number(1))])
        return exp.Count(this=counted)
    if isinstance(node, exp.TimestampDiff):
        return exp.Anonymous(this="TIMESTAMPDIFF", expressions=[exp.var(node.text("unit")), node.expression, node.this])
    if isinstance(node, exp.TimeToStr):
        return exp.Anonymous(this="TO_CHAR", expressions=[_plain(node.this), _format(node)])
    if isinstance(node, exp.TsOrDsToDate) and node.args.get("format"):
        return exp.Anonymous(this="TO_DATE", expressions=[node.this, _format(node)])
    return node


def _plain(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.TimeStrToTime) else node


def _format(node: exp.Expr) -> exp.Expr:
    if node.text("format") != _DATE_SK:
        raise NotInDremio(f"the format {node.text('format')} has no counterpart")
    return exp.Literal.string(DATE_SK)


def _nearest_rank(node: exp.Bracket) -> exp.Expr:
    """Return PERCENTILE_DISC for the element of a sorted array that is the percentile by the nearest rank."""
    listed = node.find(exp.ArrayAgg)
    share = node.find(exp.Ceil)
    if listed is None or share is None or not isinstance(share.this, exp.Mul):
        raise NotInDremio("of an array only the nearest rank is known")
    order = exp.Order(expressions=[exp.Ordered(this=listed.this)])
    return exp.WithinGroup(this=exp.PercentileDisc(this=share.this.this), expression=order)
