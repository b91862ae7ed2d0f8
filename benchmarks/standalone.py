"""Spark's own standalone cluster as processes of this machine, by pyspark's own spark-class: nothing of ours in it."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyspark
import requests

from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meterlake.settings import Settings

WORKERS: Final = 2
PROPERTIES: Final = """\
spark.cores.max {executors}
spark.executor.cores 1
spark.executor.memory 1g
spark.scheduler.minRegisteredResourcesRatio 1.0
spark.scheduler.maxRegisteredResourcesWaitingTime 120s
"""
"""A run begins when all its executors are there."""


@contextmanager
def cluster(settings: Settings, folder: Path) -> Iterator[dict[str, str]]:
    """Run a master and workers; give the environment of a run that uses them."""
    java, home = runtime(settings).java_home, Path(pyspark.__file__).parent
    port, web = 7077 + settings.port_offset, 8079 + settings.port_offset
    environment = {**os.environ, "SPARK_HOME": str(home), "JAVA_HOME": str(java), "SPARK_LOCAL_IP": settings.host}
    start = partial(_started, environment, [str(home / "bin" / "spark-class")], folder)
    master = f"spark://{settings.host}:{port}"
    place = ["--host", settings.host]
    with ExitStack() as stack:
        words = ["org.apache.spark.deploy.master.Master", *place, "--port", str(port), "--webui-port", str(web)]
        processes = [stack.enter_context(start("master", words))]
        for number in range(WORKERS):
            words = ["org.apache.spark.deploy.worker.Worker", *place, "--webui-port", "0", "--cores", "1"]
            words += ["--memory", "2g", "--work-dir", str(folder / f"worker{number}"), master]
            processes.append(stack.enter_context(start(f"worker{number}", words)))
        _wait(f"http://{settings.host}:{web}/json/", processes, folder)
        yield {
            "METERLAKE_SPARK_MASTER": master,
            "METERLAKE_SPARK_SHUFFLE_PARTITIONS": str(2 * WORKERS),
            "SPARK_LOCAL_IP": settings.host,
            "CLUSTER": ",".join(str(process.pid) for process in processes),
        }


@contextmanager
def _started(
    environment: Mapping[str, str], program: list[str], folder: Path, name: str, words: list[str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([*program, *words], env=environment, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _wait(page: str, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    """Wait until the master knows all workers. Raises SystemExit where a process has ended."""
    while True:
        if any(process.poll() is not None for process in processes):
            logs = "\n".join(file.read_text(encoding="utf-8")[-2000:] for file in sorted(folder.glob("*.log")))
            raise SystemExit(f"Spark's master or a worker has ended.\n{logs}")
        with suppress(requests.RequestException):
            if requests.get(page, timeout=10).json()["aliveworkers"] == WORKERS:
                return
        time.sleep(0.3)
