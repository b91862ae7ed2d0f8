"""Telecom, transform: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "telecom_transform",
    "telecom",
    asset="telecom_landed",
    time_zone="Africa/Cairo",
    given=[],
    retries=3,
    pause_s=60,
    deadline_s=3600,
):
    batch = task(
        "batch",
        "meterlake batch telecom",
        makes="telecom_gold",
    )
