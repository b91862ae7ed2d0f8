"""Telecom, model: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "telecom_model",
    "telecom",
    asset="telecom_gold",
    time_zone="Africa/Cairo",
    given=[],
    retries=3,
    pause_s=60,
    deadline_s=3600,
):
    verify = task(
        "verify",
        "meterlake verify telecom",
    )
    clickhouse = task(
        "clickhouse",
        "meterlake clickhouse telecom",
        after=[verify],
    )
    maintain = task(
        "maintain",
        "meterlake maintain telecom",
        after=[verify, clickhouse],
    )
