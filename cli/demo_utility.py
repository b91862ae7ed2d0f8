"""``meterlake demo utility``: two years of three databases become figures and predictions, go on, and back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

from cli.demo_telecom import start_lakehouse
from cli.output import Output, progress_console, report_progress, show
from cli.tale import DemoFailed, Tale
from meterlake import registry
from meterlake.clock import system_clock
from meterlake.lakehouse.sources import Play, Played

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.history import Record
    from meterlake.dataset import LakehouseEntry
    from meterlake.settings import Settings
    from stack.instance import Instance

# Names in statements are ours.
# ruff: noqa: S608
NAME: Final = "utility"
CUSTOMERS, DAYS, MONTH, SEED = 2_000, 730, 30, 7
START: Final = date(2024, 9, 1)
FAULTS: Final = {"missing": 0.002, "unknown_feeder": 0.002}
GOLD: Final = f"lake.{NAME}_gold"


@dataclass(frozen=True)
class _Show:
    """What the steps share."""

    settings: Settings
    entry: LakehouseEntry
    output: Output

    @property
    def urls(self) -> dict[str, str]:
        return self.settings.source_urls(NAME, self.entry.declaration.databases)

    def table(self, rows: list[dict[str, object]]) -> None:
        if self.output is Output.TEXT:
            show(rows, self.output)


def run(settings: Settings, instance: Instance, tale: Tale, out: Path, output: Output, scale: float) -> None:
    """Show it. Raises DemoFailed where something is not as it should be."""
    from engines import spark

    shown = _Show(settings, registry.required_lakehouse(NAME), output)
    with tale.step("Start the servers") as outcome:
        outcome["proved"] = start_lakehouse(instance)
    with tale.step("CRM, OMS and billing live for two years") as outcome:
        outcome["proved"] = _make(shown, scale)
    with tale.step("Land the three databases") as outcome:
        outcome["proved"] = f"{_land(shown):,} rows"
    with spark.session(settings, "lakehouse") as session:
        with tale.step("Bronze, silver and gold on a branch; audited, merged") as outcome:
            first = _run(shown, session)
            outcome["proved"] = _balance(first)
        with tale.step("Train: will a feeder have an outage tomorrow?") as outcome:
            outcome["proved"] = _train(shown)
        with tale.step("A month goes by, with corrections, deletions and faults") as outcome:
            played = shown.entry.sources().play(Play(shown.urls, MONTH, faults=FAULTS))
            outcome["proved"] = _happened(played)
        with tale.step("The second run reads what is new") as outcome:
            landed, second = _land(shown), _run(shown, session)
            _check(played, second)
            outcome["proved"] = f"{landed:,} rows landed; {_balance(second)}"
    with tale.step("Figures") as outcome:
        outcome["proved"] = _figures(shown, out, played.until)
    with tale.step("What was predicted, and what came") as outcome:
        outcome["proved"] = _predicted(shown)
    with tale.step("DuckDB computes all of it again by its own SQL") as outcome:
        outcome["proved"] = _verify(shown)
    with tale.step("Readers go back to the first run, and forward again") as outcome:
        outcome["proved"] = _back_and_forward(shown, (first.run, second.run))


def _make(shown: _Show, scale: float) -> str:
    """Make the sources; those of an earlier demo go on by a day, so that there is news."""
    there = [Path(url.removeprefix("sqlite:///")).is_file() for url in shown.urls.values()]
    if all(there):
        played = shown.entry.sources().play(Play(shown.urls, 1))
        return f"they were there, and live for a day: until {played.until}"
    for url in shown.urls.values():
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    customers = max(200, round(CUSTOMERS * scale))
    played = shown.entry.sources().play(Play(shown.urls, DAYS, START, customers, SEED))
    return f"{customers:,} customers, {_happened(played)}"


def _happened(played: Played) -> str:
    total = {
        what: sum(counts[what] for counts in played.tables.values()) for what in ("new", "changed", "deleted", "wrong")
    }
    return f"until {played.until}: " + ", ".join(f"{count:,} {what}" for what, count in total.items() if count)


def _land(shown: _Show) -> int:
    from lakehouse.landing import from_database

    records = shown.entry.declaration.records
    request = from_database.Request(NAME, records, shown.urls, system_clock)
    return from_database.land(shown.settings, request, Event()).total()


def _run(shown: _Show, session: SparkSession) -> Record:
    from lakehouse import lease
    from lakehouse.run import Run

    with lease.held(shown.settings, NAME, "demo") as held:
        run = Run(shown.settings, session, shown.entry.declaration, held, system_clock, report_progress)
        record = run.execute()
    if record is None:
        raise DemoFailed("The run found nothing that was landed.", hint="Somebody else has run it: do it again.")
    return record


def _balance(record: Record) -> str:
    total = record.total
    parts = " + ".join(f"{count:,} {name}" for name, count in total.items() if name != "read" and count)
    return f"read {total['read']:,} = {parts}; {record.seconds:g} s"


def _check(played: Played, record: Record) -> None:
    """Compare what became of events with the account of the sources."""
    for event in registry.required_lakehouse(NAME).declaration.events:
        counts, account = record.counts[event.name], played.tables[event.name]
        read = sum(account[what] for what in ("new", "changed", "deleted"))
        if counts["read"] != read or counts["superseded"] < account["changed"] + account["deleted"]:
            raise DemoFailed(
                f"Of {event.name} came {counts}; the sources have {account}.", hint="See `meterlake runs utility`."
            )


def _train(shown: _Show) -> str:
    if find_spec("sklearn") is None or find_spec("skops") is None:
        return "left out: `uv pip install 'meterlake[prediction]'` brings what models need"
    from cli.predict_command import compared
    from lakehouse import lease
    from lakehouse.prediction.train import train

    declared = shown.entry.declaration
    (prediction,) = declared.predictions
    with lease.held(shown.settings, NAME, "demo") as held:
        model = train(shown.settings, declared, prediction, held, system_clock)
    columns = ("model", "kept", "f1", "average_precision")
    shown.table([{name: row[name] for name in columns} for row in compared(model)])
    result = model.content["results"][model.algorithm]
    return (
        f"{model.algorithm}: F1 {result['f1']['value']:.2f}, average precision"
        f" {result['average_precision']['value']:.2f}; base rate {model.content['base_rate']:.2f}"
    )


def _figures(shown: _Show, out: Path, until: date) -> str:
    """Show figures of the last year, and a picture of all months."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from lakehouse.kpi import figure

    def ask(name: str, by: str, since: date | None = None) -> list[dict[str, object]]:
        return figure(shown.settings, shown.entry.declaration, name, (by,), (since, until))

    year = until - timedelta(days=365)
    rows: dict[object, dict[str, object]] = {}
    for name in ("saifi", "saidi", "caidi", "distribution_loss", "collection_efficiency"):
        for row in ask(name, "region", year):
            rows.setdefault(row["region"], {"region": row["region"]})[name] = _rounded(row[name])
    shown.table(list(rows.values()))
    months = [(str(row["month"]), float(str(row["saidi"]))) for row in ask("saidi", "month")]
    shares = {str(row["cause"]): float(str(row["share_by_cause"])) for row in ask("share_by_cause", "cause")}
    causes = sorted((share, cause.replace("_", " ")) for cause, share in shares.items() if share)
    picture, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    left.bar([f"{month[:4]}-{month[4:]}" for month, _ in months], [minutes for _, minutes in months], color="#4c78a8")
    left.set(title="Minutes without supply a customer served (SAIDI)", ylabel="min")
    left.tick_params(axis="x", rotation=90)
    right.barh([cause for _, cause in causes], [share for share, _ in causes], color="#f58518")
    right.set(title="Unplanned outages by cause", xlabel="share")
    out.mkdir(parents=True, exist_ok=True)
    picture.savefig(out / "utility.png", dpi=110)
    plt.close(picture)
    progress_console.print(str(out / "utility.png"), markup=False)
    return f"five by region from {year} on; a picture in {out}"


def _rounded(value: object) -> float | None:
    return None if value is None else round(float(str(value)), 2)


def _predicted(shown: _Show) -> str:
    from engines import trino
    from lakehouse.kpi import figure

    names = ("predicted_hits", "predicted_misses", "predicted_false_alarms", "share_on_predicted")
    declared = shown.entry.declaration
    row = {name: figure(shown.settings, declared, name, (), (None, None))[0][name] for name in names}
    worst = trino.select(
        shown.settings,
        f"""SELECT date_sk, feeder_id, round(probability, 2) AS probability, reason_1, reason_2, reason_3
FROM {GOLD}.outage_predictions WHERE date_sk = (SELECT max(date_sk) FROM {GOLD}.outage_predictions)
ORDER BY probability DESC LIMIT 5""",
    )
    if not worst[1]:
        return "no model, no predictions"
    shown.table([row | {"share_on_predicted": _rounded(row["share_on_predicted"])}])
    shown.table([dict(zip(worst[0], one, strict=True)) for one in worst[1]])
    return (
        f"{row['predicted_hits']} hits, {row['predicted_misses']} misses, {row['predicted_false_alarms']} false alarms"
    )


def _verify(shown: _Show) -> str:
    from lakehouse.verify import verify

    rows = verify(shown.settings, shown.entry.declaration, shown.entry.verification())
    if different := [row for row in rows if not row["equal"]]:
        raise DemoFailed(f"DuckDB comes to something else: {different}.", hint="`meterlake verify utility` shows it.")
    return f"verdicts and facts are equal, row by row: {sum(row['rows'] for row in rows):,} rows"


def _back_and_forward(shown: _Show, runs: tuple[str, str]) -> str:
    from engines import trino
    from lakehouse import history, lease

    seen = []
    with lease.held(shown.settings, NAME, "demo"):
        for run in runs:
            history.roll_back(shown.settings, NAME, run)
            seen += [trino.rows(shown.settings, f"SELECT count(*), max(date_sk) FROM {GOLD}.fact_outage")[0]]
    if seen[0] == seen[1] or seen[1][1] <= seen[0][1]:
        raise DemoFailed(f"Outages were {seen} before and after.", hint="See `meterlake runs utility`.")
    return " → ".join(f"{count:,} outages until {until}" for count, until in seen)
