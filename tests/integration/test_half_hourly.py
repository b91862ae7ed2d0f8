"""Half-hourly smart meters by the commands, on the real servers: files and a database in, Delta tables in Trino out."""

# Statements here are made of names of this module alone.
# ruff: noqa: S608
from __future__ import annotations

import csv
import gc
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import layers_samples as layers
import pytest
import screen_samples
import stream_samples as samples
from commands import Command

from batch_layer.cost import shapes as cost_shapes
from batch_layer.presentation import shapes
from batch_layer.vee import shapes as vee_shapes
from datasets.half_hourly.reports import REPORTS
from datasets.half_hourly.verification import COLUMNS, Truth, good_files
from engines import cassandra, hdfs, metastore, topics, trino
from engines import spark as engine
from meterlake import registry, wire
from meterlake.clock import system_clock
from meterlake.dataset import DataSet
from meterlake.fileformats.records import JsonTable
from meterlake.generator import Made
from meterlake.reading import Reading
from meterlake.settings import Settings
from serving_layer.dashboards import asked, catalogue, macros
from serving_layer.dashboards.check import columns_missing
from serving_layer.dashboards.fleet import fleets, tables
from serving_layer.day_quality import day_quality
from speed_layer import session as streaming
from speed_layer import tables as speed_tables
from speed_layer.run import Queries, run
from stack.instance import Instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # pyspark leaves its sockets to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OURS = registry.entry("half_hourly")
SERIES = replace(OURS.declaration, name=f"hh{uuid.uuid4().hex[:8]}")
PRESENTATION = OURS.presentation()
HALF_HOUR = timedelta(minutes=30)
LIVE, LATE = range(5), range(13, 17)
"""Half hours before the present one that arrive in time for the speed layer, and too late for it: it waits for ten."""
MASTER = "local[2]"
START, DAYS, METERS = date(2021, 3, 27), 3, 13  # clocks go forward on the second day
LAST = START + timedelta(days=DAYS - 1)
registers = OURS.vee().registers
assert registers is not None
REGISTER = shapes.reference(SERIES, registers.reference)
TARIFFS = """
[[vat]]
from = 1997-09-01
rate = 0.05

[[tariff]]
name = "Night and day"
products = ["*"]
valid_from = 2018-01-01
standing_charge = 0.2351

[[tariff.band]]
name = "night"
from = 00:30:00
to = 07:30:00
price = 0.0912

[[tariff.band]]
name = "day"
price = 0.1869
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half-hourly")
    OURS.generator().write(Made(folder, METERS, START, DAYS, seed=3))
    return folder


@pytest.fixture(scope="module")
def truth(sample: Path) -> Truth:
    return Truth(good_files(sample / "readings"), sample / "reference.db")


@pytest.fixture(scope="module")
def live(stack: Instance, settings: Settings) -> Iterator[Settings]:
    """Settings, and a session that is held open, so that every command finds it open."""
    small = settings.model_copy(update={"spark_master": MASTER})
    with engine.session(small, "half-hourly", streaming.options(small)) as session:
        session.conf.set("spark.sql.adaptive.enabled", "true")  # as in a session that does not stream
        yield small
        layers.forget(small, SERIES)
        forget(small)
    gc.collect()


def forget(settings: Settings) -> None:
    wanted = [shapes.reference(SERIES, one) for one in PRESENTATION.references]
    wanted += [shapes.table(SERIES, one) for one in PRESENTATION.tables]
    with metastore.client(settings) as client:
        wanted += [make(SERIES, OURS.vee()) for make in (vee_shapes.findings, vee_shapes.estimates, vee_shapes.days)]
        wanted += [vee_shapes.runs(SERIES), cost_shapes.costs(SERIES), cost_shapes.runs(SERIES), REGISTER]
        for view in ("validated", "validated_days"):
            metastore.drop_table(client, "vee", f"{SERIES.name}_{view}")
        for shape in (*wanted, shapes.staging(SERIES, PRESENTATION), shapes.runs(SERIES)):
            metastore.drop_table(client, shape.database, shape.name)
            hdfs.client(settings).delete(f"/meterlake/delta/{shape.database}/{shape.name}", recursive=True)


SCREENS = (
    "generate half_hourly --out {folder} --meters 3 --days 1",
    "reference {name} {sample}/reference.db",
    "batch {name}",
    "present {name} --as-of 2021-03-27",
    "present {name}",
    "vee {name}",
    "cost {name} --tariffs {tariffs}",
    "bill {name} {meter} --from 2021-03-27 --to 2021-03-29",
    "explain {name} {meter} {estimated}",
    "lineage {name} staging",
    "lineage {name} presentation.consumption_per_product_per_day --where \"day = DATE '2021-03-28'\"",
    "export {name} --format nem12 --out {folder}/readings.nem12",
    "verify {name}",
)


@pytest.fixture(autouse=True)
def known(live: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("METERLAKE_SPARK_MASTER", MASTER)  # a stream would have another one than the rest
    (form,) = OURS.data_set.formats
    assert isinstance(form, JsonTable)
    parts = DataSet(
        declaration=SERIES,
        formats=(replace(form, dataset=SERIES),),
        presentation=PRESENTATION,
        vee=OURS.vee(),
        reports=REPORTS,
    )
    with registry.added(parts):
        yield


def check(settings: Settings, truth: Truth, as_of: date = LAST) -> None:
    """Every table must hold, as Trino reads it, what the files say, and nothing else."""
    for name, wanted in truth.tables(as_of).items():
        rows = trino.rows(settings, f"SELECT {COLUMNS[name]} FROM delta.presentation.{SERIES.name}_{name}")
        assert sorted((tuple(row) for row in rows), key=repr) == wanted, name


def answer(said: str) -> list[dict[str, Any]]:
    """Return what a command has answered as JSON, whatever it said before or on the error stream."""
    begin = said.index("[\n") if "[\n" in said else said.index("[")
    result: list[dict[str, Any]] = json.JSONDecoder().raw_decode(said, begin)[0]
    return result


# The tests below are one story and run in this order.


def test_1_bad_files_are_named_and_stop_no_other(
    settings: Settings, meterlake: Command, sample: Path, truth: Truth
) -> None:
    code, said = meterlake("load", SERIES.name, str(sample / "readings"), "--skip-bad-files")
    assert code == 1, said
    for name in ("a_page.json", "cut_off.json"):
        assert name in said, said
    rows = trino.rows(settings, f"SELECT count(DISTINCT (meter_id, ts)) FROM iceberg.master.{SERIES.name}")
    assert rows == [[len(truth.readings())]]


def test_2_a_batch_says_what_is_missing_and_publishes_its_views(meterlake: Command) -> None:
    code, said = meterlake("batch", SERIES.name)
    assert code == 0, said
    assert "Nothing has been loaded into agreement, product, meterpoint" in said


def test_3_reference_tables_and_all_that_is_made_with_them(
    meterlake: Command, live: Settings, sample: Path, truth: Truth
) -> None:
    code, said = meterlake("reference", SERIES.name, str(sample / "reference.db"), "--output", "json")
    assert code == 0, said
    code, said = meterlake("batch", SERIES.name)
    assert code == 0, said
    assert "nothing has changed" in said
    check(live, truth)
    code, said = meterlake("present", SERIES.name, "--as-of", str(START))
    assert code == 0, said
    check(live, truth, as_of=START)


def test_4_a_correction_reaches_every_table_and_the_past_can_be_asked_for(
    meterlake: Command, live: Settings, sample: Path, truth: Truth
) -> None:
    then = system_clock()
    moved = START + timedelta(days=2)
    with closing(sqlite3.connect(sample / "reference.db")) as connection, connection:
        connection.execute("UPDATE agreement SET agreement_valid_from = ? WHERE agreement_id = 2", [moved.isoformat()])
        connection.execute("DELETE FROM meterpoint WHERE meterpoint_id = (SELECT min(meterpoint_id) FROM meterpoint)")
    connection.close()
    truth.references(sample / "reference.db")
    for words in (("reference", SERIES.name, str(sample / "reference.db")), ("present", SERIES.name)):
        code, said = meterlake(*words)
        assert code == 0, said
    check(live, truth)
    sql = f"SELECT count(*) AS rows FROM delta.reference.{SERIES.name}_agreement"
    now, before = ({}, {"--as-of": f"{then:%Y-%m-%dT%H:%M:%S}"})
    counts = []
    for options in (now, before):
        code, said = meterlake("query", sql, "--output", "json", *(word for pair in options.items() for word in pair))
        assert code == 0, said
        counts.append(answer(said)[0]["rows"])
    assert counts[0] == counts[1] + 1


@pytest.mark.slow
def test_4_rows_lead_back_to_their_run_and_a_run_says_what_it_did(
    meterlake: Command, live: Settings, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERLAKE_LINEAGE", str(tmp_path / "events.jsonl"))
    for words in (("reference", SERIES.name, str(sample / "reference.db")), ("present", SERIES.name, "--full")):
        code, said = meterlake(*words)
        assert code == 0, said
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        (f"{SERIES.name}.{job}", state) for job in ("reference", "present") for state in ("START", "COMPLETE")
    ]
    counts = {one["name"]: one["outputFacets"]["outputStatistics"]["rowCount"] for one in events[-1]["outputs"]}
    assert counts[f"delta.staging.{SERIES.name}"] == 0  # nothing has changed
    assert events[-1]["run"]["facets"]["externalQuery"]["externalQueryId"]
    moved = START + timedelta(days=2)
    code, said = meterlake("lineage", SERIES.name, "staging", "--where", f"day >= DATE '{moved}'", "--output", "json")
    assert code == 0, said
    corrected, first = answer(said)
    runs = trino.rows(live, f"SELECT run_id FROM delta.presentation.{SERIES.name}_runs")
    assert {corrected["run"], first["run"]} <= {run for (run,) in runs}
    assert corrected["rows"] > 0
    assert corrected["code"] == version("meterlake")
    assert corrected["inputs"][0].startswith("batch run ")
    assert {words.split()[0] for words in corrected["inputs"][1:]} == {"agreement", "meterpoint", "product"}
    rows = trino.rows(live, f"SELECT count(*) FROM delta.staging.{SERIES.name} WHERE day >= DATE '{moved}'")
    assert first["rows"] == rows[0][0]  # the first run wrote them all


def gaps_of(truth: Truth) -> dict[str, list[tuple[datetime, datetime]]]:
    """Return meter -> its gaps, from the files."""
    result: dict[str, list[tuple[datetime, datetime]]] = {}
    for (meter, before), (other, after) in pairwise(sorted((meter, start) for meter, start, _ in truth.readings())):
        if meter == other and after > before + HALF_HOUR:
            result.setdefault(meter, []).append((before + HALF_HOUR, after))
    return result


def reads_of(sample: Path, meter: str) -> list[tuple[datetime, Decimal]]:
    with closing(sqlite3.connect(sample / "reference.db")) as connection, connection:
        query = "SELECT read_at, reading_kwh FROM register_read WHERE meterpoint_id = ? ORDER BY 1"
        rows = connection.execute(query, [meter]).fetchall()
    connection.close()
    return [(datetime.fromisoformat(at), Decimal(shown)) for at, shown in rows]


def test_5_what_is_missing_is_estimated_and_named(
    meterlake: Command, live: Settings, sample: Path, truth: Truth
) -> None:
    gaps, name = gaps_of(truth), SERIES.name
    estimates = trino.rows(
        live, f"SELECT meter_id, interval_start, method, gap_begins, gap_ends FROM delta.vee.{name}_estimates"
    )
    assert {(row[0], row[3], row[4]) for row in estimates} == {(m, *gap) for m, some in gaps.items() for gap in some}
    assert {row[2] for row in estimates} >= {"linear", "group_profile+register", "linear+register"}
    for meter, some in gaps.items():
        total = sum((end - begin for begin, end in some), timedelta(0))
        sums = trino.rows(
            live,
            f"SELECT sum(consumption_best), sum(consumption_measured), sum(consumption_estimated), sum(estimated_s)"
            f" FROM hive.vee.{name}_validated_days WHERE meter_id = ?",
            [meter],
        )[0]
        measured = sum(kwh for other, _, kwh in truth.readings() if other == meter)
        assert (sums[1], sums[3]) == (measured, total.total_seconds())
        assert sums[0] == sums[1] + sums[2]
        if reads := reads_of(sample, meter):
            assert sums[0] == reads[-1][1] - reads[0][1]  # to the watt-hour
    meter = next(
        meter for meter in gaps if reads_of(sample, meter) and gaps[meter][0][1] - gaps[meter][0][0] > HALF_HOUR
    )
    begin = gaps[meter][0][0]
    code, said = meterlake("explain", name, meter, f"{begin:%Y-%m-%dT%H:%M}", "--output", "json")
    assert code == 0, said
    (explained,) = answer(said)
    assert explained["estimate"]["method"] == "group_profile+register"
    assert "scaled to the register's advance of" in explained["estimate"]["inputs"]
    assert [result["rule"] for result in explained["findings"]] == ["missing"]


def test_6_costs_and_bills_are_exact(meterlake: Command, live: Settings, sample: Path, tmp_path: Path) -> None:
    (tmp_path / "tariffs.toml").write_text(TARIFFS)
    name = SERIES.name
    code, said = meterlake("cost", name, "--tariffs", str(tmp_path / "tariffs.toml"), "--output", "json")
    assert code == 0, said
    best = trino.rows(
        live,
        f"SELECT v.meter_id, v.day, v.interval_start, v.consumption_best FROM hive.vee.{name}_validated v"
        f" WHERE EXISTS (SELECT 1 FROM delta.staging.{name} s WHERE s.meter_id = v.meter_id AND s.day = v.day"
        f" AND s.product_id IS NOT NULL)",
    )
    wanted: dict[tuple[str, date, str], Decimal] = {}
    for meter, day, start, kwh in best:
        wall = start.replace(tzinfo=UTC).astimezone(ZoneInfo("Europe/London")).time()
        part, price = ("night", "0.0912") if time(0, 30) <= wall < time(7, 30) else ("day", "0.1869")
        wanted[meter, day, part] = wanted.get((meter, day, part), Decimal(0)) + kwh * Decimal(price)
        wanted[meter, day, "standing charge"] = Decimal("0.2351")
    rows = trino.rows(
        live, f"SELECT meter_id, day, part, sum(amount) FROM delta.presentation.{name}_cost GROUP BY 1, 2, 3"
    )
    assert {tuple(row[:3]): row[3] for row in rows} == wanted
    meter = max(meter for meter, *_ in wanted)
    days = ("--from", str(START), "--to", str(LAST))
    code, said = meterlake("bill", name, meter, *days, "--output", "json")
    assert code == 0, said
    (made,) = answer(said)
    cent = Decimal("0.01")
    nets = [
        sum(amount for (who, _, what), amount in wanted.items() if (who, what) == (meter, part)).quantize(
            cent, ROUND_HALF_UP
        )
        for part in ("standing charge", "day", "night")
    ]
    assert sorted(Decimal(line["net"]) for line in made["lines"]) == sorted(nets)
    vat = (sum(nets) * Decimal("0.05")).quantize(cent, ROUND_HALF_UP)
    assert Decimal(made["total"]) == sum(nets) + vat
    code, said = meterlake("bill", name, meter, *days, "--output", "html", "--out", str(tmp_path / "bill.html"))
    assert code == 0, said
    page = (tmp_path / "bill.html").read_text()
    assert f'<td class="number">£{made["total"]}</tr>' in page
    code, said = meterlake("cost", name, "--tariffs", str(tmp_path / "tariffs.toml"), "--output", "json")
    assert (code, answer(said)[0]["meter_months"]) == (0, 0), said
    (tmp_path / "tariffs.toml").write_text(TARIFFS.replace("0.0912", "0.0913"))
    code, said = meterlake("cost", name, "--tariffs", str(tmp_path / "tariffs.toml"))
    assert (code, "has costs up to" in said) == (1, True), said


@pytest.mark.slow
def test_6_screens_are_as_they_were_looked_at(
    surroundings: None, live: Settings, sample: Path, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tariffs.toml").write_text(TARIFFS)
    monkeypatch.chdir(tmp_path)  # where the name of a whole path is folded depends on how long it is
    meter, ((begin, _), *_) = min(gaps_of(truth).items())
    names = {"name": SERIES.name, "sample": sample, "folder": Path(), "tariffs": "tariffs.toml"}
    screens = screen_samples.taken(
        monkeypatch, SCREENS, {**names, "meter": meter, "estimated": f"{begin:%Y-%m-%dT%H:%M}"}
    )
    for (command, width), text in screens.items():
        assert screen_samples.too_wide(text, width) == [], (command, width)
    screen_samples.assert_as_stored(screens, SCREENS, "half_hourly", {SERIES.name: "NAME", meter: "METER"})


@pytest.mark.slow
def test_6_prices_of_the_past_change_only_where_that_is_asked_for(
    meterlake: Command, live: Settings, tmp_path: Path
) -> None:
    name, file = SERIES.name, tmp_path / "tariffs.toml"
    file.write_text(TARIFFS.replace("0.0912", "0.0913"))
    query = f"SELECT meter_id, day, product_id, part, kwh, amount FROM delta.presentation.{name}_cost"
    before = {tuple(row[:5]): row[5] for row in trino.rows(live, query)}
    code, said = meterlake("cost", name, "--tariffs", str(file))
    assert (code, "--reprice" in said) == (1, True), said
    assert {tuple(row[:5]): row[5] for row in trino.rows(live, query)} == before
    code, said = meterlake("cost", name, "--tariffs", str(file), "--reprice", "--output", "json")
    assert code == 0, said
    nights = [key for key in before if key[3] == "night"]
    (row,) = answer(said)
    assert (row["inserted"], row["updated"], row["deleted"]) == (0, len(nights), 0)
    wanted = before | {key: key[4] * Decimal("0.0913") for key in nights}
    assert {tuple(row[:5]): row[5] for row in trino.rows(live, query)} == wanted


@pytest.mark.slow
def test_6_reports_and_dashboards_show_what_the_tables_hold(
    meterlake: Command, live: Settings, truth: Truth, tmp_path: Path
) -> None:
    wanted: dict[tuple[str, str], Decimal] = {}
    for day, _, name, kwh, *_ in truth.tables(LAST)["consumption_per_product_per_day"]:
        key = (str(day), name or "no agreement")
        wanted[key] = wanted.get(key, Decimal(0)) + kwh
    code, said = meterlake("report", SERIES.name, "products", "--out", str(tmp_path / "products.csv"))
    assert code == 0, said
    with (tmp_path / "products.csv").open() as file:
        shown = {row.pop("time"): row for row in csv.DictReader(file)}
    for day in {day for day, _ in wanted}:
        total = sum(kwh for (other, _), kwh in wanted.items() if other == day)
        assert sum(float(value) for value in shown[day].values() if value) == pytest.approx(float(total), abs=1e-9)
        for name, value in shown[day].items():
            if value and name != "all others":
                assert float(value) == pytest.approx(float(wanted[day, name]), abs=1e-9)
    since, until = (datetime.combine(day, time(0), UTC) for day in (START, LAST + timedelta(days=1)))
    board = catalogue.Board(catalogue.CONSUMPTION, tables(SERIES).build())
    queries = list(asked.queries([board], ()))
    assert len(queries) == len(fleets(SERIES)) == 6
    for one in queries:
        names, rows = trino.select(live, macros.trino(one.query, macros.Dashboard(since, until)))
        assert rows, one.where
        assert columns_missing(one.query, names, rows) == "", one.where


@pytest.mark.slow
def test_7_a_late_reading_takes_the_place_of_its_estimate(
    meterlake: Command, live: Settings, truth: Truth, tmp_path: Path
) -> None:
    name, gaps = SERIES.name, gaps_of(truth)
    meter, start = next((meter, some[0][0]) for meter, some in gaps.items() if len(some) == 1)
    count = f"SELECT count(*) FROM delta.vee.{name}_estimates WHERE meter_id = ? AND interval_start = ?"
    assert trino.rows(live, count, [meter, start]) == [[1]]
    columns = ["interval_start", "consumption_delta", "meterpoint_id"]
    late = {"columns": columns, "data": [[f"{start:%Y-%m-%d %H:%M:%S}", 0.321, meter]]}
    (tmp_path / "late.json").write_text(json.dumps(late))
    for words in (("load", name, str(tmp_path / "late.json")), ("batch", name)):
        code, said = meterlake(*words)
        assert code == 0, said
    assert trino.rows(live, count, [meter, start]) == [[0]]
    best = f"SELECT consumption_best, quality, estimated_s FROM hive.vee.{name}_validated"
    assert trino.rows(live, f"{best} WHERE meter_id = ? AND interval_start = ?", [meter, start]) == [
        [Decimal("0.321"), "measured", 0]
    ]
    truth.add([(start, "0.321", meter)])
    check(live, truth)


def test_8_a_report_says_how_complete_and_right_days_are(
    meterlake: Command, live: Settings, truth: Truth, tmp_path: Path
) -> None:
    code, said = meterlake("vee", SERIES.name, "--report", str(tmp_path / "days.html"), "--output", "json")
    assert code == 0, said
    result = day_quality(live, SERIES, PRESENTATION)
    readings = "SELECT DISTINCT meter, start FROM readings"
    query = f"SELECT day, count(*) FROM ({readings}) JOIN calendar USING (start) GROUP BY 1"
    counts = dict(truth.base.execute(query).fetchall())
    lengths = {START: 48, START + timedelta(days=1): 46, LAST: 48}
    assert {row["day"]: row["intervals"] for row in result.days} == counts
    assert {row["day"]: row["expected"] for row in result.days} == {day: n * METERS for day, n in lengths.items()}
    for row in result.days:
        assert row["intervals"] + row["estimated"] == row["expected"]
        assert row["late"] == row["intervals"]  # files of years ago
    listed = {(day, meter): row for day, meter, *row in truth.tables(LAST)["readings_to_look_at"]}
    for row in result.worst:
        flagged = listed.get((row["day"], row["meter_id"]), [0] * 4)
        assert row["without_reference"] == max(flagged[1], flagged[3]), row
    page = (tmp_path / "days.html").read_text()
    assert f"<td>{START}<td>{METERS}<td>" in page


@pytest.mark.slow
def test_9_upkeep_changes_no_row(meterlake: Command, live: Settings, truth: Truth) -> None:
    code, said = meterlake("maintain", SERIES.name, "--output", "json")
    assert code == 0, said
    kept = {row["table"]: row for row in answer(said)}
    assert kept[f"delta.staging.{SERIES.name}"]["files_before"] >= kept[f"delta.staging.{SERIES.name}"]["files_after"]
    check(live, truth)
    code, said = meterlake("present", SERIES.name, "--output", "json")
    assert code == 0, said
    assert all(row["inserted"] + row["updated"] + row["deleted"] == 0 for row in answer(said))


def test_10_what_cannot_be_read_changes_nothing(meterlake: Command, tmp_path: Path) -> None:
    for source, says in [
        (str(tmp_path / "none.db"), "is no file"),
        ("postgres9://host/base", "cannot be opened"),
        (str(Path(__file__)), "file is not a database"),
    ]:
        code, said = meterlake("reference", SERIES.name, source)
        assert (code, says in said) == (1, True), said


@pytest.mark.slow
def test_11_readings_from_kafka_are_seen_at_once_and_reach_the_same_tables(
    meterlake: Command, live: Settings, sample: Path, truth: Truth
) -> None:
    meters = ("live-1", "live-2")
    with closing(sqlite3.connect(sample / "reference.db")) as connection, connection:
        ((product,),) = connection.execute("SELECT min(product_id) FROM product")
        connection.executemany("INSERT INTO meterpoint VALUES ('London', ?)", [(meter,) for meter in meters])
        rows = [(9000 + place, "2020-01-01", None, product, meter, "a") for place, meter in enumerate(meters)]
        connection.executemany("INSERT INTO agreement VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    truth.references(sample / "reference.db")
    latest = int(system_clock().timestamp()) // 1800 * 1800
    sent = [
        Reading(meter, latest - 1800 * back, 1800, ((100 * place + back + 1) / 1000,))
        for place, meter in enumerate(meters)
        for back in (*LIVE, *LATE)
    ]
    topics.ensure(live, SERIES)
    speed_tables.apply(live, SERIES)
    samples.send(live, SERIES.readings_topic, [(one.meter_id, wire.encode(SERIES, one)) for one in sent])
    with engine.session(live, conf=streaming.options(live)) as session, engine.planned_once(session):
        run(live, SERIES, Queries(archive=True, views=True, once=True), system_clock)
    with cassandra.session(live) as session:
        rows = list(session.execute(f"SELECT meter_id, half_hour, consumption_sum FROM speed.{SERIES.name}_half_hour"))
    seen = {(row[0], int(row[1].replace(tzinfo=UTC).timestamp())): row[2] for row in rows}
    assert seen == {
        (meter, latest - 1800 * back): 100 * place + back + 1 for place, meter in enumerate(meters) for back in LIVE
    }
    for words in (("reference", SERIES.name, str(sample / "reference.db")), ("batch", SERIES.name)):
        code, said = meterlake(*words)
        assert code == 0, said
    times = {one.ts: datetime.fromtimestamp(one.ts, UTC).replace(tzinfo=None) for one in sent}
    truth.add((times[one.ts], str(one.values[0]), one.meter_id) for one in sent)
    check(live, truth, as_of=datetime.fromtimestamp(latest, ZoneInfo("Europe/London")).date())
    code, said = meterlake("runs", SERIES.name, "-n", "1", "--output", "json")
    assert code == 0, said
    boundary = datetime.fromisoformat(answer(said)[0]["boundary"]).replace(tzinfo=None)
    merged = trino.rows(
        live,
        f"SELECT meter_id, half_hour, consumption_sum, source FROM hive.merged.{SERIES.name}_half_hour"
        f" WHERE meter_id IN ('live-1', 'live-2') ORDER BY 1, 2",
    )
    assert [tuple(row) for row in merged] == [
        (one.meter_id, times[one.ts], Decimal(str(one.values[0])), "batch" if times[one.ts] < boundary else "speed")
        for one in sorted(sent, key=lambda one: (one.meter_id, one.ts))
    ]
    assert [row[3] for row in merged] == [*["batch"] * len(LATE), *["speed"] * len(LIVE)] * len(meters)
