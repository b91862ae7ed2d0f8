"""Half-hourly smart meters, load to upkeep: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "half_hourly",
    "half_hourly",
    cron="0 0 * * *",
    time_zone="Europe/London",
    given=["half_hourly_files", "half_hourly_reference"],
    retries=3,
    pause_s=60,
    deadline_s=14400,
):
    load = task(
        "load",
        "meterlake load half_hourly --skip-bad-files",
        given="half_hourly_files",
    )
    reference = task(
        "reference",
        "meterlake reference half_hourly",
        given="half_hourly_reference",
    )
    stage = task(
        "stage",
        "meterlake batch half_hourly --views-only",
        backfill="utc",
        always=True,
        after=[load, reference],
    )
    vee = task(
        "vee",
        "meterlake vee half_hourly",
        after=[stage],
    )
    present = task(
        "present",
        "meterlake present half_hourly",
        backfill="local",
        after=[vee],
    )
    cost = task(
        "cost",
        "meterlake cost half_hourly",
        after=[present],
    )
    maintain = task(
        "maintain",
        "meterlake maintain half_hourly",
        after=[cost, load, reference],
    )
