"""What the DAGs in ``airflow/dags`` are made with. It runs in Airflow's own Python and imports nothing of meterlake."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import urllib.request
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, AsyncCallback, DeadlineAlert, DeadlineReference, Param
from airflow.sdk.definitions.context import Context
from airflow.timetables.interval import CronDataIntervalTimetable

_LONGEST_PAUSE = timedelta(minutes=15)
_SKIPPED = 99
# A scheduled run computes what is new; a backfill the days of its interval, which is a local day.
_BACKFILL = {
    "": "",
    "utc": "{% if dag_run.run_type == 'backfill' %}"
    " --since {{ data_interval_start | ds }} --until {{ data_interval_end | ds }}{% endif %}",
    "local": "{% if dag_run.run_type == 'backfill' %}"
    " --since {{ data_interval_start.astimezone(dag.timezone) | ds }}"
    " --until {{ data_interval_start.astimezone(dag.timezone) | ds }}{% endif %}",
}


def dag(
    name: str,
    dataset: str,
    *,
    cron: str = "",
    asset: str = "",
    time_zone: str,
    given: list[str],
    retries: int,
    pause_s: float,
    deadline_s: float,
) -> DAG:
    """Return a DAG that runs by ``cron``, or when ``asset`` was brought up to date; one run at a time.

    given: parameters; where a run has none, Airflow's variable of that name counts.
    """
    late = AsyncCallback("meterlake_flow.late", {"dag": name, "deadline_s": deadline_s})
    return DAG(
        name,
        schedule=[_asset(asset)] if asset else CronDataIntervalTimetable(cron, timezone=time_zone),
        start_date=pendulum.datetime(2000, 1, 1, tz=time_zone),
        catchup=False,
        max_active_runs=1,
        tags=["meterlake", dataset],
        params={parameter: Param("", type="string") for parameter in given},
        deadline=DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timedelta(seconds=deadline_s), late),
        default_args={
            "retries": retries,
            "retry_delay": timedelta(seconds=pause_s),
            "retry_exponential_backoff": 2,
            "max_retry_delay": _LONGEST_PAUSE,
            "on_failure_callback": failed,
        },
    )


def task(
    name: str,
    command: str,
    *,
    given: str = "",
    backfill: str = "",
    always: bool = False,
    makes: str = "",
    after: list[BashOperator] | None = None,
) -> BashOperator:
    """Return a task that runs a command.

    given: the parameter whose value is its last word; without one it is skipped. makes: an asset. always: it runs
    whatever became of those before.
    """
    line, environment = f"exec {command}{_BACKFILL[backfill]}", {}
    if given:
        line = f'[ -n "$GIVEN" ] || {{ echo "There is no {given}."; exit {_SKIPPED}; }}\n{line} "$GIVEN"'
        environment = {"GIVEN": f"{{{{ params.{given} or var.value.get('{given}', '') }}}}"}
    made = BashOperator(
        task_id=name,
        bash_command=line,
        env=environment,
        append_env=True,
        skip_on_exit_code=_SKIPPED,
        trigger_rule="all_done" if always else "none_failed",
        outlets=[_asset(makes)] if makes else [],
    )
    if after:
        made.set_upstream(after)
    return made


def failed(context: Context) -> None:
    """Report a task that has failed for good: after its last try."""
    instance = context["ti"]
    report({"event": "failed", "dag": instance.dag_id, "task": instance.task_id, "run": instance.run_id,
            "tries": instance.try_number})  # fmt: skip


async def late(dag: str, deadline_s: float, context: dict[str, Any] | None = None) -> None:
    """Report a run that has passed its deadline."""
    run = (context or {}).get("dag_run") or {}
    await asyncio.to_thread(
        report, {"event": "late", "dag": dag, "deadline_s": deadline_s, "run": run.get("dag_run_id")}
    )


def report(event: dict[str, Any]) -> None:
    """Log an event, and send it as JSON to METERLAKE_ALERT_URL where that is set."""
    logging.getLogger(__name__).error("alert: %s", json.dumps(event))
    url = os.environ.get("METERLAKE_ALERT_URL")
    if url:
        body = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})  # noqa: S310
        urllib.request.urlopen(body, timeout=30).close()  # noqa: S310 - an address that the owner has set


def _asset(name: str) -> Asset:
    return Asset(name=name, uri=f"meterlake://{name.replace('_', '/', 1)}")
