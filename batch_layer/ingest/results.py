"""What a load says about itself: the whole, and each file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batch_layer.ingest.request import FileResult, Result
from batch_layer.ingest.rows import total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from batch_layer.ingest.request import Request
    from batch_layer.ingest.rows import Tally
    from batch_layer.ingest.stored import Seen, SetAside


def result_of(
    request: Request,
    load_id: str,
    files: Iterable[FileResult],
    tallies: Iterable[Tally],
    **more: Any,  # noqa: ANN401 - fields of Result
) -> Result:
    """Return the result of a load. files: in their order. tallies: of those that were loaded."""
    done, listed = total(tallies), tuple(files)
    meters = {file.meter_id for file in listed if file.status != "set aside"}
    return Result(
        dataset=request.dataset.name,
        file=request.title,
        meter_id=meters.pop() if len(meters) == 1 else "",
        load_id=load_id,
        already_loaded=bool(listed) and all(file.status == "already loaded" for file in listed),
        lines=sum(file.lines for file in listed),
        readings=done.readings,
        gaps=done.gaps,
        quarantined={reason: count for reason, (count, _) in sorted(done.reasons.items())},
        not_loaded=done.ahead,
        files=listed,
        **more,
    )


def of_loaded(seen: Seen, load_id: str, tally: Tally, same: Mapping[str, int]) -> FileResult:
    """Return what became of a file that was loaded. same: load id -> readings that were there already."""
    return FileResult(
        path=seen.path,
        status="loaded",
        meter_id=seen.meter_id,
        load_id=load_id,
        lines=tally.rows,
        readings=tally.readings,
        gaps=tally.gaps,
        quarantined=tally.rejected,
        not_loaded=tally.ahead,
        as_before=same.get(load_id, 0),
    )


def of_known(seen: Seen, load_id: str) -> FileResult:
    """Return that a file was loaded already."""
    return FileResult(seen.path, "already loaded", seen.meter_id, load_id, seen.rows)


def of_set_aside(file: SetAside) -> FileResult:
    """Return why a file was set aside."""
    return FileResult(file.path, "set aside", reason=file.error.what)
