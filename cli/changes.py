"""Corrections and erasures, as `runs` lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meterlake.changes import Change


def change_row(change: Change) -> dict[str, Any]:
    """Return a change for programs."""
    return {
        "event": change.kind,
        "id": change.id,
        "at": change.at,
        "status": "done" if change.is_done else "unfinished",
        "done_at": change.done_at,
        "by": change.by,
        "why": change.why,
        "meter": change.meter or None,
        "details": dict(change.details),
    }


def change_words(change: Change) -> dict[str, object]:
    """Return a change as people read it."""
    return {
        "event": change.kind,
        "at": f"{change.at:%Y-%m-%d %H:%M:%S}",
        "done": f"{change.done_at:%Y-%m-%d %H:%M:%S}" if change.done_at else "unfinished: run it again",
        "meter": change.meter or "by file",
        "by": change.by,
        "why": change.why,
        "id": change.id,
    }
