"""The folder of a new data set, written from what a sample of its files looks like (``meterlake.sample``).

What is written is formatted as ruff does, at any line length: what is long stands one argument a line.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from meterlake.durations import duration_text
from meterlake.errors import UsageError
from meterlake.grains import GRAIN_SECONDS, Grain, is_fixed
from meterlake.names import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meterlake.sample import Column, Kind, Sample
    from meterlake.sample_values import Measured

_WIDTH: Final = 88
_CLASSES: Final[dict[Kind, str]] = {
    "time": "Moment",
    "epoch": "Epoch",
    "excel": "ExcelDay",
    "offset": "UtcOffset",
    "meter": "MeterColumn",
    "value": "Value",
    "days": "DayValues",
    "unit": "UnitColumn",
    "measure": "MeasureColumn",
    "skipped": "Skipped",
}


def write(folder: Path, name: str, sample: Sample) -> Path:
    """Write the folder of a data set, and return its ``__init__.py``. Raises UsageError where it is there."""
    check_name(name, f"Data set {name!r}")
    path = folder / name / "__init__.py"
    if path.parent.exists():
        raise UsageError(f"{path.parent} is there already.", hint="Choose another name or --dir, or remove it.")
    try:
        path.parent.mkdir(parents=True)
        path.write_text(text(name, sample), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", hint="Choose another --dir.") from error
    return path


def text(name: str, sample: Sample) -> str:
    """Return the module of a data set."""
    constant = name.upper()
    return "\n".join(
        [
            f'"""{_title(name)}: guessed from {_plain(sample.file)}. Read the comments, decide, and remove them."""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Final",
            "",
            "from meterlake.dataset import DataSet",
            f"from meterlake.declaration import {', '.join(_declared(sample))}",
            *_imported("meterlake.textformat", _columns_used(sample)),
            "",
            *_comments(sample),
            "",
            f"{constant}: Final = MeterSeries(",
            *_indented(_declaration(name, sample)),
            ")",
            "",
            "DATASET: Final = DataSet(",
            f"    declaration={constant},",
            "    formats=(",
            "        TextFormat(",
            *_indented(_format(constant, sample), 3),
            "        ),",
            "    ),",
            ")",
            "",
        ]
    )


def _imported(module: str, names: Sequence[str]) -> list[str]:
    short = f"from {module} import {', '.join(names)}"
    if len(short) <= _WIDTH:
        return [short]
    return [f"from {module} import (", *_indented([f"{name}," for name in names]), ")"]


def _comments(sample: Sample) -> list[str]:
    """Return what was seen, what is to be decided, and what cannot be read yet."""
    meters = f", {sample.meters} meters" if sample.has_meters else ""
    clock = "UTC" if sample.has_offset else "by the file's clock"
    lines = [f"# Seen: {sample.lines} lines{meters}, from {sample.first} to {sample.last} {clock}."]
    lines += ["#", "# To decide:"]
    lines += ["# - time_zone: of the place; local days follow it, daylight saving included."]
    if not sample.has_offset:
        lines += [
            "# - utc_offset: of the file's clock, fixed all year (UTC is assumed);",
            "#   or the format's time_zone, where it is the clock on the wall, summer time and all.",
        ]
    if sample.day is None:
        lines.append(f"# - marks: is a time the start or the end of its {sample.interval_s} s? The start is assumed.")
    lines += [f"# - {_plain(note)}." for note in sample.decide]
    if sample.unread:
        lines += ["#", "# What the text format cannot read yet:"]
        lines += [f"# - {_plain(note)}." for note in sample.unread]
    return lines


def _declaration(name: str, sample: Sample) -> list[str]:
    measured = _measured(sample)
    return [
        f"name={_quoted(name)},",
        f"title={_quoted(_title(name))},",
        f'intervals=("{duration_text(timedelta(seconds=sample.interval_s))}",),',
        'time_zone="UTC",',
        "measures=(",
        *_indented([line for value in measured for line in _measure(value, sample.interval_s)]),
        "),",
        "views=(",
        *_indented([f'View("{_grain_text(grain)}"),' for grain in _grains(sample.interval_s)]),
        "),",
    ]


def _measured(sample: Sample) -> list[Measured]:
    if sample.registers:
        return [measured for _, measured in sample.registers.measures]
    return [column.measured for column in sample.columns if column.measured]


def _measure(value: Measured, interval_s: int) -> list[str]:
    low, high = value.range(interval_s)
    seen = f"seen: {value.lowest.normalize():f} to {value.highest.normalize():f}"
    kind = (
        "belongs to its interval: if it holds over it, write Level"
        if value.is_amount
        else "holds over its interval: if it belongs to it, write Amount"
    )
    unit = "by the header" if value.is_guessed else "UNKNOWN: give the unit"
    return [
        f"# {seen}. It {kind}.",
        f"{'Amount' if value.is_amount else 'Level'}(",
        f"    {_quoted(value.name)},",
        f"    unit={_quoted(value.unit)},  # {unit}",
        f'    resolution="{value.resolution}",',
        f"    between={'per_hour' if value.is_amount else ''}({low}, {high}),",
        f"    title={_quoted(value.title)},",
        "),",
    ]


def _grains(interval_s: int) -> list[Grain]:
    """Return the grains to begin with: the finest that holds whole intervals, hour, day and month."""
    fitting = [grain for grain, seconds in GRAIN_SECONDS.items() if not seconds % interval_s]
    return list(dict.fromkeys([*fitting[:1], *(grain for grain in fitting if grain == "hour"), "day", "month"]))


def _grain_text(grain: Grain) -> str:
    """Return a grain as people write it: ``30 min``, ``hour``, ``day``."""
    is_duration = is_fixed(grain) and grain not in ("minute", "hour")
    return duration_text(timedelta(seconds=GRAIN_SECONDS[grain])) if is_duration else grain


def _format(constant: str, sample: Sample) -> list[str]:
    given = [f"dataset={constant},", "columns=("]
    given += _indented([line for column in sample.columns for line in _column(sample, column)])
    given += ["),", f"interval_s={sample.interval_s},"]
    if not sample.has_meters:
        given.append('meter_id="meter-1",  # of all lines; --meter-id says another')
    given += _file_options(sample)
    missing = [_quoted(marker) for marker in sample.missing]
    short = f"missing=({', '.join(missing)}{',' if len(missing) == 1 else ''})"
    given += _call("missing=(", missing, short)
    if sample.padded:
        given.append("padded=True,")
    if sample.decimal != ".":
        given.append('decimal=",",')
    if sample.thousands:
        given.append(f"thousands={_quoted(sample.thousands)},")
    if sample.snap_s:
        given.append(f"snap_s={sample.snap_s},")
    if sample.day and sample.day.marks == "end":
        given.append('marks="end",')
    return given


def _file_options(sample: Sample) -> list[str]:
    options = [f"separator={_quoted(sample.separator)},"]
    if sample.encoding != "utf-8":
        options.append(f"encoding={_quoted(sample.encoding)},")
    if not sample.has_header:
        options.append("has_header=False,")
    if sample.skip_lines:
        options.append(f"skip_lines={sample.skip_lines},")
    return options


def _column(sample: Sample, column: Column) -> list[str]:
    given = [_quoted(column.header)]
    if column.kind == "time":
        given.append(_quoted(column.pattern))
    if column.measured:
        given.append(_quoted(column.measured.name))
    if column.kind == "epoch" and column.pattern == "ms":
        given.append('unit="ms"')
    if column.kind == "measure" and sample.registers:
        pairs = [f"({_quoted(text)}, {_quoted(seen.name)})" for text, seen in sample.registers.measures]
        begin = f"{_CLASSES[column.kind]}("
        return [begin, f"    {given[0]},", "    names=(", *(f"        {pair}," for pair in pairs), "    ),", "),"]
    if column.kind == "days" and sample.day and sample.day.is_real:
        given.append('days="real"')
    name = _CLASSES[column.kind]
    return _call(f"{name}(", given, f"{name}({', '.join(given)})")


def _call(begin: str, given: Sequence[str], short: str) -> list[str]:
    """Return a call on one line where it fits, else one argument a line."""
    if len(short) + 17 <= _WIDTH:
        return [f"{short},"]
    return [begin, *_indented([f"{item}," for item in given]), "),"]


def _declared(sample: Sample) -> list[str]:
    amounts = {measured.is_amount for measured in _measured(sample)}
    kinds = [name for name, is_amount in (("Amount", True), ("Level", False)) if is_amount in amounts]
    names = ["MeterSeries", "View", *kinds]
    return [*sorted(names), *(["per_hour"] if "Amount" in names else [])]


def _columns_used(sample: Sample) -> list[str]:
    return sorted({_CLASSES[column.kind] for column in sample.columns} | {"TextFormat"})


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _plain(text: str) -> str:
    """Return a text that can stand in a comment and in the description of a module."""
    return " ".join(text.replace('"""', "'''").replace("\\", "/").split())


def _quoted(text: str) -> str:
    """Return a literal as ruff writes it: between double quotes, unless there are some within."""
    literal = repr(text)
    if '"' in text:
        return literal
    return '"' + literal[1:-1].replace("\\'", "'") + '"'


def _indented(lines: Sequence[str], steps: int = 1) -> list[str]:
    return [f"{'    ' * steps}{line}" for line in lines]
