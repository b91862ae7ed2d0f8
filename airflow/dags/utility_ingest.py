"""Electric utility, ingest: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "utility_ingest",
    "utility",
    cron="0 * * * *",
    time_zone="Asia/Karachi",
    given=[],
    retries=3,
    pause_s=60,
    deadline_s=3600,
):
    land = task(
        "land",
        "meterlake land utility",
        makes="utility_landed",
    )
