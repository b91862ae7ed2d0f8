"""Electric utility, model: a DAG for Airflow, which `meterlake dags` makes of the declaration."""

from meterlake_flow import dag, task

with dag(
    "utility_model",
    "utility",
    asset="utility_gold",
    time_zone="Asia/Karachi",
    given=[],
    retries=3,
    pause_s=60,
    deadline_s=3600,
):
    verify = task(
        "verify",
        "meterlake verify utility",
    )
    maintain = task(
        "maintain",
        "meterlake maintain utility",
        after=[verify],
    )
