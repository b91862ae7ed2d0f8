"""Other ways to take the backlog's messages to minutes: the peers of ``backlog.py``, each a program in ``peers/``.

    python benchmarks/stream_peers.py                 # installs what they need, into the cache; says how large it is
    python benchmarks/stream_peers.py --lock          # pins their packages again

Plain Spark runs on the project's own packages. The others have environments of their own (``peers/NAME.lock``): none of
their packages is the project's. Flink needs Maven for its connector to Kafka.

Each reads the topic from its beginning and writes minutes into a table of its own in Cassandra, which is compared with
what was sent: sums of doubles may differ by rounding.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka.admin import AdminClient

from engines import cassandra
from engines.kafka import client_config
from meterlake.ddl import CASSANDRA_KEYSPACE
from meterlake.settings import load_settings
from stack.runtime import environments
from stack.runtime.cache import filling, made_whole
from stack.runtime.errors import ArtifactError
from stack.runtime.java import ensure_java
from stack.runtime.locks import sha256
from stack.runtime.maven import PLUGIN, find_maven
from stack.runtime.spark import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterlake.declaration import MeterSeries
    from meterlake.settings import Settings

    Expected = Callable[[str, int], tuple[int, float]]
    """(meter, start of a minute) -> how many readings were sent of it, and the sum of their first measure."""

# Names come from the declaration.
# ruff: noqa: S608
FOLDER: Final = Path(__file__).parent / "peers"
PEERS: Final = ("spark", "quix", "flink", "polars")
INSTALLED: Final = ("quix", "flink", "polars")
"""Those with an environment of their own."""
CONNECTOR: Final = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"
CONNECTOR_SHA256: Final = "5605c691d11a501382c383fecba37a7a552467da5ab7ba904ef5d6f3d62c5616"
LIMIT_S: Final = 3600
"""A peer that takes longer than this hangs."""


@dataclass(frozen=True)
class Backlog:
    """The messages that wait. expected: what a minute of them must be."""

    settings: Settings
    dataset: MeterSeries
    count: int
    expected: Expected


def run(backlog: Backlog, name: str) -> dict[str, Any]:
    """Let a peer take the messages to its table; return its figures, and how many of its minutes are wrong.

    Of one that fails: its exit code, as ``failed``.
    """
    settings, dataset = backlog.settings, backlog.dataset
    table = f"{CASSANDRA_KEYSPACE}.{dataset.name}_{name}"
    measures = [measure.name for measure in dataset.measures]
    python, jars, environment = _program(settings, name)
    with cassandra.session(settings) as session, tempfile.TemporaryDirectory(dir=settings.home) as folder:
        columns = "".join(f", {measure} double" for measure in measures)
        key = "PRIMARY KEY (meter_id, minute)"
        made = f"CREATE TABLE {table} (meter_id text, minute timestamp, readings bigint{columns}, {key})"
        session.execute(made, timeout=60)
        words = [python, str(FOLDER / f"with_{name}.py"), "--folder", folder, "--count", str(backlog.count)]
        words += ["--kafka", settings.kafka, "--topic", dataset.readings_topic]
        words += ["--cassandra", "{}:{}".format(*settings.cassandra[0]), "--table", table]
        words += ["--memory", settings.spark_driver_memory, "--measures", *measures, "--jars", *map(str, jars)]
        try:
            done = subprocess.run(  # noqa: S603 - ours
                words, stdout=subprocess.PIPE, text=True, check=False, timeout=LIMIT_S, env=os.environ | environment
            )
            if done.returncode:
                return {"failed": done.returncode}
            selected = f"SELECT meter_id, minute, readings, {measures[0]} AS total FROM {table}"
            rows = list(session.execute(selected, timeout=600))
            return _figures(json.loads(done.stdout.splitlines()[-1])) | judged(rows, backlog.expected)
        finally:
            session.execute(f"DROP TABLE {table}", timeout=60)
            _forget_topics(settings, dataset)


def _figures(said: dict[str, Any]) -> dict[str, Any]:
    count = said["readings"]
    return {
        "per_second": round(count / said["seconds"]),
        "steady_per_second": said["steady_per_second"],
        "cpu_s_per_million": round(said["cpu_s"] / count * 1e6, 1),
    }


def judged(rows: list[Any], expected: Expected) -> dict[str, int]:
    """Return how many minutes and readings were written, and how many minutes are not what was sent."""
    wrong = 0
    for row in rows:
        count, total = expected(row.meter_id, int(row.minute.replace(tzinfo=UTC).timestamp()))
        wrong += row.readings != count or not math.isclose(row.total, total, rel_tol=1e-9, abs_tol=1e-9)
    return {"minutes": len(rows), "readings_in_minutes": sum(row.readings for row in rows), "wrong": wrong}


def _forget_topics(settings: Settings, dataset: MeterSeries) -> None:
    """Remove the topics in which a peer has kept its state."""
    admin = AdminClient(client_config(settings))
    ours = (dataset.readings_topic, dataset.rejected_topic)
    topics = [name for name in admin.list_topics(timeout=30).topics if dataset.name in name and name not in ours]
    for outcome in admin.delete_topics(topics).values() if topics else ():
        outcome.exception(30)


def _program(settings: Settings, name: str) -> tuple[str, list[Path], dict[str, str]]:
    """Return the Python of a peer, its jars, and what is in its environment beside ours; installs what is missing."""
    if name == "spark":
        given = runtime(settings)
        java = {"JAVA_HOME": str(given.java_home)} if given.java_home else {}
        return sys.executable, list(given.jars), java | {"PYSPARK_PYTHON": sys.executable}
    python = str(install(settings, name) / "bin" / "python")
    if name == "flink":
        home = str(ensure_java(17, settings).home)
        return python, [connector(settings)], {"JAVA_HOME": home, "JVM_ARGS": f"-Xmx{settings.spark_driver_memory}"}
    return python, [], {}


def install(settings: Settings, name: str) -> Path:
    """Return the folder of a peer's environment, installed once. Raises ArtifactError."""
    if not environments.folder(name, settings, FOLDER).is_dir():
        print(f"{name}: its packages are installed into {settings.cache_dir}", file=sys.stderr, flush=True)
    return environments.ensure(name, settings, within=FOLDER)


def connector(settings: Settings) -> Path:
    """Return Flink's connector to Kafka, downloaded once. Raises MissingTool without Maven, ArtifactError."""
    _, artifact, version = CONNECTOR.split(":")
    target = settings.cache_dir / f"{artifact}-{version}"
    file = target / f"{artifact}-{version}.jar"
    with filling(settings, "flink.lock"):
        if not target.is_dir():
            with made_whole(target) as partial:
                command = [find_maven(), "-B", "-q", f"{PLUGIN}:copy", f"-Dartifact={CONNECTOR}"]
                done = subprocess.run(  # noqa: S603 - fixed words
                    [*command, f"-DoutputDirectory={partial}"], capture_output=True, text=True, check=False, cwd=partial
                )
                if done.returncode or sha256(partial / file.name) != CONNECTOR_SHA256:
                    raise ArtifactError(
                        f"Maven did not bring {CONNECTOR}: {done.stdout.strip()[-500:] or 'another file'}.",
                        hint="Check the network and the proxy or mirror in your Maven settings.xml, then run it again.",
                    )
    return file


def main() -> None:
    """Install or pin the peers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"without: all. {', '.join(INSTALLED)}")
    parser.add_argument("--lock", action="store_true", help="pin the packages again")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(INSTALLED)):
        parser.error(f"{', '.join(unknown)}: there are {', '.join(INSTALLED)}")
    settings = load_settings()
    for name in options.names or INSTALLED:
        if options.lock:
            environments.lock(name, FOLDER)
            continue
        folder = install(settings, name)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
        print(f"{name:<8} {size / 1e6:6.0f} MB  {folder}")
        if name == "flink":
            print(f"{'':8} {connector(settings).stat().st_size / 1e6:6.0f} MB  {connector(settings)}")


if __name__ == "__main__":
    main()
