"""``meterlake demo half-hourly``: files of meters and a database of agreements become tables, estimates and a bill.

What the tables hold is computed again by DuckDB, over the raw files as HDFS keeps them: after the first run, after a
corrected agreement, and after a late reading. The demo can be repeated: it begins with the database as it came.
"""

# Names in statements are ours.
# ruff: noqa: S608
from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli import batch_commands, cost_commands, presentation_commands, report_command, vee_command
from cli.output import Output, progress_console, report_progress, show
from cli.tale import DemoFailed, Tale
from meterlake import registry, time_travel
from meterlake.clock import system_clock
from meterlake.errors import UsageError
from meterlake.generator import Made
from stack import launcher
from stack.services import select

if TYPE_CHECKING:
    from datasets.half_hourly.verification import Truth
    from meterlake.dataset import Entry
    from meterlake.settings import Settings
    from stack.instance import Instance

NAME: Final = "half_hourly"
METERS, START, DAYS = 100, date(2021, 3, 20), 14  # a day of 46 half hours, and new prices on the first of April
LATE: Final = Decimal("0.321")
STAGING: Final = f"delta.staging.{NAME}"
PRESENTATION: Final = f"delta.presentation.{NAME}"
BY_PRODUCT: Final = (
    f"SELECT product_id, sum(total_kwh) FROM {PRESENTATION}_consumption_per_product_per_day GROUP BY 1 ORDER BY 1"
)
CORRECTED: Final = "corrected.db"
PICTURES: Final = ("half-hours", "day-profile", "products", "regions", "costs", "completeness")


@dataclass(frozen=True)
class Given:
    """What is loaded. readings: the folder of files. database: of reference tables, as it came."""

    readings: Path
    database: Path


@dataclass(frozen=True)
class Correction:
    """An agreement that ends on ``day``, and is followed by one of another product. readings: those that it touches."""

    meter: str
    agreement: int
    day: date
    readings: int


def run(settings: Settings, instance: Instance, tale: Tale, out: Path, output: Output, path: Path | None) -> None:
    """Show it. path: a folder with files and a database; by default they are made up.

    Raises DemoFailed where something is not as it should be.
    """
    from engines import spark

    entry = registry.entry(NAME)
    with tempfile.TemporaryDirectory() as folder:
        with tale.step("Files of meters, and a database of agreements") as outcome:
            given, outcome["proved"] = _given(entry, path, Path(folder))
        with tale.step("Start the servers") as outcome:
            outcome["proved"] = _start(instance)
        with spark.session(settings, "demo"):
            _first(settings, entry, tale, given)
            corrected = _corrected(settings, entry, tale, given, Path(folder))
            _late(settings, entry, tale, Path(folder))
            with tale.step("The same once more") as outcome:
                outcome["proved"] = _again(settings, entry)
    with tale.step("Ask Trino") as outcome:
        outcome["proved"] = _ask(settings, output)
    with tale.step("A bill, and a report of the days") as outcome:
        outcome["proved"] = _pages(settings, entry, corrected.meter, out)
    with tale.step("Draw") as outcome:
        outcome["proved"] = _draw(out)


def _given(entry: Entry, path: Path | None, folder: Path) -> tuple[Given, str]:
    """Return what is loaded, and what it is."""
    if path is None:
        held = entry.generator().write(Made(folder / "made", METERS, START, DAYS, seed=1))
        words = ("readings", "handovers", "overlapping", "without_agreement", "unknown", "missing", "bad_files")
        counts = ", ".join(f"{held[word]:,} {word.replace('_', ' ')}" for word in words)
        return Given(folder / "made" / "readings", folder / "made" / "reference.db"), f"made up: {counts}"
    databases = sorted(file for end in ("*.db", "*.sqlite") for file in path.glob(end))
    readings = path / "readings"
    if len(databases) != 1 or not readings.is_dir():
        raise UsageError(
            f"{path} has {len(databases)} databases and {'a' if readings.is_dir() else 'no'} folder readings.",
            hint="Give a folder with one SQLite file (*.db) and a folder `readings` of JSON files.",
        )
    files = sum(1 for _ in readings.glob("*.json"))
    return Given(readings, databases[0]), f"{files:,} files, and {databases[0].name}"


def _start(instance: Instance) -> str:
    from cli.progress import StackProgress

    services = select([])
    with StackProgress() as progress:
        launcher.up(services, instance, progress.service, progress.download)
    return f"{', '.join(service.title for service in services)}: each wrote and read"


def _first(settings: Settings, entry: Entry, tale: Tale, given: Given) -> None:
    """From files to costs, and what DuckDB makes of the same files."""
    with tale.step("Load the files") as outcome:
        outcome["proved"] = _load(settings, entry, given.readings)
    with tale.step("Load the database: every version of a row is kept") as outcome:
        rows = presentation_commands.reference_once(settings, entry, str(given.database))
        opened, closed = (sum(row[name] for row in rows) for name in ("opened", "closed"))
        outcome["proved"] = f"{opened:,} versions opened, {closed:,} closed"
    with tale.step("Batch: views, audited and published") as outcome:
        outcome["proved"] = _batch(settings, entry)
    with tale.step("Validate, and estimate what is missing") as outcome:
        vee_command.validate_once(settings, entry, system_clock)
        outcome["proved"] = _estimates(settings)
    with tale.step("Join each reading with the agreement of its time; make the tables") as outcome:
        _present(settings, entry)
        outcome["proved"] = _flags(settings)
    with tale.step("DuckDB computes the tables again, from the raw files") as outcome:
        outcome["proved"] = _compare(settings, given.database)
    with tale.step("What energy costs") as outcome:
        cost_commands.cost_once(settings, entry, system_clock)
        outcome["proved"] = _costs(settings)


def _load(settings: Settings, entry: Entry, readings: Path) -> str:
    from batch_layer.ingest.load import load
    from batch_layer.ingest.request import Request
    from cli import load_progress

    request = Request(entry.data_set.formats, (str(readings),), "", None, skip_bad_files=True)
    with load_progress.shown(request.title) as on_progress:
        result = load(settings, request, system_clock, on_progress)
    bad = result.with_status("set aside")
    named = f"; set aside: {', '.join(Path(file.path).name for file in bad)}" if bad else ""
    known = result.with_status("already loaded")
    return (
        f"{len(known)} files loaded by an earlier demo{named}"
        if known
        else f"{result.readings:,} readings of {len(result.with_status('loaded'))} files{named}"
    )


def _batch(settings: Settings, entry: Entry) -> str:
    from batch_layer.views.plan import Request

    row = batch_commands.batch_once(settings, entry.declaration, Request(), system_clock)
    if "read" not in row:
        return str(row["result"])
    return f"read {row['read']:,} = used {row['used']:,} + {row['read'] - row['used']:,} others"


def _present(settings: Settings, entry: Entry) -> dict[str, dict[str, Any]]:
    """Bring the tables up to date; return table -> what changed in it."""
    from batch_layer.presentation.run import Asked

    rows = presentation_commands.present_once(settings, entry, Asked(), system_clock)
    return {row["table"]: row for row in rows}


def _estimates(settings: Settings) -> str:
    from engines import trino

    rows = trino.rows(settings, f"SELECT method, count(*) FROM delta.vee.{NAME}_estimates GROUP BY 1 ORDER BY 2 DESC")
    if not rows:
        return "nothing is missing between the first and last reading of any meter"
    return f"{sum(count for _, count in rows):,} estimates: " + ", ".join(f"{count} {name}" for name, count in rows)


def _flags(settings: Settings) -> str:
    from engines import trino

    flags = ("no_agreement", "overlapping_agreement", "unknown_meterpoint")
    counted = ", ".join(f"count_if({flag})" for flag in flags)
    ((total, *counts),) = trino.rows(settings, f"SELECT count(*), {counted} FROM {STAGING}")
    result = [f"{count:,} {flag.replace('_', ' ')}" for flag, count in zip(flags, counts, strict=True)]
    return f"{total:,} readings, none counted twice; kept and listed: {', '.join(result)}"


def _costs(settings: Settings) -> str:
    from engines import trino

    ((amount, kwh, currency),) = trino.rows(
        settings, f"SELECT sum(amount), sum(kwh), max(currency) FROM {PRESENTATION}_cost"
    )
    return f"{amount:,} {currency} for {kwh:,} kWh, without VAT, to the last digit"


@contextmanager
def _truth(settings: Settings, database: Path) -> Iterator[Truth]:
    """Have what the tables must hold, by the raw files in HDFS and a database."""
    from batch_layer.ingest.raw_store import RawStore
    from datasets.half_hourly.verification import Truth, good_files
    from engines import hdfs

    with tempfile.TemporaryDirectory() as folder:
        raw = sorted(RawStore(settings, NAME).files(), key=lambda file: file.location)
        for location, files in groupby(raw, key=lambda file: file.location):
            content = hdfs.read_bytes(settings, location)
            for number, file in enumerate(files):
                part = content[file.begin : file.begin + file.length]
                (Path(folder) / f"{file.sha256}-{number}.json").write_bytes(part)
        truth = Truth(good_files(Path(folder)), database)
        with closing(truth.base):
            yield truth


def _compare(settings: Settings, database: Path) -> str:
    """Compare every row of every table. Raises DemoFailed where one differs."""
    from datasets.half_hourly.verification import COLUMNS
    from engines import trino

    ((newest,),) = trino.rows(settings, f"SELECT max(day) FROM {STAGING}")
    with _truth(settings, database) as truth:
        wanted = truth.tables(newest)
    for name, rows in wanted.items():
        held = trino.rows(settings, f"SELECT {COLUMNS[name]} FROM {PRESENTATION}_{name}")
        if sorted((tuple(row) for row in held), key=repr) != rows:
            hint = "Where others have loaded readings that contradict the files, or sent some: a new METERLAKE_HOME."
            raise DemoFailed(f"{name}: Trino has {len(held)} rows, and DuckDB {len(rows)} that differ.", hint=hint)
    return f"{len(wanted)} tables are equal, row by row: {sum(map(len, wanted.values())):,} rows"


def _corrected(settings: Settings, entry: Entry, tale: Tale, given: Given, folder: Path) -> Correction:
    """Correct an agreement; just its readings must be restated, and the past must be there to be asked for."""
    from engines import trino

    with tale.step("An agreement turns out to have ended two days earlier") as outcome:
        before, then = trino.rows(settings, BY_PRODUCT), system_clock()
        correction = _choose(settings)
        database = corrected_database(given.database, folder / CORRECTED, correction)
        presentation_commands.reference_once(settings, entry, str(database))
        changed = _present(settings, entry)[STAGING]
        cost_commands.cost_once(settings, entry, system_clock)
        restated = (changed["inserted"], changed["updated"], changed["deleted"])
        if restated != (0, correction.readings, 0):
            raise DemoFailed(
                f"{correction.readings} readings are touched, and {restated} were inserted, updated and deleted.",
                hint='See `meterlake query "SELECT * FROM delta.presentation.half_hourly_runs"`.',
            )
        outcome["proved"] = f"meter {correction.meter}: {correction.readings} readings restated, and no other"
    with tale.step("DuckDB, once more") as outcome:
        outcome["proved"] = _compare(settings, database)
    with tale.step(f"Ask as of {then:%H:%M:%S} UTC, before the correction") as outcome:
        past, now = trino.rows(settings, time_travel.as_of(BY_PRODUCT, then)), trino.rows(settings, BY_PRODUCT)
        if past != before or now == before:
            raise DemoFailed("The past is not what it was, or the correction is not seen.", hint="Try it again.")
        differing = dict(map(tuple, now)).items() ^ dict(map(tuple, before)).items()
        products = {product for product, _ in differing}
        outcome["proved"] = f"as it was then; {len(products)} products have other sums now"
    return correction


def _choose(settings: Settings) -> Correction:
    """Choose an agreement that is the only one of its time, and whose meter always has one."""
    from engines import trino

    several = "min_by(product_id, day) <> max_by(product_id, day)"
    rows = trino.rows(
        settings,
        f"SELECT meter_id, max_by(agreement_id, day), date_add('day', -1, max(day)) FROM {STAGING} GROUP BY 1"
        " HAVING NOT bool_or(no_agreement OR overlapping_agreement OR unknown_meterpoint)"
        f" ORDER BY {several} DESC, 1 LIMIT 1",
    )
    if not rows:
        raise DemoFailed("No meter has always just one agreement.", hint="Give other files.")
    meter, agreement, day = rows[0]
    ((count,),) = trino.rows(
        settings,
        f"SELECT count(*) FROM {STAGING} WHERE meter_id = ? AND agreement_id = ? AND day >= ?",
        [meter, agreement, day],
    )
    return Correction(meter, agreement, day, count)


def corrected_database(source: Path, target: Path, correction: Correction) -> Path:
    """Write a copy of a database in which the agreement ends on the day, and one of another product follows it."""
    shutil.copyfile(source, target)
    with closing(sqlite3.connect(target)) as base, base:
        until, product, meter, account = base.execute(
            "SELECT agreement_valid_to, product_id, meterpoint_id, account_id FROM agreement WHERE agreement_id = ?",
            [correction.agreement],
        ).fetchone()
        ((other,),) = base.execute("SELECT min(product_id) FROM product WHERE product_id <> ?", [product])
        ((last,),) = base.execute("SELECT max(agreement_id) FROM agreement")
        day = correction.day.isoformat()
        base.execute("UPDATE agreement SET agreement_valid_to = ? WHERE agreement_id = ?", [day, correction.agreement])
        base.execute(
            "INSERT INTO agreement (agreement_id, agreement_valid_from, agreement_valid_to, product_id, meterpoint_id,"
            " account_id) VALUES (?, ?, ?, ?, ?, ?)",
            [last + 1, day, until, other, meter, account],
        )
    return target


def _late(settings: Settings, entry: Entry, tale: Tale, folder: Path) -> None:
    """Load a reading for a half hour that was estimated."""
    from engines import trino

    result = trino.rows(
        settings,
        f"SELECT meter_id, interval_start, consumption_estimate, method, inputs FROM delta.vee.{NAME}_estimates"
        " WHERE reason = 'missing' ORDER BY meter_id, interval_start LIMIT 1",
    )
    with tale.step("A late reading takes the place of its estimate") as outcome:
        if not result:
            outcome["proved"] = "no half hour is estimated: there is none that it could replace"
            return
        meter, start, estimate, method, inputs = result[0]
        report_progress(f"{meter}, {start:%Y-%m-%d %H:%M} UTC: {estimate} kWh by {method}, of {inputs}")
        file = folder / "late.json"
        file.write_text(late_file(meter, start))
        _load(settings, entry, file)
        _all(settings, entry)
        best = trino.rows(
            settings,
            f"SELECT consumption_best, quality, estimated_s FROM hive.vee.{NAME}_validated"
            " WHERE meter_id = ? AND interval_start = ?",
            [meter, start],
        )
        if best != [[LATE, "measured", 0]]:
            raise DemoFailed(f"{meter}, {start} is {best} after the late reading.", hint="See `meterlake explain`.")
        outcome["proved"] = f"{meter}, {start:%Y-%m-%d %H:%M} UTC: {estimate} kWh ({method}) → {LATE} kWh, measured"
    with tale.step("DuckDB, a last time") as outcome:
        outcome["proved"] = _compare(settings, folder / CORRECTED)


def late_file(meter: str, start: datetime) -> str:
    """Return a file of one reading."""
    columns = ["interval_start", "consumption_delta", "meterpoint_id"]
    return json.dumps({"columns": columns, "data": [[f"{start:%Y-%m-%d %H:%M:%S}", float(LATE), meter]]})


def _all(settings: Settings, entry: Entry) -> int:
    """Do what `meterlake batch` does; return how many rows of tables have changed."""
    from batch_layer.views.plan import Request

    batch_commands.batch_once(settings, entry.declaration, Request(), system_clock)
    changed = [
        *vee_command.validate_once(settings, entry, system_clock),
        *_present(settings, entry).values(),
        cost_commands.cost_once(settings, entry, system_clock),
    ]
    return sum(row[name] for row in changed for name in ("inserted", "updated", "deleted"))


def _again(settings: Settings, entry: Entry) -> str:
    if changed := _all(settings, entry):
        raise DemoFailed(f"A run without anything new has changed {changed} rows.", hint="See `meterlake runs`.")
    return "batch, validation, tables and costs: no row has changed"


def _ask(settings: Settings, output: Output) -> str:
    from engines import trino

    sql = f"""SELECT display_name, sum(kwh) AS kwh, sum(estimated_kwh) AS estimated_kwh,
  CAST(sum(amount) AS DECIMAL(18, 2)) AS pounds
FROM {PRESENTATION}_cost GROUP BY 1 ORDER BY 4 DESC LIMIT 5"""
    progress_console.print(sql, markup=False)
    columns, rows = trino.select(settings, sql)
    if output is Output.TEXT:
        show([dict(zip(columns, row, strict=True)) for row in rows], output)
    return f"the products of most cost: {len(rows)} rows"


def _pages(settings: Settings, entry: Entry, meter: str, out: Path) -> str:
    """Write the bill of the corrected meter, and the report of days."""
    from engines import trino
    from serving_layer import day_quality
    from serving_layer.bills.page import page
    from serving_layer.bills.read import read_bill

    ((since, until, kwh),) = trino.rows(
        settings,
        f"SELECT min(day), max(day), sum(consumption_best) FROM hive.vee.{NAME}_validated_days WHERE meter_id = ?",
        [meter],
    )
    bill = read_bill(settings, entry.declaration, meter, (since, until))
    if bill.kwh != kwh:
        raise DemoFailed(f"The bill of {meter} is about {bill.kwh} kWh of {kwh}.", hint="See `meterlake explain`.")
    out.mkdir(parents=True, exist_ok=True)
    (out / "bill.html").write_text(page(bill, f"{entry.declaration.title}: bill"), encoding="utf-8")
    result = day_quality.day_quality(settings, entry.declaration, entry.presentation())
    (out / "days.html").write_text(day_quality.page(entry.declaration, result), encoding="utf-8")
    for name in ("bill.html", "days.html"):
        progress_console.print(str(out / name), markup=False)
    return f"meter {meter}: {bill.kwh} kWh, {len(bill.lines)} lines, {bill.total} {bill.currency} with VAT"


def _draw(out: Path) -> str:
    for name in PICTURES:
        file = out / f"{name}.png"
        report_command.draw(NAME, name, None, None, file)
        progress_console.print(str(file), markup=False)
    return f"{len(PICTURES)} pictures, a bill and a report of the days in {out}"
