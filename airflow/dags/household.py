"""Household power consumption, load to upkeep: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "household",
    "household",
    cron="0 0 * * *",
    time_zone="Europe/Paris",
    given=["household_files"],
    retries=3,
    pause_s=60,
    deadline_s=14400,
):
    load = task(
        "load",
        "meterlake load household --skip-bad-files",
        given="household_files",
    )
    stage = task(
        "stage",
        "meterlake batch household --views-only",
        backfill="utc",
        always=True,
        after=[load],
    )
    maintain = task(
        "maintain",
        "meterlake maintain household",
        after=[stage, load],
    )
