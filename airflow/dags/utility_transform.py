"""Electric utility, transform: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "utility_transform",
    "utility",
    asset="utility_landed",
    time_zone="Asia/Karachi",
    given=[],
    retries=3,
    pause_s=60,
    deadline_s=3600,
):
    batch = task(
        "batch",
        "meterlake batch utility",
        makes="utility_gold",
    )
