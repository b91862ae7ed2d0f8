"""What a load did, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batch_layer.ingest.dry_run import Preview
    from batch_layer.ingest.request import FileResult, Result

_METERS: Final = 10
NAMED: Final = 20
"""So many files are named on a terminal; JSON has all."""

_OPTIONAL: Final = (
    "files",
    "loaded already",
    "set aside",
    "grew",
    "not loaded (in the future)",
    "moved by days",
    "as before",
    "different from before",
    "files contradict",
    "revision",
)


def facts(result: Result) -> dict[str, object]:
    """Return a result: what is worth a line, and its value."""
    if result.already_loaded:
        many = len(result.files) > 1
        which = f"these {len(result.files)} files are" if many else "this file is"
        return {
            "result": f"nothing to do: {which} loaded already{_for(result)}",
            "lines": result.lines,
            "load": result.load_id,
            "seconds": result.seconds.get("total", 0),
        }
    reasons = ", ".join(f"{count} {reason}" for reason, count in result.quarantined.items())
    known, bad = (result.with_status(status) for status in ("already loaded", "set aside"))
    loaded = result.with_status("loaded")
    lines = {
        "result": f"loaded into the master data set of {result.dataset}{_for(result)}" if loaded else "nothing loaded",
        "files": len(loaded) if len(result.files) > 1 else 0,
        "loaded already": _named(known),
        "set aside": _named(bad),
        "lines read": sum(file.lines for file in loaded),
        "readings": result.readings,
        "gap rows": result.gaps,
        "quarantined": f"{sum(result.quarantined.values())}{f' ({reasons})' if reasons else ''}",
        "not loaded (in the future)": result.not_loaded,
        "days": result.days,
        "from": result.first,
        "to (UTC)": result.last,
        "moved by days": result.shift_days,
        "bytes": result.bytes,
        "seconds": ", ".join(f"{name} {seconds}" for name, seconds in result.seconds.items()),
        "load": result.load_id,
        "snapshot": result.snapshot,
        "as before": result.overlap.same,
        "grew": _grown(loaded),
        "different from before": _differing(result),
        "files contradict": _contradicting(result),
        "revision": result.revision,
    }
    return {name: value for name, value in lines.items() if value or name not in _OPTIONAL}


def preview_facts(seen: Preview) -> dict[str, object]:
    """Return what a load would read of a file."""
    problem = seen.problem.removeprefix(seen.path).lstrip(": ")
    if not seen.form:
        return {"file": seen.path, "cannot be loaded": problem}
    declared = f"{seen.interval_s} s" if seen.interval_s else ""
    more = [f"{len(seen.meters) - _METERS} more"] if len(seen.meters) > _METERS else []
    differs = seen.interval_s and seen.seen_interval_s not in (None, seen.interval_s)
    by_file = f"{seen.seen_interval_s} s seen" if seen.seen_interval_s else ""
    result = {
        "file": seen.path,
        "cannot be loaded": problem,
        "format": seen.form,
        "lines": seen.lines,
        "readings": seen.readings,
        "gap rows": seen.gaps,
        "quarantined": ", ".join(f"{count} {reason}" for reason, count in seen.quarantined.items()),
        **{row.reason: f"line {row.line}: {row.text}" for row in seen.first_quarantined},
        "rejected by the views": ", ".join(f"{count} {reason}" for reason, count in seen.rejected.items()),
        "meters": ", ".join([*seen.meters[:_METERS], *more]),
        "from": seen.first,
        "to (UTC)": seen.last,
        "interval": f"{declared} declared, {by_file}" if differs else declared or by_file,
        **{f"reading {at}": _reading(each) for at, each in enumerate(seen.first_readings, start=1)},
    }
    return {name: value for name, value in result.items() if value or name in ("lines", "readings")}


def preview_total(previews: Sequence[Preview]) -> dict[str, object]:
    """Return what a load would read of all files."""
    broken = tuple(f"{seen.path}!" for seen in previews if seen.problem)  # an archive, of which nothing is loaded then
    good = [seen for seen in previews if not seen.problem and not seen.path.startswith(broken)]
    rejected = sum(sum(seen.rejected.values()) for seen in good)
    return {
        "files": len(previews),
        "cannot be loaded": len(previews) - len(good),
        "readings": sum(seen.readings for seen in good),
        "gap rows": sum(seen.gaps for seen in good),
        "quarantined": sum(sum(seen.quarantined.values()) for seen in good),
        **({"rejected by the views": rejected} if rejected else {}),
        "meters": len({meter for seen in good for meter in seen.meters}),
    }


def _reading(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _for(result: Result) -> str:
    if result.meter_id:
        return f", meter {result.meter_id}"
    meters = {file.meter_id for file in result.files if file.status != "set aside"}
    if "" in meters or not meters:
        return ", each line for its meter"
    return f", meter {meters.pop()}" if len(meters) == 1 else f", {len(meters)} meters by the names of files"


def _named(files: list[FileResult]) -> str:
    if not files:
        return ""
    listed = list(dict.fromkeys(file.reason or file.path for file in files))  # a reason names the file, or its archive
    more = [f"{len(listed) - NAMED} more (all with --output json)"] if len(listed) > NAMED else []
    return f"{len(files)}: {', '.join([*listed[:NAMED], *more])}"


def _grown(files: list[FileResult]) -> str:
    """Say which files repeat readings that are there, and bring others."""
    grown = [file for file in files if 0 < file.as_before < file.readings]
    new = sum(file.readings - file.as_before for file in grown)
    return f"{new} new readings in {_named(grown)}" if grown else ""


def _differing(result: Result) -> str:
    overlap = result.overlap
    if not overlap.differing:
        return ""
    which = (
        "these count now" if result.revision else "those that were there count; `meterlake correct` makes these count"
    )
    return (
        f"{overlap.differing} ({overlap.first} to {overlap.last} UTC), the first of meter {overlap.meter}:"
        f" {overlap.file} against {overlap.held}: {which}"
    )


def _contradicting(result: Result) -> str:
    conflicts = result.conflicts
    if not conflicts.readings:
        return ""
    return (
        f"{conflicts.readings} readings, the first of meter {conflicts.meter} at {conflicts.time} UTC:"
        f" {conflicts.counting} counts, {conflicts.losing} does not"
    )
