"""Which snapshots of a table nobody needs any more. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from engines.table_format import Snapshot


def expendable(
    published: Sequence[Snapshot],
    others: Sequence[Snapshot],
    before: datetime,
    needed: Collection[int],
    newest_of: str,
) -> list[Snapshot]:
    """Return the snapshots that may go.

    What has changed since a snapshot is known from all that came after it. So of those readers saw, only those go
    that are older than everything needed: the history stays without a gap.

    published: those that readers saw, newest first; the first of them never goes. others: staged ones, whose rows
    were published by another commit or by none. before: younger ones stay. needed, newest_of: see ``Table.expire``.
    """
    kept = set(needed) | _newest(published, newest_of)
    last = max(
        (at for at, snapshot in enumerate(published) if snapshot.id in kept or snapshot.committed_at >= before),
        default=0,
    )
    old = [snapshot for snapshot in others if snapshot.committed_at < before]
    return [*published[last + 1 :], *old]


def _newest(published: Sequence[Snapshot], name: str) -> set[int]:
    """Return the newest snapshot of each value of a property."""
    result: dict[str, int] = {}
    for snapshot in published:
        if name in snapshot.summary:
            result.setdefault(snapshot.summary[name], snapshot.id)
    return set(result.values())
