"""Telecom, ingest: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "telecom_ingest",
    "telecom",
    cron="0 * * * *",
    time_zone="Africa/Cairo",
    given=[],
    retries=3,
    pause_s=60,
    deadline_s=3600,
):
    land = task(
        "land",
        "meterlake land telecom",
        makes="telecom_landed",
    )
