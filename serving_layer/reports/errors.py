"""What can be wrong with the options for a report."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

from meterlake.errors import PermanentError, UsageError


class ViewMissing(PermanentError):
    """The tables that a report reads do not exist yet."""

    def __init__(self, dataset: str, source: str, cause: str) -> None:
        self.dataset, self.source = dataset, source
        super().__init__(
            f"The views of {dataset} cannot be read from {source}: {cause}",
            hint=f"Make them with `meterlake load {dataset} FILE` and `meterlake batch {dataset}`, "
            "or read another source with --source hive, trino or merged.",
        )


class NoTable(PermanentError):
    """The tables of a report about all meters are not there, or hold nothing."""

    def __init__(self, dataset: str, report: str, why: str) -> None:
        super().__init__(
            f"{dataset} has no tables for {report}: {why}.",
            hint=f"Make them with `meterlake batch {dataset}` and `meterlake reference {dataset} DATABASE`.",
        )


class NoReadings(PermanentError):
    """The range holds no reading of the meter."""

    def __init__(self, meter: str, since: datetime, until: datetime, extent: tuple[date, date]) -> None:
        self.meter, self.since, self.until, self.extent = meter, since, until, extent
        super().__init__(
            f"Meter {meter!r} has no readings from {since:%Y-%m-%d %H:%M} up to {until:%Y-%m-%d %H:%M}.",
            hint=f"Its readings lie between {extent[0]} and {extent[1]}.",
        )


class WrongRange(UsageError):
    """--from is not before --to."""

    def __init__(self, since: datetime, until: datetime) -> None:
        self.since, self.until = since, until
        super().__init__(
            f"The range from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} is empty.",
            hint="--to is not included: a whole day is --from 2007-02-01 --to 2007-02-02.",
        )


class WrongMoment(UsageError):
    """A time that is not one."""

    def __init__(self, option: str, text: str, why: str) -> None:
        self.option, self.text = option, text
        super().__init__(
            f"{option} {text!r} is not a time: {why}.",
            hint="Write a day (2007-02-01), a local time (2007-02-01T18:30), or one with its offset (…T18:30+01:00).",
        )


class WrongOption(UsageError):
    """An option that the report cannot follow."""

    def __init__(self, option: str, report: str, why: str, *, hint: str) -> None:
        self.option, self.report = option, report
        super().__init__(f"{option} does not fit the report {report!r}: {why}.", hint=hint)


class WrongExtension(UsageError):
    """A file's name does not say what to write."""

    def __init__(self, path: Path, known: tuple[str, ...]) -> None:
        self.path, self.known = path, known
        result = f"ends in {path.suffix!r}" if path.suffix else "has no extension"
        super().__init__(f"--out {str(path)!r} {result}.", hint=f"Its end names the format: {', '.join(known)}.")


class CannotWrite(PermanentError):
    """The report's file cannot be written."""

    def __init__(self, path: Path, cause: OSError) -> None:
        self.path = path
        super().__init__(f"Cannot write {str(path)!r}: {cause.strerror or cause}.", hint="Name another --out.")


class WrongTariff(PermanentError):
    """A tariff file that cannot be read or contradicts itself."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(
            f"Tariff file {str(path)!r}: {problem}.",
            hint="data/tariff.example.toml shows how to write one; docs/reports.md explains it.",
        )


class TariffNeeded(UsageError):
    """A report that needs prices, and none were given."""

    def __init__(self, report: str) -> None:
        self.report = report
        super().__init__(
            f"The report {report!r} needs prices.",
            hint="Add --tariff data/tariff.example.toml, or a file of your own (docs/reports.md).",
        )


class NoPrice(PermanentError):
    """The tariff has no price for a part of the range."""

    def __init__(self, tariff: str, first: date, last: date) -> None:
        self.tariff, self.first, self.last = tariff, first, last
        super().__init__(
            f"The tariff {tariff!r} has no price for {first} to {last}.",
            hint="Add a [[price]] that is valid then, or narrow --from and --to. Prices are never guessed.",
        )
